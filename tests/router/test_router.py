"""One model over many: the next where one fails, and one error where all do."""

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from freeproviders import FreeProviders, OpenAICompatible, Quota, Retry, Timeout
from freeproviders.backend import Backend
from freeproviders.errors import (
    ContextOverflowError,
    NoProviderError,
    ProviderConnectionError,
    ProviderError,
    QuotaTooSmallError,
    ToolCallError,
    TruncatedResponseError,
    UsageError,
)
from freeproviders.router.health import Health
from freeproviders.router.memory import Memory
from freeproviders.testing import replica
from freeproviders.types import Admitted, Asking, Attempt, Finish, Seam, Text, ToolCall, Usage
from freeproviders.usage import estimate_input_tokens, upper_input_estimate
from tests.quota.stores import Clock

NOBODY = "http://127.0.0.1:9/v1"
PICTURE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
TOOL = {
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


@pytest.fixture
def servers():
    """Start replicas that say who they are."""
    with ExitStack() as stack:

        def start(*names, **options):
            return [
                stack.enter_context(replica(OpenAICompatible, options.get("answer", name))) for name in names
            ]

        yield start


def member(server, model="m", **more):
    return OpenAICompatible(model, base_url=getattr(server, "base_url", server), **more)


def asked(*servers):
    return [len(server.requests) for server in servers]


# --- one fails, the next answers ------------------------------------------------------------------


def test_the_first_is_asked_as_long_as_it_answers(servers):
    one, two = servers("one", "two")
    router = FreeProviders(member(one), member(two))
    assert [str(router.complete_sync("Hi")) for _ in range(3)] == ["one"] * 3
    assert asked(one, two) == [3, 0]


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": True},
        {"status": 500},
        {"status": 503, "retry_after": 20},
        {"status": 429},
        {"status": 429, "retry_after": 3600},
        {"status": 402},
        {"status": 401},
        {"status": 403},
        {"status": 404},
        {"status": 400},
        {"html": True},
        {"challenge": True},
        {"error": "overloaded"},
        {"empty": True},
        {"cut": 0},
        {"redirect": "http://127.0.0.1:1/"},
    ],
    ids=str,
)
@pytest.mark.parametrize("streamed", [True, False])
def test_before_the_first_content_the_next_one_answers_silently(servers, fault, streamed):
    one, two = servers("one", "two")
    one.faults = fault
    router = FreeProviders(member(one, "first"), member(two, "second"))
    if streamed:
        parts = list(router.stream_sync("Hi"))
        text = "".join(part.text for part in parts if isinstance(part, Text))
        finish = parts[-1]
    else:
        answer = router.complete_sync("Hi")
        text, finish = answer.text, answer.finish
    assert text == "two"
    assert asked(one, two) == [1, 1]
    failed, right = finish.trail
    assert (failed.model, failed.requests, right.model, right.error) == ("first", 1, "second", "")
    assert failed.error
    assert finish.model == "second"
    assert finish.attempts == 2


async def test_a_trail_tells_who_listens_of_each_attempt(servers):
    (one,) = servers("one")
    router = FreeProviders(member(NOBODY, "gone"), member(one))
    heard = []
    request = replace(router.request("Hi"), listener=heard.append)
    parts = [part async for batch in router.answer(request) for part in batch]
    assert [type(one) for one in heard] == [Asking, Admitted, Attempt] * 2
    assert tuple(heard[2::3]) == parts[-1].trail
    assert [one.model for one in heard] == ["gone"] * 3 + ["m"] * 3


async def test_a_listener_that_fails_holds_no_place_at_a_member(servers):
    """Else a probe of a member that has failed would be under way for two minutes."""
    (one,) = servers("one")
    router = FreeProviders(member(one))
    (asked_first,) = router.members
    clock = Clock()
    health = Health(None, memory=Memory(clock.now))
    router._rules = replace(router._rules, health=health)
    health.failed(await health.admit(asked_first.key), ProviderConnectionError("no", phase="connect"))
    clock.at += 10

    def fail(event):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async for _ in router.answer(replace(router.request("Hi"), listener=fail)):
            pass
    assert health.state(asked_first.key).may_be_asked
    assert str(await router.complete("Hi")) == "one"


async def test_all_the_ways_to_ask(servers):
    (one,) = servers("one")
    router = FreeProviders(member(NOBODY), member(one))
    assert "".join(
        [text async for text in router.create_async_generator("", [{"role": "user", "content": "Hi"}])]
    )
    assert (await router.complete("Hi")).text == "one"
    assert (await anext(router.stream("Hi"))) == Text("one")
    assert (await router.complete("Hi", n=2)).others[0].text == "one"


def test_who_leaves_frees_the_connection(servers):
    with replica(
        OpenAICompatible, [f"word{number} " for number in range(500)], faults={"pace": 0.01}
    ) as server:
        router = FreeProviders(member(server))
        stream = router.stream_sync("Hi")
        assert next(stream) == Text("word0 ")
        stream.close()
        assert server.wait_disconnect() == 1


async def test_who_is_cancelled_before_the_first_word_frees_the_connection():
    with replica(OpenAICompatible, faults={"delay_headers": 30}) as server:
        task = asyncio.ensure_future(FreeProviders(member(server)).complete("Hi"))
        while not server.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await server.await_disconnect() == 1


# --- all fail -------------------------------------------------------------------------------------


def test_one_error_has_every_attempt_in_words_and_the_soonest_time(servers):
    one, two = servers("one", "two")
    one.faults = {"status": 429, "retry_after": 4000}
    two.faults = {"status": 429, "retry_after": 2000}
    with pytest.raises(NoProviderError) as caught:
        FreeProviders(member(one, "first"), member(two, "second")).complete_sync("Hi")
    error = caught.value
    assert asked(one, two) == [1, 1]
    assert [attempt.model for attempt in error.trail if attempt.requests] == ["first", "second"]
    assert "first" in str(error)
    assert "second" in str(error)
    assert 1900 < (error.soonest - datetime.now(UTC)).total_seconds() <= 2001
    assert error.is_retryable


def test_a_question_that_everybody_refuses_is_the_callers_mistake(servers):
    one, two = servers("one", "two")
    for server in (one, two):
        server.faults = {
            "status": 400,
            "body": {"error": {"message": "bad", "code": "context_length_exceeded"}},
        }
    with pytest.raises(ContextOverflowError):
        FreeProviders(member(one), member(two)).complete_sync("Hi")
    assert asked(one, two) == [1, 1]


def test_when_all_have_failed_there_is_another_round(servers):
    (one,) = servers("one")
    one.faults = [{"status": 429, "retry_after": 0.2}]
    router = FreeProviders(member(one), member(NOBODY))
    answer = router.complete_sync("Hi", wait_up_to=5)
    assert answer.text == "one"
    assert answer.finish.attempts == 3


def test_without_the_patience_nobody_is_waited_for(servers):
    (one,) = servers("one")
    one.faults = {"status": 429, "retry_after": 5}
    with pytest.raises(NoProviderError) as caught:
        FreeProviders(member(one)).complete_sync("Hi", wait_up_to=1)
    assert 4 < caught.value.retry_after <= 5
    with pytest.raises(NoProviderError):  # and it is not asked in its cool-down
        FreeProviders(member(one)).complete_sync("Hi", wait_up_to=0)
    assert asked(one) == [1]


def test_the_requests_of_a_question_are_bounded(servers):
    many = servers(*"abcdefgh")
    for server in many:
        server.faults = {"status": 500}
    with pytest.raises(NoProviderError) as caught:
        FreeProviders(*map(member, many), max_requests=3).complete_sync("Hi")
    assert sum(asked(*many)) == 3
    assert caught.value.attempts == 3


def test_a_limit_on_the_whole_question_holds_for_all_members_together():
    silent = {"delay_headers": 30}
    with replica(OpenAICompatible, faults=silent) as one, replica(OpenAICompatible, faults=silent) as two:
        router = FreeProviders(member(one), member(two)).configured(timeout=0.4)
        with pytest.raises(ProviderError):
            router.complete_sync("Hi")
        with pytest.raises(ProviderError):
            FreeProviders(member(one), member(two)).complete_sync("Hi", timeout=0.4, retry=0)


def test_a_backend_that_knows_no_deadlines_has_one():
    class Silent(Plain):
        async def batches(self, request):
            await asyncio.sleep(30)
            yield []

    router = FreeProviders(Silent("silent")).configured(timeout=0.2, retry=0)
    with pytest.raises(NoProviderError, match="No content came"):
        router.complete_sync("Hi")


def test_without_retries_nobody_is_waited_for(servers):
    (one,) = servers("one")
    one.faults = {"status": 429, "retry_after": 2}
    with pytest.raises(NoProviderError):
        FreeProviders(member(one)).complete_sync("Hi", retry=0)
    assert asked(one) == [1]


def test_only_timeout_and_retry_are_the_routers_configuration(servers):
    router = FreeProviders(member(NOBODY))
    assert router.configured(timeout=Timeout(total=5), retry=Retry(attempts=1)).members == router.members
    with pytest.raises(UsageError, match="api_key belongs to one member"):
        router.complete_sync("Hi", api_key="x")


# --- who is asked ---------------------------------------------------------------------------------


class Plain(Backend):
    """A backend in memory, which answers with its name."""

    def __init__(self, name, model="m", **able):
        self.name, self.model = name, model
        self.base_url = f"memory:{name}"
        self.asked = []
        if able:
            self._changed = able

    async def batches(self, request):
        self.asked.append(request)
        yield [Text(self.name), Finish(provider=self.name, model=self.model)]


def test_a_call_may_name_one_member(servers):
    one, two = servers("one", "two")
    router = FreeProviders(member(one, "first"), member(two, "second"))
    assert str(router.complete_sync("Hi", model="second")) == "two"
    with pytest.raises(UsageError, match=r"No member is 'third'.*first.*second"):
        router.complete_sync("Hi", model="third")
    assert asked(one, two) == [0, 1]


@pytest.mark.parametrize(
    ("able", "question", "why"),
    [
        ({}, {"messages": [{"role": "user", "content": PICTURE}]}, "pictures"),
        ({"window": 100}, {"messages": "word " * 500}, "window of 100"),
        ({"window": 1000}, {"messages": "Hi", "max_tokens": 998}, "window of 1000"),
        ({"output": 50}, {"messages": "Hi", "max_tokens": 60}, "at most 50 tokens"),
        ({}, {"messages": "Hi", "tools": [{"type": "web_search"}]}, "tools that run at the service"),
    ],
)
def test_who_cannot_answer_is_not_asked_and_named_with_the_reason(able, question, why):
    cannot = Plain("cannot", **able)
    can = Plain("can", images=True, window=10_000, output=5000, tools=True)
    router = FreeProviders(cannot, can)
    answer = router.complete_sync(**question)
    assert answer.text == "can"
    assert not cannot.asked
    passed, right = answer.finish.trail
    assert (passed.provider, passed.requests, right.provider) == ("cannot", 0, "can")
    assert why in passed.error
    kind = ContextOverflowError if "window" in why else UsageError
    with pytest.raises(kind, match=why):  # nobody can: that is the question's fault
        FreeProviders(Plain("cannot", **able)).complete_sync(**question)


def test_a_window_that_is_probably_large_enough_is_tried_last():
    words = "".join(f"{number:x} " for number in range(0, 60_000, 7))[:4000]
    upper = upper_input_estimate(Plain("x").request(words).messages, "m").tokens
    likely = estimate_input_tokens(Plain("x").request(words).messages, "m")
    assert likely + 40 < upper
    tight, roomy = Plain("tight", window=likely + 30), Plain("roomy", window=100_000)
    assert FreeProviders(tight, roomy).complete_sync(words).text == "roomy"
    assert not tight.asked
    assert FreeProviders(tight).complete_sync(words).text == "tight"


def test_the_announced_window_is_the_smallest_and_can_be_set():
    small, large, unknown = Plain("small", window=4000), Plain("large", window=9000), Plain("unknown")
    assert FreeProviders(large, small, unknown).window_of() == 4000
    assert FreeProviders(large, small).window_of("m") == 4000
    assert FreeProviders(large, small, context_window=7777).window_of() == 7777
    assert FreeProviders(large, small).abilities().window == 4000


def test_a_conversation_stays_with_who_answered_it():
    one, two = Plain("one"), Plain("two")
    router = FreeProviders(one, two, strategy="spread")
    first = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    for _ in range(4):
        answerer = router.complete_sync(first).text
        later = [*first, {"role": "assistant", "content": answerer}, {"role": "user", "content": "And?"}]
        assert router.complete_sync(later).text == answerer


def test_spread_asks_each_in_turn():
    members = [Plain(name) for name in "abc"]
    router = FreeProviders(*members, strategy="spread")
    for number in range(9):
        router.complete_sync(f"Question {number}")
    assert [len(one.asked) for one in members] == [3, 3, 3]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"strategy": "best"}, "strategy must be one of"),
        ({"privacy": "none"}, "privacy must be one of"),
        ({"on_broken_stream": "retry"}, "on_broken_stream must be one of"),
        ({"max_requests": 0}, "max_requests must be a whole number"),
        ({"context_window": -1}, "context_window must be a whole number"),
        ({"prefer": "groq"}, "prefer must be a list of names"),
    ],
)
def test_a_wrong_argument_is_said_at_once(wrong, words):
    with pytest.raises(UsageError, match=words):
        FreeProviders(Plain("one"), **wrong)


# --- limits ---------------------------------------------------------------------------------------


def limited(server, cap, per="minute", **more):
    return member(
        server, quota=Quota([{"metric": "requests", "per": per, "cap": cap}], name=server.base_url), **more
    )


def test_a_member_without_room_is_passed_over_before_anything_is_sent(servers):
    one, two = servers("one", "two")
    router = FreeProviders(limited(one, 2), member(two))
    assert [str(router.complete_sync("Hi")) for _ in range(4)] == ["one", "one", "two", "two"]
    assert asked(one, two) == [2, 2]


def test_room_that_comes_soon_is_waited_for(servers):
    (one,) = servers("one")
    router = FreeProviders(limited(one, 2, "second"))

    async def all_of_them():
        return await asyncio.gather(*[router.complete(f"Q{number}", wait_up_to=30) for number in range(8)])

    answers = asyncio.run(all_of_them())
    assert [answer.text for answer in answers] == ["one"] * 8
    assert asked(one) == [8]


def test_a_question_too_large_for_every_limit_is_said(servers):
    (one,) = servers("one")
    tokens = Quota([{"metric": "tokens", "per": "minute", "cap": 50}], name=one.base_url)
    with pytest.raises(QuotaTooSmallError):
        FreeProviders(member(one, quota=tokens)).complete_sync("word " * 100)
    assert asked(one) == [0]


# --- what models say ------------------------------------------------------------------------------


def test_an_output_error_moves_on_and_the_last_word_is_the_callers():
    wrong = [ToolCall("c1", "weather", {"town": "Paris"})]
    right = [ToolCall("c1", "weather", {"city": "Paris"})]
    with replica(OpenAICompatible, wrong) as one, replica(OpenAICompatible, right) as two:
        native = [member(server, native_tools=True) for server in (one, two)]
        answer = FreeProviders(*native).complete_sync("Weather?", tools=[TOOL], tool_choice="required")
        assert answer.tool_calls[0].arguments == {"city": "Paris"}
        assert asked(one, two) == [3, 1]  # two repairs, then the next one
        # With the wrong one alone, the call goes on as it is, since that is what the caller has said.
        alone = FreeProviders(native[0]).complete_sync("Weather?", tools=[TOOL], on_invalid="pass")
        assert alone.tool_calls[0].arguments == {"town": "Paris"}
        with pytest.raises(ToolCallError):
            FreeProviders(native[0]).complete_sync("Weather?", tools=[TOOL], on_invalid="raise")
        # The budget is one for repairs and for changes.
        before = sum(asked(one, two))
        FreeProviders(*native, max_requests=2).complete_sync("Weather?", tools=[TOOL], on_invalid="pass")
        assert sum(asked(one, two)) == before + 2


def test_a_history_made_by_one_service_goes_to_another(servers):
    (two,) = servers("two")
    history = [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [ToolCall("call_1", "weather", {"city": "Paris"})],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"},
    ]
    for native in (True, False):
        router = FreeProviders(member(NOBODY, native_tools=not native), member(two, native_tools=native))
        assert str(router.complete_sync(history, tools=[TOOL])) == "two"
    assert all(b"21 degrees" in request.body for request in two.requests)


def test_bad_requests_do_not_take_a_member_out(servers):
    one, two = servers("one", "two")
    one.faults = [{"status": 400}]
    router = FreeProviders(member(one), member(two))
    assert [str(router.complete_sync("Hi")) for _ in range(2)] == ["two", "one"]


# --- an answer that breaks off --------------------------------------------------------------------

STORY = "Once upon a time there was a river. It ran from the hills down to the sea, and nobody knew its name."


def broken_once(server, **more):
    """Let the next answer break off in its middle."""
    server.faults = [{"cut": 1500, "pace": 0.001}, more or {"pace": 0.001}]


def streamed(router, **settings):
    parts = list(router.stream_sync("Tell a story.", **settings))
    return "".join(part.text for part in parts if isinstance(part, Text)), parts[-1]


def test_an_answer_that_breaks_off_is_an_error_with_what_was_shown(servers):
    one, two = servers("one", "two", answer=STORY)
    broken_once(one)
    shown = []
    with pytest.raises(TruncatedResponseError) as caught:
        for part in FreeProviders(member(one), member(two)).stream_sync("Tell a story."):
            shown.append(part.text)
    assert caught.value.partial == "".join(shown)
    assert 0 < len(caught.value.partial) < len(STORY)
    assert asked(one, two) == [1, 0]


def test_the_same_answer_again_goes_on_where_the_first_one_broke_off(servers):
    one, two = servers("one", "two", answer=STORY)
    broken_once(one)
    heard = []
    router = FreeProviders(member(one), member(two), on_broken_stream="continue")
    request = replace(router.request("Tell a story.", temperature=0), listener=heard.append)

    async def parts():
        return [part async for batch in router.answer(request) for part in batch]

    got = asyncio.run(parts())
    text, finish = "".join(part.text for part in got if isinstance(part, Text)), got[-1]
    assert text == STORY
    assert asked(one, two) == [2, 0]
    (seam,) = finish.seams
    assert (seam.how, 0 < seam.offset < len(STORY)) == ("replay", True)
    assert [bool(attempt.error) for attempt in finish.trail] == [True, False]
    assert finish.attempts == 2
    assert [type(one) for one in heard] == [Asking, Admitted, Attempt, Asking, Admitted, Seam, Attempt]
    assert sum(isinstance(part, Usage) for part in got) == 1


def test_another_answer_from_the_beginning_says_that_what_was_shown_is_void(servers):
    one, two = servers("one", "two", answer=STORY)
    two.answer = "Quite another story, told by somebody else."
    broken_once(one, status=503)
    text, finish = streamed(FreeProviders(member(one), member(two), on_broken_stream="restart"))
    (seam,) = finish.seams
    assert seam.how == "restart"
    assert text[seam.offset :] == two.answer
    assert STORY.startswith(text[: seam.offset])


def test_going_on_has_no_more_requests_than_the_question(servers):
    one, two = servers("one", "two", answer=STORY)
    broken_once(one)
    router = FreeProviders(member(one), member(two), on_broken_stream="restart", max_requests=1)
    with pytest.raises(TruncatedResponseError) as caught:
        streamed(router)
    assert "requests are spent" in caught.value.not_resumed
    assert asked(one, two) == [1, 0]


async def test_a_backend_of_the_callers_own_has_any_attributes():
    """Its class is not ours, and names that we need later are his already."""

    class Own(Plain):
        def __init__(self):
            super().__init__("own")
            self.service, self.asked, self.account = "mine", [], "mine too"

    assert str(await Own().complete("Hi")) == "own"
    assert str(await FreeProviders(Own()).complete("Hi")) == "own"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"api_key": "k"}, r"api_key belongs to one member: configure the member, as OpenAICompatible\("),
        ({"timeout": 5}, r"timeout belongs to a question: .* configured\(timeout="),
        ({"models": ["groq"]}, r"Unknown argument 'models'\. Pass the members without a keyword"),
        ({"strategi": "spread"}, r"Unknown argument 'strategi'\. Did you mean strategy\?"),
        ({"temperature": 0}, r"temperature is a setting of a request"),
        ({"whatever": 0}, r"It takes prefer, exclude, .*, cache\."),
    ],
)
def test_an_argument_that_a_router_has_no_place_for_is_told_with_its_place(given, said):
    with pytest.raises(UsageError, match=rf"\[FreeProviders\] .*{said}"):
        FreeProviders(member(NOBODY), **given)
