"""The replicas' services: one module for each protocol.

They are written from the protocol's description and not from the client's code, so that client and
replica do not agree by construction.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Final

from freeproviders.catalogue import Catalogue, catalogue
from freeproviders.catalogue import Service as Row
from freeproviders.catalogue.places import Source
from freeproviders.providers import PROVIDERS, find_provider
from freeproviders.providers import Row as ProviderRow
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


def catalogued_class(service: str | Path | Row) -> type[Service]:
    """Find the service for a name in the catalogue, for a file, or for a row.

    Raises what `service_row` does.
    """
    from freeproviders.testing.services.catalogued import CataloguedService  # noqa: PLC0415 - few need it

    return CataloguedService.of(service_row(service))


def service_row(service: str | Path | Row) -> Row:
    """Find the row for a name in the catalogue, or of a file.

    Raises `UnknownServiceError` where there is none, and `CatalogueError` for a file that is wrong.
    """
    if isinstance(service, Row):
        return service
    if isinstance(service, Path) or service.endswith(".toml"):
        path = Path(service)
        return Catalogue(others=[Source(path.stem, path, "user")]).service(path.stem)
    return catalogue().service(service)


def _find(provider: object) -> ProviderRow | None:
    if isinstance(provider, str):
        return find_provider(provider)
    # A user's subclass with a slug of its own is served by the class that it builds on.
    cls = provider if isinstance(provider, type) else type(provider)
    rows = {row.slug: row for row in PROVIDERS}
    return next((rows[slug] for base in cls.__mro__ if (slug := base.__dict__.get("slug")) in rows), None)
