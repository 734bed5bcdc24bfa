"""Where limits and answers are kept, as far as several machines must agree on it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from freeproviders.addresses import is_loopback
from freeproviders.backend import Backend
from freeproviders.over_http import OverHttp
from freeproviders.quota.opening import ledger_place
from freeproviders.redis_server import is_url, shown
from freeproviders.router.router import FreeProviders

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
    if isinstance(backend, FreeProviders):
        return frozenset().union(*(ledgers_of(member.backend) for member in backend.members))
    if not isinstance(backend, OverHttp) or not backend.keeps_limits:
        return frozenset()
    where = "" if backend.quota == "auto" else backend.quota.ledger
    return frozenset({place_name(ledger_place(where) if isinstance(where, str | Path) else "memory")})
