"""A sign at the terminal while an answer is waited for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from freeproviders.cli.terminal import Sign, is_terminal, takes_sequences

BEGIN: Final = 0.4
"""Seconds without a word after which the sign is shown; most services are quicker."""
_TELLS_TIME: Final = 2.0


@asynccontextmanager
async def waiting() -> AsyncIterator[Sign]:
    """Show that an answer is waited for until the sign is ended, where a terminal can show it."""
    sign = Sign()
    if not (is_terminal(sys.stdout) and is_terminal(sys.stderr) and takes_sequences()):
        yield sign
        return
    drawing = asyncio.get_running_loop().create_task(_draw(sign))
    try:
        yield sign
    finally:
        drawing.cancel()
        with suppress(asyncio.CancelledError):
            await drawing
        sign.end()


async def _draw(sign: Sign) -> None:
    clock = asyncio.get_running_loop().time
    began = clock()
    await asyncio.sleep(BEGIN)
    while not sign.ended:
        waited = clock() - began
        sign.draw("Waiting..." if waited < _TELLS_TIME else f"Waiting, {waited:.0f} s. Ctrl-C stops it.")
        await asyncio.sleep(1 - (clock() - began) % 1)
