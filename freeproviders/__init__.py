"""Free LLM chat over one async core.

`freeproviders.backend` says how to ask, `freeproviders.types` what comes back,
`freeproviders.providers` which services can be asked. Names are loaded when they are first used, so that a
program that needs one provider loads one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freeproviders._version import __version__
from freeproviders.lazy import lazy
from freeproviders.providers import PROVIDERS as _PROVIDERS

if TYPE_CHECKING:
    from freeproviders.abilities import Abilities
    from freeproviders.backend import Backend
    from freeproviders.deadlines import Timeout
    from freeproviders.provider import AsyncGeneratorProvider, ProviderModelMixin
    from freeproviders.providers import *  # noqa: F403 - the classes of the table
    from freeproviders.providers.ai_chat_free import generate_signature
    from freeproviders.quota.quota import Quota
    from freeproviders.retry import Retry
    from freeproviders.router.router import FreeProviders
    from freeproviders.types import (
        Attempt,
        ChatRequest,
        Completion,
        Finish,
        InvalidToolCall,
        Message,
        Messages,
        Reasoning,
        Seam,
        Text,
        Tool,
        ToolCall,
        Usage,
    )

_HOMES = {
    "Abilities": "abilities",
    "AsyncGeneratorProvider": "provider",
    "Attempt": "types",
    "Backend": "backend",
    "ChatRequest": "types",
    "Completion": "types",
    "Finish": "types",
    "FreeProviders": "router.router",
    "InvalidToolCall": "types",
    "Message": "types",
    "Messages": "types",
    "ProviderModelMixin": "provider",
    "Quota": "quota.quota",
    "Reasoning": "types",
    "Retry": "retry",
    "Seam": "types",
    "Text": "types",
    "Timeout": "deadlines",
    "Tool": "types",
    "ToolCall": "types",
    "Usage": "types",
    "generate_signature": "providers.ai_chat_free",
    **{row.name: row.module for row in _PROVIDERS},
}

__all__ = [
    "Abilities",
    "AsyncGeneratorProvider",
    "Attempt",
    "Backend",
    "ChatRequest",
    "Completion",
    "Finish",
    "FreeProviders",
    "InvalidToolCall",
    "Message",
    "Messages",
    "ProviderModelMixin",
    "Quota",
    "Reasoning",
    "Retry",
    "Seam",
    "Text",
    "Timeout",
    "Tool",
    "ToolCall",
    "Usage",
    "__version__",
    "generate_signature",
]
__all__ += [row.name for row in _PROVIDERS]

__getattr__, __dir__ = lazy(globals(), _HOMES)
