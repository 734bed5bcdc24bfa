"""A ledger at work: one thread for each process, on which a store is read and written.

Reservations, settlements and questions go into a queue. The thread does all that has come meanwhile
in one transaction, so that many threads and event loops cost the store no more than one. Requests
that wait stand in lines and are tried when there may be room: at the moment that the store has
named, and when a call gives something back, of this process or of another that then says so.

Here is what callers do, on any thread, and the life of the thread; `worker` is what it does.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from math import inf, isfinite
from typing import Any, Final
from weakref import WeakSet

from freeproviders.catalogue.rows import seconds_of
from freeproviders.display import Rows
from freeproviders.errors import LedgerError, LedgerWarning, UsageError
from freeproviders.naming import argument
from freeproviders.process import PerProcess
from freeproviders.quota.clocks import boot_seconds
from freeproviders.quota.failover import Failover
from freeproviders.quota.interface import Ask, Grant, Note, NoteName, Source, Standing
from freeproviders.quota.refusals import moment, too_small
from freeproviders.quota.steps import (
    LATENESS,
    Adopt,
    Announced,
    Answer,
    Forget,
    Leave,
    Look,
    ReadNotes,
    Received,
    Refused,
    Renew,
    Sent,
    Settle,
    Standings,
    Step,
    Store,
    TooSmall,
    WriteNote,
)
from freeproviders.quota.waiting import Call, Waiting, fail, services_of
from freeproviders.quota.worker import Worker
from freeproviders.wire.limits import Allowance, Metric

_LONGEST_WAIT_SECONDS: Final = 60.0
_WAKE: Final = "wake"
_FLUSH_SECONDS: Final = 5.0


class SharedLedger:
    """A ledger over a store; see `freeproviders.quota.interface.Ledger`.

    Args:
        make: opens the store, on the ledger's own thread.
        spare: makes the store to go on with when one cannot be used, given that one; a
            `LedgerWarning` says once what is lost. Where it returns None, there is a `LedgerError`.
    """

    def __init__(self, make: Callable[[], Store], spare: Callable[[Store], Store | None]) -> None:
        self._make = make
        self._spare = spare
        self.forget()

    def forget(self) -> None:
        """Begin without a thread and a store, as at first and in a forked child."""
        _ledgers.get().add(self)
        self._lock = threading.Lock()
        self._store_lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._queue: queue.SimpleQueue[Call | Waiting | str | None] = queue.SimpleQueue()
        stores = Failover(self._make, self._spare)
        self._worker = Worker(stores, partial(self._queue.put, _WAKE))

    def __deepcopy__(self, memo: object) -> SharedLedger:
        return self  # what is shared by processes is shared by copies

    # --- for callers ------------------------------------------------------------------------------

    async def reserve(self, ask: Ask, *, wait_up_to: float = 0.0) -> Grant:
        """Reserve room for one HTTP request; wait for it if need be."""
        waiting = self._reserve(ask, wait_up_to)
        try:
            grant = await asyncio.wrap_future(waiting.future)
            self.say()
        except BaseException:
            self._give_back(waiting)
            raise
        return grant

    def reserve_sync(self, ask: Ask, *, wait_up_to: float = 0.0) -> Grant:
        """Reserve room on a thread that may block."""
        waiting = self._reserve(ask, wait_up_to)
        try:
            grant = waiting.future.result()
            self.say()
        except BaseException:
            self._give_back(waiting)
            raise
        return grant

    def sent(self, grant: Grant) -> None:
        """Note that the request was written just now."""
        now = boot_seconds()
        grant.sent_at = now
        if now - grant.reserved_at > grant.ask.transit * LATENESS:
            self._post(lambda at: Sent(grant, at - now))

    def received(self, grant: Grant) -> None:
        """Note that the head of the answer has just come."""
        now = boot_seconds()
        self._post(lambda at: Received(grant, at - now))

    def renew(self, grant: Grant) -> None:
        """Begin the lease anew."""
        self._post(lambda _: Renew(grant))

    def settle(self, grant: Grant, spent: Mapping[Metric, float] | None = None, *, sent: bool = True) -> None:
        """End a grant with what the request has taken."""
        self._settle(grant, spent, None, sent=sent)

    async def settled(
        self, grant: Grant, spent: Mapping[Metric, float] | None = None, *, within: float
    ) -> Sequence[Standing]:
        """Settle, and return the state that the pools have then."""
        told: Future[Answer] = Future()
        if not self._settle(grant, spent, told):
            return ()
        try:
            answer = await asyncio.wait_for(asyncio.wrap_future(told), within)
        except Exception:  # noqa: BLE001 - the answer that was asked for must not be lost for it
            return ()
        return answer if isinstance(answer, list) else ()

    def _settle(
        self,
        grant: Grant,
        spent: Mapping[Metric, float] | None,
        told: Future[Answer] | None,
        *,
        sent: bool = True,
    ) -> bool:
        """Settle what is not settled yet; return whether it was not."""
        now = boot_seconds()
        if grant.settled:
            return False
        grant.settled = True
        grant.spent = taken = _amounts(spent or {}) if sent else None
        tell = told is not None
        self._post(lambda at: Settle(grant, taken, at - now, tell), services_of(grant.ask), told)
        return True

    def adopt(self, grant: Grant, allowances: Iterable[Allowance], *, source: Source = "header") -> None:
        """Take over what the service announced with the answer to a request."""
        now = boot_seconds()
        wall = datetime.now(UTC)
        said = tuple(
            Announced(
                one.metric,
                one.per,
                _sensible(one.cap),
                _sensible(one.remaining),
                None if one.reset_at is None else max(0.0, (one.reset_at - wall).total_seconds()),
                one.resolution,
            )
            for one in allowances
        )
        if said:
            sent_at = grant.reserved_at if grant.sent_at is None else grant.sent_at
            self._post(lambda at: Adopt(grant, said, source, at - sent_at, at - now), services_of(grant.ask))

    async def soonest(self, ask: Ask) -> datetime | None:
        """Return when the request would fit if nothing were sent until then."""
        _check(ask)
        refusal = await asyncio.wrap_future(self._put(Call(lambda _: Look(ask), Future())))
        if isinstance(refusal, TooSmall):
            raise too_small(refusal)
        return moment(refusal.after) if isinstance(refusal, Refused) else None

    async def standings(self, service: str = "") -> list[Standing]:
        """Return the state of all pools, or those of one service."""
        answer = await asyncio.wrap_future(self._put(Call(lambda _: Standings(service), Future())))
        return Rows(answer if isinstance(answer, list) else [])

    async def reset(self, service: str, *, pool: str = "") -> int:
        """Forget what was counted and learned of a service, or of one of its pools."""
        call = Call(lambda _: Forget(service, pool), Future(), {service})
        answer = await asyncio.wrap_future(self._put(call))
        return answer if isinstance(answer, int) else 0

    def notes(self, names: Sequence[NoteName]) -> Future[tuple[Note | None, ...]]:
        """Read notes, all of one moment."""
        step = ReadNotes(tuple(names))
        future: Future[Any] = Future()
        self._post(lambda _: step, told=future)
        return future

    def note(
        self, name: NoteName, text: str, *, version: str, over: str = "", keep: float, ago: float = 0.0
    ) -> Future[Note | None]:
        """Write a note if the present one is still the one that the writer has read."""
        now = boot_seconds()
        future: Future[Any] = Future()
        self._post(lambda at: WriteNote(name, text, version, over, keep, ago + at - now), told=future)
        return future

    def say(self) -> None:
        """Warn, in the caller's context, of what has been lost."""
        unsaid = self._worker.stores.unsaid
        while unsaid:
            text = unsaid.pop()
            if text not in _warned.get():
                _warned.get().add(text)
                warnings.warn(text, LedgerWarning, stacklevel=3)

    def close(self) -> None:
        """Write what was settled, and end the thread; the next call starts another."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._queue.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join(_FLUSH_SECONDS)

    # --- forks ------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Keep the thread from the store, and close it."""
        self._lock.acquire()
        self._store_lock.acquire()
        self._worker.stores.close()

    def let_go(self) -> None:
        """Let the thread go on."""
        self._store_lock.release()
        self._lock.release()

    # --- putting into the queue -------------------------------------------------------------------

    def _reserve(self, ask: Ask, wait_up_to: float) -> Waiting:
        _check(ask)
        if not wait_up_to >= 0:
            raise UsageError(
                f"{argument('wait_up_to')} must be a number of seconds, 0 or more, not {wait_up_to!r}."
            )
        waiting = Waiting(ask, boot_seconds() + wait_up_to if wait_up_to else 0.0)
        self._put(waiting)
        return waiting

    def _post(
        self,
        make: Callable[[float], Step],
        frees: AbstractSet[str] = frozenset(),
        told: Future[Answer] | None = None,
    ) -> None:
        try:
            self._put(Call(make, told, frees))
        except LedgerError as error:  # at the end of the interpreter: it counts in full
            if told is not None:
                fail(told, error)

    def _put(self, item: Call | Waiting) -> Any:
        # No lock for what every request does: a thread that is told to end takes with it what was put
        # before, and what is put later finds none and starts another.
        self._queue.put(item)
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                self._start()
        return item.future

    def _start(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        thread = threading.Thread(target=self._serve, name="freeproviders-quota", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # from CPython 3.12 on, there are no new threads at exit
            raise LedgerError("The interpreter is ending: nothing is reserved any more.") from error
        self._thread = thread

    def _give_back(self, waiting: Waiting) -> None:
        """Settle a grant that will not be used, now or when it comes, and leave the line."""
        future = waiting.future
        if future.cancel() or future.cancelled():
            if waiting.deadline:  # calls behind it may have room, here and in other processes
                self._post(lambda _: Leave(waiting.id), services_of(waiting.ask))
            return

        def settle(done: Future[Grant]) -> None:
            if not done.cancelled() and done.exception() is None:
                self.settle(done.result(), sent=False)

        future.add_done_callback(settle)

    # --- the thread -------------------------------------------------------------------------------

    def _serve(self) -> None:
        taking, worker = self._queue, self._worker
        while True:
            items: list[Call | Waiting | str | None] = []
            with self._store_lock:
                due = worker.due
            with suppress(queue.Empty):
                # A wait does not go on while the machine sleeps, and `due` does not wait for it.
                wait = None if due == inf else min(max(0.0, due - boot_seconds()), _LONGEST_WAIT_SECONDS)
                items.append(taking.get(timeout=wait))
                while True:
                    items.append(taking.get_nowait())
            came = [item for item in items if isinstance(item, Call | Waiting)]
            with self._store_lock:
                try:
                    worker.work(came, woken=_WAKE in items)
                except BaseException as error:  # noqa: BLE001 - the waiting callers get it
                    worker.fail(came, error)
                if None in items:
                    worker.fail([], LedgerError("The ledger was closed while the request waited for room."))
                    worker.stores.close()
                    return


# --- helpers --------------------------------------------------------------------------------------


def _check(ask: Ask) -> None:
    """Find the caller's mistakes before anything is written."""
    pools = set()
    for claim in ask.claims:
        if not (isfinite(claim.amount) and claim.amount >= 0):
            raise UsageError(f"A claim's amount must be a number, 0 or more, not {claim.amount!r}.")
        rule = claim.rule
        try:
            seconds_of(rule.per or "second")
        except ValueError as error:
            raise UsageError(f"A rule's period cannot be read: {error}") from error
        pools.add((rule.service, rule.pool, rule.metric, rule.per, rule.by, rule.cap == inf))
    if len(pools) != len(ask.claims):
        raise UsageError("Two claims of a request are on the same pool: add them up.")


def _amounts(spent: Mapping[Metric, float]) -> dict[Metric, float]:
    """Return what can be counted; what is no number counts as reserved."""
    return {metric: float(amount) for metric, amount in spent.items() if isfinite(amount)}


def _sensible(number: float | None) -> float | None:
    return None if number is None or not isfinite(number) else number


# --- the process ----------------------------------------------------------------------------------


def _close_all(ledgers: WeakSet[SharedLedger]) -> None:
    for ledger in list(ledgers):
        ledger.close()


_ledgers: Final = PerProcess[WeakSet[SharedLedger]](WeakSet, at_exit=_close_all)
_warned: Final = PerProcess[set[str]](set)
_held: Final[list[SharedLedger]] = []


def _before_fork() -> None:
    """Close the files: a child must not inherit connections, with which it would share locks."""
    for ledger in list(_ledgers.get()):
        ledger.hold()
        _held.append(ledger)


def _in_parent() -> None:
    while _held:
        _held.pop().let_go()


def _in_child() -> None:
    while _held:
        _held.pop().forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
