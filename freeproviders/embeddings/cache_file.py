"""Vectors in a file of SQLite: by family, role, truncation and the hash of the text."""

from __future__ import annotations

import sqlite3
import sys
import time
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from freeproviders.embeddings.family import Family
from freeproviders.errors import FamilyMismatchError
from freeproviders.sqlite_file import Form, PrivateDatabase
from freeproviders.wire.embeddings.request import Role
from freeproviders.wire.embeddings.vectors import Vectors

_APPLICATION: Final = 0x66707665  # "fpve", by which a file is known as ours
_VERSION: Final = 1
_BUSY_SECONDS: Final = 20.0
"""How long others may hold the file; a large batch of vectors takes them tenths of a second."""
_PAGE: Final = 16_384
"""Five vectors of 768 numbers fill a page; in one of 4096 bytes a quarter would be left over."""
_NUMBER: Final = 4
_SCHEMA: Final = """
CREATE TABLE family (
  id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
  made REAL NOT NULL, written REAL NOT NULL
);
CREATE TABLE asked (fingerprint TEXT PRIMARY KEY, family INTEGER NOT NULL);
CREATE TABLE section (
  id INTEGER PRIMARY KEY, family INTEGER NOT NULL, role TEXT NOT NULL, truncate INTEGER NOT NULL,
  options TEXT NOT NULL, UNIQUE (family, role, truncate, options)
);
CREATE TABLE vector (
  section INTEGER NOT NULL, text BLOB NOT NULL, cut INTEGER NOT NULL, sum INTEGER NOT NULL,
  numbers BLOB NOT NULL, PRIMARY KEY (section, text)
)
"""
_FORM: Final = Form(application=_APPLICATION, version=_VERSION, schema=_SCHEMA, page=_PAGE)
_OF_ASKED: Final = (
    "SELECT f.id, f.fingerprint, f.size FROM asked a JOIN family f ON f.id = a.family WHERE a.fingerprint = ?"
)
_FAMILY: Final = "SELECT id, fingerprint, size FROM family WHERE fingerprint = ?"
_SECTION: Final = "SELECT id FROM section WHERE family = ? AND role = ? AND truncate = ? AND options = ?"
_FIND: Final = "SELECT cut, sum, numbers FROM vector WHERE section = ? AND text = ?"
_PUT: Final = (
    "INSERT INTO vector VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET cut = excluded.cut, sum = excluded.sum, numbers = excluded.numbers"
)
_COUNTS: Final = (
    "SELECT f.fingerprint, f.size, f.made, f.written, s.role, "
    "(SELECT count(*) FROM vector v WHERE v.section = s.id) "
    "FROM family f LEFT JOIN section s ON s.family = f.id ORDER BY f.fingerprint, s.role"
)


@dataclass(frozen=True, slots=True)
class Place:
    """What beside a text decides its vector.

    Attributes:
        family: the model and its rules.
        role: what the text is for.
        truncate: whether it may be cut.
        options: a hash of the service's own options, "" for none.
    """

    family: Family
    role: Role
    truncate: bool
    options: str


@dataclass(frozen=True, slots=True)
class Found:
    """The vectors that were there.

    Attributes:
        family: the family that was asked for, with its size where that is known now.
        places: which of the texts have a vector, ascending.
        vectors: theirs, in that order.
        cut: those of the places whose texts were cut.
    """

    family: Family
    places: list[int]
    vectors: Vectors
    cut: list[int]


@dataclass(frozen=True, slots=True)
class StoredFamily:
    """What a file holds of one family.

    Attributes:
        fingerprint: see `Family.fingerprint`.
        documents: vectors of documents.
        queries: vectors of queries.
        bytes: what the vectors take, without what the file adds.
        made: when the first vector came, in seconds since 1970.
        written: when the latest one came.
    """

    fingerprint: str
    documents: int
    queries: int
    bytes: int
    made: float
    written: float


class _Row(NamedTuple):
    id: int
    fingerprint: str
    size: int


class VectorFile(PrivateDatabase):
    """A file of vectors; see `PrivateDatabase`."""

    def __init__(self, path: Path, *, own: bool, busy_seconds: float = _BUSY_SECONDS) -> None:
        super().__init__(path, _FORM, own=own, busy_seconds=busy_seconds)

    def find(self, place: Place, texts: Sequence[bytes]) -> Found:
        """Return which of the texts, given by their hashes, have a vector that is whole."""

        def read(db: sqlite3.Connection) -> Found:
            data: array[float] = array("f")
            places: list[int] = []
            cut: list[int] = []
            row = self._row(db, place.family)
            if row is None:
                return Found(place.family, [], Vectors(data, 0), [])
            section = db.execute(_SECTION, (row.id, *_facts(place))).fetchone()
            for at, text in enumerate(texts if section else ()):
                found = db.execute(_FIND, (*section, text)).fetchone()
                if found is not None and _is_whole(found[2], found[1], text, row.size):
                    data.frombytes(found[2])
                    places.append(at)
                    if found[0]:
                        cut.append(at)
            if sys.byteorder == "big":
                data.byteswap()
            return Found(place.family.with_size(row.size), places, Vectors(data, row.size), cut)

        return self.read(read)

    def put(self, place: Place, texts: Sequence[bytes], vectors: Vectors, cut: Collection[int]) -> None:
        """Keep the vectors of texts, all or none; what is there is replaced.

        `cut` has the places of texts that were cut. Raises `FamilyMismatchError` where the vectors
        are of another size than what came before.
        """

        def write(db: sqlite3.Connection) -> None:
            family = self._sized(db, place.family, vectors.size, time.time())
            key = (family, *_facts(place))
            db.execute(
                "INSERT INTO section (family, role, truncate, options) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                key,
            )
            (section,) = db.execute(_SECTION, key).fetchone()
            rows = enumerate(zip(texts, _blobs(vectors), strict=True))
            db.executemany(
                _PUT, ((section, text, at in cut, _sum(text, blob), blob) for at, (text, blob) in rows)
            )

        self.write(write)

    def families(self) -> list[StoredFamily]:
        """Return what is kept of each family, by its fingerprint."""

        def read(db: sqlite3.Connection) -> list[StoredFamily]:
            counts: dict[tuple[str, int, float, float], dict[str, int]] = {}
            for fingerprint, size, made, written, role, count in db.execute(_COUNTS).fetchall():
                of_role = counts.setdefault((fingerprint, size, made, written), {})
                of_role[role] = of_role.get(role, 0) + count
            return [
                StoredFamily(
                    fingerprint,
                    roles.get("document", 0),
                    roles.get("query", 0),
                    sum(roles.values()) * size * _NUMBER,
                    made,
                    written,
                )
                for (fingerprint, size, made, written), roles in counts.items()
            ]

        return self.read(read)

    def delete(self, fingerprint: str | None) -> int:
        """Forget a family, or all of them, and give its room back; return the number of vectors."""

        def write(db: sqlite3.Connection) -> int:
            which, given = ("", ()) if fingerprint is None else ("WHERE fingerprint = ?", (fingerprint,))
            ids = f"SELECT id FROM family {which}"  # noqa: S608 - no text of a caller
            of_family = f"SELECT id FROM section WHERE family IN ({ids})"  # noqa: S608 - the same
            number = db.execute(f"DELETE FROM vector WHERE section IN ({of_family})", given).rowcount  # noqa: S608
            db.execute(f"DELETE FROM section WHERE family IN ({ids})", given)  # noqa: S608 - the same
            db.execute(f"DELETE FROM asked WHERE family IN ({ids})", given)  # noqa: S608 - the same
            db.execute(f"DELETE FROM family {which}", given)  # noqa: S608 - the same
            return number

        number = self.write(write)
        self.give_room_back()
        return number

    # --- families ---------------------------------------------------------------------------------

    @staticmethod
    def _row(db: sqlite3.Connection, family: Family) -> _Row | None:
        found = db.execute(_OF_ASKED if family.size is None else _FAMILY, (family.fingerprint,)).fetchone()
        return None if found is None else _Row(*found)

    def _sized(self, db: sqlite3.Connection, family: Family, size: int, now: float) -> int:
        """Return the id of a family whose vectors have a size; raise where they had another."""
        own = family.with_size(size).fingerprint
        row = self._row(db, family)
        stored = family.fingerprint if family.size is not None else own if row is None else row.fingerprint
        if stored != own:
            raise FamilyMismatchError(
                f"The model has answered with vectors of the family {own!r}, and those in {self.path} are of "
                f"{stored!r}: they cannot be compared.",
                stored=stored,
                own=own,
            )
        db.execute(
            "INSERT INTO family (fingerprint, size, made, written) VALUES (:fingerprint, :size, :now, :now) "
            "ON CONFLICT DO UPDATE SET written = excluded.written",
            {"fingerprint": own, "size": size, "now": now},
        )
        number: int = db.execute(_FAMILY, (own,)).fetchone()[0]
        if family.size is None:
            db.execute("INSERT OR REPLACE INTO asked VALUES (?, ?)", (family.fingerprint, number))
        return number


def _facts(place: Place) -> tuple[str, bool, str]:
    return place.role, place.truncate, place.options


def _is_whole(blob: object, checksum: object, text: bytes, size: int) -> bool:
    """Whether what is kept is what was put; a disk or another program may have changed anything."""
    return isinstance(blob, bytes) and len(blob) == size * _NUMBER and _sum(text, blob) == checksum


def _sum(text: bytes, blob: bytes | memoryview) -> int:
    """Return a sum that tells also whether a vector is its text's: an index may be damaged too."""
    return crc32(blob, crc32(text))


def _blobs(vectors: Vectors) -> Iterator[memoryview]:
    """Yield the bytes of each vector, the low one of a number first."""
    data = vectors.data
    if sys.byteorder == "big":
        data = data[:]
        data.byteswap()
    numbers = memoryview(data).cast("B")
    length = vectors.size * _NUMBER
    return (numbers[at * length : (at + 1) * length] for at in range(len(vectors)))
