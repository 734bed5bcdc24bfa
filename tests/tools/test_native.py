"""Questions with tools to services that have them, or can constrain an answer: the OpenAI protocol over its replica."""

import json

import pytest

from freeproviders import OpenAICompatible
from freeproviders.errors import BadRequestError, ContextOverflowError, ToolCallError
from freeproviders.testing import replica
from freeproviders.tools import Toolbox, failed_generation
from freeproviders.types import Message, Text, ToolCall
from tests.tools.asking import CALL, answer_of, calls_of, in_turns, openai, parts_of, request
from tests.tools.reading import TOOLS

OSLO = ("get_weather", {"city": "Oslo"})
BARE = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'


def service(*answers, **options):
    return replica(OpenAICompatible, answer=in_turns(*answers), **options)


async def test_native_tools_are_used():
    """The tools go as the protocol has them; the call keeps its id, and its arguments are judged."""
    with service([ToolCall("mine", "Get-Weather", {"City": "Oslo", "days": "3"})]) as r:
        completion = await answer_of(openai(r, native_tools=True), request(tool_choice="required"))
        (sent,) = r.requests
    assert calls_of(completion) == [("get_weather", {"city": "Oslo", "days": 3})]
    assert completion.tool_calls[0].id == "mine"
    assert [tool["function"]["name"] for tool in sent.json["tools"]] == ["get_weather", "get_time", "search"]
    assert sent.json["tool_choice"] == "required"
    assert sent.json["messages"] == [{"role": "user", "content": "Weather in Oslo?"}]


async def test_native_calls_are_repaired_too():
    """An invalid native call is asked for again."""
    with service([ToolCall("a", "get_weather", {"days": "x"})], [ToolCall("b", "get_weather", {"city": "Oslo"})]) as r:
        completion = await answer_of(openai(r, native_tools=True), request())
        assert "'city' is required but missing" in r.requests[1].json["messages"][-1]["content"]
    assert calls_of(completion) == [OSLO]
    assert completion.finish.attempts == 2


async def test_markup_that_leaks_from_a_native_model_is_read():
    """A server without a parser of its own sends the model's markup as text."""
    with service(f"Ok. {CALL}") as r:
        completion = await answer_of(openai(r, native_tools=True), request())
    assert completion.text == "Ok. "
    assert calls_of(completion) == [OSLO]


async def test_allowed_tools_are_the_only_ones_sent():
    """Several allowed names: the others are not offered."""
    with service([ToolCall("a", "get_time", {})]) as r:
        await answer_of(openai(r, native_tools=True), request(tool_choice=("get_time", "search")))
        (sent,) = r.requests
    assert [tool["function"]["name"] for tool in sent.json["tools"]] == ["get_time", "search"]
    assert sent.json["tool_choice"] == "required"


async def test_a_service_that_refuses_tools_gets_them_as_words():
    """And is not asked for native ones again."""
    with service(CALL, CALL, native_tools=False) as r:
        provider = openai(r, native_tools=True)
        completion = await answer_of(provider, request())
        assert len(r.requests) == 2
        await answer_of(provider, request())
        assert len(r.requests) == 3
        assert "tools" not in r.requests[2].json
    assert calls_of(completion) == [OSLO]


GROQ = {
    "error": {
        "message": "Failed to call a function.",
        "type": "invalid_request_error",
        "code": "tool_use_failed",
        "failed_generation": '<function=get_weather{"city": "Oslo"}</function>',
    }
}


async def test_failed_generation_is_read():
    """Groq refuses what its own parser cannot read, and sends it along."""
    with service("never", faults=[{"status": 400, "body": json.dumps(GROQ)}]) as r:
        completion = await answer_of(openai(r, native_tools=True), request())
        assert len(r.requests) == 1
    assert calls_of(completion) == [OSLO]
    assert completion.finish.reason == "tool_calls"


async def test_failed_generation_without_a_call_is_asked_again():
    """What nobody can read is a complaint."""
    body = json.dumps({"error": {**GROQ["error"], "failed_generation": "well, well"}})
    with service([ToolCall("a", "get_weather", {"city": "Oslo"})], faults=[{"status": 400, "body": body}, {}]) as r:
        completion = await answer_of(openai(r, native_tools=True), request())
        assert len(r.requests) == 2
        assert "well, well" in r.requests[1].body.decode()
    assert calls_of(completion) == [OSLO]


@pytest.mark.parametrize(
    "text", ['<function=get_weather>{"city": "Oslo"}</function>', f"<tool_call>{BARE}", BARE, f"[{BARE}]", '{"name": "get_weather", "parameters": {"city": "Oslo"}'],
)  # fmt: skip
def test_failed_generations(text):
    """The forms seen in refusals."""
    (call,) = failed_generation(text, Toolbox(TOOLS))
    assert (call.name, call.arguments) == OSLO


@pytest.mark.parametrize("status", [400, 422])
async def test_other_refusals_are_errors(status):
    """A refusal that is about something else is not swallowed."""
    with service("never", faults=[{"status": status}]) as r:
        _, error = await parts_of(openai(r, native_tools=True), request())
    assert isinstance(error, BadRequestError)


# --- constrained ----------------------------------------------------------------------------------


async def test_a_required_call_is_constrained():
    """The answer's schema is one of the calls, with limits for strings; there is no branch for words."""
    with service(BARE) as r:
        parts, _ = await parts_of(openai(r, json_schema=True), request(tool_choice="required"))
        (sent,) = r.requests
    assert [(part.name, part.arguments) for part in parts if isinstance(part, ToolCall)] == [OSLO]
    assert not any(isinstance(part, Text) for part in parts)
    schema = sent.json["response_format"]["json_schema"]["schema"]
    assert [branch["properties"]["name"]["enum"] for branch in schema["anyOf"]] == [["get_weather"], ["get_time"], ["search"]]
    assert schema["anyOf"][0]["properties"]["arguments"]["properties"]["city"]["maxLength"]


async def test_an_optional_call_is_not_constrained():
    """A model under constraint cannot say no."""
    with service("Hello") as r:
        completion = await answer_of(openai(r, json_schema=True), request("Hi"))
        assert "response_format" not in r.requests[0].json
    assert completion.text == "Hello"


async def test_a_service_that_refuses_schemas_gets_words():
    """And is not asked to constrain again."""
    with service(CALL, CALL, json_schema=False) as r:
        provider = openai(r, json_schema=True)
        completion = await answer_of(provider, request(tool_choice="required"))
        assert len(r.requests) == 2
        await answer_of(provider, request(tool_choice="required"))
        assert len(r.requests) == 3
    assert calls_of(completion) == [OSLO]


async def test_constraint_after_a_result_leaves_only_what_is_left():
    """Else a small model would repeat its call for ever."""
    history = (Message("user", "Weather?"), Message("assistant", "", tool_calls=(ToolCall("c", *OSLO),)), Message("tool", "rain", tool_call_id="c"))
    with service('{"name": "get_time", "arguments": {}}', "It rains.") as r:
        asked = request(tool_choice="required")
        provider = openai(r, json_schema=True)
        completion = await answer_of(provider, type(asked)(messages=history, tools=TOOLS[:2], tool_choice="required"))
        assert r.requests[0].json["response_format"]["json_schema"]["schema"]["properties"]["name"]["enum"] == ["get_time"]
        free = await answer_of(provider, type(asked)(messages=history, tools=TOOLS[:1], tool_choice="required"))
        assert "response_format" not in r.requests[1].json
    assert calls_of(completion) == [("get_time", {})]
    assert free.text == "It rains."


async def test_constrained_and_cut():
    """A call that the limit cut off is asked for again, and then an error."""
    with service(*[BARE[:-10]] * 3) as r:
        _, error = await parts_of(openai(r, json_schema=True), request(tool_choice="get_weather"))
        assert len(r.requests) == 3
    assert isinstance(error, ToolCallError)


async def test_an_overflow_stays_one():
    """A conversation that is too long for the service is not asked in another way."""
    body = json.dumps({"error": {"message": "maximum context length is 10 tokens", "code": "context_length_exceeded"}})
    with service("never", faults=[{"status": 400, "body": body}]) as r:
        _, error = await parts_of(openai(r, json_schema=True), request(tool_choice="required"))
        assert len(r.requests) == 1
    assert isinstance(error, ContextOverflowError)
