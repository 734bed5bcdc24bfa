"""`<tool_response>...</tool_response>` from the model.

That is a result which the model made up or quotes, or a call in the wrong tags, as small models
write it.
"""

from __future__ import annotations

from typing import Final

from freeproviders.tools.read.cursor import CALLS, After, Cursor, Recogniser, literal, skip
from freeproviders.tools.read.dialects.bare import bare, square
from freeproviders.tools.toolbox import Toolbox

TAGS: Final = {"<tool_response>": "</tool_response>"}


def result(c: Cursor, box: Toolbox, tag: str) -> Recogniser:
    """Read on behind an opening tag: calls to bound tools, else text in which nothing is a call."""
    closer, start, found = TAGS[tag], c.tell(), False
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
