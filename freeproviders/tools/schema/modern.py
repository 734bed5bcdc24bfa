"""Older ways to write a schema, read as the present one: drafts 3 and 4, OpenAPI 3.0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from freeproviders.tools.schema.coerce import required_keys

MAPS: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
PARTS: Final = frozenset(
    {"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"}
)
TYPES: Final = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_LIMITS: Final = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}


def modern(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write a schema as the present draft has it.

    `nullable` becomes a type, exclusive limits become numbers, `required` a list of keys; types
    that do not exist (`any`) go.

    One that names its draft in `$schema` is left to that draft; one that has nothing of the kind
    comes back itself.
    """
    if "$schema" in schema:
        return schema
    out = _modern(schema)
    return schema if out == schema else out


def _modern(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    out = {key: _inside(key, part) for key, part in schema.items()}
    for exclusive, plain in _LIMITS.items():
        if isinstance(out.get(exclusive), bool) and out.pop(exclusive) and plain in out:
            out[exclusive] = out.pop(plain)
    if isinstance(out.get("required"), bool):
        del out["required"]  # draft 3 has it in the property; below it is moved to where it belongs
    properties = schema.get("properties")
    needed = (
        [
            key
            for key, part in properties.items()
            if isinstance(part, Mapping) and part.get("required") is True
        ]
        if isinstance(properties, Mapping)
        else []
    )
    if needed:
        out["required"] = [*required_keys(out), *needed]
    if isinstance(out.get("type"), str) and out["type"] not in TYPES:
        del out["type"]
    if out.pop("nullable", None) is True and isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
        if isinstance(out.get("enum"), list) and None not in out["enum"]:
            out["enum"] = [*out["enum"], None]
    return out


def _inside(key: str, part: Any) -> Any:
    if key in MAPS and isinstance(part, Mapping):
        return {name: _modern(inner) for name, inner in part.items()}
    if key in LISTS and isinstance(part, list):
        return [_modern(inner) for inner in part]
    return _modern(part) if key in PARTS else part
