"""Messages and requests, and the parts of the stream that answers them.

A stream is a sequence of small frozen parts::

    Text | Reasoning | Refusal | LogProbs | ToolCallDelta | ToolCall | InvalidToolCall ...  Usage  Finish

`Text`, `Reasoning` and `Refusal` come in pieces; a `ToolCall` is always whole; `Usage` comes at
most once and `Finish` exactly once, last. `LogProbs` and `ToolCallDelta` come only where the
request asks for them. Inside the package the parts travel in batches, a list for each network
read, because an `await` for each part would cost more than the part.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypeVar, get_args

from freeproviders.errors import UnsupportedInputError, UsageError
from freeproviders.wire.limits import Allowance, Metric

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "unknown"]
OnInvalid = Literal["pass", "raise"]
OnEmpty = Literal["error", "allow"]
ReasoningMode = Literal["split", "keep", "drop"]
SeamKind = Literal["replay", "prefill", "trim", "restart"]
OnBrokenStream = Literal["raise", "continue", "restart"]
Prefill = Literal["", "asked", "exact"]
"""How a model takes the beginning of an answer: not at all, where the service says so, or always."""
N = TypeVar("N", int, float)

MAX_REPAIRS: Final = 2
"""The usual number of times that a model is asked again for a valid call or object."""

ROLES: Final[tuple[str, ...]] = get_args(Role)
_ROLE_ALIASES: Final[Mapping[str, Role]] = {"developer": "system", "function": "tool"}


# --- in -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A piece of text inside a message whose content is a list."""

    text: str


@dataclass(frozen=True, slots=True)
class ImageBlock:
    """A picture, by URL; `data:image/png;base64,...` holds the bytes themselves."""

    url: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """A recording, as base64; `format` is its kind: "wav", "mp3" ..."""

    data: str = field(repr=False)
    format: str


@dataclass(frozen=True, slots=True)
class FileBlock:
    """A document: its bytes as `data:application/pdf;base64,...`, or the service's id of it."""

    data: str | None = field(default=None, repr=False)
    filename: str | None = None
    file_id: str | None = None


Block = TextBlock | ImageBlock | AudioBlock | FileBlock


@dataclass(frozen=True, slots=True)
class CallExtra:
    """What a service adds to a tool call, as Gemini its signature: fields that mean nothing here.

    They are sent back with the call to the service and model that they came from, which `origin`
    names, where it wants them, and to nobody else. `beside` are fields of the answer that held the
    call; its first call has them.
    """

    origin: str
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    beside: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Write it as plain data, for messages that are saved."""
        return {"origin": self.origin, "fields": dict(self.fields), "beside": dict(self.beside)}

    @classmethod
    def of(cls, value: object) -> CallExtra | None:
        """Read what `to_dict` wrote; None for anything else."""
        if isinstance(value, CallExtra):
            return value
        if not isinstance(value, Mapping) or not isinstance(value.get("origin"), str):
            return None
        fields, beside = value.get("fields") or {}, value.get("beside") or {}
        if not isinstance(fields, Mapping) or not isinstance(beside, Mapping):
            return None
        return cls(value["origin"], fields, beside)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A complete tool call: a part of a stream, and an item of an assistant message's `tool_calls`.

    `arguments` is a parsed JSON object, never a string and never half of one. `extra` is what the
    service added to the call.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    extra: CallExtra | None = field(default=None, repr=False)

    def to_openai(self) -> dict[str, Any]:
        """Write the call as the OpenAI protocol has it, its arguments as JSON text, without `extra`."""
        from freeproviders.wire.json import dumps  # noqa: PLC0415 - only calls that are sent need it

        function = {"name": self.name, "arguments": dumps(self.arguments).decode()}
        return {"id": self.id, "type": "function", "function": function}


CALL_EXTRAS: Final = "tool_call_extras"
"""The key under which the frameworks' messages keep what services added to their tool calls."""


def extras_to_save(calls: Iterable[ToolCall | InvalidToolCall]) -> dict[str, list[dict[str, Any]]]:
    """Write what services added to tool calls as plain data, by the calls' ids.

    Lists, because LangChain joins two texts of one key to one: the texts of two calls of one id.
    """
    out: dict[str, list[dict[str, Any]]] = {}
    for call in calls:
        if isinstance(call, ToolCall) and call.extra is not None:
            out.setdefault(call.id, []).append(call.extra.to_dict())
    return out


def saved_extra(saved: object, identity: str | None) -> CallExtra | None:
    """Read what a service added to the call of an id: to the first, where two have that id."""
    extras = saved.get(identity) if isinstance(saved, Mapping) else None
    return CallExtra.of(extras[0]) if isinstance(extras, list) and extras else None


NO_OBJECT: Final = "Not a JSON object: "
"""The mark of a text that an adapter shows where frameworks have a call's arguments."""


@dataclass(frozen=True, slots=True)
class InvalidToolCall:
    """A tool call that nobody can make, since its arguments are no JSON object.

    It only comes beside calls that can be made, so that a framework answers it with them. `text` is
    what the model wrote, `error` says what is wrong with it.
    """

    id: str
    name: str
    text: str
    error: str

    @property
    def no_arguments(self) -> str:
        """The text, marked so that nobody takes it for arguments.

        It may be JSON all the same: a list in a call's own braces, or a call that the choice rules out.
        Frameworks also complete JSON that was cut off. What begins with these words is JSON in no
        reading.
        """
        return f"{NO_OBJECT}{self.text}"

    @property
    def explanation(self) -> str:
        """The error, with the text where the error does not quote it."""
        return self.error if self.text in self.error else f"{self.error} The model wrote: {self.text}"

    def to_openai(self) -> dict[str, Any]:
        """Write the call as the OpenAI protocol has it, with the model's own text as arguments."""
        function = {"name": self.name, "arguments": self.text}
        return {"id": self.id, "type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    `content` is text or a tuple of blocks. `tool_calls` are the tool calls that the assistant made
    in this turn; they are answered by `tool` messages whose `tool_call_id` names the call.
    `is_error` marks a result that reports a failure. `reasoning` is what the assistant thought before
    it; only services that want it back in a run of tool calls are sent it.
    """

    role: Role
    content: str | tuple[Block, ...] = ""
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    is_error: bool = False
    reasoning: str = ""

    @property
    def text(self) -> str:
        """The message's text; blocks are joined by a line break, pictures left out."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(block.text for block in self.content if isinstance(block, TextBlock))

    @property
    def images(self) -> tuple[ImageBlock, ...]:
        """The message's pictures, in order."""
        if isinstance(self.content, str):
            return ()
        return tuple(block for block in self.content if isinstance(block, ImageBlock))

    @property
    def media(self) -> tuple[Block, ...]:
        """The pictures, recordings and documents of the message, in order."""
        if isinstance(self.content, str):
            return ()
        return tuple([block for block in self.content if not isinstance(block, TextBlock)])

    @classmethod
    def of(cls, value: Message | Mapping[str, Any]) -> Message:
        """Read a message as the OpenAI protocol writes it: a mapping with `role` and `content`.

        Raises `UsageError` on anything that is not one, and `UnsupportedInputError` on content that
        the protocol does not have.
        """
        if isinstance(value, Message):
            return value
        if not isinstance(value, Mapping):
            raise UsageError(
                f"A message must be a mapping with 'role' and 'content', not {type(value).__name__}."
            )
        role = value.get("role")
        role = _ROLE_ALIASES.get(role, role) if isinstance(role, str) else role
        if role not in ROLES:
            raise UsageError(f"Unknown message role {role!r}: use one of {', '.join(ROLES)}.")
        return cls(
            role=role,
            content=_content(value.get("content")),
            name=value.get("name"),
            tool_calls=_tool_calls(value.get("tool_calls")),
            tool_call_id=value.get("tool_call_id"),
            is_error=bool(value.get("is_error")),
            reasoning=_reasoning(value) if role == "assistant" else "",
        )


class FromClass(dict[str, Any]):
    """A JSON form of a class - a response format, a tool - that remembers the class.

    The class's own validators then judge what comes, and not its JSON schema alone; None is a form
    of no class.
    """

    def __init__(self, form: Mapping[str, Any], source: type | None) -> None:
        super().__init__(form)
        self.source = source


Messages = list[Mapping[str, Any]]
"""A conversation: a list of `{"role": ..., "content": ...}` mappings, or of `Message` objects."""


def as_messages(messages: str | Iterable[Message | Mapping[str, Any]]) -> tuple[Message, ...]:
    """Read what a caller passed as the conversation; a bare string is one user message.

    Raises `UsageError` when there is nothing to send.
    """
    if isinstance(messages, str):
        return (Message("user", messages),)
    if not isinstance(messages, Iterable):
        raise UsageError(
            f"messages must be a list of mappings with 'role' and 'content', not {type(messages).__name__}."
        )
    out = tuple([Message.of(message) for message in messages])
    if not out:
        raise UsageError("messages is empty: pass at least one message.")
    return out


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask for; `parameters` is a JSON schema of type object.

    `source` is a class whose validators judge the arguments as well.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool | None = None
    source: type | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, value: Tool | Mapping[str, Any]) -> Tool:
        """Read a tool in OpenAI's form, with or without `{"type": "function", ...}` around it."""
        if isinstance(value, Tool):
            return value
        function = value.get("function", value) if isinstance(value, Mapping) else None
        if (
            not isinstance(function, Mapping)
            or not isinstance(function.get("name"), str)
            or not function["name"]
        ):
            raise UsageError(
                f"A tool must be a mapping with a name, an optional description and parameters, "
                f"not {value!r:.200}."
            )
        parameters = function.get("parameters") or {"type": "object", "properties": {}}
        if not isinstance(parameters, Mapping):
            raise UsageError(
                f"The parameters of tool {function['name']!r:.200} must be a JSON schema in a mapping, "
                f"not {parameters!r:.200}."
            )
        return cls(
            name=function["name"],
            description=function.get("description") or "",
            parameters=parameters,
            strict=function.get("strict"),
            source=value.source if isinstance(value, FromClass) else None,
        )

    def to_openai(self) -> dict[str, Any]:
        """Write the tool as the OpenAI protocol has it."""
        function: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }
        if self.strict is not None:
            function["strict"] = self.strict
        return {"type": "function", "function": function}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One question to one model, in no service's own form.

    `model` None means the backend's default. `tool_choice` is "auto", "none", "required", or the
    name of one tool or a tuple of allowed names; None leaves it to the model. `response_format` is
    the OpenAI one (`{"type": "json_schema", ...}`). `stream` False says that nothing is shown
    before the end: a service that has both may answer in one piece, and an answer that breaks off
    is asked for again. `options` holds every other setting by the service's own name; what a
    service cannot take is said in a warning.

    The rest is what `Backend.answer` obeys, so that whoever hands a request on can change it:
    `max_repairs` bounds how often a model is asked again for a call or an object that fits.
    `allow_repeats` False asks for words where a model at once repeats a call whose result is the
    last that it was told, True never does; None asks only models that are known as very small.
    `on_invalid` says what becomes of a call that still does not fit or whose name is not bound,
    once there is no asking again: "pass" hands it on as it is, where its arguments are a JSON
    object; "raise" raises `ToolCallError`; None raises where the choice names one tool, and hands
    on elsewhere. An object that does not fit its schema is handed on by "pass" only.

    `reasoning` says what becomes of thinking that a model writes into its text
    (`<think>...</think>`): "split" makes it `Reasoning` parts, "drop" leaves it out, with what the
    service itself tells apart; "keep" leaves the text alone, but for the text of an object. None
    splits; where there are neither tools nor a response format, only an answer that begins with
    thinking is looked at. `wait_up_to` is how many seconds in all a call may wait for a service
    that says when to come back, however often; None leaves that to the backend's `Retry`.

    `on_empty` says what an answer without text and calls is: "error", or with "allow" an answer,
    where the service itself says that the model stopped; None leaves it to the backend. `n` answers
    to the question are waited for, all but the first of them as `Alternative` parts; a stream has
    one.

    What only some services have: `service_tools` are tools that run at the service, as it writes
    them (`{"type": "web_search"}`). `stream_tool_arguments` lets native calls come as
    `ToolCallDelta` parts too, piece by piece, unchecked. `stream_usage` False does not ask for the
    tokens of a stream. `include_response_headers` puts the headers of the answer into `Finish`.

    `patience`, `listener` and `prefill` are no settings. Where one call sends several requests, they
    carry its `freeproviders.retry.Patience`, so that all of them together wait and fail no more than
    one may. While a router answers, `listener` is called before each attempt with an `Asking`, after
    it with its `Attempt`, and with each `Seam`, on the event loop that answers: it must not wait.
    `prefill` is the text with which the answer has begun: only what follows is asked for, of a backend
    whose `prefills` says that it takes one; `max_tokens` then counts what follows.
    """

    messages: tuple[Message, ...]
    model: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: str | tuple[str, ...] | None = None
    parallel_tool_calls: bool | None = None
    response_format: Mapping[str, Any] | None = None
    stream: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    max_repairs: int = MAX_REPAIRS
    allow_repeats: bool | None = None
    on_invalid: OnInvalid | None = None
    reasoning: ReasoningMode | None = None
    wait_up_to: float | None = None
    on_empty: OnEmpty | None = None
    n: int = 1
    service_tools: tuple[Mapping[str, Any], ...] = ()
    stream_tool_arguments: bool = False
    stream_usage: bool = True
    include_response_headers: bool = False
    prefill: str = ""
    patience: Any = field(default=None, compare=False, repr=False)
    listener: Callable[[Asking | Attempt | Seam], object] | None = field(
        default=None, compare=False, repr=False
    )

    @property
    def counts_as(self) -> int:
        """As how many requests a service counts it."""
        return 1

    def may_be_empty(self, reason: str, *, thought: bool, said: bool = False) -> bool:
        """Return whether an answer without text and calls is legitimate.

        A stop sequence at the very start leaves nothing, and so does a token limit that was spent on
        thinking; behind a beginning that was given nothing may be missing. `said` says that the service
        itself gave the reason.
        """
        if reason == "stop":
            return bool(self.stop) or bool(self.prefill) or (said and self.on_empty == "allow")
        return reason == "length" and thought


# --- out ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of the model's thinking, which is not part of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A piece of the words with which a model refuses, where a service tells them apart."""

    text: str


@dataclass(frozen=True, slots=True)
class LogProbs:
    """Log probabilities of a piece of the answer, as the service writes them.

    `values` has a list of tokens under `content`, each with `token`, `logprob`, `bytes` and
    `top_logprobs`; those of a refusal are under `refusal`.
    """

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a native tool call; the call itself comes later, as a whole `ToolCall`.

    `index` tells the calls of an answer apart; `id` and `name` are "" where a piece has none.
    `arguments` is a piece of JSON text.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a whole call; `estimated` when the service did not count them itself.

    `cost` is what the service says that it charged, in its own currency; None where it says nothing.
    """

    input_tokens: int
    output_tokens: int
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    estimated: bool = False
    cost: float | None = None

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
        )

    def to_openai(self) -> dict[str, Any]:
        """Write the counts as the OpenAI protocol has them; details only where they are known."""
        out: dict[str, Any] = {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.total_tokens,
        }
        if self.cached_tokens is not None:
            out["prompt_tokens_details"] = {"cached_tokens": self.cached_tokens}
        if self.reasoning_tokens is not None:
            out["completion_tokens_details"] = {"reasoning_tokens": self.reasoning_tokens}
        if self.cost is not None:
            out["cost"] = self.cost
        return out


@dataclass(frozen=True, slots=True)
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

    def _repr_html_(self) -> str:
        from freeproviders import display  # noqa: PLC0415 - only for who looks at it

        named = {name: getattr(self, name) for name in _FINISH_FACTS}
        parts = [display.facts(named), self._trail_html() if self.trail else ""]
        if self.quota:
            parts.append(display.table([one.plain() for one in self.quota], "Left of the limits"))
        return "".join(parts)

    def _trail_html(self) -> str:
        """Write the attempts as a table, and where another answer went on."""
        from freeproviders import display  # noqa: PLC0415 - only for who looks at it

        seams = display.table([seam.plain() for seam in self.seams], "Seams") if self.seams else ""
        return display.table([attempt.plain() for attempt in self.trail], "Attempts") + seams


@dataclass(frozen=True, slots=True)
class Asking:
    """A router is about to send a question to a member; `place` says where that is.

    It is "service", "local" for a server of this machine, "embedded" for our own engine, and "given"
    for a backend of the caller's.
    """

    provider: str
    model: str
    place: str

    def plain(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {"provider": self.provider, "model": self.model, "place": self.place}


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one member of a router for one question.

    `provider` and `model` name the member. `error` is why it gave no answer, in words, "" where it
    did. `requests` counts the HTTP requests that it was sent: 0 where it was passed over, as one in
    a cool-down. `seconds` is how long it took.
    """

    provider: str
    model: str
    error: str = ""
    requests: int = 1
    seconds: float = 0.0

    def plain(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {
            "provider": self.provider,
            "model": self.model,
            "error": str(self.error),  # where its arguments are marked, without the marks
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class Seam:
    """A place in an answer at which another member, or the same one again, went on.

    `offset` counts the characters of text before it. `broken` and `source` name who broke off and who
    went on, as "provider/model". `how` is the way: "replay" by the same answer given again, "prefill" by
    a model that was given what it had said, "trim" by an answer that began with all that was said.
    "restart" says that the answer begins anew, and that what came before the offset is void.
    """

    offset: int
    broken: str
    source: str
    how: SeamKind

    def plain(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {"offset": self.offset, "broken": self.broken, "source": self.source, "how": self.how}


@dataclass(frozen=True, slots=True)
class Left:
    """A limit that is kept, and what is left of it for all programs of the user together.

    At most `cap` of `metric` may be taken `per` period; `per` is "" where places are counted.
    `scope` is the model, or the name of the pool that several models share. `back_at` (UTC) is when
    more will be left, None where that is all, or where only calls that still run can give it back.
    """

    metric: Metric
    per: str
    scope: str
    cap: float
    left: float
    back_at: datetime | None = None

    def plain(self) -> dict[str, Any]:
        """Return the same as plain data; `back_at` is a text of RFC 3339, left out where None."""
        said: dict[str, Any] = {
            "metric": self.metric,
            "per": self.per,
            "scope": self.scope,
            "cap": self.cap,
            "left": self.left,
        }
        if self.back_at is not None:
            said["back_at"] = self.back_at.isoformat()
        return said


@dataclass(frozen=True, slots=True, repr=False)
class Completion:
    """A whole answer, collected from a stream; `str` of it is its text, or its refusal.

    A notebook shows it with its calls, its cost and who gave it. `others` are the further answers
    where `n` were asked for; `usage` is that of all of them.
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

    def __str__(self) -> str:
        return self.text or self.refusal

    def __repr__(self) -> str:
        from freeproviders import display  # noqa: PLC0415 - only for who looks at it

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
        from freeproviders import display  # noqa: PLC0415 - only for who looks at it

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
            display.folded("Attempts", finish._trail_html()) if len(finish.trail) > 1 else "",  # noqa: SLF001 - of this module
        ]
        return "".join(pieces)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another whole answer to the same question."""

    completion: Completion


@dataclass(frozen=True, slots=True)
class Draft:
    """The object so far, as plain data; a part of typed answers only.

    Each draft extends the one before, also where the model was asked again.
    """

    data: Any


_FINISH_FACTS: Final = ("reason", "raw_reason", "provider", "model", "confirmed", "attempts", "request_id")

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
    usage, finish = Usage(0, 0, estimated=True), Finish(reason="unknown", confirmed=False)
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


Listener = Callable[[Asking | Attempt | Seam], object]
"""Whoever is told what a router does while it does it."""


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


def new_call_id() -> str:
    """Make an id for a tool call that came without one."""
    return f"call_{secrets.token_hex(12)}"


# --- reading what callers pass --------------------------------------------------------------------


def _sum(a: N | None, b: N | None) -> N | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _content(content: object) -> str | tuple[Block, ...]:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence) and not isinstance(content, bytes | bytearray):
        return tuple([_block(block) for block in content])
    raise UsageError(f"Message content must be a string or a list of blocks, not {type(content).__name__}.")


def _block(block: object) -> Block:
    if isinstance(block, Block):
        return block
    if isinstance(block, str):
        return TextBlock(block)
    kind = block.get("type") if isinstance(block, Mapping) else type(block).__name__
    if isinstance(block, Mapping):
        if kind in ("text", "input_text") and isinstance(block.get("text"), str):
            return TextBlock(block["text"])
        if kind == "image_url":
            image = block.get("image_url")
            url, detail = (
                (image.get("url"), image.get("detail")) if isinstance(image, Mapping) else (image, None)
            )
            if isinstance(url, str):
                return ImageBlock(url, detail)
        if kind == "input_audio" and isinstance(audio := block.get("input_audio"), Mapping):
            data, form = audio.get("data"), audio.get("format")
            if isinstance(data, str) and isinstance(form, str):
                return AudioBlock(data, form)
        if kind == "file" and isinstance(file := block.get("file"), Mapping):
            data, name, identity = file.get("file_data"), file.get("filename"), file.get("file_id")
            if isinstance(data or identity, str):
                return FileBlock(data, name, identity)
    raise UnsupportedInputError(
        f"Content block of type {kind!r} is not supported: use text, image_url, input_audio or file blocks."
    )


def _reasoning(message: Mapping[str, Any]) -> str:
    """Read the thinking of an assistant's message, by either of its names in the protocol."""
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    return reasoning if isinstance(reasoning, str) else ""


def _tool_calls(calls: object) -> tuple[ToolCall, ...]:
    if not calls:
        return ()
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise UsageError(f"tool_calls must be a list, not {type(calls).__name__}.")
    return tuple([_tool_call(call) for call in calls])


def _tool_call(call: ToolCall | Mapping[str, Any]) -> ToolCall:
    if isinstance(call, ToolCall):
        return call
    from freeproviders.wire.json import loads  # noqa: PLC0415 - only histories with string arguments need it

    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise UsageError(f"A tool call must be a mapping with a name and arguments, not {call!r:.200}.")
    arguments = function.get("arguments", function.get("args")) or {}
    if isinstance(arguments, str):
        try:
            arguments = loads(arguments)
        except ValueError as error:
            raise UsageError(
                f"The arguments of tool call {function['name']!r} are not JSON: {error}."
            ) from error
    if not isinstance(arguments, Mapping):
        raise UsageError(
            f"The arguments of tool call {function['name']!r} must be a JSON object, "
            f"not {type(arguments).__name__}."
        )
    return ToolCall(str(call.get("id") or ""), function["name"], arguments, CallExtra.of(call.get("extra")))
