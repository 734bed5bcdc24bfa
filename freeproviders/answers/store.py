"""What callers ask of a store of answers, whatever keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Protocol

from freeproviders.answers.entry import Entry, Run

KEY_BYTES: Final = 32
"""The length of a key: a SHA-256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a store keeps of a run, or of everything that belongs to none (a name of "").

    `states` counts the entries by state, `bytes` sums their values, `first` and `latest` are when
    they were written, in seconds since 1970 (UTC).
    """

    run: Run
    states: Mapping[str, int]
    bytes: int
    first: float
    latest: float


class AnswerStore(Protocol):
    """A place that keeps entries by key, for any number of threads, loops and processes.

    Every method returns at once. Its future is done on another thread (`asyncio.wrap_future` awaits
    it) and may have an `AnswerStoreError`, which says what is wrong with the place and what to do.
    """

    @property
    def place(self) -> str:
        """Where it is, for people: a path, or a URL without its password."""
        ...

    def get(self, keys: Sequence[bytes]) -> Future[dict[bytes, Entry]]:
        """Read what there is under the keys, all of one moment."""
        ...

    def put(self, entries: Sequence[tuple[bytes, Entry]], *, run: str = "") -> Future[None]:
        """Write entries over what is there, all or none; done when they are safe on the disk.

        An entry that is "done" is never overwritten by another one.
        """
        ...

    def forget(self, keys: Sequence[bytes]) -> Future[None]:
        """Delete the entries under the keys, as those that cannot be read: others may be put there."""
        ...

    def begin(self, run: Run) -> Future[None]:
        """Note that a run was begun, or is gone on with; the time of its first beginning stays."""
        ...

    def kept(self) -> Future[list[Kept]]:
        """Count what there is, by run, the latest first."""
        ...

    def delete(self, run: str | None = None, *, older_than: float | None = None) -> Future[int]:
        """Delete a run's entries, or all; return their number.

        `older_than` spares those that were written within so many seconds.
        """
        ...

    def close(self) -> None:
        """Write what waits and close; the next call opens it again."""
        ...
