"""What all chat models here share: LangChain's methods over a core provider's one stream.

Async runs on the caller's loop, batch by batch; sync goes through `freeproviders.bridge`, a whole batch at a time. What a service cannot do itself - tools,
structured output, stop sequences, counting - the core does, below LangChain's callbacks, so that one call is one call in every trace.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, closing
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import BaseModel, model_validator

from freeproviders import bridge
from freeproviders.errors import FreeProvidersError
from freeproviders.types import ChatRequest, Completion, Message, Text, collect
from freeproviders.usage import TOKENS_PER_MESSAGE, estimate_tokens
from langchain_freeproviders._version import __version__
from langchain_freeproviders.chunks import ChunkWriter, result, text_chunk
from langchain_freeproviders.errors import translated
from langchain_freeproviders.messages import core_messages
from langchain_freeproviders.settings import ProviderSettings
from langchain_freeproviders.tools import core_choice, core_format, openai_tools

Bindable = dict[str, Any] | type | Callable[..., Any] | BaseTool
F = TypeVar("F", bound=Callable[..., Any])
Method = Literal["json_schema", "function_calling", "json_mode"]


def _with_signature(method: F) -> F:
    """Write down a method's signature once: LangChain works it out at every call, which costs more than our conversion and request together."""
    method.__dict__["__signature__"] = inspect.signature(method)
    return method


class FreeProvidersChatModel(ProviderSettings, BaseChatModel):
    """A chat model over a core provider; the classes to use are in `chat_models`."""

    streaming: bool = False
    """Whether `invoke` and `ainvoke` stream underneath; False, said explicitly, makes `stream` wait for the whole answer."""

    # --- the four methods ---

    @_with_signature
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - LangChain calls its own handlers
        **kwargs: Any,
    ) -> ChatResult:
        try:
            return self._result(bridge.run(self._complete(self._chat_request(messages, stop, kwargs, stream=False))))
        except FreeProvidersError as error:
            raise translated(error) from error.__cause__

    @_with_signature
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ChatResult:
        try:
            return self._result(await self._complete(self._chat_request(messages, stop, kwargs, stream=False)))
        except FreeProvidersError as error:
            raise translated(error) from error.__cause__

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        write = ChunkWriter(self.model_provider).write
        try:
            with closing(bridge.iterate(self._batches(self._chat_request(messages, stop, kwargs, stream=True)))) as batches:
                for batch in batches:
                    for part in batch:
                        if part.__class__ is Text:
                            chunk = text_chunk(part.text)
                        elif (other := write(part)) is not None:
                            chunk = other
                        else:
                            continue
                        if run_manager is not None:
                            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
        except FreeProvidersError as error:
            raise translated(error) from error.__cause__

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        write = ChunkWriter(self.model_provider).write
        try:
            async with aclosing(self._batches(self._chat_request(messages, stop, kwargs, stream=True))) as batches:
                async for batch in batches:
                    for part in batch:
                        if part.__class__ is Text:
                            chunk = text_chunk(part.text)
                        elif (other := write(part)) is not None:
                            chunk = other
                        else:
                            continue
                        if run_manager is not None:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
        except FreeProvidersError as error:
            raise translated(error) from error.__cause__

    def _chat_request(self, messages: list[BaseMessage], stop: list[str] | None, options: dict[str, Any], *, stream: bool) -> ChatRequest:
        profile = self.profile
        window = profile.get("max_input_tokens") if profile else None
        return self._request(core_messages(messages), stop, options, stream=stream, window=window)

    async def _complete(self, request: ChatRequest) -> Completion:
        async with aclosing(self._batches(request)) as batches:
            return collect([part async for batch in batches for part in batch])

    def _result(self, completion: Completion) -> ChatResult:
        return result(completion, self.model_provider)

    # --- tools and structured output ---

    def bind_tools(
        self,
        tools: Sequence[Bindable],
        *,
        tool_choice: str | dict[str, Any] | Sequence[str] | bool | None = None,
        parallel_tool_calls: bool | None = None,
        strict: bool | None = None,
        response_format: dict[str, Any] | type | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let the model call tools.

        Works on every provider: where the service has no tools of its own, they go through the prompt, and only complete calls whose arguments fit come out.

        Args:
            tools: a `BaseTool`, function, pydantic class, TypedDict or JSON schema each; may be empty.
            tool_choice: "auto", "none", "any" (or "required", True), a tool's name, or several names.
            parallel_tool_calls: False ends the answer after the first call.
            strict: passed on with each tool's schema.
            response_format: the form of the final answer, as `{"type": "json_schema", ...}` or a class.
            kwargs: further settings of the request.

        Raises:
            UsageError: for what cannot be bound.
        """
        try:
            bound: dict[str, Any] = {"tools": openai_tools(tools, strict=strict)} if tools else {}
            choice = core_choice(tool_choice, bound.get("tools"))
            if response_format is not None:
                bound["response_format"] = core_format(response_format)
        except FreeProvidersError as error:
            raise translated(error) from error.__cause__
        if choice is not None:
            bound["tool_choice"] = choice
        if parallel_tool_calls is not None and tools:
            bound["parallel_tool_calls"] = parallel_tool_calls
        return self.bind(**bound, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Let the model answer with an object that fits a schema.

        The answer is constrained where the service can do that, else asked for in the prompt; it is found in whatever the model says, checked, and asked for
        again with the exact complaint. What comes out is valid, or an error of its own type is raised: never None.

        Args:
            schema: a pydantic class (instances come out), a TypedDict, a dataclass, or a JSON or function schema with a title.
            method: "json_schema" asks for the object as the answer, "function_calling" as the arguments of a tool call, "json_mode" for any JSON that
                your own prompt describes.
            include_raw: return `{"raw": AIMessage, "parsed": object or None, "parsing_error": error or None}` and raise nothing for a bad answer.
            strict: passed on with the schema.
            kwargs: further settings of the request.
        """
        from langchain_freeproviders.structured import structured  # noqa: PLC0415 - runnables and parsers, for those who use them

        try:
            return structured(self, schema, method=method, include_raw=include_raw, strict=strict, settings=kwargs)
        except FreeProvidersError as error:
            raise translated(error) from error.__cause__

    # --- counting ---

    def get_token_ids(self, text: str) -> list[int]:
        """Token ids, where `custom_get_token_ids` was given: no service tells its tokenizer. `get_num_tokens` estimates without."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        raise NotImplementedError("The service's tokenizer is not known: pass custom_get_token_ids, or use get_num_tokens, which estimates.")

    def get_num_tokens(self, text: str) -> int:
        """Tokens of a text: counted with `custom_get_token_ids`, else estimated at four characters each. Needs no network and no tokenizer."""
        return len(self.custom_get_token_ids(text)) if self.custom_get_token_ids is not None else estimate_tokens(len(text))

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Tokens of a conversation and of the schemas of its tools."""
        texts = [_spoken(message) for message in core_messages(messages)] if messages else []
        count = sum(TOKENS_PER_MESSAGE + self.get_num_tokens(text) for text in texts)
        if tools:
            count += sum(self.get_num_tokens(str(tool["function"])) for tool in openai_tools(tools))
        return count

    # --- what LangChain asks of a model ---

    @property
    def _llm_type(self) -> str:
        return f"{self.slug}-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self._identity

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        # As the base class, without the detour over a deprecated method, which costs more than all the rest.
        return {**self._identity, "_type": self._llm_type, "stop": stop, **kwargs}

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        # A cache's key. The saved form, which the base class takes, leaves out what is default: which model that is may change.
        return str(sorted(self._get_invocation_params(stop=stop, **kwargs).items()))

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self._traced_params("chat", stop, kwargs)

    def _resolve_model_profile(self) -> ModelProfile | None:
        provider = self._provider
        profile = ModelProfile(
            text_inputs=True,
            text_outputs=True,
            image_inputs=provider.supports_images,
            image_url_inputs=provider.supports_images,
            tool_calling=True,
            tool_choice=True,
        )
        window = getattr(provider, "context_window", None)
        if isinstance(window, int):
            profile["max_input_tokens"] = window
        return profile

    @model_validator(mode="after")
    def _set_freeproviders_version(self) -> Self:
        self._add_version("langchain-freeproviders", __version__)
        return self

    # --- closing, for those who want it ---

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def aclose(self) -> None:
        """Let go of what was learned from the service. Connections belong to the event loop and end with it; the model can still be used."""
        self.close()

    def close(self) -> None:
        """As `aclose`."""
        self._forget()


def _spoken(message: Message) -> str:
    """What of a message costs tokens."""
    return " ".join([message.text, *(f"{call.name} {call.arguments}" for call in message.tool_calls)])
