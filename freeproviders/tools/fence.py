"""Text from outside - documents, results, what users type - made unable to open or close a call, a result or a turn.

Markup is replaced by look-alikes that a model reads as before: the `<` of `<tool_call>` and the `[` of `[INST]` become other brackets, the colon of `User:` at the
beginning of a line a wide one. JSON is left alone, unless it is a call to a bound tool.
"""

from __future__ import annotations

import re
from typing import Final

from freeproviders.tools.cursor import RawCall
from freeproviders.tools.parser import Parser
from freeproviders.tools.toolbox import Toolbox

_TAGS: Final = (
    "tool", "tools", "tool_call", "tool_calls", "toolcall", "tool_response", "tool_result", "tool_use", "function", "functions", "function_call", "function_calls",
    "function_response", "function_results", "invoke", "parameter", "arg_key", "arg_value", "think", "thinking", "system", "user", "assistant", "human",
    "s", "bos", "eos", "sep", "pad", "start_of_turn", "end_of_turn", "sys",
)  # fmt: skip
_WORDS: Final = ("INST", "TOOL_CALLS", "TOOL_RESULTS", "TOOL_CONTENT", "AVAILABLE_TOOLS", "SYSTEM_PROMPT", "ARGS", "CALL_ID")
_ROLES: Final = (
    "system",
    "developer",
    "user",
    "human",
    "assistant",
    "ai",
    "bot",
    "model",
    "chatbot",
    "tool",
    "function",
    "instruction",
    "response",
    "input",
)

_MARKUP = re.compile(
    rf"(?P<tag><(?=\s{{0,8}}/?\s{{0,8}}(?:{'|'.join(_TAGS)})\b|[|\uff5c]|/?<sys>>))|(?P<square>\[(?=\s{{0,8}}/?(?:{'|'.join(_WORDS)})\]))",
    re.IGNORECASE,
)
_ROLE = re.compile(rf"^(?P<before>[ \t>*#_]*(?:{'|'.join(_ROLES)})[ \t*_]*):", re.IGNORECASE | re.MULTILINE)
_BRACKETS: Final = str.maketrans("{}[]()", "｛｝［］（）")  # noqa: RUF001 - look-alikes on purpose
_LOOK_ALIKES: Final = {"tag": "‹", "square": "⟦"}  # noqa: RUF001
_MAX_ROUNDS: Final = 4


def fence(text: str, box: Toolbox | None = None) -> str:
    """Neutralise the markup in a text from outside; with `box`, also what would be read as a call to one of its tools."""
    text = _ROLE.sub(r"\g<before>：", _MARKUP.sub(lambda match: _LOOK_ALIKES[match.lastgroup or "tag"], text))  # noqa: RUF001
    if not box:
        return text
    for _ in range(_MAX_ROUNDS):
        sources = _calls_in(text, box)
        if not sources:
            return text
        text = _with_look_alikes(text, sources)
    return text.translate(_BRACKETS)


def escape(json_text: str) -> str:
    """The same JSON with the markup in its strings escaped: it decodes to what it was, yet nobody reads a tag or a turn in it."""
    return _MARKUP.sub(lambda match: f"\\u{ord(match.group()):04x}", json_text)


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
    """The places that the parser, which will read the model's answer, would take for calls if the model repeated them."""
    parser = Parser(box)
    pieces = [*parser.feed(text), *parser.close()]
    return [piece.source for piece in pieces if isinstance(piece, RawCall) and piece.source and (piece.fault or box.match(piece.name))]
