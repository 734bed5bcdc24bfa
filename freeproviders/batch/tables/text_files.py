"""Files of text, as tables are read from them: their encoding, and packed ones."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

from freeproviders.errors import UsageError

_PACKED: Final = b"\x1f\x8b"
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins like that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


def opened_bytes(path: Path) -> IO[bytes]:
    """Open a file, unpacked where it is packed by gzip. Raises `UsageError` where there is none."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _PACKED
        return cast("IO[bytes]", gzip.open(path) if packed else path.open("rb"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from None


def encoding_of(path: Path, given: str | None) -> str:
    """Return the encoding of a file: what was given, else what its first bytes say, else UTF-8."""
    if given is not None:
        try:
            return codecs.lookup(given).name
        except LookupError:
            raise UsageError(f"There is no encoding {given!r}: as utf-8, cp1252 or utf-16.") from None
    with opened_bytes(path) as file:
        beginning = file.read(4)
    return next((name for mark, name in _MARKS if beginning.startswith(mark)), "utf-8")


@contextmanager
def opened_text(path: Path, encoding: str, *, newline: str) -> Iterator[io.TextIOWrapper]:
    """Open a file as text; bytes that are none become halves of characters (`undecoded`).

    Raises `UsageError` where reading it fails, as in a packed file that was cut.
    """
    wide = encoding.startswith(("utf-16", "utf-32"))
    errors = "replace" if wide else "surrogateescape"
    with opened_bytes(path) as file, io.TextIOWrapper(file, encoding, errors, newline) as text:
        try:
            yield text
        except (OSError, EOFError, zlib.error) as error:
            raise UsageError(f"{path} cannot be read to its end: {error}.") from None


def undecoded(text: str) -> bool:
    """Return whether a text that was read has bytes in it that are no text in its encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
