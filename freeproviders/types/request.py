"""A question to one model, and the tools that are offered with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final, Literal

from freeproviders.errors import UsageError
from freeproviders.records import changer, record
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


@record
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
        # Of a dict it is known at once that it is a mapping.
        function = value.get("function", value) if isinstance(value, (dict, Mapping)) else None
        if (
            not isinstance(function, (dict, Mapping))
            or not isinstance(function.get("name"), str)
            or not function["name"]
        ):
            raise UsageError(
                f"A tool must be a mapping with a name, an optional description and parameters, "
                f"not {value!r:.200}."
            )
        parameters = function.get("parameters") or {"type": "object", "properties": {}}
        if not isinstance(parameters, (dict, Mapping)):
            raise UsageError(
                f"The parameters of tool {function['name']!r:.200} must be a JSON schema in a mapping, "
                f"not {parameters!r:.200}."
            )
        source = value.source if isinstance(value, FromClass) else None
        return cls(
            function["name"], function.get("description") or "", parameters, function.get("strict"), source
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


@record(kw_only=True)
class ChatRequest:
    """One question to one model, with its settings, in no service's own form.

    None as a value leaves the decision to the backend or the model, unless something else is said
    here.

    Attributes:
        messages: the conversation; the last message is the question.
        model: the model that is asked; None is the backend's default model.
        temperature: how freely the model chooses its words; 0 is least.
        top_p: the share of likely words among which the model chooses.
        max_tokens: the most tokens of the answer.
        stop: texts that end the answer, on every service.
        tools: the tools that the model may call.
        tool_choice: "auto", "none", "required", the name of one tool, or a tuple of allowed names.
        parallel_tool_calls: False ends the answer after its first call.
        response_format: the form of the answer, as OpenAI has it (`{"type": "json_schema", ...}`).
        stream: False if nothing is shown before the end of the answer. The service may then answer
            in one piece, and an answer that breaks off is asked for again.
        options: settings of one service, by its own names. One that the service does not have is
            left out with a warning.
        max_repairs: how often a model is asked again for a call or an object that fits.
        allow_repeats: whether the model may repeat a call right after it got the result. False asks
            it for words then, True does not, None asks only models that are known as very small.
        on_invalid: what happens to a call that fits no tool, once the model is not asked again.
            "pass" hands it on if its arguments are a JSON object, "raise" raises `ToolCallError`,
            None raises only if `tool_choice` names one tool. An object that does not fit its schema
            is handed on by "pass" only.
        reasoning: what happens to thinking in the text (`<think>...</think>`). "split" makes it
            `Reasoning` parts, "drop" removes it and all other thinking, "keep" leaves the text as
            it is (but for an object's). None splits; without tools and response format it does so
            only if the answer begins with thinking.
        wait_up_to: the most seconds, in all, that a call waits for a service that says when to come
            back. None leaves it to the backend's `Retry`.
        on_empty: what an answer without text and calls is: "error", or with "allow" an answer, if
            the service itself says that the model stopped.
        n: the number of answers. Those after the first are `Alternative` parts; a stream has one.
        service_tools: tools that run at the service, as it writes them (`{"type": "web_search"}`).
        stream_tool_arguments: True streams native calls as `ToolCallDelta` parts too, unchecked.
        stream_usage: False does not ask the service for the token counts of a stream.
        include_response_headers: True puts the headers of the answer into `Finish`.
        prefill: the text with which the answer has begun, for a backend whose `prefills` says that
            it takes one. Only the rest is asked for, and `max_tokens` counts the rest.
        keep: the share (0 to 1) of a day's cap that is left to others, if that is more than the
            `Quota` itself keeps back.
        patience: the `freeproviders.retry.Patience` that the several requests of one call share, so
            that together they wait and fail no more than one may. Not a setting.
        listener: a function that is told what happens: an `Admitted` as a request gets its room
            among the limits; from a router also an `Asking` before and an `Attempt` after each
            attempt, and each `Seam`. It runs on the event loop that answers, and must not wait. Not
            a setting.
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

    def changed(self, **changes: Any) -> ChatRequest:
        """Return a copy with other values, in a tenth of the time that `dataclasses.replace` takes.

        Raises `AttributeError` for what is no field.
        """
        return _CHANGED(self, changes)

    def may_be_empty(self, reason: str, *, thought: bool, said: bool = False) -> bool:
        """Return whether an answer without text and calls is legitimate.

        A stop sequence at the very start leaves nothing, and so does a token limit that was spent
        on thinking; after a `prefill` nothing may be missing. `said` says that the
        service itself gave the reason.
        """
        if reason == "stop":
            return bool(self.stop) or bool(self.prefill) or (said and self.on_empty == "allow")
        return reason == "length" and thought


_CHANGED: Final = changer(ChatRequest)
