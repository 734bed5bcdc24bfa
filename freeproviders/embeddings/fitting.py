"""Embedding models that a user may fetch to run them on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """A model of which GGUF files are published, to suggest to users without one.

    `size` counts the numbers of a vector, `window` the tokens of a text, `megabytes` are those of a
    file with 8 bits a weight. `where` is a repository of the Hugging Face hub.
    """

    name: str
    licence: str
    languages: str
    size: int
    window: int
    megabytes: int
    where: str

    def __str__(self) -> str:
        return (
            f"{self.name} ({self.licence}, {self.languages}, {self.size} numbers, texts of up to "
            f"{self.window} tokens, about {self.megabytes} MB: {self.where})"
        )


FITTING: Final = (
    Fitting(
        name="nomic-embed-text-v1.5",
        licence="Apache-2.0",
        languages="English",
        size=768,
        window=2048,
        megabytes=146,
        where="nomic-ai/nomic-embed-text-v1.5-GGUF",
    ),
    Fitting(
        name="Qwen3-Embedding-0.6B",
        licence="Apache-2.0",
        languages="100 languages",
        size=1024,
        window=32768,
        megabytes=639,
        where="Qwen/Qwen3-Embedding-0.6B-GGUF",
    ),
    Fitting(
        name="embeddinggemma-300m",
        licence="Gemma's terms",
        languages="100 languages",
        size=768,
        window=2048,
        megabytes=329,
        where="ggml-org/embeddinggemma-300M-GGUF",
    ),
)
