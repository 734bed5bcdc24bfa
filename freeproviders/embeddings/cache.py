"""Vectors that were asked for once, kept on disk, so that no text is embedded twice."""

from __future__ import annotations

import json
import os
import time
import warnings
from array import array
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from freeproviders.embeddings.cache_file import Found, Place, StoredFamily, VectorFile
from freeproviders.embeddings.family import Family
from freeproviders.errors import FamilyMismatchError, UsageError, VectorCacheError, VectorCacheWarning
from freeproviders.folders import cache_dir
from freeproviders.naming import argument
from freeproviders.private_file import FileError
from freeproviders.process import PerProcess
from freeproviders.sqlite_file import ForeignFileError, files_of, remove
from freeproviders.wire.embeddings.request import Role
from freeproviders.wire.embeddings.vectors import Vectors

_NO_OPTIONS: Final[Mapping[str, Any]] = MappingProxyType({})
_RETRY_SECONDS: Final = 60.0


def default_path() -> Path:
    """Return the file of the user's cache folder, which need not exist."""
    return cache_dir() / "embeddings" / "vectors.db"


class VectorCache:
    """Vectors by family, role, truncation, options and the text's SHA-256; the text itself is not kept.

    Any number of processes, threads and objects may use one file at a time. Its methods block: an
    event loop has a thread call them. A file that cannot be used (a full disk, no right to write, a
    damaged file) costs no answer: a `VectorCacheWarning` says why, once for each reason, and for a
    minute nothing is found and nothing kept. A file of another program is refused.

    Args:
        path: the file, which need not exist; "" is the one in the user's cache folder.
    """

    def __init__(self, path: str | Path = "") -> None:
        self.path = Path(path).expanduser().absolute() if str(path) else default_path().absolute()

    @classmethod
    def of(cls, cache: bool | str | Path | VectorCache | None) -> VectorCache | None:
        """Return the cache that an argument names: True the user's own, False or None none."""
        if isinstance(cache, VectorCache):
            return cache
        if isinstance(cache, bool) or cache is None:
            return cls() if cache else None
        if not isinstance(cache, str | os.PathLike):
            raise UsageError(
                f"{argument('cache')} must be True, False or a path, not {type(cache).__name__}."
            )
        return cls(cache)

    def __eq__(self, other: object) -> bool:
        return self.path == other.path if isinstance(other, VectorCache) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"VectorCache({str(self.path)!r})"

    def get(
        self,
        family: Family,
        role: Role,
        texts: Sequence[str],
        *,
        truncate: bool = False,
        options: Mapping[str, Any] = _NO_OPTIONS,
    ) -> Found:
        """Return which of the texts have vectors, and these.

        Where the family's size is not known, it is the one that was last kept for such a family.
        Raises `VectorCacheError` where the file is of another program.
        """
        state = self._state()
        if not state.is_off():
            try:
                return state.file.find(_place(family, role, truncate, options), _hashes(texts))
            except FileError as error:
                state.failed(error)
        return Found(family, [], Vectors(array("f"), 0), [])

    def put(
        self,
        family: Family,
        role: Role,
        texts: Sequence[str],
        vectors: Vectors,
        *,
        truncate: bool = False,
        options: Mapping[str, Any] = _NO_OPTIONS,
        cut: Collection[int] = (),
    ) -> None:
        """Keep the vectors of texts, in one transaction; `cut` has the places of those that were cut.

        Raises:
            FamilyMismatchError: the vectors are of another size than the family, or than those that
                are kept for it while its own size is not known.
            VectorCacheError: the file is of another program.
        """
        state = self._state()
        if state.is_off() or not texts:
            return
        try:
            state.file.put(_place(family, role, truncate, options), _hashes(texts), vectors, cut)
        except FileError as error:
            state.failed(error)
        except FamilyMismatchError as error:
            error.advice = self.advice(error.stored)
            raise

    def advice(self, fingerprint: str) -> str:
        """Say what to do where a model no longer answers with vectors of a family that is kept."""
        return (
            f"Name another file than {self.path}, or delete what the model answered before: "
            f"freeproviders embeddings delete {fingerprint!r}."
        )

    def families(self) -> list[StoredFamily]:
        """Return what is kept of each family. Raises `VectorCacheError` where that cannot be read."""
        if not self.path.exists():
            return []
        try:
            return self._state().file.families()
        except FileError as error:
            raise VectorCacheError(str(error)) from error

    def delete(self, fingerprint: str | None = None) -> int:
        """Forget the vectors of a family, or of all; return their number.

        Raises `VectorCacheError` where the file cannot be written.
        """
        if not self.path.exists():
            return 0
        try:
            return self._state().file.delete(fingerprint)
        except FileError as error:
            raise VectorCacheError(str(error)) from error

    @property
    def size(self) -> int:
        """Bytes on disk, 0 where there is no file."""
        size = 0
        for path in files_of(self.path):
            if not path.name.endswith("-shm"):  # memory that processes share
                with suppress(OSError):
                    size += path.stat().st_size
        return size

    def remove(self) -> None:
        """Delete the file itself, for one that is damaged. Raises `VectorCacheError`."""
        self._state().file.close()
        try:
            remove(self.path)
        except FileError as error:
            raise VectorCacheError(str(error)) from error

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._state().file.close()

    def _state(self) -> _State:
        states = _states.get()
        found = states.get(self.path)
        # Of two threads that come first at once, both get the one that was first.
        return found or states.setdefault(self.path, _State(self.path))


class _State:
    """The one connection of a process to a file, and whether it can be used."""

    def __init__(self, path: Path) -> None:
        self.file = VectorFile(path, own=path == default_path().absolute())
        self._retry_at = 0.0
        self._said: set[str] = set()

    def is_off(self) -> bool:
        """Whether the file could not be used a short while ago."""
        return time.monotonic() < self._retry_at

    def failed(self, error: FileError) -> None:
        """Raise for a file of another program; else go on without for a while, and say so once."""
        if isinstance(error, ForeignFileError):
            raise VectorCacheError(str(error)) from error
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        text = str(error)
        if text not in self._said:
            self._said.add(text)
            warnings.warn(
                f"{text} Vectors are not kept meanwhile, and texts are embedded again.",
                VectorCacheWarning,
                stacklevel=4,
            )


def _place(family: Family, role: Role, truncate: bool, options: Mapping[str, Any]) -> Place:
    said = json.dumps(dict(options), sort_keys=True, default=repr) if options else ""
    return Place(family, role, truncate, said and sha256(said.encode()).hexdigest())


def _hashes(texts: Sequence[str]) -> list[bytes]:
    return [sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]


def _close(states: dict[Path, _State]) -> None:
    for state in states.values():
        state.file.close()


_states: Final = PerProcess[dict[Path, _State]](dict, at_exit=_close)
