"""Calls as `<|python_tag|>{"name": ..., "parameters": {...}}`, as Llama 3 writes them.

Several have `;` between them; `<|python_tag|>name.call(key=value)` is another form.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from freeproviders.tools.read.cursor import CALLS, TEXT, Cursor, RawCall, Recogniser, Waiting, literal, skip
from freeproviders.tools.read.dialects.payload import read_calls, read_value
from freeproviders.tools.read.dialects.pythonic import NAME_START, bound_name, call_arguments
from freeproviders.tools.read.dialects.render import call_json
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import ToolCall

OPENER: Final = "<|python_tag|>"
_ENDS: Final = ("<|eom_id|>", "<|eot_id|>")

_BETWEEN = re.compile(r"[\s,;]*")


def llama(c: Cursor, box: Toolbox, _opener: str = OPENER) -> Recogniser:
    """Read on behind `<|python_tag|>`."""
    found = False
    following = yield from skip(c)
    while following:
        if following in {"{", "["}:
            yield from (yield from read_calls(c, box))
        elif NAME_START.match(following):
            call = yield from _named(c, box)
            if call is None:
                return TEXT
            yield call
        else:
            break
        found = True
        following = yield from skip(c, _BETWEEN)
    if not found:
        return TEXT
    yield from literal(c, _ENDS)
    return CALLS


def _named(c: Cursor, box: Toolbox) -> Waiting:
    """Read `name(...)` or `name {...}`; None if it is neither, or names no bound tool."""
    start = c.tell()
    name = yield from bound_name(c, box)
    if not name:
        return None
    following = yield from skip(c)
    if following == "{":
        value, _, fault = yield from read_value(c)
        return RawCall(name, value, c.since(start), fault)
    return (yield from call_arguments(c, box, name, start)) if following == "(" else None


def render(calls: Sequence[ToolCall]) -> str:
    """Write calls in this dialect."""
    return OPENER + "; ".join(call_json(call, "parameters") for call in calls)
