"""What runs on a node: one actor, which asks there whatever it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Any

from freeproviders._version import __version__
from freeproviders.backend import Backend
from freeproviders.batch.ray.shared import ledgers_of
from freeproviders.batch.ray.travel import unpacked
from freeproviders.types import Batch, ChatRequest


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a node says of itself.

    Attributes:
        version: its version of this package.
        ledgers: where it keeps limits; see `freeproviders.batch.ray.shared`.
        problem: why it cannot ask, None where it can.
    """

    version: str
    ledgers: frozenset[str]
    problem: Exception | None = None


class Asker:
    """The actor of one node; `packed` is what `freeproviders.batch.ray.travel.packed` wrote.

    It asks on its event loop, any number of questions at the same time.
    """

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._backend: Backend | None = None

    async def hello(self) -> Greeting:
        """Make the backend with the keys of here, and say whether that could be done."""
        try:
            self._backend = await asyncio.to_thread(unpacked, self._packed)
            ledgers = ledgers_of(self._backend)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the other side's to judge
            return Greeting(__version__, frozenset(), error)
        return Greeting(__version__, ledgers)

    async def ask(self, request: ChatRequest, listened: bool) -> AsyncGenerator[Any, None]:
        """Answer a question: events as they come if `listened`, then the parts.

        A streamed answer comes as it does, any other in one piece. An error is the last item.
        """
        assert self._backend is not None  # noqa: S101 - `hello` comes first
        items: asyncio.Queue[Any] = asyncio.Queue()
        if listened:
            request = replace(request, listener=items.put_nowait)
        asking = asyncio.create_task(_put_answer(self._backend, request, items))
        try:
            while (item := await items.get()) is not None:
                yield item
            await asking  # cancelled from within, an answer is no whole one
        finally:
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking


async def _put_answer(backend: Backend, request: ChatRequest, items: asyncio.Queue[Any]) -> None:
    whole: Batch = []
    try:
        async with aclosing(backend.answer(request)) as batches:
            async for batch in batches:
                if request.stream:
                    items.put_nowait(batch)
                else:
                    whole += batch
        if whole:
            items.put_nowait(whole)
    except Exception as error:  # noqa: BLE001 - raised where the question came from
        items.put_nowait(error)
    finally:
        items.put_nowait(None)
