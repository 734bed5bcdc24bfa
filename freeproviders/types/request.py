"""A question to one model, and the tools that are offered with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from freeproviders.errors import UsageError
from freeproviders.types.messages import Message
from freeproviders.types.trail import Listener

OnInvalid = Literal["pass", "raise"]
OnEmpty = Literal["error", "allow"]
ReasoningMode = Literal["split", "keep", "drop"]
Prefill = Literal["", "asked", "exact"]
"""How a model takes the beginning of an answer: not at all, where the service says so, or always."""


MAX_REPAIRS: Final = 2
"""The usual number of times that a model is asked again for a valid call or object."""


class FromClass(dict[str, Any]):
    """A JSON form of a class - a response format, a tool - that remembers the class.

    The class's own validators then judge what comes, and not its JSON schema alone; None is a form
    of no class.
    """

    def __init__(self, form: Mapping[str, Any], source: type | None) -> None:
        super().__init__(form)
        self.source = source


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

    `patience`, `listener`, `keep` and `prefill` are no settings. Where one call sends several
    requests, they carry its `freeproviders.retry.Patience`, so that all of them together wait and fail
    no more than one may. `listener` is called with an `Admitted` as each request gets its room among
    the limits; while a router answers, also before each attempt with an `Asking`, after it with its
    `Attempt`, and with each `Seam`. It is called on the event loop that answers: it must not wait.
    `keep` is the share (0 to 1) of a day's cap that the question leaves to others, where that is more
    than the `Quota` itself keeps back.
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
    keep: float = 0.0
    patience: Any = field(default=None, compare=False, repr=False)
    listener: Listener | None = field(default=None, compare=False, repr=False)

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
