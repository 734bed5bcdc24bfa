"""A chat model with keywords bound to its calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableBinding, RunnableConfig

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import _ChatModelBinding as Binding
else:
    Binding = RunnableBinding  # LangChain's private class adds types to it, and nothing else


class BoundChatModel(Binding):
    """LangChain's binding, which hands on the model's streams and configs where it adds nothing to them.

    LangChain's own puts a stream around the model's and merges each call's config twice, which costs
    a tenth of all that happens up to the first text.
    """

    @classmethod
    def lc_id(cls) -> list[str]:
        """Save it as LangChain's, which it is once it is loaded."""
        return [*cls.get_lc_namespace(), RunnableBinding.__name__]

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
