"""The structure in the eyes of models and templates: tags, special tokens, role labels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_TAGS: Final = (
    "tool", "tools", "tool_response", "tool_result", "tool_use", "functions", "function_calls",
    "function_response", "function_results", "invoke", "parameter", "arg_key", "arg_value", "think",
    "thinking", "system", "user", "assistant", "human", "s", "bos", "eos", "sep", "pad", "start_of_turn",
    "end_of_turn", "sys",
)  # fmt: skip
_SQUARES: Final = (
    "INST", "TOOL_RESULTS", "TOOL_CONTENT", "AVAILABLE_TOOLS", "SYSTEM_PROMPT", "ARGS", "CALL_ID",
)  # fmt: skip
_ROLES: Final = (
    "system", "developer", "user", "human", "assistant", "ai", "bot", "model", "chatbot", "tool", "function",
    "instruction", "response", "input",
)  # fmt: skip
_NAME = re.compile(r"\w+")

ROLE = re.compile(rf"^(?P<before>[ \t>*#_]*(?:{'|'.join(_ROLES)})[ \t*_]*):", re.IGNORECASE | re.MULTILINE)
"""The label of a turn, at the beginning of a line."""

OWN = re.compile(
    rf"<|\[(?=\s{{0,8}}/?(?:(?i:{'|'.join(_SQUARES)})|[A-Z]+_[A-Z_]+)\])",
)
"""What could begin markup in our own writing: any `<`, and templates' words in square brackets."""


def markup(openers: Iterable[str]) -> re.Pattern[str]:
    """Compile a pattern for the beginning of all markup: the templates' and the dialects' own."""
    names: dict[str, list[str]] = {"<": [*_TAGS], "[": [*_SQUARES]}
    for opener in openers:
        # `<|` is found whatever follows.
        if opener[:1] in names and (name := _NAME.match(opener, 1)):
            names[opener[0]].append(name.group())
    tags, squares = ("|".join(dict.fromkeys(found)) for found in names.values())
    return re.compile(
        rf"(?P<tag><(?=\s{{0,8}}/?\s{{0,8}}(?:{tags})\b|[|\uff5c]|/?<sys>>))"
        rf"|(?P<square>\[(?=\s{{0,8}}/?(?:{squares})\]))",
        re.IGNORECASE,
    )
