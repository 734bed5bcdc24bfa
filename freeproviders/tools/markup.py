"""What models and their templates take for structure: tags, special tokens, role labels."""

from __future__ import annotations

import re
from typing import Final

_TAGS: Final = (
    "tool", "tools", "tool_call", "tool_calls", "toolcall", "tool_response", "tool_result", "tool_use", "function", "functions", "function_call", "function_calls",
    "function_response", "function_results", "invoke", "parameter", "arg_key", "arg_value", "think", "thinking", "system", "user", "assistant", "human",
    "s", "bos", "eos", "sep", "pad", "start_of_turn", "end_of_turn", "sys",
)  # fmt: skip
_WORDS: Final = (
    "INST",
    "TOOL_CALLS",
    "TOOL_RESULTS",
    "TOOL_CONTENT",
    "AVAILABLE_TOOLS",
    "SYSTEM_PROMPT",
    "ARGS",
    "CALL_ID",
)
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

MARKUP = re.compile(
    rf"(?P<tag><(?=\s{{0,8}}/?\s{{0,8}}(?:{'|'.join(_TAGS)})\b|[|\uff5c]|/?<sys>>))|(?P<square>\[(?=\s{{0,8}}/?(?:{'|'.join(_WORDS)})\]))",
    re.IGNORECASE,
)
ROLE = re.compile(rf"^(?P<before>[ \t>*#_]*(?:{'|'.join(_ROLES)})[ \t*_]*):", re.IGNORECASE | re.MULTILINE)


def escape(json_text: str) -> str:
    """The same JSON with the markup in its strings escaped: it decodes to what it was, yet nobody reads a tag or a turn in it."""
    return MARKUP.sub(lambda match: f"\\u{ord(match.group()):04x}", json_text)
