"""A provider of the core as a LlamaIndex LLM; `llms.py` has a class for each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, cast

from pydantic import Field, SecretStr, field_serializer, field_validator

from freeproviders.configuration import CONFIGURATION, quota_of, split, without_login
from freeproviders.deadlines import Timeout
from freeproviders.errors import UsageError
from freeproviders.provider import Provider
from freeproviders.retry import Retry
from llama_index_freeproviders.base import CoreLLM, with_plain_key


class ProviderLLM(CoreLLM):
    """A provider of the core as a LlamaIndex LLM: its configuration is in fields.

    What is not given is read from the environment: `<NAME>_API_KEY`, `<NAME>_API_BASE`,
    `<NAME>_PROXY`. The names that OpenAILike has for the same things are understood: `api_base`,
    `default_headers`, `max_retries`.

    Examples:
        A class for a provider of your own:

        ```python
        from freeproviders import FlowGpt
        from freeproviders.testing import replica
        from llama_index_freeproviders import ProviderLLM


        class Mine(ProviderLLM):
            provider_class = FlowGpt


        with replica(FlowGpt) as server:  # stands for the service, and repeats the question
            print(Mine(base_url=server.base_url).complete("Hello"))
        ```

        Objects instead of text:

        ```python
        from freeproviders.testing import replica
        from llama_index.core.prompts import PromptTemplate
        from llama_index_freeproviders import FlowGpt
        from pydantic import BaseModel


        class Song(BaseModel):
            title: str
            seconds: int


        prompt = PromptTemplate("A song about {what}.")
        with replica("flow-gpt", answer='{"title": "Drops", "seconds": 180}') as server:
            llm = FlowGpt(base_url=server.base_url)
            print(llm.structured_predict(Song, prompt, what="rain"))
        ```
    """

    provider_class: ClassVar[type[Provider]]

    base_url: str | None = Field(
        default=None, description="Where the service is; None is <NAME>_API_BASE, else its public address."
    )
    api_key: str | SecretStr | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="The key, where the service wants one; None is <NAME>_API_KEY.",
    )
    headers: dict[str, str] | None = Field(
        default=None, exclude=True, repr=False, description="Headers sent with each request."
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
    timeout: float | Timeout | None = Field(
        default=None, description="Seconds for a whole attempt, or a Timeout; None is the provider's own."
    )
    retry: int | Retry | None = Field(
        default=None, description="Retries after the first attempt, or a Retry; None is the provider's own."
    )

    def __init__(self, model: str | None = None, **fields: Any) -> None:
        if getattr(type(self), "provider_class", None) is None:
            raise UsageError(
                f"{type(self).__name__} is for all providers: use the class of one, or write one with a "
                "provider_class."
            )
        configuration, rest = split(fields, self._who())
        limiter = rest.get("rate_limiter")
        if configuration.get("quota", "auto") == "auto" and (quota := quota_of(limiter)) is not None:
            configuration["quota"], rest["rate_limiter"] = quota, None
            if rest.get("wait_up_to") is None:
                rest["wait_up_to"] = cast("Any", limiter).wait_up_to
        super().__init__(model, **configuration, **rest)
        self.__dict__["model"] = self.core.model  # the service's own name of it

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "rate_limiter" and self.quota == "auto" and (quota := quota_of(value)) is not None:
            name, value = "quota", quota
        super().__setattr__(name, value)

    @field_validator("api_key")
    @classmethod
    def _sealed_key(cls, key: str | SecretStr | None) -> SecretStr | None:
        return SecretStr(key) if isinstance(key, str) else key

    @field_serializer("base_url")
    def _shown_base_url(self, base_url: str | None) -> str | None:
        """A login in the address is a secret like the key."""
        return base_url and without_login(base_url)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """The fields that are shown of the LLM."""
        for name, value in super().__repr_args__():
            yield name, self._shown_base_url(value) if name == "base_url" else value

    @classmethod
    def class_name(cls) -> str:
        """The name under which the class is saved and found again."""
        provider = getattr(cls, "provider_class", None)
        return saved_name(provider.slug) if provider is not None else "freeproviders"

    @property
    def provider(self) -> Provider:
        """The core's provider with this configuration."""
        return cast("Provider", self.core)

    @classmethod
    def _accepted_options(cls) -> frozenset[str] | None:
        return cls.provider_class.accepted_options

    @classmethod
    def _who(cls) -> str:
        return cls.provider_class.name

    def _made_backend(self) -> Provider:
        return self.provider_class(self.model or None, **self._configuration())

    def _configuration(self) -> dict[str, Any]:
        """The provider's keyword arguments beside the model."""
        return with_plain_key({name: getattr(self, name) for name in CONFIGURATION})


def saved_name(slug: str) -> str:
    """The name under which the class of a provider is saved."""
    return f"freeproviders_{slug.replace('-', '_')}"
