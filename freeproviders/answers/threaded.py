"""A store of answers for callers that must not wait: one thread does the work of each place."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from freeproviders.answers.entry import Entry, Run
from freeproviders.answers.store import KEY_BYTES, Kept
from freeproviders.errors import AnswerStoreError, UsageError
from freeproviders.private_file import FileError
from freeproviders.process import PerProcess

T = TypeVar("T")

_MOST_AT_ONCE: Final = 1000
"""So many entries that wait are written in one transaction, where several puts have come meanwhile."""

Put = tuple[Sequence[tuple[bytes, Entry]], str]
"""Entries, and the run that they belong to."""


class Place(Protocol):
    """Whatever keeps entries; its methods block, and one thread calls them.

    They do what those of `AnswerStore` do, and raise `FileError` or `AnswerStoreError`.
    """

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """Read what there is under the keys, all of one moment."""
        ...

    def put(self, puts: Sequence[Put]) -> None:
        """Write the entries of several puts, all or none; a run that was not begun is begun with them."""
        ...

    def forget(self, keys: Sequence[bytes]) -> None:
        """Delete the entries under the keys."""
        ...

    def begin(self, run: Run) -> None:
        """Note that a run was begun, or is gone on with."""
        ...

    def kept(self) -> list[Kept]:
        """Count what there is, by run, the latest first."""
        ...

    def delete(self, run: str | None, older_than: float | None) -> int:
        """Delete a run's entries, or all; return their number."""
        ...

    def close(self) -> None:
        """Close the place; the next call opens it again."""
        ...


class ThreadedStore:
    """A store of answers at a place that is opened when it is first used; see `AnswerStore`.

    It may be used from any thread and event loop, pickled, and used on both sides of a fork: each
    process opens the place for itself.

    Args:
        where: what the place is known by in this process, and how it is opened in another one.
        shown: the same for people.
        make: makes the place; nothing is opened before it is used.
    """

    def __init__(self, where: str, shown: str, make: Callable[[], Place]) -> None:
        self.where = where
        self.place = shown
        self._make = make

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.place!r})"

    def get(self, keys: Sequence[bytes]) -> Future[dict[bytes, Entry]]:
        """Read what there is under the keys, all of one moment."""
        wanted = [_checked(key) for key in keys]
        return self._worker().do(lambda place: place.get(wanted))

    def put(self, entries: Sequence[tuple[bytes, Entry]], *, run: str = "") -> Future[None]:
        """Write entries over what is there, all or none; done when they are safe on the disk.

        An entry that is "done" is never overwritten by another one.
        """
        return self._worker().put(([(_checked(key), _fit(entry)) for key, entry in entries], run))

    def forget(self, keys: Sequence[bytes]) -> Future[None]:
        """Delete the entries under the keys, as those that cannot be read: others may be put there."""
        unwanted = [_checked(key) for key in keys]
        return self._worker().do(lambda place: place.forget(unwanted))

    def begin(self, run: Run) -> Future[None]:
        """Note that a run was begun, or is gone on with; the time of its first beginning stays."""
        if not run.name:
            raise UsageError("A run needs a name.")
        return self._worker().do(lambda place: place.begin(run))

    def kept(self) -> Future[list[Kept]]:
        """Count what there is, by run, the latest first."""
        return self._worker().do(lambda place: place.kept())

    def delete(self, run: str | None = None, *, older_than: float | None = None) -> Future[int]:
        """Delete a run's entries, or all; return their number."""
        return self._worker().do(lambda place: place.delete(run, older_than))

    def close(self) -> None:
        """Write what waits and close; the next call opens it again."""
        worker = _workers.get().get(self.where)
        if worker is not None:
            worker.close()

    def _worker(self) -> _Worker:
        workers = _workers.get()
        # Of two threads that come first at once, both get the one that was first.
        return workers.get(self.where) or workers.setdefault(self.where, _Worker(self._make))


class _Task(NamedTuple):
    future: Future[Any]
    act: Callable[[Place], Any]
    put: Put | None = None


class _Worker:
    """The thread of a place. Tasks are done in the order in which they came."""

    def __init__(self, make: Callable[[], Place]) -> None:
        self._make = make
        self._place: Place | None = None
        self._tasks: deque[_Task] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ends = False

    def do(self, act: Callable[[Place], T]) -> Future[T]:
        """Have the thread do something."""
        return self._add(_Task(Future(), act))

    def put(self, put: Put) -> Future[None]:
        """Have the thread write something."""
        return self._add(_Task(Future(), partial(_put_one, put), put))

    def close(self) -> None:
        """Wait for what is to be done, and close the place."""
        with self._changed:
            thread = self._thread
            if thread is not None:
                self._ends = True
                self._changed.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _add(self, task: _Task) -> Future[Any]:
        # A caller that gives up does not take back what it wanted to have kept.
        task.future.set_running_or_notify_cancel()
        with self._changed:
            self._tasks.append(task)
            if self._thread is None:
                self._start()
            self._changed.notify()
        return task.future

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="freeproviders-answers", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the interpreter ends, and has no more threads
            self._tasks.pop().future.set_exception(AnswerStoreError(f"The program is ending: {error}."))
        else:
            self._thread = thread

    def _run(self) -> None:
        while tasks := self._next():
            self._do(tasks)
            del tasks  # the results are their callers'

    def _next(self) -> list[_Task]:
        """Wait for tasks that can be done at once: a single one, or puts; none at the end."""
        with self._changed:
            while not self._tasks:
                if self._ends:
                    self._close()
                    self._thread, self._ends = None, False
                    return []
                self._changed.wait()
            tasks = [self._tasks.popleft()]
            size = _size(tasks[0])
            while size and self._tasks and (more := _size(self._tasks[0])) and size + more <= _MOST_AT_ONCE:
                tasks.append(self._tasks.popleft())
                size += more
            return tasks

    def _do(self, tasks: Sequence[_Task]) -> None:
        if len(tasks) == 1 or not self._written_at_once(tasks):
            for task in tasks:
                self._do_one(task)

    def _written_at_once(self, tasks: Sequence[_Task]) -> bool:
        """Write several puts in one transaction; return whether that could be done."""
        try:
            self._opened().put([task.put for task in tasks if task.put is not None])
        except Exception:  # noqa: BLE001 - each of them learns what is wrong with it, one by one
            return False
        for task in tasks:
            task.future.set_result(None)
        return True

    def _do_one(self, task: _Task) -> None:
        try:
            result = task.act(self._opened())
        except FileError as error:
            failed = AnswerStoreError(str(error))
            failed.__cause__ = error
            task.future.set_exception(failed)
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            task.future.set_exception(error)
        else:
            task.future.set_result(result)

    def _opened(self) -> Place:
        if self._place is None:
            self._place = self._make()
        return self._place

    def _close(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            place.close()


def _size(task: _Task) -> int:
    """Count the entries of a put, 0 for any other task."""
    return 0 if task.put is None else max(1, len(task.put[0]))


def _put_one(put: Put, place: Place) -> None:
    place.put([put])


def _checked(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise UsageError(f"A key has {KEY_BYTES} bytes, not {len(key)}: see request_key.")
    return key


def _fit(entry: Entry) -> Entry:
    if not isinstance(entry.value, bytes):
        raise UsageError(f"The value of an entry must be bytes, not {type(entry.value).__name__}.")
    return entry


def _close_all(workers: dict[str, _Worker]) -> None:
    for worker in list(workers.values()):
        worker.close()


_workers: Final = PerProcess[dict[str, _Worker]](dict, at_exit=_close_all)
