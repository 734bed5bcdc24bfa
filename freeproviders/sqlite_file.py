"""What all our files of SQLite have in common: which program's they are, waiting, and failures."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar
from weakref import WeakSet

from freeproviders.private_file import FileError, make_file, make_folder, network_of

T = TypeVar("T")

_SIDE_FILES: Final = ("", "-wal", "-shm", "-journal")
"""The ends of the names of a file of SQLite and of those that belong to it."""


class ForeignFileError(FileError):
    """The file is of another program, or of another version of this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a file of ours holds, and how it is kept.

    Attributes:
        application: the number by which a file is known as ours.
        version: that of the tables.
        schema: the statements that make them, with a line's end behind each semicolon.
        page: the bytes of a page.
        synchronous: "NORMAL" keeps what was written through a kill, "FULL" also through a power
            cut.
        wipe: whether what is deleted is overwritten.
    """

    application: int
    version: int
    schema: str
    page: int = 4096
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    wipe: bool = False


class PrivateDatabase:
    """A file of SQLite that is the user's alone, open as long as it is used; any thread may call.

    Everything here blocks, and raises `FileError` where the file cannot be used. It is opened when
    it is needed, again where it is no longer the file that it was, and after a fork, whose two
    processes must not share its locks.

    Args:
        path: the file, which need not exist.
        form: what it holds.
        own: whether its name and its folder are ours, so that no other user has rights there.
        busy_seconds: how long other processes may hold it.
    """

    def __init__(self, path: Path, form: Form, *, own: bool, busy_seconds: float) -> None:
        self.path = path
        self._form = form
        self._own = own
        self._busy_seconds = busy_seconds
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        with _all_of_them:
            _databases.add(self)

    def read(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Have something read, all of it of one moment."""

        def once(db: sqlite3.Connection) -> T:
            with reading(db):
                return act(db)

        return self._do(lambda db: patiently(lambda: once(db), self._busy_seconds))

    def write(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Have something written, all of it or nothing."""

        def once(db: sqlite3.Connection) -> T:
            with writing(db, self._busy_seconds):
                return act(db)

        return self._do(once)

    def give_room_back(self) -> None:
        """Make the file as small as it can be, after much was deleted from it.

        Where others read or the disk is full, it stays as large, and its room is used again.
        """

        def shrink(db: sqlite3.Connection) -> None:
            with suppress(sqlite3.Error):
                db.execute("VACUUM")
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

        self._do(shrink)

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._lock:
            db, self._db = self._db, None
            if db is not None:
                with suppress(sqlite3.Error):
                    db.close()

    def hold(self) -> None:
        """Close the file and keep all other threads from it, for a fork."""
        self._lock.acquire()
        self.close()

    def let_go(self) -> None:
        """Let the threads go on."""
        self._lock.release()

    def _do(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Act on the open file."""
        try:
            with self._lock:
                return act(self._open())
        except sqlite3.Error as error:
            foreign = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_NOTADB
            raise (ForeignFileError if foreign else FileError)(f"{self.path} {why(error)}.") from error
        except UnicodeDecodeError as error:  # the message of an error that quotes what is damaged
            raise FileError(f"{self.path} is damaged: delete it.") from error

    def _open(self) -> sqlite3.Connection:
        """Return the connection, a new one where the file is no longer the one that it was."""
        if self._db is not None and _identity(self.path) != self._identity:
            self.close()
        if self._db is None:
            if self._own:
                make_folder(self.path.parent, own=True)
            else:
                with _of_folder(self.path.parent):
                    self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            make_file(self.path, own=self._own)
            self._identity = _identity(self.path)
            db = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                self._begin_with(db)
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db

    def _begin_with(self, db: sqlite3.Connection) -> None:
        """Make the tables where there are none; raise for what is not our file."""
        form, wait = self._form, self._busy_seconds
        application, version, tables = patiently(lambda: whose(db), wait)
        if tables and application != form.application:
            raise ForeignFileError(f"{self.path} is a file of another program: name another one.")
        if tables and version != form.version:
            raise ForeignFileError(f"{self.path} was written by another version of freeproviders: delete it.")
        if not tables:
            db.execute(f"PRAGMA page_size = {form.page}")
        # The shared memory of a WAL reaches no other machine; a rollback journal needs locks alone.
        mode = "DELETE" if network_of(self.path.parent) else "WAL"
        patiently(lambda: db.execute(f"PRAGMA journal_mode = {mode}").fetchone(), wait)
        db.execute(f"PRAGMA synchronous = {form.synchronous}")
        db.execute(f"PRAGMA secure_delete = {'ON' if form.wipe else 'OFF'}")
        if not tables:
            make_tables(
                db, form.schema, application=form.application, version=form.version, busy_seconds=wait
            )


def whose(db: sqlite3.Connection) -> tuple[int, int, int]:
    """Return the file's application, its version and its number of tables, all of one moment.

    Another process may just be making the tables.
    """
    with reading(db):
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return application, version, tables


def make_tables(
    db: sqlite3.Connection,
    schema: str,
    *,
    application: int,
    version: int,
    busy_seconds: float,
    fill: Callable[[], object] | None = None,
) -> None:
    """Make the tables of a new file in one transaction, unless another process has just done so.

    `fill` writes their first rows in the same transaction.
    """
    with writing(db, busy_seconds):
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return
        for statement in schema.split(";\n"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {application}")
        db.execute(f"PRAGMA user_version = {version}")
        if fill is not None:
            fill()


def files_of(path: Path) -> list[Path]:
    """Return a file and those that belong to it, whether they exist or not."""
    return [path.with_name(path.name + end) for end in _SIDE_FILES]


def remove(path: Path) -> None:
    """Delete a file that is closed, for one that is damaged. Raises `FileError`."""
    try:
        for one in files_of(path):
            one.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(f"{path} cannot be deleted: {error.strerror or error}.") from error


def patiently(act: Callable[[], T], busy_seconds: float) -> T:
    """Do what needs the file's lock, again where another process holds it, for so many seconds."""
    deadline = 0.0
    pause = 0.0005
    while True:
        try:
            return act()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise
            now = time.monotonic()
            deadline = deadline or now + busy_seconds
            if now > deadline:
                raise
            time.sleep(pause * (0.5 + random.random()))  # noqa: S311 - not a secret
            pause = min(pause * 1.5, 0.01)


@contextmanager
def reading(db: sqlite3.Connection) -> Iterator[None]:
    """Have all that the body reads be of one moment."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        roll_back(db)


@contextmanager
def writing(db: sqlite3.Connection, busy_seconds: float) -> Iterator[None]:
    """Do all of the body in one transaction, or nothing of it."""
    patiently(lambda: db.execute("BEGIN IMMEDIATE"), busy_seconds)
    try:
        yield
        # Where there is no WAL, a process that is just looking at the lock is in the way of the end.
        patiently(lambda: db.execute("COMMIT"), busy_seconds)
    except BaseException:
        roll_back(db)
        raise


def roll_back(db: sqlite3.Connection) -> None:
    """End a transaction, if there is one, as if it had not been."""
    with suppress(sqlite3.Error):
        if db.in_transaction:
            db.execute("ROLLBACK")


def why(error: sqlite3.Error) -> str:
    """Say what a failure of SQLite means for its file, as the end of a sentence about the file."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return {
        sqlite3.SQLITE_BUSY: "is locked by another program",
        sqlite3.SQLITE_LOCKED: "is locked by another program",
        sqlite3.SQLITE_FULL: "cannot grow: the disk is full",
        sqlite3.SQLITE_READONLY: "is read-only",
        sqlite3.SQLITE_CORRUPT: "is damaged: delete it",
        sqlite3.SQLITE_NOTADB: "is a file of another program: move it away",
    }.get(code, f"cannot be used ({error})")


@contextmanager
def _of_folder(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileError(f"{folder} cannot be written: {error.strerror or error}.") from error


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - at each call
    except OSError:
        return None
    return found.st_dev, found.st_ino


_databases: Final = WeakSet[PrivateDatabase]()
_all_of_them: Final = threading.Lock()
_held: Final[list[PrivateDatabase]] = []


def _before_fork() -> None:
    _all_of_them.acquire()
    for database in list(_databases):
        database.hold()
        _held.append(database)


def _after_fork() -> None:
    while _held:
        _held.pop().let_go()
    _all_of_them.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
