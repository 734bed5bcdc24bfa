"""The same classes under the namespace that LlamaIndex users expect."""

from __future__ import annotations

from llama_index_freeproviders import embeddings as _embeddings
from llama_index_freeproviders.embeddings import *  # noqa: F403 - all embedding models

__all__ = []
__all__ += _embeddings.__all__
