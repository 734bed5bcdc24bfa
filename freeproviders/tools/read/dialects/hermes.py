"""Calls as `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`: Hermes, Qwen, many others.

Inside the tags other forms are taken as well: several objects, a list, a block of code,
`<function=...>`, `name(...)`. A missing closing tag is forgiven.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from freeproviders.tools.read.cursor import CALLS, TEXT, Cursor, Recogniser, Waiting, literal, skip
from freeproviders.tools.read.dialects.function import OPENER, function
from freeproviders.tools.read.dialects.payload import read_calls
from freeproviders.tools.read.dialects.pythonic import named_call
from freeproviders.tools.read.dialects.render import call_json
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import ToolCall

TAGS: Final = {
    "<tool_call>": "</tool_call>",
    "<tool_calls>": "</tool_calls>",
    "<toolcall>": "</toolcall>",
    "<function_call>": "</function_call>",
    "<|tool_call|>": "<|/tool_call|>",
    "<|tool_call_start|>": "<|tool_call_end|>",
}

_STRAY = re.compile(r"[\s,;}\]]*")
_TICKS = re.compile(r"[`\s]*")


def hermes(c: Cursor, box: Toolbox, tag: str) -> Recogniser:
    """Read on behind an opening tag."""
    closer = TAGS[tag]
    found = False
    following = yield from skip(c)
    while following:
        if following == "`":
            following = yield from _into_fence(c)
        if following in {"{", "["}:
            yield from (yield from read_calls(c, box, closer))
        elif following == "<":
            if not (yield from literal(c, (OPENER,))):
                break
            after = yield from function(c, box)
            if after.text:
                return after
        elif not found:
            call = yield from named_call(c, box)
            if call is None:
                return TEXT
            yield call
        else:
            break
        found = True
        following = yield from skip(c, _STRAY)
        if following == "`":
            following = yield from skip(c, _TICKS)
    if not found:
        return TEXT
    yield from literal(c, (closer,))
    return CALLS


def _into_fence(c: Cursor) -> Waiting:
    """Read over the beginning of a block of code inside the tags."""
    yield from skip(c, _TICKS)
    yield from literal(c, ("json",))
    return (yield from skip(c))


def render(calls: Sequence[ToolCall]) -> str:
    """Write calls in this dialect."""
    return "\n".join(f"<tool_call>\n{call_json(call)}\n</tool_call>" for call in calls)
