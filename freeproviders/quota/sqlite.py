"""The ledger of one machine: a file of SQLite, or its copy in memory where no file can be had."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from math import inf
from pathlib import Path
from typing import Any, Final, TypeVar

from freeproviders.quota import place
from freeproviders.quota import sqlite_notes as notes
from freeproviders.quota.bell import Bell, ring
from freeproviders.quota.book import Book, Place, Pool, Use
from freeproviders.quota.clocks import boot_id, boot_seconds
from freeproviders.quota.interface import Rule
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
from freeproviders.quota.windows import Now, meaning_of
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
_LINE: Final = (
    "CREATE TABLE IF NOT EXISTS line (call TEXT PRIMARY KEY, since REAL NOT NULL, until REAL NOT NULL, "
    "wanted TEXT NOT NULL) WITHOUT ROWID"
)
_LATER_TABLES: Final = {"listener": _LISTENERS, "line": _LINE, "note": notes.TABLE}
"""Tables that a file of an earlier version may lack."""
_TABLES: Final = "SELECT name FROM sqlite_master WHERE type = 'table'"
_SCHEMA: Final = """
CREATE TABLE machine (
  id INTEGER PRIMARY KEY, salt BLOB NOT NULL, boot TEXT NOT NULL,
  low REAL NOT NULL, high REAL NOT NULL, stepped REAL NOT NULL, seen REAL NOT NULL
);
CREATE TABLE pool (
  id INTEGER PRIMARY KEY, service TEXT NOT NULL, name TEXT NOT NULL, metric TEXT NOT NULL,
  per TEXT NOT NULL, who TEXT NOT NULL, kind TEXT NOT NULL,
  row_cap REAL NOT NULL, reset TEXT NOT NULL, zone TEXT NOT NULL, counted TEXT NOT NULL,
  owned TEXT NOT NULL, source TEXT NOT NULL,
  used REAL NOT NULL DEFAULT 0, running REAL NOT NULL DEFAULT 0, oldest REAL,
  cap REAL, cap_source TEXT NOT NULL DEFAULT '', cap_at REAL NOT NULL DEFAULT 0,
  remaining REAL, as_of REAL NOT NULL DEFAULT 0, told REAL NOT NULL DEFAULT 0,
  until REAL, probe REAL, border REAL,
  UNIQUE (service, name, metric, per, who, kind)
);
CREATE TABLE use (
  pool INTEGER NOT NULL, at REAL NOT NULL, call TEXT NOT NULL, amount REAL NOT NULL, open INTEGER NOT NULL,
  PRIMARY KEY (pool, at, call)
) WITHOUT ROWID;
"""
_STATE: Final = "used, running, oldest, cap, cap_source, cap_at, remaining, as_of, told, until, probe, border"
_RULE: Final = "service, name, metric, per, row_cap, reset, zone, counted, owned, source"
_FIND: Final = f"SELECT id, {_STATE} FROM pool WHERE id = ?"  # noqa: S608 - names of columns
_ALL: Final = f"SELECT id, who, {_RULE}, {_STATE} FROM pool ORDER BY service, name, metric, per"  # noqa: S608
_KNOW: Final = f"SELECT id, who, {_RULE}, {_STATE} FROM pool WHERE id = ?"  # noqa: S608
_MAKE: Final = (
    "INSERT INTO pool (service, name, metric, per, who, kind, row_cap, reset, zone, counted, owned, source) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET row_cap = excluded.row_cap, "
    "reset = excluded.reset, zone = excluded.zone, counted = excluded.counted, source = excluded.source"
)
_NUMBER: Final = (
    "SELECT id FROM pool WHERE service = ? AND name = ? AND metric = ? AND per = ? AND who = ? AND kind = ?"
)
_SAVE: Final = (
    "UPDATE pool SET used=?, running=?, oldest=?, cap=?, cap_source=?, cap_at=?, remaining=?, as_of=?, "
    "told=?, until=?, probe=?, border=? WHERE id=?"
)


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
        self._numbers: dict[tuple[Rule, str], tuple[int, str]] = {}
        self._rules: dict[int, tuple[Rule, str]] = {}
        self._hashes: dict[str, str] = {}
        self._pools: dict[int, Pool] = {}
        self._line: dict[str, Place] | None = None
        self._salt = b""
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
        db, self._db = self._db, None
        self._numbers.clear()
        self._rules.clear()
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def listen(self, wake: Callable[[], object]) -> bool:
        """Have `wake` called when another process has settled something."""
        if self.path is None or self._bell is not None:
            return False
        try:
            self._bell = Bell(wake)
        except (OSError, RuntimeError):  # no loopback, or no thread at the end: who waits looks by itself
            return False
        return True

    def copy_in_memory(self) -> SQLiteStore:
        """Return a store in memory with what can be read of this one."""
        other = SQLiteStore(None, clock=self._clock, wall=self._wall, boot=self._boot)
        if self._db is not None:
            target = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            try:
                self._db.backup(target)
                other._begin_with(target)
                other._rules = dict(self._rules)
                other.copied = self
            except sqlite3.Error:
                target.close()
        return other

    def _run(self, steps: Sequence[Step]) -> list[Answer]:
        db = self._open()
        if all(isinstance(step, ReadNotes) for step in steps):
            answers = patiently(partial(self._read, db, steps), self._busy_seconds)
            if answers is not None:
                return answers
        try:
            with writing(db, self._busy_seconds):
                self._pools.clear()
                self._line = None
                book = Book(self, self._now(db))
                answers = [self._do(db, book, step) for step in steps]
                changed = [self._row(pool) for pool in self._pools.values() if pool.dirty]
                if changed:
                    db.executemany(_SAVE, changed)
                gave = book.left or any(isinstance(step, Settle | Adopt | Forget) for step in steps)
                ports = self._listeners(db, book.now.at, answers, gave=gave)
        except BaseException:
            self._numbers.clear()  # some may have been made in this transaction
            raise
        for port in ports:
            ring(port)
        return answers

    def _read(self, db: sqlite3.Connection, steps: Sequence[Step]) -> list[Answer] | None:
        """Read notes without the lock that writers need; None where the machine has started anew."""
        with reading(db):
            boot, seen = db.execute("SELECT boot, seen FROM machine").fetchone()
            clock, name = self._clock(), self._boot()
            if boot != name or (not name and clock < seen):
                return None
            return [
                tuple([notes.read(db, name, self._hash(name.account), clock) for name in step.names])
                for step in steps
                if isinstance(step, ReadNotes)
            ]

    def _do(self, db: sqlite3.Connection, book: Book, step: Step) -> Answer:
        match step:
            case ReadNotes(names):
                return tuple([notes.read(db, name, self._hash(name.account), book.now.at) for name in names])
            case WriteNote():
                return notes.write(db, step, self._hash(step.name.account), book.now.at)
            case Forget(service, ""):
                notes.clear(db, service, book.now.at)
        return book.do(step)

    def _listeners(
        self, db: sqlite3.Connection, now: float, answers: Sequence[Answer], *, gave: bool
    ) -> list[int]:
        """Note that this process listens if it was refused; return who else is to be told of what is free."""
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

    def _open(self) -> sqlite3.Connection:
        """Return the connection, a new one where the file is no longer the one that it was."""
        if self.path is not None and self._db is not None and self._identity() != self._file:
            self.close()
        if self._db is None:
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
                self._begin_with(db)
            except BaseException:
                db.close()
                raise
        assert self._db is not None  # noqa: S101 - for the type checker
        return self._db

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

    def _begin_with(self, db: sqlite3.Connection) -> None:
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
                _SCHEMA,
                application=_APPLICATION,
                version=_VERSION,
                busy_seconds=self._busy_seconds,
                fill=lambda: self._write_machine(db),
            )
        there = {name for (name,) in self._patiently(lambda: db.execute(_TABLES).fetchall())}
        for statement in [_LATER_TABLES[name] for name in _LATER_TABLES.keys() - there]:
            self._patiently(partial(db.execute, statement))
        (self._salt,) = self._patiently(lambda: db.execute("SELECT salt FROM machine").fetchone())
        self._hashes.clear()
        self._db = db

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
            self._start_anew(db, high - offset, clock)
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

    @staticmethod
    def _start_anew(db: sqlite3.Connection, shift: float, clock: float) -> None:
        """Carry what was counted over a new start of the machine, by the wall clock.

        All that ran has ended with it, so no use is later than now.
        """
        db.execute("DELETE FROM line")
        rows = db.execute("SELECT pool, at, call, amount FROM use").fetchall()
        db.execute("DELETE FROM use")
        db.executemany(
            "INSERT INTO use VALUES (?, ?, ?, ?, 0)",
            ((pool, min(at + shift, clock), call, amount) for pool, at, call, amount in rows),
        )
        db.execute("DELETE FROM use WHERE pool IN (SELECT id FROM pool WHERE kind = 'lease')")
        db.execute(
            "UPDATE pool SET running = 0, oldest = -9e99, as_of = min(as_of + ?1, ?2), "
            "told = min(told + ?1, ?2), until = until + ?1, probe = probe + ?1, border = border + ?1",
            (shift, clock),
        )
        db.execute(
            "UPDATE pool SET used = (SELECT total(amount) FROM use WHERE use.pool = pool.id), "
            "until = min(until, ? + 2678400), probe = min(probe, ? + 2678400)",
            (clock, clock),
        )
        notes.start_anew(db, shift, clock)

    # --- pages ------------------------------------------------------------------------------------

    def pool(self, rule: Rule, account: str) -> Pool:
        """Find or make the pool of a rule and an account."""
        found = self._numbers.get((rule, account))
        if found is None:
            who = "" if rule.by == "ip" else self._hash(account)
            assert self._db is not None  # noqa: S101 - in a transaction
            name = (rule.service, rule.pool, rule.metric, rule.per, who, meaning_of(rule).kind)
            facts = (rule.cap, rule.reset, rule.zone, rule.counted, rule.by, rule.source)
            self._db.execute(_MAKE, (*name, *facts))
            (number,) = self._db.execute(_NUMBER, name).fetchone()
            if len(self._numbers) > 10_000:
                self._numbers.clear()
            found = self._numbers[rule, account] = number, who
        number, who = found
        self._rules[number] = rule, who
        pool = self._pools.get(number)
        if pool is None:
            pool = self._load(number, rule, who)
            if pool is None:  # somebody has made the file anew
                raise StoreError(f"{self.path} was changed by another program.")
        pool.rule = rule
        return pool

    def known(self, number: int) -> Pool | None:
        """Find a pool by its number."""
        pool = self._pools.get(number)
        if pool is None and (known := self._rules.get(number)) is not None:
            pool = self._load(number, *known)
        if pool is None and self._db is not None:  # the file was closed since, as for a fork
            row = self._db.execute(_KNOW, (number,)).fetchone()
            pool = None if row is None else self._keep(row)
        return pool

    def pools(self, service: str) -> list[Pool]:
        """Find all pools, or those of a service."""
        assert self._db is not None  # noqa: S101 - in a transaction
        rows = self._db.execute(_ALL).fetchall()
        return [self._pools.get(row[0]) or self._keep(row) for row in rows if service in {"", row[2]}]

    def _keep(self, row: Sequence[Any]) -> Pool:
        """Make a pool of all that is written of it, and remember it."""
        number, who, service, name, metric, per, cap, reset, zone, counted, by, source, *state = row
        rule = Rule(
            service=service,
            pool=name,
            metric=metric,
            per=per,
            cap=cap,
            reset=reset,
            zone=zone,
            counted=counted,
            by=by,
            source=source,
        )
        self._rules.setdefault(number, (rule, who))
        pool = self._pools[number] = _pool(number, rule, who, state)
        return pool

    def uses(self, pool: Pool, *, after: float = -inf) -> Iterator[Use]:
        """Yield the uses later than a moment, the oldest first."""
        assert self._db is not None  # noqa: S101 - in a transaction
        for at, call, amount, is_open in self._db.execute(
            "SELECT at, call, amount, open FROM use WHERE pool = ? AND at > ? ORDER BY at, call",
            (pool.id, after),
        ):
            yield Use(at, call, amount, bool(is_open))

    def drop_until(self, pool: Pool, cutoff: float) -> list[Use]:
        """Remove the uses up to a moment, and return them."""
        assert self._db is not None  # noqa: S101 - in a transaction
        found = self._db.execute(
            "SELECT at, call, amount, open FROM use WHERE pool = ? AND at <= ? ORDER BY at, call",
            (pool.id, cutoff),
        ).fetchall()
        if found:
            self._db.execute("DELETE FROM use WHERE pool = ? AND at <= ?", (pool.id, cutoff))
        return [Use(at, call, amount, bool(is_open)) for at, call, amount, is_open in found]

    def put(self, pool: Pool, use: Use) -> None:
        """Add a use."""
        assert self._db is not None  # noqa: S101 - in a transaction
        self._db.execute("INSERT INTO use VALUES (?, ?, ?, ?, ?)", (pool.id, *use))

    def remove(self, pool: Pool, at: float, grant: str) -> Use | None:
        """Remove a use and return it."""
        assert self._db is not None  # noqa: S101 - in a transaction
        key = (pool.id, at, grant)
        row = self._db.execute(
            "SELECT amount, open FROM use WHERE pool = ? AND at = ? AND call = ?", key
        ).fetchone()
        if row is None:
            return None
        self._db.execute("DELETE FROM use WHERE pool = ? AND at = ? AND call = ?", key)
        return Use(at, grant, row[0], bool(row[1]))

    def clear(self, pool: Pool) -> None:
        """Remove all uses."""
        assert self._db is not None  # noqa: S101 - in a transaction
        self._db.execute("DELETE FROM use WHERE pool = ?", (pool.id,))

    def line(self) -> dict[str, Place]:
        """Find all who wait."""
        if self._line is None:
            assert self._db is not None  # noqa: S101 - in a transaction
            rows = self._db.execute("SELECT call, since, until, wanted FROM line").fetchall()
            self._line = {
                call: Place(since, until, json.loads(wanted)) for call, since, until, wanted in rows
            }
        return self._line

    def stand(self, call: str, place: Place | None) -> None:
        """Give somebody a place in the line, or take it away."""
        assert self._db is not None  # noqa: S101 - in a transaction
        line = self.line()
        if place is None:
            del line[call]
            self._db.execute("DELETE FROM line WHERE call = ?", (call,))
        else:
            line[call] = place
            wanted = json.dumps(place.wanted)
            self._db.execute(
                "INSERT OR REPLACE INTO line VALUES (?, ?, ?, ?)", (call, place.since, place.until, wanted)
            )

    def _load(self, number: int, rule: Rule, who: str) -> Pool | None:
        assert self._db is not None  # noqa: S101 - in a transaction
        row = self._db.execute(_FIND, (number,)).fetchone()
        if row is None:
            return None
        pool = self._pools[number] = _pool(number, rule, who, row[1:])
        return pool

    @staticmethod
    def _row(pool: Pool) -> tuple[Any, ...]:
        return (
            pool.used,
            pool.running,
            None if pool.oldest == inf else pool.oldest,
            pool.cap,
            pool.cap_source,
            pool.cap_at,
            pool.left,
            pool.as_of,
            pool.told,
            None if pool.until == inf else pool.until,
            None if pool.probe == inf else pool.probe,
            pool.border,
            pool.id,
        )

    def _hash(self, account: str) -> str:
        if not account:
            return "-"
        found = self._hashes.get(account)
        if found is None:
            found = blake2b(account.encode(), key=self._salt, digest_size=12).hexdigest()
            self._hashes[account] = found
        return found


def _pool(number: int, rule: Rule, who: str, state: Sequence[Any]) -> Pool:
    used, running, oldest, cap, cap_source, cap_at, left, as_of, told, until, probe, border = state
    return Pool(
        number,
        rule,
        who,
        used,
        running,
        inf if oldest is None else oldest,
        cap,
        cap_source,
        cap_at,
        left,
        as_of,
        told,
        inf if until is None else until,
        inf if probe is None else probe,
        border,
    )
