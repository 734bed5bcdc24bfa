"""The batches of an answer as its parts, as its text, or as a whole."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Awaitable, Generator, Iterator
from contextlib import closing
from typing import Any, Self

from freeproviders import bridge
from freeproviders.types import Batch, Completion, Part, Refusal, Text, collect


class TextStream(AsyncGenerator[str, None]):
    """The text of an answer, piece by piece.

    Iterate it directly, or `await` it first: both styles are supported.
    """

    def __init__(self, pieces: AsyncGenerator[str, None]) -> None:
        self._pieces = pieces

    def __await__(self) -> Generator[Any, None, Self]:
        return self
        yield  # makes this a generator that ends at once, without a turn of the loop

    # The generator's own awaitable, without another coroutine around it.
    def __anext__(self) -> Awaitable[str]:  # type: ignore[override]
        return self._pieces.__anext__()

    async def asend(self, value: None) -> str:
        """Behave as in every asynchronous generator."""
        return await self._pieces.asend(value)

    async def athrow(self, *args: Any) -> str:
        """Behave as in every asynchronous generator."""
        return await self._pieces.athrow(*args)

    async def aclose(self) -> None:
        """End the request."""
        await self._pieces.aclose()


async def all_parts(batches: AsyncGenerator[Batch, None]) -> Batch:
    """Wait for the end of an answer; return its parts."""
    try:
        return [part async for batch in batches for part in batch]
    finally:
        await batches.aclose()


async def whole(batches: AsyncGenerator[Batch, None]) -> Completion:
    """Wait for the end of an answer; leaving earlier ends the request."""
    return collect(await all_parts(batches))


async def parts(batches: AsyncGenerator[Batch, None]) -> AsyncGenerator[Part, None]:
    """Stream the parts of an answer one by one."""
    try:
        async for batch in batches:
            for part in batch:
                yield part
    finally:
        await batches.aclose()


class PartsSync(Iterator[Part]):
    """The parts of an answer, for code without an event loop.

    `close`, also from another thread, ends the request.
    """

    def __init__(self, batches: bridge.SyncStream[Batch]) -> None:
        self._batches = batches
        self._parts = _flat(batches)

    def __iter__(self) -> Iterator[Part]:  # noqa: PYI034 - the generator itself is quicker, part by part
        return self._parts

    def __next__(self) -> Part:
        return next(self._parts)

    def close(self) -> None:
        """End the request, if it has not ended."""
        self._batches.close()
        if self._batches.consumer in {None, threading.get_ident()}:
            self._parts.close()


def _flat(batches: bridge.SyncStream[Batch]) -> Generator[Part, None, None]:
    with closing(batches):
        for batch in batches:
            yield from batch


async def texts(batches: AsyncGenerator[Batch, None]) -> AsyncGenerator[str, None]:
    """Stream the text of an answer, piece by piece."""
    try:
        async for batch in batches:
            for part in batch:
                if type(part) is Text or type(part) is Refusal:
                    yield part.text
    finally:
        await batches.aclose()
