"""The marks of reasoning: what opens it in a model's text, and what closes it."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

THINKING: Final = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<seed:think>": "</seed:think>",
    "<longcat_think>": "</longcat_think>",
    "<mm:think>": "</mm:think>",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|inner_prefix|>": "<|inner_suffix|>",
    "<|content_thinking|>": "<|end_message|>",
    "<|think|>": "<|end|>",
    "<|plamo:begin_think:plamo|>": "<|plamo:end_think:plamo|>",
    "<ifm|think>": "</ifm|think>",
    "<unused94>thought": "<unused95>",
    "[THINK]": "[/THINK]",
}
"""Marks that mean reasoning wherever they stand outside of code."""

LEADING: Final = {"<reasoning>": "</reasoning>", "<thought>": "</thought>"}
"""Marks that mean reasoning at the beginning of an answer: elsewhere they are words of a document."""

CLOSERS: Final = (*THINKING.values(), *LEADING.values())
"""Each may begin an answer, where the model's template has opened the reasoning."""

TEMPLATE: Final = (*THINKING.values(), "<|close|>think<|sep|>", "<channel|>", "[BEGIN FINAL RESPONSE]")
"""What closes reasoning that a template has opened, since nobody knows by which mark."""

_SPECIAL: Final = "<|"
"""What the special tokens of most templates begin with, as of channels, which no words do."""
_MARKS: Final = (*THINKING, *LEADING, *CLOSERS, _SPECIAL)

_ENDS_OF_MESSAGES: Final = frozenset({"<|end|>", "<|end_message|>"})
_OPENERS: Final = {
    **{closer: opener[:-1] for opener, closer in THINKING.items() if closer not in _ENDS_OF_MESSAGES},
    "<|close|>think<|sep|>": "<|open|>think",
    "<channel|>": "<|channel>",
    "[BEGIN FINAL RESPONSE]": "[BEGIN FINAL RESPONSE]",
}
"""How a mark begins that opens reasoning, by the mark that may close it although nothing opened it.

Marks that end any message, and words of documents, say nothing alone.
"""
_CLOSING: Final = re.compile("|".join(map(re.escape, _OPENERS)))
_NOT_BEFORE: Final = frozenset(" \t\"'`\u201c\u2018\u00ab(<>=/\\|~,")
"""What stands before a mark that is mentioned or quoted."""
_BEFORE_WORDS: Final = frozenset("\n.!?\u2026\u3002\uff01\uff1f*)]}")
"""The end of a sentence or a line, right behind which a mark may be followed by the first word."""
_LINE_END: Final = re.compile(r"[ \t]*\r?(?:\n|\Z)")
_WORDS: Final = re.compile(r"[^\s\"'`\u201d\u2019\u00bb)>=/\\|~,.;:?!]")
_BLANK: Final = re.compile(r"\s*\Z")
_FENCE: Final = re.compile(r"^[ \t]*(?:`{3}|~{3})", re.MULTILINE)


def begins_with_mark(text: str) -> bool | None:
    """Return whether a text begins with a mark, of reasoning or of a template; None while it may yet."""
    if text.startswith(_MARKS):
        return True
    return None if any(mark.startswith(text) for mark in _MARKS) else False


CLOSED_UNOPENED: Final = "An answer closed thinking that nothing in it had opened."
"""What shows that a model's answers begin inside the thinking."""


class ClosingMark(NamedTuple):
    """The place of a mark of reasoning in a whole answer."""

    start: int
    end: int


def closing_mark(text: str, *, more: bool = False) -> ClosingMark | None:
    r"""Find the mark that closes reasoning which nothing in a whole answer has opened.

    Models whose template opens the reasoning send `reasoning\n</think>\n\nanswer`: the mark stands
    behind the last line or the last word of the reasoning, and before a line break, or right
    between the end of a sentence and the first word of the answer. One that prose mentions, or that
    stands in a block of code, is none, and neither is one with nothing behind it: there must be
    an answer, or `more` than the text.
    """
    at, fences = 0, 0
    begins = len(text) - len(text.lstrip())
    opened: dict[str, int] = {}
    for found in _CLOSING.finditer(text):
        fences += len(_FENCE.findall(text, at, found.start()))
        mark, at, end = found.group(), found.start(), found.end()
        if mark not in opened:
            opened[mark] = text.find(_OPENERS[mark])
        if at <= begins or 0 <= opened[mark] < at or fences % 2 or not _closes(text, at, end):
            continue
        if more or _BLANK.match(text, end) is None:
            return ClosingMark(at, end)
    return None


def _closes(text: str, at: int, end: int) -> bool:
    """Return whether a mark stands as models write it, and not within a sentence."""
    before = text[at - 1]
    if _LINE_END.match(text, end) is not None:
        return before not in _NOT_BEFORE
    return before in _BEFORE_WORDS and _WORDS.match(text, end) is not None
