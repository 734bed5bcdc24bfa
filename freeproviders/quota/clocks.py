"""The clock of this machine that cannot be set, and what tells one start of it from another."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", None)  # Linux: goes on while the machine sleeps


def boot_seconds() -> float:
    """Return the seconds since the machine started, the same for all its processes.

    A step of the wall clock changes nothing in it. Without CLOCK_BOOTTIME it is the monotonic clock
    of the system.
    """
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


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
