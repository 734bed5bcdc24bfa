"""Calls as `[TOOL_CALLS][{"name": ..., "arguments": ...}]`, as Mistral writes them.

Later models write `[TOOL_CALLS]name[ARGS]{...}` or `[TOOL_CALLS]name{...}`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
    skip,
    word,
)
from freeproviders.tools.read.dialects.payload import read_calls, read_value
from freeproviders.tools.read.dialects.render import call_json
from freeproviders.tools.read.doubt import holds_call
from freeproviders.tools.read.shapes import calls_in
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import ToolCall

OPENER: Final = "[TOOL_CALLS]"
_ARGS: Final = "[ARGS]"
_CALL_ID: Final = "[CALL_ID]"
_ENDS: Final = ("</s>", "[/TOOL_CALLS]")
_MAX_NAME_CHARS: Final = 128

_NAME = re.compile(r"[\w.:/\-]*")
_BETWEEN = re.compile(r"[\s,;]*")


def mistral(c: Cursor, box: Toolbox, _opener: str = OPENER) -> Recogniser:
    """Read on behind `[TOOL_CALLS]`."""
    following = yield from skip(c)
    while following == "[" and (yield from literal(c, (OPENER,))):
        following = yield from skip(c)  # small models write the mark twice
    if following in {"{", "["}:
        yield from (yield from read_calls(c, box, "[/TOOL_CALLS]"))
    else:
        start = c.tell()
        name = yield from word(c, _NAME, _MAX_NAME_CHARS)
        if not name:
            return TEXT
        yield from skip(c)
        tag = yield from literal(c, (_ARGS, _CALL_ID))
        if tag == _CALL_ID:
            yield from word(c, _NAME, _MAX_NAME_CHARS)
            yield from literal(c, (_ARGS,))
        following = yield from skip(c)
        if following == "{":
            value, _, fault = yield from read_value(c)
        elif box.match(name) is not None and (yield from _nothing_follows(c, following)):
            value, fault = {}, CUT_OFF if c.cut_here else ""  # it may be a part of a name
        else:
            return TEXT
        yield RawCall(name, value, c.since(start), fault)
    yield from skip(c, _BETWEEN)
    yield from literal(c, _ENDS)
    return CALLS


def _nothing_follows(c: Cursor, following: str) -> Waiting:
    """Return whether a call ends here, which then has no arguments."""
    mark = (yield from literal(c, (OPENER, *_ENDS))) if following in {"[", "<"} else ""
    c.pos -= len(mark)
    return not following or bool(mark)


def behind_name(c: Cursor, box: Toolbox, name: str) -> Recogniser:
    """Read on behind a tool's name that stands before the mark: `name[TOOL_CALLS]{...}`."""
    start = c.tell()
    if not (yield from literal(c, (OPENER,))):
        return TEXT
    if (yield from skip(c)) != "{":
        c.rewind(c.since(start))
        return TEXT
    value, text, fault = yield from read_value(c)
    whole = not fault and holds_call(value, box)
    yield from calls_in(value, box, text) if whole else [RawCall(name, value, f"{name}{OPENER}{text}", fault)]
    return CALLS


def render(calls: Sequence[ToolCall]) -> str:
    """Write calls in this dialect."""
    return f"{OPENER}[{', '.join(map(call_json, calls))}]" if calls else ""
