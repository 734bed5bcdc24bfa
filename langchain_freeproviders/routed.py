"""The base of the chat model over a router: the run of each call goes along to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig

from freeproviders.types import Asking, Attempt, Draft, Part, Seam
from langchain_freeproviders.base import FreeProvidersChatModel, with_signature
from langchain_freeproviders.chunks import ChunkWriter, result, without_void
from langchain_freeproviders.events import AsyncRun, Run
from langchain_freeproviders.messages import core_messages
from langchain_freeproviders.routing import RouterSettings, run_ahead, with_run, without_run


class RouterChatModel(RouterSettings, FreeProvidersChatModel):
    """A chat model over a router; the class to use is `ChatFreeProviders`."""

    # --- the four methods ---

    @with_signature
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        run, options = with_run(Run, run_manager, kwargs)
        try:
            return result(
                self._complete(partial(core_messages, messages), stop, options), self.model_provider
            )
        finally:
            run.tell_all()

    @with_signature
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        _, options = with_run(AsyncRun, run_manager, kwargs)
        completion = await self._acomplete(partial(core_messages, messages), stop, options)
        return result(completion, self.model_provider)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        run, options = with_run(Run, run_manager, kwargs)
        read = partial(core_messages, messages)
        return self._chunks(read, stop, options, self._telling_writer(run, options), run_manager)

    def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        run, options = with_run(AsyncRun, run_manager, kwargs)
        read = partial(core_messages, messages)
        return self._achunks(read, stop, options, self._telling_writer(run, options), run_manager)

    def _telling_writer(self, run: Run, options: Mapping[str, Any]) -> ChunkWriter:
        return _TellingWriter(run, self.model_provider, shows_usage=self._wants_usage(options))

    # --- where LangChain streams without telling the run ---

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Stream the answer; a restart says so in its chunk's `response_metadata`."""
        config, run = run_ahead(Run, self, config)
        return super().stream(input, config, stop=stop, **kwargs, **run)

    def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Stream the answer as `stream` does."""
        config, run = run_ahead(AsyncRun, self, config)
        return super().astream(input, config, stop=stop, **kwargs, **run)

    def _generate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        _, options = with_run(Run, run_manager, kwargs)
        return without_void(super()._generate_with_cache(messages, stop, run_manager, **options))

    async def _agenerate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        _, options = with_run(AsyncRun, run_manager, kwargs)
        return without_void(await super()._agenerate_with_cache(messages, stop, run_manager, **options))

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        return super()._get_invocation_params(stop, **without_run(kwargs))


class _TellingWriter(ChunkWriter):
    """Turns the parts of one stream into chunks, and tells the run what stands between them."""

    def __init__(self, run: Run, model_provider: str, *, shows_usage: bool) -> None:
        super().__init__(model_provider, shows_usage=shows_usage)
        self._run = run

    def other(self, part: Part | Draft | Asking | Attempt | Seam) -> ChatGenerationChunk | None:
        if isinstance(part, Asking | Attempt | Seam):
            self._run.tell(part)
            if not isinstance(part, Seam):
                return None
        return super().other(part)
