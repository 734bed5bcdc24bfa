"""A row of a table as it was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol

Format = Literal["jsonl", "csv", "tsv", "parquet", "text"]
PIECE_ROWS: Final = 256
"""Rows that are in memory at the same time."""
LONGEST_ROW: Final = 2**26
"""The most bytes of a row of text: a quote that is never closed must not fill the memory."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a table.

    Attributes:
        index: its number from 0.
        place: where it stands, for people: "line 17".
        values: its cells by the names of the columns.
        wrong: why it cannot be used, "" where it can.
    """

    index: int
    place: str
    values: Mapping[str, Any] = field(default_factory=dict)
    wrong: str = ""


class Table(Protocol):
    """A file with rows, which is read from its beginning by every call of `records`.

    Attributes:
        path: the file.
        format: how it is written.
    """

    path: Path
    format: Format

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The names of its columns, None where each row has its own."""

    def records(self, columns: Sequence[str] | None = None) -> Iterator[Record]:
        """Yield the rows one by one.

        `columns` are those that are wanted; None is all, and there may be more in any case. Raises
        `UsageError` where the file ends being readable.
        """
        ...
