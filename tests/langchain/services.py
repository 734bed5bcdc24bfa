"""The classes under test, each with the replica of its service."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from freeproviders.testing import replica
from langchain_freeproviders import (
    ChatAIChatFree,
    ChatChatgptFree,
    ChatEmbedded,
    ChatFlowGpt,
    ChatFreeNetfly,
    ChatOpenAICompatible,
)
from langchain_freeproviders.llms import (
    AIChatFreeLLM,
    ChatgptFreeLLM,
    EmbeddedLLM,
    FlowGptLLM,
    FreeNetflyLLM,
    OpenAICompatibleLLM,
)

CHATS = (ChatFreeNetfly, ChatChatgptFree, ChatFlowGpt, ChatAIChatFree, ChatOpenAICompatible, ChatEmbedded)
LLMS = (FreeNetflyLLM, ChatgptFreeLLM, FlowGptLLM, AIChatFreeLLM, OpenAICompatibleLLM, EmbeddedLLM)


@dataclass(frozen=True)
class Service:
    """A chat class and what it needs beside a base_url.

    `model()` is one over a replica, which answers at once or not at all: nothing is retried.
    """

    chat: type
    llm: type
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.chat.provider_class.slug

    def replica(self, answer: Any = None, **options: Any) -> Any:
        return replica(self.chat.provider_class, answer=answer, **options)

    def model(self, replica: Any, **fields: Any) -> Any:
        return self.chat(base_url=replica.base_url, **{"max_retries": 0, **self.options, **fields})

    def string_model(self, replica: Any, **fields: Any) -> Any:
        return self.llm(base_url=replica.base_url, **{"max_retries": 0, **self.options, **fields})


FLOW = Service(ChatFlowGpt, FlowGptLLM)
OPENAI = Service(ChatOpenAICompatible, OpenAICompatibleLLM, {"model": "some-model"})
SERVICES = (
    Service(ChatFreeNetfly, FreeNetflyLLM),
    Service(ChatChatgptFree, ChatgptFreeLLM),
    FLOW,
    Service(ChatAIChatFree, AIChatFreeLLM),
    OPENAI,
)
