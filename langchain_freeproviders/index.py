"""The family of vectors, stored with an index and checked wherever vectors would be mixed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar, cast, runtime_checkable

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

from freeproviders.embeddings.family import Family
from freeproviders.errors import FreeProvidersError
from langchain_freeproviders.errors import FamilyMismatchError, UsageError, translating

__all__ = ["KEY", "OneFamilyVectorStore", "check_documents", "stamped"]

KEY: Final = "embedding_family"
"""The entry of a document's metadata that holds the fingerprint of its vector's family."""
_ANY_TEXT: Final = "Hello"
_STORE: Final = "The vector store"

Found = TypeVar("Found")


@runtime_checkable
class _OfFamily(Protocol):
    @property
    def family(self) -> Family: ...


def stamped(documents: Iterable[Document], embeddings: Embeddings) -> list[Document]:
    """Return copies of documents with the fingerprint of the embeddings' family in their metadata.

    Where the size of the vectors is not known yet, one text is embedded to learn it.
    """
    fingerprint = _sized(embeddings).fingerprint
    return [_marked(document, fingerprint) for document in documents]


def check_documents(documents: Iterable[Document], embeddings: Embeddings) -> None:
    """Raise `FamilyMismatchError` unless all documents are stamped with the embeddings' family."""
    family = _of(embeddings).family
    for document in documents:
        _check(family, document.metadata)


class OneFamilyVectorStore(VectorStore):
    """Any vector store, kept to vectors of one family.

    Documents are stamped with the family as they are added (`metadata["embedding_family"]`), and a
    store whose documents are of another family, or of none, is refused with a
    `FamilyMismatchError`: an `InMemoryVectorStore` as it is wrapped, any other before the first
    document is added, and at the first search that meets such a document. So an index that was
    made by another model, with another size, normalisation or prefix, gives no wrong neighbours.

        ```python
        from langchain_core.vectorstores import InMemoryVectorStore
        from langchain_freeproviders import OpenAICompatibleEmbeddings
        from langchain_freeproviders.index import OneFamilyVectorStore

        embeddings = OpenAICompatibleEmbeddings(service="gemini")
        store = OneFamilyVectorStore(InMemoryVectorStore(embeddings))
        ```

    Args:
        store: the store; its embeddings are those of this package.
        embeddings: the embeddings, for a store that does not tell its own.
    """

    def __init__(self, store: VectorStore, embeddings: Embeddings | None = None) -> None:
        self.store = store
        self._source = cast("Embeddings", embeddings if embeddings is not None else store.embeddings)
        _of(self._source)
        self._looked = self._sure = False
        self._check_memory()

    @property
    def embeddings(self) -> Embeddings | None:
        """The embeddings of the store."""
        return self._source

    @property
    def family(self) -> Family:
        """The family of all vectors in the store."""
        return _of(self._source).family

    # --- what goes in ---

    def add_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """Add documents, each stamped with the family."""
        self._look()
        return self.store.add_documents(self._stamped(documents), **kwargs)

    async def aadd_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """Do as `add_documents`, on the caller's event loop."""
        await self._alook()
        return await self.store.aadd_documents(self._stamped(documents), **kwargs)

    def add_texts(
        self, texts: Iterable[str], metadatas: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> list[str]:
        """Add texts, each stamped with the family."""
        self._look()
        texts = list(texts)
        return self.store.add_texts(texts, self._stamps(metadatas, len(texts)), **kwargs)

    async def aadd_texts(
        self, texts: Iterable[str], metadatas: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> list[str]:
        """Do as `add_texts`, on the caller's event loop."""
        await self._alook()
        texts = list(texts)
        return await self.store.aadd_texts(texts, self._stamps(metadatas, len(texts)), **kwargs)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> OneFamilyVectorStore:
        """Make a store in memory with texts."""
        made = cls(InMemoryVectorStore(embedding))
        made.add_texts(texts, metadatas, **kwargs)
        return made

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """Delete documents by their ids."""
        return self.store.delete(ids, **kwargs)

    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """Do as `delete`, on the caller's event loop."""
        return await self.store.adelete(ids, **kwargs)

    # --- what comes out ---

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Find the documents nearest to a query; this and all others raise `FamilyMismatchError`."""
        self._make_sure()
        return self._same(self.store.similarity_search(query, k, **kwargs))

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Do as `similarity_search`, on the caller's event loop."""
        await self._amake_sure()
        return self._same(await self.store.asimilarity_search(query, k, **kwargs))

    def similarity_search_with_score(self, *args: Any, **kwargs: Any) -> list[tuple[Document, float]]:
        """Find the documents nearest to a query, with their distances."""
        self._make_sure()
        return self._same_scored(self.store.similarity_search_with_score(*args, **kwargs))

    async def asimilarity_search_with_score(self, *args: Any, **kwargs: Any) -> list[tuple[Document, float]]:
        """Do as `similarity_search_with_score`, on the caller's event loop."""
        await self._amake_sure()
        return self._same_scored(await self.store.asimilarity_search_with_score(*args, **kwargs))

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        self._make_sure()
        found = self.store._similarity_search_with_relevance_scores(query, k, **kwargs)  # noqa: SLF001 - the framework's way
        return self._same_scored(found)

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        await self._amake_sure()
        found = await self.store._asimilarity_search_with_relevance_scores(query, k, **kwargs)  # noqa: SLF001 - the same
        return self._same_scored(found)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return self.store._select_relevance_score_fn()  # noqa: SLF001 - the framework's way

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[Document]:
        """Find the documents nearest to a vector, which is of the store's family."""
        self._make_sure()
        return self._same(self.store.similarity_search_by_vector(embedding, k, **kwargs))

    async def asimilarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[Document]:
        """Do as `similarity_search_by_vector`, on the caller's event loop."""
        await self._amake_sure()
        return self._same(await self.store.asimilarity_search_by_vector(embedding, k, **kwargs))

    def max_marginal_relevance_search(self, *args: Any, **kwargs: Any) -> list[Document]:
        """Find documents near to a query and different from each other."""
        self._make_sure()
        return self._same(self.store.max_marginal_relevance_search(*args, **kwargs))

    async def amax_marginal_relevance_search(self, *args: Any, **kwargs: Any) -> list[Document]:
        """Do as `max_marginal_relevance_search`, on the caller's event loop."""
        await self._amake_sure()
        return self._same(await self.store.amax_marginal_relevance_search(*args, **kwargs))

    def max_marginal_relevance_search_by_vector(self, *args: Any, **kwargs: Any) -> list[Document]:
        """Find documents near to a vector and different from each other."""
        self._make_sure()
        return self._same(self.store.max_marginal_relevance_search_by_vector(*args, **kwargs))

    async def amax_marginal_relevance_search_by_vector(self, *args: Any, **kwargs: Any) -> list[Document]:
        """Do as `max_marginal_relevance_search_by_vector`, on the caller's event loop."""
        await self._amake_sure()
        return self._same(await self.store.amax_marginal_relevance_search_by_vector(*args, **kwargs))

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return documents by their ids."""
        return self.store.get_by_ids(ids)

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Do as `get_by_ids`, on the caller's event loop."""
        return await self.store.aget_by_ids(ids)

    # --- the family ---

    def _look(self) -> None:
        """Look at one document of the store before the first is added."""
        self._make_sure()
        if not self._looked:
            with _of_an_empty_store():
                self._same(self.store.similarity_search(_ANY_TEXT, k=1))
            self._looked = True

    async def _alook(self) -> None:
        await self._amake_sure()
        if not self._looked:
            with _of_an_empty_store():
                self._same(await self.store.asimilarity_search(_ANY_TEXT, k=1))
            self._looked = True

    def _make_sure(self) -> None:
        """Learn the size of the vectors, where it is unknown, before anything is compared."""
        if not self._sure:
            _sized(self._source)
            self._check_memory()

    async def _amake_sure(self) -> None:
        if not self._sure:
            if self.family.size is None:
                await self._source.aembed_query(_ANY_TEXT)
            self._check_memory()

    def _check_memory(self) -> None:
        """Check a store in memory as a whole: what was loaded is all there."""
        if isinstance(self.store, InMemoryVectorStore):
            for entry in self.store.store.values():
                _check(self.family, entry["metadata"])
        self._sure = self.family.size is not None

    def _stamped(self, documents: Iterable[Document]) -> list[Document]:
        return [_marked(document, self.family.fingerprint) for document in documents]

    def _stamps(self, metadatas: list[dict[str, Any]] | None, count: int) -> list[dict[str, Any]]:
        return [{**metadata, KEY: self.family.fingerprint} for metadata in metadatas or [{}] * count]

    def _same(self, documents: list[Document]) -> list[Document]:
        family = self.family
        for document in documents:
            _check(family, document.metadata)
        return documents

    def _same_scored(self, found: list[tuple[Document, float]]) -> list[tuple[Document, float]]:
        self._same([document for document, _ in found])
        return found


@contextmanager
def _of_an_empty_store() -> Iterator[None]:
    """Let a store that is empty say so by an error of its own."""
    try:
        yield
    except FreeProvidersError:
        raise
    except Exception:  # noqa: BLE001, S110 - whatever such a store raises
        pass


def _of(embeddings: object) -> _OfFamily:
    if not isinstance(embeddings, _OfFamily):
        raise UsageError(
            "The family is known only of embeddings of langchain_freeproviders, "
            f"not of {type(embeddings).__name__}."
        )
    return embeddings


def _sized(embeddings: Embeddings) -> Family:
    """Return the family with the size of its vectors; one text is embedded where it is unknown."""
    source = _of(embeddings)
    if source.family.size is None:
        embeddings.embed_query(_ANY_TEXT)
    return source.family


def _marked(document: Document, fingerprint: str) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, KEY: fingerprint}})


def _check(family: Family, metadata: dict[str, Any]) -> None:
    stored = metadata.get(KEY)
    if stored is None:
        raise FamilyMismatchError(
            f"{_STORE} holds documents without a family, and these vectors are of {family.fingerprint!r}: "
            "whether they can be compared is not known.",
            own=family.fingerprint,
            advice=f"Add the documents anew, or stamp them: metadata[{KEY!r}].",
        )
    with translating:
        family.check(str(stored), where=_STORE)
