"""LlamaIndex LLMs over freeproviders; the same names are in `llama_index.llms.freeproviders`."""

from __future__ import annotations

from freeproviders._version import __version__
from llama_index_freeproviders.base import FreeProvidersLLM
from llama_index_freeproviders.llms import AIChatFree, ChatgptFree, Embedded, FlowGpt, FreeNetfly, OpenAICompatible

__all__ = ["AIChatFree", "ChatgptFree", "Embedded", "FlowGpt", "FreeNetfly", "FreeProvidersLLM", "OpenAICompatible", "__version__"]
