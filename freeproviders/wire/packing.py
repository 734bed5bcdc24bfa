"""Packed bodies (`Content-Encoding`), unpacked in pieces of a bounded size up to their own end.

The HTTP library's own unpacking takes a gzip or brotli stream that was cut off for a whole one, and
gives a body of a few kilobytes that unpacks to hundreds of megabytes without ever letting the event
loop turn.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from typing import Any, Final

from freeproviders.errors import MalformedResponseError

PIECE_BYTES: Final = 2**16

_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
_RAW_WINDOW: Final = -zlib.MAX_WBITS
_GZIP_MAGIC: Final = b"\x1f"


class Unpacker(ABC):
    """Unpacks one body.

    `more` says that `unpack(b"")` has more to give without further input; `whole` that the packed
    stream has reached its own end; `begun` that it has begun at all.
    """

    def __init__(self) -> None:
        self.more = False
        self.whole = False
        self.begun = False

    def unpack(self, data: bytes) -> bytes:
        """Take a read and return what it unpacks to, about `PIECE_BYTES` at most, possibly nothing.

        Raises `MalformedResponseError` where the data is not what its header says.
        """
        self.begun = self.begun or bool(data)
        try:
            return self._unpack(data)
        except MalformedResponseError:
            raise
        except Exception as error:  # each package has an error class of its own
            raise MalformedResponseError(f"The answer cannot be unpacked: {error}.") from error

    @abstractmethod
    def _unpack(self, data: bytes) -> bytes: ...


def unpacker(encoding: str) -> Unpacker | None:
    """The unpacker for a `Content-Encoding`, None for one that is unknown.

    Raises `MalformedResponseError` where the package that could unpack it is not installed.
    """
    name = encoding.strip().lower()
    if name in {"gzip", "x-gzip"}:
        return _Zlib(_GZIP_WINDOW)
    if name == "deflate":
        return _Zlib(zlib.MAX_WBITS)
    if name not in _OPTIONAL:
        return None
    make = _OPTIONAL[name]()
    if make is None:
        raise MalformedResponseError(f"The answer is packed as {name}, which was not asked for.")
    return make()


@cache
def acceptable() -> str:
    """Return the packings known here, as an `Accept-Encoding` header."""
    return ", ".join(["gzip", "deflate", *(name for name, find in _OPTIONAL.items() if find() is not None)])


class _Zlib(Unpacker):
    """gzip, of one member or several, and deflate, with its header or, as some send it, without."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self._window = window
        self._stream: Any = None
        self._rest = b""

    def _unpack(self, data: bytes) -> bytes:
        data = self._rest + data if self._rest else data
        self._rest = b""
        if not data and not self.more:
            return b""
        if self.whole:
            if self._window != _GZIP_WINDOW or not data.startswith(_GZIP_MAGIC):
                self.more = False
                return b""  # what follows the end is padding
            self._stream, self.whole = None, False  # another member
        if self._stream is None:
            if self._window == zlib.MAX_WBITS and data[0] & 0xF != 8:  # RFC 1950: the method is 8
                self._window = _RAW_WINDOW
            self._stream = zlib.decompressobj(self._window)
        out: bytes = self._stream.decompress(data, PIECE_BYTES)
        self.whole = self._stream.eof
        self._rest = self._stream.unused_data if self.whole else self._stream.unconsumed_tail
        self.more = bool(self._rest) or (len(out) >= PIECE_BYTES and not self.whole)
        return out


class _Brotli(Unpacker):
    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__()
        self._stream = make()

    def _unpack(self, data: bytes) -> bytes:
        if self.whole:
            return b""
        out: bytes = self._stream.process(data, output_buffer_limit=PIECE_BYTES)
        self.whole = self._stream.is_finished()
        self.more = bool(out) and not self.whole  # only an empty piece says that there is no more
        return out


class _Zstandard(Unpacker):
    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__()
        self._make = make
        self._stream = make()
        self._rest = b""

    def _unpack(self, data: bytes) -> bytes:
        data = self._rest + data if self._rest else data
        self._rest = b""
        if self.whole:
            if not data:
                return b""
            self._stream, self.whole = self._make(), False  # another frame
        out: bytes = self._stream.decompress(data, PIECE_BYTES)
        self.whole = self._stream.eof
        self._rest = self._stream.unused_data if self.whole else b""
        self.more = bool(self._rest) if self.whole else not self._stream.needs_input
        return out


@cache
def _brotli() -> Callable[[], Unpacker] | None:
    for name in ("brotlicffi", "brotli"):
        try:
            make = import_module(name).Decompressor
            make().process(b"", output_buffer_limit=1)  # older ones unpack without a bound
        except (ImportError, TypeError, AttributeError):
            continue
        return partial(_Brotli, make)
    return None


@cache
def _zstandard() -> Callable[[], Unpacker] | None:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            make = import_module(name).ZstdDecompressor
        except ImportError:
            continue
        return partial(_Zstandard, make)
    return None


_OPTIONAL: Final[Mapping[str, Callable[[], Callable[[], Unpacker] | None]]] = {
    "br": _brotli,
    "zstd": _zstandard,
}
"""By name, what finds a packing's package; it is looked for once."""
