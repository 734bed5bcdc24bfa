"""What a member has done so far: counts, times, the share of answers; when that is too bad to go on.

The share is of late: what is half an hour old counts half. Times are of a clock in seconds.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import chain
from math import ceil, exp, isfinite, lgamma, log
from typing import Any, Final, NamedTuple

SAMPLES: Final = 64
"""So many of the latest times are kept of each member."""
WRITTEN_SAMPLES: Final = 32
NEEDED_SAMPLES: Final = 8
"""With fewer, no limit is made of them."""
HALF_LIFE_SECONDS: Final = 1800.0
LIMIT_FACTOR: Final = 3.0
"""A limit is so many times what 95 of 100 answers have needed."""
SHORTEST_LIMIT_SECONDS: Final = 1.5
LONGEST_LIMIT_SECONDS: Final = 120.0
SHORTEST_WHOLE_SECONDS: Final = 10.0
LONGEST_WHOLE_SECONDS: Final = 600.0

# As many faults in a row shut a member as chance would bring in one of 500 places, by its share of
# faults so far, and by the requests under way, since faults show sooner than answers. By simulation
# (tests/router/test_health_statistics.py) a member that fails at random 3 times in 10 is shut twice in
# 2,000 requests, for 1 % of the time; one that has worked and is dead after 2, a new one after 3, and
# one that had failed 3 times in 10 after 6.
_CHANCE: Final = 0.002
_FEWEST, _MOST = 2, 8
_PRIOR_FAULTS, _PRIOR = 0.3, 3.0
"""A member that is not known yet is taken for one that fails once in ten times."""
_RUN_SECONDS: Final = 900.0
"""Faults that lie further apart are not in a row."""


class Speed(NamedTuple):
    """What to expect of a member, for the order in which members are asked.

    Attributes:
        first: seconds until the first content as it is usual, None while unknown.
        success: the share (0 to 1) of requests that are answered, of late.
    """

    first: float | None
    success: float


class Sums:
    """Counts and times of one model."""

    def __init__(self, at: float = 0.0) -> None:
        self.counts: dict[str, int] = {}
        self.good = 0.0
        self.bad = 0.0
        self.at = at
        self.first: deque[float] = deque(maxlen=SAMPLES)
        self.whole: deque[float] = deque(maxlen=SAMPLES)

    def count(self, name: str, number: int = 1) -> None:
        """Count something."""
        self.counts[name] = self.counts.get(name, 0) + number

    def result(self, at: float, *, good: float = 0.0, bad: float = 0.0) -> None:
        """Add to the share."""
        if at > self.at:
            factor = 0.5 ** ((at - self.at) / HALF_LIFE_SECONDS)
            self.good, self.bad, self.at = self.good * factor, self.bad * factor, at
        else:  # of earlier
            factor = 0.5 ** ((self.at - at) / HALF_LIFE_SECONDS)
            good, bad = good * factor, bad * factor
        self.good += good
        self.bad += bad

    def add(self, other: Sums) -> None:
        """Add what another process has counted; its times are the later ones."""
        for name, number in other.counts.items():
            self.count(name, number)
        self.result(other.at, good=other.good, bad=other.bad)
        self.first.extend(other.first)
        self.whole.extend(other.whole)

    def written(self, at: float) -> dict[str, Any]:
        """Return plain data, with times that count from `at`."""
        return {
            "counts": self.counts,
            "share": [round(self.good, 3), round(self.bad, 3), round(at - self.at, 3)],
            "first": [round(one, 3) for one in list(self.first)[-WRITTEN_SAMPLES:]],
            "whole": [round(one, 3) for one in list(self.whole)[-WRITTEN_SAMPLES:]],
        }

    @classmethod
    def read(cls, value: Mapping[str, Any], at: float) -> Sums:
        """Read what `written` returned. Raises `ValueError`, `TypeError` or `KeyError`."""
        good, bad, ago = (float(one) for one in value["share"])
        made = cls(at - max(0.0, ago))
        made.counts = {str(name): int(number) for name, number in value["counts"].items()}
        made.good, made.bad = good, bad
        made.first.extend(_times(value["first"]))
        made.whole.extend(_times(value["whole"]))
        if not (isfinite(good) and isfinite(bad) and good >= 0 and bad >= 0):
            raise ValueError(good, bad)
        return made


class Vitals:
    """All that is known of one model, and what of it is not yet written for others."""

    def __init__(self) -> None:
        self.sums = Sums()
        self.unsaved: Sums | None = None
        self.run = 0
        self.pending = 0
        """How many requests are under way in this process, of which nothing is known yet."""
        self.used_at = 0.0
        self.error = ""
        self._run_at = 0.0
        self._share_before = _PRIOR_FAULTS / _PRIOR
        self._sorted: tuple[list[float] | None, list[float] | None] = (None, None)

    def admitted(self, at: float) -> None:
        """Count a request."""
        for sums in self._both(at):
            sums.count("asked")

    def withdrawn(self, at: float) -> None:
        """Take a request back that was not sent."""
        for sums in self._both(at):
            sums.count("asked", -1)

    def answered(self, at: float, first: float | None, whole: float | None) -> None:
        """Count an answer, with its times."""
        self.run = 0
        self.used_at = at
        for sums in self._both(at):
            sums.count("answered")
            sums.result(at, good=1.0)
            if first is not None:
                sums.first.append(first)
            if whole is not None:
                sums.whole.append(whole)
        self._sorted = (None, None)

    def failed(self, at: float, kind: str, error: str, *, counts: bool) -> bool:
        """Count a failure; return whether it is one too many in a row."""
        self.error = error
        if counts and (not self.run or at - self._run_at > _RUN_SECONDS):
            self.run = 0
            sums = self.sums
            self._share_before = (sums.bad + _PRIOR_FAULTS) / (sums.good + sums.bad + _PRIOR)
        for sums in self._both(at):
            sums.count(kind)
            if counts:
                sums.result(at, bad=1.0)
        if not counts:
            return False
        self.run += 1
        self._run_at = at
        return is_too_many(self.run, self.pending, self._share_before)

    def waited(self, seconds: float) -> None:
        """Note for how long nothing came: of a service that has become slow the limit grows."""
        for sums in self._both(self.used_at):
            sums.first.append(seconds)
        self._sorted = (None, self._sorted[1])

    def limit(self, *, whole: bool) -> float | None:
        """Return the seconds after which to give up, None while too little is known."""
        times = self._times(whole=whole)
        if len(times) < NEEDED_SAMPLES:
            return None
        limit = LIMIT_FACTOR * quantile(times, 0.95)
        if whole:
            return min(max(limit, SHORTEST_WHOLE_SECONDS), LONGEST_WHOLE_SECONDS)
        return min(max(limit, SHORTEST_LIMIT_SECONDS), LONGEST_LIMIT_SECONDS)

    def speed(self) -> Speed:
        """Return what to expect."""
        times = self._times(whole=False)
        bad, good = self.sums.bad, self.sums.good
        share = 1 - (bad + _PRIOR_FAULTS) / (good + bad + _PRIOR)
        return Speed(quantile(times, 0.5) if times else None, share)

    def usual(self) -> tuple[float | None, float | None]:
        """Return what half and what 95 of 100 answers have needed until the first content."""
        times = self._times(whole=False)
        return (quantile(times, 0.5), quantile(times, 0.95)) if times else (None, None)

    def load(self, sums: Sums) -> None:
        """Add what others have written."""
        own = self.sums
        self.sums = sums
        self.sums.add(own)
        self._sorted = (None, None)

    def _both(self, at: float) -> Iterable[Sums]:
        if self.unsaved is None:
            self.unsaved = Sums(at)
        return self.sums, self.unsaved

    def _times(self, *, whole: bool) -> list[float]:
        made = self._sorted[whole]
        if made is None:
            made = sorted(self.sums.whole if whole else self.sums.first)
            first, rest = self._sorted
            self._sorted = (first, made) if whole else (made, rest)
        return made


def is_too_many(faults: int, pending: int, share: float) -> bool:
    """Return whether so many faults in a row are more than chance brings, by the share so far.

    Faults show sooner than answers: where several requests are asked at a time, those that are
    `pending` may be answered, and count as the others of which the faults are a part.
    """
    if not pending or faults < _FEWEST:
        return faults >= patience(share)
    share = min(max(share, 0.001), 0.999)
    asked = faults + pending
    if faults <= asked * share:
        return False  # no more than there are on average
    # From here on the terms of the binomial sum fall. The first is made of logarithms, since with a
    # thousand pending requests the number of combinations is larger than any float.
    term = exp(
        lgamma(asked + 1)
        - lgamma(faults + 1)
        - lgamma(pending + 1)
        + faults * log(share)
        + pending * log(1 - share)
    )
    by_chance = 0.0
    for number in range(faults, asked + 1):
        by_chance += term
        if by_chance > _CHANCE:
            return False
        term *= (asked - number) / (number + 1) * share / (1 - share)
    return True


def patience(share: float) -> int:
    """Return how many faults in a row are too many for a member with that share of faults so far."""
    share = min(max(share, 0.001), 0.999)
    return min(max(ceil(log(_CHANCE) / log(share)), _FEWEST), _MOST)


def quantile(times: list[float], share: float) -> float:
    """Return the time within which that share of sorted times lies."""
    return times[min(int(share * len(times)), len(times) - 1)]


def dumped(models: Mapping[str, Sums], at: float) -> str:
    """Write the sums of models, with times that count from `at`."""
    return json.dumps({model: sums.written(at) for model, sums in models.items()}, separators=(",", ":"))


def loaded(text: str, at: float) -> dict[str, Sums]:
    """Read the sums of models; nothing of what cannot be read."""
    try:
        return {str(model): Sums.read(value, at) for model, value in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
        return {}


def merged(models: Mapping[str, Sums], more: Mapping[str, Sums]) -> dict[str, Sums]:
    """Return new sums of both."""
    made: dict[str, Sums] = {}
    for model, sums in chain(models.items(), more.items()):
        made.setdefault(model, Sums(sums.at)).add(sums)
    return made


def _times(values: Iterable[Any]) -> Iterable[float]:
    return [float(one) for one in values if isfinite(float(one)) and float(one) >= 0]
