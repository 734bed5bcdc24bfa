"""Notes in the ledger's file: small texts with a version, of which the store knows no meaning."""

from __future__ import annotations

import sqlite3
from math import inf
from secrets import token_hex
from typing import Final

from freeproviders.quota.interface import Note, NoteName
from freeproviders.quota.steps import CLEARED_SECONDS, WriteNote

TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS note (topic TEXT NOT NULL, service TEXT NOT NULL, who TEXT NOT NULL, "
    "version TEXT NOT NULL, text TEXT NOT NULL, at REAL NOT NULL, until REAL NOT NULL, "
    "PRIMARY KEY (topic, service, who)) WITHOUT ROWID"
)
_LONGEST_SECONDS: Final = 31 * 86_400.0
"""How long a note that expires is kept at most over a new start of the machine."""
_READ: Final = "SELECT version, text, at FROM note WHERE topic = ? AND service = ? AND who = ? AND until > ?"
_CLEAR: Final = (
    "UPDATE note SET version = :version, text = '', at = :now, until = :now + :keep "
    "WHERE service = :service OR substr(service, 1, length(:service) + 1) = :service || ' '"
)


def read(db: sqlite3.Connection, name: NoteName, who: str, now: float) -> Note | None:
    """Find a note that has not expired."""
    found = db.execute(_READ, (name.topic, name.service, who, now)).fetchone()
    return None if found is None else Note(found[0], found[1], max(0.0, now - found[2]))


def write(db: sqlite3.Connection, step: WriteNote, who: str, now: float) -> Note | None:
    """Write a note if the present one is what the writer has read; return the one that there is then."""
    name = step.name
    there = read(db, name, who, now)
    if (there.version if there else "") != step.over:
        return there
    db.execute("DELETE FROM note WHERE until <= ?", (now,))
    row = (step.version, step.text, now - step.ago, now + step.keep)
    db.execute(
        "INSERT OR REPLACE INTO note VALUES (?, ?, ?, ?, ?, ?, ?)", (name.topic, name.service, who, *row)
    )
    return Note(step.version, step.text, step.ago)


def clear(db: sqlite3.Connection, service: str, now: float) -> None:
    """Put an empty text in the place of all notes about a service, at any of its addresses."""
    values = {"version": token_hex(8), "now": now, "keep": CLEARED_SECONDS, "service": service}
    db.execute(_CLEAR, values)


def start_anew(db: sqlite3.Connection, shift: float, clock: float) -> None:
    """Carry notes over a new start of the machine; none is kept for ever that was to expire."""
    db.execute(
        "UPDATE note SET at = min(at + :shift, :now), "
        "until = CASE WHEN until = :ever THEN until ELSE min(until + :shift, :now + :longest) END",
        {"shift": shift, "now": clock, "ever": inf, "longest": _LONGEST_SECONDS},
    )
