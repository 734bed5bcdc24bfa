"""Calls as bare JSON, in the text or in a block of code: objects, lists, `{"tool_calls": [...]}`.

There is no markup that says so: only a bound tool's name makes it a call.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
    more,
    peek,
    skip,
    until,
)
from freeproviders.tools.read.dialects import code, mistral
from freeproviders.tools.read.dialects.pythonic import NAME_START, call_list
from freeproviders.tools.read.dialects.render import call_json
from freeproviders.tools.read.doubt import ANNOUNCED, UNREADABLE, holds_call
from freeproviders.tools.read.jsonscan import End, scan_json
from freeproviders.tools.read.lenient import read_json
from freeproviders.tools.read.shapes import KEY_LETTERS, CallProbe, calls_in, read_call
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import ToolCall

_LANGUAGES: Final = frozenset(
    {
        "",
        "json",
        "jsonc",
        "json5",
        "tool_call",
        "tool_calls",
        "tool_code",
        "tool_use",
        "tool",
        "function_call",
        "function",
        "xml",
        "text",
        "txt",
        "plaintext",
        "call",
    }
)
_ALL_LANGUAGES: Final = _LANGUAGES | code.LANGUAGES
_BEGINNINGS: Final = {
    at_start: frozenset(name[:size] for name in names for size in range(len(name) + 1))
    for at_start, names in ((False, _LANGUAGES), (True, _ALL_LANGUAGES))
}
"""What the languages of blocks begin with in which calls are looked for."""
MIN_TICKS: Final = 3
MAX_TICKS: Final = 8

KEY_START = re.compile(r"""["'A-Za-z/#]""")
NO_KEY = re.compile(rf"""\{{\s*["'](?!\Z|\\|[{KEY_LETTERS}])""", re.IGNORECASE)
"""An object whose first key cannot be a call's. Code and data are full of them."""
_TICKS = re.compile("`*")
_LINE = re.compile(r"[^\n]*")
_ANYTHING = re.compile(r".*", re.DOTALL)
_INFO = re.compile(r"[\w+.#\-]*")


def bare(c: Cursor, box: Toolbox, *, at_start: bool) -> Recogniser:
    """Read an object; `at_start` says that no text came before it."""
    start = c.tell()
    c.pos += 1
    following = yield from skip(c)
    if not following or not KEY_START.match(following):
        return TEXT
    return (yield from _bare(c, box, CallProbe(box, at_start=at_start), start, "{"))


def square(c: Cursor, box: Toolbox, *, at_start: bool) -> Recogniser:
    """Read on behind `[`: a list of objects, or of Python calls."""
    start = c.tell() - 1
    following = yield from skip(c)
    if following == "{":
        return (yield from _bare(c, box, CallProbe(box, at_start=at_start), start, "["))
    if following and NAME_START.match(following):
        return (yield from call_list(c, box))
    return TEXT


def _bare(c: Cursor, box: Toolbox, probe: CallProbe, start: int, opened: str) -> Recogniser:
    end = yield from scan_json(c, probe, opened)
    if end is End.RULED_OUT or (end is not End.CLOSED and not probe.named):
        return TEXT
    text = c.since(start)
    if probe.unfit and end is End.CLOSED:
        return After(text=True, doubt=UNREADABLE if _holds_call(text, box) else "")
    cut = end is End.CUT or (end is End.OPEN and c.broken)
    calls = [RawCall("", source=text, fault=CUT_OFF)] if cut else _calls(text, box, named=probe.named)
    yield from calls
    if calls:
        return CALLS
    return After(text=True, doubt=UNREADABLE if _holds_call(text, box) else "")


def _holds_call(text: str, box: Toolbox) -> bool:
    try:
        return holds_call(read_json(text), box)
    except ValueError:
        return False


def _calls(text: str, box: Toolbox, *, named: bool) -> list[RawCall]:
    try:
        return calls_in(read_call(text), box, text)
    except ValueError as error:
        return [RawCall("", source=text, fault=str(error))] if named else []


def fenced(c: Cursor, box: Toolbox, *, at_start: bool, line_start: bool, markup: Recogniser) -> Recogniser:
    """Read on at three backticks or more: calls in a block of code, or a block that is text.

    `markup` reads what begins with `<` or `[`, as outside of blocks.
    """
    start = c.tell()
    ticks = yield from _ticks(c)
    if not MIN_TICKS <= ticks <= MAX_TICKS:
        return TEXT
    language = (yield from _language(c, at_start=at_start)) if box else None
    if language is None:
        if not line_start:
            yield from skip(c, _INFO)
            line_start = (yield from peek(c)) == "\n"
        return After(text=True, fence=ticks, inline=not line_start)
    if language in code.LANGUAGES or language == "tool_code":
        return (yield from _program(c, box, ticks, whole=language != "tool_code", at_start=at_start))
    following = yield from skip(c)
    while following in {"/", "#"} and language:  # a comment
        yield from skip(c, _LINE)
        following = yield from skip(c)
    after = TEXT
    if following == "{":
        after = yield from bare(c, box, at_start=at_start)
    elif following in {"[", "<"}:
        after = yield from markup
        if after.thinking:
            after = TEXT  # the code of a program that knows such tags
    if not after.text:
        return After(text=False, fence=ticks)
    inline = not line_start and "\n" not in c.since(start)
    return After(text=True, fence=ticks, inline=inline, doubt=after.doubt)


def _program(c: Cursor, box: Toolbox, ticks: int, *, whole: bool, at_start: bool) -> Recogniser:
    """Read a block that is nothing but calls; if `whole`, nothing may follow it."""
    following = yield from skip(c)
    while following in {"/", "#"}:
        yield from skip(c, _LINE)
        following = yield from skip(c)
    start = c.tell()
    if following not in {"{", "["} and not (yield from code.begins_call(c, box)):
        return After(text=True, fence=ticks)
    closer = "`" * ticks
    found = yield from until(c, (closer,))
    calls = [] if c.broken and not found else code.code_calls(c.since(start).removesuffix(found), box)
    if calls and whole:
        calls = [] if (yield from skip(c)) or c.truncated else calls
    yield from calls
    return CALLS if calls else After(text=True, doubt=UNREADABLE if at_start else "")


def lines(c: Cursor, box: Toolbox) -> Recogniser:
    """Read the beginning of an answer in words: it may consist of lines with calls."""
    start = c.tell()
    begins = yield from code.begins_line(c, box)
    if begins == "name":
        return (yield from mistral.behind_name(c, box, c.since(start)))
    if begins != "call":
        return After(text=True, doubt=ANNOUNCED if begins else "")
    yield from skip(c, _ANYTHING)
    calls = [] if c.truncated or not c.ended else code.code_calls(c.since(start), box)
    yield from calls
    return CALLS if calls else After(text=True, doubt=UNREADABLE)


def closing(c: Cursor, ticks: int) -> Recogniser:
    """Read over the end of a block whose beginning was dropped."""
    if (yield from literal(c, ("`" * ticks,))):
        return After(text=False, closes=True)
    c.pos += 1
    return TEXT


def _ticks(c: Cursor) -> Waiting:
    start = c.tell()
    yield from skip(c, _TICKS)
    return c.tell() - start


def _language(c: Cursor, *, at_start: bool) -> Waiting:
    """Read the word behind the backticks; None as soon as it is none that holds calls."""
    name = ""
    while True:
        match = _INFO.match(c.text, c.pos)
        found = match.group() if match else ""
        for size in range(1, len(found) + 1):
            if (name + found[:size]).lower() not in _BEGINNINGS[at_start]:
                c.pos += size
                return None
        name += found
        c.pos += len(found)
        if c.pos < len(c.text) or not (yield from more(c)):
            return name.lower() if name.lower() in (_ALL_LANGUAGES if at_start else _LANGUAGES) else None


def render_fenced(calls: Sequence[ToolCall]) -> str:
    """Write calls as blocks of JSON."""
    return "\n".join(f"```json\n{call_json(call)}\n```" for call in calls)


def render_openai(calls: Sequence[ToolCall]) -> str:
    """Write calls as the OpenAI protocol has them."""
    listed = ", ".join(f'{{"type": "function", "function": {call_json(call)}}}' for call in calls)
    return f'{{"tool_calls": [{listed}]}}'
