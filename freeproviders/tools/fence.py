"""Text from outside made unable to open or close a call, a result or a turn.

Documents, results and what users type come from outside. Markup is replaced by look-alikes that a
model reads as before: the `<` of `<tool_call>` and the `[` of `[INST]` become other brackets, the
colon of `User:` at the beginning of a line a wide one. JSON is left alone, unless it is a call to a
bound tool.
"""

from __future__ import annotations

from typing import Final

from freeproviders.tools.read.cursor import RawCall
from freeproviders.tools.read.dialects.registry import READERS
from freeproviders.tools.read.markup import ROLE, markup
from freeproviders.tools.read.parser import Parser
from freeproviders.tools.toolbox import Toolbox

_MARKUP: Final = markup(READERS)
_BRACKETS: Final = str.maketrans("{}[]()", "｛｝［］（）")  # noqa: RUF001 - look-alikes on purpose
_LOOK_ALIKES: Final = {"tag": "‹", "square": "⟦"}  # noqa: RUF001 - on purpose
_MAX_ROUNDS: Final = 4


def fence(text: str, box: Toolbox | None = None) -> str:
    """Neutralise the markup in a text; with `box`, also what would be a call to its tools."""
    text = _MARKUP.sub(lambda match: _LOOK_ALIKES[match.lastgroup or "tag"], text)
    text = ROLE.sub(r"\g<before>：", text)  # noqa: RUF001 - a look-alike on purpose
    if not box:
        return text
    for _ in range(_MAX_ROUNDS):
        sources = _calls_in(text, box)
        if not sources:
            return text
        text = _with_look_alikes(text, sources)
    return text.translate(_BRACKETS)


def _with_look_alikes(text: str, sources: list[str]) -> str:
    """Change the brackets of some parts of a text, which stand in it in this order."""
    out: list[str] = []
    done = 0
    for source in sources:
        at = text.find(source, done)
        if at >= 0:  # several calls may have one source, as in a list
            out += text[done:at], source.translate(_BRACKETS)
            done = at + len(source)
    return "".join((*out, text[done:]))


def _calls_in(text: str, box: Toolbox) -> list[str]:
    """Find what the parser would take for calls if the model repeated the text."""
    parser = Parser(box)
    pieces = [*parser.feed(text), *parser.close()]
    return [
        piece.source
        for piece in pieces
        if isinstance(piece, RawCall) and piece.source and (piece.fault or box.match(piece.name))
    ]


def escape(json_text: str) -> str:
    """Escape the markup in the strings of a JSON text, which decodes to what it was."""
    return _MARKUP.sub(lambda match: f"\\u{ord(match.group()):04x}", json_text)
