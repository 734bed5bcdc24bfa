"""What somebody who has not read the code found, or looked for, by the pages alone."""

import itertools
from array import array

import pytest

from freeproviders.embeddings import (
    EmbeddedEmbedder,
    FreeProvidersEmbedder,
    OpenAICompatibleEmbedder,
    VectorCache,
    Vectors,
)
from freeproviders.errors import (
    BadTextsError,
    EmbeddedModelError,
    FamilyMismatchError,
    UsageError,
    VectorCacheWarning,
)
from freeproviders.testing import replica

NAME = {"family": "one"}
DIFFERENCES = {
    "nothing": NAME,
    "model": {"model": "another"},
    "size": {**NAME, "size": 64},
    "size not normalised": {**NAME, "size": 32, "normalised": False},
    "query prefix": {**NAME, "query_prefix": "q: "},
    "document prefix": {**NAME, "document_prefix": "d: "},
    "prefixes swapped": {**NAME, "query_prefix": "d: ", "document_prefix": "q: "},
    "family": {"family": "other"},
    "option": {**NAME, "options": {"task": "clustering"}},
    "other option": {**NAME, "options": {"task": "retrieval"}},
}


def made(settings, base_url="http://127.0.0.1:9/v1"):
    settings = {"model": "m", "size": 256, **settings}
    return OpenAICompatibleEmbedder(settings.pop("model"), base_url=base_url, retry=0, **settings)


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(DIFFERENCES, 2)))
def test_members_of_two_families_are_refused_with_both_fingerprints(one, other):
    first, second = made(DIFFERENCES[one]), made(DIFFERENCES[other])
    assert first.family != second.family
    with pytest.raises(FamilyMismatchError) as caught:
        FreeProvidersEmbedder(first, second)
    assert first.family.fingerprint in str(caught.value)
    assert second.family.fingerprint in str(caught.value)


def test_an_option_that_changes_the_input_type_is_another_family():
    with replica(service="cohere", limits=False, api_key="k") as server:
        plain, changed = (
            OpenAICompatibleEmbedder(service="cohere", base_url=server.base_url, api_key="k", options=options)
            for options in ({}, {"input_type": "clustering"})
        )
        with pytest.raises(FamilyMismatchError, match='input_type "clustering"'):
            FreeProvidersEmbedder(plain, changed)


@pytest.mark.parametrize("option", ["encoding_format", "user", "truncate", "dimensions"])
def test_options_that_leave_vectors_as_they_are_do_not_change_the_family(option):
    plain, other = made(NAME), made({**NAME, "options": {option: "x"}})
    assert plain.family == other.family


def test_vectors_of_a_size_that_another_member_denies_are_refused():
    with replica("openai-compatible") as server:
        unsure = OpenAICompatibleEmbedder("m", base_url=server.base_url, family="one", retry=0)
        sure = OpenAICompatibleEmbedder("m", base_url=server.base_url, family="one", size=64, retry=0)
        both = FreeProvidersEmbedder(unsure, sure)
        assert both.family.fingerprint == "one;64;unit;"
        with pytest.raises(FamilyMismatchError, match=r"'one;256;unit;'.*'one;64;unit;'"):
            both.embed_sync(["a text"])  # of 256 numbers
        assert both.family.fingerprint == "one;64;unit;"


BROKEN = ["a\ud800b", "\udfff", "\ud83d\ude00"]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("cache", [False, True])
def test_half_a_character_is_named_and_the_other_texts_are_kept(broken, cache, tmp_path):
    with replica("openai-compatible") as server:
        embedder = OpenAICompatibleEmbedder(
            "m", base_url=server.base_url, cache=tmp_path / "vectors.db" if cache else False
        )
        with pytest.raises(BadTextsError, match="half of a character") as caught:
            embedder.embed_sync(["first", broken, "last"])
        assert list(caught.value.errors) == [1]
        sent = [text for request in server.requests for text in request.texts]
        assert sent == ["first", "last"]


@pytest.mark.parametrize(
    "settings",
    [
        {"family": ""},
        {"family": "one;768;unit;"},
        {"family": 3},
        {"normalised": "no"},
        {"query_prefix": 3},
        {"document_prefix": b"d: "},
        {"options": 3},
        {"options": {"input": ["another text"]}},
        {"options": {"model": "another"}},
        {"cache": 3},
    ],
)
def test_settings_that_cannot_work_are_refused_where_they_are_given(settings):
    with pytest.raises(UsageError, match=next(iter(settings))):
        made({**NAME, **settings})


@pytest.mark.parametrize(
    "settings", [{"role": None}, {"role": "search"}, {"role": []}, {"wait_up_to": "a"}, {"wait_up_to": -1}]
)
def test_settings_of_a_call_are_refused_before_anything_is_sent(settings):
    with replica("openai-compatible") as server:
        with pytest.raises(UsageError, match=next(iter(settings))):
            made(NAME, server.base_url).embed_sync(["a"], **settings)
        assert not server.requests


def test_a_damaged_cache_whose_error_cannot_be_decoded_costs_no_answer(tmp_path):
    """SQLite quotes the damaged name of a table in its message, whatever its bytes."""
    cache = VectorCache(tmp_path / "vectors.db")
    family = made(NAME).family
    cache.put(family, "document", ["a"], Vectors(array("f", [1.0] * 256), 256))
    cache.close()
    content = bytearray(cache.path.read_bytes())
    at = content.index(b"tablesectionsection") + len("table")
    content[at] = 0x80
    content = content.replace(b"CREATE TABLE section", b"CREATE TABLA section")
    cache.path.write_bytes(content)
    with pytest.warns(VectorCacheWarning, match="damaged"):
        assert not cache.get(family, "document", ["a"]).places
    cache.remove()


def test_a_missing_file_names_the_variable_of_models_for_vectors(tmp_path):
    with pytest.raises(EmbeddedModelError, match="FREEPROVIDERS_EMBEDDING_MODEL"):
        EmbeddedEmbedder(tmp_path / "no.gguf").embed_sync("a")


def test_members_are_named_by_what_makes_them():
    with pytest.raises(FamilyMismatchError, match=r"OfflineEmbedder\(\) makes .* OpenAICompatibleEmbedder\("):
        FreeProvidersEmbedder("offline", made(NAME))
