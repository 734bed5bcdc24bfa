"""Rows looked up ahead: those that have an answer are handed on, equal ones follow one of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from freeproviders.answers.entry import Entry
from freeproviders.answers.store import AnswerStore
from freeproviders.batch.entries import looked_up, row_of
from freeproviders.batch.reading import Item, Source, Unusable
from freeproviders.batch.rows import Row
from freeproviders.checks import caution
from freeproviders.errors import AnswerStoreWarning

AHEAD: Final = 32
"""Rows that are looked up in the store at once."""
MOST_AHEAD: Final = 512
"""Rows that are looked up at once while all of them have been answered before."""
MOST_FOLLOWERS: Final = 256
"""Rows that wait for an equal one; with more of them, no new row is pulled."""


class Ahead:
    """The rows between their source and the first time that they are asked.

    Args:
        source: where they come from.
        store: where they are looked up.
        hand_on: is called with rows that have ended without a request.
        commit: is called with the key, the entry and the row of one that has ended with an equal one
            whose entry may not be safe yet.
    """

    def __init__(
        self,
        source: Source,
        store: AnswerStore,
        hand_on: Callable[[Sequence[Row]], object],
        commit: Callable[[bytes, Entry, Sequence[Row]], object],
    ) -> None:
        self._source = source
        self._store = store
        self._hand_on = hand_on
        self._commit = commit
        self._size = AHEAD
        self._ready: deque[Item] = deque()
        self._open: dict[int, Item] = {}
        self._leaders: dict[bytes, Item] = {}
        self._since: dict[bytes, Entry] = {}
        """What has ended since it could last be looked up, of rows that equal ones may follow."""
        self._safe: list[bytes] = []
        self.followers = 0

    @property
    def comes(self) -> bool:
        """Whether the next row has not come yet, so that it is to be waited for."""
        return not self._source.ended and not self._ready

    async def next(self, *, pulls: Callable[[], bool]) -> Item | None:
        """Return the next row to be asked; None where there is none, or none has come yet.

        `pulls` says whether more rows may be pulled.
        """
        while True:
            while self._ready and self.followers < MOST_FOLLOWERS:
                item = self._ready.popleft()
                if not item.merges or self._leads(item):
                    return item
            if self._ready or self._source.ended or not pulls():
                return None
            taken = await self._source.take(self._size)
            if not taken:
                return None
            safe, self._safe = self._safe, []
            found = await looked_up(self._store, taken)
            for key in safe:  # they were there to be found
                self._since.pop(key, None)
            self._sort(taken, found)
            await self._mend(taken)
            self._size = AHEAD if self._ready else min(2 * self._size, MOST_AHEAD)

    def _sort(self, taken: Sequence[Item | Unusable], found: dict[bytes, Entry]) -> None:
        """Hand on the rows that have ended, and keep the others."""
        rows: list[Row] = []
        for one in taken:
            if isinstance(one, Unusable):
                rows.append(Row(index=one.index, state="refused", error=one.error))
            elif (row := row_of(one, found.get(one.key))) is not None:
                rows.append(row)
            else:
                self._open[one.index] = one
                self._ready.append(one)
        self._hand_on(rows)

    async def _mend(self, taken: Sequence[Item | Unusable]) -> None:
        """Delete the entries that cannot be read, and say so: nothing else could take their place."""
        damaged = [one.key for one in taken if isinstance(one, Item) and one.damaged]
        if damaged:
            await asyncio.wrap_future(self._store.forget(damaged))
            rows = "1 row" if len(damaged) == 1 else f"{len(damaged):,} rows"
            caution(f"What {self._store.place} keeps of {rows} is damaged: asked again.", AnswerStoreWarning)

    def _leads(self, item: Item) -> bool:
        """Return whether a row is to be asked; if not, it follows an equal one."""
        if (leader := self._leaders.get(item.key)) is not None:
            leader.followers.append(item.index)
            self.followers += 1
            self._open.pop(item.index, None)
            return False
        if (entry := self._since.get(item.key)) is not None and (row := row_of(item, entry)) is not None:
            self._open.pop(item.index, None)
            self._commit(item.key, entry, [row])
            return False
        self._leaders[item.key] = item
        return True

    def ended(self, item: Item, entry: Entry) -> None:
        """Note what became of a row and its followers."""
        self._forget(item)
        if item.merges:
            self._since[item.key] = entry

    def given_up(self, item: Item) -> list[Row]:
        """Wait no longer for a row and its followers; return them without an answer."""
        self._forget(item)
        return _exhausted(item)

    def _forget(self, item: Item) -> None:
        self._open.pop(item.index, None)
        self.followers -= len(item.followers)
        if item.merges:
            self._leaders.pop(item.key, None)

    def written(self, rows: Sequence[Row]) -> None:
        """Note rows whose entries are safe."""
        if self._since:
            self._safe += [row.key for row in rows]

    async def close(self) -> list[Row]:
        """Wait for no further row; return those that have not ended, in their order."""
        await self._source.close()
        rows = [row for item in self._open.values() for row in _exhausted(item)]
        self._open.clear()
        return sorted(rows, key=lambda row: row.index)


def _exhausted(item: Item) -> list[Row]:
    return [
        Row(index=index, state="exhausted", error=item.error, tries=item.tries, key=item.key)
        for index in (item.index, *item.followers)
    ]
