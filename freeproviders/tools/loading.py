"""Loading what questions with tools need: once in a process, and never on an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from importlib import import_module
from typing import Final

from freeproviders.deadlines import on_a_loop, running_loop
from freeproviders.types import Batch

_loaded: Final = threading.Event()


def would_block() -> bool:
    """Return whether an event loop runs here that loading would hold up."""
    return not _loaded.is_set() and on_a_loop()


async def loaded() -> None:
    """Load the engine, its data and the packages that it uses, on a thread.

    Raises `UsageError` where no loop of asyncio runs.
    """
    if not _loaded.is_set():
        running_loop()
        await asyncio.to_thread(load)


async def loaded_first(stream: Callable[[], AsyncGenerator[Batch, None]]) -> AsyncGenerator[Batch, None]:
    """Load, then stream what a function returns that needs it."""
    await loaded()
    async with aclosing(stream()) as batches:
        async for batch in batches:
            yield batch


def load() -> None:
    """Load the same here and now, for code that has no event loop to hold up."""
    for name in ("engine", "structured", "quirks", "schema.validate"):
        import_module(f"freeproviders.tools.{name}")
    import_module("json_repair")  # for the first answer that is not quite JSON
    import_module("freeproviders.tools.quirks").quirks_of("")  # its table
    import_module("freeproviders.tools.schema.validate").load()
    _loaded.set()
