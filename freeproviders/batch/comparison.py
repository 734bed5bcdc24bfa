"""What a comparison has found: a row for each model, each single answer, and what can be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import to_jsonable_python

from freeproviders.batch.cases import Judgement
from freeproviders.batch.chance import Share, chance, told_apart
from freeproviders.batch.rows import Row
from freeproviders.catalogue.rows import SECONDS, seconds_of
from freeproviders.errors import FreeProvidersError, MissingDependencyError, OutputError, UsageError
from freeproviders.installing import with_extra
from freeproviders.types import Completion, Left, ToolCall, Usage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NOT_JUDGED: Final = (
    "Nothing says what a right answer is: give questions an expected answer, contains, a check, calls or "
    "a response_format."
)
_WIDE: Final = 0.2
"""An interval of more than so much is worth a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One model's answer to one question.

    Attributes:
        model: the model's name in the comparison.
        question: the question's place, from 0.
        name: the question's name, or its first words.
        row: what became of it: the whole `Completion`, the object, the error.
        judgement: what was found of it.
    """

    model: str
    question: int
    name: str
    row: Row
    judgement: Judgement

    @property
    def text(self) -> str:
        """The text of the answer, also where it was no object that was required; "" without any."""
        if self.row.completion is not None:
            return str(self.row.completion)
        return self.row.error.said if isinstance(self.row.error, OutputError) else ""

    @property
    def data(self) -> Any:
        """The object of a typed answer, None where there is none that fits."""
        return self.row.data

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the answer."""
        return self.row.completion.tool_calls if self.row.completion is not None else ()

    @property
    def error(self) -> FreeProvidersError | None:
        """Why there is no answer, None where there is one or nobody was asked."""
        return self.row.error

    @property
    def requests(self) -> int:
        """The requests that were sent for it, asking again included, as far as they are known."""
        if self.row.completion is not None:
            return self.row.completion.finish.attempts
        if self.row.trail:
            return sum(attempt.requests for attempt in self.row.trail)
        return int(getattr(self.row.error, "attempts", 0) or 0)

    @property
    def usage(self) -> Usage | None:
        """The tokens of the answer, repairs included; None where they are not known."""
        if self.row.completion is not None:
            return self.row.completion.usage
        return self.row.error.usage if isinstance(self.row.error, OutputError) else None

    def to_dict(self) -> dict[str, Any]:
        """Return the same as plain data."""
        completion, usage = self.row.completion, self.usage
        return {
            "question": self.question,
            "name": self.name,
            "model": self.model,
            "state": self.row.state,
            "text": self.text,
            "data": to_jsonable_python(self.row.data, fallback=str),
            "calls": [{"name": call.name, "arguments": dict(call.arguments)} for call in self.tool_calls],
            "valid": self.judgement.valid,
            "calls_right": self.judgement.calls,
            "right": self.judgement.right,
            "why": self.judgement.why,
            "first_seconds": completion.first_seconds if completion is not None else None,
            "seconds": completion.seconds if completion is not None else None,
            "input_tokens": usage.input_tokens if usage is not None else None,
            "output_tokens": usage.output_tokens if usage is not None else None,
            "requests": self.requests,
            "kept": self.row.kept,
            "error": str(self.row.error) if self.row.error is not None else "",
        }

    def cells(self) -> dict[str, object]:
        """Return the cells of its row in a table."""
        right = self.judgement.right
        return {
            "question": self.name,
            "model": self.model,
            "answer": self.text or self.tool_calls_shown or str(self.row.error or "not asked"),
            "right": "" if right is None else right,
            "what is wrong": self.judgement.why,
        }

    @property
    def tool_calls_shown(self) -> str:
        """The tool calls in one line."""
        return ", ".join([f"{call.name}({dict(call.arguments)})" for call in self.tool_calls])


@dataclass(frozen=True, kw_only=True)
class ModelAnswers:
    """All answers of one model, and what they add up to.

    Attributes:
        model: the model's name in the comparison.
        answers: one for each question, in the order of the questions.
        left: what was left of each limit after the latest answer of this time.
        why: why it stopped before its end, "" where it did not.
        soonest: when (UTC) it may be asked again, None where nobody says.
    """

    model: str
    answers: tuple[Answer, ...]
    left: tuple[Left, ...] = ()
    why: str = ""
    soonest: datetime | None = None

    @cached_property
    def states(self) -> Counter[str]:
        """The number of questions by state, as in `Row.state`."""
        return Counter(answer.row.state for answer in self.answers)

    @property
    def done(self) -> int:
        """The number of questions that have an answer."""
        return self.states["done"]

    @property
    def kept(self) -> int:
        """The number of questions that were answered before."""
        return sum(answer.row.kept for answer in self.answers)

    @cached_property
    def valid(self) -> Share:
        """The answers that fit their schema and tools, of the questions that have one of these."""
        return _share([answer.judgement.valid for answer in self.answers])

    @cached_property
    def calls(self) -> Share:
        """The answers that made the calls that were expected, of the questions that expect some."""
        return _share([answer.judgement.calls for answer in self.answers])

    @cached_property
    def right(self) -> Share:
        """The answers that are right in all, of the questions that were asked to their end."""
        return _share([answer.judgement.right for answer in self.answers])

    @cached_property
    def fields(self) -> dict[str, Share]:
        """For each field of expected objects, in how many answers it is right."""
        found: dict[str, list[bool]] = {}
        for answer in self.answers:
            for name, is_right in answer.judgement.fields.items():
                found.setdefault(name, []).append(is_right)
        return {name: _share(values) for name, values in found.items()}

    @property
    def first_seconds(self) -> float | None:
        """The usual seconds until the first content (the median), None where nobody measured them."""
        return _median(self._times("first_seconds"))

    @property
    def seconds(self) -> float | None:
        """The usual seconds of a whole answer (the median), None where nobody measured them."""
        return _median(self._times("seconds"))

    @property
    def slowest(self) -> float | None:
        """The seconds of the slowest answer."""
        return max(self._times("seconds"), default=None)

    @property
    def input_tokens(self) -> int:
        """The tokens of the questions, repairs included."""
        return sum(usage.input_tokens for usage in self._usages)

    @property
    def output_tokens(self) -> int:
        """The tokens of all answers."""
        return sum(usage.output_tokens for usage in self._usages)

    @property
    def estimated(self) -> bool:
        """Whether some of the tokens are estimates."""
        return any(usage.estimated for usage in self._usages)

    @property
    def requests(self) -> int:
        """The requests that were sent for these answers, now or before, asking again included."""
        return sum(answer.requests for answer in self.answers)

    @property
    def errors(self) -> dict[str, int]:
        """Questions without an answer, by the class of their error."""
        return dict(Counter(type(one.error).__name__ for one in self.answers if one.error).most_common())

    @cached_property
    def a_day(self) -> float | None:
        """How many such questions the limits that are kept allow in a day, None where none are known.

        Each limit is taken as it is when nothing of it is spent, each question as what these have
        taken in the mean. Of a router over several services nothing is said.
        """
        asked = {(one.finish.provider, one.finish.model) for one in self._completions}
        if len(asked) != 1:
            return None
        takes = {
            "requests": self.requests,
            "tokens": self.input_tokens + self.output_tokens,
            "input tokens": self.input_tokens,
            "output tokens": self.output_tokens,
        }
        limits = {(one.metric, one.per): one.cap for done in self._completions for one in done.finish.quota}
        return min(
            [
                cap * SECONDS["day"] / seconds_of(per) * len(self._usages) / takes[metric]
                for (metric, per), cap in limits.items()
                if per and takes.get(metric)
            ],
            default=None,
        )

    def cells(self) -> dict[str, object]:
        """Return the cells of its row in a table."""
        about = "about " if self.estimated else ""
        quota = [f"{one.left:,.0f} of {one.cap:,.0f} {one.metric}/{one.per}" for one in self.left if one.per]
        return {
            "model": self.model,
            "answered": f"{self.done} of {len(self.answers)}",
            "valid": f"{self.valid.count} of {self.valid.of}" if self.valid.of else "",
            "calls": f"{self.calls.count} of {self.calls.of}" if self.calls.of else "",
            "right": str(self.right),
            "first s": _seconds(self.first_seconds),
            "whole s": _seconds(self.seconds),
            "slowest s": _seconds(self.slowest),
            "tokens": f"{about}{self.input_tokens:,} + {self.output_tokens:,}" if self.done else "",
            "requests": str(self.requests) if self.requests else "",
            "left": ", ".join(quota),
            "a day at most": "" if self.a_day is None else f"{self.a_day:,.0f}",
            "errors": ", ".join([f"{count} {name}" for name, count in self.errors.items()]),
            "stopped, since": self.why,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the same as plain numbers, each in a column of its own."""
        shares = {"valid": self.valid, "calls": self.calls, "right": self.right}
        out: dict[str, Any] = {"model": self.model, "questions": len(self.answers), "answered": self.done}
        for name, share in shares.items():
            out |= {name: share.count, f"{name}_of": share.of}
        low, high = self.right.interval
        return out | {
            "right_low": low,
            "right_high": high,
            "first_seconds": self.first_seconds,
            "seconds": self.seconds,
            "slowest_seconds": self.slowest,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "requests": self.requests,
            "a_day": self.a_day,
            "kept": self.kept,
            "refused": self.states["refused"],
            "poisoned": self.states["poisoned"],
            "exhausted": self.states["exhausted"],
            "errors": self.errors,
            "left": [one.plain() for one in self.left],
            "why": self.why,
        }

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.answers)

    def _repr_html_(self) -> str:
        from freeproviders import display  # noqa: PLC0415 - only for who looks at it

        return display.table([answer.cells() for answer in self.answers], self.model)

    @property
    def _usages(self) -> list[Usage]:
        return [usage for answer in self.answers if (usage := answer.usage) is not None]

    @property
    def _completions(self) -> list[Completion]:
        return [answer.row.completion for answer in self.answers if answer.row.completion is not None]

    def _times(self, name: str) -> list[float]:
        return [time for one in self._completions if (time := getattr(one, name)) is not None]


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
        """Say in sentences what can be told of who is right more often, and what cannot.

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
            said.append(
                f"{widest.of} questions are few: {widest.count} of {widest.of} right may mean a share "
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
        columns = [name for name in rows[0] if any(row[name] for row in rows)]
        widths = {name: max(len(name), *[len(row[name]) for row in rows]) for name in columns}
        lines = [{name: name for name in columns}, *rows]
        return "\n".join(
            ["  ".join([line[name].ljust(widths[name]) for name in columns]).rstrip() for line in lines]
            + ["", *self.verdict()]
        )

    def _repr_html_(self) -> str:
        from freeproviders import display  # noqa: PLC0415 - only for who looks at it

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
        """Say who is right more often."""
        better, worse = self.first, self.second
        only, other = self.only_first, self.only_second
        if only < other:
            better, worse, only, other = worse, better, other, only
        return (
            f"{better} is right more often than {worse}: of {self.both} questions, {only} by {better} alone, "
            f"{other} by {worse} alone (chance brings that in {_percent(self.chance)} of such comparisons)."
        )

    def not_told(self) -> str:
        """Say that nobody can tell."""
        if not self.only_first and not self.only_second:
            return f"{self.first} and {self.second} are right on the same of {self.both} questions."
        return (
            f"Whether {self.first} or {self.second} is right more often cannot be told from {self.both} "
            f"questions: {self.only_first} only by {self.first}, {self.only_second} only by {self.second}."
        )


def _share(judged: Sequence[bool | None]) -> Share:
    known = [one for one in judged if one is not None]
    return Share(sum(known), len(known))


def _median(times: Sequence[float]) -> float | None:
    return median(times) if times else None


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _width(share: Share) -> float:
    low, high = share.interval
    return high - low


def _percent(value: float) -> str:
    return f"{value:.1%}" if value >= 0.001 else "less than 0.1%"
