"""Where limits and answers are kept, as far as several machines must agree on it."""

from __future__ import annotations

from typing import Final

from freeproviders.addresses import is_loopback
from freeproviders.backend import Backend
from freeproviders.redis_server import is_url, shown

HERE: Final = "here:"
"""How a place begins that is another one on each machine."""


def place_name(place: str) -> str:
    """Name a place so that it is one for two machines if and only if they have one name for it.

    A file is another one on each machine, and so is a server behind a loopback address. A URL is
    named without its login.
    """
    if not is_url(place):
        return f"{HERE}{place}"
    here = place.startswith("unix:") or is_loopback(place)
    return f"{HERE}{shown(place)}" if here else shown(place)


def ledgers_of(backend: Backend) -> frozenset[str]:
    """Name the places of the ledgers in which a backend keeps limits; none where it keeps none."""
    return frozenset(place_name(place) for place in backend.ledger_places())
