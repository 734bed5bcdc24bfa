"""One aiohttp session for each running event loop and connector, closed by itself.

Sessions close themselves when their event loop ends, since chat models are never closed. Each
loop's sessions are held by a started async generator on that loop: `asyncio.run`, `asyncio.Runner`
and test runners call `loop.shutdown_asyncgens()`, which runs its `finally`. Sessions of a loop that
was closed without that are let go of when the next loop comes by, and a forked child forgets all it
inherited.

A session's requests and answers are of classes of our own, which know two things that aiohttp does
not tell: whether a pooled connection carried the request, and how a connection ended.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final

import aiohttp

from freeproviders._version import __version__
from freeproviders.deadlines import running_loop
from freeproviders.errors import UsageError
from freeproviders.process import PerProcess
from freeproviders.wire.packing import acceptable

USER_AGENT: Final = f"freeproviders/{__version__}"


# --- requests and answers -------------------------------------------------------------------------

ONLY_FRESH: Final[ContextVar[bool]] = ContextVar("freeproviders_only_fresh", default=False)
"""True while a request may only go out on a connection that has carried none.

Each pooled connection that the request is given is closed instead.
"""
_LONG_BODY_BYTES: Final = 2**15  # more than one write to a socket takes for certain
_READ_BYTES: Final = 2**16


class _End:
    """The end of a connection: `error` is its cause, None before it and after an orderly end.

    With `read_first`, what has arrived is read before the error counts.
    """

    __slots__ = ("error", "read_first")

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.read_first = False


_NOTE: Final = "freeproviders_end"
"""The attribute in which a connection that has carried a request keeps its `_End`."""


class PooledConnectionError(aiohttp.ClientConnectionError):
    """A connection from the pool was offered where only a fresh one is wanted; nothing was sent."""


class DeadConnectionError(aiohttp.ClientConnectionError):
    """A connection from the pool ended before a byte of the answer.

    So it does where a server closes idle connections unannounced.

    `delivered` is False where the request cannot have arrived whole; else the service may have
    worked on it.
    """

    delivered: bool = True


class Sent(aiohttp.ClientRequest):
    """A request that knows which connection carries it."""

    async def send(self, conn: Any) -> Any:
        """Write the request.

        Raises `PooledConnectionError` or `DeadConnectionError`; then nothing was written.
        """
        protocol = conn.protocol
        end = getattr(protocol, _NOTE, None)
        pooled = end is not None
        if end is None:
            end = _watched(protocol)
        elif ONLY_FRESH.get():
            raise PooledConnectionError
        if pooled:
            _watch_for_first_byte(protocol)
        end.read_first = int(self.headers.get("Content-Length", 0)) > _LONG_BODY_BYTES
        try:
            answer: Any = await super().send(conn)
        except aiohttp.ClientConnectionError as error:
            if pooled:
                dead = DeadConnectionError()
                dead.delivered = False
                raise dead from error
            raise
        answer.pooled, answer.end = pooled, end
        return answer


class Answer(aiohttp.ClientResponse):
    """An answer that knows how its connection ends."""

    pooled = False
    """The connection had carried a request before."""
    end: _End | None = None
    """How its connection ends; what has not ended has no error."""

    async def start(self, connection: Any) -> Answer:
        """Wait for the head.

        Raises `DeadConnectionError` where a connection from the pool brought nothing at all.
        """
        protocol = connection.protocol
        try:
            try:
                await super().start(connection)
            except aiohttp.ClientOSError:
                if self.end is None or not self.end.read_first:
                    raise
                # Writing failed, perhaps since the service had answered without waiting for the
                # end. The end of the connection comes in one of the next turns of the loop, and
                # with it what had arrived (see `_watched`).
                for _ in range(3):
                    await asyncio.sleep(0)
                if not len(protocol):
                    raise
                await super().start(connection)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            if not self.pooled or not _untouched(protocol, error):
                raise
            dead = DeadConnectionError()
            unwritten = isinstance(error.__cause__, aiohttp.ClientConnectionError)
            dead.delivered = not unwritten and getattr(self, "_writer", None) is None
            raise dead from error
        return self


def _watch_for_first_byte(protocol: Any) -> None:
    """Wrap the method that receives a connection's data; the first byte removes the wrapper."""

    def data_received(data: bytes) -> None:
        del protocol.data_received
        protocol.data_received(data)

    protocol.data_received = data_received


def _untouched(protocol: Any, error: Exception) -> bool:
    """Return whether not a byte has come since `_watch_for_first_byte`.

    An event loop may have taken the protocol's own method beforehand, as uvloop does; then at least
    an orderly end tells, with what it found of a head.
    """
    begun = isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)
    return "data_received" in vars(protocol) and not begun


def _watched(protocol: Any) -> _End:
    """Make a connection note how it ends.

    A service that refuses a long request answers and closes while the request is still being
    written. The client's next write then fails, and asyncio gives up the connection without a look
    at the answer that has already arrived: hence `read_first`. Over TLS there is no such look,
    since what has arrived is still encrypted.
    """
    end, lost = _End(), protocol.connection_lost

    def connection_lost(error: BaseException | None) -> None:
        del protocol.connection_lost
        end.error = error
        transport = protocol.transport
        readable = transport is not None and not transport.get_extra_info("sslcontext")
        if end.read_first and readable and isinstance(error, OSError):
            with suppress(OSError, AttributeError):  # nothing more, or no socket to be read so
                number = transport.get_extra_info("socket").fileno()
                while data := os.read(number, _READ_BYTES):
                    protocol.data_received(data)
        lost(error)

    protocol.connection_lost = connection_lost
    setattr(protocol, _NOTE, end)
    return end


# --- sessions -------------------------------------------------------------------------------------


class _LoopSessions:
    """The sessions of one loop, by connector (None: our own)."""

    def __init__(self) -> None:
        self.by_connector: dict[aiohttp.BaseConnector | None, aiohttp.ClientSession] = {}
        self._holder: AsyncGenerator[None, None] | None = None

    async def hold(self) -> None:
        """Start the generator whose end is the loop's end."""
        self._holder = self._close_with_loop()
        await anext(self._holder)

    def open(self, connector: aiohttp.BaseConnector | None) -> aiohttp.ClientSession:
        """Make a session, and drop those whose connector was closed meanwhile.

        A caller may bring a connector for each call.
        """
        if connector is not None:
            _check_connector(connector)
        self.by_connector = {
            given: session for given, session in self.by_connector.items() if not session.closed
        }
        session = aiohttp.ClientSession(
            connector=connector
            if connector is not None
            else aiohttp.TCPConnector(limit=0),  # callers bound their own concurrency
            connector_owner=connector is None,
            cookie_jar=aiohttp.DummyCookieJar(),  # cookies belong to one provider, never to all
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": acceptable()},
            auto_decompress=False,  # `wire.packing` does it
            request_class=Sent,
            response_class=Answer,
        )
        self.by_connector[connector] = session
        return session

    def abandon(self) -> None:
        """Drop what a closed loop left.

        Nothing can be awaited on it any more, and nothing must be reported as forgotten.
        """
        for given, session in self.by_connector.items():
            connector = session.connector
            session.detach()
            if given is None and connector is not None:
                _close_sockets(connector)
                closing = connector.close()
                with suppress(StopIteration):
                    closing.__await__().__next__()  # on a closed loop it has nothing to wait for
        self.by_connector.clear()

    async def _close_with_loop(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            by_loop = _sessions.get()
            if by_loop.get(loop := asyncio.get_running_loop()) is self:
                del by_loop[loop]
            sessions = list(self.by_connector.values())
            self.by_connector.clear()
            for session in sessions:
                await session.close()


def _check_connector(connector: aiohttp.BaseConnector) -> None:
    if connector.closed:
        raise UsageError("The connector is closed: pass one that is open, or none.")
    loop = asyncio.get_running_loop()
    if getattr(connector, "_loop", loop) is not loop:  # it has no public name
        raise UsageError(
            "The connector belongs to another event loop: make it where the loop runs that uses it. Sync "
            "methods have a loop of their own and take no connector."
        )


def _close_sockets(connector: aiohttp.BaseConnector) -> None:
    """Close the idle connections of a closed loop.

    Neither aiohttp nor asyncio has a public way to: this looks inside, and does without where it
    finds nothing.
    """
    for idle in getattr(connector, "_conns", {}).values():
        for protocol, _ in idle:
            transport = getattr(protocol, "transport", None)
            sock = getattr(transport, "_sock", None)
            if transport is not None and sock is not None:
                sock.close()
                transport._sock = None  # noqa: SLF001


def _sweep(by_loop: dict[asyncio.AbstractEventLoop, _LoopSessions]) -> None:
    """Drop the sessions of closed loops: when another loop comes, and at the interpreter's end."""
    for loop in [loop for loop in list(by_loop) if loop.is_closed()]:
        sessions = by_loop.pop(loop, None)
        if sessions is not None:
            sessions.abandon()


def _keep_open(by_loop: dict[asyncio.AbstractEventLoop, _LoopSessions]) -> None:
    """Keep a forked child from closing or reporting the parent's sessions and their sockets."""
    for sessions in by_loop.values():
        _inherited.append(sessions.by_connector)
        sessions.by_connector = {}


_inherited: list[object] = []
_sessions: Final = PerProcess[dict[asyncio.AbstractEventLoop, _LoopSessions]](
    dict, after_fork=_keep_open, at_exit=_sweep
)
"""By loop. The loop is held, so that the garbage collector cannot find a session on a dead loop."""


async def session_for(connector: aiohttp.BaseConnector | None) -> aiohttp.ClientSession:
    """Return the running loop's session for the caller's connector, or for our own (None).

    Raises `UsageError` where no asyncio loop runs, or the connector cannot be used on it.
    """
    loop = running_loop()
    by_loop = _sessions.get()
    held = by_loop.get(loop)
    if held is None:
        _sweep(by_loop)
        held = by_loop[loop] = _LoopSessions()
        await held.hold()
    session = held.by_connector.get(connector)
    return held.open(connector) if session is None or session.closed else session
