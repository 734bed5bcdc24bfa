"""Vectors of texts: services, local servers, the embedded engine, and a floor that needs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freeproviders.lazy import lazy

if TYPE_CHECKING:
    from freeproviders.embeddings.cache import VectorCache
    from freeproviders.embeddings.chosen import FreeProvidersEmbedder
    from freeproviders.embeddings.embedded import EmbeddedEmbedder
    from freeproviders.embeddings.embedder import Embedder
    from freeproviders.embeddings.family import Family
    from freeproviders.embeddings.hybrid import Hit, HybridIndex
    from freeproviders.embeddings.offline import OfflineEmbedder
    from freeproviders.embeddings.openai_compatible import OpenAICompatibleEmbedder
    from freeproviders.embeddings.result import Embeddings
    from freeproviders.wire.embeddings.vectors import Vectors

__all__ = [
    "EmbeddedEmbedder",
    "Embedder",
    "Embeddings",
    "Family",
    "FreeProvidersEmbedder",
    "Hit",
    "HybridIndex",
    "OfflineEmbedder",
    "OpenAICompatibleEmbedder",
    "VectorCache",
    "Vectors",
]

__getattr__, __dir__ = lazy(
    globals(),
    {
        "EmbeddedEmbedder": "embedded",
        "Embedder": "embedder",
        "Embeddings": "result",
        "Family": "family",
        "FreeProvidersEmbedder": "chosen",
        "Hit": "hybrid",
        "HybridIndex": "hybrid",
        "OfflineEmbedder": "offline",
        "OpenAICompatibleEmbedder": "openai_compatible",
        "VectorCache": "cache",
        "Vectors": "result",
    },
)
