"""Free LLM chat as LangChain models: streaming, tools, structured output, usage and tracing over every provider of `freeproviders`."""

from __future__ import annotations

from langchain_freeproviders._version import __version__
from langchain_freeproviders.chat_models import (
    ChatAIChatFree,
    ChatChatgptFree,
    ChatEmbedded,
    ChatFlowGpt,
    ChatFreeNetfly,
    ChatOpenAICompatible,
)

__all__ = [
    "ChatAIChatFree",
    "ChatChatgptFree",
    "ChatEmbedded",
    "ChatFlowGpt",
    "ChatFreeNetfly",
    "ChatOpenAICompatible",
    "__version__",
]
