"""Servers of ours: where clients reach them, and how they start and stop."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Protocol, Self

from freeproviders.addresses import is_every_host

BACKLOG: Final = 2048
"""Connections that may wait to be accepted."""
_ACCEPT_ROUNDS: Final = 5
"""Turns of the loop after which an accepted connection has reached its handler."""


def name_of(host: str) -> str:
    """Return the host that clients of this machine write into a URL for a server that listens at `host`."""
    if is_every_host(host):
        host = "::1" if ":" in host else "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def name_outside(host: str) -> str:
    """Return the same for clients of other machines, "" where it is not known. Nothing is sent."""
    if not is_every_host(host):
        return name_of(host)
    family, elsewhere = (
        (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "192.0.2.1")
    )  # addresses for documentation: a datagram's way there is looked up, and none is sent
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as way:
            way.connect((elsewhere, 9))
            return name_of(str(way.getsockname()[0]))
    except OSError:
        return ""


class ServerInWith(ABC):
    """A server for a `with` or `async with` statement, which runs beside the code in it."""

    @abstractmethod
    def start(self) -> Self:
        """Start serving; returns the server itself."""

    @abstractmethod
    def stop(self) -> None:
        """Stop serving."""

    def _raise_failures(self, error: BaseException | None) -> None:
        """Raise what failed while it ran; `error` is that which ended the statement, None without one."""
        del error  # by default no failure is left

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        self._raise_failures(error)

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)
        self._raise_failures(error)


class Connection(Protocol):
    """A connection of a server."""

    @property
    def transport(self) -> asyncio.Transport | None:
        """The way to its client, None where that is gone."""


class HttpServer(Protocol):
    """A server of aiohttp, which this module does not know."""

    @property
    def connections(self) -> Iterable[Connection]:
        """The connections that are open."""

    async def shutdown(self, seconds: float, /) -> None:
        """Close the connections, after so many seconds at most for what runs on them."""


async def stop_accepting(listener: asyncio.Server) -> None:
    """Close a listener, with every connection that was accepted in the hands of its handler.

    A listener that is closed while asyncio accepts a connection from it leaves that connection's
    socket open. So it stops accepting first.
    """
    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):  # Windows, where connections are taken another way
        for listening in listener.sockets:
            loop.remove_reader(listening.fileno())
    for _ in range(_ACCEPT_ROUNDS):
        await asyncio.sleep(0)
    listener.close()


async def cut_off(server: HttpServer, tasks: Iterable[asyncio.Task[Any]], last_words: float) -> None:
    """Cancel the answers of a server, which have some seconds for their last words; close everything."""
    transports = [connection.transport for connection in server.connections]
    for task in tasks:
        task.cancel()
    await asyncio.sleep(0)
    await server.shutdown(last_words)
    for transport in transports:
        if transport is not None:
            transport.abort()  # closing would wait for a client that does not read what is left
    await asyncio.sleep(0)  # the transports close their sockets in the loop's next round
