"""JSON as models write it.

In order: the strict decoder, the standard library's (raw line breaks in strings, lone surrogates), Python literals, and at last `json_repair`,
which is called on short texts only, for it takes quadratic time on some.
"""

from __future__ import annotations

import ast
import json
import math
from typing import Any, Final

from freeproviders.wire.json import loads

MAX_REPAIR_CHARS: Final = 2**15


def read_json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Decode an object or a list, leniently; a value of another kind only if it is strict JSON.

    The text must be complete but for closing brackets. Raises `ValueError` when nothing can be made of it.
    """
    try:
        return loads(text)
    except ValueError as error:
        fault = error
    for decode in (_standard, _python, _repaired):
        try:
            return _clean(decode(text))
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    msg = f"not JSON: {fault}"
    raise ValueError(msg)


def _standard(text: str) -> object:
    return json.loads(text, strict=False)


def _python(text: str) -> object:
    if len(text) > MAX_REPAIR_CHARS:
        raise ValueError
    return ast.literal_eval(text.strip())


def _repaired(text: str) -> object:
    stripped = text.strip()
    if len(stripped) > MAX_REPAIR_CHARS or not stripped.startswith(("{", "[")):
        raise ValueError
    import json_repair  # noqa: PLC0415 - takes time, and is seldom needed

    value = json_repair.loads(stripped)
    if not isinstance(value, dict | list) or (not value and stripped.strip("{}[] \n\t")):
        raise ValueError
    return value


def _clean(value: object) -> Any:  # noqa: ANN401
    """Make sure of plain JSON types: no NaN, no lone surrogates, nothing of Python's own."""
    match value:
        case str():
            return _text(value)
        case bool() | int() | None:
            return value
        case float():
            if math.isfinite(value):
                return value
        case list() | tuple():
            return [_clean(item) for item in value]
        case dict():
            return {_text(str(key)): _clean(item) for key, item in value.items()}
    msg = f"not a JSON value: {type(value).__name__}"
    raise ValueError(msg)


def _text(text: str) -> str:
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
