"""The family of vectors, stored with each node of an index and checked wherever they would be mixed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, Self, cast, runtime_checkable

from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.data_structs import IndexDict
from llama_index.core.indices.vector_store import VectorIndexRetriever
from llama_index.core.schema import BaseNode, NodeWithScore, QueryBundle, TransformComponent
from llama_index.core.storage.docstore import SimpleDocumentStore

from freeproviders.embeddings.family import Family
from freeproviders.errors import FamilyMismatchError, FreeProvidersError, UsageError

__all__ = ["KEY", "OneFamilyIndex", "StampFamily", "check_nodes"]

KEY: Final = "embedding_family"
"""The entry of a node's metadata that holds the fingerprint of its vector's family."""
_ANY_TEXT: Final = "Hello"


@runtime_checkable
class _HasFamily(Protocol):
    @property
    def family(self) -> Family: ...


@runtime_checkable
class _HasCore(Protocol):
    @property
    def core(self) -> _HasFamily: ...


def check_nodes(nodes: Iterable[BaseNode], embed_model: BaseEmbedding, *, where: str = "The index") -> None:
    """Raise `FamilyMismatchError` unless all nodes are stamped with the family of the model's vectors."""
    family = _family(embed_model)
    for node in nodes:
        stored = node.metadata.get(KEY)
        if stored is None:
            raise FamilyMismatchError(
                f"{where} holds nodes without a family, and these vectors are of {family.fingerprint!r}: "
                "whether they can be compared is not known.",
                own=family.fingerprint,
                advice="Build the index anew: as a OneFamilyIndex, or with StampFamily before the model.",
            )
        family.check(str(stored), where=where)


class StampFamily(TransformComponent):
    """A transformation that stamps nodes with the family of their vectors, for an `IngestionPipeline`.

    The stamp is seen by neither embedding models nor language models.

        ```python
        from llama_index.core.ingestion import IngestionPipeline
        from llama_index_freeproviders.index import StampFamily

        pipeline = IngestionPipeline(transformations=[StampFamily.of(model), model])
        ```
    """

    fingerprint: str

    @classmethod
    def of(cls, embed_model: BaseEmbedding) -> Self:
        """Make one for a model; where its vectors' size is not known yet, one text is embedded."""
        return cls(fingerprint=_sized(embed_model).fingerprint)

    @classmethod
    def class_name(cls) -> str:
        """The name under which it is saved."""
        return "freeproviders_stamp_family"

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Return copies of the nodes, stamped."""
        del kwargs
        return [_stamped(node, self.fingerprint) for node in nodes]


class OneFamilyIndex(VectorStoreIndex):
    """A `VectorStoreIndex` kept to vectors of one family, over any vector store.

    Each node is stamped with the family as it is added (`metadata["embedding_family"]`), where no
    model sees it. An index whose nodes are of another family, or of none, is refused with a
    `FamilyMismatchError`: one with its own nodes as it is loaded, one over a vector store that
    holds the texts before the first node is added and at the first query that meets such a node.

        ```python
        from llama_index_freeproviders.index import OneFamilyIndex

        index = OneFamilyIndex.from_documents(documents, embed_model=model)
        index.storage_context.persist("folder")
        index = OneFamilyIndex.load("folder", embed_model=model)
        ```
    """

    def __init__(self, nodes: Sequence[BaseNode] | None = None, **fields: Any) -> None:
        self._looked = False
        super().__init__(nodes, **fields)
        self._check_own_nodes()

    @classmethod
    def load(
        cls,
        storage: str | Path | StorageContext,
        *,
        embed_model: BaseEmbedding | None = None,
        index_id: str | None = None,
        **fields: Any,
    ) -> Self:
        """Load an index that was persisted.

        Args:
            storage: the folder, or a storage context.
            embed_model: the model for queries; None is that of `Settings`.
            index_id: which one, where the storage has several.
            fields: other arguments of the index.

        Raises:
            FamilyMismatchError: the index is of another family than the model's vectors.
        """
        if not isinstance(storage, StorageContext):
            storage = StorageContext.from_defaults(persist_dir=str(storage))
        structs = storage.index_store.index_structs()
        found = [one for one in structs if index_id in {None, one.index_id}]
        if len(found) != 1:
            raise UsageError(
                f"The storage has {len(found)} such indices, and one is loaded: pass index_id, one of "
                f"{', '.join(repr(one.index_id) for one in structs) or 'none'}."
            )
        struct = cast("IndexDict", found[0])
        return cls(index_struct=struct, storage_context=storage, embed_model=embed_model, **fields)

    @property
    def family(self) -> Family:
        """The family of all vectors in the index."""
        return _family(self._embed_model)

    def as_retriever(self, **kwargs: Any) -> BaseRetriever:
        """Return a retriever that refuses nodes of another family."""
        model = kwargs.get("embed_model")
        if model is not None:
            _family(model).check(_sized(self._embed_model).fingerprint, where="The index")
        return _OneFamilyRetriever(
            self,
            node_ids=list(self.index_struct.nodes_dict.values()),
            callback_manager=self._callback_manager,
            object_map=self._object_map,
            **kwargs,
        )

    # --- what goes in ---

    def _get_node_with_embedding(
        self, nodes: Sequence[BaseNode], show_progress: bool = False
    ) -> list[BaseNode]:
        self._check_embedded(nodes)
        if self._must_look():
            self._look()
        return self._stamped(super()._get_node_with_embedding(nodes, show_progress))

    async def _aget_node_with_embedding(
        self, nodes: Sequence[BaseNode], show_progress: bool = False
    ) -> list[BaseNode]:
        self._check_embedded(nodes)
        if self._must_look():
            await self._alook()
        return self._stamped(await super()._aget_node_with_embedding(nodes, show_progress))

    def _check_embedded(self, nodes: Sequence[BaseNode]) -> None:
        """Refuse nodes that bring vectors of another or an unknown family."""
        check_nodes(
            (node for node in nodes if node.embedding is not None),
            self._embed_model,
            where="The list of nodes",
        )

    def _stamped(self, nodes: list[BaseNode]) -> list[BaseNode]:
        fingerprint = _sized(self._embed_model).fingerprint if nodes else ""
        return [_stamped(node, fingerprint) for node in nodes]

    # --- what is there ---

    def _check_own_nodes(self) -> None:
        """Check the nodes that the index keeps itself; of those on a server, one."""
        _family(self._embed_model)
        ids = list(self._index_struct.nodes_dict.values())
        if not isinstance(self._docstore, SimpleDocumentStore):
            ids = ids[:1]
        if ids:
            _sized(self._embed_model)
            check_nodes(self._docstore.get_nodes(ids, raise_error=False), self._embed_model)

    def _must_look(self) -> bool:
        looked, self._looked = self._looked, True
        return not looked and self._vector_store.stores_text

    def _look(self) -> None:
        """Look at one node of a vector store that may have been filled by others."""
        try:
            self.as_retriever(similarity_top_k=1).retrieve(_ANY_TEXT)
        except FreeProvidersError:
            raise
        except Exception:  # noqa: BLE001, S110 - a store that is empty may say so in any way
            pass

    async def _alook(self) -> None:
        try:
            await self.as_retriever(similarity_top_k=1).aretrieve(_ANY_TEXT)
        except FreeProvidersError:
            raise
        except Exception:  # noqa: BLE001, S110 - a store that is empty may say so in any way
            pass


class _OneFamilyRetriever(VectorIndexRetriever):
    def _get_nodes_with_embeddings(self, query_bundle_with_embeddings: QueryBundle) -> list[NodeWithScore]:
        return self._same(super()._get_nodes_with_embeddings(query_bundle_with_embeddings))

    async def _aget_nodes_with_embeddings(
        self, query_bundle_with_embeddings: QueryBundle
    ) -> list[NodeWithScore]:
        return self._same(await super()._aget_nodes_with_embeddings(query_bundle_with_embeddings))

    def _same(self, found: list[NodeWithScore]) -> list[NodeWithScore]:
        check_nodes((one.node for one in found), self._embed_model)
        return found


def _family(embed_model: object) -> Family:
    if not isinstance(embed_model, _HasCore):
        raise UsageError(
            "The family is known only of embedding models of llama_index_freeproviders, "
            f"not of {type(embed_model).__name__}."
        )
    return embed_model.core.family


def _sized(embed_model: BaseEmbedding) -> Family:
    """Return the family with the size of its vectors; one text is embedded where it is unknown."""
    if _family(embed_model).size is None:
        embed_model.get_query_embedding(_ANY_TEXT)
    return _family(embed_model)


def _stamped(node: BaseNode, fingerprint: str) -> BaseNode:
    """Return a copy with the fingerprint where neither embedding models nor language models see it."""
    hidden = {
        name: [*(key for key in getattr(node, name) if key != KEY), KEY]
        for name in ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys")
    }
    return node.model_copy(update={**hidden, "metadata": {**node.metadata, KEY: fingerprint}})
