"""The LlamaIndex LLMs, one class for each provider of the core."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_serializer

from freeproviders.lazy import LazyAttribute
from freeproviders.provider import Provider
from freeproviders.providers import PROVIDERS
from llama_index_freeproviders.provider import ProviderLLM, saved_name
from llama_index_freeproviders.saved import recognize

__all__ = [
    "AIChatFree",
    "ChatgptFree",
    "Embedded",
    "FlowGpt",
    "FreeNetfly",
    "OpenAICompatible",
]


def _core(name: str) -> Any:
    return LazyAttribute(name)


class FreeNetfly(ProviderLLM):
    """`free.netfly.top`, an OpenAI-style service without a key.

    It last answered a public client on 2024-11-06.

    Examples:
        ```python
        from freeproviders.testing import replica
        from llama_index.llms.freeproviders import FreeNetfly

        with replica("free-netfly", answer="a writer.") as server:  # stands for the service
            llm = FreeNetfly(model="gpt-4", temperature=0.2, base_url=server.base_url)
            print(llm.complete("Paul Graham is"))
        ```
    """

    provider_class: ClassVar[type[Provider]] = _core("FreeNetfly")


class ChatgptFree(ProviderLLM):
    """`chatgptfree.ai`, a page with a chat plugin; it flattens a conversation into one prompt.

    Examples:
        ```python
        from freeproviders.testing import replica
        from llama_index.core.llms import ChatMessage
        from llama_index.llms.freeproviders import ChatgptFree

        with replica("chatgpt-free", answer="Knock, knock.") as server:  # stands for the service
            llm = ChatgptFree(base_url=server.base_url)
            print(llm.chat([ChatMessage(content="Tell me a joke.")]))
        ```
    """

    provider_class: ClassVar[type[Provider]] = _core("ChatgptFree")


class FlowGpt(ProviderLLM):
    """`flowgpt.com`'s anonymous chat; it last answered a public client on 2024-11-06.

    Examples:
        ```python
        from freeproviders.testing import replica
        from llama_index.llms.freeproviders import FlowGpt

        with replica("flow-gpt", answer=["One, two, ", "three ..."]) as server:  # stands for the service
            llm = FlowGpt(model="gemini", base_url=server.base_url)
            for chunk in llm.stream_complete("Count to five."):
                print(chunk.delta, end="")
        ```

        It has no tools of its own; agents have them all the same: docs/llamaindex-details.md has one.
    """

    provider_class: ClassVar[type[Provider]] = _core("FlowGpt")


class AIChatFree(ProviderLLM):
    """`aichatfree.info`, which takes system messages as the user's.

    It last answered a public client on 2025-02-01.

    Examples:
        ```python
        import asyncio

        from freeproviders.testing import replica
        from llama_index.llms.freeproviders import AIChatFree

        with replica("ai-chat-free", answer="Hello.") as server:  # stands for the service
            llm = AIChatFree(base_url=server.base_url)
            print(asyncio.run(llm.acomplete("Say hello.")))
        ```
    """

    provider_class: ClassVar[type[Provider]] = _core("AIChatFree")


class OpenAICompatible(ProviderLLM):
    """Any service or local server that speaks the OpenAI chat completions protocol.

    `service` is one of the catalogue by its id: with its key in the environment (`GROQ_API_KEY`)
    nothing else is needed. Otherwise `base_url` says where the service is.

    `function_calling="native"` sends tools as the protocol has them, "emulate" puts them into the
    prompt. "auto" finds out: tools go through the prompt, which reaches every model, until a native
    call has come; some of the first requests offer them in both ways.

    Examples:
        ```python
        from freeproviders.testing import replica
        from llama_index.llms.freeproviders import OpenAICompatible

        with replica("openai-compatible", answer="It scatters.") as server:  # or a server of yours
            llm = OpenAICompatible(model="llama3.2", base_url=server.base_url)
            print(llm.complete("Why is the sky blue?"))
        ```

        ```python
        from llama_index.llms.freeproviders import OpenAICompatible

        llm = OpenAICompatible(service="groq", api_key="gsk_1")
        print(llm.metadata.context_window)
        ```
    """

    provider_class: ClassVar[type[Provider]] = _core("OpenAICompatible")

    service: str | None = Field(
        default=None,
        description=(
            "A service of the catalogue by its id: its address, key variables, default model and abilities "
            "are then the LLM's. A key of the environment goes to that service, or to <ID>_API_BASE of the "
            "environment."
        ),
    )
    fallback: bool = Field(
        default=False,
        description="Whether the successor of a model that the service has dropped is asked in its place.",
    )
    json_schema: bool | Literal["auto"] = Field(
        default="auto",
        description="Whether the service constrains an answer to a JSON schema; 'auto' finds out.",
    )

    def _configuration(self) -> dict[str, Any]:
        return {
            **super()._configuration(),
            "service": self.service,
            "fallback": self.fallback,
            "native_tools": {"native": True, "emulate": False}.get(self.function_calling, "auto"),
            "json_schema": self.json_schema,
        }


class Embedded(ProviderLLM):
    """A small model on this machine: no key, no account, and no network once its weights are here.

    Its answers are fluent, and often wrong.

    Examples:
        ```python
        from llama_index.llms.freeproviders import Embedded

        llm = Embedded()
        print(llm.complete("The capital of France is", max_tokens=16))
        ```
    """

    provider_class: ClassVar[type[Provider]] = _core("Embedded")

    model_path: str | Path | None = Field(
        default=None, description="A GGUF file of your own, instead of `model`."
    )
    slots: int | None = Field(default=None, ge=1, description="Answers at the same time; more requests wait.")
    prompt_cache: bool = Field(
        default=True,
        description="False reads each prompt anew, for answers that do not depend on what was asked before.",
    )
    progress: Callable[[int, int], None] | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="Called with the bytes that are there and the bytes in all while weights are fetched.",
    )

    @field_serializer("model_path")
    def _saved_model_path(self, path: str | Path | None) -> str | None:
        """A path is saved as text, as JSON has nothing else for it."""
        return None if path is None else str(path)

    @classmethod
    def _makes_core(cls, name: str) -> bool:
        return name == "context_window" or super()._makes_core(name)

    def _configuration(self) -> dict[str, Any]:
        own = ("model_path", "context_window", "slots", "prompt_cache", "progress")
        given = {name: value for name in own if (value := getattr(self, name)) is not None}
        return {**super()._configuration(), **given}


recognize({saved_name(row.slug): globals()[row.name] for row in PROVIDERS if row.name in __all__})
