"""Several services of one family: the next where one fails, and never a vector of another family."""

import pytest

from freeproviders import OpenAICompatible
from freeproviders.catalogue import catalogue
from freeproviders.embeddings import FreeProvidersEmbedder, OfflineEmbedder, OpenAICompatibleEmbedder
from freeproviders.errors import (
    AuthenticationError,
    BadTextsError,
    FamilyMismatchError,
    ProviderError,
    RateLimitError,
    UsageError,
)
from freeproviders.retry import Retry
from freeproviders.testing import checksum_vector, replica

SIZE = 16
TEXTS = [f"text {place}" for place in range(40)]


def vectors(texts):
    """What every service of the family answers."""
    return [checksum_vector(text, SIZE) for text in texts]


def right(result, texts=TEXTS):
    rows = zip(result.vectors, vectors(texts), strict=True)
    return all(vector.tolist() == pytest.approx(row, abs=1e-6) for vector, row in rows)


def member(server, model="m", **more):
    more = {"family": "one", "retry": Retry(first=0.01), **more}
    return OpenAICompatibleEmbedder(model, base_url=server.base_url, **more)


OK = {"on": "embeddings"}


def fault(status=None, **more):
    """A fault of requests for vectors."""
    return {**OK, **({"status": status} if status else {}), **more}


@pytest.fixture
def two():
    with (
        replica(OpenAICompatible, vectors=vectors) as first,
        replica(OpenAICompatible, vectors=vectors) as other,
    ):
        yield first, other


def test_the_first_is_asked_as_long_as_it_answers(two):
    first, other = two
    embedder = FreeProvidersEmbedder(member(first), member(other, "another name"))
    assert right(embedder.embed_sync(TEXTS))
    assert not other.requests
    assert embedder.family.fingerprint == f"one;{SIZE};unit;"


@pytest.mark.parametrize(
    "wrong", [fault(503), fault(429, retry_after=3600), fault(cut=0), fault(401)], ids=str
)
def test_the_next_one_takes_over(two, wrong):
    """At once, and the one that failed is left alone for a while."""
    first, other = two
    first.faults = wrong
    embedder = FreeProvidersEmbedder(member(first, batch_size=4), member(other))
    assert right(embedder.embed_sync(TEXTS))
    assert len(first.requests) <= 4  # those that were under way at the same time
    assert {request.model for request in other.requests} == {"m"}


def test_a_member_in_its_cool_down_is_asked_when_nobody_else_is_left(two):
    """And the error of all names every attempt."""
    first, other = two
    first.faults = [fault(503)]
    other.faults = [OK, fault(401)]
    embedder = FreeProvidersEmbedder(member(first), member(other))
    embedder.retry = Retry(first=0.01)
    assert right(embedder.embed_sync(TEXTS))  # by the other
    assert right(embedder.embed_sync(TEXTS))  # by the first, which is back
    first.faults = fault(503)
    other.faults = fault(401)
    with pytest.raises((AuthenticationError, ProviderError), match=r"401.*503|503.*401"):
        embedder.embed_sync(TEXTS)


def test_the_one_that_can_be_asked_first_is_waited_for(two):
    first, other = two
    first.faults = [fault(429, retry_after=1)]
    other.faults = [fault(429, retry_after=3600)]
    embedder = FreeProvidersEmbedder(member(first), member(other))
    assert right(embedder.embed_sync(TEXTS))
    assert (len(first.requests), len(other.requests)) == (2, 1)


def test_a_wait_that_is_too_long_is_not_begun(two):
    first, other = two
    first.faults = other.faults = fault(429, retry_after=3600)
    with pytest.raises(ProviderError, match="The others:"):
        FreeProvidersEmbedder(member(first), member(other)).embed_sync(TEXTS, wait_up_to=5)


def test_a_text_that_all_refuse_is_named(two):
    """What one refuses another may take."""
    first, other = two
    texts = ["a", "word " * 9000, "b"]
    with pytest.raises(BadTextsError) as caught:
        FreeProvidersEmbedder(member(first), member(other)).embed_sync(texts)
    assert set(caught.value.errors) == {1}


@pytest.mark.parametrize(
    "other",
    [
        {"family": "two"},
        {"normalised": False},
        {"query_prefix": "query: "},
        {"size": 8},
    ],
    ids=str,
)
def test_members_of_two_families_are_refused_before_anything_is_sent(two, other):
    """Both fingerprints are in the error."""
    first, second = two
    with pytest.raises(FamilyMismatchError) as caught:
        FreeProvidersEmbedder(member(first, size=SIZE), member(second, **{"size": SIZE, **other}))
    assert caught.value.stored != caught.value.own
    assert caught.value.stored in str(caught.value)
    assert caught.value.own in str(caught.value)


def test_a_size_that_shows_only_in_an_answer_is_refused(two):
    """Neither member knew its size: the one that comes second with another is of another family."""
    first, _ = two
    with replica(OpenAICompatible, vectors=lambda texts: [[1.0] * 8 for _ in texts]) as odd:
        first.faults = [OK, fault(503)]
        embedder = FreeProvidersEmbedder(member(first), member(odd))
        assert right(embedder.embed_sync(TEXTS))
        with pytest.raises(FamilyMismatchError, match=r"one;8;unit;.*one;16;unit;"):
            embedder.embed_sync(TEXTS)


# --- members by name ------------------------------------------------------------------------------


def test_without_arguments_it_is_the_offline_floor():
    """Whatever keys the environment has: an index must not change its family with it."""
    embedder = FreeProvidersEmbedder()
    assert embedder.family == OfflineEmbedder().family
    assert len(embedder.embed_sync(["a", " "])) == 2


def test_a_family_is_looked_for_among_services_with_a_key(monkeypatch):
    """Asked is who is confirmed and does not train on texts."""
    monkeypatch.setenv("NVIDIA_API_KEY", "key")
    for name in ("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_KEY", "SILICONFLOW_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with replica(service="nvidia", vectors=lambda texts: [[1.0, *[0.0] * 1023] for _ in texts]) as server:
        monkeypatch.setenv("NVIDIA_API_BASE", server.base_url)
        embedder = FreeProvidersEmbedder(family="bge-m3", confirmed=["nvidia"], privacy="any")
        assert "NVIDIA" in [one.name for one in embedder.members]
        assert embedder.embed_sync("a").family.fingerprint == "bge-m3;1024;unit;"
        assert len(server.requests) == 1


def test_a_service_is_left_out_with_its_reason(monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", "key")
    with pytest.raises(UsageError, match="trains on texts"):
        FreeProvidersEmbedder(family="gemini-embedding-001")
    with pytest.raises(UsageError, match=r"confirmed=\['gemini'\]"):
        FreeProvidersEmbedder(family="gemini-embedding-001", privacy="any")
    monkeypatch.delenv("GEMINI_API_KEY")
    monkeypatch.setenv("FREEPROVIDERS_CONFIRMED", "groq, gemini")
    with pytest.raises(UsageError, match="wants a key"):
        FreeProvidersEmbedder(family="gemini-embedding-001", privacy="any")


def test_a_local_server_that_is_elsewhere_is_not_local(monkeypatch):
    """The environment may say that Ollama is on another machine: no text goes there unasked."""
    monkeypatch.setenv("OLLAMA_API_BASE", "https://ollama.example/v1")
    for name in ("LM_STUDIO", "LMSTUDIO", "VLLM"):
        monkeypatch.delenv(f"{name}_API_BASE", raising=False)
    embedder = FreeProvidersEmbedder(family="bge-m3", privacy="local")
    assert embedder.members
    assert all("localhost" in one.base_url for one in embedder.members)
    anywhere = FreeProvidersEmbedder(family="bge-m3")
    assert "https://ollama.example/v1" in [one.base_url for one in anywhere.members[:3]]


def test_a_family_that_nobody_has_is_refused():
    with pytest.raises(UsageError, match=r"no family 'bge-m9': use one of .*bge-m3"):
        FreeProvidersEmbedder(family="bge-m9")


@pytest.mark.parametrize("members", [(None,), (7,), ("",)])
def test_what_is_no_member_is_refused(members):
    with pytest.raises(UsageError, match="A member is"):
        FreeProvidersEmbedder(*members)


def test_members_or_a_family():
    with pytest.raises(UsageError, match="not both"):
        FreeProvidersEmbedder("offline", family="bge-m3")


def test_all_who_make_vectors_of_a_family_can_stand_for_each_other(monkeypatch):
    """Rows of one family have one size, one set of prefixes and input types that mean the same."""
    monkeypatch.setenv("CLOUDFLARE_ACCOUNT_ID", "account")
    families = {}
    for row in catalogue():
        for model, facts in row.embeddings.items():
            if row.gone is None:
                embedder = OpenAICompatibleEmbedder(model, service=row, api_key="key", cache=None)
                families.setdefault(facts.family, {})[f"{row.id}/{model}"] = embedder.family.fingerprint
    assert len(families) > 10
    for name, members in families.items():
        assert len(set(members.values())) == 1, f"{name}: {members}"


def test_a_member_that_was_shut_before_and_fails_for_good_is_not_asked_again_and_again(two):
    """What its limits said is over: the error comes out, and does not begin another round."""
    first, _ = two
    first.faults = [fault(429, retry_after=0), *[fault(401)] * 30]
    with pytest.raises(AuthenticationError):
        FreeProvidersEmbedder(member(first)).embed_sync(TEXTS)
    assert len(first.requests) == 2


def test_a_service_that_says_at_once_again_and_again_is_not_hammered(two):
    first, _ = two
    first.faults = fault(429, retry_after=0)
    with pytest.raises(ProviderError, match="429"):
        FreeProvidersEmbedder(member(first)).embed_sync(TEXTS, wait_up_to=1)
    assert len(first.requests) <= 3


def test_a_question_to_members_that_are_shut_says_who_is_shut_once(two):
    """What a member said is kept until it may be asked again, and is told to every caller as it was said."""
    first, other = two
    first.faults = other.faults = fault(429, retry_after=3600)
    embedder = FreeProvidersEmbedder(member(first), member(other))
    raised = []
    for _ in range(3):
        with pytest.raises(RateLimitError) as caught:
            embedder.embed_sync(TEXTS, wait_up_to=0)
        raised.append((caught.value, str(caught.value)))
    (_, first_text), (_, second_text), (_, third_text) = raised
    assert first_text == second_text == third_text
    assert len({id(error) for error, _ in raised}) == 3
