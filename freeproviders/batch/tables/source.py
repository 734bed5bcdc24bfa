"""A table by its file: which format it has, by its name or by its first bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from freeproviders.batch.tables.delimited import Delimited
from freeproviders.batch.tables.json_lines import JsonLines
from freeproviders.batch.tables.lines import Lines
from freeproviders.batch.tables.parquet import Parquet
from freeproviders.batch.tables.record import Format, Table
from freeproviders.batch.tables.text_files import opened_bytes
from freeproviders.errors import UsageError

BY_SUFFIX: Final[dict[str, Format]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
}
_NAMES: Final = ".jsonl, .csv, .tsv, .parquet or .txt"


def format_of(path: Path) -> Format | None:
    """Return the format that a file's name tells, also where it is packed; None for an unknown one."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return BY_SUFFIX.get(suffixes[-1]) if suffixes else None


def open_table(path: Path, kind: Format | None = None, *, encoding: str | None = None) -> Table:
    """Open a table; nothing but its beginning is read.

    Args:
        path: the file; a text may be packed by gzip.
        kind: its format, None for what its name tells.
        encoding: that of a text; None is what its first bytes tell, else UTF-8.

    Raises:
        UsageError: it cannot be read, or is no table.
        MissingDependencyError: it needs pyarrow.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file in it.")
    kind = kind or format_of(path)
    match kind:
        case "jsonl":
            return JsonLines(path, encoding)
        case "csv" | "tsv":
            return Delimited(path, encoding, "\t" if kind == "tsv" else None)
        case "parquet":
            return Parquet(path)
        case "text":
            return Lines(path, encoding)
        case _:
            raise UsageError(f"The name of {path} does not tell what it holds: it may end in {_NAMES}.")


def sniffed(path: Path) -> Format:
    """Return the format of a file without a name, by its first bytes: JSON lines, Parquet or CSV."""
    with opened_bytes(path) as file:
        beginning = file.read(4096)
    if beginning.startswith(b"PAR1"):
        return "parquet"
    text = beginning.removeprefix(b"\xef\xbb\xbf").replace(b"\0", b"").lstrip(b"\xff\xfe \t\r\n")
    return "jsonl" if text.startswith((b"{", b"[")) or not text else "csv"
