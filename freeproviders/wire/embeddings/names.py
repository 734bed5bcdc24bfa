"""The names of dialects, as rows have them."""

from __future__ import annotations

from typing import Literal

DialectName = Literal[
    "openai", "mistral", "nvidia", "vllm", "llamacpp", "ollama", "cohere", "gemini", "huggingface"
]
