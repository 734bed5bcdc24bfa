"""The providers by name, for the options of the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

import typer

from freeproviders.providers import PROVIDERS, find_provider, load_provider

if TYPE_CHECKING:
    from freeproviders.provider import Provider

SLUGS: Final = [row.slug for row in PROVIDERS]
REPLICAS: Final = [row.slug for row in PROVIDERS if row.replica]


def provider_class(name: str) -> type[Provider]:
    """Find a provider by its name or slug, importing only its module. Raises a usage error."""
    row = find_provider(name)
    if row is None:
        near = get_close_matches(name.lower(), SLUGS, 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise typer.BadParameter(
            f"There is no provider {name!r}. {hint}`freeproviders providers` lists them.",
            param_hint="--provider",
        )
    return load_provider(row)


def all_providers() -> list[type[Provider]]:
    """Every provider class, in the order of the table."""
    return [load_provider(row) for row in PROVIDERS]


def completing(words: Sequence[str]) -> Callable[[str], list[str]]:
    """Complete an option's value in the shell to one of some words."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete
