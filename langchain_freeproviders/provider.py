"""The fields of the models of one service: how its provider of the core is reached."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

from pydantic import Field

import freeproviders
from freeproviders.abilities import Learned
from freeproviders.backend import Backend
from freeproviders.configuration import quota_of
from freeproviders.errors import FreeProvidersError
from freeproviders.lazy import LazyAttribute
from freeproviders.provider import Provider
from langchain_freeproviders.configured import ConfigurationFields, ServiceFields
from langchain_freeproviders.settings import BackendSettings


class ProviderSettings(ConfigurationFields, BackendSettings):
    """The settings of a request, and the configuration of a provider of the core."""

    provider_class: ClassVar[type[Provider]]
    """The provider that answers."""

    derived = (*BackendSettings.derived, "_learned")
    shared = ("_learned",)

    @classmethod
    def _has_option(cls, name: str) -> bool:
        accepted = cls.provider_class.accepted_options
        return accepted is None or name in accepted

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "rate_limiter" and self.quota == "auto" and (quota := quota_of(value)) is not None:
            name, value = "quota", quota
        super().__setattr__(name, value)

    def _made_backend(self) -> Backend:
        provider: Any = self.provider_class
        made: Backend = provider(self.model_name or None, **self._configuration())
        made.learn_into(self._learned)
        return made

    @cached_property
    def _learned(self) -> dict[str, Learned]:
        """What answers have shown, by address."""
        made: dict[str, Learned] = self.__dict__.setdefault("_learned", {})  # on which threads agree
        return made


class OpenAICompatibleSettings(ServiceFields, ProviderSettings):
    """The fields of the models over a service of the OpenAI protocol."""

    provider_class: ClassVar[type[Provider]] = freeproviders.OpenAICompatible

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

    @property
    def _provider(self) -> freeproviders.OpenAICompatible:
        return cast("freeproviders.OpenAICompatible", self._backend)


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
