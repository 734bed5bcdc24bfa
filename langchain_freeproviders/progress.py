"""How far a long call is, shown to the user."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from types import TracebackType
from typing import Any, Self

Progress = Callable[[int, int], Any]
"""Called with the texts that are done and the texts in all."""


class ShownProgress:
    """A bar of tqdm where it is installed, else a line on the standard error that is written anew.

    Args:
        also: a function of the caller that is called as well.
    """

    def __init__(self, also: Progress | None) -> None:
        self._also = also
        self._bar: Any = None
        try:
            self._tqdm = import_module("tqdm.auto").tqdm
        except ImportError:
            self._tqdm = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tqdm is None:
            sys.stderr.write("\n")
        elif self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, count: int) -> None:
        """Show how far it is."""
        if self._tqdm is None:
            sys.stderr.write(f"\r{done} of {count} texts have their vectors.")
            sys.stderr.flush()
        else:
            self._bar = self._bar or self._tqdm(total=count, unit=" texts")
            self._bar.update(done - self._bar.n)
        if self._also is not None:
            self._also(done, count)
