"""Asking many questions, in all the ways to do it; how a run goes is `freeproviders.batch.running`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from datetime import datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any, Literal, Self, get_args

from freeproviders import bridge
from freeproviders.abilities import Askable
from freeproviders.answers.entry import Run
from freeproviders.answers.opening import open_store
from freeproviders.answers.store import AnswerStore
from freeproviders.backend import Backend
from freeproviders.batch.ahead import MOST_AHEAD
from freeproviders.batch.entries import looked_up, row_of
from freeproviders.batch.outage import End
from freeproviders.batch.progress import Progress
from freeproviders.batch.reading import Reader, Source, Unusable
from freeproviders.batch.report import Report
from freeproviders.batch.rows import Row
from freeproviders.batch.running import Rows, Running
from freeproviders.batch.terms import with_terms
from freeproviders.checks import caution, one_of, whole_number
from freeproviders.configuration import split
from freeproviders.errors import NotAskedWarning, UsageError

Engine = Literal["local", "ray"]
"""Where rows are asked: by this process, or on the nodes of a Ray cluster."""


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
    accept_terms: Iterable[str] = (),
    engine: Engine = "local",
    address: str = "auto",
    stream: bool = False,
    again: bool = True,
    **settings: Any,
) -> Answered:
    """Ask questions, and yield each row as it ends.

    A row that has an answer in the store is not asked. All others are asked side by side, and each
    comes once its answer is safe in the store. Leaving early stops the run: rows in flight have a
    moment, and what is answered is stored.

    Args:
        rows: questions, pulled one by one as there is room among the limits: texts, lists of
            messages, `ChatRequest`s or `Question`s; also an asynchronous iterable.
        backend: the backend that is asked.
        store: where answers are kept, as `open_store` takes it; None is the user's own file.
        run: under which name the entries are listed and deleted.
        until: when to stop: a time, or a number of seconds from now.
        wait: whether limits of hours and days are waited for. Else the run ends when no service
            may be asked within a short time.
        reserve: the share (0 to 1) of each day's limits that is left to others.
        in_flight: how many rows are asked at the same time; None goes by the backend.
        dedupe: whether equal questions are asked once; None: those at temperature 0.
        progress: the object that is kept up to date meanwhile; None makes one.
        accept_terms: services whose terms allow evaluation or non-commercial use only, and which are
            asked all the same. A router leaves out the others, with a `NotAskedWarning`.
        engine: "ray" asks on the nodes of a Ray cluster; see `freeproviders.batch.ray.OnRay`.
        address: where that cluster is, host:port; "auto" is the one of this machine.
        stream: whether answers are asked for as streams, so that `Completion.first_seconds` is known.
            It changes no answer: the same store serves both.
        again: whether a question is asked again if its answer, after all repairs, is not what was
            required: no valid object, or no valid call. Else its row is "poisoned" at once.
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
    asked, left_out = with_terms(asked, accept_terms)
    for one in left_out:
        caution(f"{one.service} is not asked. {one.why}", NotAskedWarning)
    asked = _placed(asked, engine, address)
    return Answered(
        Running(
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
            stream=stream,
            again=again,
        )
    )


def _placed(backend: Backend, engine: str, address: str) -> Backend:
    """Return what asks a backend where it is to be asked."""
    one_of("engine", engine, get_args(Engine))
    if engine == "local":
        return backend
    from freeproviders.batch.ray.placed import OnRay  # noqa: PLC0415 - only Ray needs it

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
    return await _to_its_end(answered(rows, backend, **keywords), on_row)


def batch_sync(
    rows: Rows,
    backend: Backend | Askable,
    *,
    on_row: Callable[[Row], object] | None = None,
    **keywords: Any,
) -> Report:
    """Do as `batch` in code without an event loop; `rows` and `on_row` are used on another thread.

    Ctrl-C ends the run: rows in flight have a moment, and what is answered is stored.
    """
    run = answered(rows, backend, **keywords)
    try:
        return bridge.run(_to_its_end(run, on_row))
    except KeyboardInterrupt:
        bridge.run(run.over())
        raise


async def _to_its_end(run: Answered, on_row: Callable[[Row], object] | None) -> Report:
    async with aclosing(run):
        async for row in run:
            if on_row is not None:
                on_row(row)
    return run.report


async def kept(
    rows: Rows,
    backend: Backend | Askable,
    *,
    store: str | Path | AnswerStore | None = None,
    dedupe: bool | None = None,
    **settings: Any,
) -> AsyncGenerator[Row, None]:
    """Yield what the store has of each question, in their order; nothing is sent.

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
            taken = await source.take(MOST_AHEAD)
            if not taken and not source.ended:
                await turn.wait()
                continue
            found = await looked_up(opened, taken)
            for item in taken:
                if isinstance(item, Unusable):
                    yield Row(index=item.index, state="refused", error=item.error)
                else:
                    yield row_of(item, found.get(item.key)) or Row(
                        index=item.index, state="exhausted", tries=item.tries, error=item.error, key=item.key
                    )
    finally:
        await source.close()


class Answered(AsyncGenerator[Row, None]):
    """The rows of a run as they end; `report` sums up what became of them so far."""

    def __init__(self, run: Running) -> None:
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
        """Send no further request: rows in flight have a moment, and the iteration ends with the others."""
        self._run.stop(End(why))

    async def over(self) -> None:
        """Wait until a run that is read elsewhere has ended and is stored; do not wait before it begins."""
        if self._run.begun:
            await self._run.over.wait()

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
