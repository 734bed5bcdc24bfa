"""`<tool_response>...</tool_response>` from the model.

That is a result which the model made up or quotes, or a call in the wrong tags, as small models
write it.
"""

from __future__ import annotations

import re
from typing import Final

from freeproviders.tools.read.cursor import CALLS, TEXT, After, Cursor, Recogniser, literal, peek, skip, word
from freeproviders.tools.read.dialects.bare import bare, square
from freeproviders.tools.toolbox import Toolbox

OPENERS: Final = ("<tool_response", "<tool_result", "<tool_output", "<function_response", "<function_result")
"""Attributes may follow, as the name of the tool in our own prompt."""

_MAX_ATTRIBUTES: Final = 200
_ATTRIBUTES = re.compile(r"[^<>\n]*")
_TAG_END = re.compile(r"s?(?:\s.*)?", re.DOTALL)


def result(c: Cursor, box: Toolbox, opener: str) -> Recogniser:
    """Read on behind an opening tag: calls to bound tools, else text in which nothing is a call."""
    attributes = yield from word(c, _ATTRIBUTES, _MAX_ATTRIBUTES)
    if not _TAG_END.fullmatch(attributes) or (yield from peek(c)) != ">":
        return TEXT
    c.pos += 1
    closer = f"</{opener[1:]}{'s' if attributes.startswith('s') else ''}>"
    start, found = c.tell(), False
    following = yield from skip(c)
    while following in {"{", "["}:
        if following == "[":
            c.pos += 1
        after = yield from (bare if following == "{" else square)(c, box, at_start=False)
        if after.text:
            return after if found or closer in c.since(start) else After(text=True, until=closer)
        found = True
        start = c.tell()
        following = yield from skip(c)
    if not found:
        return After(text=True, until=closer)
    yield from literal(c, (closer,))
    return CALLS
