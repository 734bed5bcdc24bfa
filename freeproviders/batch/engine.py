"""The run of many questions: pulled one by one, asked side by side, stored, and handed on.

::

    Source -> Reader       rows as requests with their keys, some ahead
    store.get              those that have an answer are handed on
    _Run._ask              one row asked; the next is pulled when it has its room among the limits
    Outage                 whose fault a failure is, when to try again, when to give up
    Committer              answers in groups; a row counts once its group is safe
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from math import inf
from pathlib import Path
from time import monotonic, time
from typing import Any, Final, Literal, Self, get_args

from freeproviders import bridge
from freeproviders.abilities import Askable
from freeproviders.answers.entry import Entry, Run
from freeproviders.answers.opening import open_store
from freeproviders.answers.plain import error_from_plain, error_to_plain, from_plain, to_plain
from freeproviders.answers.store import AnswerStore
from freeproviders.backend import Backend
from freeproviders.batch.committing import Committer
from freeproviders.batch.judging import Kind, kind_of
from freeproviders.batch.outage import MOST_TRIES, SHORT_SECONDS, End, Outage
from freeproviders.batch.progress import Pause, Progress
from freeproviders.batch.reading import Item, Reader, Source, Unusable
from freeproviders.batch.report import Report
from freeproviders.batch.rows import Asked, Row, RowState, trail_of
from freeproviders.batch.width import width_of
from freeproviders.checks import one_of, whole_number
from freeproviders.configuration import split
from freeproviders.errors import FreeProvidersError, UsageError
from freeproviders.foreign import translated
from freeproviders.streams import whole
from freeproviders.types import Admitted, Attempt, ChatRequest, Completion, Event

Rows = Iterable[Asked] | AsyncIterable[Asked]
Engine = Literal["local", "ray"]
"""Where rows are asked: by this process, or on the nodes of a Ray cluster."""

_AHEAD: Final = 32
"""Rows that are looked up in the store at once."""
_MOST_AHEAD: Final = 512
"""Rows that are looked up at once while all of them have been answered before."""
_MOST_WAITING: Final = 256
"""Rows that have failed or wait for an equal one; with more of them, no new row is pulled."""
_MOST_UNREAD: Final = 1000
"""Rows that have ended and that nobody has taken yet; with more of them, nobody is asked."""
_MOMENT_SECONDS: Final = 2.0
"""How long rows in flight may go on when the run is stopped."""
_LAST_SECONDS: Final = 30.0
"""How long rows in flight may go on when the time is over."""
_LONGEST_SLEEP_SECONDS: Final = 3600.0


def answered(
    rows: Rows,
    backend: Backend | Askable,
    *,
    store: str | Path | AnswerStore | None = None,
    run: str | Run = "",
    until: datetime | timedelta | float | None = None,
    wait: bool = False,
    reserve: float = 0.0,
    in_flight: int | None = None,
    dedupe: bool | None = None,
    progress: Progress | None = None,
    engine: Engine = "local",
    address: str = "auto",
    **settings: Any,
) -> Answered:
    """Ask questions, and yield each row as it ends.

    A row that has an answer in the store is not asked. All others are asked side by side, and each
    comes once its answer is safe in the store. Leaving early stops the run: rows in flight have a
    moment, and what is answered is stored.

    Args:
        rows: questions, pulled one by one as there is room among the limits: texts, lists of
            messages, `ChatRequest`s or `Question`s; also an asynchronous iterable.
        backend: who is asked.
        store: where answers are kept, as `open_store` takes it; None is the user's own file.
        run: under which name the entries are listed and deleted.
        until: when to stop: a time, or a number of seconds from now.
        wait: whether limits of hours and days are waited for. Else the run ends when nobody may be
            asked within a short time.
        reserve: the share (0 to 1) of each day's limits that is left to others.
        in_flight: how many rows are asked at the same time; None goes by the backend.
        dedupe: whether equal questions are asked once; None: those at temperature 0.
        progress: what is kept up to date meanwhile; None makes one.
        engine: "ray" asks on the nodes of a Ray cluster; see `freeproviders.batch.ray.OnRay`.
        address: where that cluster is, host:port; "auto" is the one of this machine.
        settings: of the requests, as `Backend.request` takes them, and configuration for this run.
            `response_format` may be a class; `Row.data` then is an instance.

    Raises:
        UsageError: at the call itself: settings that cannot work.
        AnswerStoreError: while iterating: the store cannot be used.
        LedgerError: while iterating: the limits cannot be kept.
    """
    if not 0 <= reserve < 1:
        raise UsageError(f"reserve must be a share of at least 0 and below 1, not {reserve!r:.200}.")
    if in_flight is not None:
        whole_number("in_flight", in_flight, 1)
    asked = Backend.of(backend)
    configuration, settings = split(settings, asked.name)
    if configuration:
        asked = asked.configured(**configuration)
    asked = _placed(asked, engine, address)
    return Answered(
        _Run(
            rows,
            asked,
            reader=Reader(asked, settings, dedupe=dedupe),
            store=open_store(store),
            name=run if isinstance(run, Run) else Run(name=run),
            progress=Progress() if progress is None else progress,
            until=_seconds_from(until),
            wait=wait,
            reserve=reserve,
            width=in_flight,
        )
    )


def _placed(backend: Backend, engine: str, address: str) -> Backend:
    """Return what asks a backend where it is to be asked."""
    one_of("engine", engine, get_args(Engine))
    if engine == "local":
        return backend
    from freeproviders.batch.ray.placed import OnRay  # noqa: PLC0415 - for who has several machines

    return OnRay(backend, address=address)


async def batch(
    rows: Rows,
    backend: Backend | Askable,
    *,
    on_row: Callable[[Row], object] | None = None,
    **keywords: Any,
) -> Report:
    """Ask questions to the end, and return what became of them.

    `on_row` is called with each row as it ends; the other keywords are those of `answered`.

    Raises as `answered` does.
    """
    run = answered(rows, backend, **keywords)
    async with aclosing(run):
        async for row in run:
            if on_row is not None:
                on_row(row)
    return run.report


def batch_sync(
    rows: Rows,
    backend: Backend | Askable,
    *,
    on_row: Callable[[Row], object] | None = None,
    **keywords: Any,
) -> Report:
    """Do as `batch` in code without an event loop; `rows` and `on_row` are used on another thread."""
    return bridge.run(batch(rows, backend, on_row=on_row, **keywords))


async def kept(
    rows: Rows,
    backend: Backend | Askable,
    *,
    store: str | Path | AnswerStore | None = None,
    dedupe: bool | None = None,
    **settings: Any,
) -> AsyncGenerator[Row, None]:
    """Yield what the store has of each question, in their order; nobody is asked.

    A row without an answer is "exhausted". The keywords are those of `answered`.
    """
    asked = Backend.of(backend)
    configuration, settings = split(settings, asked.name)
    if configuration:
        asked = asked.configured(**configuration)
    opened = open_store(store)
    turn = asyncio.Event()
    source = Source(rows, Reader(asked, settings, dedupe=dedupe), turn.set)
    try:
        while not source.ended:
            turn.clear()
            taken = await source.take(_MOST_AHEAD)
            if not taken and not source.ended:
                await turn.wait()
                continue
            found = await _looked_up(opened, taken)
            for item in taken:
                if isinstance(item, Unusable):
                    yield Row(index=item.index, state="refused", error=item.error)
                else:
                    yield _row_of(item, found.get(item.key)) or Row(
                        index=item.index, state="exhausted", tries=item.tries, error=item.error, key=item.key
                    )
    finally:
        await source.close()


class Answered(AsyncGenerator[Row, None]):
    """The rows of a run as they end; `report` sums up what became of them so far."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._rows = run.rows()

    @property
    def progress(self) -> Progress:
        """The state of the run, which changes as it goes on."""
        return self._run.progress

    @property
    def report(self) -> Report:
        """What became of the rows so far."""
        return self._run.report()

    def stop(self, why: str = "It was stopped.") -> None:
        """Ask nobody any more: the rows in flight have a moment, and the iteration ends with the others."""
        self._run.stop(End(why))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Row:
        return await self._rows.__anext__()

    async def asend(self, value: None) -> Row:
        """Behave as in every asynchronous generator."""
        return await self._rows.asend(value)

    async def athrow(self, *args: Any) -> Row:
        """Behave as in every asynchronous generator."""
        return await self._rows.athrow(*args)

    async def aclose(self) -> None:
        """Stop the run: rows in flight have a moment, and what is answered is stored."""
        await self._rows.aclose()


class _Run:
    """The state of a run. Only the event loop touches it."""

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
    ) -> None:
        self.progress = progress
        self._backend = backend
        self._store = store
        self._name = name
        # Where no limits are kept, each row has its room at once, and nobody need wait for the word.
        self._gated = backend.announces_admission and getattr(backend, "keeps_limits", True)
        self._keep = reserve
        self._width = width
        self._until_seconds = until
        self._wait = wait
        self._turn = asyncio.Event()
        self._source = Source(rows, reader, self._turn.set)
        if self._source.total is not None:
            progress.total = self._source.total
        self._ahead = _AHEAD
        self._open: dict[int, Item] = {}
        self._ready: deque[Item] = deque()
        self._waiting: list[tuple[float, int, Item]] = []
        self._asking: dict[Item, asyncio.Task[None]] = {}
        self._leaders: dict[bytes, Item] = {}
        self._since: dict[bytes, Entry] = {}
        self._safe: list[bytes] = []
        self._followers = 0
        self._out: deque[Row] = deque()
        self._read = asyncio.Event()
        self._end: End | None = None
        self._broken: BaseException | None = None

    # --- for whoever reads ---

    async def rows(self) -> AsyncGenerator[Row, None]:
        """Yield the rows as they end."""
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
            await _ended(driving)
        if self._broken is not None:
            raise self._broken

    def report(self) -> Report:
        """Sum up what became of the rows so far."""
        end = self._end or End("")
        return Report.of(self.progress, why=end.why, soonest=end.soonest, ended=self._source.ended)

    def stop(self, end: End) -> None:
        """Ask nobody any more."""
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
        self.progress.began = monotonic()

    async def _drive(self) -> None:
        """Ask row after row, up to the end of the run."""
        try:
            if self._name.name:
                began = replace(self._name, rows=self._source.total, began=time())
                await asyncio.wrap_future(self._store.begin(began))
            if self._width is None:
                self._width = await width_of(self._backend)
            while (item := await self._next()) is not None:
                await self._begin_asking(item)
            if self._end is None:  # all is done
                self._end = End("")
        except Exception as error:  # noqa: BLE001 - raised to whoever reads the rows
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
            if len(self._asking) >= self._width or len(self._out) > _MOST_UNREAD:
                await self._turned()
                continue
            paused = self._outage.is_on and bool(self._waiting)
            if not paused:
                if (item := self._due(now)) is not None:
                    return item
                if len(self._waiting) + self._followers < _MOST_WAITING:
                    if (item := await self._pulled()) is not None:
                        return item
                    if not self._source.ended and not self._ready:
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

    def _due(self, now: float) -> Item | None:
        """Return a row that has failed and may be asked again by now."""
        if self._waiting and self._waiting[0][0] <= now:
            return self._popped()
        return None

    def _popped(self) -> Item:
        item = heappop(self._waiting)[2]
        self.progress.later = len(self._waiting)
        return item

    async def _first_in_line(self) -> Item | None:
        """Wait until the first of those that have failed may be asked again, or give up."""
        item = self._waiting[0][2]
        at = self._outage.next_at(item)
        if at <= self._clock():
            self.progress.pause = None
            return self._popped()
        if (end := self._outage.end(item, until=self._until)) is not None:
            self._end = end
            return None
        until = datetime.now(UTC) + timedelta(seconds=at - self._clock())
        self.progress.pause = Pause(until, str(item.error or ""))
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

    # --- rows from the source ---

    async def _pulled(self) -> Item | None:
        """Return the next row that has no answer; None where there is none, or none has come yet."""
        while True:
            while self._ready:
                item = self._ready.popleft()
                if not item.merges or self._leads(item):
                    return item
                if self._followers >= _MOST_WAITING:
                    return None
            if self._source.ended or self._end is not None or len(self._out) > _MOST_UNREAD:
                return None
            taken = await self._source.take(self._ahead)
            if not taken:
                return None
            safe, self._safe = self._safe, []
            found = await _looked_up(self._store, taken)
            for key in safe:  # they were there to be found
                self._since.pop(key, None)
            rows: list[Row] = []
            for one in taken:
                if isinstance(one, Unusable):
                    rows.append(Row(index=one.index, state="refused", error=one.error))
                elif (row := _row_of(one, found.get(one.key))) is not None:
                    rows.append(row)
                else:
                    self._open[one.index] = one
                    self._ready.append(one)
            self._hand_on(rows)
            self._ahead = min(2 * self._ahead, _MOST_AHEAD) if not self._ready else _AHEAD

    def _leads(self, item: Item) -> bool:
        """Return whether a row is to be asked; if not, it follows an equal one."""
        if (leader := self._leaders.get(item.key)) is not None:
            leader.followers.append(item.index)
            self._followers += 1
            self._open.pop(item.index, None)
            return False
        if (entry := self._since.get(item.key)) is not None and (row := _row_of(item, entry)) is not None:
            self._open.pop(item.index, None)
            self._commits.add(item.key, entry, [row])  # behind the first one, which may not be safe yet
            return False
        self._leaders[item.key] = item
        return True

    # --- one row ---

    async def _begin_asking(self, item: Item) -> None:
        """Ask a row, and wait until it is admitted or has ended."""
        item.admitted = not self._gated
        if not item.fails:
            item.mark = self._outage.answers
        task = asyncio.ensure_future(self._ask(item))
        self._asking[item] = task
        self.progress.running = len(self._asking)
        while not item.admitted and item in self._asking and self._end is None:
            await self._turned()
            if self._clock() >= self._until:
                break

    async def _ask(self, item: Item) -> None:
        began = monotonic()
        try:
            completion = await whole(self._backend.answer(self._written(item)))
            data = None if item.form is None else item.form.read(completion)
            value = to_plain(completion)
        except FreeProvidersError as error:
            self._note_failure(item, error, began)
        except Exception as raised:  # noqa: BLE001 - a backend of the caller's may raise anything
            if self._backend.base_url:
                self._break(raised)
            else:
                its = translated(raised)
                its.__cause__ = raised
                self._note_failure(item, its, began)
        else:
            self._outage.answered()
            entry = Entry(state="done", value=value, tries=item.tries, at=time())
            self._finish(item, entry, "done", completion=completion, data=data)
        finally:
            self._asking.pop(item, None)
            self.progress.running = len(self._asking)
            self._turn.set()

    def _written(self, item: Item) -> ChatRequest:
        """Write the request of a row for this attempt."""
        request = item.request
        own = request.listener

        def heard(event: Event) -> None:
            if event.__class__ is Admitted and not item.admitted:
                item.admitted = True
                self._turn.set()
            if own is not None:
                own(event)

        wait = request.wait_up_to
        if wait is None:
            wait = max(0.0, min(SHORT_SECONDS, self._until - self._clock()))
        keep = max(self._keep, request.keep)
        # An empty answer would be stored for good: it is asked for again, unless the caller allows it.
        empty = request.on_empty or "error"
        return replace(request, stream=False, listener=heard, keep=keep, wait_up_to=wait, on_empty=empty)

    def _note_failure(self, item: Item, error: FreeProvidersError, began: float) -> None:
        kind: Kind = kind_of(error.about(self._backend.name, item.request.model or self._backend.model))
        if kind == "run":
            self._break(error)
            self._waits(item)
            return
        if kind == "question":
            if getattr(error, "attempts", 0):  # somebody has read it
                self._outage.answered()
            self._finish(item, _entry("refused", error, item.tries), "refused", error=error)
            return
        before = trail_of(item.error)
        counts = self._outage.failed(item, error, kind)
        if counts:
            _tell(error, before, began)
        if item.tries >= MOST_TRIES:
            self._finish(item, _entry("poisoned", error, item.tries), "poisoned", error=error)
            return
        if counts:
            self._commits.add(item.key, _entry("failed", error, item.tries))
        self._waits(item)

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
        self._open.pop(item.index, None)
        self._followers -= len(item.followers)
        if item.merges:
            self._leaders.pop(item.key, None)
            self._since[item.key] = entry
        self._commits.add(item.key, entry, rows)

    # --- the end ---

    def _written_safely(self, rows: Sequence[Row]) -> None:
        if self._since:
            self._safe += [row.key for row in rows]
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
        self.stop(End(str(error)))

    async def _wind_up(self) -> None:
        """Give the rows in flight a moment, store what is answered, and name what has no answer."""
        over = self._clock() >= self._until
        tasks = dict(self._asking)
        for item, task in tasks.items():
            if not item.admitted:
                task.cancel()
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
        await self._source.close()
        unanswered = [
            Row(index=index, state="exhausted", error=item.error, tries=item.tries, key=item.key)
            for item in self._open.values()
            for index in (item.index, *item.followers)
        ]
        self._open.clear()
        self._hand_on(sorted(unanswered, key=lambda row: row.index))


def _tell(error: FreeProvidersError, before: Sequence[Attempt], began: float) -> None:
    """Add a failed try to the trail of its error, behind those of earlier tries."""
    own = trail_of(error) or (
        Attempt(
            error.provider,
            error.model,
            error.wording,
            getattr(error, "attempts", 1),
            monotonic() - began,
        ),
    )
    vars(error)["trail"] = (*before, *own)


def _entry(state: Any, error: FreeProvidersError, tries: int) -> Entry:
    return Entry(state=state, value=error_to_plain(error), tries=tries, at=time())


def _row_of(item: Item, entry: Entry | None) -> Row | None:
    """Return the row of an entry; None where it is to be asked."""
    if entry is None:
        return None
    if entry.state == "done":
        completion = from_plain(entry.value)
        data = None if item.form is None else item.form.read(completion)
        return Row(
            index=item.index,
            state="done",
            completion=completion,
            data=data,
            kept=True,
            tries=entry.tries,
            key=item.key,
        )
    error = error_from_plain(entry.value)
    if entry.state == "failed":
        item.tries, item.error = entry.tries, error
        return None
    return Row(index=item.index, state=entry.state, error=error, kept=True, tries=entry.tries, key=item.key)


async def _looked_up(store: AnswerStore, taken: Sequence[Item | Unusable]) -> dict[bytes, Entry]:
    keys = [item.key for item in taken if isinstance(item, Item)]
    return await asyncio.wrap_future(store.get(keys)) if keys else {}


async def _ended(task: asyncio.Future[None]) -> None:
    """Wait for the end of a task, also where this one is cancelled; a second time cancels it too."""
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                task.cancel()
                raise


def _seconds_from(until: datetime | timedelta | float | None) -> float:
    """Return the seconds from now until a time, `inf` for None."""
    match until:
        case None:
            return inf
        case datetime():
            return (until - datetime.now(until.tzinfo)).total_seconds()
        case timedelta():
            return until.total_seconds()
        case bool():
            pass
        case int() | float() if until >= 0:
            return float(until)
    raise UsageError(f"until must be a time or a number of seconds from now, not {until!r:.200}.")
