"""Values of cells in the forms of text and of JSON."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any


def as_text(value: Any) -> str:
    """Write a value as a text: a text as it is, anything else as JSON has it, None as nothing."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    plain = as_json(value)
    return plain if isinstance(plain, str) else json_text(plain)


def json_text(value: Any) -> str:
    """Write a value as JSON, in one line; what JSON cannot say is written as the nearest that it can."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        text = json.dumps(as_json(value), ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, which JSON can write as an escape
        return json.dumps(json.loads(text))
    return text


def as_json(value: Any) -> Any:
    """Return a value of a table as plain data: dates as ISO 8601, bytes as Base64, NaN as null."""
    match value:
        case None | bool() | str() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(name): as_json(one) for name, one in value.items()}
        case list() | tuple():
            return [as_json(one) for one in value]
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case _:  # a decimal, a UUID
            return str(value)


def encodable(text: str) -> str:
    """Return a text without halves of characters, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
