"""Keyword arguments that are not quite Python: raw line breaks, quotes inside quotes, `month=07`."""

from __future__ import annotations

import re
from typing import Any, Final

from freeproviders.tools.read.lenient import python_literal

_ARGUMENT = re.compile(r"\s*([A-Za-z_]\w*)\s{0,8}=\s{0,8}")
_NEXT: Final = r"\s{0,8}(?:,\s{0,8}[A-Za-z_]\w*\s{0,8}=|,?\s{0,8}\)\Z)"
_END: Final = {quote: re.compile(rf"{quote}(?={_NEXT})") for quote in "\"'"}
_PLAIN_END = re.compile(rf"(?={_NEXT})")
_DONE = re.compile(r"\s*\)?\s*\Z")
_SEPARATOR = re.compile(r"\s*,?")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "\n": ""}
_INTEGER = re.compile(r"-?0\d+")


def loose_arguments(text: str) -> dict[str, Any]:
    """Read `(key=value, ...)`, where a text ends at the quote that an argument or the end follows.

    Raises `ValueError` where it is none.
    """
    values: dict[str, Any] = {}
    at = 1
    while not _DONE.match(text, at):
        argument = _ARGUMENT.match(text, at)
        if argument is None:
            raise ValueError("they are no keyword arguments")
        at = argument.end()
        quote = text[at : at + 1]
        ends = (_END.get(quote) or _PLAIN_END).search(text, at + (quote in _END))
        if ends is None:
            raise ValueError("an argument has no end")
        found = text[at + (quote in _END) : ends.start()]
        values[argument.group(1)] = _unescaped(found) if quote in _END else _value(found.strip())
        separator = _SEPARATOR.match(text, ends.end())
        at = separator.end() if separator else ends.end()
    return values


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match.group(1), match.group()), text)


def _value(text: str) -> Any:
    if _INTEGER.fullmatch(text):
        return int(text)
    words = {"true": True, "false": False, "null": None}
    value = words[text] if text in words else python_literal(text)
    if not isinstance(value, str | int | float | bool | list | dict | None):
        raise ValueError(f"{text[:100]} is not a JSON value")  # noqa: TRY004 - the caller's text
    return value
