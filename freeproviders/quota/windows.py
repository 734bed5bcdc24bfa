"""The meanings of limits: from when on a use counts no more.

All that decides is the time `at` of a use, the latest at which its request may have arrived. A use
is free at `free_at(at)`, which grows with `at`; so at any moment exactly the uses up to `cutoff`
are free.

- A rolling window, and every window with unknown borders: a period after `at`. That is right
  for windows of any phase and for a bucket that refills, too.
- A calendar day or month: at its border. Near a border a use counts on both sides of it, since the
  clocks of two machines differ.
- A fixed window of a shorter period, of which the service has told when it ends: at that border,
  or after a period where that is sooner. The window after it may begin with a request, so nothing
  is said of its end until it is told.
- Concurrency: `at` is the end of the lease, and the use is free then.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from math import ceil, floor, inf
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from freeproviders.catalogue.rows import seconds_of
from freeproviders.quota.interface import Rule

Kind = Literal["rolling", "calendar", "lease", "total", "gate"]

CALENDAR_MARGIN_SECONDS: Final = 5.0
"""How far the calendar of a service may be from ours."""
BORDER_MARGIN_SECONDS: Final = 1.0
"""How far a border that a service has told may be from the truth: many tell whole seconds."""
LONGEST_MONTH_SECONDS: Final = 31 * 86_400.0
LONG_SECONDS: Final = 86_400.0
"""From this period on, `Ask.keep` leaves a share to others."""
_FIRST, _LAST = 0.0, 32_503_680_000.0  # the years 1970 and 3000: a wall clock may say anything
GRAIN: Final = 2.0**-20
"""Amounts are multiples of it, so that sums and differences of them are exact."""


class Now(NamedTuple):
    """A moment of a store: its clock, and what must be added to make it UTC, at least and at most."""

    at: float
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of a rule: its kind, and the period in seconds where it has one.

    `unit` and `zone` say which calendar it is.
    """

    kind: Kind
    period: float = inf
    unit: str = ""
    zone: str = ""

    @property
    def margin(self) -> float:
        """How far a border that was told may be from the truth, in seconds."""
        return min(BORDER_MARGIN_SECONDS, self.period / 60)

    def cutoff(self, now: Now, border: float | None = None) -> float:
        """Return the latest `at` of the uses that are free now; `border` is one that was told."""
        match self.kind:
            case "rolling":
                gone = now.at - self.period
                if border is None or now.at < border + self.margin:
                    return gone
                return max(gone, border - self.margin)
            case "calendar":
                margin = CALENDAR_MARGIN_SECONDS
                today = now.at + now.low - margin
                borders = borders_around(self.unit, self.zone, today)
                place = bisect_right(borders, today)
                return (borders[place - 1] if place else -inf) - margin - now.high
            case "lease":
                return now.at
            case _:
                return -inf

    def free_at(self, at: float, now: Now, border: float | None = None) -> float:
        """Return when a use is free, on the store's clock."""
        match self.kind:
            case "rolling":
                gone = at + self.period
                if border is None or at > border - self.margin:
                    return gone
                return min(gone, border + self.margin)
            case "calendar":
                margin = CALENDAR_MARGIN_SECONDS
                until = at + now.high + margin
                borders = borders_around(self.unit, self.zone, until)
                place = bisect_left(borders, until)
                border = borders[place] if place < len(borders) else until + self.period
                return border + margin - now.low
            case "lease":
                return at
            case _:
                return inf


@lru_cache(maxsize=1024)
def meaning_of(rule: Rule) -> Meaning:
    """Return what a rule means. Raises `ValueError` where its period is none."""
    if rule.metric == "concurrency":
        return Meaning("lease")
    if not rule.per:
        return Meaning("gate" if rule.cap == inf else "total")
    if rule.reset == "fixed" and rule.per in {"day", "month"} and _has(rule.zone):
        return Meaning("calendar", seconds_of(rule.per), rule.per, rule.zone)
    period = seconds_of(rule.per)
    if rule.per.split()[-1].startswith("month"):  # a rolling month is as long as the longest
        period = period / seconds_of("month") * LONGEST_MONTH_SECONDS
    return Meaning("rolling", period)


def whole(amount: float) -> float:
    """Return an amount as a multiple of `GRAIN`, not less than it is."""
    return ceil(amount / GRAIN) * GRAIN


def borders_around(unit: str, zone: str, moment: float) -> tuple[float, ...]:
    """Return the beginnings of some days or months, from before a moment to after it (UTC)."""
    return _borders(unit, zone, floor(min(max(moment, _FIRST), _LAST) / LONG_SECONDS))


@lru_cache(maxsize=256)
def _borders(unit: str, zone: str, number: int) -> tuple[float, ...]:
    """Return the borders around the day of a number, counted from 1970."""
    day = date.fromordinal(date(1970, 1, 1).toordinal() + number)
    if unit == "day":
        days = [date.fromordinal(day.toordinal() + more) for more in range(-2, 4)]
    else:
        months = [day.year * 12 + day.month - 1 + more for more in range(-1, 3)]
        days = [date(month // 12, month % 12 + 1, 1) for month in months]
    where = ZoneInfo(zone)
    return tuple(datetime(day.year, day.month, day.day, tzinfo=where).timestamp() for day in days)


@lru_cache(maxsize=64)
def _has(zone: str) -> bool:
    """Whether the system knows a zone; without it, a day is a rolling one."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
