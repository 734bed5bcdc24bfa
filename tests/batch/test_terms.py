"""Whose terms need a word of the user's before thousands of questions are asked."""

from __future__ import annotations

import pickle

import pytest

from freeproviders import FreeProviders, OpenAICompatible
from freeproviders.batch import answered, batch_sync
from freeproviders.batch.terms import with_terms
from freeproviders.errors import NotAskedWarning, UnknownServiceError, UsageError

WORDS = (
    r"The terms of Cohere \(https://.*\) allow non-commercial use only\. Where that is your use, name "
    r"cohere in accept_terms\."
)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COHERE_API_KEY", "GROQ_API_KEY"):
        monkeypatch.setenv(name, "any")


def names(backend) -> set[str]:
    return {member.name.partition("/")[0] for member in backend.members}


def test_a_service_whose_terms_are_open_is_asked() -> None:
    for backend in (
        OpenAICompatible(service="groq"),
        OpenAICompatible("m", base_url="http://127.0.0.1:9/v1"),
        FreeProviders("groq"),
    ):
        allowed, left_out = with_terms(backend)
        assert left_out == []
        assert allowed.asked_as() == backend.asked_as()


@pytest.mark.parametrize(
    "make", [lambda: OpenAICompatible(service="cohere"), lambda: FreeProviders("cohere")]
)
def test_a_service_with_restricting_terms_is_refused_with_the_words(make) -> None:
    with pytest.raises(UsageError, match=WORDS):
        with_terms(make(), ["nvidia"])
    backend = make()
    allowed, left_out = with_terms(backend, ["Cohere"])
    assert (type(allowed), left_out) == (type(backend), [])


def test_a_router_leaves_such_members_out_and_answers_to_the_same_keys() -> None:
    backend = FreeProviders("groq", "cohere")
    allowed, (left_out,) = with_terms(backend)
    assert (names(backend), names(allowed)) == ({"groq", "cohere"}, {"groq"})
    assert left_out.service == "cohere"
    assert left_out.why.startswith("The terms of Cohere")
    assert allowed.asked_as() == backend.asked_as()
    assert names(pickle.loads(pickle.dumps(allowed))) == {"groq"}
    accepted, nobody = with_terms(backend, "cohere")
    assert (names(accepted), nobody) == ({"groq", "cohere"}, [])


def test_a_name_that_is_no_services_is_named() -> None:
    with pytest.raises(UnknownServiceError, match="nobody"):
        with_terms(FreeProviders("groq"), ["nobody"])


def test_a_program_says_it_as_the_command_line_does() -> None:
    with pytest.raises(UsageError, match=WORDS):
        answered(["Hi"], OpenAICompatible(service="cohere"))
    with pytest.warns(NotAskedWarning, match="cohere is not asked. The terms of Cohere"):
        report = batch_sync([], FreeProviders("groq", "cohere"), store="memory")
    assert report.done == 0
    assert (
        batch_sync([], OpenAICompatible(service="cohere"), store="memory", accept_terms=["cohere"]).done == 0
    )
