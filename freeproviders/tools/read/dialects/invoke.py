"""Calls as `<invoke name="f"><parameter name="key">value</parameter></invoke>`.

Anthropic's form, which DeepSeek, MiniMax, Step, dots and MiniCPM write with tags of their own.
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
    skip,
    until,
    word,
)
from freeproviders.tools.read.dialects.families import BLOCKS, INVOKES, WEAK_INVOKES, Tags
from freeproviders.tools.read.dialects.payload import read_value
from freeproviders.tools.read.dialects.values import Values
from freeproviders.tools.toolbox import Toolbox, is_identifier

_MAX_TAG_CHARS: Final = 256
_BLOCK_CLOSERS: Final = frozenset(BLOCKS.values())

_QUOTE = re.compile(r"[\"']?")
_NAME = re.compile(r"[^\"'<>\n=]*")
_ATTRIBUTES = re.compile(r"[^<>\n]*")
_CDATA: Final = "<![CDATA["
_CDATA_CLOSER: Final = "]]>"
_PLAIN: Final = {'string="true"': True, 'string="false"': False}


def invoke(c: Cursor, box: Toolbox, opener: str) -> Recogniser:
    """Read on behind `<invoke name=`."""
    start, tags = c.tell(), INVOKES[opener]
    name, attributes = yield from _tag(c)
    if not is_identifier(name):
        return TEXT
    values = Values(box, name)
    empty = attributes.strip() == "/"
    if not empty and (yield from skip(c)) == "{":
        given, _, fault = yield from read_value(c, tags.closer)
        yield from skip(c)
        yield from literal(c, (tags.closer,))
    else:
        given, fault = values.values, "" if empty else (yield from _parameters(c, tags, values))
        fault = fault or values.fault
        if not given and opener in WEAK_INVOKES and box.match(name) is None:
            return TEXT
    yield RawCall(name, given, f"{opener}{c.since(start)}", fault)
    return CALLS


def _parameters(c: Cursor, tags: Tags, values: Values) -> Waiting:
    """Read parameters up to and over the end of the call; return the fault, if there is one."""
    while True:
        yield from skip(c)
        tag = yield from literal(c, (*tags.parameter, tags.closer, *_BLOCK_CLOSERS))
        if tag in _BLOCK_CLOSERS:
            c.pos -= len(tag)  # the end of the call was forgotten, and that of the block was not
            return ""
        if tag not in tags.parameter:
            return "" if tag or (values.values and not c.broken) else CUT_OFF
        key, attributes = yield from _tag(c)
        if not key:
            return "a parameter has no name"
        text = yield from _text(c, tags)
        if text is None:
            return CUT_OFF
        values.add(key, text, plain=_PLAIN.get(attributes.strip()))


def _text(c: Cursor, tags: Tags) -> Waiting:
    """Read a value up to and over its closing tag; None where there is none."""
    start = c.tell()
    if (yield from literal(c, (_CDATA,))):
        start = c.tell()
        closer = yield from until(c, (_CDATA_CLOSER,))
        text = c.since(start)[: -len(closer)] if closer else None
        return text if (yield from until(c, (tags.parameter_closer,))) else None
    closer = yield from until(c, (tags.parameter_closer, tags.closer, *tags.parameter))
    if not closer:
        return None
    text = c.since(start)[: -len(closer)]
    if closer != tags.parameter_closer:
        c.pos -= len(closer)  # a forgotten closing tag is forgiven
    return text


def _tag(c: Cursor) -> Waiting:
    """Read on behind `name=` to the end of the tag; return the name and what follows it."""
    yield from skip(c, _QUOTE)
    name = yield from word(c, _NAME, _MAX_TAG_CHARS)
    yield from skip(c, _QUOTE)
    attributes = yield from word(c, _ATTRIBUTES, _MAX_TAG_CHARS)
    closed = yield from literal(c, (">",))
    return (name.strip(), attributes) if closed else ("", "")
