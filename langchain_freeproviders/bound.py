"""Models with keywords bound to their calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self, cast

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableBinding, RunnableConfig

from langchain_freeproviders.keywords import hidden, hidden_config

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import _ChatModelBinding as Binding

    StringBinding = RunnableBinding[LanguageModelInput, str]
else:  # LangChain's private class adds types, and nothing else
    Binding = StringBinding = RunnableBinding


class _Discreet:
    """What makes LangChain's binding show and save no secrets, however often more is bound."""

    def bind(self, **kwargs: Any) -> Self:
        """Bind more keywords to each call; those with secrets are not shown and not saved."""
        this = cast("RunnableBinding[Any, Any]", super())
        return cast("Self", this.bind(**hidden(kwargs, cast("Any", self).get_name())))

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> Self:
        """Bind a config; `configurable` values that are secrets are not shown and not saved."""
        this = cast("RunnableBinding[Any, Any]", super())
        config = cast("RunnableConfig", hidden_config({**(config or {}), **kwargs}))
        return cast("Self", this.with_config(config))

    @classmethod
    def lc_id(cls) -> list[str]:
        """Save it as LangChain's, which it is once it is loaded."""
        return [*RunnableBinding.get_lc_namespace(), RunnableBinding.__name__]


class BoundStringModel(_Discreet, StringBinding):
    """LangChain's binding, without secrets in what it shows and saves."""


class BoundChatModel(_Discreet, Binding):
    """LangChain's binding, without secrets in what it shows and saves.

    It hands on the model's streams and configs where it adds nothing to them: LangChain's own puts a
    stream around the model's and merges each call's config twice, which costs a tenth of all that
    happens up to the first text.
    """

    def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessage]:
        """Stream an answer of the model."""
        if self._has_configs:
            return super().astream(input, config, **kwargs)
        return self.bound.astream(input, config, **{**self.kwargs, **kwargs})

    @property
    def _has_configs(self) -> bool:
        return bool(self.config or self.config_factories)

    def _merge_configs(self, *configs: RunnableConfig | None) -> RunnableConfig:
        if len(configs) == 1 and not self._has_configs:
            return configs[0]  # type: ignore[return-value]  # the model takes None as well
        return super()._merge_configs(*configs)
