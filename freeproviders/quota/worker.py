"""The work of a ledger's thread: what has come is done, and waiting calls get their turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from math import inf

from freeproviders.errors import FreeProvidersError
from freeproviders.quota.clocks import boot_seconds
from freeproviders.quota.failover import Failover
from freeproviders.quota.interface import Grant
from freeproviders.quota.refusals import spent, too_small
from freeproviders.quota.steps import Answer, Leave, Refused, Settle, Step, Take, TooSmall
from freeproviders.quota.waiting import Call, Line, Waiting, answer, fail, services_of


class Worker:
    """The lines of waiting calls, over the stores of a ledger. Called by one thread at a time.

    Args:
        stores: where it is written.
        wake: has `work` called again soon; it is called on any thread.
    """

    def __init__(self, stores: Failover, wake: Callable[[], object]) -> None:
        self.stores = stores
        self._wake = wake
        self._lines: dict[object, Line] = {}

    @property
    def due(self) -> float:
        """When a waiting call may try or has waited for long enough (boot seconds), `inf` for never."""
        return min((line.due for line in self._lines.values()), default=inf)

    def work(self, items: Sequence[Call | Waiting], *, woken: bool) -> None:
        """Do what has come, then let waiting calls try that may have room."""
        now = boot_seconds()
        calls: list[Call] = []
        tries: list[Waiting] = []
        freed: set[str] = set()
        for item in items:
            if isinstance(item, Call):
                calls.append(item)
                freed |= item.frees
            elif item.deadline and (line := self._lines.get(item.line)) is not None:
                line.add(item)
            else:
                tries.append(item)
        for key, line in list(self._lines.items()):
            tries.extend(line.candidates(now, woken=woken or not freed.isdisjoint(line.services)))
            if not line.waiting:
                del self._lines[key]
        tries = [one for one in tries if not one.future.cancelled()]
        answers = self.stores.run([*(call.make(now) for call in calls), *self._takes(tries, now)])
        for call, made in zip(calls, answers, strict=False):
            answer(call.future, made)
        again = self._heard(tries, answers[len(calls) :], now)
        while again:
            answers = self.stores.run(self._takes(again, now))
            again = self._heard(again, answers, now)

    def _takes(self, tries: Sequence[Waiting], now: float) -> list[Take]:
        """Return the steps of calls that try; the first of each line has a place before other processes."""
        steps = []
        firsts: set[object] = set()
        for one in tries:
            line = self._lines.get(one.line)
            is_first = one.line not in firsts if line is None else line.first is one
            firsts.add(one.line)
            steps.append(Take(one.ask, one.id, waits=one.deadline > now and is_first))
        return steps

    def _heard(self, tries: Sequence[Waiting], answers: Sequence[Answer], now: float) -> list[Waiting]:
        """Hand out grants and refusals; return those whose turn it is now."""
        moved: dict[object, None] = {}
        leaving: list[Step] = []
        for one, made in zip(tries, answers, strict=True):
            one.lined = isinstance(made, Refused) and made.lined
            if isinstance(made, Refused) and one.deadline > now and now + made.early <= one.deadline:
                if one.lined and one.future.cancelled():  # it could not yet say so itself
                    leaving.append(Leave(one.id))
                if self._stays(one, made, now):
                    moved[one.line] = None
                continue
            if self._is_first(one):
                moved[one.line] = None
            self._leave(one)
            if isinstance(made, Grant):
                made.reserved_at = now
                if not answer(one.future, made):
                    made.settled = True
                    leaving.append(Settle(made, None, 0.0))
            elif isinstance(made, TooSmall):
                fail(one.future, too_small(made))
            elif isinstance(made, Refused):
                fail(one.future, spent(made))
                if one.lined:
                    leaving.append(Leave(one.id))
        self.stores.run(leaving)
        lines = [line for key in moved if (line := self._lines.get(key)) is not None]
        return [line.first for line in lines if line.first is not None]

    def _stays(self, one: Waiting, refusal: Refused, now: float) -> bool:
        """Let a refused call wait; return whether to try once more, as nothing was heard before."""
        line = self._lines.setdefault(one.line, Line(services_of(one.ask)))
        line.add(one)
        if line.first is not one:
            return False
        line.refused(refusal, now)
        return refusal.early < refusal.after and self.stores.listen(self._wake)

    def _is_first(self, one: Waiting) -> bool:
        line = self._lines.get(one.line)
        return line is not None and line.first is one

    def _leave(self, one: Waiting) -> None:
        """Take a call out of the line, and the line away when it is empty."""
        line = self._lines.get(one.line)
        if line is not None:
            line.remove(one)
            if not line.waiting:
                del self._lines[one.line]

    def fail(self, items: Iterable[Call | Waiting], error: BaseException) -> None:
        """Fail all waiting calls, and those that have just come: each with an error of its own."""
        waiting = [one for line in self._lines.values() for one in line.waiting]
        self._lines.clear()
        for item in (*items, *waiting):
            if item.future is not None:
                fail(item.future, copy(error) if isinstance(error, FreeProvidersError) else error)
