"""What few questions can tell: shares with their intervals, and differences that may be chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt
from typing import Final

_Z: Final = 1.959964
"""The normal quantile of a two-sided interval of 95 %."""
SIGNIFICANT: Final = 0.05
"""A difference that chance alone would bring less often than this can be told."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many; `str` of it has the interval in which the true share lies."""

    count: int
    of: int

    @property
    def part(self) -> float:
        """The share itself, 0 to 1; of nothing it is 0."""
        return self.count / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval of 95 %, 0 to 1: where the share of very many questions would lie.

        Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
        1927.
        """
        if not self.of:
            return 0.0, 1.0
        square = _Z * _Z
        middle = self.count + square / 2
        reach = _Z * sqrt(self.count * (self.of - self.count) / self.of + square / 4)
        low, high = (middle - reach) / (self.of + square), (middle + reach) / (self.of + square)
        # At the borders the sums are not exact.
        return (0.0 if not self.count else low, 1.0 if self.count == self.of else high)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.count} of {self.of} ({low:.0%} to {high:.0%})" if self.of else ""


def chance(only_first: int, only_second: int) -> float:
    """Return how often chance alone would bring a difference so large: McNemar's exact test.

    Only questions count that one of two was right on and the other was not. Source: Q. McNemar,
    "Note on the sampling error of the difference between correlated proportions or percentages",
    1947.
    """
    number = only_first + only_second
    tail: int = sum(comb(number, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, float(2 * tail / 2**number))


def told_apart(chances: Sequence[float]) -> list[bool]:
    """Return which of several differences can be told at once, by Holm's step-down rule.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    told = [False] * len(chances)
    order = sorted(range(len(chances)), key=chances.__getitem__)
    for rank, place in enumerate(order):
        if chances[place] > SIGNIFICANT / (len(chances) - rank):
            break
        told[place] = True
    return told
