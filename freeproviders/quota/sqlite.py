"""The ledger of one machine: a file of SQLite, or its copy in memory where no file can be had."""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from freeproviders.quota import place
from freeproviders.quota import sqlite_notes as notes
from freeproviders.quota.bell import Bell, ring
from freeproviders.quota.book import Book
from freeproviders.quota.clocks import boot_id, boot_seconds
from freeproviders.quota.interface import Note, NoteName
from freeproviders.quota.sqlite_pages import LINE_TABLE, POOL_TABLES, SQLitePages, start_anew
from freeproviders.quota.steps import (
    Adopt,
    Answer,
    Forget,
    ReadNotes,
    Refused,
    Settle,
    Step,
    StoreError,
    WriteNote,
)
from freeproviders.quota.windows import Now
from freeproviders.sqlite_file import make_tables, patiently, reading, whose, why, writing

T = TypeVar("T")

_APPLICATION: Final = 0x66707175  # "fpqu", by which a file is known as ours
_VERSION: Final = 1
_BUSY_SECONDS: Final = 5.0
"""How long other processes may hold the file before it counts as locked."""
_STEP_SECONDS: Final = 2.0
"""A difference between the wall clock and the boot clock that is a step, not a correction."""
_DOUBT_SECONDS: Final = 25 * 3600.0
"""For how long after a step both times are reckoned with; then the new one is believed."""
_LISTEN_SECONDS: Final = 60.0
"""For how long a process that was refused is told what is given back."""
_LISTENERS: Final = "CREATE TABLE IF NOT EXISTS listener (port INTEGER PRIMARY KEY, until REAL NOT NULL)"
_LATER_TABLES: Final = {"listener": _LISTENERS, "line": LINE_TABLE, "note": notes.TABLE}
"""Tables that a file of an earlier version may lack."""
_TABLE_NAMES: Final = "SELECT name FROM sqlite_master WHERE type = 'table'"
_SCHEMA: Final = """
CREATE TABLE machine (
  id INTEGER PRIMARY KEY, salt BLOB NOT NULL, boot TEXT NOT NULL,
  low REAL NOT NULL, high REAL NOT NULL, stepped REAL NOT NULL, seen REAL NOT NULL
);
"""


class SQLiteStore:
    """A ledger in a file, or in memory where `path` is None.

    The arguments after it are for tests: clocks and the name of this start of the machine.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        clock: Callable[[], float] = boot_seconds,
        wall: Callable[[], float] = time.time,
        boot: Callable[[], str] = boot_id,
        busy_seconds: float = _BUSY_SECONDS,
    ) -> None:
        self.path = path
        self.shared = "this process alone" if path is None else f"the processes that use {path}"
        self.copied: SQLiteStore | None = None
        self._clock = clock
        self._wall = wall
        self._boot = boot
        self._busy_seconds = busy_seconds
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._pages: SQLitePages | None = None
        self._bell: Bell | None = None

    @property
    def opened(self) -> bool:
        """Whether the file could be opened."""
        return self._db is not None

    # --- the store --------------------------------------------------------------------------------

    def run(self, steps: Sequence[Step]) -> list[Answer]:
        """Do the steps in one transaction."""
        try:
            return self._run(steps)
        except sqlite3.Error as error:
            raise StoreError(self._why(error)) from error

    def close(self) -> None:
        """Close the file; what is in memory stays."""
        if self.path is None:
            return
        if self._bell is not None:
            self._bell.stop()
            self._bell = None
        db, self._db, self._pages = self._db, None, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def listen(self, wake: Callable[[], object]) -> bool:
        """Have `wake` called when another process has settled something."""
        if self.path is None or self._bell is not None:
            return False
        try:
            self._bell = Bell(wake)
        except (OSError, RuntimeError):  # no loopback, or no thread at the end: waiting calls look
            return False
        return True

    def copy_in_memory(self) -> SQLiteStore:
        """Return a store in memory with what can be read of this one."""
        other = SQLiteStore(None, clock=self._clock, wall=self._wall, boot=self._boot)
        if self._db is not None and self._pages is not None:
            target = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            try:
                self._db.backup(target)
                other._begin_with(target).rules.update(self._pages.rules)
                other.copied = self
            except sqlite3.Error:
                target.close()
        return other

    def _run(self, steps: Sequence[Step]) -> list[Answer]:
        db, pages = self._open()
        if all(isinstance(step, ReadNotes) for step in steps):
            answers = patiently(partial(self._read, db, pages, steps), self._busy_seconds)
            if answers is not None:
                return answers
        try:
            with writing(db, self._busy_seconds):
                pages.begin()
                book = Book(pages, self._now(db))
                answers = [_done(db, pages, book, step) for step in steps]
                pages.save()
                gave = book.left or any(isinstance(step, Settle | Adopt | Forget) for step in steps)
                ports = self._listeners(db, book.now.at, answers, gave=gave)
        except BaseException:
            pages.roll_back()
            raise
        for port in ports:
            ring(port)
        return answers

    def _read(self, db: sqlite3.Connection, pages: SQLitePages, steps: Sequence[Step]) -> list[Answer] | None:
        """Read notes without the lock that writers need; None where the machine has started anew."""
        with reading(db):
            boot, seen = db.execute("SELECT boot, seen FROM machine").fetchone()
            clock, this_boot = self._clock(), self._boot()
            if boot != this_boot or (not this_boot and clock < seen):
                return None
            return [_notes(db, pages, step.names, clock) for step in steps if isinstance(step, ReadNotes)]

    def _listeners(
        self, db: sqlite3.Connection, now: float, answers: Sequence[Answer], *, gave: bool
    ) -> list[int]:
        """Note that this process listens if it was refused; return the ports to tell of what is free."""
        if self.path is None:
            return []
        own = 0 if self._bell is None else self._bell.port
        if own and any(isinstance(one, Refused) and one.early < one.after for one in answers):
            db.execute("DELETE FROM listener WHERE until < ?", (now,))
            db.execute("INSERT OR REPLACE INTO listener VALUES (?, ?)", (own, now + _LISTEN_SECONDS))
        if not gave:
            return []
        found = db.execute("SELECT port FROM listener WHERE until > ? AND port <> ?", (now, own))
        return [port for (port,) in found.fetchall()]

    # --- opening ----------------------------------------------------------------------------------

    def _open(self) -> tuple[sqlite3.Connection, SQLitePages]:
        """Return the connection, a new one where the file is no longer the one that it was."""
        if self.path is not None and self._db is not None and self._identity() != self._file:
            self.close()
        if self._db is not None and self._pages is not None:
            return self._db, self._pages
        if self.path is not None:
            place.prepare(self.path)
            self._file = self._identity()
        db = sqlite3.connect(
            ":memory:" if self.path is None else self.path,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            return db, self._begin_with(db)
        except BaseException:
            db.close()
            raise

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path or "")  # noqa: PTH116 - at each transaction
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _write_machine(self, db: sqlite3.Connection) -> None:
        """Write the salt of a new file, and which start of which clocks it begins with."""
        clock, offset = self._clock(), self._wall() - self._clock()
        db.execute(
            "INSERT INTO machine VALUES (1, ?, ?, ?, ?, ?, ?)",
            (os.urandom(16), self._boot(), offset, offset, clock, clock),
        )

    def _begin_with(self, db: sqlite3.Connection) -> SQLitePages:
        """Make the tables where there are none; raise `StoreError` for what is not our file."""
        application, version, tables = self._patiently(lambda: whose(db))
        if tables and application != _APPLICATION:
            raise StoreError(f"{self.path} is a file of another program: move it away.")
        if tables and version != _VERSION:
            raise StoreError(f"{self.path} was written by another version of freeproviders: delete it.")
        # Where the file system has no shared memory, SQLite stays with its rollback journal.
        self._patiently(lambda: db.execute("PRAGMA journal_mode = WAL").fetchone())
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA temp_store = MEMORY")
        if not tables:
            make_tables(
                db,
                _SCHEMA + POOL_TABLES,
                application=_APPLICATION,
                version=_VERSION,
                busy_seconds=self._busy_seconds,
                fill=lambda: self._write_machine(db),
            )
        there = {name for (name,) in self._patiently(lambda: db.execute(_TABLE_NAMES).fetchall())}
        for statement in [_LATER_TABLES[name] for name in _LATER_TABLES.keys() - there]:
            self._patiently(partial(db.execute, statement))
        (salt,) = self._patiently(lambda: db.execute("SELECT salt FROM machine").fetchone())
        if self.path is None:
            weakref.finalize(self, db.close)  # `close` leaves it open, and Python 3.13 warns of that
        self._db, self._pages = db, SQLitePages(db, salt, self.path)
        return self._pages

    def _patiently(self, act: Callable[[], T]) -> T:
        """Do what needs the file's lock; others hold it for less than a millisecond at a time."""
        return patiently(act, self._busy_seconds)

    def _why(self, error: sqlite3.Error) -> str:
        """Say what a failure of SQLite means for the file."""
        return f"{self.path or 'The ledger in memory'} {why(error)}."

    # --- time -------------------------------------------------------------------------------------

    def _now(self, db: sqlite3.Connection) -> Now:
        """Read the clocks, and what the file knows of them.

        The wall clock may be set while the boot clock goes on. The difference of the two is kept: at
        least and at most, where it has changed of late, so that whichever was right nothing is freed
        too soon.
        """
        clock, wall = self._clock(), self._wall()
        offset = wall - clock
        boot, low, high, stepped, seen = db.execute(
            "SELECT boot, low, high, stepped, seen FROM machine"
        ).fetchone()
        name = self._boot()
        if boot != name or (not name and clock < seen):
            start_anew(db, high - offset, clock)
            notes.start_anew(db, high - offset, clock)
            low = high = offset
            stepped = clock
        elif not low - _STEP_SECONDS <= offset <= high + _STEP_SECONDS:
            low, high, stepped = min(low, offset), max(high, offset), clock
        elif high - low > 2 * _STEP_SECONDS and clock > stepped + _DOUBT_SECONDS:
            low = high = offset
        elif name:
            return Now(clock, low, high)
        db.execute(
            "UPDATE machine SET boot=?, low=?, high=?, stepped=?, seen=?", (name, low, high, stepped, clock)
        )
        return Now(clock, low, high)


def _done(db: sqlite3.Connection, pages: SQLitePages, book: Book, step: Step) -> Answer:
    """Do one step, in a transaction."""
    match step:
        case ReadNotes(names):
            return _notes(db, pages, names, book.now.at)
        case WriteNote():
            return notes.write(db, step, pages.hash_of(step.name.account), book.now.at)
        case Forget(service, ""):
            notes.clear(db, service, book.now.at)
    return book.do(step)


def _notes(
    db: sqlite3.Connection, pages: SQLitePages, names: Iterable[NoteName], now: float
) -> tuple[Note | None, ...]:
    return tuple([notes.read(db, name, pages.hash_of(name.account), now) for name in names])
