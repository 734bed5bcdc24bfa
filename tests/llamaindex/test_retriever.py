"""Search without a network as a LlamaIndex retriever."""

import pickle
import sys

import pytest
from llama_index.core import Document, StorageContext, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import IndexNode, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore

from freeproviders.errors import MissingDependencyError, UsageError
from freeproviders.testing import replica
from llama_index.llms.freeproviders import FlowGpt
from llama_index_freeproviders import OfflineRetriever, WordLlamaEmbedding

NODES = [
    TextNode(text="The ferry leaves for the island at nine.", metadata={"source": "port.md"}),
    TextNode(text="Error E42: the pump is blocked.", metadata={"source": "manual.md", "page": 7}),
    TextNode(text="Error E43: the valve is open.", metadata={"source": "manual.md", "page": 8}),
    TextNode(text="Cats sleep for sixteen hours a day.", metadata={"source": "pets.md"}),
]


@pytest.fixture(scope="module")
def retriever():
    return OfflineRetriever.from_nodes(NODES, similarity_top_k=2)


async def test_nodes_come_back_as_they_are_with_their_scores(retriever):
    best, other = retriever.retrieve("What does E42 mean?")
    assert best.node is NODES[1]
    assert 1 >= best.score > other.score
    assert await retriever.aretrieve("What does E42 mean?") == [best, other]


@pytest.mark.parametrize(("question", "right"), [("When does the boat go?", 0), ("E43", 2), ("pets.md", 3)])
def test_meaning_words_and_metadata_find(retriever, question, right):
    assert retriever.retrieve(question)[0].node is NODES[right]


def test_documents_are_cut_like_those_of_an_index():
    pumps = [f"Pump number {number} is blocked." for number in range(60)]
    ferries = [f"Ferry number {number} leaves at nine." for number in range(60)]
    text = " ".join(pumps + ferries)
    cut = SentenceSplitter(chunk_size=100, chunk_overlap=0)
    made = OfflineRetriever.from_documents([Document(text=text)], transformations=[cut], similarity_top_k=3)
    found = made.retrieve("When does the boat go?")
    assert len(found) == 3
    assert all("Ferry" in one.text and len(one.text) < 600 for one in found)


async def test_documents_are_taken_on_a_thread():
    made = await OfflineRetriever.afrom_documents([Document(text="The ferry."), Document(text="A cat.")])
    assert [one.text for one in await made.aretrieve("ferry")] == ["The ferry.", "A cat."]


def test_a_docstore_keeps_the_nodes(tmp_path, retriever):
    store = SimpleDocumentStore()
    store.add_documents(NODES)
    store.persist(str(tmp_path / "docstore.json"))
    kept = SimpleDocumentStore.from_persist_path(str(tmp_path / "docstore.json"))
    again = OfflineRetriever.from_docstore(kept, similarity_top_k=2)
    assert again.retrieve("E42") == retriever.retrieve("E42")


def test_it_stands_beside_an_index_over_the_same_nodes(retriever):
    storage = StorageContext.from_defaults()
    VectorStoreIndex(NODES, embed_model=WordLlamaEmbedding(), storage_context=storage)
    storage.docstore.add_documents(NODES)
    again = OfflineRetriever.from_docstore(storage.docstore, similarity_top_k=2)
    assert again.retrieve("E42") == retriever.retrieve("E42")


def test_references_lead_to_what_they_stand_for():
    part = IndexNode(text="Everything about pumps.", index_id="pumps", obj=NODES[1])
    made = OfflineRetriever.from_nodes(NODES[2:], objects=[part], similarity_top_k=1)
    assert made.retrieve("everything about pumps")[0].node is NODES[1]


def test_it_is_pickled(retriever):
    again = pickle.loads(pickle.dumps(retriever))
    assert again.retrieve("E42") == retriever.retrieve("E42")


def test_no_nodes_nothing_found():
    assert OfflineRetriever.from_nodes([]).retrieve("anything") == []


def test_callbacks_are_told():
    debug = LlamaDebugHandler(print_trace_on_end=False)
    made = OfflineRetriever.from_nodes(NODES, callback_manager=CallbackManager([debug]))
    made.retrieve("E42")
    ((_, end),) = debug.get_event_pairs(CBEventType.RETRIEVE)
    assert end.payload["nodes"][0].node is NODES[1]


def test_mistakes_are_said(monkeypatch):
    with pytest.raises(UsageError, match="similarity_top_k must be 1 or more"):
        OfflineRetriever.from_nodes(NODES, similarity_top_k=0)
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(MissingDependencyError, match=r"\.\[rag\]"):
        OfflineRetriever.from_nodes(NODES)


async def test_it_works_in_a_query_engine_with_a_source(retriever):
    def answer(request):
        return "Blocked." if "E42: the pump" in str(request) else "?"

    with replica("flow-gpt", answer=answer) as service:
        engine = RetrieverQueryEngine.from_args(retriever, llm=FlowGpt(base_url=service.base_url))
        told = engine.query("What does E42 mean?")
        assert (str(told), told.source_nodes[0].metadata["source"]) == ("Blocked.", "manual.md")
        assert str(await engine.aquery("What does E42 mean?")) == "Blocked."
