"""Calls as `<function=name>{...}</function>`, and with XML parameters.

The latter are `<function=name><parameter=key>value</parameter></function>`. Llama 3 and Qwen3-Coder
write so. Forms seen in the wild miss the `>` or put `()` or `[]` around the arguments.
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
    until,
    word,
)
from freeproviders.tools.read.dialects.payload import read_value
from freeproviders.tools.read.dialects.render import call_json, plain_json
from freeproviders.tools.read.dialects.values import Values
from freeproviders.tools.read.markup import OWN
from freeproviders.tools.toolbox import Toolbox, is_identifier
from freeproviders.types import ToolCall

OPENER: Final = "<function="
CLOSER: Final = "</function>"
_PARAMETER: Final = "<parameter="
_PARAMETER_CLOSER: Final = "</parameter>"
_MAX_NAME_CHARS: Final = 128

_NAME = re.compile(r"[\w.:/ \-]*")
_KEY = re.compile(r"[^<>\n]*")
_QUOTE = re.compile(r"[\"']*")
_BEFORE_ARGUMENTS = re.compile(r"[\s>(\[\],=\"']*")
_AFTER_ARGUMENTS = re.compile(r"[\s>)\]}]*")


def function(c: Cursor, box: Toolbox, _opener: str = OPENER) -> Recogniser:
    """Read on behind `<function=`."""
    start = c.tell()
    yield from skip(c, _QUOTE)
    name = (yield from word(c, _NAME, _MAX_NAME_CHARS)).strip()
    following = yield from skip(c, _BEFORE_ARGUMENTS)
    if not name:
        return TEXT
    if following == "{":
        value, _, fault = yield from read_value(c, CLOSER)
        yield from skip(c, _AFTER_ARGUMENTS)
    elif following == "<":
        values = Values(box, name)
        value, fault = yield from _parameters(c, values)
        if value is None and not fault:
            return TEXT
        fault = fault or values.fault
    else:
        return TEXT
    source = c.since(start) if start < c.tell() else ""
    yield from literal(c, (CLOSER,))
    yield RawCall(name, value, f"{OPENER}{source}", fault)
    return CALLS


def _parameters(c: Cursor, values: Values) -> Waiting:
    """Read XML parameters; return (values, fault), values None where there are none."""
    found = values.values
    while True:
        tag = yield from literal(c, (_PARAMETER, CLOSER))
        if tag != _PARAMETER:
            return (found if found or tag else None), CUT_OFF if found and not tag and c.cut_here else ""
        key = yield from word(c, _KEY, _MAX_NAME_CHARS)
        if not (yield from literal(c, (">",))):
            return None, ("" if not found else CUT_OFF)
        start = c.tell()
        closer = yield from until(c, (_PARAMETER_CLOSER, CLOSER, _PARAMETER))
        if not closer:
            return found, CUT_OFF
        values.add(key.strip().strip("\"'"), c.since(start)[: -len(closer)])
        if closer == CLOSER:
            return found, ""
        if closer == _PARAMETER:
            c.pos -= len(closer)
        yield from skip(c)


def render(calls: Sequence[ToolCall]) -> str:
    """Write calls with JSON arguments; one whose name cannot stand there is JSON altogether."""
    return "\n".join(map(_render, calls))


def render_parameters(calls: Sequence[ToolCall]) -> str:
    """Write calls with XML parameters; one whose values cannot stand there gets JSON arguments."""
    return "\n".join(f"<tool_call>\n{_render_parameters(call)}\n</tool_call>" for call in calls)


def _render(call: ToolCall) -> str:
    return (
        f"<function={call.name}>{plain_json(call.arguments)}</function>"
        if is_identifier(call.name)
        else f"<tool_call>{call_json(call)}</tool_call>"
    )


def _can_stand(value: str) -> bool:
    """Return whether a text can stand between tags as it is."""
    return bool(value) and value == value.strip() and not OWN.search(value)


def _render_parameters(call: ToolCall) -> str:
    if not is_identifier(call.name):
        return call_json(call)
    texts = (*call.arguments, *(value for value in call.arguments.values() if isinstance(value, str)))
    if not all(map(_can_stand, texts)) or not all(map(_KEY.fullmatch, call.arguments)):
        return _render(call)
    lines = "".join(
        f"<parameter={key}>\n{value if isinstance(value, str) else plain_json(value)}\n</parameter>\n"
        for key, value in call.arguments.items()
    )
    return f"<function={call.name}>\n{lines}</function>"
