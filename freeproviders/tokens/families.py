"""The families of tokenizers, and which of them a model has."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Final

ANY: Final = "any"
"""The family of models whose tokenizer is not known: the highest of all as upper estimate."""
# By a model's name in small letters; the first pattern that is found counts. What is in no line - the
# models of DeepSeek, GLM, Kimi, MiniMax, Llama 4 and others - has a tokenizer that was not measured.
_MODELS: Final = (
    ("o200k", r"(^|[/:_-])(gpt-(4o|4\.1|4\.5|[5-9]|oss)|chatgpt-4o|o[134](-|$))"),
    ("cl100k", r"(^|[/:_-])gpt-(4|3\.5|35)"),
    (ANY, r"deepseek|nemotron|distill"),
    ("llama3", r"(^|[/:_-])(meta-)?llama-?3"),
    ("qwen", r"(^|[/:_-])(qwen|qwq|qvq)"),
    ("gemma", r"(^|[/:_-])(gemma|gemini|learnlm)"),
    ("llama2", r"(^|[/:_-])((meta-)?llama-?2|codellama|tinyllama|mixtral|(open-)?mistral-7b|zephyr|phi-3)"),
    ("mistral", r"(^|[/:_-])(mistral|ministral|codestral|devstral|magistral|pixtral|voxtral)"),
    ("command-r", r"(^|[/:_-])(command-[ar]|c4ai-command|aya)"),
)
_PREAMBLES: Final = {ANY: 90, "o200k": 90, "llama3": 45, "qwen": 45}
_PREAMBLE: Final = 24


@lru_cache(256)
def family_of(model: str) -> str:
    """Return the family of a model's tokenizer by the model's name, `ANY` where that tells none."""
    low = model.lower()
    for name, pattern in _patterns():
        if pattern.search(low):
            return name
    return ANY


def preamble_of(family: str) -> int:
    """Return the most tokens that templates of a family put before a conversation."""
    return _PREAMBLES.get(family, _PREAMBLE)


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple([(name, re.compile(pattern)) for name, pattern in _MODELS])
