"""An index of one family: made by another model, it gives no neighbours but an error."""

import pytest
from llama_index.core import Document, MockEmbedding, Settings, StorageContext, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import MetadataMode, TextNode
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import BasePydanticVectorStore, VectorStoreQueryResult
from pydantic import Field

from freeproviders import OpenAICompatible
from freeproviders.errors import FamilyMismatchError, UsageError
from freeproviders.testing import replica
from llama_index_freeproviders.embeddings import OpenAICompatibleEmbedding
from llama_index_freeproviders.index import KEY, OneFamilyIndex, StampFamily, check_nodes

OTHERS = {
    "model": {"model_name": "n", "family": "another"},
    "size": {"size": 32},
    "normalisation": {"normalised": False},
    "prefix": {"query_prefix": "find: "},
}


def documents():
    """New ones each time: a pipeline writes into them."""
    return [Document(text=text, metadata={"source": text}) for text in ("a", "b", "c")]


class Plain(BasePydanticVectorStore):
    """A vector store that holds the texts, as those on servers do: its nodes are in a list."""

    stores_text: bool = True
    kept: list = Field(default_factory=list)

    @property
    def client(self):
        return None

    def add(self, nodes, **kwargs):
        self.kept += nodes
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id, **kwargs):
        raise NotImplementedError

    def query(self, query, **kwargs):
        found = self.kept[: query.similarity_top_k]
        return VectorStoreQueryResult(nodes=found, similarities=[1.0] * len(found))


@pytest.fixture(scope="module")
def service():
    with replica(OpenAICompatible) as server:
        yield server


@pytest.fixture
def model(service):
    """Makes models of one family, unless a fact is another."""

    def make(**more):
        more = {"model_name": "m", "base_url": service.base_url, "family": "mine", **more}
        return OpenAICompatibleEmbedding(**more)

    return make


@pytest.mark.parametrize("use_async", [False, True])
def test_nodes_are_stamped_where_no_model_sees_it(service, model, use_async):
    """The texts that are embedded are those of an index without stamps; so are the documents."""
    service.requests.clear()
    given = documents()
    index = OneFamilyIndex.from_documents(given, embed_model=model(), use_async=use_async)
    index.insert(Document(text="d"))
    plain = VectorStoreIndex.from_documents(documents(), embed_model=model())
    plain.insert(Document(text="d"))
    sent = [request.texts for request in service.requests]
    assert sent[: len(sent) // 2] == sent[len(sent) // 2 :]
    found = index.as_retriever(similarity_top_k=9).retrieve("a")
    assert sorted(one.text for one in found) == ["a", "b", "c", "d"]
    for one in found:
        assert one.node.metadata[KEY] == "mine;256;unit;"
        for mode in (MetadataMode.EMBED, MetadataMode.LLM):
            assert KEY not in one.node.get_content(mode)
    assert all(KEY not in document.metadata for document in given)


async def test_nodes_that_are_added_on_a_loop(model):
    index = OneFamilyIndex(nodes=[], embed_model=model())
    nodes = [TextNode(text="a"), TextNode(text="b")]
    await index.ainsert_nodes(nodes)
    found = await index.as_retriever().aretrieve("a")
    assert {one.node.metadata[KEY] for one in found} == {"mine;256;unit;"}
    assert all(KEY not in node.metadata for node in nodes)


@pytest.mark.parametrize("fact", OTHERS)
def test_a_loaded_index_of_another_family_is_refused(model, fact, tmp_path):
    """With both families in the error; the same family goes on, and takes more documents."""
    folder = tmp_path / "index"
    OneFamilyIndex.from_documents(documents(), embed_model=model()).storage_context.persist(str(folder))
    with pytest.raises(FamilyMismatchError) as caught:
        OneFamilyIndex.load(folder, embed_model=model(**OTHERS[fact]))
    own = model(**OTHERS[fact])
    own.get_query_embedding("so that its size is known")
    assert (caught.value.stored, caught.value.own) == ("mine;256;unit;", own.fingerprint)
    index = OneFamilyIndex.load(folder, embed_model=model())
    index.insert(Document(text="d"))
    assert len(index.as_retriever(similarity_top_k=9).retrieve("a")) == 4
    with pytest.raises(FamilyMismatchError):
        index.as_retriever(embed_model=model(**OTHERS[fact]))


@pytest.mark.parametrize("fact", OTHERS)
async def test_a_vector_store_that_others_filled_is_refused_as_it_is_used(model, fact):
    """Before anything is added, and at any query."""
    kept = Plain()
    OneFamilyIndex.from_documents(
        documents(), embed_model=model(), storage_context=StorageContext.from_defaults(vector_store=kept)
    )
    count = len(kept.kept)
    assert count == 3

    def other():
        return OneFamilyIndex.from_vector_store(kept, embed_model=model(**OTHERS[fact]))

    for act in (
        lambda: other().insert(Document(text="d")),
        lambda: other().as_retriever().retrieve("a"),
        lambda: other().as_retriever(vector_store_query_mode="mmr").retrieve("a"),
    ):
        with pytest.raises(FamilyMismatchError, match="mine;256;unit;"):
            act()
    for act in (
        lambda: other().ainsert_nodes([TextNode(text="d")]),
        lambda: other().as_retriever().aretrieve("a"),
    ):
        with pytest.raises(FamilyMismatchError, match="mine;256;unit;"):
            await act()
    assert len(kept.kept) == count
    again = OneFamilyIndex.from_vector_store(kept, embed_model=model())
    again.insert(Document(text="d"))
    assert len(again.as_retriever(similarity_top_k=9).retrieve("a")) == 4


def test_an_index_without_a_family_is_refused(model, tmp_path):
    VectorStoreIndex.from_documents(documents(), embed_model=model()).storage_context.persist(str(tmp_path))
    with pytest.raises(FamilyMismatchError, match="without a family"):
        OneFamilyIndex.load(tmp_path, embed_model=model())


def test_a_model_that_changed_its_size_is_refused(tmp_path):
    """Under the same name, where nobody had said the size before."""
    facts = {"model_name": "m", "family": "mine"}
    with replica(OpenAICompatible, vectors=lambda texts: [[0.6, 0.8]] * len(texts)) as server:
        old = OpenAICompatibleEmbedding(base_url=server.base_url, **facts)
        OneFamilyIndex.from_documents(documents(), embed_model=old).storage_context.persist(str(tmp_path))
    with replica(OpenAICompatible, vectors=lambda texts: [[0.6, 0.0, 0.8]] * len(texts)) as server:
        with pytest.raises(FamilyMismatchError) as caught:
            OneFamilyIndex.load(
                tmp_path, embed_model=OpenAICompatibleEmbedding(base_url=server.base_url, **facts)
            )
    assert (caught.value.stored, caught.value.own) == ("mine;2;unit;", "mine;3;unit;")


def test_a_pipeline_stamps_its_nodes(model):
    """Nodes that bring their vectors are taken where they are stamped, of the right family."""
    made = IngestionPipeline(transformations=[StampFamily.of(model()), model()]).run(documents=documents())
    check_nodes(made, model())
    index = OneFamilyIndex(made, embed_model=model())
    assert len(index.as_retriever(similarity_top_k=9).retrieve("a")) == 3
    with pytest.raises(FamilyMismatchError):
        OneFamilyIndex(made, embed_model=model(normalised=False))
    bare = IngestionPipeline(transformations=[model()]).run(documents=documents())
    with pytest.raises(FamilyMismatchError, match=r"list of nodes .*without a family.* StampFamily"):
        OneFamilyIndex(bare, embed_model=model())
    stamp = StampFamily(fingerprint="x;1;unit;")
    assert StampFamily.from_dict(stamp.to_dict()).fingerprint == "x;1;unit;"


def test_one_of_several_indices_is_loaded(model, tmp_path):
    storage = StorageContext.from_defaults(vector_store=SimpleVectorStore())
    one, two = (
        OneFamilyIndex.from_documents(documents(), embed_model=model(), storage_context=storage) for _ in "ab"
    )
    storage.persist(str(tmp_path))
    with pytest.raises(UsageError, match=one.index_id):
        OneFamilyIndex.load(tmp_path, embed_model=model())
    assert OneFamilyIndex.load(tmp_path, embed_model=model(), index_id=two.index_id).index_id == two.index_id


def test_models_whose_family_nobody_knows(monkeypatch):
    with pytest.raises(UsageError, match="MockEmbedding"):
        OneFamilyIndex.from_documents(documents(), embed_model=MockEmbedding(embed_dim=4))
    monkeypatch.setattr(Settings, "_embed_model", MockEmbedding(embed_dim=4))
    with pytest.raises(UsageError, match="MockEmbedding"):
        OneFamilyIndex(nodes=[])
