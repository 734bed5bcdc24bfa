"""The structure in the eyes of models, templates and readers: tags and special tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_TAGS: Final = ("start_of_turn", "end_of_turn", "start_of_image", "tool_response")
_SQUARES: Final = ("INST", "SYSTEM_PROMPT", "AVAILABLE_TOOLS", "TOOL_RESULTS", "TOOL_CONTENT")
_WHOLE = re.compile(r"<(/?[\w:.-]+)>|\[([\w ]+)\]")

OWN = re.compile(r"<|\[(?=\s{0,8}/?(?:(?i:INST|ARGS|CALL_ID)|[A-Z]+_[A-Z_]+)\])")
"""What could begin markup in our own writing: any `<`, and templates' words in square brackets."""


def markup(openers: Iterable[str], *, notes: Iterable[str] = ()) -> re.Pattern[str]:
    """Compile a pattern for the first character of all markup that could act.

    It is that of templates - special tokens, `<|...`, among them - and what begins with one of the
    `openers`, with its closing tag. `notes` are texts that mean something at the beginning of a
    line only.
    """
    names: dict[str, list[str]] = {"<": [*_TAGS], "[": [*_SQUARES]}
    literals: dict[str, list[str]] = {"<": [], "[": []}
    for opener in openers:
        if found := _WHOLE.fullmatch(opener):
            names[opener[0]].append(re.escape((found[1] or found[2]).removeprefix("/")))
        elif opener[:1] in literals:
            literals[opener[0]].append(re.escape(opener[1:]))
    tags, squares = ("|".join(dict.fromkeys(found)) for found in names.values())
    more_tags, more_squares = ("".join(f"|{text}" for text in found) for found in literals.values())
    lines = "|".join(re.escape(note[1:]) for note in notes if note[:1] == "[")
    return re.compile(
        rf"<(?=\s{{0,8}}/?\s{{0,8}}(?:{tags})(?![\w:.-])|[|\uff5c][\w/\"]|/?<?/?<SYS>>{more_tags})"
        rf"|\[(?=\s{{0,8}}/?(?:{squares})\]{more_squares})" + (rf"|^\[(?=(?:{lines}))" if lines else ""),
        re.MULTILINE,
    )
