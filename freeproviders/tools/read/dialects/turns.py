"""The marks of turns and channels that stand around a text or a call, with tools and without.

gpt-oss's harmony writes `<|channel|>analysis<|message|>...<|end|>` for reasoning, the channel
`final` for text and `to=functions.name` for a call. Kimi K3, Gemma 4, Command-R and GigaChat have
marks of their own for the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from freeproviders.tools.read.cursor import (
    CALLS,
    CUT_OFF,
    TEXT,
    After,
    Cursor,
    RawCall,
    Recogniser,
    Waiting,
    literal,
    peek,
    skip,
    until,
    word,
)
from freeproviders.tools.read.dialects.families import ENDS
from freeproviders.tools.read.dialects.payload import read_value
from freeproviders.tools.read.dialects.values import Values
from freeproviders.tools.toolbox import Toolbox

DROPPED: Final = After(text=False)

_CHANNEL: Final = "<|channel|>"
_START: Final = "<|start|>"
_MESSAGE: Final = "<|message|>"
_IN_HEADER: Final = (_CHANNEL, _MESSAGE, _START, "<|constrain|>")
_BODY_ENDS: Final = ("<|call|>", "<|end|>", "<|return|>", _START)
_MAX_HEADER_CHARS: Final = 200
_MAX_MARKS: Final = 8

_HEADER = re.compile(r"[\w .:/=\-]*")
_RECIPIENT = re.compile(r"\bto=([\w.:/\-]+)")
_SHOWN: Final = ("to=", "commentary to=")
_LEAKED: Final = ("assistantfinal", "assistantcommentary")
_NO_TOOLS: Final = frozenset({"user", "assistant", "all"})

_OPEN: Final = "<|open|>"
_CLOSE: Final = "<|close|>"
_SEP: Final = "<|sep|>"
_ARGUMENT_CLOSER: Final = f"{_CLOSE}argument{_SEP}"
_THINK_CLOSER: Final = f"{_CLOSE}think{_SEP}"
_INSIDE = re.compile(r"[^<>\n]*")
_ATTRIBUTE = re.compile(r"(\w+)=([\"'])(.*?)\2")

_THOUGHT_CLOSER: Final = "<channel|>"
_ROLE = re.compile(r"[\w\s]*")


def harmony(c: Cursor, box: Toolbox, opener: str) -> Recogniser:
    """Read on behind a mark that begins the header of a message."""
    start = c.tell()
    channel, header, last = "", opener, opener
    for _ in range(_MAX_MARKS):
        text = yield from word(c, _HEADER, _MAX_HEADER_CHARS)
        if last == _CHANNEL:
            channel = text.strip().partition(" ")[0]
        header += f"{text} "
        last = yield from literal(c, _IN_HEADER)
        if last == _MESSAGE:
            break
        if not last and opener in _SHOWN and box and (yield from peek(c)) == "{":
            break  # a server that does not show marks
        if not last:
            return TEXT
    recipient = _RECIPIENT.search(header)
    name = recipient.group(1) if recipient else ""
    if name == "self":
        return After(text=False, thinking="<|eom|>")
    if box and name and name not in _NO_TOOLS:
        return (yield from _call(c, name, start))
    if channel == "analysis" and name in {"", *_NO_TOOLS}:
        return After(text=False, thinking="<|end|>")
    return DROPPED


def leaked(c: Cursor, _box: Toolbox, opener: str) -> Recogniser:
    """Read on behind the name of a channel, as servers show harmony that leave its marks out."""
    following = yield from peek(c)
    if opener in _LEAKED:
        return DROPPED if following and not following.isspace() else TEXT
    if not following.isupper():
        return TEXT
    return After(text=False, thinking=_LEAKED[0], closers=_LEAKED)


def _call(c: Cursor, name: str, start: int) -> Recogniser:
    following = yield from skip(c)
    if following == "<":
        return DROPPED  # a block of calls, which says what is called
    if following == "{":
        value, _, fault = yield from read_value(c, "<|call|>")
        yield RawCall(name, value, c.since(start), fault)
        return CALLS
    inner = c.tell()
    found = yield from until(c, _BODY_ENDS)
    c.pos -= len(found)
    fault = CUT_OFF if not found and c.broken else ""
    text = c.since(inner).strip()
    plain = not name.startswith("functions.")  # whose arguments are JSON
    yield RawCall(name, text, c.since(start), fault, plain=plain)
    return CALLS


def kimi(c: Cursor, box: Toolbox, opener: str) -> Recogniser:
    """Read on behind `<|open|>` or `<|close|>` of Kimi K3."""
    start = c.tell()
    inside, closed = yield from _tag(c)
    kind, _, attributes = inside.partition(" ")
    calls = opener == _OPEN and kind == "call" and bool(box)
    name = _attribute(attributes, "tool")
    if not inside or not closed:
        if not (calls and name and c.exhausted and c.pos >= len(c.text)):
            return TEXT
        yield RawCall(name, {}, c.since(start), CUT_OFF)
        return CALLS
    if opener == _OPEN and kind == "think":
        return After(text=False, thinking=_THINK_CLOSER)
    if not calls:
        return DROPPED
    values = Values(box, name)
    fault = yield from _arguments(c, values)
    yield RawCall(name, values.values, c.since(start), fault or values.fault)
    return CALLS


def _tag(c: Cursor) -> Waiting:
    """Read the inside of a tag; return it, and whether the tag is closed."""
    inside = ""
    while len(inside) <= _MAX_HEADER_CHARS:
        inside += yield from word(c, _INSIDE, _MAX_HEADER_CHARS)
        if (yield from literal(c, (_SEP,))):
            return inside.strip(), True
        if (yield from peek(c)) not in {"<", ">"}:
            break
        inside += c.text[c.pos]  # of an attribute, in which only quotes and ampersands are escaped
        c.pos += 1
    return inside.strip(), False


def _arguments(c: Cursor, values: Values) -> Waiting:
    """Read arguments up to and over the end of the call; return the fault, if there is one."""
    while True:
        yield from skip(c)
        mark = yield from literal(c, (_OPEN, _CLOSE))
        inside, closed = yield from _tag(c)
        if not mark or not closed:
            return CUT_OFF
        if mark == _CLOSE:
            return ""
        start = c.tell()
        if not (yield from until(c, (_ARGUMENT_CLOSER,))):
            return CUT_OFF
        text = c.since(start)[: -len(_ARGUMENT_CLOSER)]
        values.add(_attribute(inside, "key"), text, plain=_attribute(inside, "type") == "string")


def _attribute(tag: str, name: str) -> str:
    """Return an attribute of a tag of Kimi K3, in which quotes and ampersands are escaped."""
    for key, _, value in _ATTRIBUTE.findall(tag):
        if key == name:
            return str(value).replace("&quot;", '"').replace("&amp;", "&")
    return ""


def thought(c: Cursor, _box: Toolbox, opener: str) -> Recogniser:
    """Read on behind `<|channel>` of Gemma 4, whose only channel is its thoughts."""
    while (yield from literal(c, (opener,))):
        continue
    yield from literal(c, ("thought",))
    return After(text=False, thinking=_THOUGHT_CLOSER)


def separator(c: Cursor, _box: Toolbox, _opener: str) -> Recogniser:
    """Read on behind `<|message_sep|>` of GigaChat: the role of what follows."""
    yield from word(c, _ROLE, _MAX_HEADER_CHARS)
    return DROPPED if (yield from literal(c, ("<|role_sep|>",))) else TEXT


def begun(c: Cursor, _box: Toolbox, _opener: str) -> Recogniser:
    """Read on behind `<|begin|>` of Solar: a role, and the mark of what follows."""
    yield from word(c, _ROLE, _MAX_HEADER_CHARS)
    return DROPPED if (yield from peek(c)) == "<" else TEXT


def ended(c: Cursor, _box: Toolbox, _mark: str) -> Recogniser:
    """Read on behind the end of a turn, which is dropped where the answer ends or goes on."""
    while (following := (yield from skip(c))) == "<":
        mark = yield from literal(c, (*ENDS, *_BEGINNINGS))
        if mark in _BEGINNINGS:
            c.pos -= len(mark)
            return DROPPED
        if not mark:
            break
    return TEXT if following else DROPPED


def dropped(_c: Cursor, _box: Toolbox, _mark: str) -> Recogniser:
    """Read nothing on."""
    yield from ()
    return DROPPED


_BEGINNINGS: Final[Mapping[str, Callable[[Cursor, Toolbox, str], Recogniser]]] = {
    _CHANNEL: harmony,
    _START: harmony,
    _OPEN: kimi,
    _CLOSE: kimi,
    "<|channel>": thought,
    "<|message_sep|>": separator,
    "<|begin|>": begun,
    "<|message_model|>": dropped,
}

TURNS: Final[Mapping[str, Callable[[Cursor, Toolbox, str], Recogniser]]] = {
    **_BEGINNINGS,
    **dict.fromkeys(ENDS, ended),
}
"""Who reads on behind each mark of a turn or a channel, with tools or without."""
