"""A request that was written as OpenAI has it, changed to the style of one service."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from string import ascii_letters, digits
from typing import Any, Final

from freeproviders.types import Message
from freeproviders.wire.openai.style import Style

AFTER_TOOL: Final = "I have read the result."
"""The words of the assistant between a tool's result and the user, where a service wants some."""

_ALPHABET: Final = digits + ascii_letters
_BY_NAME: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Keywords of a schema that hold schemas by names."""
_DATA: Final = frozenset({"enum", "const", "default", "examples", "example", "required"})
"""Keywords of a schema that hold no schemas."""
APPLIED_HERE: Final = frozenset({"parallel_tool_calls", "stop", "stream_options"})
"""Fields that may be left out: stop sequences and the number of calls are applied here, tokens estimated."""
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {"max_tokens": ("max_tokens", "max_completion_tokens")}
"""The fields that a setting may be written as."""

Say = Callable[[str, str], None]
"""Gives a warning once for each subject, the first argument; the second follows the service's name in it."""


def style_messages(messages: list[dict[str, Any]], style: Style, say: Say) -> list[dict[str, Any]]:
    """Return written messages in the style of a service; they themselves are changed too."""
    if not style.null_content:
        for message in messages:
            if message["content"] is None:
                message["content"] = ""
    if style.call_id_chars:
        _rename_calls(messages, style.call_id_chars)
    for field in style.leave_out_of_messages:
        for message in messages:
            if message.pop(field, None) is not None and field == "name" and message["role"] == "user":
                say("name", "cannot take the name of a message: left out of the request.")
    return _with_words_after_tools(messages) if style.assistant_after_tool else messages


def style_tools(tools: Iterable[dict[str, Any]], refused: Iterable[str]) -> None:
    """Leave out of written tools, in place, the keywords of schemas that a service refuses."""
    refused = frozenset(refused)
    for tool in tools:
        function = tool["function"]
        function["parameters"] = _without(function["parameters"], refused)
        if "strict" in refused:
            function.pop("strict", None)  # it stands beside the schema, and is about it


def style_prefill(body: dict[str, Any], style: Style) -> None:
    """Mark in a written request, in place, that the answer continues its last message."""
    if style.prefill == "prefix":
        body["messages"][-1]["prefix"] = True
    elif style.prefill == "continue":
        body.update(continue_final_message=True, add_generation_prompt=False)


def style_fields(body: dict[str, Any], style: Style, say: Say) -> None:
    """Change the fields of a written request, in place, to the style of a service."""
    for field in (name for setting in style.leave_out for name in _NAMES.get(setting, (setting,))):
        if field not in body:
            continue
        value = body.pop(field)
        if field not in APPLIED_HERE and (field, value) != ("tool_choice", "auto"):
            say(field, f"cannot take {field}: left out of the request.")
    for setting, least in style.at_least.items():
        _bound(body, setting, least, say, lowest=True)
    for setting, most in style.at_most.items():
        _bound(body, setting, most, say, lowest=False)
    if style.send:
        _add(body, style.send)


def insist(body: dict[str, Any], fields: Mapping[str, Any]) -> None:
    """Put fields into a written request, nested ones too; they replace the caller's own values."""
    for name, value in fields.items():
        own = body.get(name)
        if isinstance(value, Mapping) and isinstance(own, Mapping):
            body[name] = own = dict(own)
            insist(own, value)
        else:
            body[name] = value


def style_extras(
    messages: Sequence[Message], written: Sequence[dict[str, Any]], origin: str, default: Mapping[str, Any]
) -> None:
    """Send back with each call what its service added to it, if that service is asked again.

    The first call of an answer in which none has anything of that service's gets the `default`.
    """
    for message, out in zip(messages, written, strict=True):
        if not message.tool_calls:
            continue
        calls, signed = out["tool_calls"], False
        for n, call in enumerate(message.tool_calls):
            if call.extra is not None and call.extra.origin == origin:
                calls[n] = {**call.extra.fields, **calls[n]}
                for field, value in call.extra.beside.items():
                    out.setdefault(field, value)
                signed = True
        if default and not signed:
            calls[0] = {**default, **calls[0]}


# --- messages -------------------------------------------------------------------------------------


def _rename_calls(messages: Iterable[dict[str, Any]], chars: int) -> None:
    """Replace ids of calls and results that are not `chars` letters and digits."""
    messages = tuple(messages)
    own = [call["id"] for message in messages for call in message.get("tool_calls", ())]
    own += [message["tool_call_id"] for message in messages if "tool_call_id" in message]
    fits = re.compile(rf"[A-Za-z0-9]{{{chars}}}").fullmatch
    sent = {identity: identity for identity in own if fits(identity)}
    taken = set(sent)
    for identity in own:
        if identity not in sent:
            sent[identity] = _short(identity, chars, taken)
            taken.add(sent[identity])
    for message in messages:
        for call in message.get("tool_calls", ()):
            call["id"] = sent[call["id"]]
        if "tool_call_id" in message:
            message["tool_call_id"] = sent[message["tool_call_id"]]


def _short(identity: str, chars: int, taken: Collection[str]) -> str:
    """Derive an id of `chars` characters from another one; where it is taken, derive the next."""
    space = len(_ALPHABET) ** chars
    number = int.from_bytes(hashlib.sha256(identity.encode("utf-8", "replace")).digest())
    while True:
        rest, short = number % space, ""
        for _ in range(chars):
            rest, digit = divmod(rest, len(_ALPHABET))
            short += _ALPHABET[digit]
        if short not in taken or len(taken) >= space:
            return short
        number += 1


def _with_words_after_tools(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Insert a message of the assistant between a tool's result and a message of another role."""
    out: list[dict[str, Any]] = []
    for message in messages:
        if out and out[-1]["role"] == "tool" and message["role"] not in {"tool", "assistant"}:
            out.append({"role": "assistant", "content": AFTER_TOOL})
        out.append(message)
    return out


# --- schemas --------------------------------------------------------------------------------------


def _without(schema: Any, refused: frozenset[str]) -> Any:
    """Copy a schema without some keywords, at any depth; names and data of the same text stay."""
    if isinstance(schema, list | tuple):
        return [_without(item, refused) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in refused:
            continue
        if key in _BY_NAME and isinstance(value, Mapping):
            out[key] = {name: _without(one, refused) for name, one in value.items()}
        else:
            out[key] = value if key in _DATA else _without(value, refused)
    return out


# --- fields ---------------------------------------------------------------------------------------


def _bound(body: dict[str, Any], setting: str, bound: float, say: Say, *, lowest: bool) -> None:
    """Limit a number to the least or the most that a service takes."""
    for field in _NAMES.get(setting, (setting,)):
        value = body.get(field)
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        if value < bound if lowest else value > bound:
            # A row's bound is read as 16.0, and services refuse that where a whole number is due.
            body[field] = int(bound) if isinstance(value, int) else bound
            word = "least" if lowest else "most"
            say(f"{field} {word}", f"takes {field} of at {word} {bound:g}: {value:g} is sent as {bound:g}.")


def _add(body: dict[str, Any], fields: Mapping[str, Any]) -> None:
    """Add fields, nested ones too; the caller's own values stay."""
    for name, value in fields.items():
        if name not in body:
            body[name] = value
        elif isinstance(value, Mapping) and isinstance(body[name], Mapping):
            body[name] = own = dict(body[name])
            _add(own, value)
