"""LangChain embeddings of any class that keep shared limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from langchain_core.embeddings import Embeddings

from freeproviders.errors import UsageError
from freeproviders.quota.interface import Grant
from freeproviders.quota.limiter import Limiter
from langchain_freeproviders.errors import translating


class QuotaEmbeddings(Embeddings):
    """Embeddings that wait for room before each request; `SharedQuota.embeddings` makes them.

    Limits of tokens are kept by upper estimates of the texts.

    Args:
        other: the embeddings that are asked.
        limiter: the limits.
        batch: how many texts `other` gets at once, and sends in one request.
    """

    def __init__(self, other: Embeddings, limiter: Limiter, *, batch: int = 1) -> None:
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            with translating:
                raise UsageError(f"batch must be a number of texts, at least 1, not {batch!r}.")
        self.other = other
        self.batch = batch
        self._limiter = limiter

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts, so many at a time as make one request."""
        vectors: list[list[float]] = []
        for some in self._batches(texts):
            with self._settled(self._reserve(some)):
                vectors += self.other.embed_documents(some)
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Embed the text of a query."""
        with self._settled(self._reserve([text])):
            return self.other.embed_query(text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts, so many at a time as make one request."""
        vectors: list[list[float]] = []
        for some in self._batches(texts):
            with self._settled(await self._areserve(some)):
                vectors += await self.other.aembed_documents(some)
        return vectors

    async def aembed_query(self, text: str) -> list[float]:
        """Embed the text of a query."""
        with self._settled(await self._areserve([text])):
            return await self.other.aembed_query(text)

    def _batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        for at in range(0, len(texts), self.batch):
            yield list(texts[at : at + self.batch])

    def _reserve(self, texts: Sequence[str]) -> Grant:
        with translating:
            return self._limiter.reserve_for_sync(texts)

    async def _areserve(self, texts: Sequence[str]) -> Grant:
        with translating:
            return await self._limiter.reserve_for(texts)

    @contextmanager
    def _settled(self, grant: Grant) -> Iterator[None]:
        """Settle when the request has ended; one that failed took no tokens."""
        try:
            yield
        except BaseException:
            self._limiter.settle(grant, (0, 0))
            raise
        self._limiter.received(grant)
        self._limiter.settle(grant)
