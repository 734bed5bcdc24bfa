"""Embeddings without a network, a key or a GPU: wordllama, whose weights are in its package."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import Field

from freeproviders.embeddings import static

DIMENSIONS: Final = 256


class WordLlamaEmbedding(BaseEmbedding):
    """Static word embeddings of 256 numbers, for small corpora and offline tests.

    They take a fifth of a second to load and a tenth of a millisecond a query. Retrieval is better
    than keywords and worse than a sentence transformer; how much is in docs/embeddings.md. Needs
    `pip install "freeproviders[rag]"`.

    Examples:
        ```python
        from llama_index.core import Settings
        from llama_index_freeproviders.embeddings import WordLlamaEmbedding

        Settings.embed_model = WordLlamaEmbedding()
        print(len(Settings.embed_model.get_text_embedding("A cat sat on the mat.")))
        ```
    """

    model_name: str = Field(default=static.FAMILY.model, description="What the weights are.")
    embed_batch_size: int = Field(default=256, gt=0, le=2048, description="Texts in one call.")

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        static.find()  # found missing here, not in the middle of an index

    @classmethod
    def class_name(cls) -> str:
        """The name under which the class is saved."""
        return "freeproviders_word_llama_embedding"

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return static.load().embed(texts)[0].lists()

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        if static.is_loaded():  # a thread would cost as much as the vector
            return self._get_text_embedding(query)
        return await asyncio.to_thread(self._get_text_embedding, query)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)
