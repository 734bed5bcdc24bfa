"""The ledgers of a process, each opened once, and what takes the place of one that cannot be used."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from freeproviders.process import PerProcess
from freeproviders.quota.ledger import SharedLedger
from freeproviders.quota.place import default_path, spare_path

if TYPE_CHECKING:
    from freeproviders.quota.steps import Store

ENV_QUOTA: Final = "FREEPROVIDERS_QUOTA"


def open_ledger(where: str | Path = "") -> SharedLedger:
    """Return the ledger of a place, the same object for the same place in a process.

    Nothing is opened before it is used.

    Args:
        where: a path, or "memory" for this process alone. "" is `FREEPROVIDERS_QUOTA`, else the file
            of the user's state folder.
    """
    place = str(where) or os.environ.get(ENV_QUOTA, "")
    if place != "memory":
        place = str(Path(place).expanduser().absolute() if place else default_path())
    ledgers = _opened.get()
    # Of two threads that open the same place at once, both get the one that was first.
    return ledgers.setdefault(place, ledgers.get(place) or SharedLedger(partial(_store, place), _spare))


def _store(place: str) -> Store:
    from freeproviders.quota.sqlite import SQLiteStore  # noqa: PLC0415 - off the event loop

    return SQLiteStore(None if place == "memory" else Path(place))


def _spare(store: Store | None) -> Store | None:
    """Return what takes the place of a store; None where nothing is left.

    A file that could not be opened is replaced by one of this machine; one that failed later by a
    copy in memory of what it had, since another file would know nothing of it.
    """
    from freeproviders.quota.sqlite import SQLiteStore  # noqa: PLC0415 - off the event loop

    if not isinstance(store, SQLiteStore) or store.path is None:
        return None
    if not store.opened and store.path != spare_path():
        return SQLiteStore(spare_path())
    return store.copy_in_memory()


_opened: Final = PerProcess[dict[str, SharedLedger]](dict)
