"""LlamaIndex LLMs and embedding models over freeproviders.

They are in `llama_index.llms.freeproviders` and `llama_index.embeddings.freeproviders` as well.

Embedding models, retrievers and agents are loaded when they are first used: some take long to
import, and some need the extra `rag`.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from freeproviders._version import __version__
from freeproviders.errors import MissingDependencyError
from freeproviders.installing import with_extra
from freeproviders.lazy import lazy

if find_spec("llama_index.core") is None:
    raise MissingDependencyError("LlamaIndex is not installed.", advice=with_extra("llama-index"))

from llama_index_freeproviders import llms as _llms
from llama_index_freeproviders.backend import BackendLLM
from llama_index_freeproviders.llms import *  # noqa: F403 - a class for each provider
from llama_index_freeproviders.members import as_backend
from llama_index_freeproviders.provider import ProviderLLM
from llama_index_freeproviders.router import FreeProviders

if TYPE_CHECKING:
    from llama_index_freeproviders.embeddings import (
        EmbeddedEmbedding,
        FreeProvidersEmbedding,
        OfflineEmbedding,
        OpenAICompatibleEmbedding,
        WordLlamaEmbedding,
    )
    from llama_index_freeproviders.limiter import SharedQuota
    from llama_index_freeproviders.react import TolerantReActAgent, TolerantReActOutputParser
    from llama_index_freeproviders.resuming import ResumableQueryEngine, resumable
    from llama_index_freeproviders.retrievers import OfflineRetriever

_HOMES = {
    "EmbeddedEmbedding": "embeddings",
    "FreeProvidersEmbedding": "embeddings",
    "OfflineEmbedding": "embeddings",
    "OfflineRetriever": "retrievers",
    "OpenAICompatibleEmbedding": "embeddings",
    "ResumableQueryEngine": "resuming",
    "SharedQuota": "limiter",
    "TolerantReActAgent": "react",
    "TolerantReActOutputParser": "react",
    "WordLlamaEmbedding": "embeddings",
    "resumable": "resuming",
}

__all__ = [
    "BackendLLM",
    "EmbeddedEmbedding",
    "FreeProviders",
    "FreeProvidersEmbedding",
    "OfflineEmbedding",
    "OfflineRetriever",
    "OpenAICompatibleEmbedding",
    "ProviderLLM",
    "ResumableQueryEngine",
    "SharedQuota",
    "TolerantReActAgent",
    "TolerantReActOutputParser",
    "WordLlamaEmbedding",
    "__version__",
    "as_backend",
    "resumable",
]
__all__ += _llms.__all__

__getattr__, __dir__ = lazy(globals(), _HOMES)
