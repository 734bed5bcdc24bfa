"""Vectors of services over HTTP, asked at replicas: each text's own, through faults and refusals."""

import asyncio
import pickle

import pytest

from freeproviders import OpenAICompatible, Quota
from freeproviders.catalogue.rows import Limit
from freeproviders.embeddings import OpenAICompatibleEmbedder
from freeproviders.errors import (
    AuthenticationError,
    BadRequestError,
    BadTextsError,
    ContextOverflowError,
    FamilyMismatchError,
    MalformedVectorError,
    MissingKeyError,
    NotFoundError,
    ProviderConnectionError,
    QuotaSpentError,
    UsageError,
)
from freeproviders.retry import Retry
from freeproviders.testing import checksum_vector, replica

QUICK = Retry(first=0.01, longest=0.02)
SIZE = 256


def rows_of(texts, size=SIZE, model="m", **more):
    return [checksum_vector(text, size, model, **more) for text in texts]


def close(vectors, rows):
    """Whether vectors are the rows, but for the last bits of bringing them to length 1."""
    assert len(vectors) == len(rows)
    pairs = zip(vectors, rows, strict=True)
    return all(vector.tolist() == pytest.approx(row, abs=1e-6) for vector, row in pairs)


@pytest.fixture(scope="module")
def service():
    with replica(OpenAICompatible) as server:
        yield server


def embedder(server, model="m", **more):
    return OpenAICompatibleEmbedder(model, base_url=server.base_url, **{"retry": QUICK, **more})


def test_each_text_has_its_own_vector(service):
    """In order, of length 1, in requests of the size that was asked for."""
    service.requests.clear()
    texts = [f"text number {place}" for place in range(205)]
    result = embedder(service, batch_size=20).embed_sync(texts)
    assert close(result.vectors, rows_of(texts))
    assert [len(request.texts) for request in service.requests].count(20) == 10
    assert result.family.fingerprint == f"{service.base_url.split('/')[2]}/m;{SIZE};unit;"
    assert result.usage.input_tokens > 600
    assert not result.usage.estimated


def test_vectors_are_left_as_they_come_where_that_is_asked_for(service):
    vectors = embedder(service, normalised=False).embed_sync(["a", "b"]).vectors
    assert vectors.lists() == rows_of(["a", "b"])


def test_another_size_is_asked_for(service):
    result = embedder(service, size=32).embed_sync("a")
    assert close(result.vectors, rows_of(["a"], 32))
    assert result.family.size == 32


def test_prefixes_of_the_roles_are_sent_and_are_of_the_family(service):
    """A query with another prefix is of another family."""
    service.requests.clear()
    model = embedder(service, query_prefix="query: ", document_prefix="passage: ")
    model.embed_sync("a")
    result = model.embed_sync("a", role="query")
    assert [request.texts for request in service.requests] == [["passage: a"], ["query: a"]]
    assert result.family.fingerprint.endswith(";document 'passage: ', query 'query: '")
    with pytest.raises(FamilyMismatchError, match="'passage: '"):
        result.family.check(embedder(service).family.with_size(SIZE).fingerprint, where="The index")


async def test_on_many_loops_and_at_the_same_time(service):
    """One object serves calls side by side, and sync calls from a thread."""
    model = embedder(service)
    results = await asyncio.gather(
        *(model.embed([f"{call} {place}" for place in range(9)]) for call in range(9)),
        asyncio.to_thread(model.embed_sync, "sync"),
    )
    for call, result in enumerate(results[:9]):
        assert close(result.vectors, rows_of([f"{call} {place}" for place in range(9)]))
    assert close(results[9].vectors, rows_of(["sync"]))


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 429, "retry_after": 0},
        {"cut": 100},
        {"cut": 0},
        {"status": 500},
    ],
    ids=str,
)
def test_a_fault_is_asked_through(fault):
    """Whatever it is, the texts have their vectors after it."""
    on, good = {"on": "embeddings", **fault}, {"on": "embeddings"}
    with replica(OpenAICompatible, faults=[on, good, on]) as server:
        texts = [f"text {place}" for place in range(30)]
        model = embedder(server, batch_size=10, concurrency=1)
        assert close(model.embed_sync(texts).vectors, rows_of(texts))
        assert len(server.requests) == 5


def test_one_bad_text_is_named_and_the_others_are_kept():
    """The replica refuses texts above its window; what it says of the one is in the error."""
    long = "word " * 9000
    with replica(OpenAICompatible) as server:
        texts = [*(f"text {place}" for place in range(20)), long, *(f"more {place}" for place in range(20))]
        with pytest.raises(BadTextsError, match=r"1 of 41 texts got no vector: 20\.") as caught:
            embedder(server).embed_sync(texts)
    error = caught.value
    assert isinstance(error.errors[20], BadRequestError)
    vectors = error.embeddings.vectors
    assert close(vectors[:20], rows_of(texts[:20]))
    assert close(vectors[21:], rows_of(texts[21:]))
    assert not any(vectors[20])
    again = pickle.loads(pickle.dumps(error))
    assert again.errors.keys() == {20}
    assert again.embeddings is None


def test_a_vector_that_is_none_is_one_texts_fault():
    """NaN for one text is not asked for again and again, and takes nobody's vector."""

    def vectors(texts):
        return [[float("nan")] * 8 if "odd" in text else [1.0] * 8 for text in texts]

    with replica(OpenAICompatible, vectors=vectors) as server:
        with pytest.raises(BadTextsError) as caught:
            embedder(server, normalised=False).embed_sync(["a", "odd", "b"])
        assert isinstance(caught.value.errors[1], MalformedVectorError)
        assert caught.value.embeddings.vectors.lists() == [[1.0] * 8, [0.0] * 8, [1.0] * 8]
        assert len(server.requests) == 2


def test_a_model_that_changes_its_size_in_the_middle_is_refused():
    """Vectors of two sizes are never handed on together."""

    def vectors(texts):
        return [[1.0] * (8 if text < "c" else 9) for text in texts]

    with replica(OpenAICompatible, vectors=vectors) as server:
        model = embedder(server, batch_size=1, concurrency=1)
        with pytest.raises(FamilyMismatchError, match=r"m;9;unit;.*m;8;unit;"):
            model.embed_sync(["a", "b", "c"])


def test_what_is_wrong_with_every_request_is_said_once():
    with replica(OpenAICompatible, api_key="right") as server:
        with pytest.raises(AuthenticationError):
            embedder(server, api_key="wrong").embed_sync(["a"] * 50)
        assert len(server.requests) == 1
        model = OpenAICompatibleEmbedder("m", base_url=f"{server.base_url}/elsewhere", api_key="right")
        with pytest.raises(NotFoundError):
            model.embed_sync(["a"] * 50)


def test_an_unreachable_service_is_not_waited_for():
    """Patience is for a service that has answered before."""
    with replica(OpenAICompatible) as server:
        address = server.base_url
    model = OpenAICompatibleEmbedder("m", base_url=address, retry=QUICK)
    with pytest.raises(ProviderConnectionError):
        model.embed_sync(["a", "b"])


# --- a service of the catalogue -------------------------------------------------------------------


def test_a_service_has_its_models_families_and_caps(monkeypatch):
    """Its first embedding model, where none is named."""
    monkeypatch.setenv("MISTRAL_API_KEY", "key")
    model = OpenAICompatibleEmbedder(service="mistral")
    assert model.model == "mistral-embed"
    assert model.family.fingerprint == "mistral-embed;1024;unit;"
    assert model.base_url == "https://api.mistral.ai/v1"
    assert "key" not in repr(model)


def test_a_service_without_a_key_says_where_keys_are(monkeypatch):
    monkeypatch.delenv("MISTRAL_API_KEY", raising=False)
    with pytest.raises(MissingKeyError, match="MISTRAL_API_KEY"):
        OpenAICompatibleEmbedder(service="mistral")


def test_a_size_that_the_model_has_not_is_refused_before_anything_is_sent(monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", "key")
    with pytest.raises(UsageError, match="768, 1536, 3072"):
        OpenAICompatibleEmbedder(service="gemini", size=100)


def test_a_service_without_embedding_models_wants_one_named(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "key")
    with pytest.raises(UsageError, match="name one"):
        OpenAICompatibleEmbedder(service="groq")


@pytest.mark.parametrize("name", ["size", "batch_size", "concurrency"])
def test_numbers_are_whole_and_positive(name):
    with pytest.raises(UsageError, match=name):
        OpenAICompatibleEmbedder("m", base_url="http://127.0.0.1:9/v1", **{name: 0})


def test_an_unknown_argument_is_refused():
    with pytest.raises(UsageError, match="dimensions"):
        OpenAICompatibleEmbedder("m", base_url="http://127.0.0.1:9/v1", dimensions=3)


def test_a_server_on_this_machine_has_the_prefixes_of_its_models_family():
    with replica(OpenAICompatible, vector_size=768) as server:
        own = embedder(server, "nomic-embed-text:latest")
        for role in ("query", "document"):
            own.embed_sync(["hello"], role=role)
        said = [request.texts for request in server.requests]
    assert said == [["search_query: hello"], ["search_document: hello"]]
    assert own.family.model == "nomic-embed-text-v1.5"
    assert "search_query: " in own.family.rules


def test_a_text_that_might_be_cut_without_a_word_is_refused():
    """Where no source says that the service refuses it."""
    long = "several words " * 200
    with replica(OpenAICompatible, vector_size=384) as server:
        own = embedder(server, "all-minilm")
        with pytest.raises(BadTextsError) as raised:
            own.embed_sync(["short", long])
        assert isinstance(raised.value.errors[1], ContextOverflowError)
        assert "truncate=True" in str(raised.value.errors[1])
        assert own.embed_sync(["short", long], truncate=True).truncated == (1,)
        with pytest.raises((BadTextsError, ContextOverflowError)):
            own.embed_sync(long)
    assert [len(text) < len(long) for request in server.requests for text in request.texts] == [True] * 3


def test_where_the_service_refuses_it_it_is_asked():
    with replica(OpenAICompatible, vector_size=384) as server:
        own = embedder(server, "all-minilm")
        own.cuts_unasked = False
        own.embed_sync("several words " * 200)
    assert len(server.requests) == 1


@pytest.mark.parametrize(("batch", "sent"), [(3, 9), (100, 6)])
def test_each_text_is_a_request_where_the_service_counts_so(batch, sent, tmp_path):
    """Three texts in one request take three of ten; too many of them at once are asked for in halves."""
    limit = Limit(metric="requests", per="hour", cap=10, reset="rolling")
    texts = [f"text {place}" for place in range(12)]
    with replica(service="gemini", limits=[limit], api_key="key") as server:
        model = OpenAICompatibleEmbedder(
            service="gemini",
            base_url=server.base_url,
            api_key="key",
            batch_size=batch,
            concurrency=1,
            quota=Quota([limit], ledger=tmp_path / "quota.db"),
        )
        with pytest.raises(QuotaSpentError):
            model.embed_sync(texts, wait_up_to=0)
        assert sum(len(request.texts) for request in server.requests) == sent
        assert server.counts.refused == 0
