"""What is put into the queue of a ledger's thread, and the lines of calls that wait for room.

No input or output, and no locks: all but the futures belongs to that thread.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from math import inf
from secrets import token_hex
from typing import Any, Final

from freeproviders.quota.interface import Ask, Grant
from freeproviders.quota.steps import Answer, Refused, Step

_JITTER_SECONDS: Final = 0.02
"""Processes that wait for the same moment come at different times after it."""
_LOOK_SECONDS: Final = 2.0
"""How soon to look again where calls of other processes may give something back at any time, since
what they say of it may be lost."""
_BEAT_SECONDS: Final = 3.0
"""How often the first in line tries again, so that other processes keep its place."""


class Call:
    """A step to be made when its turn comes, and the future for its answer."""

    __slots__ = ("frees", "future", "make")

    def __init__(
        self,
        make: Callable[[float], Step],
        future: Future[Answer] | None,
        frees: AbstractSet[str] = frozenset(),
    ) -> None:
        self.make = make
        self.future = future
        self.frees = frees


class Waiting:
    """A request for which room is wanted, until a deadline; 0 for now or never."""

    __slots__ = ("ask", "deadline", "future", "id", "line", "lined")

    def __init__(self, ask: Ask, deadline: float) -> None:
        self.ask = ask
        self.deadline = deadline
        self.future: Future[Grant] = Future()
        self.id = token_hex(8)
        self.lined = False
        self.line = (
            ask.account,
            ask.keep,
            tuple((claim.rule.service, claim.rule.pool) for claim in ask.claims),
        )


class Line:
    """Calls that wait for the same pools, in the order in which they came."""

    def __init__(self, services: AbstractSet[str]) -> None:
        self.services = services
        self.waiting: dict[Waiting, None] = {}
        self._at = 0.0
        self._first_deadline = inf

    @property
    def due(self) -> float:
        """When a call of the line may try, or has waited for long enough."""
        return min(self._at, self._first_deadline)

    @property
    def first(self) -> Waiting | None:
        """Whose turn it is."""
        return next(iter(self.waiting), None)

    def add(self, one: Waiting) -> None:
        """Put a call at the end; one that is in the line keeps its place."""
        self.waiting.setdefault(one)
        self._first_deadline = min(self._first_deadline, one.deadline)

    def remove(self, one: Waiting) -> None:
        """Remove a call, and those that were cancelled."""
        self.waiting.pop(one, None)
        if any(other.future.cancelled() for other in self.waiting):
            self.waiting = {other: None for other in self.waiting if not other.future.cancelled()}
        self._first_deadline = min((other.deadline for other in self.waiting), default=inf)

    def refused(self, refusal: Refused, now: float) -> None:
        """Set when the first of the line will try again."""
        jitter = random.random() * _JITTER_SECONDS  # noqa: S311 - not a secret
        if refusal.early >= refusal.after:
            wait = refusal.after
        else:
            wait = max(refusal.early, min(refusal.after, _LOOK_SECONDS))
        if refusal.lined:
            wait = min(wait, _BEAT_SECONDS)
        self._at = now + wait + jitter

    def candidates(self, now: float, *, woken: bool) -> list[Waiting]:
        """Return which calls may try: the first when there may be room, and those that can wait no longer."""
        may = self._at <= now or woken
        if not may and now < self._first_deadline:
            return []
        for one in list(self.waiting):
            if one.future.cancelled():
                self.remove(one)
        found = [one for one in self.waiting if one.deadline <= now]
        if may and (first := self.first) is not None and first not in found:
            found.insert(0, first)
        return found


def services_of(ask: Ask) -> frozenset[str]:
    """Return whose limits an ask is about."""
    return frozenset(claim.rule.service for claim in ask.claims)


def answer(future: Future[Any] | None, value: object) -> bool:
    """Hand over an answer; return whether the caller still wanted it."""
    if future is None:
        return True
    try:
        future.set_result(value)
    except InvalidStateError:  # cancelled
        return False
    return True


def fail(future: Future[Any], error: BaseException) -> None:
    """Hand over an error, if the caller still waits."""
    with suppress(InvalidStateError):
        future.set_exception(error)
