"""Embeddings where LangChain uses them: vector stores, indexing, retrievers in a chain, traces."""

import asyncio

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

from freeproviders import OpenAICompatible
from freeproviders.errors import RateLimitError
from freeproviders.testing import replica
from langchain_freeproviders import ChatOpenAICompatible, OfflineEmbeddings, OpenAICompatibleEmbeddings

FACTS = [
    Document(page_content="The capital of Freedonia is Fredville.", metadata={"source": "atlas", "id": 1}),
    Document(page_content="The currency of Freedonia is the quack.", metadata={"source": "bank", "id": 2}),
    Document(page_content="People there eat duck soup on Sundays.", metadata={"source": "menu", "id": 3}),
]


@pytest.fixture
def service():
    with replica(OpenAICompatible, answer=lambda messages: f"Read: {messages[-1]['content']}") as server:
        yield server


def embeddings(server, **more):
    return OpenAICompatibleEmbeddings(model="m", base_url=server.base_url, max_retries=0, **more)


async def test_a_vector_store(service):
    """Every text is its own nearest one, by text, by vector and by relevance, sync and async."""
    own = embeddings(service)
    store = InMemoryVectorStore(own)
    ids = store.add_documents(FACTS[:2]) + await store.aadd_documents(FACTS[2:])
    assert len(set(ids)) == len(service.requests) + 1 == 3
    for fact in FACTS:
        text = fact.page_content
        ((found, score),) = store.similarity_search_with_score(text, k=1)
        assert (found.page_content, score) == (text, pytest.approx(1.0, abs=1e-6))
        assert (await store.asimilarity_search(text, k=1))[0].metadata == fact.metadata
        (by_vector,) = store.similarity_search_by_vector(await own.aembed_query(text), k=1)
        assert by_vector.page_content == text
        assert store.max_marginal_relevance_search(text, k=2)[0].page_content == text
    filtered = store.similarity_search("Freedonia", k=3, filter=lambda found: found.metadata["id"] > 1)
    assert {found.metadata["id"] for found in filtered} == {2, 3}


async def test_an_index_that_is_made_again_asks_for_what_is_new_only(service):
    store = InMemoryVectorStore(embeddings(service))
    records = InMemoryRecordManager("facts")
    records.create_schema()
    done = index(FACTS, records, store, cleanup="incremental", source_id_key="source", key_encoder="sha256")
    assert (done["num_added"], done["num_skipped"]) == (3, 0)
    asked = len(service.requests)
    new = [*FACTS[:2], Document(page_content="Soup is off.", metadata={"source": "menu", "id": 3})]
    done = await aindex(
        new, records, store, cleanup="incremental", source_id_key="source", key_encoder="sha256"
    )
    assert (done["num_added"], done["num_skipped"], done["num_deleted"]) == (1, 2, 1)
    assert [request.texts for request in service.requests[asked:]] == [["Soup is off."]]


def chain(server, own):
    retriever = InMemoryVectorStore.from_documents(FACTS, own).as_retriever(search_kwargs={"k": 1})
    prompt = ChatPromptTemplate.from_template("{context} Question: {question}")
    model = ChatOpenAICompatible(model="m", base_url=server.base_url, max_retries=0)
    found = {"context": retriever, "question": RunnablePassthrough()}
    return found | RunnablePassthrough.assign(answer=prompt | model | StrOutputParser())


def test_a_retriever_in_a_chain(service):
    """From a question over vectors and a source to an answer, singly and many at once."""
    whole = chain(service, OfflineEmbeddings())
    questions = {
        "Which town is the seat of government of Freedonia?": "atlas",
        "What money do they pay with?": "bank",
        "What is their favourite dish?": "menu",
    }
    single = [whole.invoke(question) for question in questions]
    assert [told["context"][0].metadata["source"] for told in single] == list(questions.values())
    assert all(told["context"][0].page_content in told["answer"] for told in single)
    assert asyncio.run(whole.abatch(list(questions))) == whole.batch(list(questions)) == single


class Watcher(BaseCallbackHandler):
    """Notes what a trace would show of a retriever."""

    def __init__(self):
        self.seen = []

    def on_retriever_start(self, serialized, query, *, metadata=None, **kwargs):
        self.seen.append((query, metadata["ls_embedding_provider"]))

    def on_retriever_end(self, documents, **kwargs):
        self.seen.append(len(documents))

    def on_retriever_error(self, error, **kwargs):
        self.seen.append(type(error).__name__)


async def test_what_a_trace_shows(service):
    """LangChain has callbacks for retrievers only: a failure of the embeddings is theirs."""
    retriever = InMemoryVectorStore.from_documents(FACTS, embeddings(service)).as_retriever()
    watcher = Watcher()
    config = {"callbacks": [watcher]}
    retriever.invoke("money", config)
    service.faults = {"on": "embeddings", "status": 429}
    for call in (
        lambda: asyncio.to_thread(retriever.invoke, "a", config),
        lambda: retriever.ainvoke("b", config),
    ):
        with pytest.raises(RateLimitError):
            await call()
    own = "OpenAICompatibleEmbeddings"
    assert watcher.seen == [
        ("money", own),
        3,
        ("a", own),
        "RateLimitError",
        ("b", own),
        "RateLimitError",
    ]
