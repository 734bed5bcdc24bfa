"""JSON schemas as services are sent them: as they are, in OpenAI's strict form, as a grammar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from freeproviders.tools.schema.coerce import is_type, required_keys, resolve, resolved
from freeproviders.tools.schema.modern import LISTS, MAPS, PARTS, modern
from freeproviders.tools.toolbox import parameters
from freeproviders.types import Tool

MAX_GRAMMAR_REPEATS: Final = 500
"""The largest repetition that llama.cpp's grammars are given.

They refuse counts in the thousands (measured: 1999 items with limits of their own).
"""
_UNIONS: Final = ("anyOf", "oneOf", "allOf")
_DEFINITIONS: Final = frozenset({"$defs", "definitions"})
_STRICT_KEYWORDS: Final = (
    "type",
    "title",
    "description",
    "enum",
    "const",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
)
"""What OpenAI's strict mode takes as it is, beside `format` with one of `_STRICT_FORMATS`."""
_STRICT_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
_MAX_STRICT_DEPTH: Final = 10
_SIMPLE: Final = frozenset({"string", "integer", "number", "boolean"})
_GRAMMAR_KEYWORDS: Final = (
    "type",
    "enum",
    "const",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
)
_GRAMMAR_LIMITS: Final = ("minLength", "maxLength", "minItems", "maxItems")


def response_format(name: str, schema: Mapping[str, Any], *, strict: bool = True) -> dict[str, Any]:
    """Write the OpenAI setting that constrains an answer to a schema.

    With `strict`, and where the schema has a strict form, that form is sent and said to be strict.
    Else the schema goes out as it is.
    """
    safe = "".join(char if char.isalnum() or char in "_-" else "_" for char in name)[:64] or "answer"
    form = strict_form(schema) if strict else None
    named: dict[str, Any] = {"name": safe, "schema": modern(schema) if form is None else form}
    if form is not None:
        named["strict"] = True
    return {"type": "json_schema", "json_schema": named}


def call_schema(tools: Sequence[Tool]) -> dict[str, Any]:
    """Write the schema of one call to any of some tools.

    There is no branch for an answer in words: with one, small models never call.
    """
    branches: list[dict[str, Any]] = []
    definitions: dict[str, Any] = {}
    for number, tool in enumerate(tools):
        schema = modern(object_schema(tool))
        # Definitions of the same name in two tools must not meet.
        writer = _Writer(schema, prefix=f"tool{number}_")
        arguments = writer.write(schema)
        definitions.update(writer.definitions)
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


def strict_tool(tool: Tool) -> Tool:
    """Write a tool that is said to be strict in the strict form; not strict where it has none."""
    if not tool.strict:
        return tool
    form = strict_form(object_schema(tool))
    return replace(tool, strict=None) if form is None else replace(tool, parameters=form)


def strict_form(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Write a schema as OpenAI's strict mode wants it; None where it cannot be said so.

    All keys are required, those that may be left out may be null; objects are closed; keywords that
    strict mode refuses are left out. A schema that limits the length of texts has no strict form,
    since the limit would be lost. What comes back is checked by the schema itself.
    """
    schema = modern(schema)
    root = resolved(schema, schema)
    if root.get("type") != "object" or root.keys() & set(_UNIONS):
        return None
    writer = _StrictWriter(schema)
    try:
        out = writer.write(root)
    except _NoStrictFormError:
        return None
    return {**out, "$defs": writer.definitions} if writer.definitions else out


def grammar_form(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Write a schema for an engine that makes a grammar of it, as llama.cpp does.

    Objects are closed. What a grammar cannot say is left out, limits above `MAX_GRAMMAR_REPEATS`
    among them; what comes back is checked by the schema itself.
    """
    schema = modern(schema)
    writer = _GrammarWriter(schema)
    out = writer.write(schema)
    return {**out, "$defs": writer.definitions} if writer.definitions else out


class _Writer:
    """Writes a schema again as it is; what it refers to is in `definitions`, named with a prefix."""

    def __init__(self, root: Mapping[str, Any], prefix: str = "") -> None:
        self._root = root
        self._prefix = prefix
        self._names: dict[str, str] = {}
        self.definitions: dict[str, Any] = {}

    def write(self, schema: Any) -> Any:
        """Write a part of the schema."""
        if not isinstance(schema, Mapping):
            return schema
        out: dict[str, Any] = {}
        for key, part in schema.items():
            if key == "$ref":
                out.update(self._reference(str(part)))
            elif key in MAPS and isinstance(part, Mapping):
                if key not in _DEFINITIONS:
                    out[key] = {name: self.write(inner) for name, inner in part.items()}
            elif key in LISTS and isinstance(part, list):
                out[key] = [self.write(inner) for inner in part]
            else:
                out[key] = self.write(part) if key in PARTS else part
        return out

    def _reference(self, reference: str) -> dict[str, Any]:
        """Turn a reference into one to a definition.

        Engines know no other, and inside a larger schema `#` would mean that one.
        """
        name = self._names.get(reference)
        if name is None:
            name = self._prefix + _identifier(reference)
            while name in self.definitions:
                name += "_"
            self._names[reference] = name
            self.definitions[name] = {}  # taken, while what it refers to may refer to it
            self.definitions[name] = self.write(resolve(reference, self._root))
        return {"$ref": f"#/$defs/{name}"}


def _identifier(reference: str) -> str:
    last = reference.rpartition("/")[2].strip("#")
    return "".join(char if char.isalnum() or char == "_" else "_" for char in last) or "root"


class _NoStrictFormError(Exception):
    """The schema says something that strict mode has no words for."""


class _StrictWriter(_Writer):
    """Writes a schema in the strict form; raises `_NoStrictFormError` where it has none."""

    _depth = 0

    def write(self, schema: Any) -> dict[str, Any]:
        """Write a part of the schema."""
        self._depth += 1
        if not isinstance(schema, Mapping) or self._depth > _MAX_STRICT_DEPTH:
            raise _NoStrictFormError
        try:
            return self._written(schema)
        finally:
            self._depth -= 1

    def _written(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        if "$ref" in schema:
            reference = str(schema["$ref"])
            if not resolve(reference, self._root):
                raise _NoStrictFormError
            depth, self._depth = self._depth, 0
            try:
                return self._reference(reference)
            finally:
                self._depth = depth
        every = schema.get("allOf")
        if every is not None:
            if not isinstance(every, list) or len(every) != 1 or not isinstance(every[0], Mapping):
                raise _NoStrictFormError
            beside = {key: part for key, part in schema.items() if key != "allOf"}
            return self._written({**every[0], **beside} if "$ref" not in every[0] else every[0])
        if schema.keys() & {"minLength", "maxLength", "patternProperties", "prefixItems"}:
            raise _NoStrictFormError
        out = {key: schema[key] for key in _STRICT_KEYWORDS if key in schema}
        if schema.get("format") in _STRICT_FORMATS:
            out["format"] = schema["format"]
        if "(?" in str(out.get("pattern", "")):
            del out["pattern"]  # looking around is not taken
        union = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(union, list):
            out["anyOf"] = [self.write(part) for part in union]
        elif "type" not in out:
            out["type"] = _type_of_choices(schema)
        types = out.get("type")
        names = [types] if isinstance(types, str) else types or ()
        if "object" in names:
            self._object(schema, out)
        if "array" in names:
            out["items"] = self.write(schema.get("items"))
        return out

    def _object(self, schema: Mapping[str, Any], out: dict[str, Any]) -> None:
        known = schema.get("properties")
        if schema.get("additionalProperties") not in (None, False) or not isinstance(known, Mapping):
            raise _NoStrictFormError  # keys that the schema does not name
        needed = required_keys(schema)
        if not known.keys() >= set(needed):
            raise _NoStrictFormError
        out["properties"] = {
            name: self.write(part) if name in needed else _nullable(self.write(part), part, self._root)
            for name, part in known.items()
        }
        out["required"] = list(known)
        out["additionalProperties"] = False


def _type_of_choices(schema: Mapping[str, Any]) -> str:
    """Name the one type of an enumeration or a constant that names none itself."""
    choices = schema.get("enum", [schema["const"]] if "const" in schema else [])
    found = {name for choice in choices for name in ("string", "integer", "boolean") if is_type(choice, name)}
    if len(found) != 1 or not all(is_type(choice, *found) for choice in choices):
        raise _NoStrictFormError
    return found.pop()


def _nullable(written: dict[str, Any], schema: Any, root: Mapping[str, Any]) -> dict[str, Any]:
    """Let a part of the strict form be null, unless the schema itself does."""
    if _takes_null(schema, root):
        return written
    if (
        isinstance(written.get("type"), str)
        and written["type"] in _SIMPLE
        and not (written.keys() & {"enum", "const", "anyOf"})
    ):
        return {**written, "type": [written["type"], "null"]}
    return {"anyOf": [written, {"type": "null"}]}


def _takes_null(schema: Any, root: Mapping[str, Any]) -> bool:
    if not isinstance(schema, Mapping):
        return False
    schema = resolved(schema, root)
    union = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(union, list):
        return any(_takes_null(part, root) for part in union)
    types = schema.get("type")
    return "null" in ([types] if isinstance(types, str) else types or ()) and (
        "enum" not in schema or None in schema["enum"]
    )


class _GrammarWriter(_Writer):
    """Writes a schema for llama.cpp's grammars."""

    def write(self, schema: Any, *, closed: bool = True) -> dict[str, Any]:
        """Write a part; `closed` objects have the keys that they name and no others."""
        if not isinstance(schema, Mapping):
            return {}
        if "$ref" in schema:
            return self._reference(str(schema["$ref"]))
        out = {key: schema[key] for key in _GRAMMAR_KEYWORDS if key in schema}
        pattern = schema.get("pattern")
        if isinstance(pattern, str) and pattern.startswith("^") and pattern.endswith("$"):
            out["pattern"] = pattern  # any other is refused
        for key in _GRAMMAR_LIMITS:
            limit = schema.get(key)
            if isinstance(limit, int) and limit <= MAX_GRAMMAR_REPEATS:
                out[key] = limit
        for key in _UNIONS:
            if isinstance(schema.get(key), list):
                out["anyOf" if key == "oneOf" else key] = [
                    self.write(part, closed=closed and key != "allOf") for part in schema[key]
                ]
        self._object(schema, out, closed=closed and not schema.keys() & set(_UNIONS))
        if "items" in schema:
            out["items"] = self.write(schema["items"])
        if isinstance(schema.get("prefixItems"), list):
            out["prefixItems"] = [self.write(part) for part in schema["prefixItems"]]
        return out

    def _object(self, schema: Mapping[str, Any], out: dict[str, Any], *, closed: bool) -> None:
        rest = schema.get("additionalProperties")
        if isinstance(schema.get("properties"), Mapping):
            out["properties"] = {name: self.write(part) for name, part in schema["properties"].items()}
            out["required"] = list(required_keys(schema))
            if closed and not isinstance(rest, Mapping):
                out["additionalProperties"] = False
        if isinstance(rest, Mapping):
            out["additionalProperties"] = self.write(rest)
