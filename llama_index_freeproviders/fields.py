"""What LLMs and embeddings have in common: fields, and the object of the core made from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self, cast

from llama_index.core.schema import BaseComponent
from pydantic import ConfigDict, Field, PrivateAttr, Secret, SecretStr, field_serializer, field_validator

from freeproviders.configuration import (
    SECOND_NAMES,
    KeySource,
    quota_of,
    split,
    unknown_names,
    without_login,
)
from freeproviders.deadlines import Timeout
from freeproviders.errors import UsageError
from freeproviders.retry import Retry
from llama_index_freeproviders.names import Names, own_names


class CoreFields(BaseComponent):
    """Fields under many names, and the object of the core that is made from them.

    All state is in fields, so that an object can be pickled, saved with `to_dict` (without secrets)
    and loaded again. The core's object is no state: it is made anew after a change.
    """

    model_config = ConfigDict(hide_input_in_errors=True, defer_build=True)  # inputs may hold secrets

    names: ClassVar[Names]
    """Further names of the arguments."""
    not_options: ClassVar[frozenset[str]] = frozenset()
    """Names that are no options of a service, beside those of a configuration."""

    _core: Any = PrivateAttr(default=None)

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        # The core's object is made at once, so that a wrong setting is found here; not in a
        # validator, where pydantic would show the settings, keys and all.
        self._fresh_core()

    @classmethod
    def _named(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Put arguments under the names of fields. Raises `UsageError` for what is none."""
        fields = own_names(given, cls._known(), cls._accepted_options(), cls._who(), cls.names)
        cls._refuse_unknown(fields)
        return fields

    @classmethod
    def _known(cls) -> set[str]:
        """Name the arguments: the fields, and the class's name, which stands in what it saves."""
        return {*cls.model_fields, "class_name"}

    @classmethod
    def _accepted_options(cls) -> frozenset[str] | None:
        """Name the options that the service takes; None is any."""
        return None

    @classmethod
    def _refuse_unknown(cls, fields: Mapping[str, Any]) -> None:
        """Raise `UsageError` for an argument without a field, which LlamaIndex would drop."""
        known = cls._known()
        unknown = fields.keys() - known
        for name in sorted(unknown & cls.names.other_ways.keys()):
            raise UsageError(f"Unknown argument {name!r}. {cls.names.other_ways[name]}", provider=cls._who())
        if unknown:
            options = "additional_kwargs" if "additional_kwargs" in known else ""
            accepted = (*cls.model_fields, *SECOND_NAMES, *cls.names.second, *cls.names.options)
            raise unknown_names(unknown, accepted, cls._who(), options=options)
        configuration, rest = split(fields.get("additional_kwargs") or {}, cls._who())
        for name in [*configuration, *(rest.keys() & cls.not_options)]:
            raise UsageError(
                f"{name} is no option of the service, and has no place in additional_kwargs: "
                f"{cls._place_of(name)}.",
                provider=cls._who(),
            )

    @classmethod
    def _place_of(cls, name: str) -> str:
        """Say where a name belongs that is no option."""
        return f"pass {name}= to the constructor"

    @classmethod
    def _who(cls) -> str:
        """The name for errors that come before there is a backend of the core."""
        return cls.__name__

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if self._makes_core(name):
            self._forget()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, with other values of fields if so wished."""
        if deep and update:  # pydantic would pass over `__deepcopy__`
            return self.model_copy(deep=True).model_copy(update=update)
        copy = super().model_copy(update=update, deep=deep)
        if update and any(map(self._makes_core, update)):
            copy._forget()  # noqa: SLF001 - it is one of us
        return copy

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # The core's object is shared by all copies, as what was learned of the service is.
        return super().__deepcopy__({id(self._core): self._core, **(memo or {})})

    @classmethod
    def _makes_core(cls, name: str) -> bool:
        """Whether the core's object depends on a field."""
        return name in cls.model_fields

    def _forget(self) -> None:
        """Drop what was made from the fields."""
        self._core = None

    def _fresh_core(self) -> Any:
        self._core = made = self._made_core()
        return made

    # Not an abstract method: LlamaIndex would make a span of each call.
    def _made_core(self) -> Any:
        """Make the object of the core that the fields describe."""
        raise NotImplementedError


class PatienceFields(CoreFields):
    """How long and how often something is tried."""

    timeout: float | Timeout | None = Field(
        default=None, description="Seconds for a whole attempt, or a Timeout; None is the provider's own."
    )
    retry: int | Retry | None = Field(
        default=None, description="Retries after the first attempt, or a Retry; None is the provider's own."
    )

    @classmethod
    def _read(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Put the configuration among arguments under its first names."""
        configuration, rest = split(given, cls._who())
        return {**configuration, **rest}


class RequestFields(PatienceFields):
    """What goes with each HTTP request, and how long and how often it is tried."""

    headers: dict[str, str] | None = Field(
        default=None, exclude=True, repr=False, description="Headers sent with each request."
    )


class ServiceFields(RequestFields):
    """The configuration of a service, in fields.

    What is not given is read from the environment: `<NAME>_API_KEY`, `<NAME>_API_BASE`,
    `<NAME>_PROXY`. The names that LlamaIndex's own classes have for the same things are understood:
    `api_base`, `default_headers`, `max_retries`.
    """

    base_url: str | None = Field(
        default=None, description="Where the service is; None is <NAME>_API_BASE, else its public address."
    )
    api_key: str | SecretStr | Secret[Any] | KeySource | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="The key, where the service wants one, or a function that is asked for it once for each "
        "request; None is <NAME>_API_KEY.",
    )
    cookies: dict[str, str] | None = Field(
        default=None, exclude=True, repr=False, description="Cookies sent with each request."
    )
    proxy: str | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="http://user:password@host:port; None is <NAME>_PROXY.",
    )
    connector: Any = Field(
        default=None, exclude=True, repr=False, description="An aiohttp connector, used and never closed."
    )
    trust_env: bool = Field(
        default=False, description="Whether the environment's general proxy variables count."
    )
    quota: Any = Field(
        default="auto",
        exclude=True,
        repr=False,
        description="The limits that are kept: a Quota, None for none, 'auto' for the service's own.",
    )

    @classmethod
    def _read(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Put the configuration among arguments under its first names.

        A `SharedQuota` that is given as rate limiter becomes the `quota`: each HTTP request is then
        counted, once.
        """
        fields = super()._read(given)
        limiter = fields.get("rate_limiter")
        if fields.get("quota", "auto") == "auto" and (quota := quota_of(limiter)) is not None:
            fields["quota"], fields["rate_limiter"] = quota, None
            if fields.get("wait_up_to") is None:
                fields["wait_up_to"] = cast("Any", limiter).wait_up_to
        return fields

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "rate_limiter" and self.quota == "auto" and (quota := quota_of(value)) is not None:
            name, value = "quota", quota
        super().__setattr__(name, value)

    @field_validator("api_key")
    @classmethod
    def _sealed_key(cls, key: Any) -> SecretStr | Secret[Any] | None:
        if isinstance(key, str):
            return SecretStr(key)
        return Secret(key) if callable(key) else key

    @field_serializer("base_url")
    def _shown_base_url(self, base_url: str | None) -> str | None:
        """A login in the address is a secret like the key."""
        return base_url and without_login(base_url)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """The fields that are shown."""
        for name, value in super().__repr_args__():
            yield name, self._shown_base_url(value) if name == "base_url" else value


def with_plain_key(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with its key as text."""
    key = configuration.get("api_key")
    opened = {"api_key": key.get_secret_value()} if isinstance(key, SecretStr | Secret) else {}
    return {**configuration, **opened}
