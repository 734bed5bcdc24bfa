"""Bending of a value towards a JSON schema, where its meaning is plain."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import unquote

from freeproviders.tools.read.lenient import read_json

Fits = Callable[[Any, Mapping[str, Any]], bool]
"""Whether a value is valid under a schema."""

MAX_DEPTH: Final = 64
"""A recursive schema ends somewhere."""
_MAX_REFERENCES: Final = 8

_SEPARATORS = re.compile(r"(?<=[^\W\d_])[\s_.\-]+(?=\w)|(?<=\d)[\s_.\-]+(?=[^\W\d_])")
"""What stands between words. Between digits it is a part of a number."""

_TRUE: Final = frozenset({"true", "yes", "1", "on"})
_FALSE: Final = frozenset({"false", "no", "0", "off"})
_NULL: Final = frozenset({"null", "none", ""})
_UNCHANGED: Final = object()


class Coercer:
    """Coerces one value. The verdict on it is the validator's.

    `root` is the document in which `$ref`s are looked up, `fits` judges the branches of a union.
    What was found for a part of the value under a part of the schema is remembered: unions inside
    unions would take exponential time.
    """

    def __init__(self, root: Mapping[str, Any], fits: Fits) -> None:
        self._root = root
        self._fits = fits
        self._known: dict[
            tuple[int, int], tuple[Any, Any, Any]
        ] = {}  # with the value and the schema, so that their ids stay theirs

    def coerce(self, value: Any, schema: object, depth: int = 0) -> Any:
        """The value, bent towards the schema as far as its meaning allows."""
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
            return value
        known = self._known.get((id(value), id(schema)))
        if known is None:
            known = self._known[id(value), id(schema)] = value, schema, self._coerced(value, schema, depth)
        return known[2]

    def _coerced(self, value: Any, schema: Mapping[str, Any], depth: int) -> Any:
        if "$ref" in schema:
            target = resolve(schema["$ref"], self._root)
            beside = {key: part for key, part in schema.items() if key != "$ref"}
            return self.coerce(value, {**target, **beside} if beside else target, depth + 1)
        for part in schema.get("allOf") or ():
            value = self.coerce(value, part, depth + 1)
        branches = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(branches, Sequence):
            value = self._union(value, branches, depth)
        if "enum" in schema or "const" in schema:
            return _choice(value, schema["enum"] if "enum" in schema else [schema["const"]])
        types = schema.get("type")
        names = [name for name in ([types] if isinstance(types, str) else types or ()) if name in _CONVERT]
        if not names:
            names = ["object"] if "properties" in schema else ["array"] if "items" in schema else []
        if not names or any(is_type(value, name) for name in names):
            return self._inside(value, schema, depth)
        for name in sorted(names, key=_ORDER.index):
            converted = _CONVERT[name](value)
            if converted is not _UNCHANGED:
                return self._inside(converted, schema, depth)
        return value

    def _union(self, value: Any, branches: Sequence[Any], depth: int) -> Any:
        if any(self._fits(value, branch) for branch in branches):
            return value
        found = [
            converted
            for branch in branches
            if self._fits(converted := self.coerce(value, branch, depth + 1), branch)
        ]
        # "1" may be a truth value as well, but only where nothing else could be meant
        return next((item for item in found if not isinstance(item, bool)), found[0] if found else value)

    def _inside(self, value: Any, schema: Mapping[str, Any], depth: int) -> Any:
        if isinstance(value, Mapping):
            return self._object(value, schema, depth)
        if isinstance(value, list) and "items" in schema:
            return [self.coerce(item, schema["items"], depth + 1) for item in value]
        return value

    def _object(self, value: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        known = schema.get("properties") or {}
        required = required_keys(schema)
        out: dict[str, Any] = {}
        for key, item in renamed(value, known).items():
            if key not in known:
                out[key] = self.coerce(item, _rest(schema, key), depth + 1)
                continue
            converted = self.coerce(item, known[key], depth + 1)
            if converted is None and key not in required and not self._fits(None, known[key]):
                continue  # null for what may be left out
            out[key] = converted
        return out


def resolve(reference: object, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Look up a `$ref` inside its own document; an empty schema where it leads elsewhere."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return {}
    node: Any = root
    for step in unquote(reference).split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        elif isinstance(node, Mapping):
            node = node.get(key)
        else:
            return {}
    return node if isinstance(node, Mapping) else {}


def resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema without the `$ref` that it begins with."""
    for _ in range(_MAX_REFERENCES):
        if "$ref" not in schema:
            break
        schema = resolve(schema["$ref"], root)
    return schema


def required_keys(schema: Mapping[str, Any]) -> Sequence[str]:
    """List the keys that a schema requires.

    The `true` that old drafts have inside a property says nothing about the property's own keys.
    """
    required = schema.get("required")
    return required if isinstance(required, list | tuple) else ()


def same_name(a: str, b: str) -> bool:
    """Return whether two names differ in nothing but case and the separators between words.

    A sign or a point of a number is no separator. Behind a name, `?` marks what is optional.
    """
    return _letters(a) == _letters(b) != ""


def _letters(name: str) -> str:
    return _SEPARATORS.sub("", name.strip().removesuffix("?")).casefold()


def _rest(schema: Mapping[str, Any], key: str) -> object:
    """The schema of a key that `properties` does not name."""
    patterns = schema.get("patternProperties")
    for pattern, part in patterns.items() if isinstance(patterns, Mapping) else ():
        try:
            if re.search(pattern, key):
                return part
        except re.error:
            continue
    return schema.get("additionalProperties")


def renamed(value: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The value with keys as a schema has them: `City` is `city` if there is no doubt."""
    return {_known_key(key, known, value): item for key, item in value.items()}


def _known_key(given: str, known: Mapping[str, Any], value: Mapping[str, Any]) -> str:
    if given in known:
        return given
    candidates = [key for key in known if same_name(key, given) and key not in value]
    others = [key for key in value if key not in known and same_name(key, given)]
    return candidates[0] if len(candidates) == len(others) == 1 else given


def _choice(value: Any, choices: Sequence[Any]) -> Any:
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return value
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    found = [choice for choice in choices if _means(value, choice)]
    return found[0] if len(found) == 1 else value


def _means(value: Any, choice: Any) -> bool:
    """Return whether a value is a choice, otherwise written: `Celsius` for "celsius", "3" for 3."""
    match choice:
        case str():
            return isinstance(value, str | int | float) and same_name(choice, str(value))
        case bool():
            return _to_boolean(value) is choice
        case int() | float():
            return bool(_to_number(value) == choice)
    return choice is None and _to_null(value) is None


def is_type(value: object, name: str) -> bool:
    """Return whether a value is of a JSON schema's type."""
    match name:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, Mapping)
    return name == "null" and value is None


def _to_string(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    return str(value) if isinstance(value, int | float) else _UNCHANGED


def _to_integer(value: Any) -> Any:
    number = _to_number(value)
    if isinstance(number, int):
        return number
    if not isinstance(number, float) or not number.is_integer():
        return _UNCHANGED
    try:
        # A float holds 53 bits.
        return int(Decimal(value.strip())) if isinstance(value, str) else int(number)
    except InvalidOperation:
        return int(number)


def _to_number(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool):
        return _UNCHANGED
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str) or len(value) > 64:
        return _UNCHANGED
    for convert in (int, float):
        try:
            number = convert(value.strip())
        except ValueError:
            continue
        return number if number - number == 0 else _UNCHANGED  # neither NaN nor infinity
    return _UNCHANGED


def _to_boolean(value: Any) -> Any:
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    return True if word in _TRUE else False if word in _FALSE else _UNCHANGED


def _to_null(value: Any) -> Any:
    return None if isinstance(value, str) and value.strip().lower() in _NULL else _UNCHANGED


def _to_array(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            parsed = read_json(value, guess=False)
        except ValueError:
            return [value]
        return parsed if isinstance(parsed, list) else [value]
    return _UNCHANGED if value is None else [value]


def _to_object(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        return value[0]
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            parsed = read_json(value, guess=False)
        except ValueError:
            return _UNCHANGED
        return parsed if isinstance(parsed, Mapping) else _UNCHANGED
    return _UNCHANGED


_CONVERT: Final[Mapping[str, Callable[[Any], Any]]] = {
    "null": _to_null,
    "integer": _to_integer,
    "number": _to_number,
    "boolean": _to_boolean,
    "object": _to_object,
    "array": _to_array,
    "string": _to_string,
}
_ORDER: Final = tuple(_CONVERT)
