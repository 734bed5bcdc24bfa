"""The fields that say how a service is reached, the same for chat and for embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Self, cast

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    Secret,
    SecretStr,
    field_serializer,
    field_validator,
    model_validator,
)

from freeproviders.configuration import (
    CONFIGURATION,
    KeySource,
    checked_outside,
    from_environment,
    quota_of,
    variable,
    without_login,
)
from freeproviders.deadlines import Timeout
from freeproviders.errors import UsageError
from freeproviders.openai_service import OpenAIService
from freeproviders.retry import Retry
from langchain_freeproviders.fields import Fields, field_names
from langchain_freeproviders.keywords import FIELD_OF, as_secret


class PatienceFields(Fields):
    """How long a question may take, and how often it is asked again."""

    timeout: float | Timeout | None = None
    """Seconds for one attempt, or a `freeproviders.Timeout` with limits for each phase."""
    max_retries: int | Retry | None = None
    """Attempts after the first one, or a `freeproviders.Retry`; None is the provider's own default.

    Nothing is retried once a part of the answer was shown.
    """

    @field_validator("timeout", mode="before")
    @classmethod
    def _read_timeout(cls, value: object) -> object:
        return Timeout(**value) if isinstance(value, dict) else value  # as it was saved

    @field_validator("max_retries", mode="before")
    @classmethod
    def _read_retry(cls, value: object) -> object:
        return Retry(**value) if isinstance(value, dict) else value

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Saved as its settings, without secrets."""
        return True

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Settings that are objects, as plain data."""
        attributes = {**super().lc_attributes}
        if isinstance(self.timeout, Timeout):
            attributes["timeout"] = asdict(self.timeout)
        if isinstance(self.max_retries, Retry):
            attributes["max_retries"] = asdict(self.max_retries)
        return attributes


class RequestFields(PatienceFields):
    """How long a request may take, how often it is made again, and what goes with it."""

    headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Sent with each request. Not saved: they may hold credentials."""


class ConfigurationFields(RequestFields):
    """The configuration of a service of the core; a subclass names whose it is."""

    provider_class: ClassVar[type[Any]]
    """The class of the core that answers, which has a configuration."""

    base_url: str | None = None
    """Where the service is; None is `<NAME>_API_BASE`, else the public address."""
    api_key: SecretStr | str | Secret[Any] | KeySource | None = None
    """Sent as a bearer token where the protocol has a place for it; None is `<NAME>_API_KEY`.

    It is kept as a `SecretStr`, whichever of both is given. A function, async or not, is asked for
    the key once for each request, and kept as a `Secret`.
    """
    proxy: str | None = Field(default=None, exclude=True, repr=False)
    """`http://user:password@host:port`; None is `<NAME>_PROXY`. Not saved: it may be a secret."""
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

    @model_validator(mode="wrap")
    @classmethod
    def _tell_where_the_address_is_from(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        made = handler(values)
        if isinstance(values, dict):
            fields = field_names(cls)
            if not any(fields.get(name) == "base_url" for name, value in values.items() if value is not None):
                made.model_fields_set.discard("base_url")  # the environment's
        return made

    @field_validator("api_key")
    @classmethod
    def _sealed_key(cls, key: Any) -> SecretStr | Secret[Any] | None:
        return cast("SecretStr | Secret[Any] | None", as_secret(key))

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "api_key":
            value = as_secret(value)
        elif name == "quota":
            value = quota_of(value) or value
        super().__setattr__(name, value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy with other fields, which pydantic does not check; a key that is plain text is hidden."""
        if update is not None and "api_key" in update:
            update = {**update, "api_key": as_secret(update["api_key"])}
        return super().model_copy(update=update, deep=deep)

    def _configuration(self) -> dict[str, Any]:
        """The keywords of `provider_class`, beside the model."""
        fields = {name: getattr(self, FIELD_OF.get(name, name)) for name in CONFIGURATION}
        key = as_secret(self.api_key)
        return {**fields, "api_key": key.get_secret_value() if key is not None else None}

    # --- what is shown and saved ---

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The key is saved as the name of its environment variable."""
        return {"api_key": self._key_variable()}

    def _key_variable(self) -> str:
        return variable(self.provider_class.slug, "api_key")

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Settings that are objects, as plain data, and an address without its login."""
        attributes = super().lc_attributes
        if self.base_url is not None:
            # The environment's address is that of the machine, not of the model.
            given = "base_url" in self.model_fields_set
            attributes["base_url"] = without_login(self.base_url) if given else None
        return attributes

    @field_serializer("base_url")
    def _write_base_url(self, base_url: str | None) -> str | None:
        return base_url and without_login(base_url)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, without_login(value) if name == "base_url" and value else value


def _with_shared_quota(values: dict[str, Any]) -> dict[str, Any]:
    """Take the limits of a `SharedQuota`, given as quota or as rate limiter, with its time to wait.

    As a rate limiter it does not count where there is a quota.
    """
    given = values.get("quota", "auto")
    limiter = values.get("rate_limiter") if given == "auto" else given
    if (quota := quota_of(limiter)) is None:
        return values
    wait = values.get("wait_up_to")
    out = {**values, "quota": quota, "wait_up_to": cast("Any", limiter).wait_up_to if wait is None else wait}
    return {**out, "rate_limiter": None} if given == "auto" else out


class ServiceFields(ConfigurationFields):
    """The configuration of a service of the OpenAI protocol."""

    service: str | None = None
    """A service of the catalogue by its id, as "groq".

    Its address, key variables, default model and abilities are then the model's. A key of the
    environment goes to that service, or to `<ID>_API_BASE` of the environment; for another
    `base_url` pass `api_key`, unless it is on this machine.
    """

    @property
    def _provider(self) -> OpenAIService:
        """What was made from the fields."""
        raise NotImplementedError

    def _key_variable(self) -> str:
        provider = self._provider
        if provider.service is None or not provider.may_have_the_key(self.base_url):
            return super()._key_variable()  # a key for elsewhere is not the service's
        return next(iter(provider.key_variables or ()), variable(provider.slug, "api_key"))
