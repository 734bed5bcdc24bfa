"""What strangers found who used the router from outside: each test is one thing that went wrong."""

import asyncio
import copy
import pickle
from contextlib import ExitStack

import pytest

from freeproviders import FreeProviders, OpenAICompatible
from freeproviders.errors import LedgerWarning, NoProviderError, NotAskedWarning, UsageError
from freeproviders.testing import Billed, replica
from freeproviders.types import Finish, Text

NOBODY = "http://127.0.0.1:9/v1"


@pytest.fixture
def servers():
    """Start replicas that say who they are."""
    with ExitStack() as stack:

        def start(*names, **options):
            return [stack.enter_context(replica(OpenAICompatible, name, **options)) for name in names]

        yield start


def member(server, model="m", **more):
    return OpenAICompatible(model, base_url=getattr(server, "base_url", server), **more)


def asked(*servers):
    return [len(server.requests) for server in servers]


class Raising:
    """A backend of the caller's own, which says something and then raises what it was given."""

    name, model = "Raising", "r"

    def __init__(self, error, *said):
        self.error, self.said = error, said

    async def batches(self, request):
        del request
        for text in self.said:
            yield [Text(text)]
        raise self.error


@pytest.mark.parametrize("strategy", ["spread", "auto"])
async def test_questions_that_come_together_are_spread(servers, strategy):
    three = servers(*"abc", faults={"pace": 0.05})
    router = FreeProviders(*(member(one, one.answer) for one in three), strategy=strategy)
    await asyncio.gather(*(router.complete(f"Question {number}") for number in range(9)))
    assert asked(*three) == [3, 3, 3]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_router_can_be_copied_and_pickled(servers, copied):
    one, two = servers("one", "two")
    one.faults = {"status": 503}
    router = FreeProviders(member(one), member(two, api_key="secret"), max_requests=1).configured(retry=0)
    other = copied(router)
    assert repr(other) == repr(router)
    with pytest.raises(NoProviderError):
        other.complete_sync("Hi")
    assert asked(one, two) == [1, 0]


def test_nobody_is_asked_when_the_time_of_the_question_is_over(servers):
    one, two = servers("one", "two")
    one.faults = {"delay_headers": 30}
    with pytest.raises(NoProviderError, match=r"The 1.5 s of the question \(timeout\) are over") as caught:
        FreeProviders(member(one), member(two, "second")).complete_sync("Hi", timeout=1.5)
    assert asked(one, two) == [1, 0]
    assert "openai-compatible/second not asked" in str(caught.value)


def test_the_error_says_when_the_requests_of_a_question_are_used_up(servers):
    one, two = servers("one", "two")
    one.faults = {"status": 500}
    words = r"used up \(max_requests=1\), and openai-compatible/second not asked"
    with pytest.raises(NoProviderError, match=words):
        FreeProviders(member(one), member(two, "second"), max_requests=1).complete_sync("Hi")


def test_the_trail_has_no_second_word_about_who_was_asked(servers):
    one, two = servers("one", "two")
    one.faults = {"status": 503}
    two.faults = {"status": 401}
    router = FreeProviders(member(one, "first"), member(two, "second"))
    with pytest.raises(NoProviderError) as caught:
        router.complete_sync("Hi", wait_up_to=1)
    assert all(attempt.requests for attempt in caught.value.trail)
    assert "OPENAI_COMPATIBLE_API_KEY" in str(caught.value)


def test_a_cool_down_is_told_with_its_end(servers):
    one, two = servers("one", "two")
    one.faults = {"status": 429, "retry_after": 500}
    for _ in range(2):
        answer = FreeProviders(member(one), member(two)).complete_sync("Hi")
    passed_over = answer.finish.trail[0]
    assert passed_over.requests == 0
    assert passed_over.error.startswith("Not asked before 20")
    assert "UTC: HTTP 429" in passed_over.error


@pytest.mark.parametrize(
    "error", [ConnectionResetError("gone"), TimeoutError(), ValueError("what is this?")], ids=repr
)
def test_any_exception_of_a_backend_of_the_callers_is_a_failure_of_it(servers, error):
    (two,) = servers("two")
    answer = FreeProviders(Raising(error), member(two)).complete_sync("Hi")
    assert answer.text == "two"
    assert type(error).__name__ in answer.finish.trail[0].error
    with pytest.raises(NoProviderError, match=type(error).__name__) as caught:
        FreeProviders(Raising(error)).configured(retry=0).complete_sync("Hi")
    assert pickle.loads(pickle.dumps(caught.value)).trail == caught.value.trail


async def test_such_an_exception_behind_the_beginning_is_a_break(servers):
    (two,) = servers("A whole story about the sea.")
    router = FreeProviders(
        Raising(OSError("gone"), "A whole story "), member(two), on_broken_stream="continue"
    )
    parts = [part async for part in router.stream("Hi")]
    assert "".join(part.text for part in parts if isinstance(part, Text)) == two.answer
    assert isinstance(parts[-1], Finish)
    assert [seam.how for seam in parts[-1].seams] == ["trim"]


def test_nobody_to_ask_is_said_with_what_to_do(monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    with pytest.raises(NoProviderError, match=r"(?s)no backend to ask.*ollama.*\.\[embedded\]"):
        FreeProviders(privacy="local", exclude=["embedded"]).complete_sync("Hi")


def test_nobody_left_is_said_with_who_is_excluded():
    with pytest.raises(UsageError, match=r"no backend to ask\. exclude leaves out: openai-compatible"):
        FreeProviders(member(NOBODY), exclude=["openai-compatible"])


def test_who_was_taken_out_is_told_with_how_to_bring_it_back(servers):
    (two,) = servers("two")
    with replica(service="openrouter", answer="one", billed=Billed(cost=0.01, anyway=True)) as one:
        paid = OpenAICompatible(service="openrouter", base_url=one.base_url, api_key="key-1")
        router = FreeProviders(paid, member(two))
        with pytest.warns(NotAskedWarning):
            router.complete_sync("Hi")
        passed_over = router.complete_sync("Hi").finish.trail[0].error
    assert passed_over.startswith(
        "Not asked until `freeproviders quota reset openrouter`: An answer of it has cost"
    )


@pytest.mark.parametrize("place", ["http://127.0.0.1:9/quota", "sqlite://quota.db", ":memory:", 5], ids=str)
def test_a_ledger_that_is_no_place_is_refused(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="ledger must be a path"):
        FreeProviders(member(NOBODY), ledger=place)
    monkeypatch.setenv("FREEPROVIDERS_QUOTA", str(place))
    if place != 5:
        with pytest.raises(UsageError, match="FREEPROVIDERS_QUOTA must be a path"):
            FreeProviders(member(NOBODY))
    assert not list(tmp_path.iterdir())


def test_a_router_says_that_its_ledger_is_not_shared(servers, tmp_path):
    """It looks for the health of its members there, and reserves nothing."""
    (one,) = servers("one")
    broken = tmp_path / "no folder"
    broken.write_text("a file")
    router = FreeProviders(member(one), ledger=broken / "quota.db")
    with pytest.warns(LedgerWarning, match="no folder"):
        assert [router.complete_sync("Hi").text for _ in range(3)] == ["one"] * 3


@pytest.mark.parametrize(
    "wrong", [{"paid": "no"}, {"paid": 0}, {"exclude": None}, {"confirmed": None}], ids=str
)
def test_an_argument_of_another_type_is_refused(wrong):
    """Text is true in Python, whatever it says: nobody should pay for a "no"."""
    with pytest.raises(UsageError, match=f"{next(iter(wrong))} must be"):
        FreeProviders(member(NOBODY), **wrong)


def test_names_may_be_given_one_by_one():
    a, b = member(NOBODY, "a"), member(NOBODY, "b")
    router = FreeProviders(a, b, prefer=iter(["openai-compatible/b"]), confirmed=iter(["groq"]))
    again = pickle.loads(pickle.dumps(router))
    assert [one.model for one in again.members] == [one.model for one in router.members] == ["b", "a"]
