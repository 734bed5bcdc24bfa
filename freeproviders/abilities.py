"""Abilities of models, what answers have shown of them, and backends as the tools see them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from freeproviders.records import record
from freeproviders.retry import Retry
from freeproviders.types import Batch, ChatRequest
from freeproviders.wire.signs import Sign

Feature = Literal[
    "tools",
    "forced_tools",
    "schema",
    "usage_frames",
    "reasoning",
    "max_tokens",
    "tool_extras",
    "prefill",
    "begins_thinking",
    "fields",
]
"""What a service may lack.

"tools" are native tool calls and "forced_tools" those that a choice requires, "schema" are answers
constrained to a schema, "usage_frames" is usage in a stream, "reasoning" is thinking that is sent back,
"max_tokens" the limit of an answer by this name and not by `max_completion_tokens`, "tool_extras" what
the service adds to a tool call, which is sent back with it, "prefill" is the beginning of an answer
that is gone on with, "begins_thinking" answers that begin inside the thinking, which the model's
template has opened, "fields" the fields of a request that `Learned.mend` changes.
"""
Verdict = Literal["proven", "refused", "disproven"]
"""What answers have shown: a feature works, the service refuses it, or it passes it over."""

_OF_TOOLS = frozenset({"parallel_tool_calls", "tool_choice"})
"""Fields of a request that are refused where it has no tools."""
_DECIDED_BY_ANSWERS: tuple[Feature, ...] = ("tools", "schema")


@record
class Abilities:
    """The abilities of one model, without the help of freeproviders.

    `tools` are native tool calls, `schema` answers constrained to a JSON schema, `images`, `audio`
    and `files` parts of messages; `window` counts the tokens of question and answer together,
    `output` those of an answer, None where that is not known; `reasoning` says that the model
    thinks before it answers. `strict_schema` says that a schema is sent in OpenAI's strict form
    where it has one, else always as it is. `interleaved` says that the thinking between tool calls
    is sent back in a run of them. `family` is the name of the model itself where the service has
    another for it, or tells none: what is known of such models then counts.
    """

    tools: bool = False
    schema: bool = False
    images: bool = False
    audio: bool = False
    files: bool = False
    window: int | None = None
    output: int | None = None
    reasoning: bool = False
    strict_schema: bool = True
    interleaved: bool = False
    family: str = ""


@record
class Lesson:
    """One fact that answers of a service have shown.

    `model` "" stands for all models. `why` says in words what showed it, `when` the time (UTC).
    """

    feature: Feature
    model: str
    verdict: Verdict
    why: str
    when: datetime


@dataclass(slots=True)
class Learned:
    """The features that a service has and lacks, as its answers have shown; `lessons` lists them.

    One object serves all copies of a configuration that reach the same address. It only grows, so
    that threads and event loops may share it without a lock, and what speaks against a feature
    outweighs what spoke for it. A refusal counts against any claim; that a feature was passed over
    counts where it is not known whether the service has it (`Backend.finds_out`).
    """

    _lessons: dict[tuple[Feature, str, Verdict], Lesson] = field(default_factory=dict)
    _questions: dict[tuple[Feature, str], int] = field(default_factory=dict)
    _mends: list[tuple[Lesson, Sign]] = field(default_factory=list)
    successors: dict[str, str] = field(default_factory=dict)
    """The models that are asked in place of those that the service says it has dropped."""
    windows: dict[str, int] = field(default_factory=dict)
    """The context windows that the service has told, in tokens, by model; "" stands for any other."""

    @property
    def lessons(self) -> tuple[Lesson, ...]:
        """What was learned, the earliest first."""
        return (*self._lessons.values(), *[lesson for lesson, _ in self._mends])

    @property
    def is_blank(self) -> bool:
        """Whether answers have shown nothing yet."""
        return not (self._lessons or self._mends or self.windows)

    def window_of(self, model: str) -> int | None:
        """Return the context window that the service has told of a model, None where it told none."""
        windows = self.windows
        return (windows.get(model) or windows.get("")) if windows else None

    def tell_window(self, model: str, window: int | None) -> None:
        """Remember the context window that the service has told of a model, if it did."""
        if window is not None:
            self.windows[model] = window

    def prove(self, feature: Feature, model: str, why: str) -> None:
        """Remember that a feature works with a model."""
        self._note(feature, model, "proven", why)

    def refuse(self, feature: Feature, model: str = "", why: str = "The service refused it.") -> None:
        """Remember that the service refuses a feature for a model, "" for all models."""
        self._note(feature, model, "refused", why)

    def refuse_fields(self, sign: Sign, model: str, why: str) -> None:
        """Remember that requests must be changed as a sign says, of one model or of all."""
        model = model if sign.scope == "model" else ""
        if not any(known == sign and lesson.model == model for lesson, known in self._mends):
            self._mends.append((Lesson("fields", model, "refused", why, datetime.now(UTC)), sign))

    def mend(self, body: dict[str, Any], model: str) -> list[str]:
        """Change a request as refusals have taught; return the fields that were taken out."""
        lost = []
        for lesson, sign in self._mends:
            if lesson.model in {"", model}:
                body.update(
                    {
                        name: value
                        for name, value in sign.send.items()
                        if "tools" in body or name not in _OF_TOOLS
                    }
                )
                lost += [name for name in sign.leave_out if body.pop(name, None) is not None]
        return lost

    def disprove(self, feature: Feature, model: str, why: str) -> None:
        """Remember that a feature was asked for and passed over without a refusal."""
        self._note(feature, model, "disproven", why)

    def refuses(self, feature: Feature, model: str = "") -> bool:
        """Return whether the service has refused a feature for a model."""
        return bool(self._lessons) and (
            (feature, model, "refused") in self._lessons or (feature, "", "refused") in self._lessons
        )

    def lacks(self, feature: Feature, model: str) -> bool:
        """Return whether answers speak against a feature of a model."""
        return self.refuses(feature, model) or (feature, model, "disproven") in self._lessons

    def proves(self, feature: Feature, model: str) -> bool:
        """Return whether a feature of a model has been seen to work, and never not to."""
        return (
            bool(self._lessons)
            and (feature, model, "proven") in self._lessons
            and not self.lacks(feature, model)
        )

    def is_due(self, feature: Feature, model: str) -> bool:
        """Count a question that could try a feature; return whether it should.

        The first, the second, the fourth, the eighth ... should. A try may cost something, so a caller
        that never needs the feature must not pay for it each time; but trying is never given up.
        """
        number = self._questions[feature, model] = self._questions.get((feature, model), 0) + 1
        return number & (number - 1) == 0

    def without_refused(self, abilities: Abilities, model: str) -> Abilities:
        """Return the claimed abilities of a model, less those that the service has refused."""
        lost: dict[str, Any] = {
            feature: False for feature in _DECIDED_BY_ANSWERS if self.refuses(feature, model)
        }
        return replace(abilities, **lost) if lost else abilities

    def _note(self, feature: Feature, model: str, verdict: Verdict, why: str) -> None:
        self._lessons.setdefault(
            (feature, model, verdict), Lesson(feature, model, verdict, why, datetime.now(UTC))
        )


class Askable(Protocol):
    """The members without which no object is a backend; `Backend.of` makes one of it."""

    @property
    def name(self) -> str:
        """The name for errors."""

    @property
    def model(self) -> str:
        """The model of a request that names none; "" if that is not known."""

    def batches(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Stream the parts of an answer by the bare protocol."""


class Answering(Askable, Protocol):
    """A backend as far as the tools need it: the bare protocol and the model's abilities."""

    @property
    def retry(self) -> Retry:
        """The rule for sending a failed request again."""

    @property
    def learned(self) -> Learned:
        """The features that the service has and lacks, as its answers have shown."""

    def abilities(self, model: str | None = None) -> Abilities:
        """The abilities of a model; None is the backend's own model."""

    @property
    def keeps_answers(self) -> bool:
        """Whether answers are kept, so that each question is asked once."""

    def kept_or_asked(
        self, request: ChatRequest, ask: Callable[[Any], AsyncGenerator[Batch, None]]
    ) -> AsyncGenerator[Batch, None]:
        """Stream the answer that is kept for a request, or the one of `ask`, which is kept then."""

    def finds_out(self, feature: Feature) -> bool:
        """Whether answers decide about a feature, since nothing else says whether it is there."""

    def tries(self, feature: Feature, model: str) -> bool:
        """Whether a request should find out about a feature of a model."""
