"""How many rows are asked at the same time, where the caller does not say."""

from __future__ import annotations

import sys
from typing import Any, Final
from urllib.parse import urlsplit

from freeproviders.backend import Backend

_OF_A_SERVICE: Final = 16
"""Requests to a service at once; its own limit of concurrency, where it has one, is kept beside it."""
_OF_A_SERVER: Final = 8
"""Requests to a server of this machine, most of which answer a few at once and let the others wait."""
_OF_ANOTHER: Final = 4
"""Requests to a backend that says nothing of itself."""
_MOST: Final = 64


async def width_of(backend: Backend) -> int:
    """Return how many rows to ask at once; on a cluster, that is for all of its nodes together.

    Raises `ClusterError` where a cluster cannot be used.
    """
    placed = sys.modules.get("freeproviders.batch.ray.placed")
    if placed is not None and isinstance(backend, placed.OnRay):
        nodes: int = await backend.joined()
        return nodes * usual_width(backend.asks)
    return usual_width(backend)


def usual_width(backend: Backend) -> int:
    """Return how many rows to ask at once, by what the backend says of itself.

    A router has the sum of its members, those that it knows by now.
    """
    router = sys.modules.get("freeproviders.router.router")
    if router is not None and isinstance(backend, router.FreeProviders):
        return max(1, min(_MOST, sum(usual_width(member.backend) for member in backend.members)))
    engine = sys.modules.get("freeproviders.providers.embedded")
    if engine is not None and isinstance(backend, engine.Embedded):
        slots: Any = backend.slots
        return int(slots)
    if not backend.base_url:
        return _OF_ANOTHER
    return _OF_A_SERVER if _is_here(urlsplit(backend.base_url).hostname or "") else _OF_A_SERVICE


def _is_here(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")
