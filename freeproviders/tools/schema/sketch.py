"""A JSON schema as the shape of the JSON itself.

Small models follow a shape; shown a schema, they answer with the schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from freeproviders.wire.json import dumps

MAX_DEPTH: Final = 8
"""Deeper, and in a recursive schema that has been written out, the shape says "..."."""

_FORMATS: Final[Mapping[str, str]] = {
    "date": '"YYYY-MM-DD"',
    "date-time": '"YYYY-MM-DDThh:mm:ssZ"',
    "time": '"hh:mm:ss"',
    "email": '"name@host"',
    "uri": '"https://..."',
    "uuid": '"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"',
}
_NAMES: Final = ("string", "integer", "number", "boolean", "null")


def sketch(schema: Mapping[str, Any] | bool, depth: int = 0) -> str:
    """Write a schema without references as `{"name": string, "email"?: string}`."""
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return "..." if depth > MAX_DEPTH else "any"
    if "const" in schema:
        return dumps(schema["const"]).decode()
    if "enum" in schema:
        return " | ".join(dumps(value).decode() for value in schema["enum"])
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return " | ".join(dict.fromkeys(sketch(branch, depth) for branch in branches))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(sketch({**schema, "type": name}, depth) for name in kind)
    if kind == "object" or "properties" in schema:
        return _object(schema, depth)
    if kind == "array" or "items" in schema:
        return f"[{sketch(schema.get('items', True), depth + 1)}, ...]"
    if kind == "string":
        return _FORMATS.get(schema.get("format", ""), "string")
    return kind if kind in _NAMES else "any"


def _object(schema: Mapping[str, Any], depth: int) -> str:
    required = schema.get("required") or ()
    members = [
        f"{dumps(name).decode()}{'' if name in required else '?'}: {sketch(part, depth + 1)}"
        for name, part in (schema.get("properties") or {}).items()
    ]
    rest = schema.get("additionalProperties")
    if rest and not members:
        members.append(f'"<name>": {sketch(rest, depth + 1)}, ...')
    return "{" + ", ".join(members) + "}"
