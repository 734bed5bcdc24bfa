"""The string models: a prompt in, text out, over the same providers. New code wants the chat models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import Any, ClassVar, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.llms import LLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from pydantic import Field, model_validator

from freeproviders import bridge
from freeproviders.backend import whole
from freeproviders.errors import FreeProvidersError
from freeproviders.types import Completion, Finish, Message, Text, Usage
from langchain_freeproviders._version import __version__
from langchain_freeproviders.chunks import response_metadata, usage_metadata
from langchain_freeproviders.errors import translated
from langchain_freeproviders.settings import EmbeddedSettings, ProviderSettings


class FreeProvidersLLM(ProviderSettings, LLM):
    """A string model over a core provider; the prompt is one message of the user."""

    streaming: bool = False
    """Kept for symmetry with the chat models; `stream` and `astream` always stream."""

    def _call(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> str:
        return self._generate([prompt], stop, run_manager, **kwargs).generations[0][0].text

    async def _acall(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> str:
        return (await self._agenerate([prompt], stop, run_manager, **kwargs)).generations[0][0].text

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - LangChain calls its own handlers
        **kwargs: Any,
    ) -> LLMResult:
        return bridge.run(self._agenerate(prompts, stop, **kwargs))

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> LLMResult:
        # The base class asks one prompt after the other.
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._complete(prompt, stop, kwargs)) for prompt in prompts]
        except BaseExceptionGroup as failures:
            first = failures.exceptions[0]  # the others were cancelled, or failed at the same moment
            raise first from first.__cause__
        completions = [task.result() for task in tasks]
        return LLMResult(
            generations=[[self._generation(completion)] for completion in completions],
            llm_output={"model_name": self.model},
        )

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        usage: list[Usage] = []
        try:
            with closing(bridge.iterate(self._answer(_turn(prompt), stop, kwargs, stream=True))) as batches:
                for batch in batches:
                    for part in batch:
                        if (chunk := self._chunk(part, usage)) is not None:
                            if run_manager is not None:
                                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                            yield chunk
        except FreeProvidersError as error:
            raise translated(error) from error.__cause__

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        usage: list[Usage] = []
        try:
            async with aclosing(self._answer(_turn(prompt), stop, kwargs, stream=True)) as batches:
                async for batch in batches:
                    for part in batch:
                        if (chunk := self._chunk(part, usage)) is not None:
                            if run_manager is not None:
                                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                            yield chunk
        except FreeProvidersError as error:
            raise translated(error) from error.__cause__

    async def _complete(self, prompt: str, stop: list[str] | None, options: dict[str, Any]) -> Completion:
        try:
            return await whole(self._answer(_turn(prompt), stop, options, stream=False))
        except FreeProvidersError as error:
            raise translated(error) from error.__cause__

    def _generation(self, completion: Completion) -> Generation:
        info = response_metadata(completion.finish, completion.usage, self.model_provider)
        return Generation(
            text=completion.text, generation_info={**info, "usage_metadata": usage_metadata(completion.usage)}
        )

    def _chunk(self, part: object, usage: list[Usage]) -> GenerationChunk | None:
        """Text as it comes, and what is known of the whole answer once, at its end."""
        match part:
            case Text():
                return GenerationChunk(text=part.text)
            case Usage():
                usage.append(part)
            case Finish():
                info = response_metadata(part, usage[0] if usage else None, self.model_provider)
                return GenerationChunk(
                    text="",
                    generation_info={
                        **info,
                        **({"usage_metadata": usage_metadata(usage[0])} if usage else {}),
                    },
                )
        return None

    # --- what LangChain asks of a model ---

    @property
    def _llm_type(self) -> str:
        return f"{self.slug}-llm"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self._identity

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self._traced_params("llm", stop, kwargs)

    @model_validator(mode="after")
    def _set_freeproviders_llm_version(self) -> Self:
        self._add_version("langchain-freeproviders", __version__)
        return self


def _turn(prompt: str) -> tuple[Message, ...]:
    return (Message("user", prompt),)


class FreeNetflyLLM(FreeProvidersLLM):
    """`free.netfly.top` as a string model; see `ChatFreeNetfly`."""

    core_name: ClassVar[str] = "FreeNetfly"
    slug: ClassVar[str] = "free-netfly"

    model_name: str = Field(default="gpt-3.5-turbo", alias="model")


class ChatgptFreeLLM(FreeProvidersLLM):
    """`chatgptfree.ai` as a string model; see `ChatChatgptFree`."""

    core_name: ClassVar[str] = "ChatgptFree"
    slug: ClassVar[str] = "chatgpt-free"

    model_name: str = Field(default="gpt-4o-mini-2024-07-18", alias="model")


class FlowGptLLM(FreeProvidersLLM):
    """`flowgpt.com` as a string model; see `ChatFlowGpt`."""

    core_name: ClassVar[str] = "FlowGpt"
    slug: ClassVar[str] = "flow-gpt"

    model_name: str = Field(default="gpt-3.5-turbo", alias="model")


class AIChatFreeLLM(FreeProvidersLLM):
    """`aichatfree.info` as a string model; see `ChatAIChatFree`."""

    core_name: ClassVar[str] = "AIChatFree"
    slug: ClassVar[str] = "ai-chat-free"

    model_name: str = Field(default="gemini-1.5-pro", alias="model")


class OpenAICompatibleLLM(FreeProvidersLLM):
    """Any service that speaks the OpenAI protocol as a string model, by its chat endpoint; see `ChatOpenAICompatible`."""

    core_name: ClassVar[str] = "OpenAICompatible"
    slug: ClassVar[str] = "openai-compatible"


class EmbeddedLLM(EmbeddedSettings, FreeProvidersLLM):
    """The model on this machine as a string model; see `ChatEmbedded`."""
