"""LlamaIndex embedding models without a network and a key: static vectors."""

from __future__ import annotations

from freeproviders.embeddings.offline import OfflineEmbedder
from freeproviders.errors import UnknownModelError
from llama_index_freeproviders.embeddings.base import CoreEmbedding


class OfflineEmbedding(CoreEmbedding):
    """Static vectors of 256 numbers, whose weights are inside a package: no network, no key, no GPU.

    They take a fifth of a second to load and a tenth of a millisecond a query. Retrieval is better
    than keywords and worse than a sentence transformer; how much is in docs/embeddings.md. Needs
    the extra `rag`.

    Examples:
        ```python
        from llama_index.core import Settings
        from llama_index.embeddings.freeproviders import OfflineEmbedding

        Settings.embed_model = OfflineEmbedding()
        print(len(Settings.embed_model.get_text_embedding("A cat sat on the mat.")))
        ```
    """

    @classmethod
    def class_name(cls) -> str:
        """The name under which the class is saved and found again."""
        return "freeproviders_offline_embedding"

    def _made_embedder(self) -> OfflineEmbedder:
        embedder = OfflineEmbedder()
        if self.model_name not in {"", embedder.model}:
            raise UnknownModelError(
                f"There is one model, {embedder.model!r}, and no {self.model_name!r}.", provider=embedder.name
            )
        return embedder


class WordLlamaEmbedding(OfflineEmbedding):
    """`OfflineEmbedding` by its older name, under which it is saved as before.

    Examples:
        ```python
        from llama_index_freeproviders import WordLlamaEmbedding

        print(len(WordLlamaEmbedding().get_query_embedding("Where is the cat?")))
        ```
    """

    @classmethod
    def class_name(cls) -> str:
        """The name under which the class is saved and found again."""
        return "freeproviders_word_llama_embedding"
