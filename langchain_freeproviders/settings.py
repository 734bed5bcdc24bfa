"""The settings of a request, as fields of the models, and the ways to ask with them."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Protocol, Self, TypeVar, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.base import LangSmithParams
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk
from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from freeproviders import bridge
from freeproviders.backend import Backend
from freeproviders.configuration import PROTOCOL_OPTIONS, split
from freeproviders.errors import ContextOverflowError, FreeProvidersError
from freeproviders.streams import whole
from freeproviders.tools import loading
from freeproviders.types import (
    Batch,
    ChatRequest,
    Completion,
    Message,
    OnEmpty,
    OnInvalid,
    Part,
    ReasoningMode,
    Text,
)
from freeproviders.usage import surely_more_tokens
from langchain_freeproviders.errors import Translating, translating
from langchain_freeproviders.fields import Fields, check_options
from langchain_freeproviders.keywords import (
    given,
    keywords_of_a_call,
    shown,
)
from langchain_freeproviders.tools import DraftedForm, choose, core_format, openai_tools, service_tools

C = TypeVar("C", ChatGenerationChunk, GenerationChunk)
C_co = TypeVar("C_co", ChatGenerationChunk, GenerationChunk, covariant=True)
Read = Callable[[], tuple[Message, ...]]
"""Reads what LangChain passed, where an error in it can be translated."""

_CERTAINLY_TOO_LONG: Final = 1.25
"""The error that an estimate may have: only what is longer even so is refused without asking."""
_SETTINGS: Final = (
    "temperature",
    "top_p",
    "max_tokens",
    "max_repairs",
    "allow_repeats",
    "on_invalid",
    "reasoning",
    "wait_up_to",
    "on_empty",
    "include_response_headers",
    "stream_tool_arguments",
    "extra_body",
)
"""The fields that are settings of a request, beside `stop`."""


class Writer(Protocol[C_co]):
    """Makes LangChain's chunks of the parts of a stream: text apart, since most parts are text."""

    def text(self, text: str, /) -> C_co:
        """Make the chunk for a piece of text."""

    def other(self, part: Part) -> C_co | None:
        """Make the chunk for a part that is no text; None where it has none of its own."""


class BackendSettings(Fields):
    """The settings of a request, as fields; a subclass says which backend is asked."""

    temperature: float | None = Field(default=None, ge=0)
    """How freely the model chooses its words."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Choose among the likeliest words that together have this probability."""
    max_tokens: int | None = Field(default=None, ge=1)
    """The longest answer, in tokens."""
    stop: list[str] | str | None = None
    """The answer ends before any of these texts, on every service."""
    n: int | None = Field(default=1, ge=1)
    """The number of answers: the generations of `generate`; a stream has one.

    A service that gives several is sent one request, any other `n` requests at once.
    """
    max_repairs: int | None = Field(default=None, ge=0)
    """How often a model is asked again for a tool call or an object that fits; None is twice."""
    allow_repeats: bool | None = None
    """Whether a model may repeat a call right after it got the result.

    None asks only the smallest models whether they mean it.
    """
    on_invalid: OnInvalid | None = None
    """What happens to a tool call that still does not fit after the model was asked again.

    "pass" hands it on, "raise" raises `ToolCallError`; None raises only where one tool is required
    by its name. An object that does not fit its schema is handed on by "pass" only.
    """
    reasoning: ReasoningMode | None = None
    """What becomes of `<think>...</think>` in the text: "split", "keep" or "drop".

    "split" makes it `additional_kwargs["reasoning_content"]`. None splits; without tools and a
    response format only an answer that begins with it is looked at.
    """
    wait_up_to: float | None = Field(default=None, ge=0)
    """The most seconds, in all, that a call waits for a service that says when to come back."""
    on_empty: OnEmpty | None = None
    """What an answer without text and calls is: "error", or with "allow" an empty message.

    "allow" counts where the service itself says that the model stopped; None leaves it to the
    backend: services of the OpenAI protocol allow it, where no tools or schemas are involved.
    """
    include_response_headers: bool | None = None
    """Whether `response_metadata["headers"]` has the headers of the answer, without cookies."""
    stream_tool_arguments: bool | None = None
    """Whether native tool calls stream as they come, unchecked; else they come whole and checked."""
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Options of the service, by its own names."""
    extra_body: Mapping[str, Any] | None = Field(default=None, exclude=True, repr=False)
    """As `model_kwargs`, but neither saved nor shown: these options may hold credentials."""

    if TYPE_CHECKING:
        custom_get_token_ids: Callable[[str], list[int]] | None = None
        """Of LangChain's base classes."""

    place_of_options: ClassVar[str] = "model_kwargs or extra_body"
    derived: ClassVar[tuple[str, ...]] = (
        "_backend",
        "_settings",
        "_identity",
        "_own_window",
        "_serialized",
    )
    answers: ClassVar[str] = "_backend"
    no_inputs: ClassVar[frozenset[str]] = frozenset({"metadata", "profile"})

    # --- reading what the caller passed ---

    @classmethod
    def _takes(cls, name: str, value: Any, taken: dict[str, Any]) -> bool:
        if name in PROTOCOL_OPTIONS and cls._has_option(name):
            if value is not None:
                taken.setdefault("model_kwargs", {})[name] = value
            return True
        return super()._takes(name, value, taken)

    @classmethod
    def _has_option(cls, name: str) -> bool:
        """Return whether the service may take an option of the OpenAI protocol."""
        del name
        return True

    @field_validator("model_kwargs")
    @classmethod
    def _check_options(cls, value: dict[str, Any]) -> dict[str, Any]:
        check_options(cls, value)
        return value

    @model_validator(mode="after")
    def _check_by_making_the_backend(self) -> Self:
        self._backend  # noqa: B018 - raises on what cannot work
        return self

    # --- the backend ---

    @cached_property
    def _backend(self) -> Backend:
        with translating:
            backend = self._made_backend()
        first: Backend = self.__dict__.setdefault("_backend", backend)  # on which threads agree
        return first

    @classmethod
    def _makes_what_answers(cls, field: str) -> bool:
        return field == "model_name" or field not in BackendSettings.model_fields

    def _made_backend(self) -> Backend:
        raise NotImplementedError(f"{type(self).__name__} has no backend: use one of its subclasses.")

    # --- a request ---

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """The settings that each request has, unless the call says otherwise."""
        return self._made_settings()

    def _made_settings(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in _SETTINGS}
        return {
            **self.model_kwargs,
            **{name: value for name, value in fields.items() if value is not None},
            **({"stop": self.stop} if self.stop else {}),
            **({"n": self.n} if (self.n or 1) > 1 else {}),
        }

    def _answer(
        self,
        messages: tuple[Message, ...],
        stop: Sequence[str] | str | None,
        options: Mapping[str, Any],
        *,
        stream: bool,
    ) -> AsyncGenerator[Batch, None]:
        """Ask with the settings of the model, and over them those of the call.

        Raises `UsageError` before anything is sent, and `ContextOverflowError` where that is
        certain.
        """
        backend, settings = self._backend, self._settings.copy()
        if options:
            backend = self._prepare(settings, options)
        if stop is not None:
            settings["stop"] = stop
        if self._backend.learned.windows:
            self._look_at_window()
        window = self._known_window if (settings.get("model") or self.model) == self.model else None
        tokens = surely_more_tokens(messages, window and window * _CERTAINLY_TOO_LONG, self.model)
        if tokens is not None:
            raise ContextOverflowError(
                f"About {tokens} tokens are more than the model's window of {window}.",
                window=window,
                provider=backend.name,
                model=self.model,
            )
        return self._asked(backend, backend.request(messages, stream=stream, **settings), options)

    def _asked(
        self,
        backend: Backend,
        request: ChatRequest,
        options: Mapping[str, Any],  # noqa: ARG002 - for subclasses
    ) -> AsyncGenerator[Batch, None]:
        """Send a request; a typed answer that is streamed shows its object as it grows."""
        form = request.response_format
        if request.stream and isinstance(form, DraftedForm) and not request.tools:
            begin = partial(_drafted, backend, request, form)
            return loading.loaded_first(begin) if loading.would_block() else begin()
        return backend.answer(request)

    def _complete(self, messages: Read, stop: Sequence[str] | None, options: Mapping[str, Any]) -> Completion:
        """Wait for a whole answer."""
        with _Asking(self):
            return bridge.run(whole(self._answer(messages(), stop, options, stream=False)))

    async def _acomplete(
        self, messages: Read, stop: Sequence[str] | None, options: Mapping[str, Any]
    ) -> Completion:
        """Wait for a whole answer."""
        with _Asking(self):
            return await whole(self._answer(messages(), stop, options, stream=False))

    def _chunks(
        self,
        messages: Read,
        stop: Sequence[str] | None,
        options: Mapping[str, Any],
        writer: Writer[C],
        run_manager: CallbackManagerForLLMRun | None,
    ) -> Iterator[C]:
        """Stream an answer in LangChain's chunks, which `writer` makes of the parts."""
        text, other = writer.text, writer.other
        with (
            _Asking(self),
            closing(bridge.iterate(self._answer(messages(), stop, options, stream=True))) as batches,
        ):
            for batch in batches:
                for part in batch:
                    chunk = text(part.text) if part.__class__ is Text else other(part)
                    if chunk is None:
                        continue
                    if run_manager is not None:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    async def _achunks(
        self,
        messages: Read,
        stop: Sequence[str] | None,
        options: Mapping[str, Any],
        writer: Writer[C],
        run_manager: AsyncCallbackManagerForLLMRun | None,
    ) -> AsyncIterator[C]:
        """Stream an answer in LangChain's chunks, which `writer` makes of the parts."""
        text, other = writer.text, writer.other
        with _Asking(self):
            async with aclosing(self._answer(messages(), stop, options, stream=True)) as batches:
                async for batch in batches:
                    for part in batch:
                        chunk = text(part.text) if part.__class__ is Text else other(part)
                        if chunk is None:
                            continue
                        if run_manager is not None:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk

    def _prepare(self, settings: dict[str, Any], options: Mapping[str, Any]) -> Backend:
        """Add the keywords of a call to the settings, in the core's form.

        Returns the backend to ask: a copy that is reached in another way where the call says so.
        """
        configuration, own = split(keywords_of_a_call(options), self._backend.name)
        settings.update(own)
        settings.pop("stream", None)
        given_tools = settings.pop("tools", None) or ()
        tools, choice = choose(openai_tools(given_tools), settings.pop("tool_choice", None))
        if tools := [*tools, *service_tools(given_tools)]:
            settings["tools"] = tools
        if choice is not None:
            settings["tool_choice"] = choice
        if settings.get("response_format") is not None:
            settings["response_format"] = core_format(settings["response_format"])
        return self._backend.configured(**configuration) if configuration else self._backend

    @cached_property
    def _own_window(self) -> int | None:
        """The context window, where the backend knows it."""
        try:
            return self._backend.abilities(self.model_name or None).window
        except FreeProvidersError:
            return None  # a model's file that cannot be read is the matter of a call

    @property
    def _known_window(self) -> int | None:
        """The context window, where that is no guess: what the service has told comes first."""
        return self._told_window or self._own_window

    @property
    def _told_window(self) -> int | None:
        """The context window that the service has told since it was first asked."""
        backend, model = self._backend, self.model
        # What the caller claims of the backend wins, but a guess by the name does not count.
        return backend.window_of(model) if backend.learned.window_of(model) is not None else None

    def _look_at_window(self) -> None:
        """Show the context window that the service may have told by now, where anything shows it."""

    # --- counting ---

    def get_token_ids(self, text: str) -> list[int]:
        """Token ids by `custom_get_token_ids`: no service tells its tokenizer.

        Raises `NotImplementedError` without one; `get_num_tokens` estimates then.
        """
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        raise NotImplementedError(
            "The service's tokenizer is not known: pass custom_get_token_ids, or use get_num_tokens, which "
            "estimates."
        )

    def get_num_tokens(self, text: str) -> int:
        """Count the tokens of a text with `custom_get_token_ids`, else as far as the service tells.

        A server of your own that tokenises (llama.cpp, vLLM, the embedded model's once it runs)
        counts exactly. Elsewhere they are estimated by the text's script and the model's name,
        which needs no network and no tokenizer.
        """
        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        return self._backend.count_tokens_sync(text, model=self.model)

    # --- what LangChain asks of a model ---

    @property
    def model(self) -> str:
        """The model that a call goes to if it names none."""
        return self.model_name or self._backend.model

    @property
    def model_provider(self) -> str:
        """The provider's name in `ls_provider`, `response_metadata` and `init_chat_model`."""
        return self._slug.replace("-", "_")

    @property
    def _slug(self) -> str:
        return self._backend.slug or re.sub(r"[^a-z0-9]+", "-", self._backend.name.lower()).strip("-")

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """The facts that identify this model in traces and caches, without secrets."""
        return self._made_identity()

    def _made_identity(self) -> dict[str, Any]:
        return {
            "provider": self.model_provider,
            **shown(self._settings),
            "base_url": getattr(self._backend, "base_url", None),
            "model_name": self.model,
            **({"identity": own} if (own := self._identity_of_the_backend()) is not None else {}),
        }

    def _identity_of_the_backend(self) -> object:
        """What else tells the backend's answers from those of others of its class."""
        return getattr(self._backend, "identity", None)

    def _traced_params(
        self, kind: Literal["chat", "llm"], stop: list[str] | None, options: Mapping[str, Any]
    ) -> LangSmithParams:
        """Return what LangSmith shows of a call; the base classes would read attributes singly."""
        settings = {**self._settings, **given(options)}
        params = LangSmithParams(
            ls_provider=self.model_provider,
            ls_model_name=settings.get("model") or self.model,
            ls_model_type=kind,
        )
        stop = stop or settings.get("stop")
        if stop:
            params["ls_stop"] = [stop] if isinstance(stop, str) else list(stop)
        if settings.get("temperature") is not None:
            params["ls_temperature"] = settings["temperature"]
        if settings.get("max_tokens") is not None:
            params["ls_max_tokens"] = settings["max_tokens"]
        return params


class _Asking(Translating):
    """A context for a question: `translating`, and a refusal may tell the model's window."""

    __slots__ = ("_model",)

    def __init__(self, model: BackendSettings) -> None:
        self._model = model

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ContextOverflowError):
            self._model._look_at_window()  # noqa: SLF001 - of this module
        super().__exit__(kind, error, trace)


def _drafted(backend: Backend, request: ChatRequest, form: DraftedForm) -> AsyncGenerator[Batch, None]:
    """Ask for an object that is shown as it grows."""
    from freeproviders.tools.structured import stream_drafted  # noqa: PLC0415 - plain chat needs none of it

    return cast("AsyncGenerator[Batch, None]", stream_drafted(backend, request, form))
