"""Embedding models over the offline floor, a file of the user's own and several services."""

import asyncio
import json
import pickle

import pytest
from llama_index.core.embeddings.loading import load_embed_model
from llama_index.core.storage.kvstore import SimpleKVStore

from freeproviders import OpenAICompatible
from freeproviders.embeddings.offline import OfflineEmbedder
from freeproviders.errors import (
    EmbeddedModelError,
    FamilyMismatchError,
    ProviderError,
    UnknownModelError,
    UsageError,
)
from freeproviders.testing import checksum_vector, replica
from llama_index_freeproviders import (
    EmbeddedEmbedding,
    FreeProvidersEmbedding,
    OfflineEmbedding,
    OpenAICompatibleEmbedding,
    WordLlamaEmbedding,
)

SIZE = 256
SECRET = "sk-very-secret"


def rows_of(texts, model="house"):
    return [pytest.approx(checksum_vector(text, SIZE, model), abs=1e-6) for text in texts]


def member(server, **fields):
    fields = {"base_url": server.base_url, "family": "house", "retry": 0, **fields}
    return OpenAICompatibleEmbedding("house", **fields)


# --- offline --------------------------------------------------------------------------------------


async def test_the_floor_gives_the_cores_vectors_in_every_way():
    texts = ["A cat sat on the mat.", "Rates were raised.", ""]
    core = OfflineEmbedder()
    rows = (await core.embed(texts)).vectors.lists()
    for cls in (OfflineEmbedding, WordLlamaEmbedding):
        model = cls()
        assert model.get_text_embedding_batch(texts) == rows
        assert await model.aget_text_embedding_batch(texts) == rows
        assert [model.get_query_embedding(text) for text in texts] == rows
        assert model.fingerprint == core.family.fingerprint
        assert model.model_name == core.model


def test_an_older_name_loads_what_was_saved_under_it():
    saved = {"model_name": "wordllama-l2-supercat-256", "embed_batch_size": 256, "num_workers": None}
    for name, cls in (
        ("freeproviders_word_llama_embedding", WordLlamaEmbedding),
        ("freeproviders_offline_embedding", OfflineEmbedding),
    ):
        model = load_embed_model({**saved, "class_name": name})
        assert type(model) is cls
        assert model.to_dict()["class_name"] == name
        assert pickle.loads(pickle.dumps(model)).to_dict() == model.to_dict()


def test_the_floor_has_one_model_and_no_options():
    with pytest.raises(UnknownModelError, match="all-minilm"):
        OfflineEmbedding("all-minilm")
    with pytest.raises(UsageError, match="api_key"):
        OfflineEmbedding(api_key=SECRET)


# --- a file ---------------------------------------------------------------------------------------


def test_a_file_that_is_none_is_told_at_once(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"no model")
    with pytest.raises(EmbeddedModelError, match=r"model\.gguf"):
        EmbeddedEmbedding(model_path=path)
    with pytest.raises(UsageError, match="Unknown argument 'base_url'"):
        EmbeddedEmbedding(model_path=path, api_base="http://127.0.0.1:9")


async def test_a_file_of_ones_own(tmp_path):
    pytest.importorskip("xllamacpp", reason="the engine is not installed here")
    from freeproviders.embedded.server import running_server
    from tests.embedded.tiny_bert import SIZE, WORDS, written

    model = EmbeddedEmbedding(model_path=written(tmp_path), slots=2, num_workers=2)
    try:
        texts = [f"{WORDS[0]} {word}" for word in WORDS[:20]]
        vectors = await model.aget_text_embedding_batch(texts)
        assert [len(vector) for vector in vectors] == [SIZE] * 20
        assert await asyncio.to_thread(model.get_text_embedding_batch, texts) == [
            pytest.approx(vector, abs=1e-5) for vector in vectors
        ]
        again = load_embed_model(json.loads(model.to_json()))
        assert type(again) is EmbeddedEmbedding
        assert again.fingerprint == model.fingerprint
        assert await again.aget_query_embedding(texts[3]) == pytest.approx(vectors[3], abs=1e-5)
    finally:
        server = running_server(model.core._settings)
        if server is not None:
            await asyncio.to_thread(server.close)


# --- several --------------------------------------------------------------------------------------


async def test_the_next_member_is_asked_where_one_fails():
    with (
        replica(OpenAICompatible, faults={"status": 503, "on": "embeddings"}) as busy,
        replica(OpenAICompatible) as other,
    ):
        model = FreeProvidersEmbedding(member(busy), member(other), embed_batch_size=10)
        texts = [f"text {place}" for place in range(30)]
        assert await model.aget_text_embedding_batch(texts) == rows_of(texts)
        assert model.get_text_embedding_batch(texts) == rows_of(texts)
        assert model.get_query_embedding("a") == rows_of(["a"])[0]
        assert {len(request.texts) for request in other.requests} == {10, 1}
        assert model.fingerprint == f"house;{SIZE};unit;"


def test_members_of_two_families_are_refused_with_both_named():
    with replica(OpenAICompatible) as server:
        with pytest.raises(FamilyMismatchError, match=r"house;.*wordllama"):
            FreeProvidersEmbedding(member(server), "offline")


def test_a_choice_is_saved_with_its_members_and_no_secrets():
    with replica(OpenAICompatible, api_key=SECRET) as server:
        model = FreeProvidersEmbedding(members=[member(server, api_key=SECRET)], wait_up_to=0)
        assert model.get_text_embedding("a") == rows_of(["a"])[0]
        saved = model.to_json()
        assert SECRET not in saved
        assert SECRET not in repr(model)
        again = load_embed_model(json.loads(saved))
        assert [type(one) for one in again.members] == [OpenAICompatibleEmbedding]
        assert again.to_dict() == model.to_dict()
        with pytest.raises(ProviderError):
            again.get_text_embedding("a")  # without the key
        assert pickle.loads(pickle.dumps(model)).get_text_embedding("a") == rows_of(["a"])[0]
    assert FreeProvidersEmbedding().fingerprint == OfflineEmbedding().fingerprint
    assert FreeProvidersEmbedding("offline").to_dict()["members"] == ["offline"]


@pytest.mark.parametrize(
    ("members", "fields", "match"),
    [
        ((3,), {}, "A member is"),
        (("no-such-service",), {}, "no-such-service"),
        (("offline",), {"members": ["offline"]}, "not both"),
        (("offline",), {"family": "bge-m3"}, "not both"),
        ((), {"family": "nobody-has-it"}, "no family 'nobody-has-it'"),
        ((), {"temperature": 0}, "temperature"),
    ],
)
def test_what_cannot_work_is_said_at_once(members, fields, match):
    with pytest.raises(UsageError, match=match):
        FreeProvidersEmbedding(*members, **fields)


# --- a cache of LlamaIndex keeps to one family -------------------------------------------------------


@pytest.fixture(scope="module")
def service():
    with replica(OpenAICompatible) as server:
        yield server


@pytest.mark.parametrize(
    "other",
    [
        {"dimensions": 32},
        {"family": "another"},
        {"normalised": False},
        {"document_prefix": "passage: "},
        {"query_prefix": "query: "},
    ],
    ids=str,
)
async def test_a_cache_with_another_family_is_refused(service, other):
    store = SimpleKVStore()
    first = member(service, embeddings_cache=store)
    rows = first.get_text_embedding_batch(["a", "b"])
    second = member(service, embeddings_cache=store, **other)
    for ask in (second.get_text_embedding, second.get_query_embedding):
        with pytest.raises(FamilyMismatchError) as caught:
            ask("a")
        assert caught.value.stored == first.fingerprint
    with pytest.raises(FamilyMismatchError):
        await second.aget_text_embedding_batch(["new"])
    assert await first.aget_text_embedding_batch(["a", "b"]) == rows
    assert store.get("new", collection="embeddings") is None


def test_a_cache_with_a_family_of_nobody_is_refused(service):
    """What another program has written there is no fingerprint of ours."""
    store = SimpleKVStore()
    store.put("fingerprint", {"fingerprint": "of another program"}, collection="embeddings_family")
    with pytest.raises(FamilyMismatchError, match="of another program"):
        member(service, embeddings_cache=store).get_text_embedding("a")


async def test_a_cache_filled_by_nobody_knows_whom_is_refused(service):
    store = SimpleKVStore()
    store.put("a", {"x": [1.0, 0.0]}, collection="embeddings")
    model = member(service, embeddings_cache=store)
    with pytest.raises(FamilyMismatchError, match="without a family"):
        model.get_text_embedding("a")
    with pytest.raises(FamilyMismatchError, match="without a family"):
        await model.aget_text_embedding_batch(["b", "a"])


def test_a_cache_keeps_roles_apart_that_differ(service):
    store = SimpleKVStore()
    model = member(service, embeddings_cache=store, query_prefix="q: ", document_prefix="d: ")
    for _ in range(2):
        assert model.get_text_embedding("a") == rows_of(["d: a"])[0]
        assert model.get_query_embedding("a") == rows_of(["q: a"])[0]
