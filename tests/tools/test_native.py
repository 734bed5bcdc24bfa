"""Questions with tools to services that have them or can constrain an answer.

They speak the OpenAI protocol, as its replica does.
"""

import json

import pytest

from freeproviders import OpenAICompatible, Retry
from freeproviders.abilities import Abilities
from freeproviders.errors import (
    BadRequestError,
    ContextOverflowError,
    ToolCallError,
    ToolsNotSupportedError,
    TruncatedResponseError,
)
from freeproviders.testing import replica
from freeproviders.tools.calls import failed_generation
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import Message, Reasoning, Text, Tool, ToolCall
from tests.tools.asking import CALL, TINY, answer_of, calls_of, in_turns, openai, parts_of, request
from tests.tools.reading import TOOLS

OSLO = ("get_weather", {"city": "Oslo"})
BARE = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'


def service(*answers, **options):
    return replica(OpenAICompatible, answer=in_turns(*answers), **options)


async def test_native_tools_are_used():
    """The tools go as the protocol has them.

    The call keeps its id, and its arguments are judged.
    """
    with service([ToolCall("mine", "Get-Weather", {"City": "Oslo", "days": "3"})]) as r:
        completion = await answer_of(openai(r, native_tools=True), request(tool_choice="required"))
        (sent,) = r.requests
    assert calls_of(completion) == [("get_weather", {"city": "Oslo", "days": 3})]
    assert completion.tool_calls[0].id == "mine"
    assert [tool["function"]["name"] for tool in sent.json["tools"]] == ["get_weather", "get_time", "search"]
    assert sent.json["tool_choice"] == "required"
    assert sent.json["messages"] == [{"role": "user", "content": "Weather in Oslo?"}]


async def test_native_reasoning_stays_reasoning():
    """Reasoning stays reasoning beside tags in the text, and while a required call is held.

    What stands in it is no call.
    """
    said = [Reasoning("hm "), Reasoning(CALL), "<think>and</think>", "Ok.", ToolCall("a", *OSLO)]
    with service(said, said) as r:
        for choice in (None, "required"):
            parts, _ = await parts_of(openai(r, native_tools=True), request(tool_choice=choice))
            assert "".join(part.text for part in parts if isinstance(part, Reasoning)) == f"hm {CALL}and"
            assert [(part.name, part.arguments) for part in parts if isinstance(part, ToolCall)] == [OSLO]


async def test_native_calls_are_repaired_too():
    """An invalid native call is asked for again."""
    with service(
        [ToolCall("a", "get_weather", {"days": "x"})], [ToolCall("b", "get_weather", {"city": "Oslo"})]
    ) as r:
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


async def test_any_is_called_required():
    """The protocol has no other word for it."""
    with service([ToolCall("a", "get_time", {})]) as r:
        await answer_of(openai(r, native_tools=True), request(tool_choice="any"))
        assert r.requests[0].json["tool_choice"] == "required"


@pytest.mark.parametrize(
    ("said", "text"),
    [("\n\n", ""), ("Hm {", "Hm {"), ("`a` <t", "`a` <t"), ("Let me see.\n\n", "Let me see.\n\n")],
)
async def test_what_is_said_before_a_native_call_goes_out_before_it(said, text):
    """Held text is no call any more once one has come by itself; white space alone is nothing."""
    with service([said, ToolCall("a", "get_time", {})]) as r:
        parts, _ = await parts_of(openai(r, native_tools=True), request())
    at = next(at for at, part in enumerate(parts) if isinstance(part, ToolCall))
    assert "".join(part.text for part in parts[:at]) == text
    assert not any(isinstance(part, Text) for part in parts[at:])


async def test_ids_of_native_calls_stay_unique():
    """Services count from the beginning in every answer."""
    with service(
        [ToolCall("call_0", "get_time", {}), ToolCall("call_1", "get_weather", {})],
        [ToolCall("call_0", *OSLO)],
    ) as r:
        completion = await answer_of(openai(r, native_tools=True), request())
    assert calls_of(completion) == [("get_time", {}), OSLO]
    assert len({call.id for call in completion.tool_calls}) == 2


async def test_a_new_call_has_the_id_of_no_earlier_one():
    """Frameworks find the result of a call by its id."""
    made = ToolCall("call_0", *OSLO)
    told = (Message("assistant", tool_calls=(made,)), Message("tool", "Rain.", tool_call_id="call_0"))
    with service([made]) as r:
        completion = await answer_of(openai(r, native_tools=True), request("And now?", *told))
    (call,) = completion.tool_calls
    assert call.id != "call_0"


async def test_without_a_choice_of_tools_none_are_sent():
    """A service that has none would refuse them.

    Where the conversation holds calls, they are needed to read it.
    """
    with service("Hi", native_tools=False) as r:
        completion = await answer_of(openai(r, native_tools=True), request(tool_choice="none"))
    assert completion.text == "Hi"
    history = (
        Message("user", "Weather?"),
        Message("assistant", "", tool_calls=(ToolCall("c", *OSLO),)),
        Message("tool", "rain", tool_call_id="c"),
    )
    with service("It rains.") as r:
        await answer_of(openai(r, native_tools=True), request("So?", *history, tool_choice="none"))
        assert r.requests[0].json["tool_choice"] == "none"
        assert r.requests[0].json["tools"]


def native_call(arguments, name="get_weather", reason="tool_calls"):
    function = {"name": name, "arguments": arguments}
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "a", "type": "function", "function": function}],
    }
    return {
        "status": 200,
        "content_type": "application/json",
        "body": {"choices": [{"index": 0, "message": message, "finish_reason": reason}]},
    }


async def test_native_arguments_that_are_no_json_are_asked_for_again():
    """As any other invalid call; and in the end it is the same error."""
    with service([ToolCall("a", *OSLO)], faults=[native_call('{"city": Oslo!'), {}]) as r:
        completion = await answer_of(openai(r, native_tools=True), request())
        assert "Oslo!" in r.requests[1].body.decode()
    assert calls_of(completion) == [OSLO]
    assert completion.invalid_tool_calls == ()
    with service(faults=[native_call('{"city": Oslo!')] * 3) as r:
        parts, error = await parts_of(openai(r, native_tools=True), request())
        assert len(r.requests) == 3
    assert parts == []
    assert isinstance(error, ToolCallError)
    assert error.said == 'get_weather({"city": Oslo!)'


async def test_an_estimate_counts_native_calls_and_thinking_that_was_cut():
    """A service that counts no tokens itself, and an answer that ended before they were counted."""
    long = json.dumps({"city": "Oslo" * 100})
    with service(faults=native_call(long)) as r:
        completion = await answer_of(openai(r, native_tools=True), request(), stream=False)
    assert completion.usage.estimated
    assert completion.usage.output_tokens >= len(long) // 8
    frames = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "reasoning_content": "hm " * 300}}]},
        {"error": {"message": "The engine has crashed", "code": 500}},
    ]
    body = "".join(f"data: {json.dumps(frame)}\n\n" for frame in frames)
    fault = {"status": 200, "content_type": "text/event-stream", "body": body}
    with service(CALL, faults=[fault, {}]) as r:
        provider = openai(r, retry=Retry(attempts=2, first=0))
        completion = await answer_of(provider, request(), reasoning="drop")
        assert len(r.requests) == 2
    assert completion.usage.output_tokens >= len("hm " * 300) // 8


async def test_a_native_call_of_nothing_is_asked_for_again():
    """One without a name and without arguments is as invalid as any other."""
    with service([ToolCall("a", *OSLO)], faults=[native_call("", name=""), {}]) as r:
        completion = await answer_of(openai(r, native_tools=True), request())
        assert len(r.requests) == 2
        assert "has no name" in r.requests[1].json["messages"][-1]["content"]
    assert calls_of(completion) == [OSLO]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_call_that_the_token_limit_cut_is_an_error_at_once(stream):
    """The same limit would cut every further answer; the error says which to raise."""
    cut = native_call('{"city": "Os', reason="length")
    with service([ToolCall("a", *OSLO)], faults=[cut, {}]) as r:
        _, error = await parts_of(openai(r, native_tools=True), request(), stream=stream)
        assert len(r.requests) == 1
    assert isinstance(error, TruncatedResponseError)
    assert not error.is_retryable
    assert "Raise max_tokens" in str(error)


async def test_a_service_that_refuses_tools_gets_them_as_words():
    """And is not asked for native ones again."""
    with service(CALL, CALL, native_tools=False) as r:
        provider = openai(r, native_tools=True)
        completion = await answer_of(provider, request())
        assert completion.finish.attempts == len(r.requests) == 2
        await answer_of(provider, request())
        assert len(r.requests) == 3
        assert "tools" not in r.requests[2].json
    assert calls_of(completion) == [OSLO]


class Claims(OpenAICompatible):
    """A backend that claims abilities whatever its service has refused."""

    def abilities(self, model=None):
        del model
        return Abilities(tools=True, schema=True)


@pytest.mark.parametrize(
    ("choice", "schema", "requests"), [("auto", True, 2), ("required", True, 2), ("required", False, 3)]
)
async def test_a_claim_does_not_outlive_a_refusal(choice, schema, requests):
    """Each refused way is tried once in a call; another try for ever would send requests for ever."""
    said = BARE if choice == "required" and schema else CALL
    with service(said, native_tools=False, json_schema=schema) as r:
        completion = await answer_of(Claims("m", base_url=r.base_url), request(tool_choice=choice))
        assert completion.finish.attempts == len(r.requests) == requests
    assert calls_of(completion) == [OSLO]


async def test_thinking_that_was_shown_is_not_shown_again():
    """A refusal behind it is an error, since another round would think once more."""
    frames = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "reasoning_content": "hm"}}]},
        {"error": {"message": "This model does not support tools", "code": 400}},
    ]
    body = "".join(f"data: {json.dumps(frame)}\n\n" for frame in frames)
    fault = {"status": 200, "content_type": "text/event-stream", "body": body}
    for stream in (True, False):
        with service(CALL, faults=[fault, {}]) as r:
            parts, error = await parts_of(openai(r, native_tools=True), request(), stream=stream)
            assert len(r.requests) == (1 if stream else 2)
        assert [part.text for part in parts if isinstance(part, Reasoning)] == (["hm"] if stream else [])
        assert isinstance(error, ToolsNotSupportedError) is stream


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
    with service(
        [ToolCall("a", "get_weather", {"city": "Oslo"})], faults=[{"status": 400, "body": body}, {}]
    ) as r:
        completion = await answer_of(openai(r, native_tools=True), request())
        assert len(r.requests) == 2
        assert "well, well" in r.requests[1].body.decode()
    assert calls_of(completion) == [OSLO]


async def test_failed_generation_of_a_call_that_was_made_ends():
    """The good call of the first answer is all that is sent along.

    There is nothing left to ask for.
    """
    body = json.dumps({"error": {**GROQ["error"], "failed_generation": "<function=get_time>{}</function>"}})
    first = [ToolCall("a", "get_time", {}), ToolCall("b", "get_weather", {})]
    with service(first, faults=[{}, {"status": 400, "body": body}]) as r:
        completion = await answer_of(openai(r, native_tools=True), request())
        assert len(r.requests) == 2
    assert calls_of(completion) == [("get_time", {})]


@pytest.mark.parametrize(
    "text", ['<function=get_weather>{"city": "Oslo"}</function>', f"<tool_call>{BARE}", BARE, f"[{BARE}]",
             '{"name": "get_weather", "parameters": {"city": "Oslo"}'],
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
    """The answer's schema is one of the calls, each with its parameters as they are.

    There is no branch for words.
    """
    with service(BARE) as r:
        parts, _ = await parts_of(openai(r, json_schema=True), request(tool_choice="required"))
        (sent,) = r.requests
    assert [(part.name, part.arguments) for part in parts if isinstance(part, ToolCall)] == [OSLO]
    assert not any(isinstance(part, Text) for part in parts)
    schema = sent.json["response_format"]["json_schema"]["schema"]
    assert [branch["properties"]["name"]["enum"] for branch in schema["anyOf"]] == [
        ["get_weather"],
        ["get_time"],
        ["search"],
    ]
    assert [branch["properties"]["arguments"] for branch in schema["anyOf"]] == [
        tool.parameters for tool in TOOLS
    ]
    assert "strict" not in sent.json["response_format"]["json_schema"]  # which takes no union there


async def test_the_only_required_call_is_constrained_strictly():
    """What the model may leave out is null then, which no function gets."""
    said = '{"name": "get_weather", "arguments": {"city": "Oslo", "days": null}}'
    with service(said) as r:
        parts, _ = await parts_of(openai(r, json_schema=True), request(tool_choice="get_weather"))
        form = r.requests[0].json["response_format"]["json_schema"]
    assert [(part.name, part.arguments) for part in parts if isinstance(part, ToolCall)] == [OSLO]
    assert form["strict"] is True
    assert form["schema"]["properties"]["arguments"]["required"] == ["city", "days", "unit"]


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


async def test_a_refusal_for_another_reason_is_not_remembered():
    """What is refused in words as well was not refused for its schema.

    The next question is constrained again.
    """
    with service(BARE, faults=[{"status": 400}, {"status": 400}, {}]) as r:
        provider = openai(r, native_tools=False, json_schema=True)
        _, error = await parts_of(provider, request(tool_choice="required"))
        assert isinstance(error, BadRequestError)
        await answer_of(provider, request(tool_choice="required"))
        assert ["response_format" in sent.json for sent in r.requests] == [True, False, True]


async def test_constraint_after_a_result_leaves_only_what_is_left():
    """For a tiny model, which would repeat its call for ever; any other may call each tool again."""
    history = (
        Message("user", "Weather?"),
        Message("assistant", "", tool_calls=(ToolCall("c", *OSLO),)),
        Message("tool", "rain", tool_call_id="c"),
    )
    with service('{"name": "get_time", "arguments": {}}', "It rains.") as r:
        asked = request(tool_choice="required")
        provider = openai(r, TINY, json_schema=True)
        completion = await answer_of(
            provider, type(asked)(messages=history, tools=TOOLS[:2], tool_choice="required")
        )
        assert r.requests[0].json["response_format"]["json_schema"]["schema"]["properties"]["name"][
            "enum"
        ] == ["get_time"]
        free = await answer_of(
            provider, type(asked)(messages=history, tools=TOOLS[:1], tool_choice="required")
        )
        assert "response_format" not in r.requests[1].json
    assert calls_of(completion) == [("get_time", {})]
    assert free.text == "It rains."
    with service(BARE) as r:
        completion = await answer_of(
            openai(r, json_schema=True), type(asked)(messages=history, tools=TOOLS, tool_choice="required")
        )
    assert calls_of(completion) == [OSLO]


async def test_constrained_and_cut():
    """A call that the limit cut off is asked for again, and then an error."""
    with service(*[BARE[:-10]] * 3) as r:
        _, error = await parts_of(openai(r, json_schema=True), request(tool_choice="get_weather"))
        assert len(r.requests) == 3
    assert isinstance(error, ToolCallError)


async def test_an_overflow_stays_one():
    """A conversation that is too long for the service is not asked in another way."""
    body = json.dumps(
        {"error": {"message": "maximum context length is 10 tokens", "code": "context_length_exceeded"}}
    )
    with service("never", faults=[{"status": 400, "body": body}]) as r:
        _, error = await parts_of(openai(r, json_schema=True), request(tool_choice="required"))
        assert len(r.requests) == 1
    assert isinstance(error, ContextOverflowError)


LOOSE = Tool("free", "", {"type": "object", "additionalProperties": True}, strict=True)
STRICT = Tool("get_weather", "", TOOLS[0].parameters, strict=True)


async def test_a_tool_is_strict_only_in_the_strict_form():
    """All its keys are required then, and nulls for those that may be left out reach no function."""
    said = [ToolCall("c", "get_weather", {"city": "Oslo", "days": None, "unit": None})]
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": LOOSE.parameters, "strict": True}}
    with service(said) as r:
        provider = openai(r, native_tools=True, json_schema=True)
        completion = await answer_of(provider, request(tools=(STRICT, LOOSE), response_format=form))
        sent = r.requests[0].json
    assert calls_of(completion) == [OSLO]
    strict, loose = (tool["function"] for tool in sent["tools"])
    assert strict["strict"] is True
    assert strict["parameters"]["required"] == ["city", "days", "unit"]
    assert "strict" not in loose
    assert loose["parameters"] == LOOSE.parameters
    assert sent["response_format"] == {"type": "json_object"}
