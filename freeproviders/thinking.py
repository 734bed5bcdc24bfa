"""Thinking at the beginning of an answer: noticed at once, and nothing else is looked at."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

from freeproviders.abilities import Answering
from freeproviders.tools.loading import loaded
from freeproviders.types import Alternative, Batch, ChatRequest, LogProbs, Text, Usage

FIRST_CHARS: Final = "<["
"""The characters with which a mark of reasoning begins."""

MAX_BLANKS: Final = 200
"""Blanks before the first word that are waited for."""

_BESIDE: Final = frozenset({LogProbs, Usage, Alternative})
"""The parts that tell nothing about how the answer goes on."""


class SplitAnswer(AsyncGenerator[Batch, None]):
    """The batches of an answer; where it begins with thinking, that comes as `Reasoning`.

    The first words decide. Any other answer is then the service's own stream, without a generator
    around it: `__anext__` is an attribute of the instance, so that no code runs here for a batch.
    """

    __slots__ = ("__anext__", "_backend", "_batches", "_request")

    def __init__(
        self, backend: Answering, request: ChatRequest, batches: AsyncGenerator[Batch, None]
    ) -> None:
        self._backend = backend
        self._request = request
        self._batches = batches
        self.__anext__ = self._decided  # type: ignore[method-assign]  # a slot

    async def _decided(self) -> Batch:
        """Read up to the first words; return all that has come."""
        batch = await self._batches.__anext__()
        while (thinks := await self._thinks(*_beginning(batch))) is None:
            try:
                batch = [*batch, *await self._batches.__anext__()]
            except StopAsyncIteration:
                break
        if thinks:
            from freeproviders.tools.engine import split_answer  # noqa: PLC0415 - for answers that think

            self._batches = split_answer(self._backend, self._request, batch, self._batches)
            self.__anext__ = self._batches.__anext__  # type: ignore[method-assign]
            return await self.__anext__()
        self.__anext__ = self._batches.__anext__  # type: ignore[method-assign]
        return batch

    @staticmethod
    async def _thinks(text: str, ended: bool) -> bool | None:
        """Return whether an answer with these first words begins with thinking; None as yet."""
        words = text.lstrip()
        if len(text) - len(words) > MAX_BLANKS:
            return False  # wherever it was cut
        if not words:
            return False if ended else None
        if words[0] not in FIRST_CHARS:
            return False
        await loaded()
        from freeproviders.tools.read.thinking import begins_with_mark  # noqa: PLC0415 - as above

        begins = begins_with_mark(words)
        return False if begins is None and ended else begins

    async def asend(self, value: None) -> Batch:
        """Behave as in every asynchronous generator."""
        del value
        return await self.__anext__()

    async def athrow(self, *args: Any) -> Batch:
        """Behave as in every asynchronous generator."""
        return await self._batches.athrow(*args)

    async def aclose(self) -> None:
        """End the request."""
        await self._batches.aclose()


def _beginning(batch: Batch) -> tuple[str, bool]:
    """The text with which the first batches begin, and whether another part has ended it."""
    text = ""
    for part in batch:
        kind = part.__class__
        if kind is Text:
            text += part.text  # type: ignore[union-attr]
        elif kind not in _BESIDE:
            return text, True
    return text, False
