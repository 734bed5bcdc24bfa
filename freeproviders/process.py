"""Values of which each process has its own: made on first use, not shared over a fork."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_ended_first: Final[list[Callable[[], None]]] = []
_ended_last: Final[list[Callable[[], None]]] = []


@atexit.register
def _end_all() -> None:
    """End the values. The order of imports, which differs between programs, plays no part in it."""
    with ExitStack() as stack:  # which calls the latest first, and goes on after an error
        for end in (*_ended_last, *_ended_first):
            stack.callback(end)


class PerProcess(Generic[T]):
    """A value of which each process has its own.

    A fork copies the parent's value but neither its threads nor the right to its sockets and
    children. So the child forgets the value, without closing or collecting it, and makes its own
    when it needs one. To be used for module variables: an instance lives as long as the process.

    Args:
        make: makes the value.
        usable: says whether the value can still be used; where not, another one is made. None: it
            lasts.
        after_fork: called in a forked child with the parent's value, to take out of it what must
            not be closed here.
        at_exit: called with the value at the interpreter's end.
        last: ends the value after those of all others, since they use it.
    """

    def __init__(
        self,
        make: Callable[[], T],
        *,
        usable: Callable[[T], bool] | None = None,
        after_fork: Callable[[T], None] | None = None,
        at_exit: Callable[[T], None] | None = None,
        last: bool = False,
    ) -> None:
        self._make = make
        self._usable = usable
        self._after_fork = after_fork
        self._at_exit = at_exit
        self._lock = threading.Lock()
        self._value: T | None = None
        self._inherited: list[T] = []
        (_ended_last if last else _ended_first).append(self._end)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def get(self) -> T:
        """Return the process's value. Raises the errors of `make`."""
        with self._lock:
            if self._value is None or (self._usable is not None and not self._usable(self._value)):
                self._value = self._make()
            return self._value

    def _forget(self) -> None:
        self._lock = threading.Lock()  # a thread that does not exist here may hold the old one
        if self._value is not None:
            self._inherited.append(self._value)  # its finalizers must not run here
            if self._after_fork is not None:
                self._after_fork(self._value)
        self._value = None

    def _end(self) -> None:
        if self._value is not None and self._at_exit is not None:
            self._at_exit(self._value)
