"""Tables in Parquet files, by pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freeproviders.batch.tables.columns import Column
from freeproviders.batch.tables.record import PIECE_ROWS, Format, Record
from freeproviders.errors import MissingDependencyError, UsageError
from freeproviders.installing import with_extra

if TYPE_CHECKING:
    import pyarrow as pa


def pyarrow() -> tuple[Any, Any]:
    """Load pyarrow and its part for Parquet. Raises `MissingDependencyError` where it is not there."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - 170 MB that only tables in Parquet need
        import pyarrow.parquet as pq  # noqa: PLC0415 - the same
    except ImportError as error:
        raise MissingDependencyError(
            f"Tables in Parquet need the package pyarrow. {with_extra('parquet')}"
        ) from error
    return pa, pq


def arrow_type(column: Column) -> Any:
    """Return the type that the cells of a column have in Arrow."""
    arrow, _ = pyarrow()
    made = {"text": arrow.string, "whole": arrow.int64, "number": arrow.float64, "flag": arrow.bool_}[
        column.kind
    ]()
    return arrow.list_(made) if column.many else made


class Parquet:
    """A Parquet file; `arrow` is the schema of its columns."""

    format: Format = "parquet"
    columns: tuple[str, ...]

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as file:
            self.arrow: pa.Schema = file.schema_arrow
        names = self.arrow.names
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"{path} has the column {name!r} twice: rename one.")
        self.columns = tuple(names)

    def records(self, columns: Sequence[str] | None = None) -> Iterator[Record]:
        """Yield the rows."""
        for records, _ in self.pieces(columns, carried=False):
            yield from records

    def pieces(
        self, columns: Sequence[str] | None = None, *, carried: bool = True
    ) -> Iterator[tuple[list[Record], pa.RecordBatch]]:
        """Yield some rows at a time, with their piece of the file.

        `columns` are those that the rows have. `carried` says whether the piece has all columns.
        """
        index = 0
        wanted = [name for name in self.columns if name in columns] if columns else None
        with self._opened() as file:
            try:
                for piece in file.iter_batches(
                    batch_size=PIECE_ROWS, columns=None if carried else wanted, use_threads=False
                ):
                    rows = (piece if wanted is None else piece.select(wanted)).to_pylist()
                    yield (
                        [
                            Record(index + place, f"row {index + place + 1}", values)
                            for place, values in enumerate(rows)
                        ],
                        piece,
                    )
                    index += len(rows)
            except (OSError, ValueError) as error:  # what pyarrow raises are these
                raise UsageError(f"{self.path} cannot be read after row {index}: {error}.") from None

    def _opened(self) -> Any:
        _, parquet = pyarrow()
        try:
            return parquet.ParquetFile(self.path)
        except (OSError, ValueError) as error:
            if not self.path.exists():
                raise UsageError(f"{self.path} cannot be read: there is no such file.") from None
            raise UsageError(f"{self.path} is no Parquet file: {str(error)[:200]}.") from None
