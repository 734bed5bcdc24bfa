"""The replicas' services: one module for each protocol.

They are written from the protocol's description and not from the client's code, so that client and
replica do not agree by construction.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from freeproviders.providers import PROVIDERS, Row, find_provider
from freeproviders.testing.services.base import Service

SLUGS: Final = tuple(row.slug for row in PROVIDERS if row.replica)


def service_class(provider: object) -> type[Service]:
    """Find the service for a provider class or instance, or for its name or slug.

    Raises `ValueError` when there is no replica of it.
    """
    row = _find(provider)
    if row is None or not row.replica:
        raise ValueError(f"There is no replica of {provider!r}: use one of {', '.join(SLUGS)}.")
    module, _, name = row.replica.partition(":")
    cls: type[Service] = getattr(import_module(f"freeproviders.testing.services.{module}"), name)
    return cls


def _find(provider: object) -> Row | None:
    if isinstance(provider, str):
        return find_provider(provider)
    # A user's subclass with a slug of its own is served by the class that it builds on.
    cls = provider if isinstance(provider, type) else type(provider)
    rows = {row.slug: row for row in PROVIDERS}
    return next((rows[slug] for base in cls.__mro__ if (slug := base.__dict__.get("slug")) in rows), None)
