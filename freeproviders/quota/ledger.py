"""A ledger at work: one thread for each process, on which a store is read and written.

Whoever reserves, settles or asks puts it into a queue. The thread does all that has come meanwhile
in one transaction, so that many threads and event loops cost the store no more than one. Requests
that wait stand in lines and are tried when there may be room: at the moment that the store has
named, and when a call gives something back, of this process or of another that then says so.
"""

from __future__ import annotations

import asyncio
import os
import queue
import random
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from math import inf, isfinite
from secrets import token_hex
from typing import Any, Final, TypeVar
from weakref import WeakSet

from freeproviders import journal
from freeproviders.catalogue.rows import seconds_of
from freeproviders.display import Rows
from freeproviders.errors import LedgerError, LedgerWarning, QuotaSpentError, QuotaTooSmallError, UsageError
from freeproviders.naming import argument
from freeproviders.process import PerProcess
from freeproviders.quota.clocks import boot_seconds
from freeproviders.quota.interface import Ask, Grant, Note, NoteName, Rule, Source, Standing
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
    StoreError,
    Take,
    TooSmall,
    WriteNote,
)
from freeproviders.wire.limits import Allowance, Metric

T = TypeVar("T")

_JITTER_SECONDS: Final = 0.02
"""Processes that wait for the same moment come at different times after it."""
_LOOK_SECONDS: Final = 2.0
"""How soon to look again where calls of other processes may give something back at any time, since
what they say of it may be lost."""
_BEAT_SECONDS: Final = 3.0
"""How often who is first tries again, so that other processes keep its place in the line."""
_LONGEST_WAIT_SECONDS: Final = 60.0
_WAKE: Final = "wake"
_FLUSH_SECONDS: Final = 5.0
_MEANWHILE: Final = 10_000
"""Of so many grants a lost store is told when it is back."""


class SharedLedger:
    """A ledger over a store; see `freeproviders.quota.interface.Ledger`.

    Args:
        make: opens the store, on the ledger's own thread.
        spare: makes the store to go on with when one cannot be used, given that one; a
            `LedgerWarning` says once what is lost. Where it returns None, there is a `LedgerError`.
    """

    retry_seconds = 60.0
    """How soon to try again a store that could not be used."""

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
        self._queue: queue.SimpleQueue[_Call | _Waiting | str | None] = queue.SimpleQueue()
        self._store: Store | None = None
        self._lines: dict[object, _Line] = {}
        self._unsaid: list[str] = []
        self._lost: Store | None = None
        self._retry_at = 0.0
        self._meanwhile: deque[Grant] = deque(maxlen=_MEANWHILE)

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
        self._post(lambda at: Settle(grant, taken, at - now, tell), _services(grant.ask), told)
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
            self._post(lambda at: Adopt(grant, said, source, at - sent_at, at - now), _services(grant.ask))

    async def soonest(self, ask: Ask) -> datetime | None:
        """Return when the request would fit if nobody asked until then."""
        _check(ask)
        refusal = await asyncio.wrap_future(self._put(_Call(lambda _: Look(ask), Future())))
        if isinstance(refusal, TooSmall):
            raise _too_small(refusal)
        return _moment(refusal.after) if isinstance(refusal, Refused) else None

    async def standings(self, service: str = "") -> list[Standing]:
        """Return the state of all pools, or those of one service."""
        answer = await asyncio.wrap_future(self._put(_Call(lambda _: Standings(service), Future())))
        return Rows(answer if isinstance(answer, list) else [])

    async def reset(self, service: str, *, pool: str = "") -> int:
        """Forget what was counted and learned of a service, or of one of its pools."""
        call = _Call(lambda _: Forget(service, pool), Future(), {service})
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
        while self._unsaid:
            text = self._unsaid.pop()
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
        if self._store is not None:
            self._store.close()

    def let_go(self) -> None:
        """Let the thread go on."""
        self._store_lock.release()
        self._lock.release()

    # --- putting into the queue -------------------------------------------------------------------

    def _reserve(self, ask: Ask, wait_up_to: float) -> _Waiting:
        _check(ask)
        if not wait_up_to >= 0:
            raise UsageError(
                f"{argument('wait_up_to')} must be a number of seconds, 0 or more, not {wait_up_to!r}."
            )
        waiting = _Waiting(ask, boot_seconds() + wait_up_to if wait_up_to else 0.0)
        self._put(waiting)
        return waiting

    def _post(
        self,
        make: Callable[[float], Step],
        frees: AbstractSet[str] = frozenset(),
        told: Future[Answer] | None = None,
    ) -> None:
        try:
            self._put(_Call(make, told, frees))
        except LedgerError as error:  # at the end of the interpreter: it counts in full
            if told is not None:
                _fail(told, error)

    def _put(self, item: _Call | _Waiting) -> Any:
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

    def _give_back(self, waiting: _Waiting) -> None:
        """Settle a grant that nobody will use, now or when it comes, and leave the line."""
        future = waiting.future
        if future.cancel() or future.cancelled():
            if waiting.lined:
                self._post(lambda _: Leave(waiting.id))
            return

        def settle(done: Future[Grant]) -> None:
            if not done.cancelled() and done.exception() is None:
                self.settle(done.result(), sent=False)

        future.add_done_callback(settle)

    # --- the thread -------------------------------------------------------------------------------

    def _serve(self) -> None:
        taking = self._queue
        while True:
            items: list[_Call | _Waiting | str | None] = []
            due = min((line.due for line in self._lines.values()), default=inf)
            with suppress(queue.Empty):
                # A wait does not go on while the machine sleeps, and `due` does not wait for it.
                wait = None if due == inf else min(max(0.0, due - boot_seconds()), _LONGEST_WAIT_SECONDS)
                items.append(taking.get(timeout=wait))
                while True:
                    items.append(taking.get_nowait())
            ending = None in items
            try:
                with self._store_lock:
                    self._work(
                        [item for item in items if isinstance(item, _Call | _Waiting)], woken=_WAKE in items
                    )
            except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it
                self._fail((item for item in items if isinstance(item, _Call | _Waiting)), error)
            if ending:
                with self._store_lock:
                    self._fail([], LedgerError("The ledger was closed while the request waited for room."))
                    if self._store is not None:
                        self._store.close()
                return

    def _work(self, items: Sequence[_Call | _Waiting], *, woken: bool) -> None:
        """Do what has come, then let those try who wait and may have room."""
        now = boot_seconds()
        calls: list[_Call] = []
        tries: list[_Waiting] = []
        freed: set[str] = set()
        for item in items:
            if isinstance(item, _Call):
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
        answers = self._run([*(call.make(now) for call in calls), *self._takes(tries, now)])
        for call, answer in zip(calls, answers, strict=False):
            _answer(call.future, answer)
        again = self._heard(tries, answers[len(calls) :], now)
        while again:
            answers = self._run(self._takes(again, now))
            again = self._heard(again, answers, now)

    def _takes(self, tries: Sequence[_Waiting], now: float) -> list[Take]:
        """Return the steps of those who try; the first of each line has a place before other processes."""
        steps = []
        firsts: set[object] = set()
        for one in tries:
            line = self._lines.get(one.line)
            is_first = one.line not in firsts if line is None else line.first is one
            firsts.add(one.line)
            steps.append(Take(one.ask, one.id, waits=one.deadline > now and is_first))
        return steps

    def _heard(self, tries: Sequence[_Waiting], answers: Sequence[Answer], now: float) -> list[_Waiting]:
        """Hand out grants and refusals; return those whose turn it is now."""
        nexts: dict[object, _Waiting] = {}
        leaving: list[Step] = []
        for one, answer in zip(tries, answers, strict=True):
            line = self._lines.get(one.line)
            one.lined = isinstance(answer, Refused) and answer.lined
            if one.lined and one.future.cancelled():  # it could not yet say so itself
                leaving.append(Leave(one.id))
            if isinstance(answer, Refused):
                if not one.deadline or one.deadline <= now or (now + answer.early > one.deadline):
                    self._leave(one)
                    _fail(one.future, _spent(answer))
                    if one.lined:
                        leaving.append(Leave(one.id))
                    continue
                if line is None:
                    line = self._lines[one.line] = _Line(_services(one.ask))
                line.add(one)
                if line.first is one:
                    line.refused(answer, now)
                    if answer.early < answer.after and self._listens():
                        nexts[one.line] = one
                continue
            self._leave(one)
            if isinstance(answer, Grant):
                answer.reserved_at = now
                if not _answer(one.future, answer):
                    answer.settled = True
                    self._run([Settle(answer, None, 0.0)])
            elif isinstance(answer, TooSmall):
                _fail(one.future, _too_small(answer))
            if line is not None and line.first is not None:
                nexts[one.line] = line.first
        self._run(leaving)
        return list(nexts.values())

    def _listens(self) -> bool:
        """Whether it begins only now to hear what other processes give back."""
        return self._store is not None and self._store.listen(partial(self._queue.put, _WAKE))

    def _leave(self, one: _Waiting) -> None:
        """Take somebody out of the line, and the line away when it is empty."""
        line = self._lines.get(one.line)
        if line is not None:
            line.remove(one)
            if not line.waiting:
                del self._lines[one.line]

    def _run(self, steps: Sequence[Step]) -> list[Answer]:
        """Have the store do the steps; where it cannot, go on with the spare one and say so."""
        if not steps:
            return []
        if self._store is None:
            self._store = self._make()
        if self._lost is not None and boot_seconds() >= self._retry_at:
            self._return()
        while True:
            store = self._store
            # What another store has granted is settled there or not at all, and then counts in full.
            own = [step for step in steps if not _is_elsewhere(step, store)]
            try:
                answers = iter(store.run(own))
            except StoreError as error:
                self._go_on_without(store, error)
            else:
                return [None if _is_elsewhere(step, store) else self._noted(next(answers)) for step in steps]

    def _noted(self, answer: Answer) -> Answer:
        """Note which store has made a grant, and what the lost one has to know when it is back."""
        if isinstance(answer, Grant):
            answer.store = self._store
            if self._lost is not None:
                self._meanwhile.append(answer)
        return answer

    def _go_on_without(self, store: Store, error: StoreError) -> None:
        spare = self._spare(store)
        if spare is None:
            raise LedgerError(f"{error} Requests are not sent without knowing what is left.") from error
        self._lost = self._lost or store
        self._retry_at = boot_seconds() + self.retry_seconds
        self._store = spare
        journal.quota.info("The ledger cannot be used; limits are counted for %s", spare.shared)
        self._unsaid.append(f"{error} Limits are now counted for {spare.shared}.")

    def _return(self) -> None:
        """Go back to the lost store, if it can be used again, and charge it what was granted meanwhile."""
        store, grants = self._lost, list(self._meanwhile)
        if store is None:
            return
        try:
            charged = store.run([Take(grant.ask, grant.id, force=True) for grant in grants])
        except StoreError:
            self._retry_at = boot_seconds() + self.retry_seconds
            return
        for grant, made in zip(grants, charged, strict=True):
            if isinstance(made, Grant):
                grant.places, grant.store = made.places, store
        self._store, self._lost = store, None
        self._meanwhile.clear()
        self._run([Settle(grant, grant.spent, 0.0) for grant in grants if grant.settled])

    def _fail(self, items: Iterable[_Call | _Waiting], error: BaseException) -> None:
        """Tell everybody who waits."""
        waiting = [one for line in self._lines.values() for one in line.waiting]
        self._lines.clear()
        for item in (*items, *waiting):
            if item.future is not None:
                _fail(item.future, error)


class _Call:
    """A step to be made when it is done, and who waits for its answer."""

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


class _Waiting:
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


class _Line:
    """Those who wait for the same pools, in the order in which they came."""

    def __init__(self, services: AbstractSet[str]) -> None:
        self.services = services
        self.waiting: dict[_Waiting, None] = {}
        self._at = 0.0
        self._first_deadline = inf

    @property
    def due(self) -> float:
        """When somebody of the line may try, or has waited for long enough."""
        return min(self._at, self._first_deadline)

    @property
    def first(self) -> _Waiting | None:
        """Whose turn it is."""
        return next(iter(self.waiting), None)

    def add(self, one: _Waiting) -> None:
        """Let somebody stand at the end; who is in the line keeps the place."""
        self.waiting.setdefault(one)
        self._first_deadline = min(self._first_deadline, one.deadline)

    def remove(self, one: _Waiting) -> None:
        """Let somebody go, and those who wait no longer."""
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

    def candidates(self, now: float, *, woken: bool) -> list[_Waiting]:
        """Return who may try: the first when there may be room, and whoever can wait no longer."""
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


def _answer(future: Future[Any] | None, answer: object) -> bool:
    """Hand over an answer; return whether somebody still wanted it."""
    if future is None:
        return True
    try:
        future.set_result(answer)
    except InvalidStateError:  # cancelled
        return False
    return True


def _fail(future: Future[Any], error: BaseException) -> None:
    with suppress(InvalidStateError):
        future.set_exception(error)


def _moment(after: float) -> datetime | None:
    if after > timedelta.max.total_seconds() / 1000:
        return None
    return datetime.now(UTC) + timedelta(seconds=after)


def _words(rule: Rule) -> str:
    per = f" a {rule.per}" if rule.per and rule.per[0].isalpha() else f" in {rule.per}" if rule.per else ""
    return f"{rule.metric}{per} of {rule.service} ({rule.pool})"


def _spent(refusal: Refused) -> QuotaSpentError:
    rule = refusal.claim.rule
    what = "The service has refused a short while ago" if rule.cap == inf else "Nothing is left for now"
    error = QuotaSpentError(f"{what}: {_words(rule)}. Nothing was sent.", soonest=_moment(refusal.after))
    error.scope, error.metric = rule.pool, rule.metric
    error.earliest = _moment(refusal.early)
    return error


def _too_small(refusal: TooSmall) -> QuotaTooSmallError:
    rule = refusal.claim.rule
    error = QuotaTooSmallError(
        f"The request needs {refusal.claim.amount:g} {_words(rule)}, and the whole limit for it is "
        f"{refusal.cap:g}. Nothing was sent.",
        metric=rule.metric,
        amount=refusal.claim.amount,
        cap=refusal.cap,
    )
    error.scope = rule.pool
    return error


def _is_elsewhere(step: Step, store: Store) -> bool:
    """Whether a step is about a grant of another store than this one and what it is a copy of."""
    if isinstance(step, Take | Leave | Look | Standings | Forget | ReadNotes | WriteNote):
        return False
    return step.grant.store not in {store, store.copied}


def _services(ask: Ask) -> frozenset[str]:
    return frozenset(claim.rule.service for claim in ask.claims)


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
