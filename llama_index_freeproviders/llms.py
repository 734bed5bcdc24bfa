"""The LlamaIndex LLMs, one class for each provider of the core."""

from __future__ import annotations

from typing import Any, ClassVar

from llama_index.core.llms.loading import RECOGNIZED_LLMS
from pydantic import Field

from freeproviders.provider import Provider
from freeproviders.providers.ai_chat_free import AIChatFree as AIChatFreeProvider
from freeproviders.providers.chatgpt_free import ChatgptFree as ChatgptFreeProvider
from freeproviders.providers.embedded import Embedded as EmbeddedProvider
from freeproviders.providers.flow_gpt import FlowGpt as FlowGptProvider
from freeproviders.providers.free_netfly import FreeNetfly as FreeNetflyProvider
from freeproviders.providers.openai_compatible import OpenAICompatible as OpenAICompatibleProvider
from llama_index_freeproviders.base import FreeProvidersLLM

__all__ = [
    "AIChatFree",
    "ChatgptFree",
    "Embedded",
    "FlowGpt",
    "FreeNetfly",
    "OpenAICompatible",
]


class FreeNetfly(FreeProvidersLLM):
    """`free.netfly.top`, an OpenAI-style service without a key; it last answered a public client on 2024-11-06.

    Examples:
        ```python
        from llama_index.llms.freeproviders import FreeNetfly

        llm = FreeNetfly(model="gpt-4", temperature=0.2)
        print(llm.complete("Paul Graham is"))
        ```
    """

    provider_class: ClassVar[type[Provider]] = FreeNetflyProvider


class ChatgptFree(FreeProvidersLLM):
    """`chatgptfree.ai`, a page with a chat plugin; it flattens a conversation into one prompt.

    Examples:
        ```python
        from llama_index.core.llms import ChatMessage
        from llama_index.llms.freeproviders import ChatgptFree

        llm = ChatgptFree()
        print(llm.chat([ChatMessage(content="Tell me a joke.")]))
        ```
    """

    provider_class: ClassVar[type[Provider]] = ChatgptFreeProvider


class FlowGpt(FreeProvidersLLM):
    """`flowgpt.com`'s anonymous chat; it last answered a public client on 2024-11-06.

    Examples:
        ```python
        from llama_index.llms.freeproviders import FlowGpt

        llm = FlowGpt(model="gemini")
        for chunk in llm.stream_complete("Count to five."):
            print(chunk.delta, end="")
        ```

        It has no tools of its own; agents have them all the same:

        ```python
        from llama_index.core.agent.workflow import FunctionAgent
        from llama_index.llms.freeproviders import FlowGpt


        def multiply(a: float, b: float) -> float:
            '''Multiply two numbers.'''
            return a * b


        agent = FunctionAgent(tools=[multiply], llm=FlowGpt())
        print(await agent.run("Please multiply 6 and 7."))
        ```
    """

    provider_class: ClassVar[type[Provider]] = FlowGptProvider


class AIChatFree(FreeProvidersLLM):
    """`aichatfree.info`; it last answered a public client on 2025-02-01. System messages go as the user's.

    Examples:
        ```python
        import asyncio

        from llama_index.llms.freeproviders import AIChatFree

        llm = AIChatFree()
        print(asyncio.run(llm.acomplete("Say hello.")))
        ```
    """

    provider_class: ClassVar[type[Provider]] = AIChatFreeProvider


class OpenAICompatible(FreeProvidersLLM):
    """Any service or local server that speaks the OpenAI chat completions protocol.

    `function_calling="native"` sends tools as the protocol has them. "auto" puts them into the prompt, as "emulate" does: which services and models take tools cannot
    be known beforehand, some drop them without a word, and the prompt reaches every model.

    Examples:
        ```python
        from llama_index.llms.freeproviders import OpenAICompatible

        llm = OpenAICompatible(model="llama3.2", base_url="http://localhost:11434/v1", context_window=8192)
        print(llm.complete("Why is the sky blue?"))
        ```
    """

    provider_class: ClassVar[type[Provider]] = OpenAICompatibleProvider

    json_schema: bool = Field(
        default=False, description="Whether the service constrains an answer to a JSON schema."
    )

    def _provider_fields(self) -> frozenset[str]:
        return super()._provider_fields() | {"json_schema"}

    def _configuration(self) -> dict[str, Any]:
        return {
            **super()._configuration(),
            "native_tools": self.function_calling == "native",
            "json_schema": self.json_schema,
        }


class Embedded(FreeProvidersLLM):
    """A small model on this machine: no key, no account, and no network once its weights are here. Fluent, and often wrong.

    Examples:
        ```python
        from llama_index.llms.freeproviders import Embedded

        llm = Embedded()
        print(llm.complete("The capital of France is", max_tokens=16))
        ```
    """

    provider_class: ClassVar[type[Provider]] = EmbeddedProvider

    model_path: str | None = Field(default=None, description="A GGUF file of one's own, instead of `model`.")
    slots: int | None = Field(default=None, ge=1, description="Answers at the same time; more requests wait.")
    prompt_cache: bool = Field(
        default=True,
        description="False reads each prompt anew, for answers that do not depend on what was asked before.",
    )

    def _provider_fields(self) -> frozenset[str]:
        return super()._provider_fields() | {"model_path", "context_window", "slots", "prompt_cache"}

    def _configuration(self) -> dict[str, Any]:
        configuration = {
            **super()._configuration(),
            "context_window": self.context_window,
            "prompt_cache": self.prompt_cache,
        }
        if self.slots is not None:
            configuration["slots"] = self.slots
        if self.model_path is not None:
            configuration["model_path"] = self.model_path
        return configuration


ALL = tuple(globals()[name] for name in __all__)
for _cls in ALL:
    RECOGNIZED_LLMS[_cls.class_name()] = _cls
