"""The same classes under the namespace that LlamaIndex users expect."""

from __future__ import annotations

from llama_index_freeproviders import BackendLLM, FreeProviders, ProviderLLM
from llama_index_freeproviders import llms as _llms
from llama_index_freeproviders.llms import *  # noqa: F403 - a class for each provider

__all__ = ["BackendLLM", "FreeProviders", "ProviderLLM"]
__all__ += _llms.__all__
