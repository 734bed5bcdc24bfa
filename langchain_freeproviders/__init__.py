"""Free LLM chat as LangChain models: streaming, tools, structured output, usage and tracing over every provider of `freeproviders`.

The chat models are loaded at once, the rest when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from langchain_freeproviders._version import __version__
from langchain_freeproviders.chat_models import (
    ChatAIChatFree,
    ChatChatgptFree,
    ChatEmbedded,
    ChatFlowGpt,
    ChatFreeNetfly,
    ChatOpenAICompatible,
)

if TYPE_CHECKING:
    from langchain_freeproviders.llms import AIChatFreeLLM, ChatgptFreeLLM, EmbeddedLLM, FlowGptLLM, FreeNetflyLLM, OpenAICompatibleLLM
    from langchain_freeproviders.registration import init_chat_model, register

_HOMES = {
    "AIChatFreeLLM": "llms",
    "ChatgptFreeLLM": "llms",
    "EmbeddedLLM": "llms",
    "FlowGptLLM": "llms",
    "FreeNetflyLLM": "llms",
    "OpenAICompatibleLLM": "llms",
    "init_chat_model": "registration",
    "register": "registration",
}

__all__ = [
    "AIChatFreeLLM",
    "ChatAIChatFree",
    "ChatChatgptFree",
    "ChatEmbedded",
    "ChatFlowGpt",
    "ChatFreeNetfly",
    "ChatOpenAICompatible",
    "ChatgptFreeLLM",
    "EmbeddedLLM",
    "FlowGptLLM",
    "FreeNetflyLLM",
    "OpenAICompatibleLLM",
    "__version__",
    "init_chat_model",
    "register",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
