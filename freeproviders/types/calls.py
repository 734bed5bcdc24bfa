"""The tool calls of an answer, and of an assistant's message."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, Final

from freeproviders.errors import UsageError
from freeproviders.records import record


@record
class CallExtra:
    """What a service adds to a tool call, as Gemini its signature: fields that mean nothing here.

    They are sent back with the call to the service and model that they came from, which `origin`
    names, where it wants them, and to no other. `beside` are fields of the answer that held the
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


@record
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


@record
class InvalidToolCall:
    """A tool call that cannot be made, since its arguments are no JSON object.

    It only comes beside calls that can be made, so that a framework answers it with them. `text` is
    what the model wrote, `error` says what is wrong with it.
    """

    id: str
    name: str
    text: str
    error: str

    @property
    def no_arguments(self) -> str:
        """The text, marked so that it is not taken for arguments.

        It may be JSON all the same: a list in a call's own braces, or a call that the choice rules out.
        Frameworks also complete JSON that was cut off. A text that begins with these words
        cannot be read as JSON.
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


def new_call_id() -> str:
    """Make an id for a tool call that came without one."""
    return f"call_{secrets.token_hex(12)}"


def calls_of(calls: object) -> tuple[ToolCall, ...]:
    """Read the tool calls of a message. Raises `UsageError` on what is none."""
    if not calls:
        return ()
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise UsageError(f"tool_calls must be a list, not {type(calls).__name__}.")
    return tuple([_call_of(call) for call in calls])


def _call_of(call: ToolCall | Mapping[str, Any]) -> ToolCall:
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
