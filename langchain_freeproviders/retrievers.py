"""Search without a network as a LangChain retriever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field, PrivateAttr

from freeproviders.embeddings.hybrid import WEIGHT, Hit, HybridIndex
from langchain_freeproviders.errors import translating


class OfflineRetriever(BaseRetriever):
    """Documents in memory that are found by meaning and by words, on this machine alone.

    It fuses the offline floor's vectors with BM25 (docs/embeddings.md says how well). Nothing is
    fetched, and there is no key. Documents come back as copies with a `relevance_score` in their
    metadata, at most 1. The retriever can be pickled. Needs the extra `rag`.

    Examples:
        ```python
        from langchain_freeproviders import OfflineRetriever

        retriever = OfflineRetriever.from_texts(
            ["The ferry leaves at nine.", "Cats sleep all day.", "Error E42: the pump is blocked."], k=1
        )
        print(retriever.invoke("When does the boat go?"))
        print(retriever.invoke("E42"))
        ```
    """

    documents: list[Document] = Field(description="What is to be found.", repr=False)
    k: int = Field(default=4, gt=0, description="Documents in an answer; also an argument of a call.")
    weight: float = Field(default=WEIGHT, ge=0, description="What words count beside meaning.")
    with_metadata: Sequence[str] = Field(
        default=(),
        description="Names of metadata whose values count as if they stood before the text, as a title.",
    )
    _index: HybridIndex = PrivateAttr()

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        with translating:
            self._index = HybridIndex([self._text(one) for one in self.documents], weight=self.weight)

    @classmethod
    def from_documents(cls, documents: Iterable[Document], **fields: Any) -> Self:
        """Make a retriever of documents; the other arguments are its fields."""
        return cls(documents=list(documents), **fields)

    @classmethod
    async def afrom_documents(cls, documents: Iterable[Document], **fields: Any) -> Self:
        """Make a retriever of documents on a thread; the other arguments are its fields."""
        return await asyncio.to_thread(cls.from_documents, documents, **fields)

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        metadatas: Iterable[dict[str, Any]] | None = None,
        *,
        ids: Iterable[str] | None = None,
        **fields: Any,
    ) -> Self:
        """Make a retriever of texts, with a mapping and an id for each; the others are its fields."""
        return cls(documents=_documents(texts, metadatas, ids), **fields)

    @classmethod
    async def afrom_texts(
        cls,
        texts: Iterable[str],
        metadatas: Iterable[dict[str, Any]] | None = None,
        *,
        ids: Iterable[str] | None = None,
        **fields: Any,
    ) -> Self:
        """Make a retriever of texts on a thread, as `from_texts` does."""
        return await cls.afrom_documents(_documents(texts, metadatas, ids), **fields)

    def _text(self, document: Document) -> str:
        found = [str(document.metadata[name]) for name in self.with_metadata if name in document.metadata]
        return "\n".join([*found, document.page_content])

    def _found(self, hits: Iterable[Hit]) -> list[Document]:
        found = []
        for hit in hits:
            one = self.documents[hit.index]
            metadata = {**one.metadata, "relevance_score": hit.score}
            found.append(one.model_copy(update={"metadata": metadata}))
        return found

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        del run_manager  # nothing is asked below
        with translating:
            return self._found(self._index.search(query, self.k if k is None else k))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        del run_manager
        with translating:
            return self._found(await self._index.asearch(query, self.k if k is None else k))


def _documents(
    texts: Iterable[str], metadatas: Iterable[dict[str, Any]] | None, ids: Iterable[str] | None
) -> list[Document]:
    """Make documents; raise `ValueError` where there are not as many metadata or ids as texts."""
    contents = list(texts)
    every = [{} for _ in contents] if metadatas is None else list(metadatas)
    names = [None for _ in contents] if ids is None else list(ids)
    return [
        Document(page_content=text, metadata=metadata, id=name)
        for text, metadata, name in zip(contents, every, names, strict=True)
    ]
