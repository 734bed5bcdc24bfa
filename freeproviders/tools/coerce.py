"""Bend a value towards a JSON schema: what a model plainly meant, written as it should be. The verdict is the validator's, not ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from freeproviders.tools.lenient import read_json

Fits = Callable[[Any, Mapping[str, Any]], bool]
"""Whether a value is valid under a schema."""

MAX_DEPTH: Final = 32
"""A recursive schema ends somewhere."""

_TRUE: Final = frozenset({"true", "yes", "1", "on"})
_FALSE: Final = frozenset({"false", "no", "0", "off"})
_NULL: Final = frozenset({"null", "none", ""})
_UNCHANGED: Final = object()


class Coercer:
    """Coerces values; `root` is the document in which `$ref`s are looked up, `fits` judges the branches of a union."""

    def __init__(self, root: Mapping[str, Any], fits: Fits) -> None:
        self._root = root
        self._fits = fits

    def coerce(self, value: Any, schema: object, depth: int = 0) -> Any:  # noqa: ANN401 - any JSON value
        """The value, bent towards the schema as far as its meaning allows."""
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
            return value
        if "$ref" in schema:
            return self.coerce(value, {**resolve(schema["$ref"], self._root), **{k: v for k, v in schema.items() if k != "$ref"}}, depth + 1)
        for part in schema.get("allOf") or ():
            value = self.coerce(value, part, depth + 1)
        branches = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(branches, Sequence):
            value = self._union(value, branches, depth)
        if "enum" in schema or "const" in schema:
            return _choice(value, schema["enum"] if "enum" in schema else [schema["const"]])
        types = schema.get("type")
        names = [types] if isinstance(types, str) else list(types or ())
        if not names:
            names = ["object"] if "properties" in schema else ["array"] if "items" in schema else []
        if not names or any(is_type(value, name) for name in names):
            return self._inside(value, schema, depth)
        for name in sorted(names, key=_ORDER.index):
            converted = _CONVERT[name](value)
            if converted is not _UNCHANGED:
                return self._inside(converted, schema, depth)
        return value

    def _union(self, value: Any, branches: Sequence[Any], depth: int) -> Any:  # noqa: ANN401
        if any(self._fits(value, branch) for branch in branches):
            return value
        for branch in branches:
            converted = self.coerce(value, branch, depth + 1)
            if self._fits(converted, branch):
                return converted
        return value

    def _inside(self, value: Any, schema: Mapping[str, Any], depth: int) -> Any:  # noqa: ANN401
        if isinstance(value, Mapping):
            return self._object(value, schema, depth)
        if isinstance(value, list) and "items" in schema:
            return [self.coerce(item, schema["items"], depth + 1) for item in value]
        return value

    def _object(self, value: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        known = schema.get("properties") or {}
        required = schema.get("required") or ()
        rest = schema.get("additionalProperties")
        out: dict[str, Any] = {}
        for given, item in value.items():
            key = _renamed(given, known, value)
            if key not in known:
                out[key] = self.coerce(item, rest, depth + 1) if isinstance(rest, Mapping) else item
                continue
            converted = self.coerce(item, known[key], depth + 1)
            if converted is None and key not in required and not self._fits(None, known[key]):
                continue  # null for what may be left out
            out[key] = converted
        return out


def resolve(reference: object, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Look up a `$ref` inside its own document; an empty schema where it leads elsewhere."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return {}
    node: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        elif isinstance(node, Mapping):
            node = node.get(key)
        else:
            return {}
    return node if isinstance(node, Mapping) else {}


def same_name(a: str, b: str) -> bool:
    """Whether two keys differ in case and separators only."""
    return _letters(a) == _letters(b) != ""


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _renamed(given: str, known: Mapping[str, Any], value: Mapping[str, Any]) -> str:
    """`City` is `city` if there is no doubt."""
    if given in known:
        return given
    candidates = [key for key in known if same_name(key, given) and key not in value]
    return candidates[0] if len(candidates) == 1 else given


def _choice(value: Any, choices: Sequence[Any]) -> Any:  # noqa: ANN401
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return value
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    found = [choice for choice in choices if same_name(str(choice), str(value))]
    return found[0] if len(found) == 1 else value


def is_type(value: object, name: str) -> bool:
    """Whether a value is of a JSON schema's type."""
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


def _to_string(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    return str(value) if isinstance(value, int | float) else _UNCHANGED


def _to_integer(value: Any) -> Any:  # noqa: ANN401
    number = _to_number(value)
    if isinstance(number, float) and number.is_integer():
        return int(number)
    return number if isinstance(number, int) else _UNCHANGED


def _to_number(value: Any) -> Any:  # noqa: ANN401
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


def _to_boolean(value: Any) -> Any:  # noqa: ANN401
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    return True if word in _TRUE else False if word in _FALSE else _UNCHANGED


def _to_null(value: Any) -> Any:  # noqa: ANN401
    return None if isinstance(value, str) and value.strip().lower() in _NULL else _UNCHANGED


def _to_array(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            parsed = read_json(value)
        except ValueError:
            return [value]
        return parsed if isinstance(parsed, list) else [value]
    return _UNCHANGED if value is None else [value]


def _to_object(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        return value[0]
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            parsed = read_json(value)
        except ValueError:
            return _UNCHANGED
        return parsed if isinstance(parsed, Mapping) else _UNCHANGED
    return _UNCHANGED


_CONVERT: Final[Mapping[str, Callable[[Any], Any]]] = {
    "null": _to_null,
    "boolean": _to_boolean,
    "integer": _to_integer,
    "number": _to_number,
    "object": _to_object,
    "array": _to_array,
    "string": _to_string,
}
_ORDER: Final = tuple(_CONVERT)
