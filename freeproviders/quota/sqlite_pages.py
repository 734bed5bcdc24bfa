"""The pages of a ledger in a file of SQLite: pools, what was taken of them, and which calls wait."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from math import inf
from pathlib import Path
from typing import Any, Final

from freeproviders.quota.interface import Rule
from freeproviders.quota.pages import Place, Pool, Use
from freeproviders.quota.steps import StoreError
from freeproviders.quota.windows import meaning_of

POOL_TABLES: Final = """
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
LINE_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS line (call TEXT PRIMARY KEY, since REAL NOT NULL, until REAL NOT NULL, "
    "wanted TEXT NOT NULL) WITHOUT ROWID"
)
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
_MOST_NUMBERS: Final = 10_000


class SQLitePages:
    """See `freeproviders.quota.pages.Pages`; of one connection, and used inside of transactions only.

    Args:
        db: the connection.
        salt: what accounts are hashed with.
        path: the file, None for one in memory.

    Attributes:
        rules: the rules of pools and the hashes of their accounts, by the numbers of the pools.
    """

    def __init__(self, db: sqlite3.Connection, salt: bytes, path: Path | None) -> None:
        self.rules: dict[int, tuple[Rule, str]] = {}
        self._db = db
        self._salt = salt
        self._path = path
        self._numbers: dict[tuple[Rule, str], tuple[int, str]] = {}
        self._hashes: dict[str, str] = {}
        self._pools: dict[int, Pool] = {}
        self._line: dict[str, Place] | None = None

    def begin(self) -> None:
        """Begin a transaction: what was read in the last one others may have changed."""
        self._pools.clear()
        self._line = None

    def save(self) -> None:
        """Write the pools that have changed."""
        changed = [_row(pool) for pool in self._pools.values() if pool.dirty]
        if changed:
            self._db.executemany(_SAVE, changed)

    def roll_back(self) -> None:
        """Forget the numbers of pools, of which some may have been made in this transaction."""
        self._numbers.clear()
        self.rules.clear()

    def pool(self, rule: Rule, account: str) -> Pool:
        """Find or make the pool of a rule and an account."""
        found = self._numbers.get((rule, account))
        if found is None:
            who = "" if rule.by == "ip" else self.hash_of(account)
            name = (rule.service, rule.pool, rule.metric, rule.per, who, meaning_of(rule).kind)
            facts = (rule.cap, rule.reset, rule.zone, rule.counted, rule.by, rule.source)
            self._db.execute(_MAKE, (*name, *facts))
            (number,) = self._db.execute(_NUMBER, name).fetchone()
            if len(self._numbers) > _MOST_NUMBERS:
                self._numbers.clear()
            found = self._numbers[rule, account] = number, who
        number, who = found
        self.rules[number] = rule, who
        pool = self._pools.get(number)
        if pool is None:
            pool = self._load(number, rule, who)
            if pool is None:  # another process has made the file anew
                raise StoreError(f"{self._path} was changed by another program.")
        pool.rule = rule
        return pool

    def known(self, number: int) -> Pool | None:
        """Find a pool by its number."""
        pool = self._pools.get(number)
        if pool is None and (known := self.rules.get(number)) is not None:
            pool = self._load(number, *known)
        if pool is None:  # the file was closed since, as for a fork
            row = self._db.execute(_KNOW, (number,)).fetchone()
            pool = None if row is None else self._keep(row)
        return pool

    def pools(self, service: str) -> list[Pool]:
        """Find all pools, or those of a service."""
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
        self.rules.setdefault(number, (rule, who))
        pool = self._pools[number] = _pool(number, rule, who, state)
        return pool

    def uses(self, pool: Pool, *, after: float = -inf) -> Iterator[Use]:
        """Yield the uses later than a moment, the oldest first."""
        for at, call, amount, is_open in self._db.execute(
            "SELECT at, call, amount, open FROM use WHERE pool = ? AND at > ? ORDER BY at, call",
            (pool.id, after),
        ):
            yield Use(at, call, amount, bool(is_open))

    def drop_until(self, pool: Pool, cutoff: float) -> list[Use]:
        """Remove the uses up to a moment, and return them."""
        found = self._db.execute(
            "SELECT at, call, amount, open FROM use WHERE pool = ? AND at <= ? ORDER BY at, call",
            (pool.id, cutoff),
        ).fetchall()
        if found:
            self._db.execute("DELETE FROM use WHERE pool = ? AND at <= ?", (pool.id, cutoff))
        return [Use(at, call, amount, bool(is_open)) for at, call, amount, is_open in found]

    def put(self, pool: Pool, use: Use) -> None:
        """Add a use."""
        self._db.execute("INSERT INTO use VALUES (?, ?, ?, ?, ?)", (pool.id, *use))

    def remove(self, pool: Pool, at: float, grant: str) -> Use | None:
        """Remove a use and return it."""
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
        self._db.execute("DELETE FROM use WHERE pool = ?", (pool.id,))

    def line(self) -> dict[str, Place]:
        """Find all waiting calls."""
        if self._line is None:
            rows = self._db.execute("SELECT call, since, until, wanted FROM line").fetchall()
            self._line = {
                call: Place(since, until, json.loads(wanted)) for call, since, until, wanted in rows
            }
        return self._line

    def stand(self, call: str, place: Place | None) -> None:
        """Give a call a place in the line, or take it away."""
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
        row = self._db.execute(_FIND, (number,)).fetchone()
        if row is None:
            return None
        pool = self._pools[number] = _pool(number, rule, who, row[1:])
        return pool

    def hash_of(self, account: str) -> str:
        """Return what is written in an account's place."""
        if not account:
            return "-"
        found = self._hashes.get(account)
        if found is None:
            found = blake2b(account.encode(), key=self._salt, digest_size=12).hexdigest()
            self._hashes[account] = found
        return found


def start_anew(db: sqlite3.Connection, shift: float, clock: float) -> None:
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
        "UPDATE pool SET running = 0, oldest = -9e99, as_of = min(as_of + :shift, :now), "
        "told = min(told + :shift, :now), until = until + :shift, probe = probe + :shift, "
        "border = border + :shift",
        {"shift": shift, "now": clock},
    )
    db.execute(
        "UPDATE pool SET used = (SELECT total(amount) FROM use WHERE use.pool = pool.id), "
        "until = min(until, ? + 2678400), probe = min(probe, ? + 2678400)",
        (clock, clock),
    )


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
