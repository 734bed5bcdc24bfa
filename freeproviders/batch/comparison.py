"""What a comparison has found: a row for each model, each single answer, and what can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from freeproviders.batch.chance import Share, chance, told_apart
from freeproviders.batch.model_answers import STOPPED, Answer, ModelAnswers
from freeproviders.errors import MissingDependencyError, UsageError
from freeproviders.installing import with_extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NOT_JUDGED: Final = (
    "Nothing says what a right answer is: give questions an expected answer, contains, a check, calls or "
    "a response_format."
)
_WIDE: Final = 0.2
"""An interval of more than so much is worth a word."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The same questions to several models; a notebook shows it as a table, `str` as text.

    `comparison["groq/openai/gpt-oss-120b"]` are a model's answers, `comparison.answers(3)` those of all
    models to the fourth question. A question that was refused or given up counts as not right; one
    that has no answer yet is left out of the shares.

    Attributes:
        questions: names of the questions, or their first words.
        models: the answers of each model by its name, in the caller's order.
        judged: whether anything said what a right answer is.
    """

    questions: tuple[str, ...]
    models: Mapping[str, ModelAnswers] = field(repr=False)
    judged: bool = True

    def __getitem__(self, model: str) -> ModelAnswers:
        try:
            return self.models[model]
        except KeyError:
            raise UsageError(
                f"The comparison has no model {model!r:.200}; it has {', '.join(self.models)}."
            ) from None

    def answers(self, question: int) -> dict[str, Answer]:
        """Return the answers of all models to one question, by the models' names."""
        return {name: model.answers[question] for name, model in self.models.items()}

    def table(self) -> list[dict[str, Any]]:
        """Return a row of plain numbers for each model, as for `pandas.DataFrame`."""
        return [model.to_dict() for model in self.models.values()]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return each single answer as plain data, as for `pandas.DataFrame`."""
        return [answer.to_dict() for model in self.models.values() for answer in model]

    def fields(self) -> list[dict[str, Any]]:
        """Return for each field of expected objects in how many answers of each model it is right."""
        names = dict.fromkeys(name for model in self.models.values() for name in model.fields)
        return [
            {"field": name}
            | {
                model.model: f"{share.count} of {share.of}"
                for model in self.models.values()
                if (share := model.fields.get(name))
            }
            for name in names
        ]

    def verdict(self) -> list[str]:
        """Say in sentences which models are right more often, as far as that can be told.

        Two models are compared on the questions that both were asked to their end, by McNemar's exact
        test at 5 %, several pairs by Holm's rule.
        """
        if not self.judged:
            return [_NOT_JUDGED]
        said: list[str] = []
        pairs = [_Pair.of(*pair) for pair in combinations(self.models.values(), 2)]
        pairs = [pair for pair in pairs if pair.both]
        told = told_apart([pair.chance for pair in pairs])
        said += [pair.told() for pair, is_told in zip(pairs, told, strict=True) if is_told]
        said += [pair.not_told() for pair, is_told in zip(pairs, told, strict=True) if not is_told]
        shares = [model.right for model in self.models.values() if model.right.of]
        widest = max(shares, key=_width, default=None)
        if widest is not None and _width(widest) > _WIDE:
            low, high = widest.interval
            few = "questions are" if widest.of > 1 else "question is"
            said.append(
                f"{widest.of} {few} few: {widest.count} of {widest.of} right may mean a share "
                f"anywhere between {low:.0%} and {high:.0%}."
            )
        waiting = {name: model.states["exhausted"] for name, model in self.models.items()}
        if missing := [f"{name} {number}" for name, number in waiting.items() if number]:
            said.append(
                f"Without an answer yet: {', '.join(missing)}. The same call again, later, asks only these."
            )
        return said

    def plot(self) -> Figure:
        """Draw the shares of right answers with their intervals, and the seconds of each answer.

        Raises `MissingDependencyError` where matplotlib is not installed.
        """
        try:
            from freeproviders.batch.drawing import draw  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise MissingDependencyError("A plot needs matplotlib.", advice=with_extra("plot")) from error
        return draw(list(self.models.values()))

    def __str__(self) -> str:
        rows = [{name: str(cell) for name, cell in one.cells().items()} for one in self.models.values()]
        stopped = [f"{row['model']} stopped: {why}" for row in rows if (why := row.pop(STOPPED))]
        columns = [name for name in rows[0] if any(row[name] for row in rows)]
        widths = {name: max(len(name), *[len(row[name]) for row in rows]) for name in columns}
        lines = [{name: name for name in columns}, *rows]
        return "\n".join(
            ["  ".join([line[name].ljust(widths[name]) for name in columns]).rstrip() for line in lines]
            + ["", *self.verdict(), *stopped]
        )

    def _repr_html_(self) -> str:
        from freeproviders import display  # noqa: PLC0415 - only a display needs it

        count = len(self.questions)
        tables = [
            display.table(
                [one.cells() for one in self.models.values()],
                f"{count} question{'s' if count != 1 else ''}, {len(self.models)} models",
            ),
            display.table(fields, "Right, by field") if (fields := self.fields()) else "",
            display.prose("\n\n".join(self.verdict())),
        ]
        singles = [answer.cells() for number in range(count) for answer in self.answers(number).values()]
        return "".join([*tables, display.folded("Each answer", display.table(singles))])


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two models on the questions that both were asked to their end."""

    first: str
    second: str
    both: int
    only_first: int
    only_second: int

    @classmethod
    def of(cls, first: ModelAnswers, second: ModelAnswers) -> _Pair:
        """Count two models' answers question by question."""
        pairs = [
            (one.judgement.right, other.judgement.right)
            for one, other in zip(first, second, strict=True)
            if one.judgement.right is not None and other.judgement.right is not None
        ]
        return cls(
            first.model,
            second.model,
            len(pairs),
            sum(one > other for one, other in pairs),
            sum(one < other for one, other in pairs),
        )

    @property
    def chance(self) -> float:
        """How often chance alone would bring such a difference."""
        return chance(self.only_first, self.only_second)

    def told(self) -> str:
        """Say which model is right more often."""
        better, worse = self.first, self.second
        only, other = self.only_first, self.only_second
        if only < other:
            better, worse, only, other = worse, better, other, only
        return (
            f"{better} is right more often than {worse}: of {self.both} questions, {only} by {better} alone, "
            f"{other} by {worse} alone (chance brings that in {_percent(self.chance)} of such comparisons)."
        )

    def not_told(self) -> str:
        """Say that the answers do not show which model is better."""
        if not self.only_first and not self.only_second:
            return f"{self.first} and {self.second} are right on the same of {self.both} questions."
        return (
            f"Whether {self.first} or {self.second} is right more often cannot be told from {self.both} "
            f"questions: {self.only_first} only by {self.first}, {self.only_second} only by {self.second}."
        )


def _width(share: Share) -> float:
    low, high = share.interval
    return high - low


def _percent(value: float) -> str:
    return f"{value:.1%}" if value >= 0.001 else "less than 0.1%"
