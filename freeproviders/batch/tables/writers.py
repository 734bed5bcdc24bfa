"""Tables of answers, written row by row as JSON lines, CSV or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import IO, Any, Final, Protocol

from freeproviders.batch.tables.cells import as_text, encodable, json_text
from freeproviders.batch.tables.columns import Column, fitted
from freeproviders.batch.tables.parquet import arrow_type, pyarrow
from freeproviders.batch.tables.record import Format
from freeproviders.errors import UsageError

WRITABLE: Final[tuple[Format, ...]] = ("jsonl", "csv", "tsv", "parquet")
_GROUP_ROWS: Final = 20_000
_GROUP_CHARACTERS: Final = 2**24
"""What is in memory at most before a group of rows of Parquet is written."""


class Writer(Protocol):
    """What writes a table of answers into a file that is open."""

    def write(self, rows: Sequence[Sequence[Any]], carried: Any = None) -> None:
        """Write rows, each with its cells in the order of the columns.

        `carried` is the rows' own piece of the table of questions, where the cells have none of it.
        """
        ...

    def finish(self) -> None:
        """Write what waits; the file stays open."""
        ...

    def abandon(self) -> None:
        """Let go of the file, whatever is in it."""
        ...


def writer_of(kind: Format, columns: Sequence[Column], file: IO[bytes], inputs: Any = None) -> Writer:
    """Make the writer of a format.

    `inputs` is the schema of a Parquet file whose columns are carried over as they are. Raises
    `UsageError` for a format that is only read.
    """
    match kind:
        case "jsonl":
            return JsonLinesWriter(columns, file)
        case "csv" | "tsv":
            return DelimitedWriter(columns, file, "\t" if kind == "tsv" else ",")
        case "parquet":
            return ParquetWriter(columns, file, inputs)
        case _:
            raise UsageError(f"Answers are written as {', '.join(WRITABLE)}, not as {kind}.")


class JsonLinesWriter:
    """JSON lines: an object for each row."""

    def __init__(self, columns: Sequence[Column], file: IO[bytes]) -> None:
        self._columns = columns
        self._file = file

    def write(self, rows: Sequence[Sequence[Any]], carried: Any = None) -> None:
        """Write rows."""
        del carried
        for cells in rows:
            row = {column.name: cell for column, cell in zip(self._columns, cells, strict=True)}
            self._file.write(json_text(row).encode() + b"\n")

    def finish(self) -> None:
        """Write what waits."""

    def abandon(self) -> None:
        """Let go of the file."""


class DelimitedWriter:
    """CSV with a header; an empty cell is one without a value."""

    def __init__(self, columns: Sequence[Column], file: IO[bytes], separator: str) -> None:
        self._text = TextIOWrapper(file, "utf-8", newline="", write_through=False)
        self._rows = csv.writer(_Lines(self._text), delimiter=separator, lineterminator="\r\n")
        self._rows.writerow([column.name for column in columns])

    def write(self, rows: Sequence[Sequence[Any]], carried: Any = None) -> None:
        """Write rows."""
        del carried
        self._rows.writerows([[encodable(as_text(cell)) for cell in cells] for cells in rows])

    def finish(self) -> None:
        """Write what waits, and leave the file to its owner."""
        self._text.detach()

    def abandon(self) -> None:
        """Let go of the file."""
        with suppress(OSError, ValueError):
            self._text.detach()


class _Lines:
    """Ends lines as other programs here do: told to do so itself, the module quotes too little."""

    def __init__(self, text: TextIOWrapper) -> None:
        self._text = text

    def write(self, line: str) -> int:
        """Write a row, which comes in one piece."""
        return self._text.write(line[:-2] + "\n")


class ParquetWriter:
    """Parquet; each column has one type."""

    def __init__(self, columns: Sequence[Column], file: IO[bytes], inputs: Any = None) -> None:
        self._arrow, parquet = pyarrow()
        self._columns = [column for column in columns if inputs is None or column.origin != "input"]
        self._offset = len(columns) - len(self._columns)
        self._carries = inputs is not None
        own = [self._arrow.field(column.name, arrow_type(column)) for column in self._columns]
        self._own = self._arrow.schema(own)
        schema = self._own
        if inputs is not None:
            schema = self._arrow.schema([*inputs, *own], metadata=inputs.metadata)
        self._schema = schema
        self._file = parquet.ParquetWriter(file, schema)
        self._cells: list[list[Any]] = [[] for _ in self._columns]
        self._carried: list[Any] = []
        self._rows = self._characters = 0

    def write(self, rows: Sequence[Sequence[Any]], carried: Any = None) -> None:
        """Write rows. Raises `UnfitError` for a cell that is not of its column's kind."""
        for cells in rows:
            for place, column in enumerate(self._columns):
                cell = fitted(cells[self._offset + place], column, self._offset + place)
                if isinstance(cell, str):
                    self._characters += len(cell)
                    cell = encodable(cell)
                self._cells[place].append(cell)
        if self._carries:
            self._carried.append(carried)
            self._characters += carried.nbytes
        self._rows += len(rows)
        if self._rows >= _GROUP_ROWS or self._characters >= _GROUP_CHARACTERS:
            self._write_group()

    def finish(self) -> None:
        """Write what waits, and the end of the file."""
        self._write_group()
        self._file.close()

    def abandon(self) -> None:
        """Let go of the file."""
        with suppress(OSError, ValueError):
            self._file.close()

    def _write_group(self) -> None:
        if not self._rows:
            return
        arrays = [
            self._arrow.array(cells, type=field.type)
            for cells, field in zip(self._cells, self._own, strict=True)
        ]
        table = self._arrow.table(arrays, schema=self._own)
        if self._carries:
            inputs = self._arrow.Table.from_batches(self._carried)
            whole = [*inputs.columns, *table.columns]
            table = self._arrow.table(whole, schema=self._schema)
        self._file.write_table(table)
        self._cells = [[] for _ in self._columns]
        self._carried = []
        self._rows = self._characters = 0
