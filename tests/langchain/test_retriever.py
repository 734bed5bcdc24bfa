"""Search without a network as a LangChain retriever: LangChain's own suite, and what it does not ask."""

import inspect
import pickle
import re
import textwrap

import pytest
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_tests.integration_tests import RetrieversIntegrationTests
from pydantic import ValidationError

from freeproviders.testing import replica
from langchain_freeproviders import ChatFlowGpt, OfflineRetriever
from langchain_freeproviders.errors import MissingDependencyError, UsageError

DOCUMENTS = [
    Document("The ferry leaves for the island at nine.", metadata={"source": "port.md"}, id="a"),
    Document("Error E42: the pump is blocked.", metadata={"source": "manual.md", "page": 7}, id="b"),
    Document("Error E43: the valve is open.", metadata={"source": "manual.md", "page": 8}, id="c"),
    Document("Cats sleep for sixteen hours a day.", metadata={"source": "pets.md"}, id="d"),
]


class TestStandard(RetrieversIntegrationTests):
    @property
    def retriever_constructor(self):
        return OfflineRetriever

    @property
    def retriever_constructor_params(self):
        return {"documents": DOCUMENTS}

    @property
    def retriever_query_example(self):
        return "What does E42 mean?"


@pytest.fixture(scope="module")
def retriever():
    return OfflineRetriever.from_documents(DOCUMENTS, k=2)


async def test_documents_come_back_with_all_they_had(retriever):
    best, other = retriever.invoke("What does E42 mean?")
    assert (best.id, best.page_content) == ("b", DOCUMENTS[1].page_content)
    score = best.metadata.pop("relevance_score")
    assert 1 >= score > other.metadata["relevance_score"]
    assert best.metadata == {"source": "manual.md", "page": 7} == DOCUMENTS[1].metadata
    assert (await retriever.ainvoke("What does E42 mean?"))[0].metadata["relevance_score"] == score


def test_meaning_finds_what_no_word_does(retriever):
    assert retriever.invoke("When does the boat go?", k=1)[0].id == "a"
    assert [found[0].id for found in retriever.batch(["E43", "How long do pets rest?"])] == ["c", "d"]


async def test_it_is_made_of_texts_and_on_a_thread():
    how = {"metadatas": [{"n": 1}, {"n": 2}], "ids": ["x", "y"], "k": 1}
    for made in (
        OfflineRetriever.from_texts(["a pump", "a cat"], **how),
        await OfflineRetriever.afrom_texts(["a pump", "a cat"], **how),
        await OfflineRetriever.afrom_documents(
            [Document("a pump"), Document("a cat", metadata={"n": 2}, id="y")], k=1
        ),
    ):
        (found,) = made.invoke("cat")
        assert (found.id, found.metadata["n"]) == ("y", 2)
    with pytest.raises(ValueError, match="shorter"):
        OfflineRetriever.from_texts(["a", "b"], ids=["x"])


def test_metadata_may_count_as_text():
    documents = [
        Document("It opens at eight.", metadata={"title": "Library"}),
        Document("It opens at nine.", metadata={"title": "Swimming pool"}),
        Document("It opens at ten.", metadata={}),
    ]
    plain = OfflineRetriever.from_documents(documents, k=1)
    titled = OfflineRetriever.from_documents(documents, k=1, with_metadata=["title"])
    (found,) = titled.invoke("When does the pool open?")
    assert found.page_content == "It opens at nine."
    assert (
        found.metadata["relevance_score"]
        > plain.invoke("When does the pool open?")[0].metadata["relevance_score"]
    )


def test_it_is_pickled_and_copied(retriever):
    for again in (pickle.loads(pickle.dumps(retriever)), retriever.model_copy(), retriever.with_retry()):
        assert again.invoke("E42") == retriever.invoke("E42")


def test_documents_are_not_in_the_repr(retriever):
    assert "ferry" not in repr(retriever)


def test_mistakes_are_said(monkeypatch, retriever):
    with pytest.raises(UsageError, match="k must be 1 or more"):
        retriever.invoke("E42", k=0)
    with pytest.raises(ValidationError, match="k"):
        OfflineRetriever.from_documents(DOCUMENTS, k=0)
    monkeypatch.setitem(__import__("sys").modules, "bm25s", None)
    with pytest.raises(MissingDependencyError, match=r"\.\[rag\]"):
        OfflineRetriever.from_documents(DOCUMENTS)


async def test_it_works_in_a_chain_with_a_source(retriever):
    prompt = ChatPromptTemplate.from_template("Answer by {context}\n\n{question}")
    with replica(
        "flow-gpt", answer=lambda request: "Blocked." if "E42: the pump" in str(request) else "?"
    ) as service:
        answer = prompt | ChatFlowGpt(base_url=service.base_url) | StrOutputParser()
        chain = {"context": retriever, "question": RunnablePassthrough()} | RunnablePassthrough.assign(
            answer=answer
        )
        told = chain.invoke("What does E42 mean?")
        assert (told["answer"], told["context"][0].metadata["source"]) == ("Blocked.", "manual.md")
        assert (await chain.ainvoke("What does E42 mean?"))["answer"] == "Blocked."


def test_the_example_runs(capsys):
    block = re.search(r"```python\n(.*?)```", inspect.cleandoc(OfflineRetriever.__doc__), re.DOTALL)[1]
    exec(textwrap.dedent(block), {})  # noqa: S102 - our own documentation
    shown = capsys.readouterr().out
    assert "ferry" in shown
    assert "pump" in shown
