"""One aiohttp session for each running event loop and connector, and nobody has to close any.

Nobody closes a chat model, so nobody can be asked to close a session. Each loop's sessions are held by a started async generator on
that loop: `asyncio.run`, `asyncio.Runner` and test runners call `loop.shutdown_asyncgens()`, which runs its `finally`. Sessions of a
loop that was closed without that are let go of when the next loop comes by, and a forked child forgets all it inherited.
"""

from __future__ import annotations

import asyncio
import atexit
import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final

import aiohttp

from freeproviders._version import __version__
from freeproviders.errors import UsageError

USER_AGENT: Final = f"freeproviders/{__version__}"


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
        """A new session. Those whose connector was closed meanwhile are let go of, since a caller may bring a connector for each call."""
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
            headers={"User-Agent": USER_AGENT},
        )
        self.by_connector[connector] = session
        return session

    def abandon(self) -> None:
        """Let go of what a closed loop left: nothing can be awaited on it any more, and nothing shall be reported as forgotten."""
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
            if _sessions.get(loop := asyncio.get_running_loop()) is self:
                del _sessions[loop]
            sessions = list(self.by_connector.values())
            self.by_connector.clear()
            for session in sessions:
                await session.close()


def _check_connector(connector: aiohttp.BaseConnector) -> None:
    if connector.closed:
        raise UsageError("the connector is closed: pass one that is open, or none.")
    loop = asyncio.get_running_loop()
    if getattr(connector, "_loop", loop) is not loop:  # it has no public name
        raise UsageError(
            "the connector belongs to another event loop: make it where the loop runs that uses it. Sync calls have a loop of their own and take none."
        )


def _close_sockets(connector: aiohttp.BaseConnector) -> None:
    """Close the idle connections of a closed loop; neither aiohttp nor asyncio has a public way to, so this looks inside and does without where it finds nothing."""
    for idle in getattr(connector, "_conns", {}).values():
        for protocol, _ in idle:
            transport = getattr(protocol, "transport", None)
            sock = getattr(transport, "_sock", None)
            if transport is not None and sock is not None:
                sock.close()
                transport._sock = None  # noqa: SLF001


_sessions: dict[asyncio.AbstractEventLoop, _LoopSessions] = {}
"""By loop, which is held: a session must be let go of before the garbage collector finds it on a dead loop and complains."""
_inherited: list[object] = []


async def session_for(connector: aiohttp.BaseConnector | None) -> aiohttp.ClientSession:
    """The running loop's session for a connector of the caller's, or for our own (None). Raises `UsageError` where the connector cannot be used here."""
    loop = asyncio.get_running_loop()
    held = _sessions.get(loop)
    if held is None:
        _sweep()
        held = _sessions[loop] = _LoopSessions()
        await held.hold()
    session = held.by_connector.get(connector)
    return held.open(connector) if session is None or session.closed else session


def _sweep() -> None:
    """Let go of the sessions of loops that were closed; the next loop does it for the last ones, and the interpreter's end."""
    for loop in [loop for loop in list(_sessions) if loop.is_closed()]:
        sessions = _sessions.pop(loop, None)
        if sessions is not None:
            sessions.abandon()


atexit.register(_sweep)


def _forget_after_fork() -> None:
    """Keep the parent's sessions from being closed or reported by the child: their sockets are the parent's."""
    for sessions in _sessions.values():
        _inherited.extend((sessions, sessions.by_connector))
        sessions.by_connector = {}
    _sessions.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
