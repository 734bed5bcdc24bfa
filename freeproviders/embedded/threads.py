"""Blocking work off the event loop, without leaving it behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


async def in_thread(
    stop: threading.Event, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
) -> R:
    """Call `function` on a thread and return its result.

    When cancelled, set `stop`, which the function watches, and wait for the function's end: it
    works on files that the caller tidies next.
    """
    task = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen: the cancellation is what is reported
        raise
