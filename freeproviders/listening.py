"""Listening for connections: what every server of ours does when it stops."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

BACKLOG: Final = 2048
"""Connections that may wait to be accepted."""
_ACCEPT_ROUNDS: Final = 5
"""Turns of the loop after which an accepted connection has reached its handler."""


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
