"""Completion in the shell, from what is on this machine: nothing is asked and no provider is loaded."""

from __future__ import annotations

from typing import Any


def models(ctx: Any, incomplete: str) -> list[str]:
    """Complete a model: of the service or provider that is named, else those that need no other name."""
    return [name for name in _models(ctx.params) if name.startswith(incomplete)]


def _models(given: dict[str, Any]) -> list[str]:
    if service := given.get("service"):
        return _of_service(service)
    provider = given.get("provider")
    if provider not in {None, "embedded", "Embedded"}:
        return _of_provider(provider)
    from freeproviders.embedded.weights import WEIGHTS

    embedded = [row.name for row in WEIGHTS]
    if provider is not None:
        return embedded
    from freeproviders.catalogue import catalogue

    return [*embedded, *(f"{name}/{model}" for name in catalogue().ids for model in _of_service(name))]


def _of_service(name: str) -> list[str]:
    from freeproviders.catalogue import catalogue
    from freeproviders.errors import FreeProvidersError

    try:
        return [model for model in catalogue().service(name).models if "*" not in model]
    except FreeProvidersError:
        return []


def _of_provider(name: str) -> list[str]:
    from freeproviders.providers import find_provider, load_provider

    row = find_provider(name)
    return [] if row is None else list(getattr(load_provider(row), "models", ()))
