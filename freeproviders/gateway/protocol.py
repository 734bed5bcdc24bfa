"""Connections of a gateway: what is no HTTP at all is refused as everything else is."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiohttp import web

from freeproviders.wire.json import dumps
from freeproviders.wire.openai.writer import error_document

_LOG: Final = logging.getLogger("freeproviders.gateway")


class Connection(web.RequestHandler):
    """A connection whose errors are documents of the OpenAI protocol, without a word of our code.

    One on which no request comes is ended after the time that connections may be idle: older versions
    of aiohttp count that from the first answer on.
    """

    __slots__ = ("_unasked",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, which has so long for its first request."""
        super().connection_made(transport)
        self._unasked = self._loop.call_later(self.keepalive_timeout, transport.close)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection at once, not only when its time would have been over."""
        self._unasked.cancel()
        super().connection_lost(exc)

    def asked(self) -> None:
        """Note that a request has come."""
        self._unasked.cancel()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's words are about its parser
    ) -> web.StreamResponse:
        """Answer a request that cannot be read, or an unforeseen error; then close the connection."""
        if status >= 500:
            _LOG.error("An error of the gateway's own.", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("An answer has begun, and cannot become an error.")
        said = (
            "The request is not HTTP that can be read." if status < 500 else "An error of the gateway's own."
        )
        body = dumps(error_document(said, status, "invalid_request" if status < 500 else "internal_error"))
        response = web.Response(status=status, body=body, content_type="application/json")
        response.force_close()
        return response


class Server(web.Server):
    """aiohttp's server, with connections of our own; `open` counts them from the first moment."""

    open = 0

    def __call__(self) -> web.RequestHandler:
        """Make a connection."""
        self.open += 1
        return Connection(self, loop=self._loop, **self._kwargs)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        self.open -= 1
        super().connection_lost(handler, exc)


class TooMany(asyncio.Protocol):
    """A connection above the number of those that may be open: closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a stream
        transport.abort()
