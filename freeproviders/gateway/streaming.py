"""An answer sent as server-sent events, as its pieces come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from freeproviders.gateway.incoming import Incoming
from freeproviders.types import Batch
from freeproviders.wire.openai.events import KEEP_ALIVE, EventFrames, error_event

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
_HEADERS: Final = {"Content-Type": EVENT_STREAM, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class EventStream:
    """The stream of one answer.

    Headers go out with the first piece, so that an error before it has a status of its own; or
    after some seconds of silence, so that clients do not take the connection for dead.
    """

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._frames: EventFrames | None = None
        self.response = web.StreamResponse(headers={**_HEADERS, **incoming.headers})
        self._writer: AbstractStreamWriter | None = None
        self._beating: asyncio.Task[None] | None = None
        self._has_ended = False
        self._sent = 0
        self._moved = self._taken_at = time.monotonic()
        self._taken = 0

    @property
    def has_begun(self) -> bool:
        """Whether headers have gone out, so that an error is an event."""
        return self._writer is not None

    async def send(
        self,
        batches: AsyncGenerator[Batch, None],
        frames: Callable[[], EventFrames],
        last: Callable[[EventFrames], bytes],
    ) -> None:
        """Send an answer to its end.

        `frames` is called when the first parts are there, and `last` writes the end.
        """
        first: Batch = await anext(batches, [])
        writing = frames()
        await self.settled()
        writer = await self._begin()
        write, of = writer.write, writing.of
        await write(writing.start() + of(first))
        async for batch in batches:
            if data := of(batch):
                await write(data)
        end = last(writing)
        self._has_ended = True
        await write(end)
        await self.response.write_eof()

    async def settled(self) -> None:
        """Wait until a comment that is under way has gone out."""
        if self._beating is not None:
            await asyncio.wait([self._beating])

    async def fail(self, document: Mapping[str, Any]) -> None:
        """End the stream with an error."""
        if self._writer is not None and not self._has_ended:
            self._has_ended = True
            await self._writer.write(error_event(document))
            await self.response.write_eof()

    async def _begin(self) -> AbstractStreamWriter:
        if self._writer is None:
            self._incoming.status, self._incoming.streamed = 200, True
            writer = await self.response.prepare(self._incoming.request)
            assert writer is not None  # noqa: S101 - it was not at its end before
            self._writer = writer
        return self._writer

    # --- while nothing happens ---

    def look(self, now: float) -> None:
        """Look, now and then, whether the stream is silent, or its client does not read."""
        limits, writer = self._incoming.limits, self._writer
        sent = 0 if writer is None else writer.output_size
        if sent != self._sent:
            self._sent, self._moved = sent, now
        elif now - self._moved >= limits.silence_seconds and self._beating is None:
            self._moved = now
            self._beating = asyncio.ensure_future(self._beat())
            self._beating.add_done_callback(self._has_beaten)
        transport = self._incoming.request.transport
        if transport is None:
            return
        unread = transport.get_write_buffer_size()
        if not unread or sent - unread != self._taken:
            self._taken, self._taken_at = sent - unread, now
        elif now - self._taken_at >= limits.unread_seconds:
            transport.abort()

    async def _beat(self) -> None:
        writer = await self._begin()
        if not self._has_ended:
            await writer.write(KEEP_ALIVE)

    def _has_beaten(self, beating: asyncio.Task[None]) -> None:
        self._beating = None
        if not beating.cancelled():
            beating.exception()  # the client has left: the answer's task is told
