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


def services(*, complaining: bool = True) -> Iterator[Service]:
    """Every service that can be read; what is wrong with the others is said, if it is wanted."""
    from freeproviders.catalogue import catalogue
    from freeproviders.errors import CatalogueError

    shelf = catalogue()
    for name in shelf.ids:
        try:
            yield shelf.service(name)
        except CatalogueError as error:
            if complaining:
                terminal.complain(error)


def outside_address(service: Service) -> str | None:
    """Return the address of a service that the environment names, without a login; None for none.

    Raises `UsageError` for one that is none.
    """
    from freeproviders.configuration import from_environment, read_base_url

    outside = from_environment(service.id).get("base_url")
    return None if outside is None else read_base_url(outside.value, service.name, outside.variable)[0]


def key_variable(service: Service) -> str:
    """Return the environment variable that a service's key is taken from, "" where none is set."""
    from freeproviders.catalogue.guard import key_variables

    return next((name for name in key_variables(service) if os.environ.get(name, "").strip()), "")


def key_state(service: Service, *, every_name: bool = True) -> str:
    """Write whether a service has its key, without a word of the key itself.

    Where it has none, the variables that may hold one are named, or the first of them.
    """
    from freeproviders.catalogue.guard import key_variables

    names = key_variables(service)
    if not names:
        return "none needed"
    if name := key_variable(service):
        return f"{name} (set)"
    wanted = " or ".join(names) if every_name else names[0]
    return f"{wanted} ({'optional' if service.key == 'optional' else 'not set'})"


def privacy(service: Service) -> str:
    """Write what becomes of prompts; what a service says of itself grows old, a server here does not."""
    from freeproviders.catalogue.words import aged
    from freeproviders.catalogue.words import privacy as in_words

    what = in_words(service.privacy)
    unsaid = service.local or (service.privacy.trains == service.privacy.logs == "unknown")
    return what if unsaid else aged(what, service, today())


def yes_or_no(flag: bool | None) -> str:
    """Write what is known of an ability."""
    return "?" if flag is None else "yes" if flag else "no"
