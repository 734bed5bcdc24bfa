"""The chat models, one class for each provider of the core."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from langchain_freeproviders.base import FreeProvidersChatModel


class ChatFreeNetfly(FreeProvidersChatModel):
    """todo"""

    core_name: ClassVar[str] = "FreeNetfly"
    slug: ClassVar[str] = "free-netfly"

    model_name: str = Field(default="gpt-3.5-turbo", alias="model")


class ChatChatgptFree(FreeProvidersChatModel):
    """todo"""

    core_name: ClassVar[str] = "ChatgptFree"
    slug: ClassVar[str] = "chatgpt-free"

    model_name: str = Field(default="gpt-4o-mini-2024-07-18", alias="model")


class ChatFlowGpt(FreeProvidersChatModel):
    """todo"""

    core_name: ClassVar[str] = "FlowGpt"
    slug: ClassVar[str] = "flow-gpt"

    model_name: str = Field(default="gpt-3.5-turbo", alias="model")


class ChatAIChatFree(FreeProvidersChatModel):
    """todo"""

    core_name: ClassVar[str] = "AIChatFree"
    slug: ClassVar[str] = "ai-chat-free"

    model_name: str = Field(default="gemini-1.5-pro", alias="model")


class ChatOpenAICompatible(FreeProvidersChatModel):
    """todo"""

    core_name: ClassVar[str] = "OpenAICompatible"
    slug: ClassVar[str] = "openai-compatible"

    native_tools: bool = False
    """Whether the model calls tools itself; without it they go through the prompt."""
    json_schema: bool = False
    """Whether the service constrains an answer to a JSON schema; without it the schema goes through the prompt."""

    def _configuration(self) -> dict[str, Any]:
        return {**super()._configuration(), "native_tools": self.native_tools, "json_schema": self.json_schema}


class ChatEmbedded(FreeProvidersChatModel):
    """todo"""

    core_name: ClassVar[str] = "Embedded"
    slug: ClassVar[str] = "embedded"

    model_path: str | Path | None = None
    """A GGUF file of your own."""
    context_window: int | None = None
    """Tokens for question and answer together; None is the model's own, at most 8192."""
    slots: int | None = None
    """Answers at the same time; more requests wait."""
    progress: Callable[[int, int], Any] | None = Field(default=None, exclude=True, repr=False)
    """Called with the bytes that are there and in all while weights are fetched."""

    def _configuration(self) -> dict[str, Any]:
        own = {"model_path": self.model_path, "context_window": self.context_window, "progress": self.progress}
        return {**super()._configuration(), **own, **({} if self.slots is None else {"slots": self.slots})}
