"""Answers written to the store in groups; a row is handed on once its group is safe."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from freeproviders.answers.entry import Entry
from freeproviders.answers.store import AnswerStore
from freeproviders.batch.rows import Row

GROUP_SECONDS: Final = 0.08
"""How long the first answer of a group waits for others."""
GROUP_ROWS: Final = 500
"""A group of so many entries is written at once."""


class Committer:
    """Writes entries in groups.

    Args:
        store: where they go.
        run: the run that they belong to.
        hand_on: is called with the rows of each group that was written, in their order.
        failed: is called with the error where a group could not be written.
    """

    def __init__(
        self,
        store: AnswerStore,
        run: str,
        hand_on: Callable[[Sequence[Row]], object],
        failed: Callable[[BaseException], object],
    ) -> None:
        self._store = store
        self._run = run
        self._hand_on = hand_on
        self._failed = failed
        self._entries: list[tuple[bytes, Entry]] = []
        self._rows: list[Row] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Future[None]] = set()
        self._loop = asyncio.get_running_loop()

    def add(self, key: bytes, entry: Entry, rows: Sequence[Row] = ()) -> None:
        """Take an entry, and the rows that end with it."""
        self._entries.append((key, entry))
        self._rows += rows
        if len(self._entries) >= GROUP_ROWS:
            self.write()
        elif self._timer is None:
            self._timer = self._loop.call_later(GROUP_SECONDS, self.write)

    async def all_written(self) -> None:
        """Write what waits, and wait until all of it is safe or has failed."""
        self.write()
        while self._writing:
            await asyncio.wait(self._writing)

    def write(self) -> None:
        """Begin to write what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._entries:
            return
        entries, self._entries = self._entries, []
        rows, self._rows = self._rows, []
        try:
            future = asyncio.wrap_future(self._store.put(entries, run=self._run))
        except Exception as error:  # noqa: BLE001 - whatever a store raises ends the run
            self._failed(error)
            return
        self._writing.add(future)

        def written(done: asyncio.Future[None]) -> None:
            self._writing.discard(done)
            if done.cancelled():
                self._failed(asyncio.CancelledError())
            elif (error := done.exception()) is not None:
                self._failed(error)
            else:
                self._hand_on(rows)

        future.add_done_callback(written)
