"""JSON behind markup: whatever it is, it was meant as a call."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from freeproviders.tools.read.cursor import CUT_OFF, MAX_REWINDS, Cursor, RawCall, Waiting, peek, skip
from freeproviders.tools.read.dialects.pythonic import NAME_START, read_list
from freeproviders.tools.read.jsonscan import End, scan_json
from freeproviders.tools.read.lenient import OPEN_STRING, read_json
from freeproviders.tools.read.shapes import calls_in
from freeproviders.tools.toolbox import Toolbox

_ENDLESS: Final = 3
_DECODER: Final = json.JSONDecoder()
_AHEAD = re.compile(r"[\s,]*")
_LINE = re.compile(r"[^\n<]*")
_TAG = re.compile(r"<(?:[^<>\n]{0,64}[<>\n]|[^<>\n]{65})")
"""A tag, or what begins as one and is none."""


def read_value(c: Cursor, closer: str = "") -> Waiting:
    """Read the JSON value that comes next; return (value, its text, fault).

    `closer` is the tag that ends the markup. Where a string is never closed, that is the fault, and
    what stands behind the tag is read on.
    """
    return (yield from _read(c, closer, "", c.tell()))


def read_calls(c: Cursor, box: Toolbox, closer: str = "") -> Waiting:
    """Read the JSON value or the list of Python calls that comes next; no call in it is a fault."""
    start, opened = c.tell(), ""
    if (yield from peek(c)) == "[":
        opened = "["
        c.pos += 1
        following = yield from skip(c)
        if following and NAME_START.match(following):
            calls = yield from read_list(c, box)
            if not calls:
                yield from skip(c, _LINE)
            return calls or [RawCall("", source=c.since(start), fault="it is no list of calls")]
    value, text, fault = yield from _read(c, closer, opened, start)
    if fault == CUT_OFF and opened:
        value = _only_item(text)
    elif fault:
        value = None
    if fault and value is None:
        return [RawCall("", source=text, fault=fault)]
    return calls_in(value, box, text) or [
        RawCall("", source=text, fault='it is no call: it must be an object with "name" and "arguments"')
    ]


def _only_item(text: str) -> Any:
    """Return the item of a list that was cut and held nothing else, again and again; else None.

    Tiny models write the same call until a limit ends their answer.
    """
    items: list[str] = []
    at = _AHEAD.match(text, 1).end()  # type: ignore[union-attr]  # which matches nothing as well
    while True:
        try:
            _, end = _DECODER.raw_decode(text, at)
        except ValueError:
            break
        items.append(text[at:end])
        at = _AHEAD.match(text, end).end()  # type: ignore[union-attr]  # as above
    endless = len(items) >= _ENDLESS and len(set(items)) == 1 and items[0].startswith(text[at:])
    return _DECODER.decode(items[0]) if endless else None


def _read(c: Cursor, closer: str, opened: str, start: int) -> Waiting:
    end = yield from scan_json(c, opened=opened)
    if end is End.TAG and (yield from _is_cut_in_tag(c)):
        return None, c.since(start), CUT_OFF
    text = c.since(start)
    if end in {End.CLOSED, End.TAG} or (end is End.OPEN and not c.broken):
        try:
            return read_json(text), text, ""
        except ValueError as error:
            fault = str(error)
    else:
        fault = CUT_OFF
    at = text.find(closer) if closer else -1
    if at < 0 or c.truncated or c.rewinds >= MAX_REWINDS:
        return None, text, fault
    c.rewind(text[at:])
    return None, text[:at], OPEN_STRING


def _is_cut_in_tag(c: Cursor) -> Waiting:
    """Wait for the tag that begins here; return whether the text was cut off in it."""
    while not c.exhausted and not _TAG.match(c.text, c.pos):
        yield None
    return c.cut_here
