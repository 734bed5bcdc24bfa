"""The LlamaIndex embedding models; they are in `llama_index.embeddings.freeproviders` as well."""

from __future__ import annotations

from llama_index.core.embeddings.loading import RECOGNIZED_EMBEDDINGS

from llama_index_freeproviders.embeddings.chosen import FreeProvidersEmbedding
from llama_index_freeproviders.embeddings.embedded import EmbeddedEmbedding
from llama_index_freeproviders.embeddings.offline import OfflineEmbedding, WordLlamaEmbedding
from llama_index_freeproviders.embeddings.services import OpenAICompatibleEmbedding

__all__ = [
    "EmbeddedEmbedding",
    "FreeProvidersEmbedding",
    "OfflineEmbedding",
    "OpenAICompatibleEmbedding",
    "WordLlamaEmbedding",
]

RECOGNIZED_EMBEDDINGS.update({globals()[name].class_name(): globals()[name] for name in __all__})
