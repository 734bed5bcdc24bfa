"""One LlamaIndex LLM over any provider of the core; `llms.py` has a class for each provider."""

from __future__ import annotations

import difflib
import re
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from contextlib import aclosing, closing
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, cast

from llama_index.core.base.llms.generic_utils import messages_to_prompt as default_messages_to_prompt
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.chat_engine.types import AgentChatResponse
from llama_index.core.llms.llm import ToolSelection
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, field_serializer

from freeproviders import bridge
from freeproviders.backend import whole
from freeproviders.context_windows import DEFAULT_WINDOW
from freeproviders.context_windows import context_window as known_window
from freeproviders.deadlines import Timeout
from freeproviders.errors import UsageError
from freeproviders.provider import Provider
from freeproviders.retry import Retry
from freeproviders.types import Batch, ChatRequest, Message
from llama_index_freeproviders.callbacks import (
    Call,
    ChatCall,
    CompletionCall,
    ResponseT,
    anybody_listens,
    spanned,
)
from llama_index_freeproviders.messages import to_core_messages
from llama_index_freeproviders.responses import ChatAssembler, CompletionAssembler
from llama_index_freeproviders.structured import StructuredPrediction
from llama_index_freeproviders.tools import chat_arguments, selections

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

FunctionCalling = Literal["auto", "native", "emulate", "off"]

DEFAULT_OUTPUT: Final = 1024
"""Tokens that LlamaIndex leaves free for an answer when `max_tokens` is not set."""

_PROVIDER_FIELDS: Final = frozenset(
    {
        "model",
        "base_url",
        "api_key",
        "headers",
        "cookies",
        "proxy",
        "connector",
        "trust_env",
        "timeout",
        "retry",
        "function_calling",
    }
)
_REQUEST_FIELDS: Final = ("temperature", "top_p", "max_tokens", "stop")
_NOT_FOR_SERVICES: Final = frozenset(
    {
        "allow_parallel_tool_calls",
        "error_on_no_tool_call",
        "formatted",
        "tool_names",
        "tool_required",
        "verbose",
    }
)
"""What LlamaIndex passes along with a call and no service knows."""


class FreeProvidersLLM(StructuredPrediction):
    """A provider of the core as a LlamaIndex LLM.

    Configuration is in fields, so that it can be pickled, saved with `to_dict` (without secrets) and loaded again; the core's provider is made from it.
    One object serves any number of event loops, threads and calls at once, and need not be closed.

    Errors are those of `freeproviders.errors`: a `UsageError` at the call, before anything is sent; a `ProviderError` for what went wrong at the service or on the
    way; an `OutputError`, also a `ValueError`, when the model did not give a call or an object that was required, after it was asked again.

    Examples:
        A class for a provider of one's own:

        ```python
        from freeproviders import FlowGpt
        from llama_index_freeproviders import FreeProvidersLLM


        class Mine(FreeProvidersLLM):
            provider_class = FlowGpt


        print(Mine().complete("Hello"))
        ```

        Objects instead of text:

        ```python
        from llama_index.core.prompts import PromptTemplate
        from llama_index_freeproviders import FlowGpt
        from pydantic import BaseModel


        class Song(BaseModel):
            title: str
            seconds: int


        print(FlowGpt().structured_predict(Song, PromptTemplate("A song about {what}."), what="rain"))
        ```
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # it may hold secrets

    provider_class: ClassVar[type[Provider]]

    model: str = Field(
        default="", description="The service's model, or an alias of it; empty is the service's default."
    )
    base_url: str | None = Field(
        default=None, description="Where the service is; None is its public address."
    )
    api_key: SecretStr | None = Field(
        default=None, exclude=True, repr=False, description="The key, where the service wants one."
    )
    headers: dict[str, str] | None = Field(
        default=None, exclude=True, repr=False, description="Headers sent with each request."
    )
    cookies: dict[str, str] | None = Field(
        default=None, exclude=True, repr=False, description="Cookies sent with each request."
    )
    proxy: str | None = Field(
        default=None, exclude=True, repr=False, description="http://user:password@host:port"
    )
    connector: Any = Field(
        default=None, exclude=True, repr=False, description="An aiohttp connector, used and never closed."
    )
    trust_env: bool = Field(default=False, description="Whether the environment's proxy variables count.")
    timeout: float | Timeout | None = Field(
        default=None, description="Seconds for a whole attempt, or a Timeout; None is the provider's own."
    )
    retry: int | Retry | None = Field(
        default=None, description="Retries before the first text, or a Retry; None is the provider's own."
    )

    temperature: float | None = Field(default=None, ge=0, description="None is the service's own.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="None is the service's own.")
    max_tokens: int | None = Field(
        default=None, ge=1, description="Longest answer in tokens; None is the service's own limit."
    )
    stop: str | list[str] | None = Field(default=None, description="Texts at which an answer ends.")
    additional_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="More request settings, by the service's own names."
    )

    context_window: int | None = Field(
        default=None, ge=1, description="Tokens for question and answer together; None looks the model up."
    )
    num_output: int | None = Field(
        default=None, ge=1, description="Tokens that LlamaIndex leaves free for an answer."
    )
    function_calling: FunctionCalling = Field(
        default="auto",
        description=(
            "How tools are offered: by the service's own protocol (native), through the prompt (emulate), natively only where the provider's class says that the "
            "service has tools (auto), or not at all (off: agents choose ReAct)."
        ),
    )

    _provider: Provider | None = PrivateAttr(default=None)
    _window: int | None = PrivateAttr(default=None)

    def __init__(self, model: str | None = None, **fields: Any) -> None:
        self._refuse_unknown(fields)
        super().__init__(**{**fields, "model": model or ""})
        # The provider is made at once, so that a wrong setting is found here; not in a validator, where pydantic would show the settings, keys and all.
        self.__dict__["model"] = self.provider.model

    @classmethod
    def _refuse_unknown(cls, names: Iterable[str]) -> None:
        """Raise `UsageError` on what is no setting; LlamaIndex would drop it without a word, and a mistyped temperature with it."""
        if getattr(cls, "provider_class", None) is None:
            raise UsageError(
                f"{cls.__name__} is for all providers: use one of its classes, or write one with a provider_class."
            )
        known = {*cls.model_fields, "class_name"}  # the name of the class stands in what it saves of itself
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = (
                    f"did you mean {near[0]}?"
                    if near
                    else "the service's own settings go into additional_kwargs."
                )
                raise UsageError(
                    f"{cls.__name__} has no setting {name!r}: {hint}", provider=cls.provider_class.name
                )

    @field_serializer("base_url")
    def _without_login(self, base_url: str | None) -> str | None:
        """A login in the address is a secret like the key."""
        return base_url and re.sub(r"//[^/?#]*@", "//", base_url)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """What is shown of it."""
        for name, value in super().__repr_args__():
            yield name, self._without_login(value) if name == "base_url" else value

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in self._provider_fields():
            self._provider = self._window = None

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with other settings if so wished."""
        copy = super().model_copy(update=update, deep=deep)
        if update:
            copy._provider = copy._window = None  # noqa: SLF001 - it is one of us
        return copy

    @classmethod
    def class_name(cls) -> str:
        """The name under which the class is saved and found again."""
        provider = getattr(cls, "provider_class", None)
        return f"freeproviders_{provider.slug.replace('-', '_')}" if provider is not None else "freeproviders"

    # --- what it is -------------------------------------------------------------------------------

    @property
    def provider(self) -> Provider:
        """The core's provider with this configuration."""
        provider = self._provider
        if provider is None:
            provider = self.provider_class(self.model or None, **self._configuration())
            if self.function_calling == "native" and not provider.abilities().tools:
                raise UsageError(
                    "function_calling='native': this service has no tools of its own; use 'auto' or 'emulate'.",
                    provider=provider.name,
                )
            if self.function_calling == "emulate":
                provider = provider.with_abilities(tools=False)
            self._provider = provider
        return provider

    def _provider_fields(self) -> frozenset[str]:
        """The fields that the provider is made from."""
        return _PROVIDER_FIELDS

    def _configuration(self) -> dict[str, Any]:
        """The provider's keyword arguments."""
        return {
            "base_url": self.base_url,
            "api_key": self.api_key.get_secret_value() if self.api_key else None,
            "headers": self.headers,
            "cookies": self.cookies,
            "proxy": self.proxy,
            "connector": self.connector,
            "trust_env": self.trust_env,
            "timeout": self.timeout,
            "retry": self.retry,
        }

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex plans with. Computed from the configuration; nothing is asked of the service."""
        window = self.context_window or self._looked_up_window()
        return LLMMetadata(
            context_window=window,
            num_output=max(1, min(self.num_output or self.max_tokens or DEFAULT_OUTPUT, window // 4)),
            is_chat_model=True,
            is_function_calling_model=self.function_calling != "off",
            model_name=self.provider.model or "unknown",
            system_role=MessageRole.SYSTEM,
        )

    def _looked_up_window(self) -> int:
        if self._window is None:
            self._window = (
                getattr(self.provider, "context_window", None)
                or known_window(self.provider.model)
                or DEFAULT_WINDOW
            )
        return self._window

    def to_payload(self) -> dict[str, Any]:
        """What observability tools are told about the model; no secrets."""
        return {
            **super().to_payload(),
            "model": self.provider.model,
            "provider": self.provider_class.name,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }

    # --- closing ----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """For symmetry with other clients: connections belong to the event loop and end with it, so there is nothing to do."""

    # --- chat -------------------------------------------------------------------------------------

    @spanned
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation."""
        with ChatCall(self, messages, kwargs) as call:
            call.wait_for_turn()
            answer = whole(self._chat_batches(messages, kwargs, stream=False))
            return call.ended(ChatAssembler(kwargs.get("tool_names")).whole(bridge.run(answer)))

    @spanned
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation."""
        with ChatCall(self, messages, kwargs) as call:
            await call.wait_for_turn_async()
            answer = whole(self._chat_batches(messages, kwargs, stream=False))
            return call.ended(ChatAssembler(kwargs.get("tool_names")).whole(await answer))

    @spanned
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a conversation piece by piece; the last chunk holds the whole message and what is known about it in `raw`."""
        with ChatCall(self, messages, kwargs) as call:
            call.wait_for_turn()
            return _stream(
                call,
                self._chat_batches(messages, kwargs, stream=True),
                ChatAssembler(kwargs.get("tool_names")),
            )

    @spanned
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Answer a conversation piece by piece; the last chunk holds the whole message and what is known about it in `raw`."""
        with ChatCall(self, messages, kwargs) as call:
            await call.wait_for_turn_async()
            return _astream(
                call,
                self._chat_batches(messages, kwargs, stream=True),
                ChatAssembler(kwargs.get("tool_names")),
            )

    # --- completion -------------------------------------------------------------------------------

    @spanned
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt."""
        with CompletionCall(self, prompt, kwargs) as call:
            call.wait_for_turn()
            answer = whole(self._prompt_batches(prompt, kwargs, formatted=formatted, stream=False))
            return call.ended(CompletionAssembler().whole(bridge.run(answer)))

    @spanned
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt."""
        with CompletionCall(self, prompt, kwargs) as call:
            await call.wait_for_turn_async()
            answer = whole(self._prompt_batches(prompt, kwargs, formatted=formatted, stream=False))
            return call.ended(CompletionAssembler().whole(await answer))

    @spanned
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Answer a prompt piece by piece."""
        with CompletionCall(self, prompt, kwargs) as call:
            call.wait_for_turn()
            return _stream(
                call,
                self._prompt_batches(prompt, kwargs, formatted=formatted, stream=True),
                CompletionAssembler(),
            )

    @spanned
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """Answer a prompt piece by piece."""
        with CompletionCall(self, prompt, kwargs) as call:
            await call.wait_for_turn_async()
            return _astream(
                call,
                self._prompt_batches(prompt, kwargs, formatted=formatted, stream=True),
                CompletionAssembler(),
            )

    # --- tools ------------------------------------------------------------------------------------

    def _prepare_chat_with_tools(  # noqa: PLR0917 - LlamaIndex's signature
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        del verbose
        if self.function_calling == "off" and tools:
            raise UsageError(
                "function_calling is 'off', so this model takes no tools: use a ReActAgent.",
                provider=self.provider_class.name,
            )
        return chat_arguments(
            tools,
            user_msg=user_msg,
            chat_history=chat_history,
            allow_parallel_tool_calls=allow_parallel_tool_calls,
            tool_required=tool_required,
            **kwargs,
        )

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The calls in a response; raises `ToolCallError`, a `ValueError`, if there must be one and is none."""
        del kwargs
        return selections(response, error_on_no_tool_call=error_on_no_tool_call)

    def predict_and_call(  # noqa: PLR0917 - LlamaIndex's signature
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        error_on_no_tool_call: bool = True,
        error_on_tool_error: bool = False,
        **kwargs: Any,
    ) -> AgentChatResponse:
        """Let the model choose a tool, and call it. With `function_calling="off"` by ReAct."""
        return super().predict_and_call(
            tools,
            user_msg,
            chat_history,
            verbose,
            allow_parallel_tool_calls,
            error_on_no_tool_call,
            error_on_tool_error,
            **self._with_react(kwargs),
        )

    async def apredict_and_call(  # noqa: PLR0917 - LlamaIndex's signature
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        error_on_no_tool_call: bool = True,
        error_on_tool_error: bool = False,
        **kwargs: Any,
    ) -> AgentChatResponse:
        """Let the model choose a tool, and call it. With `function_calling="off"` by ReAct."""
        return await super().apredict_and_call(
            tools,
            user_msg,
            chat_history,
            verbose,
            allow_parallel_tool_calls,
            error_on_no_tool_call,
            error_on_tool_error,
            **self._with_react(kwargs),
        )

    def _with_react(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """LlamaIndex's ReAct fallback fails unless it is given a formatter and a parser."""
        if self.function_calling != "off":
            return kwargs
        from llama_index.core.agent.react.formatter import ReActChatFormatter  # noqa: PLC0415 - only this needs the agents, which take long to import

        from llama_index_freeproviders.react import TolerantReActOutputParser  # noqa: PLC0415

        return {
            "react_chat_formatter": ReActChatFormatter.from_defaults(),
            "output_parser": TolerantReActOutputParser(),
            **kwargs,
        }

    # --- prompts ----------------------------------------------------------------------------------

    def _extend_messages(self, messages: list[ChatMessage]) -> list[ChatMessage]:
        """The system prompt before, and the query wrapper around what the user says, which LlamaIndex itself only does for models without chat."""
        messages = list(super()._extend_messages(messages))
        wrapper = self.query_wrapper_prompt
        if (
            wrapper is not None
            and messages
            and messages[-1].role == MessageRole.USER
            and messages[-1].content
        ):
            messages[-1] = ChatMessage(
                role=MessageRole.USER, content=wrapper.format(query_str=messages[-1].content)
            )
        return messages

    # --- the core ---------------------------------------------------------------------------------

    def _chat_batches(
        self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any], *, stream: bool
    ) -> AsyncGenerator[Batch, None]:
        provider, request = self._chat_request(messages, kwargs, stream=stream)
        return provider.answer(request)

    def _prompt_batches(
        self, prompt: str, kwargs: Mapping[str, Any], *, formatted: bool, stream: bool
    ) -> AsyncGenerator[Batch, None]:
        if not formatted and self.completion_to_prompt is not None:
            prompt = self.completion_to_prompt(prompt)
        if not isinstance(prompt, str):
            raise UsageError(
                f"a prompt must be text, not {type(prompt).__name__}.", provider=self.provider_class.name
            )
        provider, request = self._request((Message("user", prompt),), kwargs, stream=stream)
        return provider.answer(request)

    def _chat_request(
        self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any], *, stream: bool
    ) -> tuple[Provider, ChatRequest]:
        """Who is asked, and what; what cannot work raises `UsageError`."""
        folded = self.messages_to_prompt
        if (
            folded is not None and folded is not default_messages_to_prompt
        ):  # the caller has a prompt format of their own
            return self._request((Message("user", folded(messages)),), kwargs, stream=stream)
        return self._request(to_core_messages(messages, kwargs.get("tool_names")), kwargs, stream=stream)

    def _request(
        self, messages: tuple[Message, ...], kwargs: Mapping[str, Any], *, stream: bool
    ) -> tuple[Provider, ChatRequest]:
        provider = self.provider
        return provider, provider.request(messages, stream=stream, **self._options(kwargs))

    def _options(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of one request: the fields, and over them the call's own."""
        options = {name: value for name in _REQUEST_FIELDS if (value := getattr(self, name)) is not None}
        if self.additional_kwargs:
            options.update(self.additional_kwargs)
        options.update(
            {
                name: value
                for name, value in kwargs.items()
                if value is not None and name not in _NOT_FOR_SERVICES
            }
        )
        return options


async def _astream(
    call: Call[ResponseT], batches: AsyncGenerator[Batch, None], assembler: Any
) -> AsyncGenerator[ResponseT, None]:
    response: ResponseT | None = None
    try:
        async with aclosing(batches):
            async for batch in batches:
                listens = anybody_listens()
                for part in assembler.prepared(batch):
                    if (chunk := assembler.take(part)) is not None:
                        response = chunk
                        if listens:
                            call.progressed(chunk)
                        yield chunk
    except BaseException as error:
        call.failed(error)
        raise
    call.ended(cast("ResponseT", response))


def _stream(
    call: Call[ResponseT], batches: AsyncGenerator[Batch, None], assembler: Any
) -> Generator[ResponseT, None, None]:
    response: ResponseT | None = None
    try:
        with closing(cast("Generator[Batch, None, None]", bridge.iterate(batches))) as received:
            for batch in received:
                listens = anybody_listens()
                for part in assembler.prepared(batch):
                    if (chunk := assembler.take(part)) is not None:
                        response = chunk
                        if listens:
                            call.progressed(chunk)
                        yield chunk
    except BaseException as error:
        call.failed(error)
        raise
    call.ended(cast("ResponseT", response))
