"""One LlamaIndex LLM over the core, for any backend.

`CoreLLM` has the settings of a request and all of LlamaIndex's methods. Its subclasses say what is
asked: `BackendLLM` (in `backend.py`) an object that the caller brings, `ProviderLLM` (in
`provider.py`) a provider made from its fields.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
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
    TextBlock,
)
from llama_index.core.chat_engine.types import AgentChatResponse
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import Model, PydanticProgramMode
from pydantic import Field, PrivateAttr

from freeproviders import bridge
from freeproviders.backend import Backend
from freeproviders.checks import SETTINGS
from freeproviders.configuration import split
from freeproviders.errors import UsageError
from freeproviders.streams import whole
from freeproviders.tokens.families import ANY, family_of
from freeproviders.types import Batch, Message, OnEmpty, OnInvalid, ReasoningMode
from llama_index_freeproviders import structured
from llama_index_freeproviders.callbacks import (
    Call,
    ChatCall,
    CompletionCall,
    anybody_listens,
    opened,
    spanned,
)
from llama_index_freeproviders.fields import CoreFields, with_plain_key
from llama_index_freeproviders.messages import holds_files, to_core_messages
from llama_index_freeproviders.names import LLM_NAMES, Names
from llama_index_freeproviders.question import ROUTER, Question
from llama_index_freeproviders.responses import (
    Assembler,
    ChatAssembler,
    CompletionAssembler,
    ResponseT,
)
from llama_index_freeproviders.tools import chat_arguments, selections

if TYPE_CHECKING:
    from llama_index.core.program.utils import FlexibleModel
    from llama_index.core.tools.types import BaseTool

FunctionCalling = Literal["auto", "native", "emulate", "off"]

DEFAULT_OUTPUT: Final = 1024
"""Tokens that LlamaIndex leaves free for an answer when `max_tokens` is not set."""
DEFAULT_WINDOW: Final = 8192
"""The window of unknown models: few have less, and services refuse more than they have."""
_FILLED: Final = 0.8
"""The share of a window that is announced; the upper estimate of English text is up to a fifth higher."""
_FILLED_UNKNOWN: Final = 0.6
"""The same where the tokenizer of a member is not known, and the estimate that of the dearest."""

SETTINGS_OF_A_CALL: Final = (
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "max_repairs",
    "allow_repeats",
    "on_invalid",
    "reasoning",
    "wait_up_to",
    "on_empty",
    "include_response_headers",
    "extra_body",
)
_LLAMAINDEX_ONLY: Final = frozenset(
    {
        "allow_parallel_tool_calls",
        "error_on_no_tool_call",
        "formatted",
        "tool_names",
        "tool_required",
        "verbose",
    }
)
"""Keywords that LlamaIndex passes along with a call and that are no settings of the request."""
_OF_THE_METHOD: Final = frozenset({"messages", "stream"})
"""Settings that the method called decides on."""


class CoreLLM(CoreFields, FunctionCallingLLM):
    """The settings of a request and LlamaIndex's methods; `_made_backend` makes the backend.

    All state is in fields, so that an LLM can be pickled, saved with `to_dict` (without secrets)
    and loaded again. One object serves any number of event loops, threads and calls at once, and
    need not be closed.

    Errors are those of `freeproviders.errors`: a `UsageError` at the call, before anything is sent;
    a `ProviderError` for what went wrong at the service or on the way; an `OutputError`, also a
    `ValueError`, when the model did not give a call or an object that was required, after it was
    asked again.
    """

    model: str = Field(
        default="", description="The model asked, or an alias of it; empty is the backend's default."
    )
    temperature: float | None = Field(default=None, ge=0, description="None is the service's own.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="None is the service's own.")
    max_tokens: int | None = Field(
        default=None, ge=1, description="Longest answer in tokens; None is the service's own limit."
    )
    stop: str | list[str] | None = Field(default=None, description="Texts at which an answer ends.")
    max_repairs: int | None = Field(
        default=None,
        ge=0,
        description="How often a model is asked again for a call or an object that fits; None is twice.",
    )
    allow_repeats: bool | None = Field(
        default=None,
        description=(
            "Whether a model may repeat a call right after it got the result; None asks only the smallest "
            "models whether they mean it."
        ),
    )
    on_invalid: OnInvalid | None = Field(
        default=None,
        description=(
            "What happens to a call that still does not fit after the model was asked again: 'pass' hands it "
            "to the agent as it is, 'raise' raises ToolCallError; None raises only where one tool is "
            "required by its name."
        ),
    )
    reasoning: ReasoningMode | None = Field(
        default=None,
        description=(
            "What becomes of thinking that a model writes into its text, <think>...</think>: 'split' makes "
            "it a ThinkingBlock, 'drop' leaves it out, 'keep' leaves the text alone; None splits, without "
            "tools and a schema only where an answer begins with it."
        ),
    )
    wait_up_to: float | None = Field(
        default=None,
        ge=0,
        description="The most seconds, in all, that a call waits for a service that says when to come back.",
    )
    on_empty: OnEmpty | None = Field(
        default=None,
        description=(
            "What an answer without text and calls is: 'error', or with 'allow' an empty response where the "
            "service itself says that the model stopped. None leaves it to the backend: services of the "
            "OpenAI protocol allow it, where no tools or schemas are involved."
        ),
    )
    include_response_headers: bool | None = Field(
        default=None, description="Whether raw['headers'] has the headers of the answer, without cookies."
    )
    additional_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Options of the service, by its own names."
    )
    extra_body: dict[str, Any] | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="Options of the service that are not saved or shown, as they hold secrets.",
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
            "How tools are offered: by the service's own protocol (native), through the prompt (emulate), "
            "natively only where the backend says that its model has tools (auto), or not at all (off: "
            "agents choose ReAct)."
        ),
    )

    cache: Any = Field(
        default=None,
        exclude=True,
        repr=False,
        description=(
            "Where answers are kept, so that each question is asked once: True is the user's own file, else "
            "a path, 'redis://...', 'memory' or an answer store; None leaves it to the backend."
        ),
    )

    names: ClassVar[Names] = LLM_NAMES
    not_options: ClassVar[frozenset[str]] = frozenset({*SETTINGS, "messages", "extra_body"})

    _own_window: int | None = PrivateAttr(default=None)

    def __init__(self, model: str | None = None, **fields: Any) -> None:
        fields = self._named({**fields, **({"model": model} if model is not None else {})})
        super().__init__(**{**fields, "model": fields.get("model") or ""})

    @classmethod
    def _place_of(cls, name: str) -> str:
        if name in _OF_THE_METHOD:
            return "the call's method decides on it"
        where = "to the constructor or with the call" if name in cls.model_fields else "with the call"
        return f"pass {name}= {where}"

    # --- the backend ------------------------------------------------------------------------------

    @classmethod
    def _makes_core(cls, name: str) -> bool:
        """Whether the backend depends on a field: the model, and all that is not of this class."""
        return name in {"cache", "model", "function_calling"} or (
            name in cls.model_fields and name not in CoreLLM.model_fields
        )

    def _forget(self) -> None:
        super()._forget()
        self._own_window = None

    def _made_backend(self) -> Backend:
        """Make the backend that the fields describe."""
        raise UsageError(f"{type(self).__name__} has no backend: use BackendLLM or a provider's class.")

    @property
    def core(self) -> Backend:
        """The backend that is asked; made again when a field that it depends on has changed."""
        backend = self._core
        return cast("Backend", self._fresh_core() if backend is None else backend)

    def _fresh_core(self) -> Backend:
        made = self._made_core()
        self._core = made if self.cache is None else made.cached(self.cache)
        return cast("Backend", self._core)

    def _made_core(self) -> Backend:
        """Make the backend, with tools offered as `function_calling` says."""
        backend = self._made_backend()
        if self.function_calling == "native" and backend.finds_out("tools"):
            return backend.with_abilities(tools=True)
        if self.function_calling == "native" and not backend.abilities().tools:
            raise UsageError(
                "function_calling='native': this backend has no tools of its own; use 'auto' or 'emulate'.",
                provider=backend.name,
            )
        return backend.with_abilities(tools=False) if self.function_calling == "emulate" else backend

    @property
    def metadata(self) -> LLMMetadata:
        """The facts that LlamaIndex plans with, computed from the fields without any request."""
        window = self.context_window or self._looked_up_window()
        longest = min(window // 4, self.core.abilities().output or window)
        return LLMMetadata(
            context_window=window,
            num_output=max(1, min(self.num_output or self.max_tokens or DEFAULT_OUTPUT, longest)),
            is_chat_model=True,
            is_function_calling_model=self.function_calling != "off",
            model_name=self.core.model or "unknown",
            system_role=MessageRole.SYSTEM,
        )

    def _looked_up_window(self) -> int:
        backend = self.core
        if self._own_window is None:
            self._own_window = getattr(backend, "context_window", None) or 0  # may be read from a file
        # Looked up each time: the service may have told it since.
        window = self._own_window or backend.window_of() or DEFAULT_WINDOW
        return _filled(backend, window) if backend.slug == ROUTER else window

    def to_payload(self) -> dict[str, Any]:
        """The model's description for observability tools, without secrets."""
        return {
            "class_name": self.class_name(),  # which older versions of LlamaIndex do not add
            "model_name": self.metadata.model_name,
            **getattr(super(), "to_payload", dict)(),
            "model": self.core.model,
            "provider": self.core.name,
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
        """Do nothing, for symmetry with other clients: connections end with their event loop."""

    # --- chat -------------------------------------------------------------------------------------

    @spanned
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation."""
        with ChatCall(self, messages, kwargs) as call:
            call.wait_for_turn()
            answer = whole(call.heard(self.question(messages, kwargs, stream=False)).batches())
            return call.ended(_chat_assembler(kwargs).whole(bridge.run(answer)))

    @spanned
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation."""
        with ChatCall(self, messages, kwargs) as call:
            await call.wait_for_turn_async()
            question = call.heard(await self._aquestion(messages, kwargs, stream=False))
            answer = whole(question.batches())
            return call.ended(_chat_assembler(kwargs).whole(await answer))

    @spanned
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a conversation piece by piece.

        The last chunk holds the whole message, and what is known about the answer in `raw`.
        """
        with ChatCall(self, messages, kwargs) as call:
            call.wait_for_turn()
            batches = call.heard(self.question(messages, kwargs, stream=True)).batches()
            return _stream(call, batches, _chat_assembler(kwargs))

    @spanned
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Answer a conversation piece by piece.

        The last chunk holds the whole message, and what is known about the answer in `raw`.
        """
        with ChatCall(self, messages, kwargs) as call:
            await call.wait_for_turn_async()
            batches = call.heard(await self._aquestion(messages, kwargs, stream=True)).batches()
            return _astream(call, batches, _chat_assembler(kwargs))

    # --- completion -------------------------------------------------------------------------------

    @spanned
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt."""
        with CompletionCall(self, prompt, kwargs) as call:
            call.wait_for_turn()
            question = call.heard(self._prompted(prompt, kwargs, formatted=formatted, stream=False))
            answer = whole(question.batches())
            return call.ended(CompletionAssembler().whole(bridge.run(answer)))

    @spanned
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt."""
        with CompletionCall(self, prompt, kwargs) as call:
            await call.wait_for_turn_async()
            question = call.heard(self._prompted(prompt, kwargs, formatted=formatted, stream=False))
            answer = whole(question.batches())
            return call.ended(CompletionAssembler().whole(await answer))

    @spanned
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Answer a prompt piece by piece."""
        with CompletionCall(self, prompt, kwargs) as call:
            call.wait_for_turn()
            batches = call.heard(self._prompted(prompt, kwargs, formatted=formatted, stream=True)).batches()
            return _stream(call, batches, CompletionAssembler())

    @spanned
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """Answer a prompt piece by piece."""
        with CompletionCall(self, prompt, kwargs) as call:
            await call.wait_for_turn_async()
            batches = call.heard(self._prompted(prompt, kwargs, formatted=formatted, stream=True)).batches()
            return _astream(call, batches, CompletionAssembler())

    # --- objects ----------------------------------------------------------------------------------

    # With another `pydantic_program_mode` than the default, LlamaIndex's own programs are used.

    @spanned
    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Answer a prompt with an object.

        Raises `StructuredOutputError`, a `ValueError`, when none that fits comes after asking
        again.
        """
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            return cast("Model", super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args))
        return structured.predict(self, output_cls, prompt, llm_kwargs, prompt_args)

    @spanned
    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Answer a prompt with an object.

        Raises `StructuredOutputError`, a `ValueError`, when none that fits comes after asking
        again.
        """
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            return cast(
                "Model", await super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            )
        return await structured.apredict(self, output_cls, prompt, llm_kwargs, prompt_args)

    @spanned
    def stream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Model | FlexibleModel, None, None]:
        """Answer a prompt with an object that grows: partial ones first, the valid one last."""
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            return super().stream_structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
        return structured.stream_predict(self, output_cls, prompt, llm_kwargs, prompt_args)

    @spanned
    async def astream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Model | FlexibleModel, None]:
        """Answer a prompt with an object that grows: partial ones first, the valid one last."""
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            return await super().astream_structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
        return await structured.astream_predict(self, output_cls, prompt, llm_kwargs, prompt_args)

    # --- tools ------------------------------------------------------------------------------------

    @spanned  # LlamaIndex makes a span of it, as it is abstract, and would show a call's credentials
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
                provider=self.core.name,
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
        """Return the calls in a response.

        Raises `ToolCallError`, a `ValueError`, if one is due and there is none.
        """
        del kwargs
        return selections(response, error_on_no_tool_call=error_on_no_tool_call)

    @spanned
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
        """Let the model choose a tool, and call it. With `function_calling="off"` by ReAct.

        A call that does not fit is a `ToolCallError`, unless `on_invalid` says otherwise: no agent
        is there to answer it.
        """
        return super().predict_and_call(
            tools,
            user_msg,
            chat_history,
            verbose,
            allow_parallel_tool_calls,
            error_on_no_tool_call,
            error_on_tool_error,
            **self._for_one_call(kwargs),
        )

    @spanned
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
        """Let the model choose a tool, and call it. With `function_calling="off"` by ReAct.

        A call that does not fit is a `ToolCallError`, unless `on_invalid` says otherwise: no agent
        is there to answer it.
        """
        return await super().apredict_and_call(
            tools,
            user_msg,
            chat_history,
            verbose,
            allow_parallel_tool_calls,
            error_on_no_tool_call,
            error_on_tool_error,
            **self._for_one_call(kwargs),
        )

    def _for_one_call(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Add what becomes of a call that does not fit, where no agent answers it.

        For ReAct add the formatter and the parser without which LlamaIndex's fallback fails.
        """
        if self.function_calling != "off":
            return {"on_invalid": self.on_invalid or "raise", **kwargs}
        # Only this needs the agents, which take long to import.
        from llama_index.core.agent.react.formatter import ReActChatFormatter  # noqa: PLC0415

        from llama_index_freeproviders.react import TolerantReActOutputParser  # noqa: PLC0415

        return {
            "react_chat_formatter": ReActChatFormatter.from_defaults(),
            "output_parser": TolerantReActOutputParser(),
            **kwargs,
        }

    # --- the core ---------------------------------------------------------------------------------

    def question(
        self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any], *, stream: bool
    ) -> Question:
        """Return the backend and the request; `kwargs` are a call's settings and configuration.

        Raises `UsageError` for what cannot work.
        """
        folded = self.messages_to_prompt
        if folded is not None and folded is not default_messages_to_prompt:
            return self._question(
                (Message("user", folded(messages)),), kwargs, stream=stream
            )  # the caller's own
        return self._question(to_core_messages(messages, kwargs.get("tool_names")), kwargs, stream=stream)

    async def _aquestion(
        self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any], *, stream: bool
    ) -> Question:
        """Return what `question` returns; files are read on a thread, and not on the event loop."""
        if holds_files(messages):
            return await asyncio.to_thread(self.question, messages, kwargs, stream=stream)
        return self.question(messages, kwargs, stream=stream)

    def prompted(self, prompt: BasePromptTemplate, values: Mapping[str, Any]) -> list[ChatMessage]:
        """Write a prompt as messages, with the system prompt and the query wrapper."""
        return self._extend_messages(prompt.format_messages(llm=self, **values))

    def _extend_messages(self, messages: list[ChatMessage]) -> list[ChatMessage]:
        """Put the system prompt before, and the query wrapper around what the user says.

        LlamaIndex itself wraps only prompts of models without chat.
        """
        messages = list(super()._extend_messages(messages))
        wrapper = self.query_wrapper_prompt
        if wrapper is not None and messages and messages[-1].role == MessageRole.USER:
            messages[-1] = _wrapped(messages[-1], wrapper)
        return messages

    def _prompted(self, prompt: str, kwargs: Mapping[str, Any], *, formatted: bool, stream: bool) -> Question:
        if not formatted and self.completion_to_prompt is not None:
            prompt = self.completion_to_prompt(prompt)
        if not isinstance(prompt, str):
            raise UsageError(f"A prompt must be text, not {type(prompt).__name__}.", provider=self.core.name)
        return self._question((Message("user", prompt),), kwargs, stream=stream)

    def _question(
        self, messages: tuple[Message, ...], kwargs: Mapping[str, Any], *, stream: bool
    ) -> Question:
        backend = self.core
        fields = self.__dict__  # pydantic's own lookup costs more than the rest of this
        settings = {name: value for name in SETTINGS_OF_A_CALL if (value := fields[name]) is not None}
        if self.additional_kwargs:
            settings.update(self.additional_kwargs)
        if kwargs:
            configuration, own = split(opened(kwargs), backend.name)
            if configuration:
                backend = backend.configured(**with_plain_key(configuration))
            settings.update(own.pop("additional_kwargs", None) or {})
            settings.update(
                (name, value)
                for name, value in own.items()
                if value is not None and name not in _LLAMAINDEX_ONLY
            )
            if (
                wrong := own.keys()
                & settings.keys()
                & type(self).model_fields.keys() - SETTINGS - {"extra_body"}
            ):
                raise UsageError(
                    f"{', '.join(sorted(wrong))} belongs to the constructor: pass it to "
                    f"{type(self).__name__}(...). A service's own option of that name goes into extra_body.",
                    provider=backend.name,
                )
        for name in settings.keys() & _OF_THE_METHOD:
            raise UsageError(
                f"{name} is no keyword of a call: the method decides on it (chat, stream_chat ...).",
                provider=backend.name,
            )
        return Question(backend, backend.request(messages, stream=stream, **settings))


def _filled(router: Backend, window: int) -> int:
    """As much of a router's window as LlamaIndex can fill, so that no member refuses the prompt.

    LlamaIndex packs by a tokenizer of its own, and a member is asked only where the question fits by
    an estimate that is hardly ever too low.
    """
    members = getattr(router, "members", ())
    known = all(family_of(member.model) != ANY for member in members)
    return int(window * (_FILLED if known else _FILLED_UNKNOWN))


def _wrapped(message: ChatMessage, wrapper: BasePromptTemplate) -> ChatMessage:
    """Put a wrapper around the text of a message; its pictures and all else stay."""
    if not message.content:
        return message
    text = TextBlock(text=wrapper.format(query_str=message.content))
    at = next(n for n, block in enumerate(message.blocks) if isinstance(block, TextBlock))
    others = [block for block in message.blocks[at:] if not isinstance(block, TextBlock)]
    return message.model_copy(update={"blocks": [*message.blocks[:at], text, *others]})


def _chat_assembler(kwargs: Mapping[str, Any]) -> ChatAssembler:
    return ChatAssembler(kwargs.get("tool_names"))


async def _astream(
    call: Call[ResponseT], batches: AsyncGenerator[Batch, None], assembler: Assembler[ResponseT]
) -> AsyncGenerator[ResponseT, None]:
    response: ResponseT | None = None
    try:
        async with aclosing(batches):
            async for batch in batches:
                progressed = call.progressed if anybody_listens() else None
                for response in assembler.chunks(batch):
                    if progressed is not None:
                        progressed(response)
                    yield response
    except BaseException as error:
        call.failed(error)
        raise
    call.ended(cast("ResponseT", response))


def _stream(
    call: Call[ResponseT], batches: AsyncGenerator[Batch, None], assembler: Assembler[ResponseT]
) -> Generator[ResponseT, None, None]:
    response: ResponseT | None = None
    try:
        with closing(cast("Generator[Batch, None, None]", bridge.iterate(batches))) as received:
            for batch in received:
                call.tell()
                progressed = call.progressed if anybody_listens() else None
                for response in assembler.chunks(batch):
                    if progressed is not None:
                        progressed(response)
                    yield response
    except BaseException as error:
        call.failed(error)
        raise
    call.ended(cast("ResponseT", response))
