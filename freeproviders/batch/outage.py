"""When no answers come: what is at fault, when to try again, and when to give up."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Final

from freeproviders.batch.judging import Kind, seconds_until
from freeproviders.batch.reading import Item
from freeproviders.errors import FreeProvidersError
from freeproviders.naming import joined
from freeproviders.retry import Retry

MOST_TRIES: Final = 3
"""So many failures of a row, while others were answered, poison it."""
SHORT_SECONDS: Final = 120.0
"""How long limits and cool-downs are waited for without `wait`: a minute's limit is back by then."""
_ROWS_THAT_TELL: Final = 3
"""So many rows that fail one after another are not at fault themselves."""
_NAMED_SECONDS: Final = 600.0
"""How long a run without `wait` goes on with no answer while limits name times."""
_LONGER: Final = 30
"""How many times as long an outage is waited for with `wait`."""
_AFTER: Final = 0.05
"""Seconds after a time that a limit names, so that no request comes too early by a clock's difference."""


@dataclass(frozen=True, slots=True)
class End:
    """Why a run ends early, and when (UTC) it is worth starting again.

    `unanswered` says that the rows that are left were asked for as long as an outage is waited for,
    `waiting_helps` whether the same start may go further at another time.
    """

    why: str
    soonest: datetime | None = None
    unanswered: bool = False
    waiting_helps: bool = True


class Outage:
    """What the failures since the last answer say of all services together.

    Args:
        retry: the backend's rule: its waits are those of an outage too, and its budget is how long
            one may last.
        wait: whether limits are waited for, however long they are.
        clock: the loop's clock.
    """

    def __init__(self, retry: Retry, clock: Callable[[], float], *, wait: bool) -> None:
        self._retry = retry
        self._wait = wait
        self._clock = clock
        self._failed: set[int] = set()
        self._shut_out: set[int] = set()
        """Those of them for which no service takes questions, and waiting would not help."""
        self._since = inf
        self._rounds = 0
        self._not_before = 0.0
        self.answers = 0
        """Rows that were answered, or refused by a service that has read them."""

    @property
    def is_on(self) -> bool:
        """Whether no service seems to answer, so that one row at a time finds out."""
        return len(self._failed) >= _ROWS_THAT_TELL

    def answered(self) -> None:
        """Note that an answer has come."""
        self.answers += 1
        if self._failed:
            self._failed.clear()
            self._shut_out.clear()
            self._since, self._rounds, self._not_before = inf, 0, 0.0

    def failed(self, item: Item, error: FreeProvidersError, kind: Kind) -> bool:
        """Note a failure of a row, and when the row is due again; return whether it counts against it."""
        now = self._clock()
        item.fails += 1
        item.error = error
        counts = kind == "output" or (kind in {"fault", "out"} and self.answers > item.mark)
        item.mark = self.answers
        if counts:
            item.tries += 1
        if kind == "output":  # an answer has come
            self.answered()
        else:
            self._since = min(self._since, now)
            self._failed.add(item.index)
            (self._shut_out.add if kind == "out" else self._shut_out.discard)(item.index)
        named = seconds_until(error) if kind == "limit" else None
        item.named = named is not None
        if named is not None:
            item.due = now + named + _AFTER
            return counts
        if self.is_on and now >= self._not_before:  # those that were in flight are of one round
            self._rounds += 1
            self._not_before = now + self._backoff(self._rounds)
        item.due = now + self._backoff(item.fails)
        return counts

    def next_at(self, item: Item) -> float:
        """Return the loop's time at which a row that is first in line is asked again."""
        return item.due if item.named else max(item.due, self._not_before)

    def end(self, item: Item, *, until: float) -> End | None:
        """Return why to give up instead of waiting for a row that is first in line, None to wait."""
        said = "" if item.error is None else item.error.wording
        if self._failed and self._failed == self._shut_out:
            why = joined("Questions are not accepted, and waiting would not help.", said)
            return End(why, waiting_helps=False)
        now, at = self._clock(), self.next_at(item)
        delay = at - now
        soonest = datetime.now(UTC) + timedelta(seconds=delay) if item.named else None
        if at > until:
            return End(joined("The time is over before the next question can be asked.", said), soonest)
        if item.named:
            if not self._wait and (delay > SHORT_SECONDS or at - self._since > _NAMED_SECONDS):
                return End(joined("No question may be asked now.", said), soonest)
            return None
        patience = self._retry.budget * (_LONGER if self._wait else 1)
        if at - self._since > patience:
            why = joined(f"No answer has come for {now - self._since:.0f} s.", said)
            return End(why, unanswered=True)
        return None

    def _backoff(self, failed: int) -> float:
        rule = self._retry
        delay = min(rule.first * rule.factor ** min(failed - 1, 32), rule.longest)
        return delay * (1 - rule.jitter * random.random())  # noqa: S311 - spreading load, not a secret
