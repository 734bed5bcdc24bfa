"""The LlamaIndex embedding models; they are in `llama_index.embeddings.freeproviders` as well."""

from __future__ import annotations

from llama_index_freeproviders.embeddings.offline import WordLlamaEmbedding
from llama_index_freeproviders.embeddings.services import OpenAICompatibleEmbedding

__all__ = ["OpenAICompatibleEmbedding", "WordLlamaEmbedding"]
