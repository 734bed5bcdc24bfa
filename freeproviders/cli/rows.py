"""Services of the catalogue, as several commands look at them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from freeproviders.cli import terminal

if TYPE_CHECKING:
    from freeproviders.catalogue import Service


def today() -> date:
    """Return the day against which facts are old."""
    return datetime.now(UTC).date()


def ids(incomplete: str) -> list[str]:
    """Complete the id of a service in the shell."""
    from freeproviders.catalogue import catalogue

    return [name for name in catalogue().ids if name.startswith(incomplete)]


def services() -> Iterator[Service]:
    """Every service that can be read; of the others is said what is wrong."""
    from freeproviders.catalogue import catalogue
    from freeproviders.errors import CatalogueError

    shelf = catalogue()
    for name in shelf.ids:
        try:
            yield shelf.service(name)
        except CatalogueError as error:
            terminal.complain(error)


def key_variable(service: Service) -> str:
    """Return the environment variable that a service's key is taken from, "" where none is set."""
    from freeproviders.catalogue.guard import key_variables

    return next((name for name in key_variables(service) if os.environ.get(name, "").strip()), "")


def key_state(service: Service) -> str:
    """Write whether a service has its key, without a word of the key itself."""
    from freeproviders.catalogue.guard import key_variables

    names = key_variables(service)
    if not names:
        return "none needed"
    if name := key_variable(service):
        return f"{name} (set)"
    return f"{' or '.join(names)} ({'optional' if service.key == 'optional' else 'not set'})"


def yes_or_no(flag: bool | None) -> str:
    """Write what is known of an ability."""
    return "?" if flag is None else "yes" if flag else "no"
