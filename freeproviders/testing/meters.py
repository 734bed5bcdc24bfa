"""One limit, counted by one of the three meanings of a row's `reset`.

A "fixed" window counts from one border of the clock or calendar to the next, a "rolling" one what
lies less than its period back, and a "refill" bucket comes back steadily. Times and amounts are
exact fractions, so that not one call more and not one less is admitted than the row says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from fractions import Fraction
from math import floor
from typing import Final
from zoneinfo import ZoneInfo

from freeproviders.catalogue.rows import SECONDS, Limit, seconds_of

_CLOCKED: Final = frozenset({"second", "minute", "hour"})


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of one limit at a moment, for headers and for the body of a refusal.

    `back_at` is the moment, in seconds since 1970, at which the amount that was asked for would
    fit; None where time does not help. `reset_at` is what a service announces: the next border of
    a fixed window, the moment at which the oldest use leaves a rolling one, the one at which a
    bucket is full.
    """

    limit: Limit
    used: float
    remaining: float
    requested: float = 0
    back_at: Fraction | None = None
    reset_at: Fraction | None = None
    fits: bool = True

    @property
    def too_large(self) -> bool:
        """Whether the request is above what the limit ever has."""
        return self.requested > self.limit.cap


@dataclass(frozen=True, slots=True)
class Count:
    """What one limit has counted, in one pool.

    Attributes:
        limit: the line of the row, with the cap that counts.
        pool: the model or the name of the pool.
        account: which account, numbered from 1 as they came; 0 is an internet address.
        admitted: the sum of what was admitted.
        refused: the number of calls that this limit refused.
        used: what counts at the moment.
        remaining: what is left at the moment.
        largest: the most that ever counted at the same moment.
    """

    limit: Limit
    pool: str
    account: int
    admitted: float
    refused: int
    used: float
    remaining: float
    largest: float


def meter_of(limit: Limit) -> Meter:
    """Make the meter of a limit; one whose reset is unknown is a rolling window."""
    if limit.metric == "concurrency":
        return AtOnce(limit)
    if not limit.per or limit.reset == "fixed":
        return FixedWindow(limit)
    return Bucket(limit) if limit.reset == "refill" else RollingWindow(limit)


@dataclass(slots=True)
class Use:
    """What one call has taken of a limit, and when."""

    at: Fraction
    amount: Fraction


class Meter(ABC):
    """The counting of one limit in one pool. Times are seconds since 1970 and never go back."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.cap = exact(limit.cap)
        self.refused = 0
        self._admitted = self._largest = Fraction(0)
        self._latest: Fraction | None = None

    def standing(self, now: Fraction, amount: Fraction) -> Standing:
        """Tell how the limit stands, and whether an amount fits."""
        used = self._used(self._tick(now))
        # A call whose size is not known yet needs some room too.
        fits = used + amount <= self.cap and used < self.cap
        return Standing(
            self.limit,
            float(used),
            float(max(Fraction(0), self.cap - used)),
            float(amount),
            None if fits or amount > self.cap or not self.cap else self._back_at(amount),
            self._reset_at(),
            fits,
        )

    def take(self, now: Fraction, amount: Fraction) -> Use:
        """Count an amount."""
        use = Use(self._tick(now), amount)
        self._add(use)
        self._note(amount)
        return use

    def settle(self, now: Fraction, use: Use, amount: Fraction) -> None:
        """Put an amount in the place of the one that was taken."""
        self._tick(now)
        more = amount - use.amount
        if more:
            self._change(use, amount)
            self._note(more)

    def count(self, now: Fraction, pool: str, account: int) -> Count:
        """Tell what was counted so far."""
        standing = self.standing(now, Fraction(0))
        return Count(
            self.limit,
            pool,
            account,
            float(self._admitted),
            self.refused,
            standing.used,
            standing.remaining,
            float(self._largest),
        )

    def _tick(self, now: Fraction) -> Fraction:
        self._latest = now = now if self._latest is None else max(now, self._latest)
        return now

    def _time(self) -> Fraction:
        return self._latest or Fraction(0)

    def _note(self, amount: Fraction) -> None:
        self._admitted += amount
        self._largest = max(self._largest, self._used(self._time()))

    @abstractmethod
    def _used(self, now: Fraction) -> Fraction:
        """Forget what is over; return what counts."""

    @abstractmethod
    def _add(self, use: Use) -> None:
        """Count a use."""

    @abstractmethod
    def _change(self, use: Use, amount: Fraction) -> None:
        """Give a use another amount."""

    @abstractmethod
    def _back_at(self, amount: Fraction) -> Fraction | None:
        """Return when an amount that does not fit will, if nothing is asked until then."""

    @abstractmethod
    def _reset_at(self) -> Fraction | None:
        """Return the moment that is announced."""


class FixedWindow(Meter):
    """A window between two borders of the clock or calendar; one without a period never ends."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self._borders: tuple[Fraction, Fraction] | None = None
        self._sum = Fraction(0)

    def _used(self, now: Fraction) -> Fraction:
        if self.limit.per and (self._borders is None or now >= self._borders[1]):
            self._borders = borders(now, self.limit)
            self._sum = Fraction(0)
        return self._sum

    def _add(self, use: Use) -> None:
        self._used(use.at)
        self._sum += use.amount

    def _change(self, use: Use, amount: Fraction) -> None:
        self._used(self._time())
        if self._borders is None or use.at >= self._borders[0]:
            self._sum += amount - use.amount
        use.amount = amount

    def _back_at(self, amount: Fraction) -> Fraction | None:  # noqa: ARG002 - all comes back at once
        return self._borders[1] if self._borders is not None else None

    def _reset_at(self) -> Fraction | None:
        return self._borders[1] if self._borders is not None else None


class RollingWindow(Meter):
    """A window that ends now: each use counts until the period has passed over it."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self._period = exact(seconds_of(limit.per))
        self._uses: deque[Use] = deque()
        self._sum = Fraction(0)

    def _used(self, now: Fraction) -> Fraction:
        while self._uses and self._uses[0].at + self._period <= now:
            self._sum -= self._uses.popleft().amount
        return self._sum

    def _add(self, use: Use) -> None:
        self._uses.append(use)
        self._sum += use.amount

    def _change(self, use: Use, amount: Fraction) -> None:
        self._used(self._time())
        if use.at + self._period > self._time():
            self._sum += amount - use.amount
        use.amount = amount

    def _back_at(self, amount: Fraction) -> Fraction | None:
        left = self._sum
        for use in self._uses:
            left -= use.amount
            if left + amount <= self.cap and left < self.cap:
                return use.at + self._period
        return None

    def _reset_at(self) -> Fraction | None:
        return self._uses[0].at + self._period if self._uses else self._time()


class Bucket(Meter):
    """A bucket that is refilled steadily, in a period from empty to full."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self._rate = self.cap / exact(seconds_of(limit.per))
        self._missing = Fraction(0)
        self._seen: Fraction | None = None

    def _used(self, now: Fraction) -> Fraction:
        if self._seen is not None:
            self._missing = max(Fraction(0), self._missing - (now - self._seen) * self._rate)
        self._seen = now
        return self._missing

    def _add(self, use: Use) -> None:
        self._used(use.at)
        self._missing += use.amount

    def _change(self, use: Use, amount: Fraction) -> None:
        self._used(self._time())
        self._missing = max(Fraction(0), self._missing + amount - use.amount)
        use.amount = amount

    def _back_at(self, amount: Fraction) -> Fraction | None:
        # A call of unknown size fits as soon as anything is back: the announced moment is a whole
        # unit's, since the exact one is no sooner than now.
        return (
            self._time() + (self._missing + max(amount, min(Fraction(1), self.cap)) - self.cap) / self._rate
        )

    def _reset_at(self) -> Fraction | None:
        return self._time() + self._missing / self._rate if self._rate else None


class AtOnce(Meter):
    """The calls that are open at the same time."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self._open = Fraction(0)

    def settle(self, now: Fraction, use: Use, amount: Fraction) -> None:  # noqa: ARG002 - a place is a place
        """Give the place back."""
        self._tick(now)
        self._open -= use.amount

    def _used(self, now: Fraction) -> Fraction:  # noqa: ARG002 - no time passes over them
        return self._open

    def _add(self, use: Use) -> None:
        self._open += use.amount

    def _change(self, use: Use, amount: Fraction) -> None:
        raise AssertionError(use, amount)  # `settle` gives back

    def _back_at(self, amount: Fraction) -> Fraction | None:  # noqa: ARG002 - it is unknown when a call ends
        return None

    def _reset_at(self) -> Fraction | None:
        return None


def borders(now: Fraction, limit: Limit) -> tuple[Fraction, Fraction]:
    """Return the borders of a limit's window around a moment, as of its minute, day or month.

    Several periods, as "5 hours", are counted from 1970, several days, weeks and months from the
    first of the calendar. A week begins on Monday.
    """
    count, unit = _split(limit.per)
    zone = UTC if limit.zone == "UTC" else ZoneInfo(limit.zone)  # not every machine has a list of zones
    # Whole seconds, since a float of a moment's fraction may round up into the next window.
    here = datetime.fromtimestamp(floor(now), zone)
    if unit in _CLOCKED:
        length = count * SECONDS[unit]
        offset = Fraction((here.utcoffset() or timedelta()) // timedelta(seconds=1))
        start = (now + offset) // length * length - offset
        return Fraction(start), Fraction(start + length)
    if unit == "month":
        number = (here.year * 12 + here.month - 1) // count * count
        first, last = (date(n // 12, n % 12 + 1, 1) for n in (number, number + count))
    else:
        days = count * (7 if unit == "week" else 1)
        number = (here.toordinal() - 1) // days * days + 1  # the calendar's first day was a Monday
        first, last = date.fromordinal(number), date.fromordinal(number + days)
    return _midnight(first, zone), _midnight(last, zone)


def _midnight(day: date, zone: tzinfo) -> Fraction:
    moment = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    return Fraction(int(moment.timestamp()))


def _split(per: str) -> tuple[int, str]:
    *count, unit = per.split()
    return int(count[0]) if count else 1, unit.removesuffix("s")


def exact(number: float) -> Fraction:
    """Read a number as it is written in decimals."""
    return Fraction(str(number))
