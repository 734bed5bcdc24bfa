"""Where a call may begin, and who reads it from there."""

from __future__ import annotations

import re
from typing import Final

from freeproviders.tools.cursor import TEXT, After, Cursor, Recogniser, literal, peek, skip
from freeproviders.tools.dialects import bare, function, hermes, llama, mistral, result
from freeproviders.tools.dialects.pythonic import NAME_START
from freeproviders.tools.toolbox import Toolbox

THINKING: Final = {"<think>": "</think>", "<thinking>": "</thinking>"}
"""What opens reasoning, and what closes it."""
FUNCTION: Final = "<function="

OPENER: Final = re.compile(
    rf"""<(?=[tf|]|\Z)|\{{(?=\s*(?:{bare.KEY_START.pattern}|\Z))|\[(?=\s*(?:\{{|{NAME_START.pattern}|\Z))|`{{3}}|`{{1,2}}\Z"""
)
"""Finds a place where a call, reasoning or a block of code may begin. Everything before it is text."""
THINK_OPENER: Final = re.compile(r"<(?=t|\Z)")
"""The same where no tools are bound."""

_TAGS: Final = (*hermes.TAGS, *THINKING, *result.TAGS, FUNCTION, llama.OPENER)


def opening(c: Cursor, box: Toolbox, *, whole: bool, line_start: bool) -> Recogniser:
    """Read on at an opener. `whole`: nothing has been said before; `line_start`: only white space stands before it on its line."""
    char = c.text[c.pos]
    if char == "{":
        return (yield from bare.bare(c, box, whole=whole))
    if char == "`":
        return (
            yield from bare.fenced(
                c, box, whole=whole, line_start=line_start, markup=markup(c, box, whole=whole)
            )
        )
    return (yield from markup(c, box, whole=whole))


def sample(c: Cursor, opener: re.Pattern[str], ticks: int) -> Recogniser:
    """Read on at an opener right behind backticks: it stands in a sample of code within a line, which is text to its end."""
    char = c.text[c.pos]
    c.pos += 1
    following = yield from (peek(c) if char == "<" else skip(c))
    begins = following and opener.match(
        char + following
    )  # the search may have stopped here just because nothing had followed yet
    return After(text=True, fence=ticks, inline=True) if begins else TEXT


def markup(c: Cursor, box: Toolbox, *, whole: bool) -> Recogniser:
    """Read on at `<` or `[`."""
    if c.text[c.pos] == "[":
        if (yield from literal(c, (mistral.OPENER,))):
            return (yield from mistral.mistral(c, box))
        c.pos += 1
        return (yield from bare.square(c, box, whole=whole))
    tag = yield from literal(c, _TAGS if box else tuple(THINKING))
    if tag in hermes.TAGS:
        return (yield from hermes.hermes(c, box, tag))
    if tag == FUNCTION:
        return (yield from function.function(c, box))
    if tag == llama.OPENER:
        return (yield from llama.llama(c, box))
    if tag in result.TAGS:
        return (yield from result.result(c, box, tag))
    if tag in THINKING:
        return After(text=False, thinking=THINKING[tag])
    c.pos += 1
    return TEXT
