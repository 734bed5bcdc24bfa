"""The one place where sync meets async: a daemon thread with an event loop, one for each process.

Sync calls work from any thread, inside a running loop (notebooks) and after a fork. What travels between the threads is a whole batch,
never a single part: waking a thread costs more than decoding a hundred parts.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextvars
import os
import queue
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import suppress
from typing import Any, Final, TypeVar

from freeproviders.errors import SyncOnLoopError

T = TypeVar("T")

_HIGH_WATER: Final = 16
"""Items that may wait for the consumer before the producer pauses."""
_END: Final = object()


class _Portal:
    """The background loop and its thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.stopping = False
        self.thread = threading.Thread(target=self._serve, name="freeproviders", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            while not self.stopping:
                with suppress(
                    SystemExit, KeyboardInterrupt
                ):  # asyncio lets these out of a task, to whose caller they belong, and stops for everybody
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


_portal: _Portal | None = None
_lock = threading.Lock()


def _get_portal() -> _Portal:
    global _portal  # noqa: PLW0603 - one for each process
    with _lock:
        if _portal is None or not _portal.thread.is_alive():
            _portal = _Portal()
        if threading.current_thread() is _portal.thread:
            raise SyncOnLoopError(
                "A sync call was made on the thread that has to answer it. Use the async method here."
            )
        return _portal


def _forget_after_fork() -> None:
    """A child has the parent's loop but not its thread."""
    global _portal, _lock
    if _portal is not None:
        _inherited.append(_portal)
    _portal, _lock = None, threading.Lock()


_inherited: list[object] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def _stop_at_exit() -> None:
    if _portal is not None:
        _portal.stop()


atexit.register(_stop_at_exit)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the background loop and wait for its result; Ctrl-C cancels it."""
    try:
        portal = _get_portal()
    except BaseException:
        coroutine.close()
        raise
    future: concurrent.futures.Future[T] = concurrent.futures.Future()
    running = _Started(portal.loop, coroutine, future)
    try:
        portal.loop.call_soon_threadsafe(running.start, context=contextvars.copy_context())
        return future.result()
    except BaseException:
        if not future.done():
            portal.loop.call_soon_threadsafe(running.cancel)
        raise


class _Started:
    """A coroutine that becomes a task on the loop's thread, in the caller's context."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, T],
        future: concurrent.futures.Future[T],
    ) -> None:
        self._loop = loop
        self._coroutine = coroutine
        self._future: concurrent.futures.Future[Any] = future
        self._task: asyncio.Task[Any] | None = None

    def start(self) -> None:
        self._task = self._loop.create_task(self._coroutine)
        self._task.add_done_callback(self._done)

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _done(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self._future.set_exception(concurrent.futures.CancelledError())
        elif (error := task.exception()) is not None:
            self._future.set_exception(error)
        else:
            self._future.set_result(task.result())


def iterate(items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """Iterate over an asynchronous generator that runs on the background loop.

    It runs ahead of the consumer by a bounded number of items. Closing the iterator, or leaving it to the garbage collector, closes the
    generator. Raises `SyncOnLoopError` on the loop's own thread, and in a forked child for an iterator that the parent began.
    """
    pump = _Pump(_get_portal(), items)
    pump.begin()
    try:
        while (item := pump.get()) is not _END:
            yield item
    finally:
        pump.end()


class _Pump:
    """One task for one generator: what it enters, it also leaves."""

    def __init__(self, portal: _Portal, items: AsyncGenerator[Any, None]) -> None:
        self._portal = portal
        self._items = items
        self._queue: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None  # set while the producer waits
        self._over = threading.Event()
        self._ending = False
        self._process = os.getpid()

    def begin(self) -> None:
        self._portal.loop.call_soon_threadsafe(self._start, context=contextvars.copy_context())

    def get(self) -> Any:
        if self._process != os.getpid():
            raise SyncOnLoopError("This stream belongs to the process that forked this one. Ask anew here.")
        item, error = self._queue.get()
        room = self._room
        if room is not None and self._queue.qsize() <= _HIGH_WATER // 2:
            self._portal.loop.call_soon_threadsafe(room.set)
        if error is not None:
            raise error
        return item

    def end(self) -> None:
        if self._over.is_set() or self._process != os.getpid():
            return
        self._portal.loop.call_soon_threadsafe(self._cancel)
        if (
            threading.current_thread() is not self._portal.thread
        ):  # the garbage collector may run on any thread
            self._over.wait(timeout=5)

    def _start(self) -> None:
        self._task = self._portal.loop.create_task(self._pump())

    def _cancel(self) -> None:
        self._ending = True
        if self._task is not None:
            self._task.cancel()

    async def _pump(self) -> None:
        put = self._queue.put
        try:
            try:
                async for item in self._items:
                    put((item, None))
                    if self._queue.qsize() >= _HIGH_WATER:
                        await self._wait_for_room()
            finally:
                await self._items.aclose()
        except asyncio.CancelledError:
            wanted = self._ending or self._portal.stopping
            put(
                (_END, None if wanted else concurrent.futures.CancelledError())
            )  # cancelled by somebody else, it must not look complete
        except BaseException as error:  # noqa: BLE001 - it belongs to the consumer
            put((_END, error))
        else:
            put((_END, None))
        finally:
            self._over.set()

    async def _wait_for_room(self) -> None:
        self._room = room = asyncio.Event()
        if self._queue.qsize() > _HIGH_WATER // 2:
            await room.wait()
        self._room = None
