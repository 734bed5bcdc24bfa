"""Free LLM chat over one async core; see `freeproviders.provider` for what a provider is and `freeproviders.types` for what it yields.

Names are loaded when they are first used, so that a command line or a server that needs one provider pays for one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from freeproviders._version import __version__

if TYPE_CHECKING:
    from freeproviders.provider import AsyncGeneratorProvider, ProviderModelMixin
    from freeproviders.providers.ai_chat_free import AIChatFree, generate_signature
    from freeproviders.providers.chatgpt_free import ChatgptFree
    from freeproviders.providers.embedded import Embedded
    from freeproviders.providers.flow_gpt import FlowGpt
    from freeproviders.providers.free_netfly import FreeNetfly
    from freeproviders.providers.openai_compatible import OpenAICompatible
    from freeproviders.retry import Retry
    from freeproviders.transport import Timeout
    from freeproviders.types import ChatRequest, Completion, Finish, Message, Messages, Reasoning, Text, Tool, ToolCall, Usage

_HOMES = {
    "AIChatFree": "providers.ai_chat_free",
    "AsyncGeneratorProvider": "provider",
    "ChatRequest": "types",
    "ChatgptFree": "providers.chatgpt_free",
    "Completion": "types",
    "Embedded": "providers.embedded",
    "Finish": "types",
    "FlowGpt": "providers.flow_gpt",
    "FreeNetfly": "providers.free_netfly",
    "Message": "types",
    "Messages": "types",
    "OpenAICompatible": "providers.openai_compatible",
    "ProviderModelMixin": "provider",
    "Reasoning": "types",
    "Retry": "retry",
    "Text": "types",
    "Timeout": "transport",
    "Tool": "types",
    "ToolCall": "types",
    "Usage": "types",
    "generate_signature": "providers.ai_chat_free",
}

__all__ = [
    "AIChatFree",
    "AsyncGeneratorProvider",
    "ChatRequest",
    "ChatgptFree",
    "Completion",
    "Embedded",
    "Finish",
    "FlowGpt",
    "FreeNetfly",
    "Message",
    "Messages",
    "OpenAICompatible",
    "ProviderModelMixin",
    "Reasoning",
    "Retry",
    "Text",
    "Timeout",
    "Tool",
    "ToolCall",
    "Usage",
    "__version__",
    "generate_signature",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
