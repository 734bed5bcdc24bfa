"""A whole answer, collected from its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from freeproviders.records import record
from freeproviders.types.calls import InvalidToolCall, ToolCall
from freeproviders.types.parts import Finish, LogProbs, Reasoning, Refusal, Text, ToolCallDelta, Usage


@dataclass(frozen=True, slots=True, repr=False)
class Completion:
    """A whole answer, collected from a stream; `str` of it is its text, or its refusal.

    A notebook shows it with its calls, its cost and its service. `others` are the further answers
    where `n` were asked for; `usage` is that of all of them. In a batch, `seconds` is how long the
    answer took from when there was room for it among the limits, and `first_seconds` how long its
    first content took, where it came as a stream; None where it was not measured.
    """

    text: str
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    usage: Usage
    finish: Finish
    refusal: str = ""
    logprobs: Mapping[str, Any] | None = None
    others: tuple[Completion, ...] = ()
    invalid_tool_calls: tuple[InvalidToolCall, ...] = ()
    seconds: float | None = field(default=None, compare=False)
    first_seconds: float | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.text or self.refusal

    def __repr__(self) -> str:
        from freeproviders import display  # noqa: PLC0415 - only a display needs it

        finish = self.finish
        return display.short_repr(
            "Completion",
            self.text or self.refusal,
            tool_calls=self.tool_calls,
            invalid_tool_calls=len(self.invalid_tool_calls),
            provider=finish.provider,
            model=finish.model,
            reason=finish.reason,
            tokens=self.usage.total_tokens,
            others=len(self.others),
        )

    def _repr_html_(self) -> str:
        from freeproviders import display  # noqa: PLC0415 - only a display needs it

        finish, usage = self.finish, self.usage
        about = "about " if usage.estimated else ""
        ended = {"stop": "", "tool_calls": "", "unknown": "perhaps not complete"}.get(
            finish.reason, f"ended by {finish.reason.replace('_', ' ')}"
        )
        calls = [{"tool": call.name, "arguments": dict(call.arguments)} for call in self.tool_calls]
        wrong = [{"tool": call.name, "error": call.error} for call in self.invalid_tool_calls]
        pieces = [
            display.folded("Thinking", display.prose(self.reasoning)) if self.reasoning else "",
            display.prose(self.text or self.refusal),
            display.table(calls, "Calls") if calls else "",
            display.table(wrong, "Calls that are wrong") if wrong else "",
            *(display.folded("Another answer", display.prose(str(other))) for other in self.others),
            display.dimmed(
                [
                    f"{finish.provider} {finish.model}".strip(),
                    f"{about}{usage.input_tokens:,} + {usage.output_tokens:,} tokens",
                    ended,
                ]
            ),
            display.folded("Attempts", finish._trail_html()) if len(finish.trail) > 1 else "",  # noqa: SLF001 - of this package
        ]
        return "".join(pieces)


@record
class Alternative:
    """Another whole answer to the same question."""

    completion: Completion


@record
class Draft:
    """The object so far, as plain data; a part of typed answers only.

    Each draft extends the one before, also where the model was asked again.
    """

    data: Any


Part = (
    Text
    | Reasoning
    | Refusal
    | LogProbs
    | ToolCallDelta
    | ToolCall
    | InvalidToolCall
    | Alternative
    | Usage
    | Finish
)


Batch = list[Part]


def collect(parts: Iterable[Part]) -> Completion:
    """Add up the parts of a finished stream; text that a restart has made void is left out."""
    text: list[str] = []
    reasoning: list[str] = []
    calls: list[ToolCall] = []
    refusal: list[str] = []
    logprobs: dict[str, Any] | None = None
    others: list[Completion] = []
    invalid: list[InvalidToolCall] = []
    usage: Usage | None = None
    finish: Finish | None = None
    for part in parts:
        match part:
            case Text():
                text.append(part.text)
            case Reasoning():
                reasoning.append(part.text)
            case ToolCall():
                calls.append(part)
            case InvalidToolCall():
                invalid.append(part)
            case Usage():
                usage = part
            case Finish():
                finish = part
            case Refusal():
                refusal.append(part.text)
            case LogProbs():
                logprobs = joined_logprobs(logprobs, part.values)
            case Alternative():
                others.append(part.completion)
    usage = usage or Usage(0, 0, estimated=True)
    finish = finish or Finish(reason="unknown", confirmed=False)
    void = max([seam.offset for seam in finish.seams if seam.how == "restart"], default=0)
    return Completion(
        "".join(text)[void:],
        "".join(reasoning),
        tuple(calls),
        usage,
        finish,
        refusal="".join(refusal),
        logprobs=logprobs,
        others=tuple(others),
        invalid_tool_calls=tuple(invalid),
    )


def parts_of(answer: Completion) -> Batch:
    """Write a whole answer as the parts of a stream, which `collect` adds up to it again."""
    batch: Batch = [Reasoning(answer.reasoning)] if answer.reasoning else []
    batch += [Text(answer.text)] if answer.text else []
    batch += [Refusal(answer.refusal)] if answer.refusal else []
    batch += [LogProbs(answer.logprobs)] if answer.logprobs else []
    batch += [*answer.tool_calls, *answer.invalid_tool_calls, *map(Alternative, answer.others)]
    return [*batch, answer.usage, answer.finish]


def joined_logprobs(first: Mapping[str, Any] | None, more: Mapping[str, Any]) -> dict[str, Any]:
    """Add the log probabilities of a further piece to those of an answer: lists are joined."""
    out = dict(first or {})
    for key, value in more.items():
        before = out.get(key)
        if isinstance(before, list) and isinstance(value, list):
            out[key] = before + value
        elif value is not None or key not in out:
            out[key] = value
    return out
