"""Calls as `Action: get_weather` and `Action Input: {"city": "Paris"}`, as agents of old wrote them.

Command-R+ has a list of calls behind `Action:`.
"""

from __future__ import annotations

import re
from typing import Final

from freeproviders.tools.read.cursor import (
    CALLS,
    CUT_OFF,
    TEXT,
    Cursor,
    RawCall,
    Recogniser,
    Waiting,
    literal,
    peek,
    skip,
    word,
)
from freeproviders.tools.read.dialects.payload import read_calls, read_value
from freeproviders.tools.read.dialects.pythonic import bound_name, call_arguments
from freeproviders.tools.toolbox import Toolbox, properties

OPENER: Final = "Action:"
_INPUT: Final = ("Action Input:", "Action_Input:", "ActionInput:")
_MAX_INPUT_CHARS: Final = 4096

_MARKS = re.compile(r"[\s*`]*")
_LINE = re.compile(r"[^\n]*")


def react(c: Cursor, box: Toolbox, _opener: str = OPENER) -> Recogniser:
    """Read on behind `Action:` at the beginning of a line."""
    start = c.tell() - len(OPENER)
    following = yield from skip(c, _MARKS)
    if following == "j":
        yield from literal(c, ("json",))
        following = yield from skip(c)
    if following in {"{", "["}:
        calls: list[RawCall] = yield from read_calls(c, box)
        if not any(box.match(call.name) for call in calls):
            return TEXT
        yield from calls
        if (yield from skip(c)) == "`":
            yield from literal(c, ("```",))
        return CALLS
    call = yield from _named(c, box, start)
    if call is None:
        return TEXT
    yield call
    return CALLS


def _named(c: Cursor, box: Toolbox, start: int) -> Waiting:
    """Read a name and the input on the next line; None where they are none.

    `start` is where the whole began: the source has the mark, by which a fence changes it.
    """
    name = yield from bound_name(c, box)
    tool = box.match(name) if name else None
    if tool is None:
        return None
    following = yield from skip(c, _MARKS)
    if following == "(":
        return (yield from call_arguments(c, box, name, start))
    if not (yield from literal(c, _INPUT)):
        # As the last words of an answer the name of a tool may be a word.
        return None if following or properties(tool) or c.broken else RawCall(name, {}, c.since(start))
    following = yield from skip(c, _MARKS)
    if following == "j":
        yield from literal(c, ("json",))
        following = yield from skip(c)
    if following == "{":
        value, _, fault = yield from read_value(c)
        if (yield from skip(c)) == "`":
            yield from literal(c, ("```",))
        return RawCall(name, value, c.since(start), fault)
    text = (yield from word(c, _LINE, _MAX_INPUT_CHARS)).strip(" \"'*`")
    fault = CUT_OFF if c.broken and not (yield from peek(c)) else ""
    return RawCall(name, text, c.since(start), fault, plain=True)
