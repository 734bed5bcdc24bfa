"""Thinking at the beginning of an answer: noticed at once, and nothing else is looked at."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

from freeproviders.abilities import Answering
from freeproviders.tools.loading import loaded
from freeproviders.types import (
    Alternative,
    Batch,
    ChatRequest,
    Finish,
    InvalidToolCall,
    LogProbs,
    Text,
    ToolCall,
    Usage,
)

FIRST_CHARS: Final = "<["
"""The characters with which a mark of reasoning begins."""

CLOSING_PIECES: Final = (
    "think",
    "THINK",
    "thought|>",
    "suffix|>",
    "<channel|>",
    "<unused95>",
    "[BEGIN FINAL",
)
"""Of each mark that closes reasoning, a piece that few other texts hold."""

MAX_BLANKS: Final = 200
"""Blanks before the first word that are waited for."""

_BESIDE: Final = frozenset({LogProbs, Usage, Alternative})
"""The parts that tell nothing about how the answer goes on."""


class SplitAnswer(AsyncGenerator[Batch, None]):
    """The batches of an answer; where it begins with thinking, that comes as `Reasoning`.

    The first words decide, or what is known of the model, or the whole answer where nothing is
    shown before its end. Any other answer is then the service's own stream, without a generator
    around it: `__anext__` is an attribute of the instance, so that no code runs here for a batch.
    Now and then the text of a stream is kept: its end shows whether the model's answers begin
    inside thinking that its template has opened.
    """

    __slots__ = ("__anext__", "_backend", "_batches", "_request", "_seen")

    def __init__(
        self, backend: Answering, request: ChatRequest, batches: AsyncGenerator[Batch, None]
    ) -> None:
        self._backend = backend
        self._request = request
        self._batches = batches
        begin = self._decided if request.stream else self._whole
        self.__anext__ = begin  # type: ignore[method-assign]  # a slot

    async def _decided(self) -> Batch:
        """Read up to the first words of a stream; return all that has come."""
        batch = await self._batches.__anext__()
        learned, model = self._backend.learned, self._request.model or self._backend.model
        thinks: bool | None = learned.proves("begins_thinking", model)
        while not thinks and (thinks := await _thinks(*_beginning(batch))) is None:
            try:
                batch = [*batch, *await self._batches.__anext__()]
            except StopAsyncIteration:
                break
        if thinks:
            return await self._split(batch)
        self.__anext__ = self._batches.__anext__  # type: ignore[method-assign]
        if not learned.lacks("begins_thinking", model) and learned.is_due("begins_thinking", model):
            self._seen: Batch = []
            self.__anext__ = self._watched  # type: ignore[method-assign]
            await self._watch(batch)
        return batch

    async def _whole(self) -> Batch:
        """Read an answer to its end, of which nothing is shown before; return all of it."""
        batch = await self._batches.__anext__()
        if not batch or type(batch[-1]) is not Finish:
            batch = batch.copy()
            async for more in self._batches:
                batch += more
        text, _ = _beginning(batch)
        if text.lstrip()[:1] in FIRST_CHARS and await _thinks(text, ended=True):
            return await self._split(batch)
        if may_close(text) and await self._closes_thinking(text, batch):
            return await self._split(batch)
        self.__anext__ = self._batches.__anext__  # type: ignore[method-assign]
        return batch

    async def _closes_thinking(self, text: str, batch: Batch) -> bool:
        """Return whether a whole answer closes thinking that it has not opened, or its model does so."""
        model = self._request.model or self._backend.model
        return self._backend.learned.proves("begins_thinking", model) or await _closes_unopened(text, batch)

    async def _split(self, batch: Batch) -> Batch:
        """Go on with the thinking set apart; return the first of it."""
        await loaded()
        from freeproviders.tools.engine import split_answer  # noqa: PLC0415 - for answers that think

        self._batches = split_answer(self._backend, self._request, batch, self._batches)
        self.__anext__ = self._batches.__anext__  # type: ignore[method-assign]
        return await self.__anext__()

    async def _watched(self) -> Batch:
        """Return the next batch of a stream that is looked at when it has ended."""
        batch = await self._batches.__anext__()
        await self._watch(batch)
        return batch

    async def _watch(self, batch: Batch) -> None:
        """Keep a batch; at the end of the answer, learn from what was kept."""
        self._seen += batch
        if batch and type(batch[-1]) is Finish:
            self.__anext__ = self._batches.__anext__  # type: ignore[method-assign]
            text = "".join([part.text for part in self._seen if type(part) is Text])
            if may_close(text) and await _closes_unopened(text, self._seen):
                from freeproviders.tools.read.thinking import CLOSED_UNOPENED  # noqa: PLC0415 - loaded

                model = self._request.model or self._backend.model
                self._backend.learned.prove("begins_thinking", model, CLOSED_UNOPENED)

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


def may_close(text: str) -> bool:
    """Return whether a text may hold a mark that closes reasoning, by a look that costs next to nothing."""
    marks = ("<" in text and ("</" in text or "|>" in text or "<unused" in text)) or (
        "[" in text and ("[/" in text or "[BEGIN" in text)
    )
    return marks and any(piece in text for piece in CLOSING_PIECES)


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
    from freeproviders.tools.read.thinking import begins_with_mark  # noqa: PLC0415 - for answers that think

    begins = begins_with_mark(words)
    return False if begins is None and ended else begins


async def _closes_unopened(text: str, batch: Batch) -> bool:
    """Return whether the text of an answer closes thinking that it has not opened."""
    await loaded()
    from freeproviders.tools.read.thinking import closing_mark  # noqa: PLC0415 - as above

    called = any(type(part) is ToolCall or type(part) is InvalidToolCall for part in batch)
    return closing_mark(text, more=called) is not None


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
