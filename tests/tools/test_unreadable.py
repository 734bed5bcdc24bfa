"""Native calls that nobody can make, alone in their answer: the rest of the answer is not lost.

Text, thinking, tokens and the end come as beside calls that can be made; the error for who takes the
answer as it came holds them, too.
"""

import copy
import json
import pickle

import pytest

from freeproviders import OpenAICompatible, Quota, Retry
from freeproviders.backend import Backend
from freeproviders.errors import ToolCallError
from freeproviders.quota.opening import open_ledger
from freeproviders.testing import replica
from freeproviders.tools import answer as answered
from freeproviders.types import (
    Finish,
    InvalidToolCall,
    Reasoning,
    Text,
    ToolCall,
    ToolCallDelta,
    Usage,
    collect,
)
from langchain_freeproviders import ChatOpenAICompatible
from tests.tools.asking import answer_of, calls_of, in_turns, openai, parts_of, request

OSLO = ("get_weather", {"city": "Oslo"})
CUT = '{"city": "Os'
COST, MORE = Usage(1000, 500), Usage(2000, 50)
BEFORE = [Reasoning("Which city?"), Text("Let me look. ")]

streams = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


def bad(arguments=CUT, name="get_weather"):
    return InvalidToolCall("bad", name, arguments, "")


def service(*answers, **options):
    return replica(OpenAICompatible, answer=in_turns(*answers), **options)


def native(r, **options):
    return openai(r, native_tools=True, **options)


def facts(completion):
    return completion.text, completion.reasoning, completion.usage


@streams
async def test_nothing_is_lost_by_a_repair(stream):
    """What it costs is the sum of both answers, as the service counted them."""
    good = [ToolCall("a", *OSLO), MORE]
    for calls in ([bad()], [bad(), bad("[", "get_time")], [bad("{}", "")]):
        with service([*BEFORE, *calls, COST], good) as r:
            completion = await answer_of(native(r), request(), stream=stream)
            assert len(r.requests) == 2
        assert facts(completion) == ("Let me look. ", "Which city?", COST + MORE)
        assert calls_of(completion) == [OSLO]
        assert completion.invalid_tool_calls == ()
        assert completion.finish.attempts == 2


@streams
async def test_what_can_be_read_after_all_is_no_error(stream):
    """It is the same answer as with the object that was meant."""
    with service([*BEFORE, bad("null", "get_time"), COST]) as r:
        completion = await answer_of(native(r), request(), stream=stream)
        assert len(r.requests) == 1
    assert calls_of(completion) == [("get_time", {})]
    assert facts(completion) == ("Let me look. ", "Which city?", COST)
    assert completion.finish.response_id
    assert completion.finish.reason == completion.finish.raw_reason == "tool_calls"


@streams
@pytest.mark.parametrize("repairs", [0, 1])
async def test_the_error_says_what_all_answers_cost(stream, repairs):
    with service(*[[*BEFORE, bad(), COST]] * (repairs + 1)) as r:
        parts, error = await parts_of(native(r), request(), stream=stream, max_repairs=repairs)
        assert len(r.requests) == repairs + 1
    assert isinstance(error, ToolCallError)
    assert error.usage == (COST + COST if repairs else COST)
    assert error.finish.response_id
    assert error.finish.attempts == repairs + 1
    assert error.said == f"Let me look. get_weather({CUT})"
    assert not any(isinstance(part, InvalidToolCall) for part in parts)


@streams
@pytest.mark.parametrize("cut", [1, 7, 10_000])
async def test_who_takes_an_answer_as_it_came_gets_it_with_the_error(stream, cut):
    """No call that cannot be made goes out alone; nothing is asked again of the service."""
    with service([*BEFORE, bad(), COST], faults=[{"chunk": cut}]) as r:
        provider, parts = openai(r, retry=Retry(attempts=3, first=0)), []
        with pytest.raises(ToolCallError, match="no JSON object") as caught:
            async for batch in provider.batches(request(tools=(), stream=stream)):
                parts += batch
        assert len(r.requests) == 1
    error = caught.value
    for one in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        whole = collect([*parts, *one.rest])
        assert facts(whole) == ("Let me look. ", "Which city?", COST)
        assert [(call.name, call.text) for call in whole.invalid_tool_calls] == [("get_weather", CUT)]
        assert one.usage == COST
        assert one.finish == whole.finish
        assert one.calls == whole.invalid_tool_calls
    assert [type(part) for part in error.rest[-3:]] == [InvalidToolCall, Usage, Finish]
    assert bool(parts) is stream


async def test_pieces_that_were_shown_end_in_the_error():
    """Frameworks complete what they were shown, so a valid call beside it does not help."""
    for calls in ([bad()], [ToolCall("a", *OSLO), bad()]):
        with service([*BEFORE, *calls, COST]) as r:
            asked = request(stream_tool_arguments=True)
            parts, error = await parts_of(native(r), asked)
        assert isinstance(error, ToolCallError)
        assert "".join(part.text for part in parts if isinstance(part, Text)) == "Let me look. "
        assert any(isinstance(part, ToolCallDelta) for part in parts)
        assert not any(isinstance(part, ToolCall | InvalidToolCall) for part in parts)
        assert error.usage == COST
        assert [type(part) for part in error.rest] == [*map(type, calls), Usage, Finish]


@streams
async def test_a_question_that_is_put_otherwise_has_cost_what_it_has(stream):
    """An answer to the tools in both ways, of nothing but a call that cannot be read."""
    call = json.dumps({"name": OSLO[0], "arguments": OSLO[1]})
    with service([bad(), COST], [f"<tool_call>{call}</tool_call>", MORE]) as r:
        completion = await answer_of(openai(r), request(), stream=stream)
        assert len(r.requests) == 2
    assert calls_of(completion) == [OSLO]
    assert completion.usage == COST + MORE


@streams
async def test_the_ledger_gets_what_the_service_counted(stream, tmp_path):
    limit = {"metric": "tokens", "per": "day", "cap": 100_000}
    quota = Quota([limit], name="mine", ledger=tmp_path / "quota.db")
    with service([*BEFORE, bad(), COST], [ToolCall("a", *OSLO), MORE]) as r:
        completion = await answer_of(native(r, quota=quota), request(), stream=stream)
    assert completion.finish.quota
    (row,) = [row for row in await open_ledger(tmp_path / "quota.db").standings() if row.rule.per]
    assert (row.used, row.running) == (3550, 0)


class Foreign:
    """A backend of someone else's."""

    name = "Foreign"
    model = "m"

    def __init__(self, *batches):
        self._batches = batches

    async def batches(self, request):
        for batch in self._batches:
            yield batch


async def test_a_backend_of_someone_else_s_keeps_the_same_rule():
    asked = request(tools=())
    lone = Foreign([Text("So. ")], [bad()], [COST, Finish("tool_calls")])
    parts, error = await parts_of(Backend.of(lone), asked)
    assert isinstance(error, ToolCallError)
    assert "Foreign" in str(error)
    assert (error.usage, error.finish.reason) == (COST, "tool_calls")
    assert collect([*parts, *error.rest]).text == "So. "
    good = ToolCall("a", *OSLO)
    for first, second in (([bad()], [good]), ([good], [bad()])):
        beside = Foreign(first, second, [COST, Finish("tool_calls")])
        parts = [part async for batch in answered(Backend.of(beside), asked) for part in batch]
        assert parts[:2] == [*first, *second]


@pytest.mark.parametrize("repairs", [0, 1])
async def test_objects_in_langchain_know_what_they_have_cost(repairs):
    """By a tool that is named: `include_raw` has the message of the error, with its usage."""
    said = [*BEFORE, bad(name="Weather"), COST]
    good = [ToolCall("a", "Weather", {"city": "Oslo"}), MORE]
    schema = {"title": "Weather", "type": "object", "properties": {"city": {"type": "string"}}}
    with service(said, *([good] if repairs else [])) as r:
        model = ChatOpenAICompatible(
            model="m", base_url=r.base_url, native_tools=True, json_schema=False, max_repairs=repairs
        )
        structured = model.with_structured_output(schema, method="function_calling", include_raw=True)
        answer = await structured.ainvoke("Weather in Oslo?")
    cost = COST + MORE if repairs else COST
    assert answer["raw"].usage_metadata["input_tokens"] == cost.input_tokens
    assert answer["parsed"] == ({"city": "Oslo"} if repairs else None)
    assert isinstance(answer["parsing_error"], ToolCallError) is not bool(repairs)
