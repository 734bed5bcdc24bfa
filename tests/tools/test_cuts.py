"""Answers that break off unseen: they are asked for again, over every protocol."""

import json
from functools import partial

import pytest

from freeproviders import FlowGpt, OpenAICompatible, Retry
from freeproviders.errors import ProviderError, RateLimitError, ServerError, TruncatedResponseError
from freeproviders.testing import replica
from freeproviders.tools import Draft, Structured, complete_structured, stream_structured
from freeproviders.types import Finish, Reasoning, Text, ToolCall, Usage, collect
from tests.core.services import SERVICES
from tests.tools.asking import CALL, in_turns
from tests.tools.reading import TOOLS

AT_ONCE = Retry(attempts=3, first=0, jitter=0)
GOOD = '{"name": "Ann", "age": 31}'
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
FORM = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
ENOUGH = 100_000  # bytes: the connection breaks behind the whole body
STEP = 11


async def parts_of(backend, **settings):
    request = backend.request("Go!", **settings)
    return [part async for batch in backend.answer(request) for part in batch]


def pieces(text):
    return [text[at : at + 9] for at in range(0, len(text), 9)]


def asked(r):
    """How many questions came, without ChatgptFree's page."""
    return sum(sent.method == "POST" for sent in r.requests)


async def every_cut(service, said, check, ask):
    """Ask for an answer that breaks off at each place once, and then two bytes further."""
    with replica(service.cls, answer=pieces(said), **service.style) as r:
        provider = service.provider(r, retry=AT_ONCE)
        for at in [*range(0, 700, STEP), ENOUGH]:
            before = asked(r)
            r.faults = [{"cut": at}, {"cut": at + 2}]
            check(await ask(provider), asked(r) - before)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "complete"])
@pytest.mark.parametrize("service", SERVICES, ids=str)
async def test_no_required_call_is_lost(service, stream):
    """The call comes once, wherever its answer is cut, and everything that was spent is counted."""

    def check(parts, requests):
        assert [type(part) for part in parts if not isinstance(part, Text)] == [ToolCall, Usage, Finish]
        (call,) = collect(parts).tool_calls
        assert (call.name, call.arguments) == ("get_weather", {"city": "Oslo"})
        assert collect(parts).text in {"", "Sure. "}
        assert parts[-1].attempts == requests

    settings = {"tools": TOOLS, "tool_choice": "required", "stream": stream}
    await every_cut(service, f"Sure. {CALL}", check, partial(parts_of, **settings))


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "complete"])
@pytest.mark.parametrize("service", SERVICES, ids=str)
async def test_no_object_is_lost(service, stream):
    """The object comes once and whole."""

    def check(parts, requests):
        assert [type(part) for part in parts] == [Text, Usage, Finish]
        assert json.loads(parts[0].text) == {"name": "Ann", "age": 31}
        assert parts[-1].attempts == requests

    await every_cut(service, f"Here: {GOOD}", check, partial(parts_of, response_format=FORM, stream=stream))


@pytest.mark.parametrize("service", SERVICES, ids=str)
async def test_no_optional_call_is_lost_where_the_whole_answer_is_waited_for(service):
    """Nothing has been shown, although text goes through at once in a stream."""

    def check(parts, requests):
        completion = collect(parts)
        assert completion.text == "Sure. "
        assert [call.name for call in completion.tool_calls] == ["get_weather"]
        assert completion.finish.attempts == requests

    await every_cut(service, f"Sure. {CALL}", check, partial(parts_of, tools=TOOLS, stream=False))


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "complete"])
async def test_no_required_call_of_the_services_own_is_lost(stream):
    """Native calls are held back to the end of their answer as well, with the words beside them."""
    with replica(OpenAICompatible, answer=["Sure. ", ToolCall("a", "get_weather", {"city": "Oslo"})]) as r:
        provider = OpenAICompatible("m", base_url=r.base_url, retry=AT_ONCE, native_tools=True)
        for at in [*range(0, 700, STEP), ENOUGH]:
            r.faults = [{"cut": at}, {"cut": at + 2}]
            parts = await parts_of(provider, tools=TOOLS, tool_choice="required", stream=stream)
            assert [part.id for part in parts if isinstance(part, ToolCall)] == ["a"]
            assert collect(parts).text in {"", "Sure. "}


async def test_one_required_call_ends_the_request():
    """The first call goes out at once where no second one is wanted."""
    with replica(FlowGpt, answer=[CALL, *pieces(CALL.replace("Oslo", "Rome")) * 50]) as r:
        settings = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False}
        parts = await parts_of(FlowGpt(base_url=r.base_url, retry=0), **settings)
    assert [type(part) for part in parts] == [ToolCall, Usage, Finish]


async def test_drafts_may_be_taken_back():
    """An object that is shown as it grows is asked for again as well."""
    with replica(FlowGpt, answer=pieces(GOOD)) as r:
        provider = FlowGpt(base_url=r.base_url, retry=AT_ONCE)
        for at in range(0, 500, STEP):
            r.faults = [{"cut": at}, {"cut": at + 2}]
            request = provider.request("Go!")
            *drafts, last = [step async for step in stream_structured(provider, request, PERSON)]
            assert all(isinstance(draft, Draft) for draft in drafts)
            assert isinstance(last, Structured)
            assert not last.revised
            assert last.data == {"name": "Ann", "age": 31}
            r.faults = [{"cut": at}]
            assert (await complete_structured(provider, request, PERSON)).data == last.data


async def test_usage_is_the_sum():
    """An answer that broke off has been paid for."""
    with replica(FlowGpt, answer=pieces(f"Sure. {CALL}")) as r:
        provider = FlowGpt(base_url=r.base_url, retry=AT_ONCE)
        settings = {"tools": TOOLS, "tool_choice": "required"}
        *_, usage, _ = await parts_of(provider, **settings)
        r.faults = [{"cut": 250}, {"cut": 250}]
        *_, sum_of_three, finish = await parts_of(provider, **settings)
    assert finish.attempts == 3
    assert sum_of_three.input_tokens == 3 * usage.input_tokens
    assert usage.output_tokens < sum_of_three.output_tokens < 3 * usage.output_tokens


async def test_without_retries_nothing_is_asked_again():
    with replica(FlowGpt, answer=pieces(CALL)) as r:
        provider = FlowGpt(base_url=r.base_url, retry=0)
        r.faults = [{"cut": 250}]
        with pytest.raises(TruncatedResponseError) as raised:
            await parts_of(provider, tools=TOOLS, tool_choice="required")
        assert len(r.requests) == raised.value.attempts == 1


async def test_a_busy_service_is_waited_for_as_long_as_the_request_says():
    """Also where it says so in the middle of an answer that nobody has seen, and without retries."""
    busy = {"error": "Rate limit reached, please try again in 0.1s", "status": 429, "error_at": 1}
    with replica(OpenAICompatible, answer=["Sure. ", CALL]) as r:
        provider = OpenAICompatible("m", base_url=r.base_url, retry=0)
        settings = {"tools": TOOLS, "tool_choice": "required"}
        r.faults = [busy]
        with pytest.raises(RateLimitError):
            await parts_of(provider, **settings)
        r.faults = [busy]
        (call,) = collect(await parts_of(provider, wait_up_to=5, **settings)).tool_calls
        assert call.name == "get_weather"
        assert len(r.requests) == 3


async def test_retries_end():
    """The error counts all requests."""
    with replica(FlowGpt, answer=pieces(CALL), faults={"cut": 250}) as r:
        provider = FlowGpt(base_url=r.base_url, retry=AT_ONCE)
        with pytest.raises(TruncatedResponseError, match="tried 3 times") as raised:
            await parts_of(provider, tools=TOOLS, tool_choice="required")
        assert len(r.requests) == raised.value.attempts == 3


@pytest.mark.parametrize(
    "faults",
    [
        [{"cut": 250}, {"cut": 250}, *[{"status": 503}] * 3],
        [{"status": 503}, {"cut": 250}, {"status": 503}],
        [{"status": 503}, {"status": 503}, {"cut": 250}],
    ],
)
async def test_the_attempts_are_those_of_the_whole_call(faults):
    """What the backend has tried again itself and what the rounds ask again are one number."""
    with replica(FlowGpt, answer=pieces(CALL), faults=faults) as r:
        provider = FlowGpt(base_url=r.base_url, retry=AT_ONCE)
        with pytest.raises(ProviderError) as raised:
            await parts_of(provider, tools=TOOLS, tool_choice="required")
        assert len(r.requests) == raised.value.attempts == 3


async def test_a_repair_has_the_attempts_that_are_left():
    """The rounds of one call share its retries and the seconds that it may wait."""
    bad = CALL.replace('"city": "Oslo"', "")
    with replica(FlowGpt, answer=in_turns(bad, CALL)) as r:
        r.faults = [{"status": 503}, {}, {"status": 503}, {"status": 503}]
        with pytest.raises(ServerError):
            await parts_of(FlowGpt(base_url=r.base_url, retry=AT_ONCE), tools=TOOLS)
        assert len(r.requests) == 4
    busy = {"status": 429, "retry_after": 0.1}  # half a second is the shortest wait
    with replica(FlowGpt, answer=in_turns(bad, CALL), faults=[busy, {}, busy]) as r:
        with pytest.raises(RateLimitError):
            await parts_of(FlowGpt(base_url=r.base_url, retry=0), tools=TOOLS, wait_up_to=0.9)
        assert len(r.requests) == 3


@pytest.mark.parametrize(
    ("seen", "kind"),
    [("Sure. ", Text), ("<think>hm</think>", Reasoning), (CALL, ToolCall)],
    ids=["text", "thinking", "call"],
)
async def test_what_was_shown_is_not_asked_for_again(seen, kind):
    """After the first part of a stream a cut is an error."""
    said = [seen, *["<tool_call>", '{"name": "get_weather", '] * 2]
    with replica(OpenAICompatible, answer=said, faults=[{"cut": 700}]) as r:
        provider = OpenAICompatible("m", base_url=r.base_url, retry=AT_ONCE)
        parts = []
        with pytest.raises(TruncatedResponseError):
            async for batch in provider.answer(provider.request("Go!", tools=TOOLS)):
                parts += batch
        assert [type(part) for part in parts] == [kind]
        assert len(r.requests) == 1


async def test_a_repair_that_breaks_off_is_asked_again():
    """Text of the first answer has gone out, and nothing of the second: it is not said twice."""
    bad = CALL.replace('"city": "Oslo"', "")
    with replica(FlowGpt, answer=in_turns(f"Sure. {bad}", f"Sure. {CALL}", f"Sure. {CALL}")) as r:
        r.faults = [{}, {"cut": 250}]
        provider = FlowGpt(base_url=r.base_url, retry=AT_ONCE)
        completion = collect(await parts_of(provider, tools=TOOLS))
        assert completion.finish.attempts == len(r.requests) == 3
    assert completion.text == "Sure. "
    assert [call.name for call in completion.tool_calls] == ["get_weather"]
