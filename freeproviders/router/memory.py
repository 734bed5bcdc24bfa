"""What one process knows of the health of members, and how it is shared through a ledger.

For each service and account there is one note with what is known against it and its models. What a
process finds out is an event, which counts here at once and is written in the background; where
another process has written meanwhile, the event is applied again to what that one wrote. Statistics
are notes of their own, to which each process adds from time to time.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from functools import partial
from math import inf
from secrets import token_hex
from typing import Final, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from freeproviders.process import PerProcess
from freeproviders.quota.clocks import boot_seconds
from freeproviders.quota.interface import Ledger, Note, NoteName
from freeproviders.router import breaker, statistics
from freeproviders.router.breaker import Event, Probe, Record, applied, pruned
from freeproviders.router.member import Key
from freeproviders.router.statistics import Sums, Vitals

T = TypeVar("T")

STATISTICS_SECONDS: Final = 120.0
"""How often statistics are written for others."""
STATISTICS_KEPT_SECONDS: Final = 31 * 86_400.0
_MOST_PENDING: Final = 64
_TRIES: Final = 5
_END_SECONDS: Final = 1.0


class Page:
    """What is known of a service with one account, and of its models.

    Attributes:
        view: the records by scope: what was read, and what was found out here since. It is replaced
            as a whole, so that it may be read without the lock.
        vitals: the statistics by model.
        looked_at: when the ledger was asked last for what it answered.
    """

    def __init__(self, service: str, account: str) -> None:
        self.health = NoteName("health", service, account)
        self.statistics = NoteName("statistics", service, account)
        self.view: Mapping[str, Record] = {}
        self.vitals: dict[str, Vitals] = {}
        self.version = ""
        self.base: Mapping[str, Record] = {}
        self.pending: list[tuple[Event, Future[bool] | None]] = []
        self.writing = False
        self.met = False
        self.looked_at = -inf
        self.saved_at = -inf
        self.saved_version = ""
        self.saved: Mapping[str, Sums] = {}
        self.saving: Mapping[str, Sums] = {}

    def of(self, model: str) -> Vitals:
        """Return the statistics of a model."""
        found = self.vitals.get(model)
        if found is None:
            found = self.vitals[model] = Vitals()
        return found

    def refresh(self) -> None:
        """Apply what was found out here to what was read; forget what then says nothing new."""
        view = dict(self.base)
        pending = []
        for event, wanted in self.pending:
            before = view.get(event.scope, Record())
            after = applied(before, event)
            if after is not before:
                view[event.scope] = after
                pending.append((event, wanted))
            elif wanted is not None:
                _say(wanted, False)  # noqa: FBT003 - the answer
        self.pending = pending
        self.view = view


class _Look(NamedTuple):
    """What is read of the ledger: pages, those with new statistics, the future to answer, the time."""

    pages: Sequence[Page]
    new: Sequence[Page]
    told: Future[None]
    asked_at: float


class Memory:
    """What one process knows, of all services; any number of routers, threads and loops share it."""

    def __init__(self, clock: Callable[[], float] = boot_seconds) -> None:
        self.clock = clock
        self.lock = threading.Lock()
        self._pages: dict[tuple[str, str], Page] = {}

    def page(self, key: Key) -> Page:
        """Return the page of a key."""
        name = (key.service, key.account)
        return self._pages.get(name) or self._pages.setdefault(name, Page(*name))

    def pages(self) -> list[Page]:
        """Return all pages."""
        return list(self._pages.values())

    @property
    def is_writing(self) -> bool:
        """Whether something is on its way to the ledger."""
        return any(page.writing or page.saving for page in self.pages())

    # --- reading ----------------------------------------------------------------------------------

    def look(self, ledger: Ledger, keys: Iterable[Key], fresh: float = 0.0) -> Future[None] | None:
        """Read what others have noted; the future is done when it counts here.

        None where all of it was read less than `fresh` seconds ago.
        """
        pages = list(dict.fromkeys(map(self.page, keys)))
        asked_at = self.clock()
        if fresh and all(0 <= asked_at - page.looked_at < fresh for page in pages):
            return None
        new = [page for page in pages if not page.met]
        names = [page.health for page in pages] + [page.statistics for page in new]
        told: Future[None] = Future()
        ledger.notes(names).add_done_callback(partial(self._heard, ledger, _Look(pages, new, told, asked_at)))
        return told

    def _heard(self, ledger: Ledger, look: _Look, found: Future[tuple[Note | None, ...]]) -> None:
        pages, new = look.pages, look.new
        try:
            notes = found.result()
        except (Exception, CancelledError):  # noqa: BLE001 - a ledger that is lost loses no question
            notes = ()
        again = []
        with self.lock:
            now = self.clock()
            for page, note in zip(pages, notes, strict=False):
                self._adopt(page, note, now)
                page.looked_at = max(page.looked_at, look.asked_at)
                if page.pending and not page.writing:
                    again.append(page)
            for page, note in zip(new, notes[len(pages) :], strict=False):
                if not page.met:
                    page.met, page.saved_at = True, now
                    self._adopt_statistics(page, note, now)
                    for model, sums in page.saved.items():
                        page.of(model).load(statistics.merged({model: sums}, {})[model])
        _say(look.told, None)
        for page in again:
            self.share(ledger, page)

    def _adopt(self, page: Page, note: Note | None, now: float) -> None:
        """Take over what is noted."""
        if note is None:  # nothing is noted, as after the ledger was lost: what is known here stays
            page.version = ""
            return
        if note.version == page.version:
            return
        page.version = note.version
        page.base = breaker.loaded(note.text, now - note.age)
        if not note.text:  # it was cleared
            page.pending = [one for one in page.pending if one[1] is not None]
            for vitals in page.vitals.values():
                vitals.run = 0
        page.refresh()

    @staticmethod
    def _adopt_statistics(page: Page, note: Note | None, now: float) -> None:
        page.saved_version = note.version if note else ""
        page.saved = statistics.loaded(note.text, now - note.age) if note and note.text else {}

    # --- writing ----------------------------------------------------------------------------------

    def put(self, page: Page, event: Event, wanted: Future[bool] | None = None) -> bool:
        """Have an event count here; return whether it says anything new. Under the lock."""
        before = page.view.get(event.scope, Record())
        after = applied(before, event)
        if after is before:
            if wanted is not None:
                _say(wanted, False)  # noqa: FBT003 - the answer
            return False
        page.pending.append((event, wanted))
        page.view = {**page.view, event.scope: after}
        return True

    def put_all(self, page: Page, events: Iterable[Event]) -> bool:
        """Have events count here; return whether any says something new. Under the lock."""
        news = False
        for event in events:
            news |= self.put(page, event)
        return news

    def share(self, ledger: Ledger | None, page: Page) -> None:
        """Write what was found out here, without waiting. Not under the lock."""
        with self.lock:
            if not page.pending or page.writing:
                return
            now = self.clock()
            view = {scope: pruned(record, now) for scope, record in page.view.items()}
            view = {scope: record for scope, record in view.items() if not record.is_clear}
            sent = len(page.pending)
            if ledger is None:
                self._done(page, view, sent)
                return
            page.writing = True
            version, over = token_hex(8), page.version
            text = breaker.dumped(view, now)
            keep = breaker.keep_seconds(view.values(), now)
        future = ledger.note(page.health, text, version=version, over=over, keep=keep)
        future.add_done_callback(partial(self._written, ledger, page, _Sent(view, version, sent)))

    def _written(
        self,
        ledger: Ledger,
        page: Page,
        sent: _Sent,
        found: Future[Note | None],
    ) -> None:
        with self.lock:
            page.writing = False
            try:
                note = found.result()
            except (Exception, CancelledError):  # noqa: BLE001 - a ledger that is lost loses no question
                self._alone(page)
                return
            if note is not None and note.version == sent.version:
                page.version = sent.version
                self._done(page, sent.view, sent.number)
            else:
                self._adopt(page, note, self.clock())
                if note is None:
                    page.refresh()
            again = bool(page.pending)
        if again:
            self.share(ledger, page)

    @staticmethod
    def _done(page: Page, view: Mapping[str, Record], sent: int) -> None:
        """Note that the first events are written."""
        page.base = view
        done, page.pending = page.pending[:sent], page.pending[sent:]
        for event, wanted in done:
            _confirm(event, wanted, view)
        page.refresh()

    @staticmethod
    def _alone(page: Page) -> None:
        """Go on without the ledger; what was found out is written when it can be read again."""
        for number, (event, wanted) in enumerate(page.pending):
            _confirm(event, wanted, page.view)
            page.pending[number] = (event, None)
        if len(page.pending) > _MOST_PENDING:
            page.base, page.pending = page.view, []

    # --- statistics -------------------------------------------------------------------------------

    def save(self, ledger: Ledger) -> None:
        """Write all statistics, without waiting."""
        for page in self.pages():
            self._save(ledger, page, -inf)

    def save_if_due(self, ledger: Ledger | None, page: Page) -> None:
        """Write the statistics of a page from time to time."""
        if ledger is not None and self.clock() - page.saved_at >= STATISTICS_SECONDS:
            self._save(ledger, page, STATISTICS_SECONDS)

    def _save(self, ledger: Ledger, page: Page, after: float) -> None:
        with self.lock:
            now = self.clock()
            if page.saving or not page.met or now - page.saved_at < after:
                return
            page.saved_at = now
            unsaved = {model: vitals.unsaved for model, vitals in page.vitals.items()}
            page.saving = {model: sums for model, sums in unsaved.items() if sums is not None}
            for vitals in page.vitals.values():
                vitals.unsaved = None
            if not page.saving:
                return
        self._try(ledger, page, _TRIES)

    def _try(self, ledger: Ledger, page: Page, tries: int) -> None:
        with self.lock:
            now = self.clock()
            sums = statistics.merged(page.saved, page.saving)
            version = token_hex(8)
            text, over = statistics.dumped(sums, now), page.saved_version
        future = ledger.note(page.statistics, text, version=version, over=over, keep=STATISTICS_KEPT_SECONDS)
        future.add_done_callback(partial(self._saved, ledger, page, _Sums(sums, version, tries)))

    def _saved(
        self,
        ledger: Ledger,
        page: Page,
        sent: _Sums,
        found: Future[Note | None],
    ) -> None:
        tries = sent.tries
        with self.lock:
            try:
                note = found.result()
            except (Exception, CancelledError):  # noqa: BLE001 - statistics are not worth an error
                tries = 0
            else:
                if note is not None and note.version == sent.version:
                    page.saved, page.saved_version, page.saving = sent.sums, sent.version, {}
                    return
                self._adopt_statistics(page, note, self.clock())
            if tries <= 1:
                page.saving = {}
                return
        self._try(ledger, page, tries - 1)


class _Sent(NamedTuple):
    """What was written of a page, with the first so many of its events."""

    view: Mapping[str, Record]
    version: str
    number: int


class _Sums(NamedTuple):
    """The statistics that were written, and how many tries are left."""

    sums: Mapping[str, Sums]
    version: str
    tries: int


def _confirm(event: Event, wanted: Future[bool] | None, view: Mapping[str, Record]) -> None:
    """Tell a question that wanted to be the probe whether it is."""
    if wanted is not None and isinstance(event, Probe):
        _say(wanted, view.get(event.scope, Record()).probe == event.token)


def _say(wanted: Future[T], answer: T) -> None:
    with suppress(InvalidStateError):  # the question was cancelled
        wanted.set_result(answer)


# --- the process ----------------------------------------------------------------------------------


class _Memories:
    """The memory of each ledger of a process."""

    def __init__(self) -> None:
        self.by_ledger: WeakKeyDictionary[Ledger, Memory] = WeakKeyDictionary()
        self.alone = Memory()

    def of(self, ledger: Ledger | None) -> Memory:
        if ledger is None:
            return self.alone
        found = self.by_ledger.get(ledger)
        return self.by_ledger.setdefault(ledger, Memory()) if found is None else found

    def save(self) -> None:
        """Write what is left, at the interpreter's end."""
        for ledger, memory in list(self.by_ledger.items()):
            memory.save(ledger)
            for _ in range(_TRIES):  # one turn of the ledger each
                if not memory.is_writing:
                    break
                with suppress(Exception):  # a ledger that does not answer is not waited for
                    ledger.notes([]).result(_END_SECONDS)


_memories: Final = PerProcess[_Memories](_Memories, at_exit=_Memories.save)


def memory_of(ledger: Ledger | None) -> Memory:
    """Return the memory that all routers of this process with that ledger share."""
    return _memories.get().of(ledger)


def jitter() -> float:
    """Return a factor by which a pause is longer, so that not all come back in one moment."""
    return 1 + random.random() / 4  # noqa: S311 - not a secret
