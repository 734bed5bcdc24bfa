"""What all files of SQLite of ours have in common: whose they are, who waits, and why one fails."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

T = TypeVar("T")


def whose(db: sqlite3.Connection) -> tuple[int, int, int]:
    """Return whose file it is, of which version, and the number of its tables, all of one moment.

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
        # Where there is no WAL, whoever is just looking for the lock is in the way of the end.
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
