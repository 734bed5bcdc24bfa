"""The offline floor: vectors that need no service, no key, no network and no model's file."""

from __future__ import annotations

import asyncio
from typing import Final

from freeproviders.embeddings import static
from freeproviders.embeddings.caps import Caps
from freeproviders.embeddings.embedder import Embedder
from freeproviders.embeddings.family import Family
from freeproviders.errors import UnknownModelError, UnsupportedInputError
from freeproviders.wire.embeddings.request import EmbeddingAnswer, EmbeddingRequest
from freeproviders.wire.embeddings.vectors import Vectors

_AT_ONCE: Final = 4000
"""Characters that are done in less time than handing them to a thread and back would take."""


class OfflineEmbedder(Embedder):
    """Static vectors of 256 numbers, whose weights are inside the package wordllama.

    They take a fifth of a second to load, at the first text and on a thread, and 0.3 milliseconds
    for a page. Retrieval is better than keywords and worse than a sentence transformer; how much is
    in docs/embeddings.md. Needs the extra `rag`.

    Examples:
        ```python
        from freeproviders.embeddings import OfflineEmbedder

        print(OfflineEmbedder().embed_sync(["A cat sat on the mat.", "Rates were raised."]).vectors)
        ```
    """

    name = "Offline"
    slug = "offline"
    model = static.FAMILY.model
    caps = Caps(texts=512, concurrency=1)  # the tokenizer takes all cores by itself
    takes_any_text = True

    def __init__(self) -> None:
        static.find()  # found missing here, not in the middle of an index

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def family(self) -> Family:
        """The family of the vectors."""
        return static.FAMILY

    async def ask(self, request: EmbeddingRequest) -> EmbeddingAnswer:
        """Make the vectors of texts, on a thread where that would keep the event loop waiting.

        Both roles have the same vectors, and no text is too long.
        """
        if request.model not in {None, self.model}:
            raise UnknownModelError(f"{self.name} has one model, {self.model!r}, and no {request.model!r}.")
        if request.size not in {None, self.family.size}:
            raise UnsupportedInputError(
                f"{self.name} makes vectors of {self.family.size} numbers and cannot make {request.size}."
            )
        if static.is_loaded() and sum(map(len, request.texts)) <= _AT_ONCE:
            vectors, tokens = static.load().embed(request.texts)
        else:
            vectors, tokens = await asyncio.to_thread(lambda: static.load().embed(request.texts))
        return EmbeddingAnswer(vectors=vectors, tokens=tokens, model=self.model)

    def normalised(self, vectors: Vectors) -> Vectors:
        """Return the vectors as they are: they have length 1."""
        return vectors
