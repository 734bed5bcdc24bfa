"""Embedders with a cache, over sockets: nothing is asked twice, whoever is killed when."""

import asyncio
import sys

import pytest

from freeproviders import OpenAICompatible
from freeproviders.embeddings import FreeProvidersEmbedder, OpenAICompatibleEmbedder
from freeproviders.embeddings.cache import VectorCache
from freeproviders.embeddings.caps import Caps
from freeproviders.errors import BadTextsError, FamilyMismatchError, ProviderError, VectorCacheError
from freeproviders.retry import Retry
from freeproviders.testing import checksum_vector, replica
from tests.embeddings.kills import asked, run, start
from tests.embeddings.test_openai_compatible import close, rows_of

if sys.platform != "win32":
    import resource

QUICK = Retry(first=0.01, longest=0.02)
TEXTS = [f"text number {place}" for place in range(50)]


@pytest.fixture(scope="module")
def service():
    with replica(OpenAICompatible) as server:
        yield server


@pytest.fixture
def embedder(service, tmp_path):
    """Makes embedders on one file."""
    service.requests.clear()

    def make(model="m", **more):
        more = {"retry": QUICK, "cache": tmp_path / "vectors.db", **more}
        return OpenAICompatibleEmbedder(model, base_url=service.base_url, **more)

    yield make
    VectorCache(tmp_path / "vectors.db").close()


# --- what is asked --------------------------------------------------------------------------------


def test_a_second_run_asks_for_nothing(service, embedder):
    """The same vectors come, in whatever order, and the family's size is known without an answer."""
    first = embedder().embed_sync(TEXTS)
    service.requests.clear()
    again = embedder().embed_sync(TEXTS[::-1])
    assert not service.requests
    assert again.vectors.lists() == first.vectors.lists()[::-1]
    assert again.family == first.family
    assert again.usage.input_tokens == 0


def test_what_is_missing_fills_requests(service, embedder):
    """Texts that are missing here and there are asked for together."""
    embedder(batch_size=20).embed_sync([text for place, text in enumerate(TEXTS) if place % 5])
    service.requests.clear()
    result = embedder(batch_size=20).embed_sync(TEXTS)
    assert [request.texts for request in service.requests] == [TEXTS[::5]]
    assert close(result.vectors, rows_of(TEXTS))


def test_a_text_that_stands_twice_is_asked_for_once(service, embedder):
    texts = ["a", "b", "a", "c", "b", "a"]
    result = embedder(batch_size=2).embed_sync(texts)
    assert asked(service) == {"a": 1, "b": 1, "c": 1}
    assert close(result.vectors, rows_of(texts))


@pytest.mark.parametrize(
    ("given", "role", "truncate"),
    [
        ({}, "query", False),
        ({}, "document", True),
        ({"model": "n"}, "document", False),
        ({"size": 32}, "document", False),
        ({"normalised": False}, "document", False),
        ({"query_prefix": "find: "}, "document", False),
        ({"family": "another"}, "document", False),
        ({"options": {"user": "me"}}, "document", False),
    ],
    ids=["role", "truncation", "model", "size", "normalisation", "prefix", "family", "options"],
)
def test_what_is_made_otherwise_is_asked_for(service, embedder, given, role, truncate):
    embedder().embed_sync(TEXTS)
    service.requests.clear()
    for _ in range(2):
        embedder(**given).embed_sync(TEXTS, role=role, truncate=truncate)
    assert asked(service) == dict.fromkeys(TEXTS, 1)


def test_nothing_is_kept_unasked(service, tmp_path, monkeypatch):
    monkeypatch.setenv("FREEPROVIDERS_CACHE", str(tmp_path))
    OpenAICompatibleEmbedder("m", base_url=service.base_url).embed_sync("a")
    assert list(tmp_path.iterdir()) == []
    OpenAICompatibleEmbedder("m", base_url=service.base_url, cache=True).embed_sync("a")
    assert (tmp_path / "embeddings" / "vectors.db").exists()
    VectorCache().close()


async def test_a_stream_and_its_progress(service, embedder, monkeypatch):
    """A stream looks up and asks part by part; what is kept counts as done at once."""
    monkeypatch.setattr("freeproviders.embeddings.embedder._WINDOW", 20)
    await embedder().embed(TEXTS[10:30])
    service.requests.clear()
    batches = [batch async for batch in embedder(batch_size=7).stream(TEXTS)]
    assert [batch.start for batch in batches] == [0, 7, 20, 30, 37, 40, 47]
    assert sum(batch.count for batch in batches) == 50
    assert sum(batch.usage.input_tokens for batch in batches) > 60
    rows = rows_of(TEXTS)
    for batch in batches:
        assert close(batch.vectors, rows[batch.start : batch.start + batch.count])
    assert asked(service) == dict.fromkeys([*TEXTS[:10], *TEXTS[30:]], 1)
    seen = []
    more = [*TEXTS, "x", "y", "x"]
    await embedder(batch_size=1).embed(more, progress=lambda *said: seen.append(said))
    assert seen == [(50, 53), (52, 53), (53, 53)]


def test_cut_texts_are_told_again(service, embedder):
    """A vector of a text that was cut says so also when it was kept."""

    texts = ["short", "word " * 400, "short as well", "word " * 400]
    for sent in (2, 0):
        service.requests.clear()
        narrow = embedder()
        narrow.caps = Caps(window=20, concurrency=1)
        assert narrow.embed_sync(texts, truncate=True).truncated == (1, 3)
        assert sum(asked(service).values()) == (3 if sent else 0)


def test_a_choice_of_services_keeps_what_any_of_them_made(service, embedder, tmp_path):
    """What one member made, alone or among others, is not asked of another one."""
    family = {"family": "mine", "cache": False}
    with replica(OpenAICompatible) as other:
        members = [OpenAICompatibleEmbedder("m", base_url=other.base_url, family="mine", retry=QUICK)]
        embedder(family="mine").embed_sync(TEXTS[:20])
        made = FreeProvidersEmbedder(*members, embedder(**family), cache=tmp_path / "vectors.db")
        assert close(made.embed_sync(TEXTS).vectors, rows_of(TEXTS))
        assert asked(other) == dict.fromkeys(TEXTS[20:], 1)
        service.requests.clear()
        assert close(embedder(family="mine").embed_sync(TEXTS).vectors, rows_of(TEXTS))
    assert not service.requests


# --- what goes wrong ------------------------------------------------------------------------------


def test_bad_texts_are_named_at_all_their_places_and_asked_for_again(service, embedder):
    """The others are kept."""
    texts = ["a", " ", "b", " ", "c"]
    for count in (3, 0):
        service.requests.clear()
        with pytest.raises(BadTextsError) as caught:
            embedder().embed_sync(texts)
        assert set(caught.value.errors) == {1, 3}
        assert caught.value.embeddings.vectors[4].tolist() == pytest.approx(rows_of(["c"])[0], abs=1e-6)
        assert sum(asked(service).values()) == count


def test_what_was_answered_before_an_error_is_kept(service, embedder):
    """The error says so; the next run goes on from there."""
    faults = [{"on": "embeddings"}, {"on": "embeddings"}, {"on": "embeddings", "status": 401}]
    with replica(OpenAICompatible, faults=faults) as server:
        made = OpenAICompatibleEmbedder(
            "m", base_url=server.base_url, batch_size=10, concurrency=1, retry=QUICK, cache=embedder().cache
        )
        with pytest.raises(ProviderError, match=r"of 50 texts have their vectors in .*vectors\.db") as caught:
            made.embed_sync(TEXTS)
        assert "call again" in str(caught.value)
        server.requests.clear()
        made.embed_sync(TEXTS)
        assert len(asked(server)) == 30


def test_a_foreign_file_is_refused_before_anything_is_asked(service, embedder, tmp_path):
    (tmp_path / "vectors.db").write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(VectorCacheError, match="another program"):
        embedder().embed_sync(TEXTS)
    assert not service.requests


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk_loses_no_vector(service, embedder):
    embedder().embed_sync("a")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.warns(UserWarning, match="Vectors are not kept"):
            result = embedder(batch_size=10).embed_sync(TEXTS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert close(result.vectors, rows_of(TEXTS))


@pytest.mark.parametrize("kept", [["a"], ["b"]], ids=["found", "not found"])
def test_a_model_that_answers_with_another_size_is_refused(embedder, kept, tmp_path):
    """Also where nothing of this call is kept, and after the embedder was made anew."""
    with replica(OpenAICompatible, vectors=lambda texts: [[0.6, 0.8]] * len(texts)) as server:
        made = OpenAICompatibleEmbedder("m", base_url=server.base_url, cache=tmp_path / "v.db", family="mine")
        made.embed_sync(kept)
    with replica(OpenAICompatible, vectors=lambda texts: [[0.6, 0.0, 0.8]] * len(texts)) as server:
        for _ in range(2):
            made = OpenAICompatibleEmbedder(
                "m", base_url=server.base_url, cache=tmp_path / "v.db", family="mine"
            )
            for _ in range(2):
                with pytest.raises(FamilyMismatchError) as caught:
                    made.embed_sync(["a", "c"])
                assert (caught.value.stored, caught.value.own) == ("mine;2;unit;", "mine;3;unit;")
                assert "freeproviders embeddings delete 'mine;2;unit;'" in str(caught.value)
    VectorCache(tmp_path / "v.db").close()


# --- kills ----------------------------------------------------------------------------------------

WORKER = """
import sys
from freeproviders.embeddings import OpenAICompatibleEmbedder
texts = [f"text {place}" for place in range(int(sys.argv[3]))]
made = OpenAICompatibleEmbedder("m", base_url=sys.argv[1], cache=sys.argv[2], batch_size=5, concurrency=2)
vectors = made.embed_sync(texts).vectors
from freeproviders.testing import checksum_vector
import math
for text, vector in zip(texts, vectors, strict=True):
    right = checksum_vector(text, 256, "m")
    assert all(math.isclose(one, two, abs_tol=1e-6) for one, two in zip(vector, right, strict=True)), text
"""
IN_FLIGHT = 2 * 5


def test_after_a_kill_only_what_was_in_flight_is_asked_for_again(tmp_path):
    """Killed at random moments of the service's; every vector is its text's in the end."""
    count, kills = 300, 2
    with replica(OpenAICompatible, faults={"on": "embeddings", "delay_headers": 0.01}) as server:
        run(server, WORKER, server.base_url, tmp_path / "vectors.db", count, kills=kills, most=20)
        times = asked(server)
        assert len(times) == count
        assert sum(times.values()) <= count + kills * IN_FLIGHT


def test_two_processes_on_one_file(tmp_path):
    """Each gets all its vectors; what the one has kept the other does not ask for."""
    with replica(OpenAICompatible) as server:
        both = [start(WORKER, server.base_url, tmp_path / "vectors.db", 200) for _ in range(2)]
        assert [process.wait(60) for process in both] == [0, 0]
        assert max(asked(server).values()) <= 2
    cache = VectorCache(tmp_path / "vectors.db")
    assert [one.documents for one in cache.families()] == [200]
    cache.close()


async def test_many_calls_at_once_on_one_embedder(service, embedder):
    made = embedder(batch_size=10)
    results = await asyncio.gather(*(made.embed(TEXTS[at:] + TEXTS[:at]) for at in range(10)))
    for at, result in enumerate(results):
        assert close(result.vectors, rows_of(TEXTS[at:] + TEXTS[:at]))
    assert checksum_vector(TEXTS[0], 256, "m") == pytest.approx(results[0].vectors[0].tolist(), abs=1e-6)
