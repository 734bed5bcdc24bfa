"""What somebody who has not read the code found, or looked for, by the pages alone."""

import itertools

import pytest

from freeproviders.embeddings import FreeProvidersEmbedder, OpenAICompatibleEmbedder
from freeproviders.errors import FamilyMismatchError
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


@pytest.mark.parametrize(("one", "other"), itertools.permutations(DIFFERENCES, 2))
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
