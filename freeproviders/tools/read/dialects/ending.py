"""What follows a call and is no part of the answer: forgotten closing tags, invented results, turns.

A model that was not stopped at its call goes on as the conversation would: it writes the result that
only the tool can give, and the next turns.
"""

from __future__ import annotations

import re
from typing import Final

from freeproviders.tools.read.cursor import TEXT, After, Cursor, Recogniser, literal, more, peek, skip, word

DROPPED: Final = After(text=False)
ENDS: Final = After(text=False, ends=True)

SQUARES: Final = ("[TOOL_RESULTS]", "[TOOL_CONTENT]", "[INST]", "[SYSTEM_PROMPT]", "[/INST]", "[/TOOL_CALLS]")
_CLOSING_SQUARES: Final = ("[/INST]", "[/TOOL_CALLS]")
_MAX_TAG_CHARS: Final = 200

_TAG = re.compile(r"[^<>\n]*")
_TAG_START = re.compile(r"[A-Za-z|\uff5c/]")
_CLOSES = re.compile(
    r"/\s*[\w:.|\uff5c\-]+\s*"
    r"|[|\uff5c](?:[\w\u2581]*end[\w\u2581]*|eot|eot_id|eom_id|return|eos)[|\uff5c]?|end_of_\w+",
    re.IGNORECASE,
)
"""The inside of tags that close something: right behind a call nothing is open."""
_TURNS = re.compile(
    r"[|\uff5c]?\s*(?:im_start|start_header_id|start_of_turn|start_of_role|turn|begin_of_text|bos"
    r"|user|human|assistant|system|developer|model|ipython|observation|environment|results?|outputs?|responses?"
    r"|(?:start_)?(?:tool|function)[_\u2581](?:calls?[_\u2581])?(?:responses?|results?|outputs?)\w*)"
    r"(?![a-z])",
    re.IGNORECASE,
)
"""The beginning of the inside of tags that open a result or a turn."""

MAX_BEFORE_LABEL: Final = 8
BEFORE_LABEL: Final = rf"[ \t>*#]{{0,{MAX_BEFORE_LABEL}}}"
"""A pattern for what may stand between the beginning of a line and its label."""
_BEFORE_LABEL = re.compile(r"[ \t>*#]*")
_LABEL_START = re.compile(r"[A-Za-z]")
_LABEL = re.compile(r"[A-Za-z_ ]{0,24}")
_ROLES: Final = frozenset(
    {"user", "human", "assistant", "ai", "bot", "chatbot", "system", "developer", "model", "tool", "function",
     "ipython", "observation", "environment"}
)  # fmt: skip
_RESULTS: Final = frozenset(
    {"result", "output", "response", "tool result", "tool output", "tool response", "tool_response",
     "tool_result", "function result", "function output", "function response", "function_response",
     "ai assistant", "user input"}
)  # fmt: skip
_LABELS: Final = _ROLES | _RESULTS


def tag(c: Cursor, *, directly: bool) -> Recogniser:
    """Read on at a `<` somewhere behind a call; `directly` says that nothing was said since."""
    c.pos += 1
    following = yield from peek(c)
    if not _TAG_START.match(following) or (following == "/" and not directly):
        return TEXT
    inside = yield from word(c, _TAG, _MAX_TAG_CHARS)
    if not inside or (yield from peek(c)) != ">":
        return TEXT
    c.pos += 1
    if _TURNS.match(inside):
        return ENDS
    return DROPPED if directly and _CLOSES.fullmatch(inside) else TEXT


def square(mark: str, *, directly: bool) -> After:
    """Tell what a mark in square brackets means somewhere behind a call."""
    if mark not in _CLOSING_SQUARES:
        return ENDS
    return DROPPED if directly else TEXT


def label(c: Cursor) -> Recogniser:
    """Read on at the beginning of a line behind a call: `User:`, or a line that is only `user`."""
    c.pos += c.text[c.pos] == "\n"
    start = c.tell()
    following = yield from skip(c, _BEFORE_LABEL)
    if not _LABEL_START.match(following) or c.tell() - start > MAX_BEFORE_LABEL:
        c.pos += not c.tell()  # a recogniser reads something
        return TEXT
    words = ""
    while True:
        match = _LABEL.match(c.text, c.pos)
        words += match.group().lower() if match else ""
        c.pos = match.end() if match else c.pos
        if not any(known.startswith(words.rstrip()) for known in _LABELS):
            return TEXT
        if c.pos < len(c.text) or not (yield from more(c)):
            break
    words = words.rstrip()
    if words not in _LABELS:
        return TEXT
    following = yield from peek(c)
    if following == ":" or (yield from literal(c, ("**:",))):
        return ENDS
    return ENDS if words in _ROLES and following in {"", "\n"} else TEXT
