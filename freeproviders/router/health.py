"""The health of a router's members: which may be asked now or tried again, what to expect of each.

The way of one question::

    await health.look(keys)                       # once: what other processes have noted
    state = health.state(key)                     # no I/O: closed, half-open, open, out
    admission = await health.admit(key)           # None: pass this member by
    ...                                           # it is asked
    health.began(admission)                       # of a stream: its first content is there
    health.answered(admission, first=0.4, whole=2.1)
    health.failed(admission, error)               # or: what the error means is decided here
    health.given_back(admission)                  # or: it was cancelled before it said anything

`began`, `answered`, `failed`, `given_back` and `take_out` return at once, may be called on any thread and
never raise; what others must know is written in the background. Where the ledger cannot be used,
health is kept in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from secrets import token_hex
from typing import Any, Final

from freeproviders.errors import FreeProvidersError, ProviderError, ProviderTimeoutError
from freeproviders.quota.interface import Ledger
from freeproviders.redaction import without_secrets
from freeproviders.router.breaker import (
    CLOSED,
    Answered,
    Barred,
    GivenBack,
    Probe,
    State,
    state_of,
    worst,
)
from freeproviders.router.member import Key, Member
from freeproviders.router.memory import Memory, Page, jitter, memory_of
from freeproviders.router.standing import Standing
from freeproviders.router.statistics import Speed
from freeproviders.router.verdict import (
    FAULT_SECONDS,
    LONGEST_FAULT_SECONDS,
    LONGEST_LOCAL_SECONDS,
    Facts,
    Sentence,
    Verdict,
    verdict_of,
)

LOOK_SECONDS: Final = 5.0
"""A ledger that does not answer so soon is not waited for; what it says counts when it comes.

On a busy machine a new process needs more than a second to open it.
"""
FRESH_SECONDS: Final = 0.1
"""What was read so short a time ago is not read again: questions that come together share a look.

To wake the ledger's thread is most of what a router costs a call.
"""
PROBE_SECONDS: Final = 120.0
"""How long a probe keeps its right, so that one whose process has died is free again."""
IDLE_SECONDS: Final = 60.0
"""A model of this machine that was not used for so long may have to be loaded again."""
_PATIENT_SECONDS: Final = 5.0
"""A caller that gave up sooner on a little-known member was in a hurry: that is no fault."""
_SILENT_SECONDS: Final = 30.0
"""Silence of that length is not risked again soon, on a machine elsewhere: it shuts a model at once."""
_ERROR_CHARS: Final = 300
_CALENDAR: Final = frozenset({"day", "month"})
_TOKENS_A_SECOND: Final = 2000.0
"""How fast a slow service reads a prompt."""
_NO_FACTS: Final = Facts()


@dataclass(slots=True, eq=False)
class Admission:
    """The right to ask a member once, to be given to one of `answered`, `failed` and `given_back`."""

    key: Key
    at: float
    token: str = ""
    scopes: tuple[str, ...] = ()
    is_pending: bool = False
    done: bool = False

    @property
    def is_probe(self) -> bool:
        """Whether it is the one try that decides for all processes."""
        return bool(self.token)


class Health:
    """The health of members, shared by all processes that use a ledger.

    Args:
        ledger: where it is shared; None keeps it in this process.
        members: as for `meet`.
        memory: for tests: in place of the one that all routers of this process share; each look
            reads then.
    """

    def __init__(
        self,
        ledger: Ledger | None,
        members: Iterable[Member] = (),
        *,
        memory: Memory | None = None,
    ) -> None:
        self._ledger = ledger
        self._own = memory
        self._fresh = FRESH_SECONDS if memory is None else 0.0
        self._facts: dict[Key, Facts] = {}
        self.meet(members)

    @property
    def _memory(self) -> Memory:
        return memory_of(self._ledger) if self._own is None else self._own

    def meet(self, members: Iterable[Member]) -> None:
        """Learn what the rows of members say of their pools of limits, and which are on this machine."""
        for member in members:
            if member.key in self._facts:
                continue
            row = member.row
            limits = [one for one in row.limit if one.counts(member.model)] if row is not None else []
            self._facts[member.key] = Facts(
                pools=frozenset(one.scope for one in limits) - {"model", "account"},
                ends={one.per: one.zone for one in limits if one.reset == "fixed" and one.per in _CALENDAR},
                is_local=member.place in {"local", "embedded"},
            )

    # --- before -----------------------------------------------------------------------------------

    async def look(self, keys: Iterable[Key]) -> None:
        """Read what other processes have noted, but for what was just read. Never raises."""
        if self._ledger is not None and (keys := list(keys)):
            told = self._memory.look(self._ledger, keys, self._fresh)
            if told is not None:
                await _soon(told)
                self._ledger.say()

    def state(self, key: Key) -> State:
        """Return whether a member may be asked now. No I/O."""
        memory = self._memory
        page = memory.page(key)
        return _state(page, self._scopes(key), memory.clock()) if page.view else CLOSED

    async def admit(self, key: Key, *, in_line: bool = False) -> Admission | None:
        """Return the right to ask a member once; None where it must be passed by.

        At once where the member is closed. Where it is half-open, one of all processes gets it.
        `in_line` says that the request may wait for room first, so that its silence means nothing.
        """
        memory = self._memory
        state = self.state(key)
        if not state.may_be_asked:
            return None
        now = memory.clock()
        if state.name == "closed":
            self._count(memory, key, now, pending=not in_line)
            return Admission(key, now, is_pending=not in_line)
        page = memory.page(key)
        token = token_hex(8)
        waits: list[Future[bool]] = []
        scopes: list[str] = []
        with memory.lock:
            for scope in self._scopes(key):
                record = page.view.get(scope)
                if record is None or state_of(record, now).name != "half-open":
                    continue
                won: Future[bool] = Future()
                event = Probe(scope=scope, at=now, token=token, until=now + PROBE_SECONDS)
                memory.put(page, event, won)
                waits.append(won)
                scopes.append(scope)
        admission = Admission(key, now, token, tuple(scopes))
        memory.share(self._ledger, page)
        try:
            for won in waits:
                await _soon(won)
        except BaseException:
            self.given_back(admission)
            raise
        won_all = all(won.done() and not won.cancelled() and won.result() for won in waits)
        # What another process has found out meanwhile counts too.
        others = [scope for scope in self._scopes(key) if scope not in scopes]
        if not won_all or not _state(page, others, memory.clock()).may_be_asked:
            self.given_back(admission)
            return None
        admission.at = memory.clock()
        self._count(memory, key, admission.at, pending=False)
        return admission

    def first_limit(self, key: Key, *, whole: bool = False, tokens: int = 0) -> float | None:
        """Return the seconds after which to give up on a member that has said nothing.

        None while too little is known of it, and for a model of this machine that may have to be
        loaded first.

        Args:
            key: the member's.
            whole: of an answer that comes as a whole, until its end.
            tokens: how long the prompt is: a long one is read before anything is said.
        """
        memory = self._memory
        vitals = memory.page(key).vitals.get(key.model)
        if vitals is None:
            return None
        if self._facts.get(key, _NO_FACTS).is_local and memory.clock() - vitals.used_at > IDLE_SECONDS:
            return None
        with memory.lock:
            limit = vitals.limit(whole=whole)
        return None if limit is None else limit + tokens / _TOKENS_A_SECOND

    def speed(self, key: Key) -> Speed:
        """Return what to expect of a member, for the order in which members are asked."""
        memory = self._memory
        with memory.lock:
            return memory.page(key).of(key.model).speed()

    # --- after ------------------------------------------------------------------------------------

    def began(self, admission: Admission) -> None:
        """Note that content has come: a probe is over then, long before the end of its answer."""
        memory = self._memory
        page = memory.page(admission.key)
        with memory.lock:
            self._known(page, admission)
            news = self._clear(memory, page, admission, self._scopes(admission.key))
        self._end(memory, page, news=news)

    def answered(
        self, admission: Admission, *, first: float | None = None, whole: float | None = None
    ) -> None:
        """Note an answer, with the seconds until its first content and until its end."""
        memory, page, now = self._begin(admission)
        if page is None:
            return
        with memory.lock:
            page.of(admission.key.model).answered(now, first, whole)
            news = self._clear(memory, page, admission, self._scopes(admission.key))
        self._end(memory, page, news=news)

    def failed(self, admission: Admission, error: BaseException) -> None:
        """Note how an attempt has ended; what it means is read from the error."""
        memory, page, now = self._begin(admission)
        if page is None:
            return
        key = admission.key
        facts = self._facts.get(key, _NO_FACTS)
        verdict = verdict_of(error, facts)
        secrets = [key.account] if key.account else []
        text = without_secrets(str(error), secrets)[:_ERROR_CHARS]
        reason = without_secrets(_reason(error), secrets)
        with memory.lock:
            vitals = page.of(key.model)
            counts = verdict.counts
            if not verdict.kind:
                vitals.withdrawn(now)
            silent = False
            if isinstance(error, ProviderTimeoutError) and counts:
                waited = now - admission.at
                counts = waited >= _patience(vitals.limit(whole=False))
                if counts and error.phase == "first content":
                    vitals.waited(waited)
                    silent = waited >= _SILENT_SECONDS and not facts.is_local
            trips = bool(verdict.kind) and vitals.failed(now, verdict.kind, text, counts=counts)
            trips = trips or silent
            trouble = _Trouble(verdict, reason, now, trips=trips, counts=counts)
            news = self._sentence(memory, page, admission, trouble)
        self._end(memory, page, news=news)

    def given_back(self, admission: Admission) -> None:
        """Note that nothing was shown: the attempt was cancelled before the member said anything."""
        memory, page, _ = self._begin(admission)
        if page is None or not admission.token:
            return
        with memory.lock:
            news = self._give_back(memory, page, admission)
        self._end(memory, page, news=news)

    def take_out(self, key: Key, reason: str, *, service: bool = False) -> None:
        """Take a member out, or its whole service, until it is cleared: what a guard has found.

        It is cleared by `freeproviders quota reset SERVICE`, `Ledger.reset`.
        """
        memory = self._memory
        page = memory.page(key)
        now = memory.clock()
        scope = "" if service else _model(key)
        event = Barred(scope=scope, kind="out", at=now, admitted=inf, until=inf, reason=reason)
        with memory.lock:
            news = memory.put(page, event)
        self._end(memory, page, news=news)

    # --- for people -------------------------------------------------------------------------------

    def standings(self, keys: Iterable[Key] | None = None) -> list[Standing]:
        """Return the health of members, or of all that this process has asked about."""
        memory = self._memory
        if keys is None:
            with memory.lock:
                keys = [
                    Key(page.health.service, model, page.health.account)
                    for page in memory.pages()
                    for model in sorted(page.vitals)
                ]
        return [self.standing(key) for key in keys]

    def standing(self, key: Key) -> Standing:
        """Return the health of one member."""
        memory = self._memory
        state = self.state(key)
        with memory.lock:
            vitals = memory.page(key).of(key.model)
            p50, p95 = vitals.usual()
            counts, success = dict(vitals.sums.counts), vitals.speed().success
        until = None
        if state.wait and state.wait != inf:
            until = datetime.now(UTC) + timedelta(seconds=state.wait)
        return Standing(
            service=key.service,
            model=key.model,
            state=state.name,
            until=until,
            reason=state.reason,
            error=vitals.error,
            counts=counts,
            first_p50=p50,
            first_p95=p95,
            success=success,
        )

    # --- within -----------------------------------------------------------------------------------

    def _scopes(self, key: Key) -> tuple[str, ...]:
        """Return what a member is behind: its service, the pools of its limits, its model."""
        facts = self._facts.get(key, _NO_FACTS)
        return ("", *(f"pool {name}" for name in facts.pools), _model(key))

    @staticmethod
    def _count(memory: Memory, key: Key, now: float, *, pending: bool) -> None:
        with memory.lock:
            vitals = memory.page(key).of(key.model)
            vitals.admitted(now)
            vitals.pending += pending

    def _begin(self, admission: Admission) -> tuple[Memory, Page | None, float]:
        memory = self._memory
        if admission.done:
            return memory, None, 0.0
        admission.done = True
        page = memory.page(admission.key)
        with memory.lock:
            self._known(page, admission)
        return memory, page, memory.clock()

    @staticmethod
    def _known(page: Page, admission: Admission) -> None:
        """Note that something is known of a request; under the lock."""
        if admission.is_pending:
            admission.is_pending = False
            page.of(admission.key.model).pending -= 1

    def _end(self, memory: Memory, page: Page, *, news: bool) -> None:
        if news:
            memory.share(self._ledger, page)
        memory.save_if_due(self._ledger, page)

    @staticmethod
    def _clear(memory: Memory, page: Page, admission: Admission, scopes: Iterable[str]) -> bool:
        """Close what an answer has shown to work; under the lock."""
        if not page.view:
            return False
        events = [
            Answered(scope=scope, admitted=admission.at, token=admission.token)
            for scope in scopes
            if scope in page.view
        ]
        return memory.put_all(page, events)

    @staticmethod
    def _give_back(memory: Memory, page: Page, admission: Admission) -> bool:
        """Give back what of a probe has shown nothing; under the lock."""
        events = [GivenBack(scope=scope, token=admission.token) for scope in admission.scopes]
        return memory.put_all(page, events)

    def _sentence(self, memory: Memory, page: Page, admission: Admission, trouble: _Trouble) -> bool:
        """Put up the bars of a verdict; return whether other processes must know. Under the lock."""
        key, verdict = admission.key, trouble.verdict
        facts = self._facts.get(key, _NO_FACTS)
        bars = [] if verdict.bar is None else [verdict.bar]
        if trouble.trips or (trouble.counts and _model(key) in admission.scopes):
            longest = LONGEST_LOCAL_SECONDS if facts.is_local else LONGEST_FAULT_SECONDS
            bars.append(Sentence(where="model", kind="fault", base=FAULT_SECONDS, longest=longest))
        if trouble.trips:
            page.of(key.model).run = 0
        events = [_event(admission, bar, facts, trouble) for bar in bars]
        news = memory.put_all(page, events)
        if admission.token:
            shown = [
                *(("",) if verdict.service_answered else ()),
                *((_model(key),) if verdict.model_answered else ()),
            ]
            barred = {event.scope for event in events}
            works = [scope for scope in shown if scope not in barred]
            news |= self._clear(memory, page, admission, works)
            news |= self._give_back(memory, page, admission)
        return news


@dataclass(frozen=True, slots=True)
class _Trouble:
    """An error as it was judged: when, why in words, and whether it shuts the model."""

    verdict: Verdict
    reason: str
    at: float
    trips: bool
    counts: bool


def _event(admission: Admission, bar: Sentence, facts: Facts, trouble: _Trouble) -> Barred:
    key = admission.key
    match bar.where:
        case "service":
            scope = ""
        case "pool" if bar.pool in facts.pools:
            scope = f"pool {bar.pool}"
        case _:  # of a pool that is not in the row, it is unknown which other models share it
            scope = _model(key)
    return Barred(
        scope=scope,
        kind=bar.kind,
        at=trouble.at,
        admitted=admission.at,
        token=admission.token,
        until=None if bar.seconds is None else trouble.at + bar.seconds,
        base=bar.base,
        longest=bar.longest,
        jitter=1.0 if bar.kind == "out" else jitter(),
        probed=bar.probed,
        reason=trouble.reason,
    )


def _state(page: Page, scopes: Iterable[str], now: float) -> State:
    view = page.view
    return worst([state_of(record, now) for scope in scopes if (record := view.get(scope)) is not None])


def _model(key: Key) -> str:
    return f"model {key.model}"


def _patience(limit: float | None) -> float:
    return _PATIENT_SECONDS if limit is None else limit * 0.95


def _reason(error: BaseException) -> str:
    """Return why, in the words that others may read: without the excerpt of an answer."""
    if isinstance(error, ProviderError) and error.status:
        return f"HTTP {error.status}: {error.message}"
    return error.message if isinstance(error, FreeProvidersError) else type(error).__name__


async def _soon(future: Future[Any]) -> None:
    """Wait for a future of another thread, but not for long."""
    if not future.done():
        waiting = asyncio.wrap_future(future)
        try:
            await asyncio.wait([waiting], timeout=LOOK_SECONDS)
        finally:
            waiting.cancel()  # its loop may have ended when the answer comes
