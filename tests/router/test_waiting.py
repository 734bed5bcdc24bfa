"""Members whose limits are full, and members that say nothing: who waits, and for what."""

import asyncio
from contextlib import ExitStack

import pytest

from freeproviders import FreeProviders, OpenAICompatible, Quota, Retry, Timeout
from freeproviders.errors import NoProviderError, QuotaSpentError
from freeproviders.testing import replica
from freeproviders.types import Text


@pytest.fixture
def start():
    with ExitStack() as stack:
        yield lambda answer, **more: stack.enter_context(replica(OpenAICompatible, answer, **more))


def member(server, model="m", **more):
    return OpenAICompatible(model, base_url=server.base_url, **more)


async def slowly(messages):
    async def pieces():
        for piece in ("one ", "two"):
            await asyncio.sleep(0.02)
            yield piece

    return pieces()


@pytest.mark.parametrize(
    "limits",
    [
        [{"metric": "concurrency", "cap": 2}],
        [{"metric": "tokens", "per": "second", "cap": 700, "counted": "end"}],
    ],
    ids=["concurrency", "tokens"],
)
async def test_room_that_running_calls_hold_is_waited_for(start, limits):
    """Nobody knows when such a call ends: the end of its lease is no time to give up for."""
    server = start(slowly)
    quota = Quota(limits, name="full", transit=0.5)
    router = FreeProviders(member(server, quota=quota))
    answers = await asyncio.gather(
        *(router.complete(f"Question {n}", max_tokens=100, wait_up_to=60) for n in range(8))
    )
    assert [answer.text for answer in answers] == ["one two"] * 8
    assert len(server.requests) == 8


async def test_a_refused_reservation_tells_when_there_may_be_room_at_first():
    """A call that runs may end at any moment; its lease says only when it has ended at last."""
    with replica(OpenAICompatible, "one", faults={"stall": 1}) as server:
        quota = Quota([{"metric": "concurrency", "cap": 1}], name="one at a time")
        asked = member(server, quota=quota, retry=Retry(attempts=1))
        stream = asked.stream("Hi")
        assert isinstance(await anext(stream), Text)
        with pytest.raises(QuotaSpentError) as caught:
            await asked.complete("Hi", wait_up_to=0)
        assert (caught.value.soonest - caught.value.earliest).total_seconds() > 60
        await stream.aclose()


def test_an_empty_answer_is_not_believed_while_others_have_not_been_heard(start):
    one, two = start("one", faults={"status": 500}), start("two", faults=[{"empty": True}])
    answer = FreeProviders(member(one), member(two, "second")).complete_sync("Hi")
    assert answer.text == "two"
    assert [attempt.model for attempt in answer.finish.trail if not attempt.error] == ["second"]


def test_an_empty_answer_that_comes_again_is_one(start):
    one, two = start("", faults={"empty": True}), start("", faults={"empty": True})
    answer = FreeProviders(member(one), member(two)).complete_sync("Hi")
    assert answer.text == ""
    assert len(one.requests) + len(two.requests) == 2
    alone = start("", faults={"empty": True})
    assert FreeProviders(member(alone)).complete_sync("Hi").text == ""
    with pytest.raises(NoProviderError):
        FreeProviders(member(alone), max_requests=2).complete_sync("Hi", on_empty="error")


@pytest.mark.parametrize("fault", [{"stall": 0}, {"keepalive": 10_000}, {"delay_headers": 60}], ids=str)
@pytest.mark.parametrize("stream", [True, False])
def test_a_silent_member_costs_its_deadline_and_no_more(start, fault, stream):
    """Headers and keep-alives are no content; it is left when its time is over, and the next one asked."""
    silent, other = start("one", faults=fault), start("two")
    router = FreeProviders(member(silent, timeout=Timeout(first_content=0.3)), member(other, "second"))
    if stream:
        parts = list(router.stream_sync("Hi"))
        text, finish = "".join([part.text for part in parts if isinstance(part, Text)]), parts[-1]
    else:
        answer = router.complete_sync("Hi")
        text, finish = answer.text, answer.finish
    assert text == "two"
    failed, right = finish.trail
    assert "first content" in failed.error or "No content" in failed.error, failed.error
    assert (failed.requests, right.requests, right.error) == (1, 1, "")
    assert silent.wait_disconnect() == 1
    assert len(silent.requests) == 1


WORDS = "one two three four five six seven eight nine ten"
BREAKS = {"cut": 700}


def test_hops_that_fail_before_a_word_are_passed_over(start):
    """As before the first content: what nobody has seen is no seam."""
    fails = [start(WORDS, faults=[{"status": 500}]) for _ in range(3)]
    broken = start(WORDS, faults=[BREAKS, {"status": 503}])
    right = start(WORDS)
    router = FreeProviders(*map(member, [broken, *fails, right]), on_broken_stream="continue", max_requests=9)
    parts = list(router.stream_sync("Hi", temperature=0))
    assert "".join([part.text for part in parts if isinstance(part, Text)]) == WORDS
    (seam,) = parts[-1].seams
    assert seam.how == "replay"
    assert [len(server.requests) for server in (broken, *fails, right)] == [2, 1, 1, 1, 1]


def test_a_hop_waits_for_room_as_the_question_does(start):
    """The one that broke off may be the only one who can go on."""
    broken = start(WORDS, faults=[BREAKS])
    quota = Quota([{"metric": "requests", "per": "second", "cap": 1}], name="slow", transit=0.3)
    router = FreeProviders(member(broken, quota=quota), on_broken_stream="continue")
    parts = list(router.stream_sync("Hi", temperature=0, wait_up_to=30))
    assert "".join([part.text for part in parts if isinstance(part, Text)]) == WORDS
    assert [seam.how for seam in parts[-1].seams] == ["replay"]
