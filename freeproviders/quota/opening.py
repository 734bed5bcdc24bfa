"""The ledgers of a process, each opened once, and what takes the place of one that cannot be used."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from freeproviders.errors import UsageError
from freeproviders.process import PerProcess
from freeproviders.quota.ledger import SharedLedger
from freeproviders.quota.place import default_path, spare_path
from freeproviders.redis_server import is_url, need_package

if TYPE_CHECKING:
    from freeproviders.quota.steps import Store

ENV_QUOTA: Final = "FREEPROVIDERS_QUOTA"
_PLACES: Final = 'a path, "memory", or a URL as "redis://host:6379/0"'


def open_ledger(where: str | Path = "") -> SharedLedger:
    """Return the ledger of a place, the same object for the same place in a process.

    Nothing is opened before it is used.

    Args:
        where: a path; a URL as "redis://host:6379/0" for the machines that use that server; or
            "memory" for this process alone. "" is `FREEPROVIDERS_QUOTA`, else the file of the user's
            state folder.

    Raises:
        MissingDependencyError: a URL, where the package redis is not installed.
    """
    place = ledger_place(where)
    if is_url(place):
        need_package("A ledger on Redis")
    ledgers = _opened.get()
    # Of two threads that open the same place at once, both get the one that was first.
    return ledgers.setdefault(place, ledgers.get(place) or SharedLedger(partial(_store, place), _spare))


def is_begun(where: str | Path = "") -> bool:
    """Return whether something may have been counted at a place, or where its ledger is kept instead.

    Nothing is made.
    """
    place = ledger_place(where)
    if place == "memory":
        return place in _opened.get()
    if is_url(place):
        return True
    return Path(place).exists() or spare_path().exists()


def is_on_a_server(where: str | Path = "") -> bool:
    """Return whether a place is a URL, so that to look into its ledger is to ask a server."""
    return is_url(ledger_place(where))


def ledger_place(where: str | Path = "") -> str:
    """Return where a ledger is kept: "memory", a URL or the whole path of a file.

    "" is `FREEPROVIDERS_QUOTA`, else the file of the user's state folder. Raises `UsageError` for a
    place of no kind that there is.
    """
    if not isinstance(where, str | os.PathLike):
        raise UsageError(f"ledger must be {_PLACES}, not {where!r}.")
    place = str(where) or os.environ.get(ENV_QUOTA, "")
    if place == "memory" or is_url(place):
        return place
    scheme, mark, _ = place.partition("://")
    if mark or place == ":memory:":
        name = "ledger" if str(where) else ENV_QUOTA
        raise UsageError(f"{name} must be {_PLACES}, not {scheme + mark!r}.")  # a URL may have a password
    return str(Path(place).expanduser().absolute() if place else default_path())


def _store(place: str) -> Store:
    if is_url(place):
        from freeproviders.quota.redis import RedisStore  # noqa: PLC0415 - an extra

        return RedisStore(place)
    from freeproviders.quota.sqlite import SQLiteStore  # noqa: PLC0415 - off the event loop

    return SQLiteStore(None if place == "memory" else Path(place))


def _spare(store: Store) -> Store | None:
    """Return what takes the place of a store; None where nothing is left.

    A server is replaced by the file of this machine. A file that could not be opened is replaced by
    another one of this machine; one that failed later by a copy in memory of what it had, since
    another file would know nothing of it.
    """
    from freeproviders.quota.sqlite import SQLiteStore  # noqa: PLC0415 - off the event loop

    if not isinstance(store, SQLiteStore):
        return SQLiteStore(default_path())
    if store.path is None:
        return None
    if not store.opened and store.path != spare_path():
        return SQLiteStore(spare_path())
    return store.copy_in_memory()


_opened: Final = PerProcess[dict[str, SharedLedger]](dict)
