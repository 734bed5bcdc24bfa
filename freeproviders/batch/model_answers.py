"""The answers of one model to all questions of a comparison, and what they add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from statistics import median
from typing import Any, Final

from pydantic_core import to_jsonable_python

from freeproviders.batch.cases import Judgement
from freeproviders.batch.chance import Share
from freeproviders.batch.rows import Row
from freeproviders.catalogue.rows import SECONDS, seconds_of
from freeproviders.errors import FreeProvidersError, OutputError
from freeproviders.types import Completion, Left, ToolCall, Usage

STOPPED: Final = "stopped, since"
"""The column that says why a model was not asked to the end."""


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
        """The text of the answer, also where it is not the object that was required; "" without any."""
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
        """Why there is no answer, None where there is one or the model was not asked."""
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
        soonest: when (UTC) it may be asked again, None where that is unknown.
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
        """The usual seconds until the first content (the median), None where they were not measured."""
        return _median(self._times("first_seconds"))

    @property
    def seconds(self) -> float | None:
        """The usual seconds of a whole answer (the median), None where they were not measured."""
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

        Each limit is taken as unspent, and each question as the mean of what these questions took. For
        a router over several services it is None.
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
            STOPPED: self.why,
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
        from freeproviders import display  # noqa: PLC0415 - only a display needs it

        return display.table([answer.cells() for answer in self.answers], self.model)

    @property
    def _usages(self) -> list[Usage]:
        return [usage for answer in self.answers if (usage := answer.usage) is not None]

    @property
    def _completions(self) -> list[Completion]:
        return [answer.row.completion for answer in self.answers if answer.row.completion is not None]

    def _times(self, name: str) -> list[float]:
        return [time for one in self._completions if (time := getattr(one, name)) is not None]


def _share(judged: Sequence[bool | None]) -> Share:
    known = [one for one in judged if one is not None]
    return Share(sum(known), len(known))


def _median(times: Sequence[float]) -> float | None:
    return median(times) if times else None


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"
