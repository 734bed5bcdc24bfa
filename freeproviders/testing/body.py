"""The body of an answer, cut and compressed as its fault says."""

from __future__ import annotations

import asyncio
import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence

from aiohttp import web

from freeproviders.testing.faults import Fault

_GZIP_WINDOW = 31
_ZLIB_WINDOW = 15


class BodyEnded(Exception):  # noqa: N818 - not an error: what the fault wanted has happened
    """The fault has ended the body: nothing more is sent."""


class BodyWriter:
    """A writer of the body that applies the fault's `encoding`, `chunk`, `cut` and `end`."""

    def __init__(
        self, response: web.StreamResponse, transport: asyncio.Transport | None, fault: Fault
    ) -> None:
        self._response = response
        self._transport = transport
        self._sizes = _sizes(fault.chunk)
        self._cut = fault.cut
        limits = [limit for limit in (fault.cut, fault.end) if limit is not None]
        self._left = min(limits) if limits else None
        self._cuts = fault.cut is not None and self._left == fault.cut
        self._squeezer = (
            zlib.compressobj(wbits=_GZIP_WINDOW if fault.encoding == "gzip" else _ZLIB_WINDOW)
            if fault.encoding
            else None
        )
        self.ended = False

    async def start(self) -> None:
        """Begin the body after the headers; a body of no bytes ends here."""
        if self._left == 0:
            await self._end()

    async def write(self, data: bytes) -> None:
        """Send a piece of the body. Raises `BodyEnded` when the fault's place is reached."""
        if not data:
            return
        if self._squeezer:
            # Flushed, so that the client can read each piece when it comes.
            data = self._squeezer.compress(data) + self._squeezer.flush(zlib.Z_SYNC_FLUSH)
        await self._send(data)

    async def finish(self) -> None:
        """End the body."""
        if self._squeezer:
            await self._send(self._squeezer.flush())
        if self._cut is not None:
            await self._end()
        await self._response.write_eof()

    async def _send(self, data: bytes) -> None:
        last = self._left is not None and len(data) >= self._left
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        for piece in self._pieces(data):
            await self._response.write(piece)
            if self._sizes is not None:
                await asyncio.sleep(0)  # gives the client's thread a chance to read this piece alone
        if last:
            await self._end()

    def _pieces(self, data: bytes) -> Iterable[bytes]:
        if self._sizes is None:
            yield data
            return
        at = 0
        while at < len(data):
            size = next(self._sizes)
            yield data[at : at + size]
            at += size

    async def _end(self) -> None:
        self.ended = True
        if not self._cuts:
            await self._response.write_eof()
        elif self._transport is not None:
            # What was written before the cut has to arrive, so that the cut is where the test wants
            # it.
            while self._transport.get_write_buffer_size():  # noqa: ASYNC110 - transports do not tell
                await asyncio.sleep(0.001)
            self._transport.abort()
        raise BodyEnded


def _sizes(chunk: int | Sequence[int] | None) -> Iterator[int] | None:
    if chunk is None:
        return None
    return itertools.repeat(chunk) if isinstance(chunk, int) else itertools.cycle(chunk)
