"""The fields of the models: the settings of a request, and how a provider is reached.

The core's backend is made from the fields and is no part of a model's state. It is dropped, and
made anew, after a copy, an unpickling or a change of a field.
"""

from __future__ import annotations

import hashlib
import re
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import asdict
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Protocol, Self, TypeVar, cast
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.base import LangSmithParams
from langchain_core.load.serializable import Serializable
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk
from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    Secret,
    SecretStr,
    field_serializer,
    field_validator,
    model_validator,
)

import freeproviders
from freeproviders import bridge
from freeproviders.backend import Backend, whole
from freeproviders.checks import SETTINGS
from freeproviders.configuration import (
    CONFIGURATION,
    SECOND_NAMES,
    from_environment,
    split,
    unknown_names,
    variable,
    without_login,
)
from freeproviders.deadlines import Timeout
from freeproviders.errors import ContextOverflowError, FreeProvidersError, UsageError
from freeproviders.lazy import LazyAttribute
from freeproviders.provider import Provider
from freeproviders.retry import Retry
from freeproviders.types import Batch, Completion, Message, OnInvalid, Part, ReasoningMode, Text
from freeproviders.usage import estimate_input_tokens, estimate_tokens
from freeproviders.wire.json import dumps
from langchain_freeproviders.errors import translating
from langchain_freeproviders.tools import choose, core_format, openai_tools

C = TypeVar("C", ChatGenerationChunk, GenerationChunk)
C_co = TypeVar("C_co", ChatGenerationChunk, GenerationChunk, covariant=True)
Read = Callable[[], tuple[Message, ...]]
"""Reads what LangChain passed, where an error in it can be translated."""

_DERIVED: Final = ("_backend", "_settings", "_identity", "_own_window", "_serialized")
"""What is computed from the fields and kept by `cached_property`; `_serialized` is LangChain's."""
_CERTAINLY_TOO_LONG: Final = 1.25
"""The error that an estimate may have: only what is longer even so is refused without asking."""
_SECOND_NAMES: Final[Mapping[str, str]] = {
    **SECOND_NAMES,
    "max_completion_tokens": "max_tokens",
    "model_name": "model",
    "openai_api_base": "base_url",
    "openai_api_key": "api_key",
    "openai_proxy": "proxy",
    "stop_sequences": "stop",
}
"""Second names, `ChatOpenAI`'s among them, with the core's: of fields and of a call's keywords."""
_FIELD_OF: Final[Mapping[str, str]] = {"model": "model_name", "retry": "max_retries"}
"""The fields that are not called as in the core."""
_SETTINGS: Final = (
    "temperature",
    "top_p",
    "max_tokens",
    "max_repairs",
    "allow_repeats",
    "on_invalid",
    "reasoning",
    "wait_up_to",
    "extra_body",
)
"""The fields that are settings of a request, beside `stop`."""
_SECRET: Final = frozenset({"api_key", "headers", "cookies", "proxy", "connector", "extra_body"})
"""Fields and keywords whose values are in no trace and no cache's key."""


class Writer(Protocol[C_co]):
    """Makes LangChain's chunks of the parts of a stream: text apart, since most parts are text."""

    def text(self, text: str, /) -> C_co:
        """Make the chunk for a piece of text."""

    def other(self, part: Part) -> C_co | None:
        """Make the chunk for a part that is no text; None where it has none of its own."""


class BackendSettings(Serializable):
    """The settings of a request, as fields; a subclass says which backend is asked."""

    model_name: str = Field(default="", alias="model")
    """The model asked for; "" is the backend's default."""
    temperature: float | None = Field(default=None, ge=0)
    """How freely the model chooses its words."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Choose among the likeliest words that together have this probability."""
    max_tokens: int | None = Field(default=None, ge=1)
    """The longest answer, in tokens."""
    stop: list[str] | str | None = None
    """The answer ends before any of these texts, on every service."""
    n: int | None = Field(default=1, ge=1, le=1)
    """Answers to one question: there is always one."""
    max_repairs: int | None = Field(default=None, ge=0)
    """How often a model is asked again for a tool call or an object that fits; None is twice."""
    allow_repeats: bool | None = None
    """Whether a model may make a call again whose result it has."""
    on_invalid: OnInvalid | None = None
    """What becomes of a tool call that still does not fit.

    "pass" hands it on, "raise" raises `ToolCallError`; None leaves it to the engine.
    """
    reasoning: ReasoningMode | None = None
    """What becomes of `<think>...</think>` in the text: "split", "keep" or "drop".

    "split" makes it `additional_kwargs["reasoning_content"]`. None splits where there are tools or
    a response format, and keeps elsewhere.
    """
    wait_up_to: float | None = Field(default=None, ge=0)
    """Seconds in all that a call may wait for a service that says when to come back."""
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Options of the service, by its own names."""
    extra_body: Mapping[str, Any] | None = Field(default=None, exclude=True, repr=False)
    """As `model_kwargs`, but neither saved nor shown: these options may hold credentials."""

    if TYPE_CHECKING:
        custom_get_token_ids: Callable[[str], list[int]] | None = None
        """Of LangChain's base classes."""

    model_config = ConfigDict(
        populate_by_name=True,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
        defer_build=True,
        hide_input_in_errors=True,  # it may hold secrets
    )

    # --- reading what the caller passed ---

    @model_validator(mode="before")
    @classmethod
    def _read_names(cls, values: Any) -> Any:
        return cls._named(values) if isinstance(values, dict) else values

    @classmethod
    def _named(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Put values under the names of their fields; raises `UsageError` for unknown names."""
        fields, unknown = _fields(cls), []
        out: dict[str, Any] = {}
        names: dict[str, str] = {}
        for name, value in values.items():
            field = fields.get(name)
            if field is None:
                unknown.append(name)
            elif field in out and out[field] is not None and value is not None:
                raise UsageError(f"{names[field]} and {name} are two names of one thing: pass one.")
            elif value is not None or field not in out:
                out[field], names[field] = value, name
        if unknown:
            raise unknown_names(unknown, fields, cls.__name__, options="model_kwargs or extra_body")
        return out

    @field_validator("model_kwargs")
    @classmethod
    def _check_options(cls, value: dict[str, Any]) -> dict[str, Any]:
        split(value, cls.__name__)  # raises for what looks like a credential
        known = {*CONFIGURATION, *SETTINGS, *_SECOND_NAMES, *_fields(cls)}
        if wrong := [name for name in value if name in known]:
            raise UsageError(
                f"model_kwargs holds {', '.join(wrong)}: it is for the service's own options. Pass "
                f"{wrong[0]} as an argument of its own.",
                provider=cls.__name__,
            )
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
        window = self._known_window if (settings.get("model") or self.model) == self.model else None
        if window is not None and (tokens := estimate_input_tokens(messages)) > window * _CERTAINLY_TOO_LONG:
            raise ContextOverflowError(
                f"About {tokens} tokens are more than the model's window of {window}.",
                provider=backend.name,
                model=self.model,
            )
        return backend.answer(backend.request(messages, stream=stream, **settings))

    def _complete(self, messages: Read, stop: Sequence[str] | None, options: Mapping[str, Any]) -> Completion:
        """Wait for a whole answer."""
        with translating:
            return bridge.run(whole(self._answer(messages(), stop, options, stream=False)))

    async def _acomplete(
        self, messages: Read, stop: Sequence[str] | None, options: Mapping[str, Any]
    ) -> Completion:
        """Wait for a whole answer."""
        with translating:
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
            translating,
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
        with translating:
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
        configuration, own = split(_keywords_of_a_call(options), self._backend.name)
        settings.update(own)
        for name in ("stream", "stream_usage"):
            settings.pop(name, None)
        if settings.pop("n", 1) not in {1, None}:
            raise UsageError("n must be 1: there is one answer to a question.", provider=self._backend.name)
        tools, choice = choose(
            openai_tools(settings.pop("tools", None) or ()), settings.pop("tool_choice", None)
        )
        if tools:
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
        """The context window, where that is no guess."""
        return self._own_window

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
        """Count the tokens of a text with `custom_get_token_ids`, else estimate them.

        The estimate is four characters for each, and needs no network and no tokenizer.
        """
        return (
            len(self.custom_get_token_ids(text))
            if self.custom_get_token_ids is not None
            else estimate_tokens(len(text))
        )

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

    # --- copies ---

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        # LangChain sets these two on each new model, and no request depends on them.
        self._forget(("_serialized",) if name in {"metadata", "profile"} else _DERIVED)

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied._forget()  # noqa: SLF001 - its own class
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return super(BackendSettings, self.__copy__()).__deepcopy__(memo)

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        state["__dict__"] = {name: value for name, value in state["__dict__"].items() if name not in _DERIVED}
        return state

    def _forget(self, names: tuple[str, ...] = _DERIVED) -> None:
        for name in names:
            self.__dict__.pop(name, None)


class ProviderSettings(BackendSettings):
    """The settings of a request, and the configuration of a provider of the core."""

    provider_class: ClassVar[type[Provider]]
    """The provider that answers."""

    base_url: str | None = None
    """Where the service is; None is `<NAME>_API_BASE`, else the public address."""
    api_key: SecretStr | None = None
    """Sent as a bearer token where the protocol has a place for it; None is `<NAME>_API_KEY`."""
    timeout: float | Timeout | None = None
    """Seconds for one attempt, or a `freeproviders.Timeout` with limits for each phase."""
    max_retries: int | Retry | None = None
    """Attempts after the first one, or a `freeproviders.Retry`; None is the provider's own default.

    Nothing is retried once a part of the answer was shown.
    """
    proxy: str | None = Field(default=None, exclude=True, repr=False)
    """`http://user:password@host:port`; None is `<NAME>_PROXY`. Not saved: it may be a secret."""
    headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Sent with each request. Not saved: they may hold credentials."""
    cookies: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Sent with each request. Not saved."""
    connector: Any = Field(default=None, exclude=True, repr=False)
    """An `aiohttp` connector, used and never closed; it belongs to one event loop."""
    trust_env: bool = False
    """Whether the environment's general proxy variables (`HTTPS_PROXY` ...) count."""

    @classmethod
    def _named(cls, values: dict[str, Any]) -> dict[str, Any]:
        if not hasattr(cls, "provider_class"):
            raise UsageError(
                f"{cls.__name__} is the base of many models: use one of them, or a subclass with a "
                "provider_class."
            )
        out = super()._named(values)
        outside = dict(from_environment(cls.provider_class.slug))
        address = out.get("base_url") or outside.get("base_url")
        if isinstance(address, str) and without_login(address) != address:
            outside.pop("api_key", None)  # the login takes its place
        return {**out, **{name: value for name, value in outside.items() if out.get(name) is None}}

    @field_validator("timeout", mode="before")
    @classmethod
    def _read_timeout(cls, value: object) -> object:
        return Timeout(**value) if isinstance(value, dict) else value  # as it was saved

    @field_validator("max_retries", mode="before")
    @classmethod
    def _read_retry(cls, value: object) -> object:
        return Retry(**value) if isinstance(value, dict) else value

    @model_validator(mode="wrap")
    @classmethod
    def _tell_where_the_address_is_from(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        made = handler(values)
        if isinstance(values, dict):
            fields = _fields(cls)
            if not any(fields.get(name) == "base_url" for name, value in values.items() if value is not None):
                made.model_fields_set.discard("base_url")  # the environment's
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, _as_secret(value) if name == "api_key" else value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy with other fields, which pydantic does not check; a key that is plain text is hidden."""
        if update is not None and "api_key" in update:
            update = {**update, "api_key": _as_secret(update["api_key"])}
        return super().model_copy(update=update, deep=deep)

    # --- the provider ---

    def _made_backend(self) -> Backend:
        provider: Any = self.provider_class
        made: Backend = provider(self.model_name or None, **self._configuration())
        return made

    def _configuration(self) -> dict[str, Any]:
        """The provider's keywords beside the model."""
        fields = {name: getattr(self, _FIELD_OF.get(name, name)) for name in CONFIGURATION}
        return {**fields, "api_key": self.api_key.get_secret_value() if self.api_key is not None else None}

    # --- what is shown and saved ---

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Saved as its settings, without secrets."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The key is saved as the name of its environment variable."""
        return {"api_key": variable(self.provider_class.slug, "api_key")}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Settings that are objects, as plain data, and an address without its login."""
        attributes: dict[str, Any] = {}
        if self.base_url is not None:
            # The environment's address is that of the machine, not of the model.
            given = "base_url" in self.model_fields_set
            attributes["base_url"] = without_login(self.base_url) if given else None
        if isinstance(self.timeout, Timeout):
            attributes["timeout"] = asdict(self.timeout)
        if isinstance(self.max_retries, Retry):
            attributes["max_retries"] = asdict(self.max_retries)
        return attributes

    @field_serializer("base_url")
    def _write_base_url(self, base_url: str | None) -> str | None:
        return base_url and without_login(base_url)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, without_login(value) if name == "base_url" and value else value


class EmbeddedSettings(ProviderSettings):
    """The fields of the models on this machine."""

    # Its engine has many modules.
    provider_class: ClassVar[type[Provider]] = cast("type[Provider]", LazyAttribute("Embedded"))

    model_path: str | Path | None = None
    """A GGUF file of your own."""
    context_window: int | None = None
    """Tokens for question and answer together; None is the model's own, at most 8192."""
    slots: int | None = None
    """Answers at the same time; more requests wait."""
    prompt_cache: bool = True
    """False reads each prompt anew, which takes longer.

    Then the same question at temperature 0 has the same answer, whatever was asked before it.
    """
    progress: Callable[[int, int], Any] | None = Field(default=None, exclude=True, repr=False)
    """Called with the bytes that are there and the bytes in all while weights are downloaded."""

    def _configuration(self) -> dict[str, Any]:
        own = {
            "model_path": self.model_path,
            "context_window": self.context_window,
            "prompt_cache": self.prompt_cache,
            "progress": self.progress,
        }
        return {**super()._configuration(), **own, **({} if self.slots is None else {"slots": self.slots})}

    @cached_property
    def _own_window(self) -> int | None:
        try:
            return self._backend.context_window if isinstance(self._backend, freeproviders.Embedded) else None
        except FreeProvidersError:
            return None  # a model's file that cannot be read is the matter of a call


class GivenBackend(BackendSettings):
    """The settings of a request, and a backend that the caller made."""

    backend: Any = Field(exclude=True)
    """A `freeproviders.Backend`, or any object with `name`, `model` and `batches(request)`."""

    @classmethod
    def _named(cls, values: dict[str, Any]) -> dict[str, Any]:
        configuration = [name for name in values if SECOND_NAMES.get(name, name) in CONFIGURATION]
        if configuration:
            raise UsageError(
                f"{', '.join(configuration)} belongs to the backend: configure the backend, or pass it with "
                "a call.",
                provider=cls.__name__,
            )
        return super()._named(values)

    def _made_backend(self) -> Backend:
        return Backend.of(self.backend)

    def _made_settings(self) -> dict[str, Any]:
        return {**super()._made_settings(), **({"model": self.model_name} if self.model_name else {})}

    def _made_identity(self) -> dict[str, Any]:
        cls = type(self.backend)
        return {**super()._made_identity(), "backend": f"{cls.__module__}.{cls.__qualname__}"}

    def _identity_of_the_backend(self) -> object:
        own = getattr(self.backend, "identity", None)
        # A service is known by its address. Of an object of somebody else's nothing is known.
        return _token(self.backend) if own is None and not isinstance(self.backend, Provider) else own

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, self._backend.name if name == "backend" else value

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # A backend is shared by all copies, as connections and what was learned of the service are.
        return super().__deepcopy__({id(self.backend): self.backend, **(memo or {})})


_TOKENS: Final[dict[int, str]] = {}


def _token(thing: object) -> str:
    """Return a name that no other object ever has, in no process; the same while the object lives."""
    if (token := _TOKENS.get(id(thing))) is not None:
        return token
    token = uuid4().hex
    try:
        end = weakref.finalize(thing, _TOKENS.pop, id(thing), None)
    except TypeError:
        return token  # its end would not be seen: another object may get its id
    end.atexit = False
    return _TOKENS.setdefault(id(thing), token)


@cache
def _fields(cls: type[BackendSettings]) -> Mapping[str, str]:
    """Everything that a constructor takes, each with the field it fills."""
    fields = {name: name for name in cls.model_fields}
    fields.update((field.alias, name) for name, field in cls.model_fields.items() if field.alias)
    for name, first in {**_SECOND_NAMES, **{name: name for name in _FIELD_OF}}.items():
        field = _FIELD_OF.get(first, first)
        if field in cls.model_fields:
            fields.setdefault(name, field)
    return fields


def _keywords_of_a_call(options: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a call by the core's names, with those of `model_kwargs` among them."""
    out: dict[str, Any] = {}
    for name, value in {**given(options.get("model_kwargs") or {}), **given(options)}.items():
        if name == "model_kwargs":
            continue
        out[_SECOND_NAMES.get(name, name)] = _opened(value)
    return out


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a call that say something: None leaves things as they are."""
    return {name: value for name, value in options.items() if value is not None}


def _as_secret(value: Any) -> Any:
    return SecretStr(value) if isinstance(value, str) else value


def _opened(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr | Secret) else value


def hidden(options: Mapping[str, Any]) -> dict[str, Any]:
    """Wrap the secrets among a call's keywords.

    LangChain shows and saves what is bound to a model, and hands a string model's keywords to
    callbacks, as it was given.
    """
    out: dict[str, Any] = {}
    for name, value in options.items():
        first = _SECOND_NAMES.get(name, name)
        if first == "model_kwargs" and isinstance(value, Mapping):
            out[name] = hidden(value)
        elif (first in _SECRET and value is not None and value is _opened(value)) or (
            first == "base_url" and isinstance(value, str) and without_login(value) != value
        ):
            out[name] = Secret(value)
        else:
            out[name] = value
    return out


def shown(options: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as traces and caches may see them."""
    out: dict[str, Any] = {}
    for name, passed in options.items():
        first, value = _SECOND_NAMES.get(name, name), _opened(passed)
        if first == "extra_body" and value:
            out[name] = hashlib.sha256(dumps(value)).hexdigest()  # tells answers apart, and nothing more
        elif first == "base_url" and isinstance(value, str):
            out[name] = without_login(value)
        elif first == "model_kwargs" and isinstance(value, Mapping):
            out[name] = shown(value)
        elif first not in _SECRET:
            out[name] = passed
    return out
