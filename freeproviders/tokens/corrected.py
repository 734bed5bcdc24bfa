"""Upper estimates corrected by what services have counted."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from math import ceil, sqrt
from typing import Final

from freeproviders.tokens.upper import Estimate, upper_estimate

_SHARE: Final = 0.15
"""Texts are alike where the same scripts make up at least so much of each."""
_BESIDE: Final = 0.1
"""A count tells about a text where what is added to the text is at most so much of it."""
_WEIGHT: Final = 0.1
"""What the newest count weighs in the average of all."""


@dataclass(slots=True)
class _Ratio:
    """Counted tokens as a part of estimated ones, for texts in the same scripts."""

    count: int = 0
    mean: float = 0.0
    variance: float = 0.0
    peak: float = 0.0

    def add(self, ratio: float) -> None:
        self.count += 1
        weight = max(_WEIGHT, 1 / self.count)
        difference = ratio - self.mean
        self.mean += weight * difference
        self.variance = (1 - weight) * (self.variance + weight * difference * difference)
        self.peak = max(self.peak, ratio)

    @property
    def upper(self) -> float:
        """The ratio that hardly a text exceeds: never below the peak, near 1 while little is known."""
        guess = self.mean + 3 * sqrt(self.variance) + 1 / (self.count + 1)
        return max(self.peak, min(1.0, guess))


@dataclass(slots=True)
class _Model:
    ratios: dict[tuple[str, ...], _Ratio] = field(default_factory=dict)
    boost: float = 1.0


class Estimator:
    """Upper estimates for each model, corrected by the tokens that its service counted.

    A count says how high the estimates of texts in the same scripts are for this model: after some
    counts they come down to just above what was seen, and never below the highest of those. A count
    above a corrected estimate raises all estimates of the model. Threads may share an estimator.
    """

    def __init__(self) -> None:
        self._models: dict[str, _Model] = {}
        self._lock = threading.Lock()

    def upper(self, model: str, text: str) -> Estimate:
        """Estimate the most tokens that a text may have at a model; `observe` takes the answer."""
        return self.corrected(model, upper_estimate(text, model))

    def corrected(self, model: str, estimate: Estimate) -> Estimate:
        """Correct an estimate, also one of `upper_input_estimate`."""
        with self._lock:
            known = self._models.get(model)
            if known is None:
                return estimate
            return replace(estimate, tokens=ceil(self._tokens(known, estimate)))

    def observe(self, model: str, estimate: Estimate, true: int) -> None:
        """Take the tokens that a service counted where there was this estimate, corrected or not."""
        if not estimate.groups or true <= 0:
            return
        with self._lock:
            known = self._models.setdefault(model, _Model())
            plain = sum(estimate.groups.values())
            if estimate.beside <= _BESIDE * plain:
                known.ratios.setdefault(_scripts(estimate), _Ratio()).add(true / plain)
            if (tokens := self._tokens(known, estimate)) < true:
                known.boost *= true / tokens

    def _tokens(self, known: _Model, estimate: Estimate) -> float:
        plain = sum(estimate.groups.values())
        if estimate.beside > _BESIDE * plain:
            text = plain  # counts of longer texts say nothing about such short ones
        elif (ratio := known.ratios.get(_scripts(estimate))) is not None:
            text = plain * ratio.upper
        else:
            text = sum([cost * self._ratio(known, script) for script, cost in estimate.groups.items()])
        return known.boost * (estimate.beside + text)

    @staticmethod
    def _ratio(known: _Model, script: str) -> float:
        ratio = known.ratios.get((script,))
        return ratio.upper if ratio is not None else 1.0


def _scripts(estimate: Estimate) -> tuple[str, ...]:
    """The scripts that make up much of a text: texts with the same ones are alike."""
    least = _SHARE * sum(estimate.groups.values())
    return tuple(sorted([script for script, cost in estimate.groups.items() if cost >= least]))
