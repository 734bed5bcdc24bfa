"""Calls that block, on threads of their own: for LLMs without async methods.

LlamaIndex's own async methods of such an LLM call the sync ones on the event loop, where they block
all others.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, TypeVar

from freeproviders.process import PerProcess

T = TypeVar("T")

MOST_THREADS: Final = 64
"""So many calls block at the same time; more of them wait."""
_END: Final = object()

_pools: Final = PerProcess(
    lambda: ThreadPoolExecutor(MOST_THREADS, "freeproviders-llm"),
    at_exit=lambda pool: pool.shutdown(wait=False, cancel_futures=True),
)


async def called(function: Callable[[], T]) -> T:
    """Call a function on a thread."""
    context = contextvars.copy_context()
    return await asyncio.wrap_future(_pools.get().submit(context.run, function))


async def iterated(make: Callable[[], Iterator[T]]) -> AsyncGenerator[T, None]:
    """Iterate an iterator that blocks, step by step on a thread, in one context.

    Leaving earlier closes it, as soon as the step that blocks has ended.
    """
    pool, context = _pools.get(), contextvars.copy_context()
    made: Future[Iterator[T]] = pool.submit(context.run, make)
    step: Future[Any] = made
    try:
        iterator = await asyncio.wrap_future(made)
        while True:
            step = pool.submit(context.run, _next, iterator)
            item = await asyncio.wrap_future(step)
            if item is _END:
                return
            yield item
    finally:
        step.add_done_callback(lambda _: _close(pool, context, made))


def _next(iterator: Iterator[Any]) -> Any:
    return next(iterator, _END)


def _close(pool: ThreadPoolExecutor, context: contextvars.Context, made: Future[Any]) -> None:
    """Close an iterator on a thread, as this may block too."""
    if made.cancelled() or made.exception() is not None:
        return
    close = getattr(made.result(), "close", None)
    if close is not None:
        with suppress(RuntimeError):  # the interpreter ends, and starts no threads any more
            pool.submit(context.run, close)
