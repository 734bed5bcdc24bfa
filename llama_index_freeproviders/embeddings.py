"""Embeddings without a network, a key or a GPU: wordllama, whose weights are in its package."""

from __future__ import annotations

import asyncio
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import Field

from freeproviders.errors import MissingDependencyError

if TYPE_CHECKING:
    from wordllama import WordLlamaInference

DIMENSIONS: Final = 256
_lock = threading.Lock()


class WordLlamaEmbedding(BaseEmbedding):
    """Static word embeddings of 256 numbers, for small corpora and offline tests.

    They take a tenth of a second to load and half a millisecond a query. Retrieval is better than
    keywords and worse than a sentence transformer. Needs `pip install "freeproviders[rag]"`.

    Examples:
        ```python
        from llama_index.core import Settings
        from llama_index_freeproviders.embeddings import WordLlamaEmbedding

        Settings.embed_model = WordLlamaEmbedding()
        print(len(Settings.embed_model.get_text_embedding("A cat sat on the mat.")))
        ```
    """

    model_name: str = Field(
        default=f"wordllama-l2-supercat-{DIMENSIONS}", description="What the weights are."
    )
    embed_batch_size: int = Field(default=256, gt=0, le=2048, description="Texts in one call.")

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        _weights()  # found missing here, not in the middle of an index

    @classmethod
    def class_name(cls) -> str:
        """The name under which the class is saved."""
        return "freeproviders_word_llama_embedding"

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        if not texts:
            return []
        with _lock:  # the tokenizer's settings are shared
            vectors = _weights().embed(texts)
        return [_normalized(vector) for vector in vectors]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)  # half a millisecond: a thread would cost as much

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)


def _normalized(vector: np.ndarray) -> list[float]:
    """Scale a vector to length 1.

    A text without words gets a vector that is near to no other: a zero has no direction, and its
    similarity to anything is no number.
    """
    length = float(np.linalg.norm(vector))
    if not length:
        return [1.0] + [0.0] * (len(vector) - 1)
    return [float(number) for number in vector / length]


@cache
def _weights() -> WordLlamaInference:
    """The weights inside the package; wordllama's defaults look elsewhere and then download."""
    try:
        import wordllama  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingDependencyError(
            "wordllama is not installed.", advice='Run: pip install "freeproviders[rag]"'
        ) from error
    return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
