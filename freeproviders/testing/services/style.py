"""Judging whether a request is written as a service of the catalogue wants it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from freeproviders.wire.openai.style import Style

_ONE_SCHEMA: Final = (
    "items", "additionalProperties", "unevaluatedProperties", "unevaluatedItems", "additionalItems",
    "propertyNames", "contains", "not", "if", "then", "else",
)  # fmt: skip
_SCHEMAS_IN_LIST: Final = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_SCHEMAS_BY_NAME: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_CALL_KEYS: Final = frozenset({"id", "type", "function", "index"})
_LIMITS: Final = frozenset({"max_tokens", "max_completion_tokens"})
EXTRA: Final = "extra_content"
"""The key under which a tool call carries what its service has added."""


def faults_of_style(body: Mapping[str, Any], style: Style) -> Iterator[tuple[str, str]]:
    """Find what a service does not take in a request that OpenAI takes: the field, and a sentence."""
    refused = {*style.leave_out, *(_LIMITS - {style.max_tokens})}
    for name in body:
        if name in refused:
            yield name, f"Extra inputs are not permitted: {name}."
    yield from _schemas(body, style.leave_out_of_schemas)
    yield from _messages(body["messages"], style)


def _schemas(body: Mapping[str, Any], refused: Collection[str]) -> Iterator[tuple[str, str]]:
    for n, tool in enumerate(body.get("tools") or ()):
        schema = tool.get("function", {}).get("parameters", {})
        for keyword in sorted(_keywords(schema).intersection(refused)) if refused else ():
            yield "tools", f"tools[{n}].function.parameters: the keyword {keyword!r} is not supported."


def _keywords(schema: object) -> set[str]:
    """Collect the keywords of a schema and of those in it; names of properties are none."""
    if not isinstance(schema, Mapping):
        return set()
    inner = [schema[key] for key in _ONE_SCHEMA if key in schema]
    inner += [one for key in _SCHEMAS_IN_LIST if isinstance(schema.get(key), list) for one in schema[key]]
    inner += [
        one
        for key in _SCHEMAS_BY_NAME
        if isinstance(schema.get(key), Mapping)
        for one in schema[key].values()
    ]
    return set(schema).union(*map(_keywords, inner))


def _messages(messages: Sequence[Mapping[str, Any]], style: Style) -> Iterator[tuple[str, str]]:
    before = ""
    for n, message in enumerate(messages):
        where = f"messages[{n}]"
        for name in message:
            if name in style.leave_out_of_messages:
                yield name, f"Extra inputs are not permitted: {where}.{name}."
        content, calls = message.get("content"), message.get("tool_calls")
        if style.flat_content and isinstance(content, list) and _is_text_only(content):
            yield "content", f"{where}.content must be a string, not a list of texts."
        if not style.null_content and content is None:
            yield "content", f"{where}.content must be a string, not null."
        if style.assistant_after_tool and before == "tool" and message["role"] == "user":
            yield "messages", f"{where}: Unexpected role 'user' after role 'tool'."
        before = message["role"]
        yield from _ids(where, message, style.call_id_chars)
        for m, call in enumerate(calls or ()):
            unknown = set(call) - _CALL_KEYS - ({EXTRA} if style.tool_extras else set())
            for name in sorted(unknown):
                yield name, f"Extra inputs are not permitted: {where}.tool_calls[{m}].{name}."


def _ids(where: str, message: Mapping[str, Any], chars: int) -> Iterator[tuple[str, str]]:
    ids = [call["id"] for call in message.get("tool_calls") or ()]
    if message["role"] == "tool":
        ids.append(message["tool_call_id"])
    for identity in ids:
        if chars and re.fullmatch(rf"[a-zA-Z0-9]{{{chars}}}", identity) is None:
            yield (
                "tool_calls",
                (
                    f"{where}: Tool call id was {identity} but must be a-z, A-Z, 0-9, with a length of "
                    f"{chars}."
                ),
            )


def _is_text_only(content: Sequence[Any]) -> bool:
    return all(isinstance(part, Mapping) and part.get("type") == "text" for part in content)
