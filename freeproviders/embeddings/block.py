"""A block of texts on its way to vectors: requests within the caps, and bad texts found by halving."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from freeproviders.embeddings.kept import Kept
from freeproviders.embeddings.result import EmbeddedBatch
from freeproviders.embeddings.source import VectorSource
from freeproviders.embeddings.texts import is_too_long, requests_of
from freeproviders.errors import (
    BadRequestError,
    ContentFilterError,
    ContextOverflowError,
    FreeProvidersError,
    MalformedResponseError,
    MalformedVectorError,
    ProviderError,
    QuotaTooSmallError,
)
from freeproviders.naming import argument
from freeproviders.retry import Patience, Retry
from freeproviders.types import Usage
from freeproviders.wire.embeddings.request import EmbeddingAnswer, EmbeddingRequest, Role
from freeproviders.wire.embeddings.vectors import Vectors

_ABOUT_TEXTS: Final = (BadRequestError, ContentFilterError, MalformedResponseError)
"""Refusals that one text may be to blame for, so that the others are asked for without it."""
Turn = Callable[[], Awaitable[object]]
"""Waits until one more request may be made, as a rate limiter of the caller's own wants it."""
_HARMLESS: Final = "Hello"
"""A text that no service refuses, unless it refuses all."""


@dataclass(slots=True, kw_only=True)
class Call:
    """What all blocks of a call share.

    `alone` says that there is one text only. `slots` bounds the requests at the same time. `proved`
    says that the service has answered one of them, so that a refusal is about its texts and an
    outage is worth waiting for; `probing` is held while that is found out. `kept` is where each
    answer is written before it is handed on. `turn` is awaited before each request.
    """

    embedder: VectorSource
    role: Role
    truncate: bool
    wait_up_to: float | None
    alone: bool
    slots: asyncio.Semaphore
    probing: asyncio.Lock
    kept: Kept | None = None
    turn: Turn | None = None
    proved: bool = False


@dataclass(slots=True)
class Block:
    """Some texts of a call, `start` the place of the first one."""

    call: Call
    start: int
    texts: Sequence[str]
    _pieces: list[tuple[list[int], Vectors]] = field(default_factory=list)
    _usage: Usage = field(default_factory=lambda: Usage(0, 0))
    _truncated: list[int] = field(default_factory=list)
    _bad: dict[int, FreeProvidersError] = field(default_factory=dict)

    async def run(self) -> EmbeddedBatch:
        """Ask for the vectors; raise what is not about single texts."""
        embedder = self.call.embedder
        prefix = embedder.prefix(self.call.role)
        texts = [prefix + text for text in self.texts] if prefix else list(self.texts)
        places = []
        for place, text in enumerate(self.texts):
            fault = None if embedder.takes_any_text else _fault_of(text)
            if fault is None:
                places.append(place)
            else:
                self._bad[place] = BadRequestError(fault, provider=embedder.name)
        if self.call.truncate and embedder.caps.window is not None:
            await self._shorten(texts, places, embedder.caps.window)
        elif embedder.cuts_unasked and embedder.caps.window is not None:
            places = self._short_enough(texts, places, embedder.caps.window)
        if self.call.alone and self._bad:
            raise self._bad[0]
        groups = list(requests_of(places, texts, embedder.caps, embedder.model))
        if len(groups) == 1:
            await self._ask(groups[0], texts)
        else:
            async with asyncio.TaskGroup() as tasks:
                for some in groups:
                    tasks.create_task(self._ask(some, texts))
        return self._whole()

    async def _shorten(self, texts: list[str], places: Sequence[int], window: int) -> None:
        """Cut texts that are too long; those that the service cuts are only noted."""
        embedder = self.call.embedder
        for place in places:
            shorter = await embedder.cut(texts[place], window)
            if shorter != texts[place]:
                self._truncated.append(place)
                if not embedder.cuts_itself:
                    texts[place] = shorter

    def _short_enough(self, texts: Sequence[str], places: Sequence[int], window: int) -> list[int]:
        """Refuse texts that the service might cut without a word; return the places of the others."""
        embedder = self.call.embedder
        fit = []
        for place in places:
            if not is_too_long(texts[place], window, embedder.model):
                fit.append(place)
                continue
            self._bad[place] = ContextOverflowError(
                f"The text is longer than the {window} tokens that the model reads, and the service may cut "
                "it without a word.",
                provider=embedder.name,
                model=embedder.model,
                advice=f"Pass shorter texts, or {argument('truncate', 'truncate=True')}.",
            )
        return fit

    async def _ask(self, places: list[int], texts: list[str]) -> None:
        """Ask for the vectors of some texts; where one of them may be to blame, for each half."""
        try:
            async with self.call.slots:
                vectors = await self._vectors(places, texts)
        except MalformedVectorError as error:
            if self.call.alone:
                raise
            self._bad[places[error.place]] = error
            rest = [place for place in places if place != places[error.place]]
            if rest:
                await self._ask(rest, texts)
            return
        except _ABOUT_TEXTS as error:
            if self.call.alone or not await self._answers_others(error):
                raise
            if len(places) == 1:
                self._bad[places[0]] = error
                return
            half = len(places) // 2
            await self._ask(places[:half], texts)
            await self._ask(places[half:], texts)
            return
        self._pieces.append((places, vectors))

    async def _vectors(self, places: Sequence[int], texts: Sequence[str]) -> Vectors:
        """Ask for vectors and keep them, where they are kept, before another request begins."""
        answer = await self._answer([texts[place] for place in places])
        vectors = self.call.embedder.normalised(answer.vectors)
        if self.call.kept is not None:
            cut = {at for at, place in enumerate(places) if place in self._truncated}
            await self.call.kept.keep([self.texts[place] for place in places], vectors, cut)
        return vectors

    async def _answers_others(self, error: FreeProvidersError) -> bool:
        """Return whether the service answers at all: what is wrong with every request is not halved."""
        if isinstance(error, QuotaTooSmallError):
            return True  # nothing was sent
        async with self.call.probing:
            if not self.call.proved:
                try:
                    await self._answer([_HARMLESS])
                except _ABOUT_TEXTS:
                    return False
        return True

    async def _answer(self, texts: list[str]) -> EmbeddingAnswer:
        """Ask for the vectors of some texts, patiently where the service has answered before.

        It may have answered another request while this one was tried.
        """
        call, embedder = self.call, self.call.embedder
        if call.proved:
            answer = await self._asked(texts, embedder.patient_retry)
        else:
            try:
                answer = await self._asked(texts, embedder.retry)
            except ProviderError as error:
                if not (call.proved and error.is_retryable):
                    raise
                answer = await self._asked(texts, embedder.patient_retry)
        embedder.check_size(answer.vectors.size)
        call.proved = True
        self._usage += Usage(answer.tokens or 0, 0, estimated=answer.estimated)
        return answer

    async def _asked(self, texts: list[str], retry: Retry) -> EmbeddingAnswer:
        call, embedder = self.call, self.call.embedder
        request = EmbeddingRequest(
            texts=tuple(texts),
            model=embedder.model,
            role=call.role,
            size=embedder.size,
            truncate=call.truncate,
            options=embedder.options,
            wait_up_to=call.wait_up_to,
            patience=Patience(retry, call.wait_up_to),
        )
        if call.turn is not None:
            await call.turn()
        return await embedder.ask(request)

    def _whole(self) -> EmbeddedBatch:
        """Put the pieces together in the order of the texts."""
        count = len(self.texts)
        return EmbeddedBatch(
            start=self.start,
            count=count,
            vectors=self._joined(count),
            usage=self._usage,
            truncated=tuple(sorted(self.start + place for place in self._truncated)),
            bad={self.start + place: error for place, error in self._bad.items()},
        )

    def _joined(self, count: int) -> Vectors:
        if not self._pieces:
            return Vectors(array("f"), 0)
        first, vectors = self._pieces[0]
        if len(self._pieces) == 1 and len(first) == count:
            return vectors
        size = vectors.size
        data = array("f", (0.0,)) * (count * size)
        room = memoryview(data)
        for places, vectors in self._pieces:
            for at, place in enumerate(places):
                room[place * size : (place + 1) * size] = vectors[at]
        return Vectors(data, size)


def _fault_of(text: str) -> str | None:
    """Return why a text cannot be sent, None where it can."""
    if not text or text.isspace():
        return "The text is blank."
    try:
        text.encode()
    except UnicodeEncodeError:
        return "The text holds half of a character (a lone surrogate), which cannot be sent: pass whole ones."
    return None
