"""Context windows by model family: tokens for question and answer together.

The numbers serve plans made before a service is asked: how much history to send, how much of a
document fits. A backend that knows better says so in its abilities, the embedded model by its file,
and callers can set their own number. The longest pattern found in a model's name decides. From the
models' own cards, November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

DEFAULT_WINDOW: Final = 8192
"""The window of unknown models: few have less, and services refuse more than they have."""

WINDOWS: Final[Mapping[str, int]] = {
    "chronos-hermes": 2048,
    "claude": 100_000,
    "claude-3": 200_000,
    "claude-v1": 9000,
    "codestral": 32_768,
    "deepseek": 65_536,
    "dolphin-2.6": 16_384,
    "gemini": 32_768,
    "gemini-1.5": 1_048_576,
    "gemini-2": 1_048_576,
    "gemini-pro": 32_768,
    "gemma": 8192,
    "gemma-3": 131_072,
    "gpt-3.5": 16_385,
    "gpt-4": 8192,
    "gpt-4-turbo": 128_000,
    "gpt-4.1": 1_047_576,
    "gpt-4o": 128_000,
    "gpt-5": 400_000,
    "gpt-oss": 131_072,
    "gpt4": 128_000,
    "llama-3": 8192,
    "llama-3.1": 131_072,
    "llama-3.2": 131_072,
    "llama-3.3": 131_072,
    "llama-4": 131_072,
    "llama2": 4096,
    "llama3": 8192,
    "llama3.1": 131_072,
    "llama3.2": 131_072,
    "llama3.3": 131_072,
    "mistral": 32_768,
    "mixtral": 32_768,
    "mythalion": 4096,
    "phi-3": 4096,
    "phi-4": 16_384,
    "pygmalion": 2048,
    "qwen": 32_768,
    "qwen3": 40_960,
    "smollm2": 8192,
}


@lru_cache(maxsize=256)
def context_window(model: str) -> int | None:
    """Look up the context window of a model by its name; None where the family is not known."""
    lowered = model.lower()
    found = [pattern for pattern in WINDOWS if pattern in lowered]
    return WINDOWS[max(found, key=len)] if found else None
