"""The families of tokenizers: which a model has, and what pieces of text cost in each."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
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
_GROUPS: Final = {"lower": "latin", "title": "latin", "upper": "latin", "accents": "latin", "blank": "signs"}


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
def upper_rows() -> Mapping[str, Mapping[str, tuple[float, str]]]:
    """Read what a piece of each kind costs at most, by family, and the group that it counts to."""
    table = tomllib.loads((files(__package__) / "upper.toml").read_text(encoding="utf-8"))
    return {
        name: {kind: (row[column], _group(kind)) for kind, row in table["upper"].items()}
        for column, name in enumerate(table["families"])
    }


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple([(name, re.compile(pattern)) for name, pattern in _MODELS])


def _group(kind: str) -> str:
    """Return the script or sort of text that a kind of pieces counts to."""
    base = kind.partition(".")[0].partition("-")[0]
    return "signs" if base == "blanks" else _GROUPS.get(base, base)
