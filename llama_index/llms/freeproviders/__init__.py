"""The same classes under the namespace that LlamaIndex users expect."""

from __future__ import annotations

from llama_index_freeproviders import (
    AIChatFree,
    ChatgptFree,
    Embedded,
    FlowGpt,
    FreeNetfly,
    FreeProvidersLLM,
    OpenAICompatible,
)

__all__ = [
    "AIChatFree",
    "ChatgptFree",
    "Embedded",
    "FlowGpt",
    "FreeNetfly",
    "FreeProvidersLLM",
    "OpenAICompatible",
]
