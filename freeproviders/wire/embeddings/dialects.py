"""The dialects in which services are asked for vectors, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from freeproviders.wire.embeddings.cohere import Cohere
from freeproviders.wire.embeddings.dialect import Dialect
from freeproviders.wire.embeddings.gemini import Gemini
from freeproviders.wire.embeddings.huggingface import HuggingFace
from freeproviders.wire.embeddings.names import DialectName
from freeproviders.wire.embeddings.ollama import Ollama
from freeproviders.wire.embeddings.variants import LlamaCpp, Mistral, Nvidia, Vllm

DIALECTS: Final[Mapping[DialectName, Dialect]] = {
    dialect.name: dialect
    for dialect in (
        Dialect(),
        Mistral(),
        Nvidia(),
        Vllm(),
        LlamaCpp(),
        Ollama(),
        Cohere(),
        Gemini(),
        HuggingFace(),
    )
}
"""All dialects, which rows name."""


def dialect_named(name: DialectName) -> Dialect:
    """Look up a dialect."""
    return DIALECTS[name]
