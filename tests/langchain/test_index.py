"""A vector store of one family: made by another model, it gives no neighbours but an error."""

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

from freeproviders import OpenAICompatible
from freeproviders.testing import replica
from langchain_freeproviders import OpenAICompatibleEmbeddings
from langchain_freeproviders.errors import FamilyMismatchError, UsageError
from langchain_freeproviders.index import KEY, OneFamilyVectorStore, check_documents, stamped

DOCUMENTS = [Document(page_content=text, metadata={"source": text}) for text in ("a", "b", "c")]
OTHERS = {
    "model": {"model": "n", "family": "another"},
    "size": {"size": 32},
    "normalisation": {"normalised": False},
    "prefix": {"query_prefix": "find: "},
}


class Plain(VectorStore):
    """A store of which nothing is known but what every store has: its documents are in a list."""

    def __init__(self, embedding, kept=None):
        self.embedding = embedding
        self.kept = [] if kept is None else kept

    @property
    def embeddings(self):
        return self.embedding

    def add_texts(self, texts, metadatas=None, *, ids=None, **kwargs):
        texts = list(texts)
        self.embedding.embed_documents(texts)
        self.kept += [
            Document(page_content=text, metadata=one) for text, one in zip(texts, metadatas, strict=True)
        ]
        return texts

    def similarity_search(self, query, k=4, **kwargs):
        self.embedding.embed_query(query)
        return self.kept[:k]

    def delete(self, ids=None, **kwargs):
        self.kept[:] = [one for one in self.kept if one.page_content not in ids]

    @classmethod
    def from_texts(cls, texts, embedding, metadatas=None, **kwargs):
        raise NotImplementedError


@pytest.fixture(scope="module")
def service():
    with replica(OpenAICompatible) as server:
        yield server


@pytest.fixture
def embeddings(service):
    """Makes embeddings of one family, unless a fact is another."""

    def make(**more):
        return OpenAICompatibleEmbeddings(
            **{"model": "m", "base_url": service.base_url, "family": "mine", **more}
        )

    return make


@pytest.mark.parametrize("kind", [InMemoryVectorStore, Plain])
async def test_what_is_added_is_stamped_and_found(embeddings, kind):
    """By every way in and out; the caller's documents stay as they were."""
    store = OneFamilyVectorStore(kind(embeddings()))
    store.add_documents(DOCUMENTS)
    await store.aadd_documents([Document(page_content="d")])
    store.add_texts(["e"], [{"source": "e"}])
    await store.aadd_texts(["f"])
    assert all(KEY not in document.metadata for document in DOCUMENTS)
    for found in (
        store.similarity_search("a", k=9),
        await store.asimilarity_search("a", k=9),
        store.as_retriever(search_kwargs={"k": 9}).invoke("a"),
        await store.as_retriever(search_kwargs={"k": 9}).ainvoke("a"),
    ):
        assert sorted(one.page_content for one in found) == list("abcdef")
        assert {one.metadata[KEY] for one in found} == {"mine;256;unit;"}
    store.delete(store.add_texts(["g"]))
    assert len(store.similarity_search("a", k=9)) == 6


@pytest.mark.parametrize("fact", OTHERS)
def test_a_loaded_store_of_another_family_is_refused(embeddings, fact, tmp_path):
    """As it is wrapped, with both families in the error; the same family goes on."""
    path = str(tmp_path / "store.json")
    store = OneFamilyVectorStore(InMemoryVectorStore(embeddings()))
    store.add_documents(DOCUMENTS)
    store.store.dump(path)
    other = embeddings(**OTHERS[fact])
    other.embed_query("so that its size is known")
    with pytest.raises(FamilyMismatchError) as caught:
        OneFamilyVectorStore(InMemoryVectorStore.load(path, other))
    assert (caught.value.stored, caught.value.own) == ("mine;256;unit;", other.fingerprint)
    again = OneFamilyVectorStore(InMemoryVectorStore.load(path, embeddings()))
    assert [one.page_content for one in again.similarity_search("b", k=1)]


@pytest.mark.parametrize("fact", OTHERS)
async def test_a_store_of_which_nothing_is_known_is_refused_as_it_is_used(embeddings, fact):
    """Before anything is added, and at any search."""
    kept = []
    OneFamilyVectorStore(Plain(embeddings(), kept)).add_documents(DOCUMENTS)

    def other():
        return OneFamilyVectorStore(Plain(embeddings(**OTHERS[fact]), kept))

    for act in (
        lambda: other().add_documents(DOCUMENTS),
        lambda: other().add_texts(["a"]),
        lambda: other().similarity_search("a"),
        lambda: other().as_retriever().invoke("a"),
    ):
        with pytest.raises(FamilyMismatchError, match="mine;256;unit;"):
            act()
    for act in (
        lambda: other().aadd_documents(DOCUMENTS),
        lambda: other().aadd_texts(["a"]),
        lambda: other().asimilarity_search("a"),
        lambda: other().as_retriever().ainvoke("a"),
    ):
        with pytest.raises(FamilyMismatchError, match="mine;256;unit;"):
            await act()
    assert len(kept) == 3


@pytest.mark.parametrize("way", ["similarity", "mmr", "similarity_score_threshold"])
async def test_every_kind_of_search_is_checked(embeddings, way):
    """A document of another family that came into the store behind the wrapper's back."""
    inner = InMemoryVectorStore(embeddings())
    inner._select_relevance_score_fn = lambda: lambda score: min(1.0, (score + 1) / 2)
    store = OneFamilyVectorStore(inner)
    store.add_documents(DOCUMENTS)
    kwargs = {"score_threshold": -1.0} if "threshold" in way else {}
    assert len(store.search("a", way, k=9, **kwargs)) == 3
    inner.add_documents([Document(page_content="x", metadata={KEY: "other;256;unit;"})])
    with pytest.raises(FamilyMismatchError, match="other;256;unit;"):
        store.search("a", way, k=9, **kwargs)
    with pytest.raises(FamilyMismatchError):
        await store.asearch("a", way, k=9, **kwargs)
    vector = embeddings().embed_query("a")
    for act in (store.similarity_search_by_vector, store.max_marginal_relevance_search_by_vector):
        with pytest.raises(FamilyMismatchError):
            act(vector, 9)
    with pytest.raises(FamilyMismatchError):
        await store.asimilarity_search_by_vector(vector, 9)
    with pytest.raises(FamilyMismatchError):
        store.similarity_search_with_score("a", 9)
    with pytest.raises(FamilyMismatchError):
        await store.asimilarity_search_with_score("a", 9)


def test_documents_without_a_family_are_refused(embeddings):
    inner = InMemoryVectorStore(embeddings())
    inner.add_documents(DOCUMENTS)
    with pytest.raises(FamilyMismatchError, match="without a family"):
        OneFamilyVectorStore(inner)


async def test_a_model_that_changed_its_size_is_refused():
    """Under the same name, where nobody had said the size before."""
    with replica(OpenAICompatible, vectors=lambda texts: [[0.6, 0.8]] * len(texts)) as server:
        old = OneFamilyVectorStore(
            InMemoryVectorStore(
                OpenAICompatibleEmbeddings(model="m", base_url=server.base_url, family="mine")
            )
        )
        old.add_documents(DOCUMENTS)
    with replica(OpenAICompatible, vectors=lambda texts: [[0.6, 0.0, 0.8]] * len(texts)) as server:
        new = InMemoryVectorStore(
            OpenAICompatibleEmbeddings(model="m", base_url=server.base_url, family="mine")
        )
        new.store = old.store.store
        store = OneFamilyVectorStore(new)
        for _ in range(2):
            with pytest.raises(FamilyMismatchError) as caught:
                store.similarity_search("a")
            with pytest.raises(FamilyMismatchError) as caught:
                await store.asimilarity_search("a")
    assert (caught.value.stored, caught.value.own) == ("mine;2;unit;", "mine;3;unit;")


def test_by_hand(embeddings):
    """Stamps and checks, for whatever is no vector store."""
    made = stamped(DOCUMENTS, embeddings())
    assert made[0].metadata == {"source": "a", KEY: "mine;256;unit;"}
    check_documents(made, embeddings())
    with pytest.raises(FamilyMismatchError):
        check_documents(made, embeddings(normalised=False))
    with pytest.raises(FamilyMismatchError):
        check_documents(DOCUMENTS, embeddings())


def test_embeddings_whose_family_nobody_knows():
    with pytest.raises(UsageError, match="DeterministicFakeEmbedding"):
        OneFamilyVectorStore(InMemoryVectorStore(DeterministicFakeEmbedding(size=4)))


def test_from_texts(embeddings):
    store = OneFamilyVectorStore.from_texts(["a", "b"], embeddings(), [{"n": 1}, {"n": 2}])
    assert store.similarity_search("a", k=1)[0].metadata[KEY] == "mine;256;unit;"
