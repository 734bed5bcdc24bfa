"""Free LLM chat and embeddings as LangChain models.

They work over every provider of `freeproviders`. The chat models are loaded at once, the rest when
it is first used.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from freeproviders.errors import MissingDependencyError
from freeproviders.installing import with_extra
from freeproviders.lazy import lazy

if find_spec("langchain_core") is None:
    raise MissingDependencyError("LangChain is not installed.", advice=with_extra("langchain"))

from langchain_freeproviders import chat_models as _chat_models
from langchain_freeproviders._version import __version__
from langchain_freeproviders.chat_models import *  # noqa: F403 - the chat models

if TYPE_CHECKING:
    from langchain_freeproviders.cache import AnswerCache
    from langchain_freeproviders.embeddings import (
        EmbeddedEmbeddings,
        FreeProvidersEmbeddings,
        OfflineEmbeddings,
        OpenAICompatibleEmbeddings,
    )
    from langchain_freeproviders.limited import QuotaEmbeddings
    from langchain_freeproviders.limiter import SharedQuota
    from langchain_freeproviders.llms import (
        AIChatFreeLLM,
        BackendLLM,
        ChatgptFreeLLM,
        EmbeddedLLM,
        FlowGptLLM,
        FreeNetflyLLM,
        FreeProvidersLLM,
        OpenAICompatibleLLM,
    )
    from langchain_freeproviders.registration import init_chat_model, init_embeddings, register
    from langchain_freeproviders.resuming import ResumableRunnable, resumable
    from langchain_freeproviders.retrievers import OfflineRetriever
    from langchain_freeproviders.wrapped import as_backend

_HOMES = {
    "AIChatFreeLLM": "llms",
    "AnswerCache": "cache",
    "BackendLLM": "llms",
    "ChatgptFreeLLM": "llms",
    "EmbeddedEmbeddings": "embeddings",
    "EmbeddedLLM": "llms",
    "FlowGptLLM": "llms",
    "FreeNetflyLLM": "llms",
    "FreeProvidersEmbeddings": "embeddings",
    "FreeProvidersLLM": "llms",
    "OfflineEmbeddings": "embeddings",
    "OfflineRetriever": "retrievers",
    "OpenAICompatibleEmbeddings": "embeddings",
    "OpenAICompatibleLLM": "llms",
    "QuotaEmbeddings": "limited",
    "ResumableRunnable": "resuming",
    "SharedQuota": "limiter",
    "as_backend": "wrapped",
    "init_chat_model": "registration",
    "init_embeddings": "registration",
    "register": "registration",
    "resumable": "resuming",
}

__all__ = [
    "AIChatFreeLLM",
    "AnswerCache",
    "BackendLLM",
    "ChatgptFreeLLM",
    "EmbeddedEmbeddings",
    "EmbeddedLLM",
    "FlowGptLLM",
    "FreeNetflyLLM",
    "FreeProvidersEmbeddings",
    "FreeProvidersLLM",
    "OfflineEmbeddings",
    "OfflineRetriever",
    "OpenAICompatibleEmbeddings",
    "OpenAICompatibleLLM",
    "QuotaEmbeddings",
    "ResumableRunnable",
    "SharedQuota",
    "__version__",
    "as_backend",
    "init_chat_model",
    "init_embeddings",
    "register",
    "resumable",
]
__all__ += _chat_models.__all__

__getattr__, __dir__ = lazy(globals(), _HOMES)
