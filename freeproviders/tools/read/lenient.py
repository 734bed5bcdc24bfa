"""JSON as models write it.

In order: the strict decoder, the standard library's (raw line breaks in strings, lone surrogates),
the same without comments and trailing commas, Python literals, and at last `json_repair`, which
guesses. It takes cubic time on some texts, so that it only gets those which cannot take long; what
it makes is only taken if nothing of the text is missing in it, and nothing else is in it.
"""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections.abc import Iterator
from typing import Any, Final

from freeproviders.wire.json import loads

MAX_LITERAL_CHARS: Final = 2**15
MAX_REPAIR_COST: Final = 4_000_000
"""Characters times brackets and quotes: `json_repair` then takes tenths of a second at worst."""
MAX_REPAIR_DEPTH: Final = 16

_STRING: Final = r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\Z)'
_STRINGS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
"""Strings, also one that never ends; it matches at every quote, so that time is linear."""
_COMMENTS = re.compile(rf"({_STRING})|//[^\n]*|#[^\n]*|/\*(?:.*?\*/|.*)", re.DOTALL)
_LAST_COMMAS = re.compile(rf"({_STRING})|,(?=\s*[}}\]])", re.DOTALL)
"""Each keeps its first group, the strings, and leaves out the rest."""
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_PYTHON_ESCAPES: Final = frozenset("\n\\'\"abfnrtvxNuU01234567")
_ODD_NUMBER = re.compile(r"[\da-fA-FjJ](?:and|else|for|if|in|is|not|or)\b")
"""Numbers that a word follows at once, of which Python warns."""
_STRUCTURE: Final = "\"'{}[]“”"
OPEN_STRING: Final = "a string in it is never closed"
_QUOTE = re.compile(r"\\.|\"", re.DOTALL)
_SINGLE_QUOTE = re.compile(r"(?<![\w\\])'|(?<!\\)'(?!\w)")
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[bfnrt]|(.))", re.DOTALL)
_FRACTION = re.compile(r"\d\.\d*")
_NONE = re.compile(r"\bnone\b", re.IGNORECASE)
_NO_LETTERS = re.compile(r"[\W_]+")
_EMPTY = re.compile(r"\"\"|''|“”")


def read_json(text: str, *, guess: bool = True) -> Any:
    """Decode an object or a list, leniently; a value of another kind only if it is strict JSON.

    The text must be complete but for closing brackets. Without `guess`, nothing of it may be lost:
    it is JSON, or a Python literal. Raises `ValueError` when nothing can be made of it.
    """
    try:
        return loads(text)
    except ValueError as error:
        fault = error
    for decode in (_standard, _tidied, python_literal, _repaired)[: None if guess else -1]:
        try:
            return _clean(decode(text))
        except Exception:  # noqa: BLE001, S112 - whatever others' decoders raise on hostile text
            continue
    raise ValueError(OPEN_STRING if _has_open_string(text) else f"not JSON: {fault}")


def read_whole(text: str) -> Any:
    """Decode the text of an object or a list as `read_json` does, but for missing brackets.

    Of a text inside another it is not known whether it is all that there was.
    """
    return read_json(text, guess=_is_closed(text))


def _is_closed(text: str) -> bool:
    """Return whether a text looks like one object or list, from its first bracket to its last."""
    depth = 0
    bare = _STRINGS.sub("", text).strip()
    for at, char in enumerate(bare):
        depth += (char in "{[") - (char in "}]")
        if depth <= 0:
            return at == len(bare) - 1 and char in "}]"
    return False


def _standard(text: str) -> object:
    return json.loads(text, strict=False)


def _tidied(text: str) -> object:
    for unwanted in (_COMMENTS, _LAST_COMMAS):
        text = unwanted.sub(r"\1", text)
    return json.loads(text, strict=False)


def python_literal(text: str) -> object:
    """Evaluate a Python literal, without a word on the caller's screen; any error means that it is none."""
    if len(text) > MAX_LITERAL_CHARS:
        raise ValueError("too long for a literal")
    (node,) = parse_python(text.strip()).body
    if not isinstance(node, ast.Expr):
        raise TypeError("no literal")
    return ast.literal_eval(node.value)


def parse_python(text: str) -> ast.Module:
    """Parse Python without a word on the caller's screen.

    Backslashes that begin no escape are doubled: Python would keep them as well, but with a warning.
    """
    text = _ESCAPE.sub(
        lambda match: match.group() if match.group(1) in _PYTHON_ESCAPES else "\\" + match.group(), text
    )
    if _ODD_NUMBER.search(text) is None:
        return ast.parse(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def _repaired(text: str) -> object:
    stripped = text.strip()
    if not stripped.startswith(("{", "[")) or not _is_cheap(stripped) or _has_open_string(stripped):
        raise ValueError("not to be guessed")
    import json_repair  # noqa: PLC0415 - takes time, and is seldom needed

    value = json_repair.loads(stripped)
    if not isinstance(value, dict | list) or (not value and stripped.strip("{}[] \n\t")):
        raise ValueError("nothing was found")
    held: list[str] = []
    _collect(value, held)
    if _letters("".join(held)) not in {_letters(plain) for plain in _readings(stripped)}:
        raise ValueError("something would be lost")
    if held.count("") > len(_EMPTY.findall(stripped)):
        raise ValueError("something would be made up")
    return value


def _has_open_string(text: str) -> bool:
    """Return whether a text has an odd number of the quotes in which its strings stand."""
    odd = _QUOTE.findall(text).count('"') % 2
    return bool(odd or len(_SINGLE_QUOTE.findall(_STRINGS.sub("", text))) % 2)


def _collect(value: object, held: list[str]) -> None:
    """Add all keys and values of a JSON value to a list, in order."""
    match value:
        case dict():
            for key, item in value.items():
                held.append(str(key))
                _collect(item, held)
        case list():
            for item in value:
                _collect(item, held)
        case None:
            held.append("null")
        case _:
            held.append(str(value))


def _readings(text: str) -> Iterator[str]:
    """Return what a text says without its escapes, with comments and without."""
    for plain in (text, _COMMENTS.sub(r"\1", text)):
        yield _ESCAPED.sub(lambda match: chr(int(match[1], 16)) if match[1] else match[2] or " ", plain)


def _letters(text: str) -> str:
    """Return the letters and digits of a text, with one word for null and one way to write 5.0."""
    text = _FRACTION.sub(lambda match: match.group().rstrip("0").rstrip("."), text)
    return _NO_LETTERS.sub("", _NONE.sub("null", text)).casefold()


def _is_cheap(text: str) -> bool:
    """Return whether `json_repair` takes a short while at most.

    It goes back again and again at open brackets and at odd quotes.
    """
    unclosed = max(abs(text.count(opening) - text.count(closing)) for opening, closing in ("{}", "[]"))
    return (
        unclosed <= MAX_REPAIR_DEPTH
        and len(text) <= MAX_LITERAL_CHARS
        and len(text) * sum(map(text.count, _STRUCTURE)) <= MAX_REPAIR_COST
    )


def _clean(value: object) -> Any:
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
    raise ValueError(f"not a JSON value: {type(value).__name__}")


def _text(text: str) -> str:
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
