"""A provider of the core as a LlamaIndex LLM; `llms.py` has a class for each."""

from __future__ import annotations

from typing import Any, ClassVar, Self, cast

from pydantic import PrivateAttr

from freeproviders.abilities import Learned
from freeproviders.backend import Backend
from freeproviders.configuration import CONFIGURATION
from freeproviders.errors import UsageError
from freeproviders.provider import Provider
from llama_index_freeproviders.base import CoreLLM
from llama_index_freeproviders.fields import ServiceFields, with_plain_key


class ProviderLLM(ServiceFields, CoreLLM):
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

    _learned: dict[str, Learned] = PrivateAttr(default_factory=dict)

    def __init__(self, model: str | None = None, **fields: Any) -> None:
        if getattr(type(self), "provider_class", None) is None:
            raise UsageError(
                f"{type(self).__name__} is for all providers: use the class of one, or write one with a "
                "provider_class."
            )
        super().__init__(**self._read({"model": model, **fields}))
        self.__dict__["model"] = self.core.model  # the service's own name of it

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return super().__deepcopy__({id(self._learned): self._learned, **(memo or {})})

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

    def _made_core(self) -> Backend:
        made = super()._made_core()  # whose checks look at what is claimed
        made.learn_into(self._learned)
        return made

    def _made_backend(self) -> Provider:
        return self.provider_class(self.model or None, **self._configuration())

    def _configuration(self) -> dict[str, Any]:
        """The provider's keyword arguments beside the model."""
        return with_plain_key({name: getattr(self, name) for name in CONFIGURATION})


def saved_name(slug: str) -> str:
    """The name under which the class of a provider is saved."""
    return f"freeproviders_{slug.replace('-', '_')}"
