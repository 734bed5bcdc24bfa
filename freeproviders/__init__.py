"""Free LLM chat over one async core; see `freeproviders.provider` for what a provider is and `freeproviders.types` for what it yields.

Names are loaded when they are first used, so that a command line or a server that needs one provider pays for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freeproviders._version import __version__
from freeproviders.lazy import lazy

if TYPE_CHECKING:
    from freeproviders.deadlines import Timeout
    from freeproviders.provider import AsyncGeneratorProvider, ProviderModelMixin
    from freeproviders.providers.ai_chat_free import AIChatFree, generate_signature
    from freeproviders.providers.chatgpt_free import ChatgptFree
    from freeproviders.providers.embedded import Embedded
    from freeproviders.providers.flow_gpt import FlowGpt
    from freeproviders.providers.free_netfly import FreeNetfly
    from freeproviders.providers.openai_compatible import OpenAICompatible
    from freeproviders.retry import Retry
    from freeproviders.types import (
        ChatRequest,
        Completion,
        Finish,
        Message,
        Messages,
        Reasoning,
        Text,
        Tool,
        ToolCall,
        Usage,
    )

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
    "Timeout": "deadlines",
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

__getattr__, __dir__ = lazy(globals(), _HOMES)
