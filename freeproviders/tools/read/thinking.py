"""The marks of reasoning: what opens it in a model's text, and what closes it."""

from __future__ import annotations

from typing import Final

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


def begins_with_mark(text: str) -> bool | None:
    """Return whether a text begins with a mark, of reasoning or of a template; None while it may yet."""
    if text.startswith(_MARKS):
        return True
    return None if any(mark.startswith(text) for mark in _MARKS) else False
