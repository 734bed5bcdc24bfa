"""The answers of one machine: a file of SQLite that all processes of a user share."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from freeproviders.answers.entry import Entry, Run
from freeproviders.answers.store import Kept
from freeproviders.answers.threaded import Put
from freeproviders.sqlite_file import Form, PrivateDatabase

_BUSY_SECONDS: Final = 20.0
"""How long others may hold the file; making it smaller after a delete takes seconds."""
_SCHEMA: Final = """
CREATE TABLE run (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, source TEXT NOT NULL, rows INTEGER, began REAL NOT NULL
);
CREATE TABLE entry (
  key BLOB NOT NULL UNIQUE, run INTEGER NOT NULL, state TEXT NOT NULL, tries INTEGER NOT NULL,
  at REAL NOT NULL, value BLOB NOT NULL
);
CREATE INDEX of_run ON entry (run, at)
"""
_FORM: Final = Form(
    application=0x6670616E,  # "fpan"
    version=1,
    schema=_SCHEMA,
    synchronous="FULL",
    wipe=True,
)
_FIND: Final = "SELECT state, value, tries, at FROM entry WHERE key = ?"
_NUMBER: Final = "SELECT id FROM run WHERE name = ?"
_NAME: Final = "INSERT INTO run (name, source, began) VALUES (?, '', ?) ON CONFLICT DO NOTHING"
_BEGIN: Final = (
    "INSERT INTO run (name, source, rows, began) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE "
    "SET source = excluded.source, rows = coalesce(excluded.rows, rows)"
)
_PUT: Final = (
    "INSERT INTO entry (key, run, state, tries, at, value) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET run = excluded.run, state = excluded.state, tries = excluded.tries, "
    "at = excluded.at, value = excluded.value WHERE state <> 'done'"
)
_FORGET: Final = "DELETE FROM entry WHERE key = ?"
_COUNTS: Final = (
    "SELECT run, state, count(*), sum(length(value)), min(at), max(at) FROM entry GROUP BY run, state"
)
_OF_NONE: Final = 0
"""The run of entries that belong to none."""


class SQLiteAnswers:
    """Answers in a file. Its methods block, and raise `FileError` where the file cannot be used."""

    def __init__(self, path: Path, *, own: bool, busy_seconds: float = _BUSY_SECONDS) -> None:
        self._file = PrivateDatabase(path, _FORM, own=own, busy_seconds=busy_seconds)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """Read what there is under the keys, all of one moment."""

        def read(db: sqlite3.Connection) -> dict[bytes, Entry]:
            found = {}
            for key in keys:
                row = db.execute(_FIND, (key,)).fetchone()
                if row is not None:
                    found[key] = Entry(state=row[0], value=row[1], tries=row[2], at=row[3])
            return found

        return self._file.read(read)

    def put(self, puts: Sequence[Put]) -> None:
        """Write the entries of several puts, all or none."""

        def write(db: sqlite3.Connection) -> None:
            now = time.time()
            for entries, run in puts:
                if not entries:
                    continue
                number = _number(db, run, now)
                db.executemany(
                    _PUT,
                    [
                        (key, number, entry.state, entry.tries, entry.at or now, entry.value)
                        for key, entry in entries
                    ],
                )

        self._file.write(write)

    def forget(self, keys: Sequence[bytes]) -> None:
        """Delete the entries under the keys."""
        self._file.write(lambda db: db.executemany(_FORGET, [(key,) for key in keys]))

    def begin(self, run: Run) -> None:
        """Note that a run was begun, or is gone on with."""
        row = (run.name, run.source, run.rows, run.began or time.time())
        self._file.write(lambda db: db.execute(_BEGIN, row))

    def kept(self) -> list[Kept]:
        """Count what there is, by run, the latest first."""

        def read(db: sqlite3.Connection) -> list[Kept]:
            runs = {_OF_NONE: Run(name="")}
            for number, name, source, rows, began in db.execute("SELECT * FROM run"):
                runs[number] = Run(name=name, source=source, rows=rows, began=began)
            counts: dict[int, list[tuple[str, int, int, float, float]]] = {}
            for number, *count in db.execute(_COUNTS):
                counts.setdefault(number, []).append(tuple(count))
            return [
                _kept(run, counts.get(number, []))
                for number, run in runs.items()
                if number != _OF_NONE or number in counts
            ]

        return sorted(self._file.read(read), key=_latest, reverse=True)

    def delete(self, run: str | None, older_than: float | None) -> int:
        """Delete a run's entries, or all, and give their room back; return their number."""

        def write(db: sqlite3.Connection) -> int:
            until = float("inf") if older_than is None else time.time() - older_than
            if run is None:
                number = db.execute("DELETE FROM entry WHERE at <= ?", (until,)).rowcount
            else:
                of_run = (_OF_NONE,) if not run else db.execute(_NUMBER, (run,)).fetchone()
                if of_run is None:
                    return 0
                number = db.execute("DELETE FROM entry WHERE run = ? AND at <= ?", (*of_run, until)).rowcount
            db.execute(
                "DELETE FROM run WHERE (:run IS NULL OR name = :run) AND began <= :until "
                "AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.run = run.id)",
                {"run": run, "until": until},
            )
            return number

        number = self._file.write(write)
        if number:
            self._file.give_room_back()
        return number

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _number(db: sqlite3.Connection, run: str, now: float) -> int:
    """Return the number of a run, a new one where it was not begun."""
    if not run:
        return _OF_NONE
    found = db.execute(_NUMBER, (run,)).fetchone()
    if found is None:
        db.execute(_NAME, (run, now))
        found = db.execute(_NUMBER, (run,)).fetchone()
    number: int = found[0]
    return number


def _kept(run: Run, counts: Sequence[tuple[str, int, int, float, float]]) -> Kept:
    return Kept(
        run=run,
        states={state: number for state, number, *_ in counts},
        bytes=sum(size for _, _, size, *_ in counts),
        first=min((first for *_, first, _ in counts), default=run.began),
        latest=max((latest for *_, latest in counts), default=run.began),
    )


def _latest(kept: Kept) -> float:
    return kept.latest
