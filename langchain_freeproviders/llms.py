"""The string models: a prompt in, text out. New code wants the chat models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, Self
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun, Callbacks
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.llms import LLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import Field, model_validator

import freeproviders
from freeproviders import bridge
from freeproviders.backend import Backend
from freeproviders.errors import UsageError
from freeproviders.provider import Provider
from freeproviders.streams import whole
from freeproviders.types import (
    Asking,
    Attempt,
    Batch,
    Completion,
    Finish,
    Part,
    Refusal,
    Seam,
    Usage,
    as_messages,
)
from langchain_freeproviders._version import __version__
from langchain_freeproviders.backend import GivenBackend
from langchain_freeproviders.bound import BoundStringModel
from langchain_freeproviders.chunks import RESET, response_metadata, usage_metadata
from langchain_freeproviders.errors import translating
from langchain_freeproviders.events import AsyncRun, Run
from langchain_freeproviders.keywords import given, hidden, shown
from langchain_freeproviders.provider import EmbeddedSettings, OpenAICompatibleSettings, ProviderSettings
from langchain_freeproviders.routing import RouterSettings, with_run
from langchain_freeproviders.settings import BackendSettings


class FreeProvidersStringModel(BackendSettings, LLM):
    """The base of all string models; the prompt is one message of the user."""

    n: int | None = Field(default=1, ge=1, le=1)
    """Answers to one prompt: there is always one."""

    def bind(self, **kwargs: Any) -> Runnable[LanguageModelInput, str]:
        """Bind keywords to each call; those with secrets are not shown and not saved."""
        return BoundStringModel(bound=self, kwargs=hidden(kwargs, self.get_name()), config={})

    def with_config(
        self, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, str]:
        """Bind a config to each call; `configurable` values that are secrets are not shown and not saved."""
        bound = BoundStringModel(bound=self, kwargs={}, config={})
        return bound.with_config(config, **kwargs)

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[str]:
        """Stream the text; callbacks see no secrets of the call, which LangChain would show."""
        return super().stream(input, config, stop=stop, **hidden(kwargs, self.get_name()))

    def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[str]:
        """Stream the text as `stream` does."""
        return super().astream(input, config, stop=stop, **hidden(kwargs, self.get_name()))

    def generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        callbacks: Callbacks | list[Callbacks] | None = None,
        *,
        tags: list[str] | list[list[str]] | None = None,
        metadata: dict[str, Any] | list[dict[str, Any]] | None = None,
        run_name: str | list[str] | None = None,
        run_id: UUID | list[UUID | None] | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer prompts; traces and the cache know the settings of the call."""
        of_langchain: Any = {"tags": tags, "metadata": metadata, "run_name": run_name, "run_id": run_id}
        return LLM.generate(self._knowing(kwargs), prompts, stop, callbacks, **of_langchain, **kwargs)

    async def agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        callbacks: Callbacks | list[Callbacks] | None = None,
        *,
        tags: list[str] | list[list[str]] | None = None,
        metadata: dict[str, Any] | list[dict[str, Any]] | None = None,
        run_name: str | list[str] | None = None,
        run_id: UUID | list[UUID | None] | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer prompts as `generate` does."""
        of_langchain: Any = {"tags": tags, "metadata": metadata, "run_name": run_name, "run_id": run_id}
        return await LLM.agenerate(self._knowing(kwargs), prompts, stop, callbacks, **of_langchain, **kwargs)

    def _knowing(self, options: dict[str, Any]) -> Self:
        """Return this model, or a copy whose identity has the settings of a call.

        LangChain's key of the cache is the identity of a string model, and nothing else.
        """
        if not (known := shown(given(options))):
            return self
        self._serialized  # noqa: B018 - computed once, and not for each copy
        copied = LLM.__copy__(self)  # with all that was computed, which the fields still fit
        vars(copied)["_identity"] = {**self._identity, **known}
        return copied

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
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - LangChain calls its handlers
        **kwargs: Any,
    ) -> LLMResult:
        with translating:
            return self._result(bridge.run(_completed(self._answers(prompts, stop, kwargs))))

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - as above
        **kwargs: Any,
    ) -> LLMResult:
        with translating:
            return self._result(await _completed(self._answers(prompts, stop, kwargs)))

    def _answers(
        self, prompts: list[str], stop: list[str] | None, options: dict[str, Any]
    ) -> list[AsyncGenerator[Batch, None]]:
        """Ask about each prompt; a mistake in any of them is found before anything is sent."""
        return [self._answer(as_messages(prompt), stop, options, stream=False) for prompt in prompts]

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        writer = _PieceWriter(self.model_provider)
        return self._chunks(partial(as_messages, prompt), stop, kwargs, writer, run_manager)

    def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        writer = _PieceWriter(self.model_provider)
        return self._achunks(partial(as_messages, prompt), stop, kwargs, writer, run_manager)

    def _prepare(self, settings: dict[str, Any], options: Mapping[str, Any]) -> Backend:
        backend = super()._prepare(settings, options)
        if settings.pop("n", None) not in {None, 1}:
            raise UsageError("n must be 1: a string model gives one answer.", provider=backend.name)
        if settings.get("tools"):
            raise UsageError(
                "A string model has no place for tool calls in its answer: pass tools to a chat model.",
                provider=backend.name,
            )
        return backend

    def _result(self, completions: list[Completion]) -> LLMResult:
        generations = []
        for completion in completions:
            info = response_metadata(completion.finish, completion.usage, self.model_provider)
            info["usage_metadata"] = usage_metadata(completion.usage)
            generations.append([Generation(text=str(completion), generation_info=info)])
        return LLMResult(generations=generations, llm_output={"model_name": self.model})

    # --- what LangChain asks of a model ---

    @property
    def _llm_type(self) -> str:
        return f"{self._slug}-llm"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self._identity

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self._traced_params("llm", stop, kwargs)

    @model_validator(mode="after")
    def _set_freeproviders_llm_version(self) -> Self:
        self._add_version("langchain-freeproviders", __version__)
        return self


async def _completed(answers: list[AsyncGenerator[Batch, None]]) -> list[Completion]:
    """Wait for whole answers, all at the same time; the base class asks prompt by prompt."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(whole(answer)) for answer in answers]
    except BaseExceptionGroup as failures:
        first = failures.exceptions[0]  # the others were cancelled, or failed at the same moment
        raise first from first.__cause__
    return [task.result() for task in tasks]


class ProviderLLM(ProviderSettings, FreeProvidersStringModel):
    """A string model over a provider of the core; a subclass names the `provider_class`."""


class _PieceWriter:
    """Turns the parts of one stream into chunks; the last chunk has the metadata."""

    def __init__(self, model_provider: str) -> None:
        self._model_provider = model_provider
        self._usage: Usage | None = None

    def text(self, text: str) -> GenerationChunk:
        """Make a piece of the answer."""
        return GenerationChunk(text=text)

    def other(self, part: Part | Asking | Attempt | Seam) -> GenerationChunk | None:
        """Make the last chunk; thinking has no place in a text, and a refusal has no other."""
        match part:
            case Seam(how="restart"):
                return GenerationChunk(text="", generation_info=dict(RESET))
            case Refusal():
                return GenerationChunk(text=part.text)
            case Usage():
                self._usage = part
            case Finish():
                info = response_metadata(part, self._usage, self._model_provider)
                if self._usage is not None:
                    info["usage_metadata"] = usage_metadata(self._usage)
                return GenerationChunk(text="", generation_info=info)
        return None


class _TellingPieceWriter(_PieceWriter):
    """Turns the parts of one stream into chunks, and tells the run what stands between them."""

    def __init__(self, run: Run, model_provider: str) -> None:
        super().__init__(model_provider)
        self._run = run

    def other(self, part: Part | Asking | Attempt | Seam) -> GenerationChunk | None:
        if isinstance(part, Asking | Attempt | Seam):
            self._run.tell(part)
        return super().other(part)


class FreeNetflyLLM(ProviderLLM):
    """`free.netfly.top` as a string model; see `ChatFreeNetfly`."""

    provider_class: ClassVar[type[Provider]] = freeproviders.FreeNetfly

    model_name: str = Field(default=freeproviders.FreeNetfly.default_model, alias="model")


class ChatgptFreeLLM(ProviderLLM):
    """`chatgptfree.ai` as a string model; see `ChatChatgptFree`."""

    provider_class: ClassVar[type[Provider]] = freeproviders.ChatgptFree

    model_name: str = Field(default=freeproviders.ChatgptFree.default_model, alias="model")


class FlowGptLLM(ProviderLLM):
    """`flowgpt.com` as a string model; see `ChatFlowGpt`."""

    provider_class: ClassVar[type[Provider]] = freeproviders.FlowGpt

    model_name: str = Field(default=freeproviders.FlowGpt.default_model, alias="model")


class AIChatFreeLLM(ProviderLLM):
    """`aichatfree.info` as a string model; see `ChatAIChatFree`."""

    provider_class: ClassVar[type[Provider]] = freeproviders.AIChatFree

    model_name: str = Field(default=freeproviders.AIChatFree.default_model, alias="model")


class OpenAICompatibleLLM(OpenAICompatibleSettings, ProviderLLM):
    """Any service that speaks the OpenAI protocol as a string model, by its chat endpoint.

    See `ChatOpenAICompatible`.
    """


class EmbeddedLLM(EmbeddedSettings, ProviderLLM):
    """The model on this machine as a string model; see `ChatEmbedded`."""


class BackendLLM(GivenBackend, FreeProvidersStringModel):
    """Any backend as a string model; see `ChatBackend`."""


class FreeProvidersLLM(RouterSettings, FreeProvidersStringModel):
    """One string model over everything that is free for this user; see `ChatFreeProviders`."""

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        run, options = with_run(Run, run_manager, kwargs)
        try:
            return super()._generate(prompts, stop, run_manager, **options)
        finally:
            run.tell_all()

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        _, options = with_run(AsyncRun, run_manager, kwargs)
        return await super()._agenerate(prompts, stop, run_manager, **options)

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        run, options = with_run(Run, run_manager, kwargs)
        writer = _TellingPieceWriter(run, self.model_provider)
        return self._chunks(partial(as_messages, prompt), stop, options, writer, run_manager)

    def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        run, options = with_run(AsyncRun, run_manager, kwargs)
        writer = _TellingPieceWriter(run, self.model_provider)
        return self._achunks(partial(as_messages, prompt), stop, options, writer, run_manager)
