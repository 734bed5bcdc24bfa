"""The fields of the models of one service: how its provider of the core is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, cast

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    field_serializer,
    field_validator,
    model_validator,
)

import freeproviders
from freeproviders.backend import Backend
from freeproviders.configuration import (
    CONFIGURATION,
    checked_outside,
    from_environment,
    quota_of,
    variable,
    without_login,
)
from freeproviders.deadlines import Timeout
from freeproviders.errors import FreeProvidersError, UsageError
from freeproviders.lazy import LazyAttribute
from freeproviders.provider import Provider
from freeproviders.retry import Retry
from langchain_freeproviders.keywords import FIELD_OF, as_secret
from langchain_freeproviders.settings import BackendSettings, field_names


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
    quota: Any = Field(default="auto", exclude=True, repr=False)
    """The limits that are kept: a `freeproviders.Quota`, None for none, "auto" for the service's.

    Not saved: a ledger belongs to a machine.
    """

    @classmethod
    def _named(cls, values: dict[str, Any]) -> dict[str, Any]:
        if not hasattr(cls, "provider_class"):
            raise UsageError(
                f"{cls.__name__} is the base of many models: use one of them, or a subclass with a "
                "provider_class."
            )
        out = _with_shared_quota(super()._named(values))
        if out.get("service") is not None:
            return out  # its variables are its own, and its provider reads them
        outside = from_environment(cls.provider_class.slug)
        address = out.get("base_url") or (outside["base_url"].value if "base_url" in outside else None)
        if isinstance(address, str) and without_login(address) != address:
            outside.pop("api_key", None)  # the login takes its place
        return {
            **out,
            **{
                name: checked_outside(name, found, cls.__name__)
                for name, found in outside.items()
                if out.get(name) is None
            },
        }

    @classmethod
    def _has_option(cls, name: str) -> bool:
        accepted = cls.provider_class.accepted_options
        return accepted is None or name in accepted

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
            fields = field_names(cls)
            if not any(fields.get(name) == "base_url" for name, value in values.items() if value is not None):
                made.model_fields_set.discard("base_url")  # the environment's
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "rate_limiter" and self.quota == "auto" and (quota := quota_of(value)) is not None:
            name, value = "quota", quota
        super().__setattr__(name, as_secret(value) if name == "api_key" else value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy with other fields, which pydantic does not check; a key that is plain text is hidden."""
        if update is not None and "api_key" in update:
            update = {**update, "api_key": as_secret(update["api_key"])}
        return super().model_copy(update=update, deep=deep)

    # --- the provider ---

    def _made_backend(self) -> Backend:
        provider: Any = self.provider_class
        made: Backend = provider(self.model_name or None, **self._configuration())
        return made

    def _configuration(self) -> dict[str, Any]:
        """The provider's keywords beside the model."""
        fields = {name: getattr(self, FIELD_OF.get(name, name)) for name in CONFIGURATION}
        return {**fields, "api_key": self.api_key.get_secret_value() if self.api_key is not None else None}

    # --- what is shown and saved ---

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Saved as its settings, without secrets."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The key is saved as the name of its environment variable."""
        return {"api_key": self._key_variable()}

    def _key_variable(self) -> str:
        return variable(self.provider_class.slug, "api_key")

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


def _with_shared_quota(values: dict[str, Any]) -> dict[str, Any]:
    """Make a `SharedQuota` that is given as rate limiter the quota of a model, unless it has one."""
    limiter = values.get("rate_limiter")
    if values.get("quota", "auto") != "auto" or (quota := quota_of(limiter)) is None:
        return values
    wait = values.get("wait_up_to")
    return {
        **values,
        "rate_limiter": None,
        "quota": quota,
        "wait_up_to": cast("Any", limiter).wait_up_to if wait is None else wait,
    }


class OpenAICompatibleSettings(ProviderSettings):
    """The fields of the models over a service of the OpenAI protocol."""

    provider_class: ClassVar[type[Provider]] = freeproviders.OpenAICompatible

    service: str | None = None
    """A service of the catalogue by its id, as "groq".

    Its address, key variables, default model and abilities are then the model's. A key of the
    environment goes to that service, or to `<ID>_API_BASE` of the environment; with a `base_url`
    elsewhere pass `api_key`, but for an address of this machine.
    """
    fallback: bool = False
    """Whether the successor of a model that the service has dropped is asked in its place."""

    def _configuration(self) -> dict[str, Any]:
        return {**super()._configuration(), "service": self.service, "fallback": self.fallback}

    @property
    def model(self) -> str:
        """The model that a call goes to if it names none: where one was dropped, its successor."""
        return self._backend.model or self.model_name

    @cached_property
    def _own_window(self) -> int | None:
        # What a catalogue says is dated: good to plan with, and no reason to refuse a question.
        return None if self.service is not None else super()._own_window

    def _key_variable(self) -> str:
        provider = cast("freeproviders.OpenAICompatible", self._backend)
        if provider.service is None or not provider.may_have_the_key(self.base_url):
            return super()._key_variable()  # a key for elsewhere is not the service's
        return next(iter(provider.key_variables or ()), variable(provider.slug, "api_key"))


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
