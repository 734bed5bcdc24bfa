"""Offline embeddings, those of several services, and those of a model's file, in LangChain's interface."""

import asyncio
import copy
import inspect
import json
import pickle
from pathlib import Path

import pytest
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.load import dumpd, load

from freeproviders import OpenAICompatible, errors
from freeproviders.configuration import CONFIGURATION
from freeproviders.embeddings import (
    EmbeddedEmbedder,
    FreeProvidersEmbedder,
    OfflineEmbedder,
    OpenAICompatibleEmbedder,
)
from freeproviders.testing import checksum_vector, replica
from langchain_freeproviders import (
    EmbeddedEmbeddings,
    FreeProvidersEmbeddings,
    OfflineEmbeddings,
    OpenAICompatibleEmbeddings,
)
from tests.embedded.tiny_bert import SIZE, WORDS, written

TEXTS = ["A cat sat on the mat.", "Rates were raised.", ""]


def saved(embeddings):
    """What becomes of embeddings that are saved as JSON and loaded again."""
    text = json.dumps(dumpd(embeddings))
    classes = [FreeProvidersEmbeddings, OfflineEmbeddings, OpenAICompatibleEmbeddings, EmbeddedEmbeddings]
    return load(json.loads(text), allowed_objects=classes, valid_namespaces=["langchain_freeproviders"])


WAYS = [
    saved,
    lambda embeddings: pickle.loads(pickle.dumps(embeddings)),
    copy.copy,
    copy.deepcopy,
    lambda embeddings: embeddings.model_copy(deep=True),
]


@pytest.mark.parametrize(
    ("cls", "embedder"),
    [
        (OpenAICompatibleEmbeddings, OpenAICompatibleEmbedder),
        (EmbeddedEmbeddings, EmbeddedEmbedder),
        (FreeProvidersEmbeddings, FreeProvidersEmbedder),
        (OfflineEmbeddings, OfflineEmbedder),
    ],
)
def test_every_keyword_of_an_embedder_is_an_argument(cls, embedder):
    """Those of the constructor and of a call, as `inspect` shows them."""
    renamed = {"retry": "max_retries", "options": "model_kwargs"}
    keywords = set(inspect.signature(embedder).parameters) - {"configuration"}
    keywords |= set(inspect.signature(embedder.embed).parameters) - {"self", "texts", "role"}
    shown = inspect.signature(cls).parameters
    assert {renamed.get(name, name) for name in keywords} <= set(shown)
    if "configuration" in inspect.signature(embedder).parameters:
        assert {renamed.get(name, name) for name in CONFIGURATION} <= set(shown)


# --- offline ---


def test_offline_vectors_are_the_cores():
    embeddings = OfflineEmbeddings()
    vectors = embeddings.embed_documents(TEXTS)
    assert vectors == OfflineEmbedder().embed_sync(TEXTS).vectors.lists()
    assert embeddings.embed_query(TEXTS[0]) == vectors[0]
    assert asyncio.run(embeddings.aembed_documents(TEXTS)) == vectors
    assert embeddings.fingerprint == OfflineEmbedder().family.fingerprint
    for way in WAYS:
        other = way(embeddings)
        assert other == embeddings
        assert other.embed_query(TEXTS[0]) == vectors[0]


@pytest.mark.parametrize(
    "wrong", [{"base_url": "http://127.0.0.1:1"}, {"dimensions": 3}, {"model": "another"}]
)
def test_offline_embeddings_have_nothing_to_configure(wrong):
    with pytest.raises(ModelInvalidRequestError):
        OfflineEmbeddings(**wrong)


# --- several services ---


@pytest.fixture
def two():
    def vectors(texts):
        return [checksum_vector(text, 16) for text in texts]

    with replica(OpenAICompatible, vectors=vectors) as one, replica(OpenAICompatible, vectors=vectors) as two:
        yield one, two


def member(server, **more):
    more = {"model": "m", "family": "one", "max_retries": 0, "size": 16, **more}
    return OpenAICompatibleEmbeddings(base_url=server.base_url, **more)


async def test_the_next_service_takes_over(two):
    first, other = two
    embeddings = FreeProvidersEmbeddings(members=[member(first), member(other, model="another name")])
    texts = [f"text {place}" for place in range(10)]
    rows = [checksum_vector(text, 16) for text in texts]
    assert embeddings.embed_documents(texts) == [pytest.approx(row, abs=1e-6) for row in rows]
    assert not other.requests
    first.faults = {"on": "embeddings", "status": 503}
    assert await embeddings.aembed_documents(texts) == [pytest.approx(row, abs=1e-6) for row in rows]
    assert other.requests[0].model == "another name"
    assert embeddings.fingerprint == "one;16;unit;"


@pytest.mark.parametrize(
    "change",
    [{"family": "two"}, {"size": 8}, {"normalised": False}, {"query_prefix": "query: "}, {"family": None}],
    ids=str,
)
def test_another_family_is_refused_with_both_fingerprints(two, change):
    one, other = member(two[0]), member(two[1], **change)
    with pytest.raises(errors.FamilyMismatchError) as caught:
        FreeProvidersEmbeddings(members=[one, other])
    assert isinstance(caught.value, ModelInvalidRequestError)
    assert one.fingerprint in str(caught.value)
    assert other.fingerprint in str(caught.value)
    assert not two[0].requests + two[1].requests


def test_members_by_name_by_our_classes_and_by_the_cores():
    embeddings = FreeProvidersEmbeddings(members=["offline", OfflineEmbeddings(), OfflineEmbedder()])
    assert embeddings.fingerprint == FreeProvidersEmbeddings().fingerprint == OfflineEmbeddings().fingerprint
    assert isinstance(embeddings._embedder, FreeProvidersEmbedder)
    assert len(embeddings._embedder.members) == 3
    assert pickle.loads(pickle.dumps(embeddings)).embed_query("a") == OfflineEmbeddings().embed_query("a")


def test_several_services_are_saved_and_copied(two, tmp_path):
    embeddings = FreeProvidersEmbeddings(
        members=[member(server) for server in two], cache=tmp_path / "vectors.db", confirmed=["gemini"]
    )
    vector = embeddings.embed_query("a")
    for way in WAYS:
        other = way(embeddings)
        assert other.members == embeddings.members
        assert (str(other.cache), list(other.confirmed)) == (str(embeddings.cache), ["gemini"])
        assert other.embed_query("a") == vector
    assert sum(len(server.requests) for server in two) == 1  # the others were kept


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"members": ["offlin"]}, "no service 'offlin'"),
        ({"members": ["offline"], "family": "bge-m3"}, "Pass members or family"),
        ({"family": "no such family"}, "has no family"),
        ({"service": "gemini"}, "Unknown argument 'service'"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused(wrong, words):
    with pytest.raises(ModelInvalidRequestError, match=words):
        FreeProvidersEmbeddings(**wrong)


# --- a model's file ---


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return written(tmp_path_factory.mktemp("models"))


def test_a_file_is_looked_at_when_the_object_is_made(path, monkeypatch):
    """And nothing is started; what is saved has the path as text."""
    embeddings = EmbeddedEmbeddings(model_path=path, query_prefix="query: ", window=16)
    assert embeddings.model == "tiny-bert"
    assert embeddings.family.size == SIZE
    assert embeddings.fingerprint.endswith("query 'query: '")
    assert dumpd(embeddings)["kwargs"]["model_path"] == str(path)
    for way in WAYS:
        assert Path(way(embeddings).model_path) == path
    monkeypatch.delenv("FREEPROVIDERS_EMBEDDING_MODEL", raising=False)
    for wrong, words in (
        ({}, "GGUF file of your own"),
        ({"model_path": path, "window": 10**6}, "window=1000000 is more"),
        ({"model_path": path, "base_url": "http://127.0.0.1:1"}, "Unknown argument 'base_url'"),
    ):
        with pytest.raises(ModelInvalidRequestError, match=words):
            EmbeddedEmbeddings(**wrong)


async def test_vectors_of_a_file(path):
    """By the real engine, sync and async, which all objects with the same settings share."""
    pytest.importorskip("xllamacpp", reason="the engine is not installed here")
    from freeproviders.embedded.server import running_server

    embeddings = EmbeddedEmbeddings(model_path=path, chunk_size=2)
    texts = [f"{WORDS[place]} {WORDS[place + 1]}" for place in range(5)]
    try:
        vectors = await embeddings.aembed_documents(texts)
        assert [len(vector) for vector in vectors] == [SIZE] * 5
        again = await asyncio.to_thread(copy.copy(embeddings).embed_documents, texts)
        assert again == [pytest.approx(vector, abs=1e-5) for vector in vectors]
    finally:
        assert isinstance(embeddings._embedder, EmbeddedEmbedder)
        server = running_server(embeddings._embedder._settings)
        assert server is not None
        await asyncio.to_thread(server.close)
