"""What a service has counted of the requests and of the tokens of a queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.quota.counting import Count, Meaning, count_of
from benchmarks.quota.queue import Item

Tokens = Literal["admission", "corrected", "end"]
"""When tokens are counted.

"admission": the prompt and `max_tokens`, as a request comes in. "corrected": the same, and as the
answer ends what was not used is given back. "end": what was used, as the answer ends; a request
whose prompt does not fit is refused.
"""

Announced = Literal["", "exact", "floor"]
"""Whether answers say what is left and when more is back: exactly, or rounded down.

Rounded to a 60th of the window, as whole seconds are of a minute.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service allows: two limits of the same meaning and window (microseconds)."""

    meaning: Meaning
    requests: int
    tokens: int
    window: int
    phase: int = 0
    counted: Tokens = "end"
    announce: Announced = ""


class Tally:
    """What a service has counted of its requests and of its tokens."""

    def __init__(self, limits: Limits) -> None:
        self.counted = limits.counted
        self.requests = count_of(limits.meaning, limits.requests, limits.window, limits.phase)
        self.tokens = count_of(limits.meaning, limits.tokens, limits.window, limits.phase)

    def admits(self, time: int, item: Item) -> bool:
        """Tell whether the service lets a request in that comes at a time."""
        entry = item.prompt if self.counted == "end" else item.most
        return self.requests.fits(time, 1) and self.tokens.fits(time, entry)

    def came(self, time: int, item: Item) -> None:
        """Note a request that was let in."""
        self.requests.add(time, 1)
        if self.counted != "end":
            self.tokens.add(time, item.most)

    def ended(self, time: int, item: Item) -> bool:
        """Note the end of its answer; False where the tokens are then above the cap."""
        if self.counted == "corrected":
            self.tokens.add(time, item.usage - item.most)
        elif self.counted == "end":
            end = time + item.working
            fitted = self.tokens.fits(end, item.usage)
            self.tokens.add(end, item.usage)
            return fitted
        return True

    def soonest(self, time: int, item: Item) -> int:
        """Return when a request can come, from a time on, be let in and end within the cap."""
        while wanting := self._wanting(time, item):
            count, offset, amount = wanting
            time = max(time + 1, count.later(time + offset, amount) - offset)
        return time

    def _wanting(self, time: int, item: Item) -> tuple[Count, int, int] | None:
        """Return what has no room for a request, how much later than it that counts, and how much."""
        wants = [(self.requests, 0, 1)]
        if self.counted == "end":
            wants += [(self.tokens, 0, item.prompt), (self.tokens, item.working, item.usage)]
        else:
            wants += [(self.tokens, 0, item.most)]
        return next(
            (want for want in wants if not want[0].fits(time + want[1], want[2])),
            None,
        )
