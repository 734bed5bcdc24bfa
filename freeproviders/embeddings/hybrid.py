"""Search by meaning and by words at once, on this machine alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from freeproviders.embeddings import static
from freeproviders.embeddings.lexical import LexicalIndex
from freeproviders.errors import UsageError

WEIGHT: Final = 0.25
"""What words count beside meaning; measured in docs/embeddings.md."""

_AT_ONCE: Final = 100_000
"""Texts times characters of a question that keep a loop waiting for less than a millisecond or so."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A text that was found.

    Attributes:
        index: its place among the texts, from 0.
        score: how well it answers; at most 1, mostly above 0.
        similarity: cosine of its vector and the question's.
        coverage: how much of the question's words it has, from 0 to 1.
    """

    index: int
    score: float
    similarity: float
    coverage: float


class HybridIndex:
    """Texts in memory that are found by the offline floor's vectors and by BM25, fused.

    The score is the similarity of the vectors plus `weight` times the coverage of the question's
    words, over `1 + weight`. Ranks are not fused: where a question's words tell nothing, the best
    text by words still has rank 1. An index can be pickled; where the vectors of another version
    are of another family, loading it is a `FamilyMismatchError`. Needs
    the extra `rag`.

    Args:
        texts: what is to be found. The index does not keep them.
        weight: what words count beside meaning; 0 searches by meaning alone.

    Examples:
        ```python
        from freeproviders.embeddings import HybridIndex

        texts = ["The ferry leaves at nine.", "Cats sleep all day.", "Error E42: the pump is blocked."]
        index = HybridIndex(texts)
        print(texts[index.search("When does the boat go?", 1)[0].index])
        print(texts[index.search("E42", 1)[0].index])
        ```
    """

    def __init__(self, texts: Sequence[str], *, weight: float = WEIGHT) -> None:
        if weight < 0:
            raise UsageError(f"weight must be 0 or more, not {weight}.")
        if isinstance(texts, str):
            raise UsageError("texts must be a list of texts, not str.")
        static.find()
        self.weight = weight
        self._fingerprint = static.FAMILY.fingerprint
        self._words = LexicalIndex(texts)
        self._vectors, _ = static.load().embed(texts)

    @classmethod
    async def amake(cls, texts: Sequence[str], *, weight: float = WEIGHT) -> HybridIndex:
        """Make an index on a thread."""
        return await asyncio.to_thread(cls, texts, weight=weight)

    def __setstate__(self, state: dict[str, Any]) -> None:
        static.FAMILY.check(state["_fingerprint"], where="The pickled index")
        self.__dict__.update(state)

    def __len__(self) -> int:
        return len(self._vectors)

    def search(self, question: str, k: int = 4) -> list[Hit]:
        """Return the `k` best texts, or all where there are fewer, the best first.

        Among equals the first text comes first.
        """
        import numpy as np  # noqa: PLC0415 - the core does without

        _check(k)
        if not len(self):
            return []
        asked, _ = static.load().embed([question])
        similarity = self._vectors.numpy() @ asked.numpy()[0]
        coverage = self._words.coverage(question)
        scores = (similarity + self.weight * coverage) / (1 + self.weight)
        best = np.arange(len(self))
        if k < len(self):
            best = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
        best = best[np.argsort(-scores[best], kind="stable")][:k]
        return [Hit(int(at), float(scores[at]), float(similarity[at]), float(coverage[at])) for at in best]

    async def asearch(self, question: str, k: int = 4) -> list[Hit]:
        """Return what `search` returns, from a thread where that would keep the event loop waiting."""
        _check(k)
        if static.is_loaded() and len(self) * len(question) <= _AT_ONCE:
            return self.search(question, k)
        return await asyncio.to_thread(self.search, question, k)


def _check(k: int) -> None:
    if k < 1:
        raise UsageError(f"k must be 1 or more, not {k}.")
