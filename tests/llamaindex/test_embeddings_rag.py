"""Indexes, pipelines and retrievers of LlamaIndex over our embedding models and replicas."""

import hashlib
import re

import pytest
from llama_index.core import (
    Document,
    Settings,
    StorageContext,
    VectorStoreIndex,
    load_index_from_storage,
)
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.node_parser import SemanticSplitterNodeParser, SentenceSplitter
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.vector_stores import SimpleVectorStore

from freeproviders import OpenAICompatible
from freeproviders.testing import replica
from llama_index.embeddings.freeproviders import OpenAICompatibleEmbedding
from llama_index_freeproviders import FlowGpt

FACTS = [
    "The capital of Freedonia is Fredville, a town on the river Marx.",
    "The anthem of Freedonia was written by Rufus Firefly in 1933.",
    "People eat duck soup with black bread every Sunday.",
    "A short war was fought against the neighbour Sylvania.",
]
QUESTION = "What is the capital of Freedonia?"
SIZE = 128


def words_of(texts):
    """Vectors of words, so that a question is near to the text that has most of them."""
    vectors = []
    for text in texts:
        vector = [0.001] * SIZE
        for word in set(re.findall(r"\w+", text.lower())):
            vector[int(hashlib.sha256(word.encode()).hexdigest(), 16) % SIZE] += 1.0
        vectors.append(vector)
    return vectors


@pytest.fixture(scope="module")
def service():
    with replica(OpenAICompatible, vectors=words_of) as server:
        yield server


@pytest.fixture
def embed_model(service):
    service.requests.clear()
    return OpenAICompatibleEmbedding("m", base_url=service.base_url, retry=0)


def documents():
    return [Document(text=text, id_=f"fact-{place}") for place, text in enumerate(FACTS)]


def asked(server):
    return [text for request in server.requests for text in request.texts]


@pytest.mark.parametrize("use_async", [False, True])
def test_an_index_is_built_with_one_request(service, embed_model, use_async):
    index = VectorStoreIndex.from_documents(documents(), embed_model=embed_model, use_async=use_async)
    assert [request.texts for request in service.requests] == [FACTS]
    assert index.as_retriever(similarity_top_k=1).retrieve(QUESTION)[0].text == FACTS[0]


async def test_nodes_come_and_go_in_coroutines(service, embed_model):
    index = VectorStoreIndex(nodes=[], embed_model=embed_model, use_async=False)
    await index.ainsert_nodes([TextNode(text=text) for text in FACTS])
    found = await index.as_retriever(similarity_top_k=2).aretrieve(QUESTION)
    assert found[0].text == FACTS[0]
    assert found[0].score > found[1].score


async def test_a_query_engine_answers_from_what_was_found(service, embed_model):
    index = VectorStoreIndex.from_documents(documents(), embed_model=embed_model)
    with replica("flow-gpt", answer=lambda messages: messages[-1]["content"]) as chat:
        engine = index.as_query_engine(
            llm=FlowGpt(base_url=chat.base_url, retry=0, context_window=8000), similarity_top_k=1
        )
        for answer in (engine.query(QUESTION), await engine.aquery(QUESTION)):
            assert FACTS[0] in str(answer)
            assert FACTS[2] not in str(answer)
            assert [node.text for node in answer.source_nodes] == [FACTS[0]]


@pytest.mark.parametrize("native", [False, True])
async def test_a_pipeline_asks_for_no_text_twice(service, embed_model, tmp_path, native):
    def pipeline():
        return IngestionPipeline(
            transformations=[SentenceSplitter(chunk_size=64, chunk_overlap=0), embed_model],
            cache=IngestionCache(cache=SimpleKVStore.from_persist_path(str(tmp_path / "cache.json")))
            if (tmp_path / "cache.json").exists()
            else IngestionCache(),
            docstore=docstore,
            vector_store=store,
        )

    docstore, store = SimpleDocumentStore(), SimpleVectorStore()
    first = pipeline()
    nodes = await first.arun(documents=documents()) if native else first.run(documents=documents())
    assert len(nodes) == 4
    assert asked(service) == FACTS
    assert all(len(node.embedding) == SIZE for node in nodes)
    first.cache.persist(str(tmp_path / "cache.json"))
    # The same documents are known to the docstore, and to the cache where that has been lost.
    docs = [*documents(), Document(text="Trains run on time.", id_="new")]
    more = await pipeline().arun(documents=docs) if native else pipeline().run(documents=docs)
    assert [node.text for node in more] == ["Trains run on time."]
    docstore, store = SimpleDocumentStore(), SimpleVectorStore()
    nodes = pipeline().run(documents=documents())
    assert len(nodes) == 4
    assert asked(service) == [*FACTS, "Trains run on time."]


def test_a_text_is_split_by_its_meaning(service, embed_model):
    text = "Cats purr softly. Cats purr loudly. Bonds yield interest. Bonds yield more interest."
    splitter = SemanticSplitterNodeParser(
        embed_model=embed_model, buffer_size=0, breakpoint_percentile_threshold=60
    )
    nodes = splitter.get_nodes_from_documents([Document(text=text)])
    assert [node.text.strip() for node in nodes] == [
        "Cats purr softly. Cats purr loudly.",
        "Bonds yield interest. Bonds yield more interest.",
    ]


def test_an_index_that_was_stored_is_loaded(service, embed_model, tmp_path):
    index = VectorStoreIndex.from_documents(documents(), embed_model=embed_model)
    index.storage_context.persist(str(tmp_path))
    service.requests.clear()
    loaded = load_index_from_storage(
        StorageContext.from_defaults(persist_dir=str(tmp_path)), embed_model=embed_model
    )
    assert loaded.as_retriever(similarity_top_k=1).retrieve(QUESTION)[0].text == FACTS[0]
    assert asked(service) == [QUESTION]


def test_retrievers_and_settings(service, embed_model):
    Settings.embed_model = embed_model
    index = VectorStoreIndex.from_documents(documents())
    with replica("flow-gpt", answer="the capital\nthe anthem") as chat:
        fusion = QueryFusionRetriever(
            [index.as_retriever(similarity_top_k=2)],
            llm=FlowGpt(base_url=chat.base_url, retry=0),
            num_queries=3,
            similarity_top_k=2,
        )
        assert {one.text for one in fusion.retrieve(QUESTION)} == set(FACTS[:2])


def test_vectors_are_kept_between_runs(service, embed_model, tmp_path):
    """`cache=` is the core's: it outlives the process, and knows families and roles."""
    kept = OpenAICompatibleEmbedding("m", base_url=service.base_url, cache=tmp_path / "vectors.db")
    VectorStoreIndex.from_documents(documents(), embed_model=kept)
    service.requests.clear()
    again = OpenAICompatibleEmbedding.from_dict(kept.to_dict())
    index = VectorStoreIndex.from_documents([*documents(), Document(text="New.")], embed_model=again)
    assert asked(service) == ["New."]
    assert index.as_retriever(similarity_top_k=1).retrieve(QUESTION)[0].text == FACTS[0]
