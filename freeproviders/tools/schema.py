"""JSON schemas, made small for a prompt or fit for constrained decoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from freeproviders.tools.coerce import resolve
from freeproviders.types import Tool

MAX_NODES: Final = 2000
"""References are written out; a schema that grows past this is cut."""
MAX_RECURSION: Final = 1
"""How often a definition is written out inside itself."""
MAX_STRING_CHARS: Final = 500
"""Under constrained decoding a small model never closes a string that has no limit; engines refuse limits in the thousands."""
MAX_ITEMS: Final = 20

_KEPT: Final = (
    "type",
    "description",
    "enum",
    "const",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
)
_UNIONS: Final = ("anyOf", "oneOf", "allOf")


def pruned(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What a model needs of a schema: types, descriptions and limits, references written out; no titles, defaults and other keywords."""
    return _Pruner(schema).prune(schema)


def constrained(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema for constrained decoding: strings and lists limited, objects closed, references kept where the schema is recursive."""
    out = _constrain(schema)
    definitions = {name: _constrain(part) for key in ("$defs", "definitions") for name, part in (schema.get(key) or {}).items()}
    if definitions:
        out["$defs"] = definitions
    return out


def call_schema(tools: Sequence[Tool]) -> dict[str, Any]:
    """The schema of one call to any of some tools. There is no branch for an answer in words: with one, small models never call."""
    branches: list[dict[str, Any]] = []
    definitions: dict[str, Any] = {}
    for number, tool in enumerate(tools):
        arguments = constrained({"type": "object", "properties": {}, **tool.parameters})
        own = arguments.pop("$defs", {})
        if own:  # definitions of the same name in two tools must not meet
            arguments = _renamed(arguments, f"tool{number}_")
            definitions.update({f"tool{number}_{name}": _renamed(part, f"tool{number}_") for name, part in own.items()})
        branches.append(
            {
                "type": "object",
                "properties": {"name": {"type": "string", "enum": [tool.name]}, "arguments": arguments},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    out = branches[0] if len(branches) == 1 else {"anyOf": branches}
    return {**out, "$defs": definitions} if definitions else out


def response_format(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The OpenAI setting that constrains an answer to a schema."""
    safe = "".join(char if char.isalnum() or char in "_-" else "_" for char in name)[:64] or "answer"
    return {"type": "json_schema", "json_schema": {"name": safe, "schema": schema, "strict": True}}


class _Pruner:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._nodes = 0

    def prune(self, schema: Any, open_refs: tuple[str, ...] = ()) -> dict[str, Any]:  # noqa: ANN401 - whatever stands in a schema
        self._nodes += 1
        if not isinstance(schema, Mapping) or self._nodes > MAX_NODES:
            return {}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            target = resolve(reference, self._root)
            if open_refs.count(reference) > MAX_RECURSION:
                return {key: target[key] for key in ("type",) if key in target}
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            return self.prune({**target, **beside}, (*open_refs, reference))
        out = {key: schema[key] for key in _KEPT if key in schema}
        if out.get("description") == "":
            del out["description"]
        for key in _UNIONS:
            if isinstance(schema.get(key), list):
                self._union(out, key, [self.prune(part, open_refs) for part in schema[key]])
        if isinstance(schema.get("properties"), Mapping):
            out["properties"] = {name: self.prune(part, open_refs) for name, part in schema["properties"].items()}
            if schema.get("required"):
                out["required"] = list(schema["required"])
        if "items" in schema:
            out["items"] = self.prune(schema["items"], open_refs)
        if isinstance(schema.get("prefixItems"), list):
            out["prefixItems"] = [self.prune(part, open_refs) for part in schema["prefixItems"]]
        if isinstance(schema.get("additionalProperties"), Mapping):
            out["additionalProperties"] = self.prune(schema["additionalProperties"], open_refs)
        return out

    def _union(self, out: dict[str, Any], key: str, parts: list[dict[str, Any]]) -> None:
        """A union of one, or with null beside one other, is written as the shorter form."""
        others = [part for part in parts if part != {"type": "null"}]
        if len(others) == 1 and (len(parts) == 1 or isinstance(others[0].get("type"), str)):
            only = dict(others[0])
            if len(parts) > 1:
                only["type"] = [only["type"], "null"]
                if "enum" in only:
                    only["enum"] = [*only["enum"], None]
            for name, value in only.items():
                out.setdefault(name, value)
        else:
            out[key] = parts


def _constrain(schema: Any) -> dict[str, Any]:  # noqa: ANN401
    if not isinstance(schema, Mapping):
        return {}
    if "$ref" in schema:
        return {"$ref": str(schema["$ref"]).replace("#/definitions/", "#/$defs/")}
    out = {key: schema[key] for key in _KEPT if key in schema and key not in {"description", "pattern", "uniqueItems", "multipleOf"}}
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and pattern.startswith("^") and pattern.endswith("$"):
        out["pattern"] = pattern  # engines refuse any other
    types = schema.get("type")
    names = [types] if isinstance(types, str) else list(types or ())
    if "string" in names and not out.keys() & {"enum", "const", "format", "pattern"}:
        out["maxLength"] = max(min(schema.get("maxLength", MAX_STRING_CHARS), MAX_STRING_CHARS), schema.get("minLength", 0))
    for key in _UNIONS:
        if isinstance(schema.get(key), list):
            out["anyOf" if key == "oneOf" else key] = [_constrain(part) for part in schema[key]]
    if isinstance(schema.get("properties"), Mapping):
        out["properties"] = {name: _constrain(part) for name, part in schema["properties"].items()}
        out["required"] = list(schema.get("required") or ())
        out["additionalProperties"] = _constrain(schema["additionalProperties"]) if isinstance(schema.get("additionalProperties"), Mapping) else False
    elif isinstance(schema.get("additionalProperties"), Mapping):
        out["additionalProperties"] = _constrain(schema["additionalProperties"])
    if "items" in schema:
        out["items"] = _constrain(schema["items"])
    if isinstance(schema.get("prefixItems"), list):
        out["prefixItems"] = [_constrain(part) for part in schema["prefixItems"]]
    elif "array" in names:
        out["maxItems"] = max(min(schema.get("maxItems", MAX_ITEMS), MAX_ITEMS), schema.get("minItems", 0))
    return out


def _renamed(schema: Any, prefix: str) -> Any:  # noqa: ANN401
    if isinstance(schema, Mapping):
        return {
            key: value.replace("#/$defs/", f"#/$defs/{prefix}") if key == "$ref" and isinstance(value, str) else _renamed(value, prefix)
            for key, value in schema.items()
        }
    return [_renamed(item, prefix) for item in schema] if isinstance(schema, list) else schema
