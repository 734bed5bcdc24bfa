"""Tables with a header, whose cells are separated by commas, semicolons or tabs."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TextIO

from freeproviders.batch.tables.cells import encodable
from freeproviders.batch.tables.record import LONGEST_ROW, Format, Record
from freeproviders.batch.tables.text_files import encoding_of, opened_text, undecoded
from freeproviders.errors import UsageError

_SEPARATORS: Final = (",", ";", "\t", "|")
_HEADER: Final = 2**20
"""The most characters of a header that are looked at for its separator."""


class Delimited:
    """A CSV file with a header; None takes as separator what the header has most of."""

    format: Format
    columns: tuple[str, ...]

    def __init__(self, path: Path, encoding: str | None = None, separator: str | None = None) -> None:
        self.path = path
        self.format = "tsv" if separator == "\t" else "csv"
        self._encoding = encoding_of(path, encoding)
        with opened_text(path, self._encoding, newline="") as file:
            self._separator = separator or _separator(file.read(_HEADER))
        self.columns = self._header()

    def records(self, columns: Sequence[str] | None = None) -> Iterator[Record]:
        """Yield the rows; one with too few or too many cells cannot be used, nor a broken one."""
        del columns
        rows = self._rows()
        next(rows, None)
        for index, (line, cells) in enumerate(rows):
            place = f"line {line}"
            if isinstance(cells, str):
                yield Record(index, place, wrong=cells)
                continue
            values = dict(zip(self.columns, cells, strict=False))
            wrong = ""
            if len(cells) != len(self.columns):
                s = "" if len(cells) == 1 else "s"
                wrong = f"It has {len(cells)} cell{s}, where the header has {len(self.columns)}."
            elif any(map(undecoded, cells)):
                wrong = f"It is no text in the encoding {self._encoding}."
                values = {name: encodable(cell) for name, cell in values.items()}
            yield Record(index, place, values, wrong)

    def _header(self) -> tuple[str, ...]:
        first = next(self._rows(), None)
        if first is None:
            raise UsageError(f"{self.path} is empty: it has not even a header.")
        line, header = first
        if isinstance(header, str):
            raise UsageError(f"The header of {self.path}, on line {line}, cannot be read: {header}")
        if any(map(undecoded, header)):
            raise UsageError(
                f"The header of {self.path} is no text in the encoding {self._encoding}: name its own."
            )
        for name in header:
            if header.count(name) > 1:
                raise UsageError(f"{self.path} has the column {name!r} twice: rename one in its header.")
        return tuple(header)

    def _rows(self) -> Iterator[tuple[int, list[str] | str]]:
        """Yield each row with the line on which it begins, or why it cannot be read; blank ones not."""
        # The module's own bound, for all its users alike, is 128 KB: raising it does no harm to them.
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_ROW))
        with opened_text(self.path, self._encoding, newline="") as file:
            reader = csv.reader(self._lines(file), delimiter=self._separator, strict=True)
            while True:
                line = reader.line_num + 1
                try:
                    row = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield line, _in_words(error, reader.line_num - line + 1)
                    continue
                if row:
                    yield line, row

    def _lines(self, file: TextIO) -> Iterator[str]:
        while line := file.readline(LONGEST_ROW):
            if len(line) >= LONGEST_ROW:
                raise UsageError(
                    f"{self.path} has a line of more than {LONGEST_ROW >> 20} million characters: "
                    "it is no table."
                )
            yield line


def _separator(beginning: str) -> str:
    """Return what separates the names of a header, outside of quotes."""
    unquoted: list[str] = []
    inside = False
    for character in beginning:
        if character == '"':
            inside = not inside
        elif not inside:
            if character in "\r\n" and unquoted:
                break
            unquoted.append(character)
    return max(_SEPARATORS, key=unquoted.count)


def _in_words(error: csv.Error, lines: int) -> str:
    said = str(error)
    if "unexpected end of data" in said or "field limit" in said:
        return f"A quote is opened and not closed: {lines} lines of the file are in this row."
    return f"It cannot be read: {said}."
