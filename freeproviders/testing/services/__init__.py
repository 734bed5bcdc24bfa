"""The replicas' services: one module for each protocol, written from the protocol's description and not from the client's code."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from freeproviders.testing.services.base import Service

_CLASSES: Final = {
    "free-netfly": "free_netfly.FreeNetflyService",
    "chatgpt-free": "chatgpt_free.ChatgptFreeService",
    "flow-gpt": "flow_gpt.FlowGptService",
    "ai-chat-free": "ai_chat_free.AIChatFreeService",
    "openai-compatible": "openai.OpenAIService",
}
SLUGS: Final = tuple(_CLASSES)


def service_class(provider: object) -> type[Service]:
    """Find the service for a provider class or instance, or for its name or slug.

    Raises `ValueError` when there is no replica of it.
    """
    slug = _find_slug(provider)
    if slug is None:
        msg = f"There is no replica of {provider!r}: use one of {', '.join(SLUGS)}."
        raise ValueError(msg)
    module, _, name = _CLASSES[slug].partition(".")
    cls: type[Service] = getattr(import_module(f"freeproviders.testing.services.{module}"), name)
    return cls


def _find_slug(provider: object) -> str | None:
    if isinstance(provider, str):
        wanted = _squeezed(provider)
        return next((slug for slug in SLUGS if _squeezed(slug) == wanted), None)
    cls = provider if isinstance(provider, type) else type(provider)
    # The class's own word counts; a user's subclass with a slug of its own is served by what it builds on.
    for base in cls.__mro__:
        slug = base.__dict__.get("slug")
        if slug in _CLASSES:
            return str(slug)
        if slug == "embedded":
            return None
    return None


def _squeezed(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
