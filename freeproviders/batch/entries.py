"""Entries of the store made of rows, and rows of entries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import time

from freeproviders.answers.entry import Entry, State
from freeproviders.answers.plain import error_from_plain, error_to_plain, from_plain
from freeproviders.answers.store import AnswerStore
from freeproviders.batch.reading import Item, Unusable
from freeproviders.batch.rows import Row, trail_of
from freeproviders.errors import AnswerStoreError, FreeProvidersError
from freeproviders.types import Attempt


def tell(item: Item, error: FreeProvidersError, seconds: float) -> None:
    """Add a failed try to the trail of its error, behind those of earlier tries of the row."""
    own = trail_of(error) or (
        Attempt(
            error.provider,
            error.model,
            error.wording,
            getattr(error, "attempts", 1),
            seconds,
        ),
    )
    vars(error)["trail"] = item.tried = (*item.tried, *own)


def entry_of(state: State, error: FreeProvidersError, tries: int) -> Entry:
    """Return the entry of a row that has no answer."""
    return Entry(state=state, value=error_to_plain(error), tries=tries, at=time())


def row_of(item: Item, entry: Entry | None) -> Row | None:
    """Return the row of an entry; None where it is to be asked, as where it cannot be read."""
    if entry is None:
        return None
    try:
        return _read(item, entry)
    except AnswerStoreError as error:
        item.error, item.damaged = error, True
        return None


def _read(item: Item, entry: Entry) -> Row | None:
    if entry.state == "done":
        completion = from_plain(entry.value)
        data = None if item.form is None else item.form.read(completion)
        return Row(
            index=item.index,
            state="done",
            completion=completion,
            data=data,
            kept=True,
            tries=entry.tries,
            key=item.key,
        )
    error = error_from_plain(entry.value)
    if entry.state == "failed":
        item.tries, item.error, item.tried = entry.tries, error, trail_of(error)
        return None
    return Row(index=item.index, state=entry.state, error=error, kept=True, tries=entry.tries, key=item.key)


async def looked_up(store: AnswerStore, taken: Sequence[Item | Unusable]) -> dict[bytes, Entry]:
    """Read the entries of rows, those that there are."""
    keys = [item.key for item in taken if isinstance(item, Item)]
    return await asyncio.wrap_future(store.get(keys)) if keys else {}
