"""Search without a network as a LlamaIndex retriever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Self

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.ingestion import run_transformations
from llama_index.core.schema import (
    BaseNode,
    Document,
    IndexNode,
    MetadataMode,
    NodeWithScore,
    QueryBundle,
    TransformComponent,
)
from llama_index.core.settings import Settings
from llama_index.core.storage.docstore import BaseDocumentStore

from freeproviders.embeddings.hybrid import WEIGHT, Hit, HybridIndex
from freeproviders.errors import UsageError

_TOP_K: Final = 4


class OfflineRetriever(BaseRetriever):
    """Nodes in memory that are found by meaning and by words, on this machine alone.

    It fuses the offline floor's vectors with BM25 (docs/embeddings.md says how well). Nothing is
    fetched, and there is no key. The text of a node is what LlamaIndex embeds, its metadata
    included. A docstore keeps the nodes from one run to the next: `from_docstore`. Needs
    the extra `rag`.

    Args:
        nodes: what is to be found.
        similarity_top_k: nodes in an answer.
        weight: what words count beside meaning.
        callback_manager: LlamaIndex's callbacks.
        object_map: what stands behind nodes that are references, by their ids.
        objects: references to be found beside the nodes.
        verbose: whether LlamaIndex prints which references it follows.

    Examples:
        ```python
        from llama_index.core.schema import TextNode
        from llama_index_freeproviders import OfflineRetriever

        texts = ["The ferry leaves at nine.", "Cats sleep all day.", "Error E42: the pump is blocked."]
        nodes = [TextNode(text=text) for text in texts]
        retriever = OfflineRetriever.from_nodes(nodes, similarity_top_k=1)
        print(retriever.retrieve("When does the boat go?"))
        print(retriever.retrieve("E42"))
        ```
    """

    def __init__(
        self,
        nodes: Sequence[BaseNode],
        *,
        similarity_top_k: int = _TOP_K,
        weight: float = WEIGHT,
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        objects: list[IndexNode] | None = None,
        verbose: bool = False,
    ) -> None:
        if similarity_top_k < 1:
            raise UsageError(f"similarity_top_k must be 1 or more, not {similarity_top_k}.")
        self.similarity_top_k = similarity_top_k
        self._nodes = [*nodes, *(objects or ())]
        texts = [node.get_content(metadata_mode=MetadataMode.EMBED) for node in self._nodes]
        self._index = HybridIndex(texts, weight=weight)
        super().__init__(
            callback_manager=callback_manager or Settings.callback_manager,
            object_map=object_map,
            objects=objects,
            verbose=verbose,
        )

    @classmethod
    def from_nodes(cls, nodes: Sequence[BaseNode], **how: Any) -> Self:
        """Make a retriever of nodes; the other arguments are the class's."""
        return cls(nodes, **how)

    @classmethod
    def from_docstore(cls, docstore: BaseDocumentStore, **how: Any) -> Self:
        """Make a retriever of all nodes of a docstore; the other arguments are the class's."""
        return cls(list(docstore.docs.values()), **how)

    @classmethod
    def from_documents(
        cls,
        documents: Sequence[Document],
        *,
        transformations: Sequence[TransformComponent] | None = None,
        show_progress: bool = False,
        **how: Any,
    ) -> Self:
        """Make a retriever of documents, cut into nodes as `VectorStoreIndex` does.

        The transformations are those of `Settings` where none are given; the other arguments are
        the class's.
        """
        steps = Settings.transformations if transformations is None else transformations
        return cls(run_transformations(documents, steps, show_progress=show_progress), **how)

    @classmethod
    async def afrom_documents(cls, documents: Sequence[Document], **how: Any) -> Self:
        """Make a retriever of documents on a thread, as `from_documents` does."""
        return await asyncio.to_thread(cls.from_documents, documents, **how)

    def _found(self, hits: list[Hit]) -> list[NodeWithScore]:
        return [NodeWithScore(node=self._nodes[hit.index], score=hit.score) for hit in hits]

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._found(self._index.search(query_bundle.query_str, self.similarity_top_k))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._found(await self._index.asearch(query_bundle.query_str, self.similarity_top_k))
