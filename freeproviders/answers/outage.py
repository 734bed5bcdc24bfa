"""Stores that cannot be used cost no answer: each is left in peace for a while, and that is said."""

from __future__ import annotations

import time
import warnings
from typing import Final

from freeproviders.errors import AnswerStoreWarning
from freeproviders.process import PerProcess

STORE_SECONDS: Final = 2.0
"""How long an answer waits for the store; then it does without."""
_RETRY_SECONDS: Final = 60.0


class StoreOutage:
    """Whether the store at a place can be used in this process; see `outage_at`."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._retry_at = 0.0
        self._said: set[str] = set()

    @property
    def is_on(self) -> bool:
        """Whether it could not be used a short while ago."""
        return time.monotonic() < self._retry_at

    def failed(self, why: str) -> None:
        """Go on without the store for a while, and say so once; "" for one that is silent."""
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        why = why or f"The answers at {self._place} did not come within {STORE_SECONDS:g} s."
        self.say(f"{why} Answers are not kept meanwhile, and questions are asked again.")

    def say(self, why: str) -> None:
        """Warn, once for each reason."""
        if why not in self._said:
            self._said.add(why)
            warnings.warn(why, AnswerStoreWarning, stacklevel=2)


def outage_at(place: str) -> StoreOutage:
    """Return the outage state of a place, one object for each process."""
    return _outages.get().setdefault(place, StoreOutage(place))


_outages: Final = PerProcess[dict[str, StoreOutage]](dict)
