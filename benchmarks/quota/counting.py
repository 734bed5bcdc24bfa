"""The three meanings of a limit, each counted as a service would that knows when each call came.

Times are whole microseconds, so that not one call more and not one less is admitted. A call may be
noted after one that came later; both are judged by when they came.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from typing import Literal, Protocol

SECOND = 1_000_000
Meaning = Literal["fixed", "rolling", "refill"]
MEANINGS: tuple[Meaning, ...] = ("fixed", "rolling", "refill")


class Count(Protocol):
    """What one limit has counted."""

    def fits(self, time: int, amount: int) -> bool:
        """Tell whether an amount fits at a time, with all that is noted before and after it."""
        ...

    def add(self, time: int, amount: int) -> None:
        """Note an amount, negative to take back what was noted for that time."""
        ...

    def later(self, time: int, amount: int) -> int:
        """Return the next time at which an amount may fit that does not fit at this one."""
        ...

    def left(self, time: int) -> tuple[int, int]:
        """Return what is left at a time, and in how long more comes back: what a header announces.

        That is the border of a fixed window, the oldest use of a rolling one, a bucket that is full.
        """
        ...


class Fixed:
    """Windows one after the other, of which one begins at `phase`."""

    def __init__(self, cap: int, window: int, phase: int = 0) -> None:
        self.cap, self.window, self.phase = cap, window, phase
        self._used: defaultdict[int, int] = defaultdict(int)

    def fits(self, time: int, amount: int) -> bool:
        return self._used[(time - self.phase) // self.window] + amount <= self.cap

    def add(self, time: int, amount: int) -> None:
        self._used[(time - self.phase) // self.window] += amount

    def later(self, time: int, amount: int) -> int:
        return ((time - self.phase) // self.window + 1) * self.window + self.phase

    def left(self, time: int) -> tuple[int, int]:
        return self.cap - self._used[(time - self.phase) // self.window], self.later(time, 0) - time


class Rolling:
    """Any stretch of time as long as the window."""

    def __init__(self, cap: int, window: int) -> None:
        self.cap, self.window = cap, window
        self._noted: list[tuple[int, int]] = []

    def fits(self, time: int, amount: int) -> bool:
        ends = [time, *(at for at, _ in self._between(time, time + self.window - 1))]
        return all(
            amount + sum(one for _, one in self._between(end - self.window, end)) <= self.cap for end in ends
        )

    def add(self, time: int, amount: int) -> None:
        insort(self._noted, (time, amount))

    def later(self, time: int, amount: int) -> int:
        behind = bisect_right(self._noted, (time - self.window, 1 << 62))
        return self._noted[behind][0] + self.window if behind < len(self._noted) else time + self.window

    def left(self, time: int) -> tuple[int, int]:
        used = sum(one for _, one in self._between(time - self.window, time))
        return self.cap - used, self.later(time, 0) - time

    def _between(self, after: int, until: int) -> list[tuple[int, int]]:
        """Return what was noted later than the one time and not later than the other."""
        noted, most = self._noted, 1 << 62
        return noted[bisect_right(noted, (after, most)) : bisect_right(noted, (until, most))]


class Refill:
    """A bucket, full at first, that comes back steadily: the whole cap within one window."""

    def __init__(self, cap: int, window: int) -> None:
        self.cap, self.window = cap, window
        self._noted: list[tuple[int, int]] = []
        self._levels: list[int] = []  # after each, in parts of one window's microsecond

    def fits(self, time: int, amount: int) -> bool:
        at = bisect_right(self._noted, (time, 1 << 62))
        return min(self._run(at, [(time, amount), *self._noted[at:]])) >= 0

    def add(self, time: int, amount: int) -> None:
        at = bisect_left(self._noted, (time, amount))
        self._noted.insert(at, (time, amount))
        self._levels[at:] = self._run(at, self._noted[at:])

    def later(self, time: int, amount: int) -> int:
        at = bisect_right(self._noted, (time, 1 << 62))
        short = -min(self._run(at, [(time, amount), *self._noted[at:]]))
        return time + max(1, -(-short // self.cap))

    def left(self, time: int) -> tuple[int, int]:
        level = self._run(bisect_right(self._noted, (time, 1 << 62)), [(time, 0)])[0]
        return level // self.window, (self.cap * self.window - level) // self.cap

    def _run(self, at: int, coming: list[tuple[int, int]]) -> list[int]:
        """Return the levels after each of what comes behind the first `at`."""
        full = self.cap * self.window
        before, level = (self._noted[at - 1][0], self._levels[at - 1]) if at else (0, full)
        levels = []
        for time, amount in coming:
            level = min(full, level + (time - before) * self.cap) - amount * self.window
            before = time
            levels.append(level)
        return levels


def count_of(meaning: Meaning, cap: int, window: int, phase: int = 0) -> Count:
    """Make the count of a limit; the phase is that of fixed windows."""
    if meaning == "fixed":
        return Fixed(cap, window, phase)
    return Rolling(cap, window) if meaning == "rolling" else Refill(cap, window)
