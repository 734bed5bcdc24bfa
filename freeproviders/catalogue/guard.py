"""What a user's or another package's file may say, so that no row can take a key elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from freeproviders.addresses import host_of
from freeproviders.catalogue.pins import FOREIGN, PINS, VARIABLES, owner_of
from freeproviders.catalogue.rows import Service
from freeproviders.redaction import is_secret

_VARIABLE: Final = re.compile(r"\{([^{}]*)\}")


def variables_in(base_url: str) -> list[str]:
    """List the environment variables that an address holds, as `{CLOUDFLARE_ACCOUNT_ID}`."""
    return _VARIABLE.findall(base_url)


def key_variables(service: Service) -> tuple[str, ...]:
    """Return the environment variables that may hold the key: the row's, else `<ID>_API_KEY`."""
    if service.key == "none":
        return ()
    return service.keys or (f"{service.id.upper().replace('-', '_')}_API_KEY",)


def objections_to_own(service: Service) -> Iterator[str]:
    """Find what a row of this package says against the pins."""
    pin = PINS.get(service.id)
    if pin is None:
        yield from _taken(service)
        return
    if host_of(service.base_url) not in pin.hosts:
        yield f"Its host is {host_of(service.base_url)!r}, and pinned to {', '.join(pin.hosts)}."
    for name in service.keys:
        if name not in pin.variables:
            yield f"Its key variable {name} is not one of those pinned to it: {', '.join(pin.variables)}."


def objections_to_package(service: Service, own: Mapping[str, Any]) -> Iterator[str]:
    """Find what forbids a row of another package; `own` are the ids of this one's rows."""
    if service.id in own or service.id in PINS:
        yield f"{service.id!r} is a service of freeproviders: another package may not change it."
    yield from _taken(service)


def objections_to_user(service: Service, original: Service | None) -> Iterator[str]:
    """Find what forbids a user's row; `original` is the package's own of the same id.

    A service of the user's own may do as it says; a key of a known service still goes to its hosts
    only.
    """
    if original is None:
        yield from _taken(service)
        return
    pin = PINS.get(service.id)
    hosts = pin.hosts if pin is not None else (host_of(original.base_url),)
    at_home = host_of(service.base_url) in hosts and service.base_url.startswith("https:")
    if at_home or service.base_url == original.base_url:
        pinned = pin.variables if pin is not None else key_variables(original)
        yield from _taken(service, but=frozenset(pinned))
        return
    yield from _taken(service)


def _taken(service: Service, but: frozenset[str] = frozenset()) -> Iterator[str]:
    """Find variables that are not the row's to name."""
    for name in key_variables(service):
        if name in VARIABLES and name not in but:
            owner = owner_of(name)
            whose = f"the key of {owner}" if owner else "another service's key"
            yield (
                f"{name} holds {whose}, which goes to no other address: name a key variable of its own, "
                f'as keys = ["MY_{service.id.upper().replace("-", "_")}_KEY"].'
            )
    if _VARIABLE.search(urlsplit(service.base_url).netloc):
        yield "A variable may be a part of an address's path, not of its host."
    for name in variables_in(service.base_url):
        if name in VARIABLES | FOREIGN or is_secret(name, ""):
            yield f"{name} must not be a part of an address: it looks like a secret."
