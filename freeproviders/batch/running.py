"""A run at work: rows pulled one by one, asked side by side, stored, and handed on.

::

    Source, Reader     rows as requests with their keys
    Ahead              some of them looked up in the store; those that have an answer are handed on
    Running._ask       one row asked; the next is pulled when it has its room among the limits
    Outage             what is at fault for a failure, when to try again, when to give up
    Committer          answers in groups; a row counts once its group is safe
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from math import inf
from time import monotonic, time
from typing import Any, Final

from freeproviders.answers.entry import Entry, Run
from freeproviders.answers.plain import to_plain
from freeproviders.answers.store import AnswerStore
from freeproviders.backend import Backend
from freeproviders.batch.ahead import Ahead
from freeproviders.batch.committing import Committer
from freeproviders.batch.entries import entry_of, tell
from freeproviders.batch.judging import Kind, kind_of
from freeproviders.batch.outage import MOST_TRIES, SHORT_SECONDS, End, Outage
from freeproviders.batch.progress import Pause, Progress
from freeproviders.batch.reading import Item, Reader, Source
from freeproviders.batch.report import Report
from freeproviders.batch.rows import Asked, Row, RowState, trail_of
from freeproviders.batch.timing import Stopwatch
from freeproviders.errors import FreeProvidersError
from freeproviders.foreign import translated
from freeproviders.types import Admitted, ChatRequest, Completion, Event

Rows = Iterable[Asked] | AsyncIterable[Asked]

_MOST_WAITING: Final = 256
"""Rows that have failed and are asked again; with more of them, no new row is pulled."""
_MOST_UNREAD: Final = 1000
"""Rows that have ended and were not taken yet; with more of them, no question is asked."""
_MOMENT_SECONDS: Final = 2.0
"""How long rows in flight may go on when the run is stopped."""
_LAST_SECONDS: Final = 30.0
"""How long rows in flight may go on when the time is over."""
_LONGEST_SLEEP_SECONDS: Final = 3600.0


class Running:
    """A run: what is asked when, and how it ends. Only the event loop touches it."""

    def __init__(
        self,
        rows: Rows,
        backend: Backend,
        *,
        reader: Reader,
        store: AnswerStore,
        name: Run,
        progress: Progress,
        until: float,
        wait: bool,
        reserve: float,
        width: int | None,
        stream: bool,
        again: bool,
    ) -> None:
        self.progress = progress
        self._backend = backend
        self._store = store
        self._name = name
        # Where no limits are kept, each row has its room at once, and there is no word to wait for.
        self._gated = backend.announces_admission and backend.keeps_limits
        self._keep = reserve
        self._width = width
        self._stream = stream
        self._again = again
        self._until_seconds = until
        self._wait = wait
        self._turn = asyncio.Event()
        self._source = Source(rows, reader, self._turn.set)
        if self._source.total is not None:
            progress.total = self._source.total
        self._waiting: list[tuple[float, int, Item]] = []
        self._asking: dict[Item, asyncio.Task[None]] = {}
        self._in_line: set[Item] = set()
        """Those of them that have no room among the limits yet."""
        self._out: deque[Row] = deque()
        self._read = asyncio.Event()
        self.begun = False
        self.over = asyncio.Event()
        """Set when everything that was answered is stored."""
        self._end: End | None = None
        self._broken: BaseException | None = None

    # --- for the reader of the rows ---

    async def rows(self) -> AsyncGenerator[Row, None]:
        """Yield the rows as they end."""
        self.begun = True
        self._begin()
        driving = asyncio.ensure_future(self._drive())
        driving.add_done_callback(lambda _: self._read.set())
        out = self._out
        try:
            while True:
                while out:
                    row = out.popleft()
                    if len(out) == _MOST_UNREAD:
                        self._turn.set()
                    yield row
                if driving.done():
                    break
                self._read.clear()
                await self._read.wait()
        finally:
            self.stop(End("It was stopped."))
            try:
                await _ended(driving)
            finally:
                self.over.set()
        if self._broken is not None:
            raise self._broken

    def report(self) -> Report:
        """Sum up what became of the rows so far."""
        end = self._end or End("")
        return Report.of(
            self.progress,
            why=end.why,
            soonest=end.soonest,
            waiting_helps=end.waiting_helps,
            ended=self._source.ended,
        )

    def stop(self, end: End) -> None:
        """Send no further request."""
        if self._end is None:
            self._end = end
        self._turn.set()

    # --- the order of things ---

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        self._until = loop.time() + self._until_seconds
        self._outage = Outage(self._backend.retry, loop.time, wait=self._wait)
        self._commits = Committer(self._store, self._name.name, self._written_safely, self._break)
        self._ahead = Ahead(self._source, self._store, self._hand_on, self._commits.add)
        self.progress.began = monotonic()

    async def _drive(self) -> None:
        """Ask row after row, up to the end of the run."""
        try:
            if self._name.name:
                began = replace(self._name, rows=self._source.total, began=time())
                await asyncio.wrap_future(self._store.begin(began))
            if self._width is None:
                self._width = await self._backend.usual_in_flight()
            while (item := await self._next()) is not None:
                self._begin_asking(item)
            if self._end is None:  # all is done
                self._end = End("")
        except Exception as error:  # noqa: BLE001 - raised to the reader of the rows
            self._break(error)
        finally:
            await self._wind_up()

    async def _next(self) -> Item | None:
        """Wait for the next row that may be asked; None at the end of the run."""
        assert self._width is not None  # noqa: S101 - `_drive` has set it
        while self._end is None:
            now = self._clock()
            if now >= self._until:
                self._end = End("The time is over.")
                break
            if self._is_busy(self._width) or len(self._out) > _MOST_UNREAD:
                await self._turned()
                continue
            paused = self._outage.is_on and bool(self._waiting)
            if not paused:
                if (item := self._due(now)) is not None:
                    return item
                if len(self._waiting) < _MOST_WAITING:
                    item = await self._ahead.next(pulls=self._pulls)
                    if self._end is not None:  # stopped while rows were looked up
                        return None
                    if item is not None:
                        return item
                    if self._ahead.comes:
                        if not self._asking and self._gives_up_one():
                            continue
                        await self._turned(self._waiting[0][0] if self._waiting else inf)
                        continue
            if self._asking:
                await self._turned(inf if paused or not self._waiting else self._waiting[0][0])
                continue
            if not self._waiting:
                return None
            if (item := await self._first_in_line()) is not None:
                return item
        return None

    def _is_busy(self, width: int) -> bool:
        """Return whether no further row is asked for now: behind those that wait for their room, none is."""
        if len(self._asking) >= width:
            return True
        return bool(self._in_line) and len(self._in_line) >= self._backend.most_waiting

    def _pulls(self) -> bool:
        """Return whether more rows may be pulled."""
        return self._end is None and len(self._out) <= _MOST_UNREAD

    def _due(self, now: float) -> Item | None:
        """Return a row that has failed and may be asked again by now."""
        if self._waiting and self._waiting[0][0] <= now:
            return self._popped()
        return None

    def _popped(self) -> Item:
        item = heappop(self._waiting)[2]
        self.progress.later = len(self._waiting)
        return item

    def _gives_up_one(self) -> bool:
        """Hand on a row without an answer, where waiting for it makes no sense; return whether one was.

        While the next row has not come, the run cannot end. But the source of the rows may wait for
        this one.
        """
        if not self._waiting:
            return False
        item = self._waiting[0][2]
        if self._outage.end(item, until=self._until) is None:
            return False
        self._popped()
        self._hand_on(self._ahead.given_up(item))
        return True

    async def _first_in_line(self) -> Item | None:
        """Wait until the first of those that have failed may be asked again, or give up."""
        item = self._waiting[0][2]
        at = self._outage.next_at(item)
        if at <= self._clock():
            self.progress.pause = None
            return self._popped()
        if (end := self._outage.end(item, until=self._until)) is not None:
            self._end = end
            if end.unanswered and not self._outage.is_on and self.progress.states["done"]:
                self._count_against_the_last()
            return None
        until = datetime.now(UTC) + timedelta(seconds=at - self._clock())
        self.progress.pause = Pause(until, "" if item.error is None else item.error.wording)
        await self._turned(at)
        if self._end is not None or self._clock() >= at:
            self.progress.pause = None
        return None

    async def _turned(self, at: float = inf) -> None:
        """Wait until something has changed, or for a time of the loop's clock."""
        self._turn.clear()
        at = min(at, self._until)
        if at == inf:
            await self._turn.wait()
            return
        delay = min(max(0.0, at - self._clock()), _LONGEST_SLEEP_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._turn.wait()

    # --- one row ---

    def _begin_asking(self, item: Item) -> None:
        if self._gated:
            self._in_line.add(item)
        if not item.fails:
            item.mark = self._outage.answers
        self._asking[item] = asyncio.ensure_future(self._ask(item))
        self.progress.running = len(self._asking)

    async def _ask(self, item: Item) -> None:
        began = monotonic()
        watch = Stopwatch(streams=self._stream)
        try:
            completion = await watch.whole(self._backend.answer(self._written(item, watch)))
            data = None if item.form is None else item.form.read(completion)
            value = to_plain(completion)
        except FreeProvidersError as error:
            self._note_failure(item, error, began)
        except Exception as raised:  # noqa: BLE001 - whatever is wrong with one row, the others go on
            its = translated(raised)
            its.__cause__ = raised
            self._note_failure(item, its, began)
        else:
            self._outage.answered()
            entry = Entry(state="done", value=value, tries=item.tries, at=time())
            self._finish(item, entry, "done", completion=completion, data=data)
        finally:
            self._asking.pop(item, None)
            self._in_line.discard(item)
            self.progress.running = len(self._asking)
            self._turn.set()

    def _written(self, item: Item, watch: Stopwatch) -> ChatRequest:
        """Write the request of a row for this attempt."""
        request = item.request
        own = request.listener

        def heard(event: Event) -> None:
            if isinstance(event, Admitted):
                watch.admitted(event.waited)
                if item in self._in_line:
                    self._in_line.discard(item)
                    self._turn.set()
            if own is not None:
                own(event)

        wait = request.wait_up_to
        if wait is None:
            wait = max(0.0, min(SHORT_SECONDS, self._until - self._clock()))
        keep = max(self._keep, request.keep)
        # An empty answer would be stored for good: it is asked for again, unless the caller allows it.
        empty = request.on_empty or "error"
        return replace(
            request, stream=self._stream, listener=heard, keep=keep, wait_up_to=wait, on_empty=empty
        )

    def _note_failure(self, item: Item, error: FreeProvidersError, began: float) -> None:
        kind: Kind = kind_of(error.about(self._backend.name, item.request.model or self._backend.model))
        if kind == "run":
            self._break(error)
            self._waits(item)
            return
        if kind == "question":
            if getattr(error, "attempts", 0):  # a service has read it
                self._outage.answered()
            self._finish(item, entry_of("refused", error, item.tries), "refused", error=error)
            return
        gone = False
        if self._outage.failed(item, error, kind):
            last = kind == "output" and not self._again
            gone = self._is_given_up(item, error, monotonic() - began, last=last)
        if not gone:
            self._waits(item)

    def _is_given_up(
        self, item: Item, error: FreeProvidersError, seconds: float, *, last: bool = False
    ) -> bool:
        """Store a failure that counts; return whether it was the one that ends the row."""
        tell(item, error, seconds)
        if last or item.tries >= MOST_TRIES:
            self._finish(item, entry_of("poisoned", error, item.tries), "poisoned", error=error)
            return True
        self._commits.add(item.key, entry_of("failed", error, item.tries))
        return False

    def _count_against_the_last(self) -> None:
        """Count a whole outage as one failure of the few rows that are left behind all others.

        No other row is asked beside them whose answer could show that the service works. Without this,
        such a row would be asked again at each start for ever.
        """
        for _, _, item in self._waiting:
            error = item.error
            if error is None or (item.tried and item.tried == trail_of(error)):  # it was counted
                continue
            item.tries += 1
            self._is_given_up(item, error, 0.0)

    def _waits(self, item: Item) -> None:
        heappush(self._waiting, (item.due, item.index, item))
        self.progress.later = len(self._waiting)

    def _finish(
        self,
        item: Item,
        entry: Entry,
        state: RowState,
        *,
        completion: Completion | None = None,
        data: Any = None,
        error: FreeProvidersError | None = None,
    ) -> None:
        """Store what became of a row, and of those that follow it."""
        rows = [
            Row(
                index=index,
                state=state,
                completion=completion,
                data=data,
                error=error,
                kept=index != item.index,
                tries=item.tries,
                key=item.key,
            )
            for index in (item.index, *item.followers)
        ]
        self._ahead.ended(item, entry)
        self._commits.add(item.key, entry, rows)

    # --- the end ---

    def _written_safely(self, rows: Sequence[Row]) -> None:
        self._ahead.written(rows)
        self._hand_on(rows)

    def _hand_on(self, rows: Sequence[Row]) -> None:
        if rows:
            self.progress.note(rows)
            self._out.extend(rows)
            self._read.set()

    def _break(self, error: BaseException) -> None:
        """End the run with an error of its own."""
        if self._broken is None:
            self._broken = error
        self.stop(End(error.wording if isinstance(error, FreeProvidersError) else str(error)))

    async def _wind_up(self) -> None:
        """Give the rows in flight a moment, store what is answered, and name what has no answer."""
        over = self._clock() >= self._until
        tasks = dict(self._asking)
        for item in self._in_line:  # nothing was sent for them
            tasks[item].cancel()
        try:
            if tasks:
                await asyncio.wait(tasks.values(), timeout=_LAST_SECONDS if over else _MOMENT_SECONDS)
        finally:
            for task in tasks.values():
                task.cancel()
            self._commits.write()
        if tasks:
            await asyncio.wait(tasks.values())
        await self._commits.all_written()
        self._hand_on(await self._ahead.close())


async def _ended(task: asyncio.Future[None]) -> None:
    """Wait for the end of a task, also where this one is cancelled; a second time cancels it too."""
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                task.cancel()
                raise
