"""What a model is configured with: fields that LangChain can show, save, copy and compare, and from them the core's provider.

The provider is made from the fields and never part of the model's state: it is dropped and made anew after a copy, an unpickling or a change of a field.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

from langchain_core.language_models.base import LangSmithParams
from langchain_core.load.serializable import Serializable
from pydantic import AliasChoices, ConfigDict, Field, SecretStr, field_validator, model_validator

import freeproviders
from freeproviders import errors
from freeproviders.deadlines import Timeout
from freeproviders.provider import Provider
from freeproviders.retry import Retry
from freeproviders.types import Batch, Message
from freeproviders.usage import estimate_input_tokens, estimate_tokens
from langchain_freeproviders.errors import translated
from langchain_freeproviders.tools import choose, core_format, openai_tools

_DERIVED: Final = ("_provider", "_settings", "_identity", "_own_window", "_serialized")
"""What is computed from the fields and kept in `__dict__` by `cached_property`; `_serialized` is LangChain's."""
_CERTAINLY_TOO_LONG: Final = 1.25
"""An estimate may be wrong by so much; only what is longer even so is refused without asking."""
_NAMES_IN_CALLS: Final = {"model_name": "model", "stop_sequences": "stop", "request_timeout": "timeout"}
"""Some fields have a second name, and so have the settings of a call."""


class ProviderSettings(Serializable):
    """The fields that every model class here has."""

    core_name: ClassVar[str]
    """The name of the core's provider, in `freeproviders`."""
    slug: ClassVar[str]
    """The same in lower case with hyphens: the head of the environment variables."""

    model_name: str = Field(default="", alias="model")
    """The model asked for; "" is the service's default."""
    base_url: str | None = None
    """Where the service is; None is its public address. Read from `<NAME>_API_BASE` if not given."""
    api_key: SecretStr | None = None
    """Sent as a bearer token, where the protocol has a place for it. Read from `<NAME>_API_KEY` if not given."""
    timeout: float | Timeout | None = Field(
        default=None, validation_alias=AliasChoices("timeout", "request_timeout")
    )
    """Seconds for one attempt, or a `freeproviders.Timeout` with limits for connecting, first content, stalls and all."""
    max_retries: int | Retry | None = None
    """Attempts after the first one, or a `freeproviders.Retry`; None is the provider's own default. Nothing is retried once something was emitted."""
    proxy: str | None = Field(default=None, exclude=True, repr=False)
    """`http://user:password@host:port`. Read from `<NAME>_PROXY` if not given. Not saved: it may hold a password."""
    headers: Mapping[str, str] | None = Field(default=None, alias="default_headers", exclude=True, repr=False)
    """Sent with each request. Not saved: they may hold credentials."""
    cookies: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Sent with each request. Not saved."""
    connector: Any = Field(default=None, exclude=True, repr=False)
    """An `aiohttp` connector, used and never closed; it belongs to one event loop."""
    trust_env: bool = False
    """Whether the environment's proxy variables count."""

    temperature: float | None = None
    """How freely the model chooses its words."""
    top_p: float | None = None
    """Choose among the likeliest words that together have this probability."""
    max_tokens: int | None = None
    """The longest answer, in tokens."""
    stop: list[str] | str | None = Field(default=None, alias="stop_sequences")
    """The answer ends before any of these; they work on every service."""
    n: int | None = Field(default=1, ge=1, le=1)
    """Answers to one question: there is always one."""
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further settings of the request, by the service's own names."""

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
    def _read_environment_and_extras(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        known = _names(cls)
        head = cls.slug.upper().replace("-", "_")
        values = dict(values)
        for name, tail in (("base_url", "API_BASE"), ("api_key", "API_KEY"), ("proxy", "PROXY")):
            if values.get(name) is None and (value := os.environ.get(f"{head}_{tail}")):
                values[name] = value
        extras = {name: values.pop(name) for name in [name for name in values if name not in known]}
        if extras:
            warnings.warn(
                f"{cls.__name__} has no field {', '.join(extras)}: passed on to the service through model_kwargs.",
                stacklevel=2,
            )
            values["model_kwargs"] = {**extras, **(values.get("model_kwargs") or {})}
        return values

    @field_validator("timeout", mode="before")
    @classmethod
    def _read_timeout(cls, value: object) -> object:
        return Timeout(**value) if isinstance(value, dict) else value

    @field_validator("max_retries", mode="before")
    @classmethod
    def _read_retry(cls, value: object) -> object:
        return Retry(**value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _check_by_making_the_provider(self) -> Self:
        provider = self._provider  # raises on what cannot work
        if provider.login is not None:  # a password in the address, which would be shown and saved with it
            self.__dict__["base_url"] = provider.base_url
            self.__dict__["headers"] = {"Authorization": provider.login, **(self.headers or {})}
        return self

    # --- the provider ---

    @classmethod
    def provider_class(cls) -> type[Provider]:
        """The core's class behind this one."""
        return getattr(freeproviders, cls.core_name)  # type: ignore[no-any-return]

    @cached_property
    def _provider(self) -> Provider:
        try:
            provider = self.provider_class()(self.model_name or None, **self._configuration())
        except errors.FreeProvidersError as error:
            raise translated(error) from error.__cause__
        return self.__dict__.setdefault("_provider", provider)  # type: ignore[no-any-return]  # threads agree on the first

    def _configuration(self) -> dict[str, Any]:
        """The provider's keywords beside the model."""
        return {
            "base_url": self.base_url,
            "api_key": self.api_key.get_secret_value() if self.api_key is not None else None,
            "headers": self.headers,
            "proxy": self.proxy,
            "timeout": self.timeout,
            "cookies": self.cookies,
            "connector": self.connector,
            "retry": self.max_retries,
            "trust_env": self.trust_env,
        }

    # --- a request ---

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """What each request is made with, unless the call says otherwise."""
        fields = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "stop": self.stop or None,
        }
        return {**self.model_kwargs, **{name: value for name, value in fields.items() if value is not None}}

    def _answer(
        self,
        messages: tuple[Message, ...],
        stop: Sequence[str] | str | None,
        options: Mapping[str, Any],
        *,
        stream: bool,
    ) -> AsyncGenerator[Batch, None]:
        """Ask with the model's settings, over them the call's. Raises `UsageError` at once, and `ContextOverflowError` where that is certain."""
        provider, settings = self._provider, self._settings.copy()
        if options:
            settings.update((_NAMES_IN_CALLS.get(name, name), value) for name, value in options.items())
            provider = self._prepare(settings)
        if stop is not None:
            settings["stop"] = stop
        window = self._known_window if (settings.get("model") or self.model) == self.model else None
        if window is not None and (tokens := estimate_input_tokens(messages)) > window * _CERTAINLY_TOO_LONG:
            raise errors.ContextOverflowError(
                f"about {tokens} tokens are more than the model's window of {window}.",
                provider=self.core_name,
                model=self.model,
            )
        return provider.answer(provider.request(messages, stream=stream, **settings))

    def _prepare(self, settings: dict[str, Any]) -> Provider:
        """Bring what LangChain's callers bind into the core's form; returns whom to ask: another, where the call has a time limit or retries of its own."""
        settings.pop("stream", None)
        settings.pop("stream_usage", None)
        if settings.pop("n", 1) not in {1, None}:
            raise errors.UsageError(
                "n must be 1: there is one answer to a question.", provider=self.core_name
            )
        tools, choice = choose(
            openai_tools(settings.pop("tools", None) or ()), settings.pop("tool_choice", None)
        )
        if tools:
            settings["tools"] = tools
        if choice is not None:
            settings["tool_choice"] = choice
        if settings.get("response_format") is not None:
            settings["response_format"] = core_format(settings["response_format"])
        own = {
            ours: settings.pop(name)
            for name, ours in (("timeout", "timeout"), ("max_retries", "retry"))
            if name in settings
        }
        own = {name: value for name, value in own.items() if value is not None}
        return self._provider.configured(**own) if own else self._provider

    @cached_property
    def _own_window(self) -> int | None:
        """The context window, where the provider itself knows it; a model's file that cannot be read is the matter of a call."""
        try:
            window = getattr(self._provider, "context_window", None)
        except errors.FreeProvidersError:
            return None
        return window if isinstance(window, int) else None

    @property
    def _known_window(self) -> int | None:
        """The context window, where that is no guess."""
        return self._own_window

    # --- counting ---

    def get_token_ids(self, text: str) -> list[int]:
        """Token ids, where `custom_get_token_ids` was given: no service tells its tokenizer. `get_num_tokens` estimates without."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        raise NotImplementedError(
            "The service's tokenizer is not known: pass custom_get_token_ids, or use get_num_tokens, which estimates."
        )

    def get_num_tokens(self, text: str) -> int:
        """Tokens of a text: counted with `custom_get_token_ids`, else estimated at four characters each. Needs no network and no tokenizer."""
        return (
            len(self.custom_get_token_ids(text))
            if self.custom_get_token_ids is not None
            else estimate_tokens(len(text))
        )

    # --- what LangChain asks of a model ---

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Saved as its settings, without secrets."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The key is saved as the name of its environment variable."""
        return {"api_key": f"{self.slug.upper().replace('-', '_')}_API_KEY"}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Settings that are objects, as plain data."""
        attributes: dict[str, Any] = {}
        if isinstance(self.timeout, Timeout):
            attributes["timeout"] = asdict(self.timeout)
        if isinstance(self.max_retries, Retry):
            attributes["max_retries"] = asdict(self.max_retries)
        return attributes

    @property
    def model(self) -> str:
        """The model that a call goes to if it names none."""
        return self.model_name or self._provider.model

    @property
    def model_provider(self) -> str:
        """Who answers, as LangChain writes it in `ls_provider`, `response_metadata` and `init_chat_model`."""
        return self.slug.replace("-", "_")

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """What tells this model from another, for traces and caches; no secrets."""
        return {
            "provider": self.model_provider,
            "base_url": self._provider.base_url,
            "model_name": self.model,
            **self._settings,
        }

    def _traced_params(
        self, kind: Literal["chat", "llm"], stop: list[str] | None, options: Mapping[str, Any]
    ) -> LangSmithParams:
        """What LangSmith shows of a call; the base classes find it out by asking for attributes one by one."""
        settings = {**self._settings, **options}
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
        self._forget()

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied._forget()  # noqa: SLF001 - its own class
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return super(ProviderSettings, self.__copy__()).__deepcopy__(memo)

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        state["__dict__"] = {name: value for name, value in state["__dict__"].items() if name not in _DERIVED}
        return state

    def _forget(self) -> None:
        for name in _DERIVED:
            self.__dict__.pop(name, None)


class EmbeddedSettings(ProviderSettings):
    """The fields of the models on this machine."""

    core_name: ClassVar[str] = "Embedded"
    slug: ClassVar[str] = "embedded"

    model_path: str | Path | None = None
    """A GGUF file of your own."""
    context_window: int | None = None
    """Tokens for question and answer together; None is the model's own, at most 8192."""
    slots: int | None = None
    """Answers at the same time; more requests wait."""
    prompt_cache: bool = True
    """False reads each prompt anew: the same question at temperature 0 then has the same answer, whatever was asked before it."""
    progress: Callable[[int, int], Any] | None = Field(default=None, exclude=True, repr=False)
    """Called with the bytes that are there and in all while weights are fetched."""

    def _configuration(self) -> dict[str, Any]:
        own = {
            "model_path": self.model_path,
            "context_window": self.context_window,
            "prompt_cache": self.prompt_cache,
            "progress": self.progress,
        }
        return {**super()._configuration(), **own, **({} if self.slots is None else {"slots": self.slots})}


@cache
def _names(cls: type[ProviderSettings]) -> frozenset[str]:
    """Everything that a constructor takes."""
    names = set(cls.model_fields)
    for field in cls.model_fields.values():
        if field.alias:
            names.add(field.alias)
        if isinstance(field.validation_alias, AliasChoices):
            names.update(choice for choice in field.validation_alias.choices if isinstance(choice, str))
    return frozenset(names)
