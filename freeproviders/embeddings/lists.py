"""Vectors as lists of Python's numbers, which frameworks want, in no more memory than these take."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing

from freeproviders.embeddings.embedder import WAIT_SECONDS, Embedder, Progress
from freeproviders.embeddings.result import EmbeddedBatch, Embeddings, bad_texts
from freeproviders.embeddings.texts import checked
from freeproviders.errors import FreeProvidersError
from freeproviders.types import Usage
from freeproviders.wire.embeddings.request import Role
from freeproviders.wire.embeddings.vectors import Vectors


class EmbeddedLists:
    """The vectors of all texts of a call as lists, and what was noticed on the way.

    Attributes:
        rows: one for each text, in their order.
        usage: tokens of all requests.
        truncated: places of texts that were cut, or that the service may have cut.
    """

    def __init__(self) -> None:
        self.rows: list[list[float]] = []
        self.usage = Usage(0, 0)
        self.truncated: list[int] = []
        self.bad: dict[int, FreeProvidersError] = {}

    def add(self, batch: EmbeddedBatch) -> None:
        """Take the vectors of the next texts, whose block of memory is not needed any more."""
        self.rows += batch.vectors.lists() if batch.vectors.size else [[]] * batch.count
        self.usage += batch.usage
        self.truncated += batch.truncated
        self.bad.update(batch.bad)


async def embedded_lists(
    embedder: Embedder,
    texts: str | Iterable[str],
    *,
    role: Role = "document",
    truncate: bool = False,
    wait_up_to: float | None = WAIT_SECONDS,
    progress: Progress | None = None,
) -> EmbeddedLists:
    """Do as `Embedder.embed`, and make lists of each batch as it comes."""
    found = checked(texts)
    whole = EmbeddedLists()
    batches = embedder.stream(found, role=role, truncate=truncate, wait_up_to=wait_up_to, progress=progress)
    async with aclosing(batches):
        async for batch in batches:
            whole.add(batch)
    if whole.bad:
        size = max(map(len, whole.rows))
        rows = (row or [0.0] * size for row in whole.rows)
        raise bad_texts(
            whole.bad,
            Embeddings(
                vectors=Vectors.of(rows),
                family=embedder.family,
                usage=whole.usage,
                truncated=tuple(whole.truncated),
            ),
            len(found),
        )
    return whole
