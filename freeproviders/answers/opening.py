"""The stores of a process, one for each place."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from freeproviders.answers.memory import MemoryAnswers
from freeproviders.answers.threaded import Place, ThreadedStore
from freeproviders.errors import UsageError
from freeproviders.folders import state_dir
from freeproviders.process import PerProcess
from freeproviders.redis_server import is_url, need_package, shown

if TYPE_CHECKING:
    from freeproviders.answers.store import AnswerStore

ENV_ANSWERS: Final = "FREEPROVIDERS_ANSWERS"
FILE: Final = "answers.sqlite3"
_MEMORY: Final = "memory"
_PLACES: Final = (
    'a path, "memory", a URL as "redis://host:6379/0", or an object with the methods of AnswerStore'
)


def open_store(where: str | Path | AnswerStore | None = None) -> AnswerStore:
    """Return the store of a place, the same object for the same place in a process.

    Nothing is opened before it is used.

    Args:
        where: a path; a URL as "redis://host:6379/0" for the machines that use that server; or
            "memory" for this process alone. None is `FREEPROVIDERS_ANSWERS`, else
            `answers.sqlite3` in the user's state folder. A store is returned as it is.

    Raises:
        UsageError: none of these.
        MissingDependencyError: a URL, where the package redis is not installed.
    """
    if where is not None and not isinstance(where, str | os.PathLike):
        if all(hasattr(where, name) for name in ("get", "put", "kept", "delete")):
            return where
        raise UsageError(f"A store must be {_PLACES}, not {type(where).__name__}.")
    place = store_place(where)
    url = is_url(place)
    if url:
        need_package("A store of answers on Redis")
    # Of two threads that open the same place at once, both get the one that was first.
    return _opened.get(place) or _opened.setdefault(
        place, _Opened(place, shown(place) if url else place, partial(_make, place))
    )


def is_begun(where: str | Path | None = None) -> bool:
    """Return whether something may be kept at a place. Nothing is made."""
    place = store_place(where)
    return place == _MEMORY or is_url(place) or Path(place).exists()


def is_on_a_server(where: str | Path | None = None) -> bool:
    """Return whether a place is a server, which others may share."""
    return is_url(store_place(where))


class _Opened(ThreadedStore):
    """A store that another process opens by its place."""

    def __reduce__(self) -> tuple[object, ...]:
        return open_store, (self.where,)


def default_path() -> Path:
    """Return the user's own file, which need not exist."""
    return state_dir() / FILE


def store_place(where: str | Path | None = None) -> str:
    """Return where a store is kept: "memory", a URL or the whole path of a file; None as in `open_store`."""
    place = str(where) if where is not None else os.environ.get(ENV_ANSWERS, "")
    if where is not None and not place:
        raise UsageError(f"A store must be {_PLACES}, not an empty text.")
    if place == _MEMORY or is_url(place):
        return place
    scheme, mark, _ = place.partition("://")
    if mark or place == ":memory:":
        name = "A store" if where is not None else ENV_ANSWERS
        raise UsageError(f"{name} must be {_PLACES}, not {scheme + mark!r}.")  # a URL may have a password
    return str(Path(place).expanduser().absolute() if place else default_path().absolute())


def _make(place: str) -> Place:
    if place == _MEMORY:
        return _memory.get()
    if is_url(place):
        from freeproviders.answers.redis import RedisAnswers  # noqa: PLC0415 - an extra

        return RedisAnswers(place)
    from freeproviders.answers.sqlite import SQLiteAnswers  # noqa: PLC0415 - off the event loop

    return SQLiteAnswers(Path(place), own=place == str(default_path().absolute()))


_opened: Final[dict[str, ThreadedStore]] = {}
_memory: Final = PerProcess(MemoryAnswers)
