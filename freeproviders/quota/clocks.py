"""The clock of this machine that nobody sets, and what tells one start of the machine from another."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def _boot_clock() -> Callable[[], float]:
    number = getattr(time, "CLOCK_BOOTTIME", None)  # Linux: goes on while the machine sleeps
    if number is None:
        return time.monotonic
    return lambda: time.clock_gettime(number)


boot_seconds: Final = _boot_clock()
"""Seconds since the machine started, the same for all its processes; a step of the wall clock
changes nothing in it. Without CLOCK_BOOTTIME it is the monotonic clock of the system."""


@cache
def boot_id() -> str:
    """Return the name of this start of the machine, "" where the system has none.

    Without one, a new start is noticed by `boot_seconds` being less than it was. Where it is not
    less, the machine has run for longer than any use lies back, and its times are right as they
    are: a use is never taken for older than it is.
    """
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
