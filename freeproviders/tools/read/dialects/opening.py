"""The openers of calls, and the reader for each."""

from __future__ import annotations

import re
from typing import Final

from freeproviders.tools.read.cursor import TEXT, After, Cursor, Recogniser, literal, peek, skip
from freeproviders.tools.read.dialects import bare, result
from freeproviders.tools.read.dialects.pythonic import NAME_START
from freeproviders.tools.read.dialects.registry import READERS
from freeproviders.tools.toolbox import Toolbox

THINKING: Final = {"<think>": "</think>", "<thinking>": "</thinking>"}
"""What opens reasoning, and what closes it."""

_READERS: Final = {**READERS, **dict.fromkeys(result.TAGS, result.result)}
_TAGS: Final = (*(opener for opener in _READERS if opener[0] == "<"), *THINKING)
_SQUARES: Final = tuple(opener for opener in _READERS if opener[0] == "[")


def _second_letters(tags: tuple[str, ...]) -> str:
    return re.escape("".join(sorted({tag[1] for tag in tags})))


OPENER: Final = re.compile(
    rf"<(?=[{_second_letters(_TAGS)}]|\Z)"
    rf"|\{{(?=\s*(?:{bare.KEY_START.pattern}|\Z))"
    rf"|\[(?=\s*(?:\{{|{NAME_START.pattern}|\Z))"
    r"|`{3}|`{1,2}\Z"
)
"""Finds where a call, reasoning or a block of code may begin; everything before it is text."""
THINK_OPENER: Final = re.compile(rf"<(?=[{_second_letters(tuple(THINKING))}]|\Z)|`{{3}}|`{{1,2}}\Z")
"""The same where no tools are bound."""


def opening(c: Cursor, box: Toolbox, *, at_start: bool, line_start: bool) -> Recogniser:
    """Read on at an opener.

    `at_start`: nothing has been said before; `line_start`: only white space stands before it on its
    line.
    """
    char = c.text[c.pos]
    if char == "{":
        return (yield from bare.bare(c, box, at_start=at_start))
    tagged = markup(c, box, at_start=at_start)
    if char == "`":
        return (yield from bare.fenced(c, box, at_start=at_start, line_start=line_start, markup=tagged))
    return (yield from tagged)


def sample(c: Cursor, opener: re.Pattern[str], ticks: int) -> Recogniser:
    """Read on at an opener right behind backticks: a sample of code in a line, which is text."""
    char = c.text[c.pos]
    c.pos += 1
    following = yield from (peek(c) if char == "<" else skip(c))
    # The search may have stopped here just because nothing had followed yet.
    begins = following and opener.match(char + following)
    return After(text=True, fence=ticks, inline=True) if begins else TEXT


def markup(c: Cursor, box: Toolbox, *, at_start: bool) -> Recogniser:
    """Read on at `<` or `[`."""
    if c.text[c.pos] == "[":
        if opener := (yield from literal(c, _SQUARES)):
            return (yield from _READERS[opener](c, box, opener))
        c.pos += 1
        return (yield from bare.square(c, box, at_start=at_start))
    tag = yield from literal(c, _TAGS if box else tuple(THINKING))
    if tag in THINKING:
        return After(text=False, thinking=THINKING[tag])
    if tag:
        return (yield from _READERS[tag](c, box, tag))
    c.pos += 1
    return TEXT
