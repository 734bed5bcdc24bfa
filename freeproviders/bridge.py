"""The one place where sync meets async: a daemon thread with an event loop, one for each process.

Another thread like it is for guests, clients of other libraries: they keep connections that belong
to the loop that opened them, and some of them block it.

Sync calls work from any thread, inside a running loop (notebooks) and after a fork. What travels
between the threads is a whole batch, never a single part: waking a thread costs more than decoding
a hundred parts.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import os
import queue
import sys
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from freeproviders import journal
from freeproviders.errors import FreeProvidersError, ProviderConnectionError, SyncOnLoopError, UsageError
from freeproviders.process import PerProcess

T = TypeVar("T")

_HIGH_WATER: Final = 16
"""Items that may wait for the consumer before the producer pauses."""
_END: Final = object()
_SLICE_SECONDS: Final = 0.2


class _Portal:
    """The background loop and its thread."""

    def __init__(self, name: str = "freeproviders") -> None:
        self.loop = asyncio.new_event_loop()
        self.stopping = False
        self.thread = threading.Thread(target=self._serve, name=name, daemon=True)
        try:
            self.thread.start()
        except RuntimeError as error:  # from CPython 3.12 on, there are no new threads at exit
            self.loop.close()
            raise UsageError(
                "The interpreter is ending and starts no thread any more: make the first sync call earlier, "
                "or use an async method with asyncio.run."
            ) from error

    @property
    def usable(self) -> bool:
        """Whether the thread runs and will go on."""
        return self.thread.is_alive() and not self.stopping

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            while not self.stopping:
                # asyncio lets these out of a task, to whose caller they belong, and stops the
                # loop for all tasks.
                with suppress(SystemExit, KeyboardInterrupt):
                    self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    def stop(self) -> None:
        """End the loop at interpreter exit, so that sessions are closed."""
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self._cancel_all)
            self.thread.join(timeout=2)

    def _cancel_all(self) -> None:
        self.stopping = True
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        waiting = asyncio.gather(*tasks, return_exceptions=True) if tasks else None
        if waiting is None:
            self.loop.stop()
        else:
            waiting.add_done_callback(lambda _: self.loop.stop())

    def cancelled(self) -> BaseException:
        """The error for a caller whose task was cancelled from elsewhere."""
        if not self.stopping:
            return concurrent.futures.CancelledError()
        return _final("The interpreter is ending: the request was cancelled before the answer was complete.")


_portals: Final = PerProcess(_Portal, usable=lambda portal: portal.usable, at_exit=_Portal.stop)
_guests: Final = PerProcess(
    lambda: _Portal("freeproviders-guests"), usable=lambda portal: portal.usable, at_exit=_Portal.stop
)


def _get_portal() -> _Portal:
    portal = _portals.get()
    if threading.current_thread() is portal.thread:
        raise SyncOnLoopError(
            "A sync method was called on freeproviders' own event-loop thread. Use the async method here."
        )
    return portal


def _final(message: str) -> ProviderConnectionError:
    """The error for an answer that was broken off on this side: trying again makes no sense."""
    error = ProviderConnectionError(message, advice="")
    error.is_retryable = False
    return error


_OURS: Final = ("freeproviders", "langchain_freeproviders", "llama_index_freeproviders")
_BELOW: Final = ("aiohappyeyeballs", "aiohttp", "asyncio", "concurrent", "contextlib", "ssl", "yarl")
_BETWEEN: Final = frozenset({*_OURS, *_BELOW})


def _at_the_call(error: BaseException) -> BaseException:
    """Return an error without the frames of the background loop; it is raised where the call stands.

    An error of the tree says itself what happened. Frames of the caller's own code stay, and all of
    them do where the log is at DEBUG.
    """
    if journal.http.isEnabledFor(journal.DEBUG):
        return error
    found: BaseException | None = error if isinstance(error, FreeProvidersError) else None
    # A trace that is gone already ends the walk, so that a circle of causes has an end too.
    while found is not None and (trace := found.__traceback__) is not None and _is_between(trace):
        found.__traceback__ = None
        found = found.__cause__
    return error


def _is_between(trace: TracebackType | None) -> bool:
    """Return whether all frames are of ours and of the libraries below."""
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0] not in _BETWEEN:
            return False
        trace = trace.tb_next
    return True


# Windows cannot interrupt a wait without a limit: there, Ctrl-C would have to wait for the service.
if sys.platform == "win32":

    def _next(items: queue.SimpleQueue[T]) -> T:
        while True:
            with suppress(queue.Empty):
                return items.get(timeout=_SLICE_SECONDS)

else:
    _next = queue.SimpleQueue.get


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the background loop and wait for its result; Ctrl-C cancels it."""
    try:
        portal = _get_portal()
    except BaseException:
        coroutine.close()
        raise
    running = _Started(portal, coroutine)
    try:
        portal.loop.call_soon_threadsafe(running.start, context=contextvars.copy_context())
        result, error = _next(running.outcome)
    except BaseException:
        with suppress(RuntimeError):  # the loop has been closed
            portal.loop.call_soon_threadsafe(running.cancel)
        raise
    if error is None:
        return result  # type: ignore[no-any-return]
    try:
        raise _at_the_call(error) if isinstance(error, FreeProvidersError) else error
    finally:
        del error  # which holds this frame


class _Started:
    """A coroutine that becomes a task on the loop's thread, in the caller's context.

    `outcome` gets its result and its error, one of which is None. It takes a third of the time of a
    future, which can do more than wake one thread.
    """

    def __init__(self, portal: _Portal, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._portal = portal
        self._coroutine = coroutine
        self.outcome: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._task: asyncio.Task[Any] | None = None

    def start(self) -> None:
        self._task = self._portal.loop.create_task(self._coroutine)
        self._task.add_done_callback(self._done)

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _done(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self.outcome.put((None, self._portal.cancelled()))
        elif (error := task.exception()) is not None:
            self.outcome.put((None, error))
        else:
            self.outcome.put((task.result(), None))


class SyncStream(Iterator[T], Generic[T]):
    """The items of an asynchronous generator that runs on the background loop.

    It begins with the first `next`.

    The generator runs ahead of the consumer by a bounded number of items. `close`, also from
    another thread, and the garbage collector close it. A consumer whose stream another thread has
    closed gets a `ProviderConnectionError`, since what it has is no whole answer. Raises
    `SyncOnLoopError` on the loop's own thread, and `UsageError` in a forked child for a stream that
    the parent began.
    """

    def __init__(self, items: AsyncGenerator[T, None]) -> None:
        self._items = items
        self._pump: _Pump | None = None
        self._ended = False
        self._closed_by: int | None = None
        self.consumer: int | None = None
        """The thread that asked last."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        self.consumer = threading.get_ident()
        if self._ended:
            self._check_closed()
            raise StopIteration
        pump = self._pump
        if pump is None:
            pump = self._pump = _Pump(_get_portal(), self._items)
            pump.begin()
        try:
            item = pump.get()
        except BaseException:
            self._ended = True
            pump.end()
            raise
        if item is _END:
            self._ended = True
            self._check_closed()
            raise StopIteration
        return item  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the request, if it has not ended."""
        if not self._ended:
            self._closed_by = threading.get_ident()
            self._ended = True
            if self._pump is not None:
                self._pump.end()

    def _check_closed(self) -> None:
        if self._closed_by is not None and self._closed_by != threading.get_ident():
            raise _final("The stream was closed by another thread before the answer was complete.")

    def __del__(self) -> None:
        self.close()


def iterate(items: AsyncGenerator[T, None]) -> SyncStream[T]:
    """Iterate over an asynchronous generator that runs on the background loop; see `SyncStream`."""
    return SyncStream(items)


async def hosted(items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Iterate over an asynchronous generator that runs on the guests' loop.

    For another library's client: all its calls are then on one loop, from whatever thread. Leaving early
    closes the generator there, at once and without waiting for it.
    """
    pump = _HostedPump(_guests.get(), items)
    pump.begin()
    try:
        while (item := await pump.next()) is not _END:
            yield item
    finally:
        pump.leave()


class _Pump:
    """One task for one generator: what it enters, it also leaves."""

    def __init__(self, portal: _Portal, items: AsyncGenerator[Any, None]) -> None:
        self._portal = portal
        self._items = items
        self._queue: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None  # set while the producer waits
        self._over = threading.Lock()  # held until the generator has ended; quicker than an event
        self._over.acquire()
        self._ending = False
        self._process = os.getpid()

    def begin(self) -> None:
        self._portal.loop.call_soon_threadsafe(self._start, context=contextvars.copy_context())

    def get(self) -> Any:
        if self._process != os.getpid():
            raise UsageError("This stream belongs to the process that forked this one. Ask anew here.")
        item, error = _next(self._queue)
        if item is _END:
            self._queue.put((_END, error))  # for another thread that may wait as well
        self._make_room()
        if error is not None:
            raise _at_the_call(error)
        return item

    def _make_room(self) -> None:
        room = self._room
        if room is not None and self._queue.qsize() <= _HIGH_WATER // 2:
            self._portal.loop.call_soon_threadsafe(room.set)

    def end(self) -> None:
        if not self._over.locked() or self._process != os.getpid():
            return
        with suppress(RuntimeError):  # the loop has been closed
            self._portal.loop.call_soon_threadsafe(self._cancel)
        # The garbage collector may run on any thread.
        if threading.current_thread() is not self._portal.thread and self._over.acquire(timeout=5):
            self._over.release()

    def _put(self, item: tuple[Any, BaseException | None]) -> None:
        self._queue.put(item)

    def _start(self) -> None:
        self._task = self._portal.loop.create_task(self._pump())
        if self._ending:
            self._cancel()

    def _cancel(self) -> None:
        self._ending = True
        if self._task is not None:
            # Behind its first step: a task that is cancelled before it never says that it is over.
            self._portal.loop.call_soon(self._task.cancel)

    async def _pump(self) -> None:
        put = self._put
        try:
            try:
                async for item in self._items:
                    put((item, None))
                    if self._queue.qsize() >= _HIGH_WATER:
                        await self._wait_for_room()
            finally:
                await self._items.aclose()
        except asyncio.CancelledError:
            # Cancelled from elsewhere, it must not look complete.
            put((_END, None if self._ending else self._portal.cancelled()))
        except BaseException as error:  # noqa: BLE001 - it belongs to the consumer
            put((_END, error))
        else:
            put((_END, None))
        finally:
            self._over.release()

    async def _wait_for_room(self) -> None:
        self._room = room = asyncio.Event()
        if self._queue.qsize() > _HIGH_WATER // 2:
            await room.wait()
        self._room = None


class _HostedPump(_Pump):
    """A pump whose consumer has an event loop of its own."""

    def __init__(self, portal: _Portal, items: AsyncGenerator[Any, None]) -> None:
        super().__init__(portal, items)
        self._loop = asyncio.get_running_loop()
        self._filled = asyncio.Event()
        self._waits = False

    async def next(self) -> Any:
        """Wait for the next item."""
        while self._queue.empty():
            self._filled.clear()
            self._waits = True
            if self._queue.empty():  # what comes from now on wakes this loop
                await self._filled.wait()
            self._waits = False
        item, error = self._queue.get_nowait()
        self._make_room()
        if error is not None:
            raise error
        return item

    def leave(self) -> None:
        """Close the generator, if it has not ended."""
        if self._over.locked() and self._process == os.getpid():
            with suppress(RuntimeError):  # the loop has been closed
                self._portal.loop.call_soon_threadsafe(self._cancel)

    def _put(self, item: tuple[Any, BaseException | None]) -> None:
        self._queue.put(item)
        if self._waits:
            self._waits = False
            with suppress(RuntimeError):  # the consumer's loop has been closed
                self._loop.call_soon_threadsafe(self._filled.set)
