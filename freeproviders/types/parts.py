"""The pieces of an answer as they come, and its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar

from freeproviders.records import record
from freeproviders.types.trail import Attempt, Left, Seam
from freeproviders.wire.limits import Allowance

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "unknown"]
N = TypeVar("N", int, float)


@record
class Text:
    """A piece of the answer."""

    text: str


@record
class Reasoning:
    """A piece of the model's thinking, which is not part of the answer."""

    text: str


@record
class Refusal:
    """A piece of the words with which a model refuses, where a service tells them apart."""

    text: str


@record
class LogProbs:
    """Log probabilities of a piece of the answer, as the service writes them.

    `values` has a list of tokens under `content`, each with `token`, `logprob`, `bytes` and
    `top_logprobs`; those of a refusal are under `refusal`.
    """

    values: Mapping[str, Any]


@record
class ToolCallDelta:
    """A piece of a native tool call; the call itself comes later, as a whole `ToolCall`.

    `index` tells the calls of an answer apart; `id` and `name` are "" where a piece has none.
    `arguments` is a piece of JSON text.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


USAGE_DETAILS: Final[Mapping[str, Mapping[str, str]]] = {
    "prompt_tokens_details": {
        "cached_tokens": "cached_tokens",
        "cache_write_tokens": "cache_write_tokens",
        "input_audio_tokens": "audio_tokens",
    },
    "completion_tokens_details": {
        "reasoning_tokens": "reasoning_tokens",
        "output_audio_tokens": "audio_tokens",
        "accepted_prediction_tokens": "accepted_prediction_tokens",
        "rejected_prediction_tokens": "rejected_prediction_tokens",
    },
}
"""The details of a `Usage` by the group that they are in in the OpenAI protocol, with their names there."""


@record
class Usage:
    """Tokens of a whole call; `estimated` when the service did not count them itself.

    The details are parts of `input_tokens` (`cached`, `cache_write`, `input_audio`) or of
    `output_tokens` (the others), None where the service says nothing of them. `cost` is what the service says
    that it charged, in its own currency.
    """

    input_tokens: int
    output_tokens: int
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    estimated: bool = False
    cost: float | None = None
    cache_write_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_audio_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None

    @property
    def total_tokens(self) -> int:
        """Tokens in and out together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        """Sum two calls, as when a model is asked again."""
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            _sum(self.reasoning_tokens, other.reasoning_tokens),
            _sum(self.cached_tokens, other.cached_tokens),
            self.estimated or other.estimated,
            _sum(self.cost, other.cost),
            _sum(self.cache_write_tokens, other.cache_write_tokens),
            _sum(self.input_audio_tokens, other.input_audio_tokens),
            _sum(self.output_audio_tokens, other.output_audio_tokens),
            _sum(self.accepted_prediction_tokens, other.accepted_prediction_tokens),
            _sum(self.rejected_prediction_tokens, other.rejected_prediction_tokens),
        )

    def to_openai(self) -> dict[str, Any]:
        """Write the counts as the OpenAI protocol has them; details only where they are known."""
        out: dict[str, Any] = {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.total_tokens,
        }
        for group, names in USAGE_DETAILS.items():
            details = {
                key: count for name, key in names.items() if (count := getattr(self, name)) is not None
            }
            if details:
                out[group] = details
        if self.cost is not None:
            out["cost"] = self.cost
        return out


@record
class Finish:
    """The end of a stream: its reason, and the provider and model that answered.

    `confirmed` is False when the connection ended cleanly after text but nothing said that the
    answer was complete. `raw_reason` is the service's own word. `attempts` counts the requests that
    were sent, without those that went to a dead connection of the pool and were sent again at once.
    `request_id` is what a service's support asks for; `headers` are those of the answer, where the
    request asks for them, with names in lower case and without cookies. `allowances` are the limits
    that a service of the catalogue announced with the answer. `quota` is what is left after it of
    the limits that are kept, by the count of all programs of the user. Where a router answered,
    `trail` are its attempts in order, the last of which gave the answer, and `seams` the places where
    another answer went on after one had broken off.
    `cached` says that the answer was kept and nothing was sent: `attempts` is 0, and provider, model
    and ids are those of the time when it came.
    """

    reason: FinishReason = "stop"
    provider: str = ""
    model: str = ""
    raw_reason: str | None = None
    confirmed: bool = True
    attempts: int = 1
    response_id: str | None = None
    request_id: str | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    headers: Mapping[str, str] | None = None
    allowances: tuple[Allowance, ...] = ()
    quota: tuple[Left, ...] = ()
    trail: tuple[Attempt, ...] = ()
    seams: tuple[Seam, ...] = ()
    cached: bool = False

    def _repr_html_(self) -> str:
        from freeproviders import display  # noqa: PLC0415 - only a display needs it

        named = {name: getattr(self, name) for name in _FINISH_FACTS}
        parts = [display.facts(named), self._trail_html() if self.trail else ""]
        if self.quota:
            parts.append(display.table([one.plain() for one in self.quota], "Left of the limits"))
        return "".join(parts)

    def _trail_html(self) -> str:
        """Write the attempts as a table, and where another answer went on."""
        from freeproviders import display  # noqa: PLC0415 - only a display needs it

        seams = display.table([seam.plain() for seam in self.seams], "Seams") if self.seams else ""
        return display.table([attempt.plain() for attempt in self.trail], "Attempts") + seams


_FINISH_FACTS: Final = (
    "reason", "raw_reason", "provider", "model", "confirmed", "attempts", "cached", "request_id",
)  # fmt: skip


def _sum(a: N | None, b: N | None) -> N | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b
