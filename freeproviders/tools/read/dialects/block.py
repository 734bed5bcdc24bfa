"""Calls between two marks: `<tool_call>...</tool_call>` and its like of many families.

Whatever stands between them is read by its own shape, not by the family's: one or more JSON
objects, a list, a block of code, Python calls, tags with parameters, a name with keys and values.
Blocks inside blocks and a missing closing mark are forgiven.
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
from freeproviders.tools.read.dialects import function, gemma
from freeproviders.tools.read.dialects.families import (
    BEFORE_NAME,
    BLOCKS,
    ECHOED,
    INVOKES,
    NOISE,
    PAIRS,
    SECTIONS,
    SEPARATORS,
    WEAK,
)
from freeproviders.tools.read.dialects.invoke import invoke
from freeproviders.tools.read.dialects.pairs import pairs
from freeproviders.tools.read.dialects.payload import read_calls, read_value
from freeproviders.tools.read.dialects.pythonic import NAME_START, call_arguments
from freeproviders.tools.read.dialects.values import Values
from freeproviders.tools.toolbox import Toolbox

_MAX_NAME_CHARS: Final = 128
_MAX_ECHO_CHARS: Final = 2**14
_MAX_BESIDE_CHARS: Final = 200
_CLOSERS: Final = tuple(dict.fromkeys(BLOCKS.values()))
_MARKS: Final = (*BLOCKS, *_CLOSERS, *INVOKES, *NOISE, *SEPARATORS, function.OPENER)
_AFTER_NAME: Final = (*SEPARATORS, *BEFORE_NAME, *PAIRS, *_CLOSERS)
_KINDS: Final = frozenset({"function", "functions", "tool"})
"""What DeepSeek and Step write for a name where the kind of a call stands."""

_STRAY = re.compile(r"[\s,;}\]]*")
_TICKS = re.compile(r"[`\s]*")
_NAME = re.compile(r"[\w.:/\-]*")
_NUMBER = re.compile(r"[:.]\d+\Z")


def block(c: Cursor, box: Toolbox, opener: str) -> Recogniser:
    """Read on behind an opening mark."""
    closers = [BLOCKS[opener]]
    found = False
    named = True  # a name may begin here
    body = ""
    behind = c.tell()
    """Where the last mark or call has ended."""
    beside = False  # words stand there that belong to no call
    following = yield from skip(c)
    while following:
        if following == "`":
            following = yield from _into_fence(c)
        if following in {"{", "["}:
            start = c.tell()
            calls = yield from read_calls(c, box, closers[-1])
            body = c.since(start)
            if opener in WEAK and not any(box.match(call.name) for call in calls):
                return TEXT
            yield from calls
            found, named, behind = True, False, c.tell()
        elif following == "<":
            mark = yield from literal(c, _MARKS)
            if not mark:
                break
            named, beside, behind = True, False, c.tell()
            if mark in BLOCKS:
                closers.append(BLOCKS[mark])
            elif mark in closers:
                del closers[closers.index(mark) :]
                if not closers:
                    if opener in ECHOED and len(body) <= _MAX_ECHO_CHARS:
                        yield from literal(c, (f"{body}{mark}",))
                    return CALLS if found else TEXT
            elif mark in INVOKES or mark == function.OPENER:
                after = yield from (invoke if mark in INVOKES else function.function)(c, box, mark)
                if after.text:
                    return after
                found = True
        elif named and (following == ":" or NAME_START.match(following)):
            calls = yield from _named(c, box, closers[-1])
            if calls is None:
                if opener not in SECTIONS or len(closers) > 1:
                    return TEXT
                beside, named = True, False
                yield from _words(c)
            else:
                yield from calls
                found, behind = found or bool(calls), c.tell()
        else:
            break
        following = yield from _over_stray(c)
    if found and beside:
        c.rewind(c.since(behind))  # the end of the section was forgotten: the answer goes on
    return CALLS if found else TEXT


def _over_stray(c: Cursor) -> Waiting:
    """Read over brackets that nothing opened, and the end of a block of code inside the marks."""
    following = yield from skip(c, _STRAY)
    return (yield from skip(c, _TICKS)) if following == "`" else following


def _words(c: Cursor) -> Waiting:
    """Read over words in a section, up to the next mark."""
    for _ in range(_MAX_BESIDE_CHARS):
        if (yield from peek(c)) in {"<", ""}:
            break
        c.pos += 1


def _into_fence(c: Cursor) -> Waiting:
    """Read over the beginning of a block of code inside the marks."""
    yield from skip(c, _TICKS)
    yield from literal(c, ("json",))
    return (yield from skip(c))


def _named(c: Cursor, box: Toolbox, closer: str) -> Waiting:
    """Read what begins with a name; return its calls, None if it can be none."""
    start = c.tell()
    before = yield from literal(c, gemma.BEFORE_NAME)
    if before == ":" and not NAME_START.match((yield from peek(c))):
        return None  # the sentence in which the mark stands goes on
    if before:
        return [(yield from gemma.named_call(c, closer, start))]
    name = yield from word(c, _NAME, _MAX_NAME_CHARS)
    if not name:
        return None
    following = yield from skip(c)
    mark = (yield from literal(c, _AFTER_NAME)) if following == "<" else ""
    if mark in SEPARATORS or mark in BEFORE_NAME:
        following = yield from skip(c)
        if mark in BEFORE_NAME or (name in _KINDS and box.match(name) is None):
            return (yield from _named(c, box, closer)) if NAME_START.match(following) else []
        mark = (yield from literal(c, _AFTER_NAME)) if following == "<" else ""
    name = _known(name, box)
    if mark in PAIRS:
        c.pos -= len(mark)
        values = Values(box, name)
        fault = yield from pairs(c, mark, values)
        return [RawCall(name, values.values, c.since(start), fault or values.fault)]
    if mark or not following:
        c.pos -= len(mark)
        if box.match(name) is None:
            return None
        return [RawCall(name, {}, c.since(start), "" if mark else CUT_OFF)]  # it may be a part of a name
    if following == "`":
        following = yield from _into_fence(c)
    if following == "(":
        return None if box.match(name) is None else [(yield from call_arguments(c, box, name, start))]
    if following != "{":
        return None
    value, _, fault = yield from read_value(c, closer)
    return [RawCall(name, value, c.since(start), fault)]


def _known(name: str, box: Toolbox) -> str:
    """Return a name without the number that Kimi writes behind it: `functions.get_weather:0`."""
    return name if box.match(name) is not None else _NUMBER.sub("", name)
