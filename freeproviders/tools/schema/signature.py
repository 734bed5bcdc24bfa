"""A tool's parameters in short: `{"city": "string, name of the city", "days?": "integer, minimum 1"}`.

That is a third of the words of a JSON schema. Small models find the right one of many tools by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from freeproviders.wire.json import dumps

_SIMPLE: Final = frozenset({"string", "integer", "number", "boolean", "null"})
_LIMITS: Final = (
    "format",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
)
_NOTHING_MORE: Final = frozenset({"type", "properties", "required", "description"})
_MAX_CHOICE_CHARS: Final = 400


def signature(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Write the schema of an object, pruned, in short; None where that would lose a part of it.

    Objects inside of others stay schemas too: small models fill them better.
    """
    known = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(known, Mapping) or schema.keys() - _NOTHING_MORE:
        return None
    written: dict[str, Any] = {}
    for key, part in known.items():
        value = _part(part)
        if value is None or key.endswith("?"):
            return None
        written[key if key in (schema.get("required") or ()) else f"{key}?"] = value
    return written


def _part(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return None
    if schema.get("type") == "array":
        items = schema.get("items")
        inner = _leaf(items) if isinstance(items, Mapping) else None
        return None if inner is None or schema.keys() - {"type", "items"} else [inner]
    return _leaf(schema)


def _leaf(schema: Mapping[str, Any]) -> str | None:
    """Write a simple value: its types or choices, its limits, its description."""
    if schema.keys() - {"type", "enum", "description", *_LIMITS}:
        return None
    if "enum" in schema:
        names = schema["enum"]
        if not names or not all(isinstance(name, str) for name in names):
            return None
        choices = " or ".join([dumps(name).decode() for name in names])
        if len(choices) > _MAX_CHOICE_CHARS:
            return None
    else:
        types = schema.get("type")
        names = [types] if isinstance(types, str) else list(types or ())
        if not names or not _SIMPLE.issuperset(names):
            return None
        choices = " or ".join(names)
    limits = [f"{name} {schema[name]}" for name in _LIMITS if name in schema]
    return ", ".join([choices, *limits, *([schema["description"]] if schema.get("description") else [])])
