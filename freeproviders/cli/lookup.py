"""Which providers there are, by name."""

from __future__ import annotations

from typing import Final

import typer

import freeproviders
from freeproviders.provider import AsyncGeneratorProvider

PROVIDERS: Final = ("Embedded", "OpenAICompatible", "FreeNetfly", "ChatgptFree", "FlowGpt", "AIChatFree")


def provider_class(name: str) -> type[AsyncGeneratorProvider]:
    """Find a provider by its name or slug, in any case; only its own module is imported. Raises a usage error."""
    wanted = _squeezed(name)
    for known in PROVIDERS:
        if _squeezed(known) == wanted:
            cls: type[AsyncGeneratorProvider] = getattr(freeproviders, known)
            return cls
    raise typer.BadParameter(
        f"There is no provider {name!r}: `freeproviders providers` lists them.", param_hint="--provider"
    )


def all_providers() -> list[type[AsyncGeneratorProvider]]:
    """Every provider class."""
    return [getattr(freeproviders, name) for name in PROVIDERS]


def _squeezed(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
