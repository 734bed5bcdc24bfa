"""The limits of a gateway: sizes, numbers, times and rates."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from freeproviders.errors import UsageError

LOOPBACK_RATE = 6_000
"""Requests a minute where only programs of this machine ask."""
OUTER_RATE = 600
"""Requests a minute where others may ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a gateway takes at most; what is more is refused with a status that says so.

    Attributes:
        body_bytes: the size of one request.
        bodies_bytes: the size of all requests that are in memory at the same time.
        at_once: requests that are answered at the same time.
        connections: open connections.
        per_minute: requests a minute, in bursts of as many; 0 is no limit, None is 6,000 on
            loopback and 600 elsewhere.
        body_seconds: how long a request's body may take to come.
        idle_seconds: how long a connection may stay open without a request.
        silence_seconds: after how long without a word a stream gets a comment, so that no proxy on
            the way closes it. Headers are sent then, too: until then an error has a status of its
            own.
        unread_seconds: how long a client may leave what it was sent unread.
        grace_seconds: how long answers may go on when the gateway ends.
    """

    body_bytes: int = 32 * 2**20
    bodies_bytes: int = 256 * 2**20
    at_once: int = 1_024
    connections: int = 4_096
    per_minute: int | None = None
    body_seconds: float = 60.0
    idle_seconds: float = 75.0
    silence_seconds: float = 15.0
    unread_seconds: float = 60.0
    grace_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is None and name == "per_minute":
                continue
            least_is_zero = name in {"per_minute", "grace_seconds"}
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not (value > 0 or (least_is_zero and value == 0))
            ):
                raise UsageError(f"{name} must be a number above 0, not {value!r:.200}.")


class Rate:
    """A bucket of requests that fills evenly: so many a minute, and at most so many at once."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._left = self._most
        self._clock = clock
        self._at = clock()

    def take(self) -> float:
        """Take a request out of the bucket; return 0, or the seconds until there is one."""
        if not self._most:
            return 0.0
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._most / 60)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) * 60 / self._most
