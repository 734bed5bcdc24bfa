"""The time limits of an attempt, and the watchdog that enforces them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from freeproviders.errors import UsageError
from freeproviders.naming import argument
from freeproviders.records import record

NEVER: Final = float("inf")


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop. Raises `UsageError` where none of asyncio's runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError(
            "Async methods need asyncio, and no asyncio event loop runs here. Under trio, "
            "call the sync method on a thread: await trio.to_thread.run_sync(...)."
        ) from None


def on_a_loop() -> bool:
    """Return whether an event loop runs here, which must not be kept waiting."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@record
class Timeout:
    """Limits of one attempt, in seconds; None is no limit.

    `connect` runs until a connection stands, `first_content` until the first text, reasoning or
    tool call (headers and keep-alive comments do not count), `stall` between two parts, `total`
    over everything.
    """

    connect: float | None = 10.0
    first_content: float | None = 120.0
    stall: float | None = 60.0
    total: float | None = 600.0

    def __post_init__(self) -> None:
        for name in ("connect", "first_content", "stall", "total"):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int | float) or not value > 0
            ):
                raise UsageError(
                    f"{argument('timeout')}: {name} must be a number of seconds above 0 or None, not "
                    f"{value!r}."
                )

    @classmethod
    def of(cls, value: Timeout | float | None, default: Timeout) -> Timeout:
        """Read what a caller passed: None is the default, a number a limit on the whole attempt."""
        if value is None:
            return default
        if isinstance(value, Timeout):
            return value
        return cls(connect=default.connect, first_content=None, stall=None, total=value)


class Watchdog:
    """The deadlines of one attempt, enforced by one timer.

    Progress only moves a number, since resetting a timer for each read costs more than the read.

    `on_expiry` is called once, when a limit passes; `expired` then names the limit. The stall limit
    counts only while the service is waited for: a consumer may take any time over the parts it has.
    """

    __slots__ = (
        "_deadline",
        "_end",
        "_loop",
        "_on_expiry",
        "_phase",
        "_stall",
        "_timer",
        "expired",
        "waiting",
    )

    def __init__(self, timeout: Timeout, on_expiry: Callable[[], Any]) -> None:
        self._loop = running_loop()
        self._on_expiry = on_expiry
        now = self._loop.time()
        self._end = now + (timeout.total or NEVER)
        self._deadline = now + (timeout.first_content or NEVER)
        self._stall = timeout.stall or NEVER
        self._phase = "first content"
        self.waiting = True
        self.expired: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._arm(min(self._deadline, self._end, now + self._stall))

    def progress(self) -> None:
        """Start the stall limit anew: a part came, or the wait for the next one began."""
        self._deadline = self._loop.time() + self._stall
        self._phase = "stall"

    def drain(self, seconds: float) -> None:
        """Limit the time that the end of the body may take after a complete answer."""
        self._deadline = self._loop.time() + seconds
        self._phase = "drain"
        self.stop()
        self._arm(self._deadline)

    def stop(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, when: float) -> None:
        if when < NEVER:
            self._timer = self._loop.call_at(when, self._check)

    def _check(self) -> None:
        now = self._loop.time()
        if not self.waiting:
            self._deadline = now + self._stall
        if now < min(self._deadline, self._end):
            self._arm(min(self._deadline, self._end))
            return
        self._timer = None
        self.expired = self._phase if self._deadline <= now else "total"
        self._on_expiry()
