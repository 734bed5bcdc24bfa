"""The table of answers: written beside its place, and put there whole."""

from __future__ import annotations

import errno
import glob
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from freeproviders.batch.tables.columns import Column, UnfitError
from freeproviders.batch.tables.outcome import Outcome
from freeproviders.batch.tables.parquet import Parquet
from freeproviders.batch.tables.record import PIECE_ROWS, Format, Record, Table
from freeproviders.batch.tables.writers import writer_of
from freeproviders.errors import UsageError

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_UNFINISHED: Final = ".part"
_LONGEST_NAME: Final = 200
"""Bytes of a name that leave room for what is put around it."""


class Piece(NamedTuple):
    """Some rows of the table of questions, and what a writer of Parquet carries over of them."""

    records: list[Record]
    carried: Any = None


Results = AsyncGenerator[tuple[Piece, list[Outcome]], None]
"""Rows in their order, and what became of each."""


def pieces_of(
    table: Table, *, most: int | None, carried: bool, columns: Sequence[str] | None = None
) -> Iterator[Piece]:
    """Yield a table's rows some at a time, `most` of them at most.

    `carried` says that rows of a Parquet file are taken over as they are; `columns` are then those
    that are looked at.
    """
    if carried and isinstance(table, Parquet):
        left = most
        for records, piece in table.pieces(columns):
            if left is not None and len(records) >= left:
                yield Piece(records[:left], piece.slice(0, left))
                return
            left = None if left is None else left - len(records)
            yield Piece(records, piece)
        return
    rows = islice(table.records(), most)
    while some := list(islice(rows, PIECE_ROWS)):
        yield Piece(some)


class Output:
    """A file that will hold a table of answers; None is standard output.

    Raises `UsageError` where it cannot be written: nothing is asked for a table that cannot be kept.
    """

    def __init__(self, path: Path | None, kind: Format) -> None:
        self.path = None if path is None else path.expanduser().resolve()
        self.kind = kind
        self._mode = 0
        if self.path is not None:
            self._check(self.path)

    async def write(
        self, columns: Sequence[Column], results: Callable[[], Results], *, inputs: Any = None
    ) -> list[Column]:
        """Write the table, and return the columns that it got.

        A column that turns out to hold another kind of values than was said becomes one of text.

        Args:
            columns: the columns.
            results: makes the rows with what became of them, each time from the beginning.
            inputs: the schema of a Parquet file whose columns are carried over.
        """
        columns = list(columns)
        while True:
            try:
                async with aclosing(results()) as found:
                    await self._write(columns, found, inputs)
            except UnfitError as error:
                columns[error.column] = replace(columns[error.column], kind="text", many=False)
            else:
                return columns

    async def _write(self, columns: Sequence[Column], results: Results, inputs: Any) -> None:
        try:
            await self._write_unfinished(columns, results, inputs)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            where = "The table" if self.path is None else str(self.path)
            raise OSError(
                f"{where} cannot be written: {error.strerror}. No answer is lost: make room, and the same "
                "command writes the table."
            ) from error

    async def _write_unfinished(self, columns: Sequence[Column], results: Results, inputs: Any) -> None:
        number, name = tempfile.mkstemp(
            _UNFINISHED,
            "freeproviders-" if self.path is None else _prefix(self.path),
            None if self.path is None else self.path.parent,
        )
        unfinished = Path(name)
        try:
            with os.fdopen(number, "w+b") as file:
                writer = writer_of(self.kind, columns, file, inputs)
                try:
                    async for piece, outcomes in results:
                        rows = [
                            [column.value(record.values, outcome) for column in columns]
                            for record, outcome in zip(piece.records, outcomes, strict=True)
                        ]
                        writer.write(rows, piece.carried)
                    writer.finish()
                except BaseException:
                    writer.abandon()
                    raise
                self._put(unfinished, file)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)  # noqa: PTH108 - a moment, and nothing else runs on this loop

    def _put(self, unfinished: Path, file: IO[bytes]) -> None:
        """Give the finished file its name, or send it to standard output."""
        if self.path is None:
            file.seek(0)
            shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        file.flush()
        os.fsync(file.fileno())
        unfinished.chmod(self._mode)
        unfinished.replace(self.path)

    def _check(self, path: Path) -> None:
        """Find out whether a file can be made there, and which rights it will have."""
        if not path.parent.is_dir():
            raise UsageError(f"{path} cannot be written: there is no folder {path.parent}.")
        try:
            if path.exists():
                found = path.stat()
                if not stat.S_ISREG(found.st_mode):
                    raise UsageError(f"{path} cannot be written: it is no file.")
                self._mode = stat.S_IMODE(found.st_mode)
                path.open("r+b").close()
            for left in path.parent.glob(f"{glob.escape(_prefix(path))}*{_UNFINISHED}"):
                left.unlink()  # of a run that was killed while it wrote
            probe = path.parent / f"{_prefix(path)}{secrets.token_hex(4)}{_UNFINISHED}"
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            self._mode = self._mode or stat.S_IMODE(probe.stat().st_mode)
            probe.unlink()
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror or error}.") from None


def _prefix(path: Path) -> str:
    return f".{path.name[:_LONGEST_NAME]}."
