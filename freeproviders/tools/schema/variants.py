"""JSON schemas, made small for a prompt or fit for constrained decoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from freeproviders.tools.schema.coerce import required_keys, resolve
from freeproviders.tools.schema.modern import modern
from freeproviders.tools.toolbox import parameters
from freeproviders.types import Tool

MAX_NODES: Final = 2000
"""References are written out; a schema that grows past this is cut."""
MAX_RECURSION: Final = 1
"""How often a definition is written out inside itself."""
MAX_STRING_CHARS: Final = 500
"""Under constrained decoding a small model never closes a string that has no limit.

Engines refuse limits in the thousands.
"""
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
    """Reduce a schema to what a model needs: types, descriptions, limits, references written out.

    Titles, defaults and other keywords go.
    """
    schema = modern(schema)
    return _Pruner(schema).prune(schema)


def constrained(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Write a schema for constrained decoding: strings and lists limited, objects closed.

    References are kept where the schema is recursive.
    """
    schema = modern(schema)
    constrainer = _Constrainer(schema)
    out = constrainer.constrain(schema)
    return {**out, "$defs": constrainer.definitions} if constrainer.definitions else out


def call_schema(tools: Sequence[Tool]) -> dict[str, Any]:
    """Write the schema of one call to any of some tools.

    There is no branch for an answer in words: with one, small models never call.
    """
    branches: list[dict[str, Any]] = []
    definitions: dict[str, Any] = {}
    for number, tool in enumerate(tools):
        schema = modern(object_schema(tool))
        constrainer = _Constrainer(
            schema, prefix=f"tool{number}_"
        )  # definitions of the same name in two tools must not meet
        arguments = constrainer.constrain(schema)
        definitions.update(constrainer.definitions)
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


def object_schema(tool: Tool) -> Mapping[str, Any]:
    """Complete the schema of a tool's arguments where an object without properties is meant."""
    schema = parameters(tool)
    return {"type": "object", **({} if schema.keys() & set(_UNIONS) else {"properties": {}}), **schema}


def response_format(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The OpenAI setting that constrains an answer to a schema."""
    safe = "".join(char if char.isalnum() or char in "_-" else "_" for char in name)[:64] or "answer"
    return {"type": "json_schema", "json_schema": {"name": safe, "schema": schema, "strict": True}}


class _Pruner:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._nodes = 0

    def prune(self, schema: Any, open_refs: tuple[str, ...] = ()) -> dict[str, Any]:
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
            out["properties"] = {
                name: self.prune(part, open_refs) for name, part in schema["properties"].items()
            }
            if required_keys(schema):
                out["required"] = list(required_keys(schema))
        if isinstance(schema.get("patternProperties"), Mapping):
            out["patternProperties"] = {
                pattern: self.prune(part, open_refs) for pattern, part in schema["patternProperties"].items()
            }
        if "items" in schema:
            out["items"] = self.prune(schema["items"], open_refs)
        if isinstance(schema.get("prefixItems"), list):
            out["prefixItems"] = [self.prune(part, open_refs) for part in schema["prefixItems"]]
        if isinstance(schema.get("additionalProperties"), Mapping):
            out["additionalProperties"] = self.prune(schema["additionalProperties"], open_refs)
        return out

    def _union(self, out: dict[str, Any], key: str, parts: list[dict[str, Any]]) -> None:
        """Write a union of one, or of null and one other, in the shorter form."""
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


class _Constrainer:
    """Constrains a schema; what it refers to is in `definitions`, under names with a prefix."""

    def __init__(self, root: Mapping[str, Any], prefix: str = "") -> None:
        self._root = root
        self._prefix = prefix
        self._names: dict[str, str] = {}
        self.definitions: dict[str, Any] = {}

    def constrain(self, schema: Any, *, closed: bool = True) -> dict[str, Any]:
        """A part of the schema; `closed` objects have the keys that they name and no others."""
        if not isinstance(schema, Mapping):
            return {}
        if "$ref" in schema:
            return self._reference(str(schema["$ref"]))
        out = {
            key: schema[key]
            for key in _KEPT
            if key in schema and key not in {"description", "pattern", "uniqueItems", "multipleOf"}
        }
        pattern = schema.get("pattern")
        if isinstance(pattern, str) and pattern.startswith("^") and pattern.endswith("$"):
            out["pattern"] = pattern  # engines refuse any other
        types = schema.get("type")
        names = [types] if isinstance(types, str) else list(types or ())
        if "string" in names and not out.keys() & {"enum", "const", "format", "pattern"}:
            out["maxLength"] = _limit(schema, "maxLength", "minLength", MAX_STRING_CHARS)
        for key in _UNIONS:
            if isinstance(schema.get(key), list):
                out["anyOf" if key == "oneOf" else key] = [
                    self.constrain(part, closed=closed and key != "allOf") for part in schema[key]
                ]
        self._object(schema, out, closed=closed and not schema.keys() & set(_UNIONS))
        if "items" in schema:
            out["items"] = self.constrain(schema["items"])
        if isinstance(schema.get("prefixItems"), list):
            out["prefixItems"] = [self.constrain(part) for part in schema["prefixItems"]]
        elif "array" in names:
            out["maxItems"] = _limit(schema, "maxItems", "minItems", MAX_ITEMS)
        return out

    def _object(self, schema: Mapping[str, Any], out: dict[str, Any], *, closed: bool) -> None:
        rest = schema.get("additionalProperties")
        if isinstance(schema.get("properties"), Mapping):
            out["properties"] = {name: self.constrain(part) for name, part in schema["properties"].items()}
            out["required"] = list(required_keys(schema))
            if closed and not isinstance(rest, Mapping):
                out["additionalProperties"] = False
        if isinstance(rest, Mapping):
            out["additionalProperties"] = self.constrain(rest)

    def _reference(self, reference: str) -> dict[str, Any]:
        """Turn a reference into one to a definition.

        Engines know no other, and inside a larger schema `#` would mean that one.
        """
        name = self._names.get(reference)
        if name is None:
            safe = (
                "".join(
                    char if char.isalnum() or char == "_" else "_"
                    for char in reference.rpartition("/")[2].strip("#")
                )
                or "root"
            )
            name = self._prefix + safe
            while name in self.definitions:
                name += "_"
            self._names[reference] = name
            self.definitions[name] = {}  # taken, while what it refers to may refer to it
            self.definitions[name] = self.constrain(resolve(reference, self._root))
        return {"$ref": f"#/$defs/{name}"}


def _limit(schema: Mapping[str, Any], most: str, least: str, default: int) -> int:
    given, floor = schema.get(most), schema.get(least)
    return max(
        min(given, default) if isinstance(given, int) else default, floor if isinstance(floor, int) else 0
    )
