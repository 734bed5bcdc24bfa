"""Calls as `call:get_weather{city:<|"|>Paris<|"|>,days:3}`, as Gemma 4 and FunctionGemma write them.

Keys stand without quotes, texts between marks of their own.
"""

from __future__ import annotations

import re
from typing import Final

from freeproviders.tools.read.cursor import (
    CUT_OFF,
    Cursor,
    RawCall,
    Waiting,
    find,
    literal,
    skip,
    until,
    word,
)
from freeproviders.tools.read.lenient import read_json
from freeproviders.wire.json import dumps

BEFORE_NAME: Final = ("call:", ":")
QUOTES: Final = ('<|"|>', "<escape>")
_MAX_NAME_CHARS: Final = 128
_MAX_DEPTH: Final = 64

_NAME = re.compile(r"[\w.\-]*")
_STRUCTURE = re.compile(r"[<{}\[\]\"]")
_ANY = re.compile(r"(?s:.)")
_STRING_END = re.compile(r"[\"\\]")
_WORD = re.compile(r"[^\s{}\[\],:\"][^{}\[\],:\"]*")
_VALUE = re.compile(r"-?\d[\d.eE+\-]*|true|false|null|None|True|False")


def named_call(c: Cursor, closer: str, start: int) -> Waiting:
    """Read on behind `call:`: the name and the arguments."""
    name = yield from word(c, _NAME, _MAX_NAME_CHARS)
    if (yield from skip(c)) != "{":
        found = yield from until(c, (closer,))
        c.pos -= len(found)
        return RawCall(name, source=c.since(start), fault="its arguments are missing")
    text = yield from _arguments(c)
    if text is None:
        return RawCall(name, source=c.since(start), fault=CUT_OFF)
    try:
        return RawCall(name, read_json(text), c.since(start))
    except ValueError as error:
        return RawCall(name, source=c.since(start), fault=str(error))


def _arguments(c: Cursor) -> Waiting:
    """Read the arguments and return them as JSON; None where they do not end."""
    out: list[str] = []
    depth, start = 0, c.tell()
    while char := (yield from find(c, _STRUCTURE)):
        if char in "{[":
            depth += 1
            if depth > _MAX_DEPTH:
                return None
        elif char in "}]":
            depth -= 1
            if depth == 0:
                out.append(_quoted(c.since(start)))
                return "".join(out)
        elif char == '"':
            out.append(_quoted(c.since(start)[:-1]))
            start = c.tell() - 1
            if not (yield from _string(c)):
                return None
            out.append(c.since(start))
            start = c.tell()
        else:
            c.pos -= 1
            quote = yield from literal(c, QUOTES)
            if not quote:
                c.pos += 1
                continue
            out.append(_quoted(c.since(start)[: -len(quote)]))
            start = c.tell()
            if not (yield from until(c, (quote,))):
                return None
            out.append(dumps(c.since(start)[: -len(quote)]).decode())
            start = c.tell()
    return None


def _string(c: Cursor) -> Waiting:
    """Read on to the end of an ordinary string."""
    while char := (yield from find(c, _STRING_END)):
        if char == '"':
            return True
        if not (yield from find(c, _ANY)):
            return False
    return False


def _quoted(text: str) -> str:
    """Write what stands outside of strings as JSON: keys and words in quotes."""
    return _WORD.sub(lambda match: _word(match.group()), text)


def _word(text: str) -> str:
    stripped = text.strip()
    return stripped if _VALUE.fullmatch(stripped) else dumps(stripped).decode()
