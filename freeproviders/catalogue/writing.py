"""Writing of a service's file: its data put together, and as the text of a TOML file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_LISTS: Final = frozenset({"limit", "error"})
"""Lists to which a file adds, where all others take the place of what was there."""


def together(changes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Put corrections together as the data of one file; of two for one field the later counts."""
    whole: dict[str, Any] = {}
    for change in changes:
        _add(whole, change)
    return whole


def toml_of(data: Mapping[str, Any]) -> str:
    """Write the data of a service's file as TOML: single fields, lists, then tables."""
    tables = {name: value for name, value in data.items() if isinstance(value, Mapping)}
    lines = [_line(name, value) for name, value in data.items() if name not in tables]
    for name, table in tables.items():
        lines += [""] * bool(lines) + [f"[{_key(name)}]"]
        lines += [_line(key, value) for key, value in table.items()]
    return "".join(f"{line}\n" for line in lines)


def _add(whole: dict[str, Any], change: Mapping[str, Any]) -> None:
    for name, value in change.items():
        below = whole.get(name)
        if isinstance(value, Mapping):
            if not isinstance(below, dict):
                below = whole[name] = {}
            _add(below, value)
        elif name in _LISTS and isinstance(below, list):
            below += [one for one in value if one not in below]
        else:
            whole[name] = list(value) if isinstance(value, list | tuple) else value


def _line(name: str, value: Any) -> str:
    if isinstance(value, list | tuple) and value and all(isinstance(one, Mapping) for one in value):
        items = "".join(f"  {written(one)},\n" for one in value)
        return f"{_key(name)} = [\n{items}]"
    return f"{_key(name)} = {written(value)}"


def written(value: Any) -> str:
    """Write a value as a file has it, in one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case date():
            return value.isoformat()
        case float() if value.is_integer():
            return str(int(value))
        case int() | float():
            return str(value)
        case Mapping() if not value:
            return "{}"
        case Mapping():
            return "{ " + ", ".join(f"{_key(key)} = {written(one)}" for key, one in value.items()) + " }"
        case _:
            return f"[{', '.join(written(one) for one in value)}]"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    """Write a basic string: JSON's escapes are TOML's too, but for halves of characters."""
    clean = text.encode("utf-8", "replace").decode()
    return json.dumps(clean, ensure_ascii=False).replace("\x7f", "\\u007f")
