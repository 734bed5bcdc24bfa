"""A call for the vectors of many texts: what is known, what comes, and the reports to LlamaIndex.

LlamaIndex's own methods make one request after the other of `embed_batch_size` texts, or all of
them at once. Here the core asks for all texts as a whole, and the reports are those of LlamaIndex:
one start and one end for each batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import import_module
from types import TracebackType
from typing import Any, Final, Protocol, Self

from llama_index.core.base.embeddings.base import Embedding
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent, EmbeddingStartEvent
from llama_index_instrumentation import get_dispatcher

from freeproviders.embeddings.block import Turn
from freeproviders.embeddings.embedder import Embedder
from freeproviders.embeddings.family import Family
from freeproviders.embeddings.result import EmbeddedBatch, Embeddings, bad_texts
from freeproviders.embeddings.texts import warn_of_cut
from freeproviders.errors import FreeProvidersError
from freeproviders.types import Usage
from freeproviders.wire.embeddings.vectors import Vectors
from llama_index_freeproviders.callbacks import anybody_listens

dispatcher: Final = get_dispatcher("llama_index.core.base.embeddings.base")
"""The dispatcher of LlamaIndex's base class: handlers put there hear these events as well."""


class Reported(Protocol):
    """An embedding model as far as the reports of its calls need it."""

    callback_manager: Any
    embed_batch_size: int

    @property
    def core(self) -> Embedder:
        """The embedder that is asked."""

    def to_payload(self) -> dict[str, Any]:
        """Describe the model, without secrets."""


def blocking_turn(limiter: Any) -> Turn:
    """Return a turn of a rate limiter by its method for sync code, which may block."""

    async def turn() -> None:
        await asyncio.to_thread(limiter.acquire)

    return turn


def progress_bars() -> Any:
    """Import tqdm, which reads files the first time."""
    return import_module("tqdm.auto")  # has no types


class Batches:
    """One call, as a context manager: an exception inside ends the batch that is open.

    Args:
        model: the embedding model.
        texts: the texts of the call.
        show_progress: whether a bar shows the texts that are done.
    """

    def __init__(self, model: Reported, texts: Sequence[str], *, show_progress: bool) -> None:
        self.missing: Sequence[str] = texts
        self._texts = texts
        self._places: Sequence[int] = range(len(texts))
        self._vectors: list[Embedding] = [[]] * len(texts)  # an empty one has not come
        self._usage = Usage(0, 0)
        self._truncated: list[int] = []
        self._bad: dict[int, FreeProvidersError] = {}
        self._model = model
        self._size = model.embed_batch_size
        self._manager = model.callback_manager or CallbackManager()  # LlamaIndex's engines may set None
        self._about = model.to_payload()
        self._shows = show_progress
        self._bar: Any = None
        self._start = self._done = 0
        self._event = ""
        self._open = False

    def __enter__(self) -> Self:
        if self._shows:
            self._bar = progress_bars().tqdm(total=len(self._texts), desc="Generating embeddings")
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and self._open:
            self._failed(error)
        if self._bar is not None:
            self._bar.close()

    # --- vectors ---

    def family(self) -> Family:
        """Return the family of the vectors, whose size may be known only when they have come."""
        return self._model.core.family

    def take_known(self, known: Sequence[Embedding | None]) -> None:
        """Take what a cache holds for each text, None for nothing."""
        self._places = [place for place, found in enumerate(known) if found is None]
        self.missing = [self._texts[place] for place in self._places]
        for place, found in enumerate(known):
            if found is not None:
                self._vectors[place] = found
        self._report()

    def take(self, block: EmbeddedBatch) -> list[tuple[str, Embedding]]:
        """Take vectors that have come; return them with their texts."""
        places = self._places[block.start : block.start + block.count]
        self._usage += block.usage
        self._truncated += [self._places[place] for place in block.truncated]
        self._bad.update((self._places[place], error) for place, error in block.bad.items())
        taken = []
        for place, vector in zip(places, block.vectors.lists(), strict=False):  # none where all are bad
            if place not in self._bad:
                self._vectors[place] = vector
                taken.append((self._texts[place], vector))
        self._report()
        return taken

    def whole(self) -> list[Embedding]:
        """Return the vectors of all texts. Raises `BadTextsError` where one got none."""
        warn_of_cut(self._truncated, len(self._texts), stacklevel=6)
        if not self._bad:
            return self._vectors
        size = max(map(len, self._vectors))
        made = Embeddings(
            vectors=Vectors.of(vector or [0.0] * size for vector in self._vectors),
            family=self.family(),
            usage=self._usage,
            truncated=tuple(sorted(self._truncated)),
        )
        raise bad_texts(self._bad, made, len(self._texts))

    # --- reports ---

    def _report(self) -> None:
        """Report the batches that are complete."""
        before = self._done
        while self._done < len(self._texts) and (self._vectors[self._done] or self._done in self._bad):
            self._done += 1
            if self._done == min(self._start + self._size, len(self._texts)):
                self._end()
        if self._bar is not None:
            self._bar.update(self._done - before)

    def _begin(self) -> None:
        if self._start < len(self._texts):
            self._open = True
            if anybody_listens(dispatcher):
                dispatcher.event(EmbeddingStartEvent(model_dict=self._about))
            self._event = self._manager.on_event_start(
                CBEventType.EMBEDDING, payload={EventPayload.SERIALIZED: self._about}
            )

    def _end(self) -> None:
        """Report the end of the batch whose last text is done, and begin the next one."""
        self._open = False
        batch = slice(self._start, self._done)
        bad = next((self._bad[place] for place in range(self._start, self._done) if place in self._bad), None)
        if bad is not None:
            self._failed(bad)
        else:
            chunks, vectors = list(self._texts[batch]), self._vectors[batch]
            self._manager.on_event_end(
                CBEventType.EMBEDDING,
                payload={EventPayload.CHUNKS: chunks, EventPayload.EMBEDDINGS: vectors},
                event_id=self._event,
            )
            if anybody_listens(dispatcher):  # the event copies all numbers
                dispatcher.event(EmbeddingEndEvent(chunks=chunks, embeddings=vectors))
        self._start = self._done
        self._begin()

    def _failed(self, error: BaseException) -> None:
        self._open = False
        self._manager.on_event_end(
            CBEventType.EMBEDDING, payload={EventPayload.EXCEPTION: error}, event_id=self._event
        )
