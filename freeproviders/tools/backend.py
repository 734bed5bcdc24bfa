"""What the tools need of a provider, and what was learned about one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final, Protocol
from weakref import WeakKeyDictionary

from freeproviders.types import Batch, ChatRequest


class Backend(Protocol):
    """A provider, as far as it matters here."""

    @property
    def name(self) -> str:
        """Who it is, for errors."""

    @property
    def supports_native_tools(self) -> bool:
        """Whether requests may have tools."""

    @property
    def supports_json_schema(self) -> bool:
        """Whether answers can be constrained to a schema."""

    def batches(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Stream the parts of an answer."""


_refused: Final[WeakKeyDictionary[Backend, set[tuple[str, str]]]] = WeakKeyDictionary()


def model_of(provider: Backend, request: ChatRequest) -> str:
    """The model that a request goes to, "" if that is not known."""
    return request.model or getattr(provider, "model", "") or ""


def remember_refusal(provider: Backend, feature: str, model: str) -> None:
    """The service said that a model cannot do what its provider claims; do not ask again."""
    _refused.setdefault(provider, set()).add((feature, model))


def has_native_tools(provider: Backend, model: str) -> bool:
    """Whether a model takes tools, as far as is known."""
    return bool(provider.supports_native_tools) and ("tools", model) not in _refused.get(provider, ())


def has_json_schema(provider: Backend, model: str) -> bool:
    """Whether a model's answers can be constrained, as far as is known."""
    return bool(provider.supports_json_schema) and ("schema", model) not in _refused.get(provider, ())
