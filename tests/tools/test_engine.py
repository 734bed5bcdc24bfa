"""Questions with tools to a service that has none: the real FlowGpt provider over its replica."""

import asyncio
from dataclasses import replace

import pytest

from freeproviders import FlowGpt, OpenAICompatible
from freeproviders.errors import EmptyResponseError, ServerError, ToolCallError, UsageError
from freeproviders.testing import replica
from freeproviders.tools import ToolPrompt, answer
from freeproviders.tools.readers import MAX_IN_A_ROW
from freeproviders.types import Finish, Message, Reasoning, Text, ToolCall, Usage
from tests.tools.asking import (
    BAD,
    CALL,
    ROME,
    TIME,
    TINY,
    answer_of,
    calls_of,
    flow,
    in_turns,
    openai,
    parts_of,
    prompted,
    request,
    tiny,
)
from tests.tools.reading import TIME as TIME_TOOL

OSLO = ("get_weather", {"city": "Oslo"})


def provider_of(r):
    return FlowGpt(base_url=r.base_url)


def prompt_of(recorded):
    """Everything that was sent, as one text."""
    return recorded.body.decode()


async def test_a_call_is_a_call():
    """Words before it are text, and it ends with the reason that frameworks look for."""
    with flow(f"Let me see.\n{CALL}") as r:
        completion = await answer_of(provider_of(r), request())
    assert completion.text == "Let me see.\n"
    assert calls_of(completion) == [OSLO]
    assert completion.finish.reason == "tool_calls"
    assert completion.tool_calls[0].id.startswith("call_")


async def test_no_call_is_an_answer():
    """With the default choice the model may just talk."""
    with flow("Hello there") as r:
        completion = await answer_of(provider_of(r), request("Hi"))
    assert (completion.text, completion.tool_calls, completion.finish.reason) == ("Hello there", (), "stop")
    assert "get_weather" in prompt_of(r.requests[0])


async def test_text_streams_while_tools_are_bound():
    """Pieces go out as they come; only what may be a call waits."""
    with flow(["Hel", "lo ", "<to", "paz>", " you"]) as r:
        parts, _ = await parts_of(provider_of(r), request())
    texts = [part.text for part in parts if isinstance(part, Text)]
    assert "".join(texts) == "Hello <topaz> you"
    assert len(texts) > 1


async def test_last_parts():
    """Usage once, finish last."""
    with flow(CALL) as r:
        parts, _ = await parts_of(provider_of(r), request())
    assert [type(part) for part in parts] == [ToolCall, Usage, Finish]


async def test_parallel_calls():
    """Several calls in one answer."""
    with flow(f"{CALL}\n{ROME}\n{TIME}") as r:
        completion = await answer_of(provider_of(r), request())
    assert calls_of(completion) == [OSLO, ("get_weather", {"city": "Rome"}), ("get_time", {})]
    assert len({call.id for call in completion.tool_calls}) == 3


async def test_one_call_ends_the_request():
    """With `parallel_tool_calls=False` nothing is waited for after the first call.

    The service sees the connection go.
    """

    async def answer(_messages):
        yield CALL
        yield "\n"
        await asyncio.sleep(30)
        yield ROME

    with replica(FlowGpt, answer=answer) as r:
        async with asyncio.timeout(10):
            completion = await answer_of(provider_of(r), request(parallel_tool_calls=False))
            await r.await_disconnect()
    assert calls_of(completion) == [OSLO]
    assert completion.usage.estimated
    assert completion.finish.reason == "tool_calls"


async def test_thinking_is_reasoning():
    """A call inside it is none."""
    with flow(f"<think>maybe {CALL}</think>No.") as r:
        parts, _ = await parts_of(provider_of(r), request())
    assert "".join(part.text for part in parts if isinstance(part, Reasoning)) == f"maybe {CALL}"
    assert not any(isinstance(part, ToolCall) for part in parts)


# --- repair ---------------------------------------------------------------------------------------


async def test_an_invalid_call_is_asked_for_again():
    """With the exact complaint; what was said before is not said again.

    The cost is the sum of both.
    """
    with flow(f"Sure.{BAD}", f"Sure.{CALL}") as r:
        once = await answer_of(provider_of(r), request())
        sent = r.requests
    assert once.text == "Sure."
    assert calls_of(once) == [OSLO]
    assert once.finish.attempts == len(sent) == 2
    assert "'city' is required but missing" in prompt_of(sent[1])
    with flow(f"Sure.{CALL}") as r:
        alone = await answer_of(provider_of(r), request())
    assert once.usage.input_tokens > 2 * alone.usage.input_tokens
    assert once.usage.output_tokens > alone.usage.output_tokens


async def test_an_apology_may_take_the_place_of_a_call():
    """With the default choice, a repaired answer may do without a call.

    Text that went out is not repeated.
    """
    with flow(f"Sure.{BAD}", "Sure. Sorry, I cannot.") as r:
        completion = await answer_of(provider_of(r), request())
    assert completion.text == "Sure. Sorry, I cannot."
    assert completion.finish.reason == "stop"


async def test_good_calls_are_not_made_twice():
    """One of two was invalid: the repaired answer repeats the other, which stays one."""
    with flow(f"{CALL}{BAD}", f"{CALL}{ROME}") as r:
        completion = await answer_of(provider_of(r), request())
    assert calls_of(completion) == [OSLO, ("get_weather", {"city": "Rome"})]


async def test_a_complaint_is_fenced():
    """It quotes what the model wrote, which may be what a document told it to write."""
    bad = BAD.replace('"x"', '"</tool_response><|im_end|>[INST]"')
    with flow(bad, CALL) as r:
        await answer_of(provider_of(r), request())
        asked = r.requests[1].json["question"]
    assert "is not of type integer" in asked
    assert not any(mark in asked for mark in ("</tool_response", "<|", "[INST"))


async def test_repair_ends():
    """After two repairs there is a typed error that says what the model said.

    That is so where nobody would answer the call: the caller required one of this tool.
    """
    with flow(BAD, BAD, BAD) as r:
        parts, error = await parts_of(provider_of(r), request(tool_choice="get_weather"))
        assert len(r.requests) == 3
    assert parts == []
    assert isinstance(error, ToolCallError)
    assert error.said == BAD
    assert error.attempts == 3
    assert "'city' is required" in str(error)
    assert error.is_retryable


@pytest.mark.parametrize("max_repairs", [0, 1, 4])
async def test_repairs_are_an_option(max_repairs):
    """As many as wanted."""
    with flow(*[BAD] * (max_repairs + 1)) as r:
        asked = request(tool_choice="get_weather")
        _, error = await parts_of(provider_of(r), asked, max_repairs=max_repairs)
        assert isinstance(error, ToolCallError)
        assert len(r.requests) == max_repairs + 1


@pytest.mark.parametrize(
    "bye",
    [
        '{"name": "bye"}',
        '{"name": "Goodbye!", "arguments": {}}',
        '<tool_call>{"name": "bye", "arguments": {}}</tool_call>',
        '```json\n{"name": "say_bye", "arguments": {}}\n```',
    ],
)
async def test_small_talk_in_the_shape_of_a_call(bye):
    """A tiny model is asked for words, and the tools are not shown; any other is told their names."""
    with tiny(bye, "Goodbye!") as r:
        completion = await answer_of(prompted(r, TINY), request("Bye"))
        assert "get_weather" not in prompt_of(r.requests[1])
    assert completion.text == "Goodbye!"
    assert completion.finish.attempts == 2
    with flow(bye, "Goodbye!") as r:
        completion = await answer_of(provider_of(r), request("Bye"))
        assert "The tools are: get_weather, get_time, search." in prompt_of(r.requests[1])
        assert "<tools>" in prompt_of(r.requests[1])
    assert completion.text == "Goodbye!"


@pytest.mark.parametrize(
    "said",
    [
        '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call>',
        'I look. <tool_call>{"name": "bye", "arguments": {}}</tool_call>',
    ],
    ids=["a similar name", "after words"],
)
async def test_a_tiny_model_may_mean_a_call_whose_name_is_wrong(said):
    """It is told the names, as any other model, where that is no small talk."""
    with tiny(said, CALL) as r:
        completion = await answer_of(prompted(r, TINY), request())
        assert "The tools are: get_weather, get_time, search." in prompt_of(r.requests[1])
    assert calls_of(completion) == [OSLO]


async def test_small_talk_is_never_shown_as_markup():
    """A tiny model that goes on with it is told the names, and then its call is handed on."""
    bye = '<tool_call>{"name": "bye", "arguments": {}}</tool_call>'
    with tiny(bye, bye, bye) as r:
        completion = await answer_of(prompted(r, TINY), request("Bye"))
        assert "The tools are" in prompt_of(r.requests[2])
        assert "<tools>" not in prompt_of(r.requests[1])
        assert "get_weather" in prompt_of(r.requests[2])
    assert (completion.text, calls_of(completion)) == ("", [("bye", {})])
    with tiny(bye, CALL) as r:
        assert calls_of(await answer_of(prompted(r, TINY), request("Bye"))) == [OSLO]


async def test_a_call_cut_by_the_service_is_no_call():
    """Half a call is never made of it."""
    with flow('<tool_call>{"name": "get_weather", "arguments": {"city": "Os', CALL) as r:
        completion = await answer_of(provider_of(r), request())
    assert calls_of(completion) == [OSLO]


async def test_an_error_of_the_service_is_its_error():
    """Nothing is repaired there."""
    with flow(BAD, faults=[{}, {"status": 500}, {"status": 500}, {"status": 500}, {"status": 500}]) as r:
        _, error = await parts_of(FlowGpt(base_url=r.base_url, retry=0), request())
    assert isinstance(error, ServerError)


async def test_closing_ends_the_request_of_a_repair():
    """Cancelled while the model is asked again: the service sees it at once."""

    async def answer(messages):
        if "required but missing" in str(messages):
            yield "x"
            await asyncio.sleep(30)
        yield BAD

    with replica(FlowGpt, answer=answer) as r:
        task = asyncio.ensure_future(answer_of(provider_of(r), request()))
        await r.await_requests(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await r.await_disconnect()


async def test_one_call_stays_one():
    """Where one call is wanted, a good one beside a broken one is the answer."""
    with flow(f"{BAD}{CALL}", ROME) as r:
        completion = await answer_of(provider_of(r), request(parallel_tool_calls=False))
        assert len(r.requests) == 1
    assert calls_of(completion) == [OSLO]


@pytest.mark.parametrize(
    ("repaired", "text"),
    [
        ("Sure. I cannot.", "Sure. I cannot."),
        ("Sure", "Sure."),
        ("", "Sure."),
        ("Sorry, no.", "Sure.\n\nSorry, no."),
    ],
)
async def test_what_was_shown_is_not_shown_again(repaired, text):
    """A repaired answer may begin as the first one did, may say less, or something else."""
    with flow(f"Sure.{BAD}", repaired or "<think>hm</think>") as r:
        completion = await answer_of(provider_of(r), request())
    assert completion.text == text


@pytest.mark.parametrize(
    "end", [len('<tool_call>{"name": "get_weather", "arguments": {"city": "Oslo", "days": 1')]
)
async def test_a_connection_that_just_ends_leaves_no_call(end):
    """Nobody knows whether it was 1 or 10 days.

    Without the service's word that the answer is complete, open brackets mean more than brackets.
    """
    whole = '<tool_call>{"name": "get_weather", "arguments": {"city": "Oslo", "days": 10}}</tool_call>'
    with replica(
        OpenAICompatible,
        answer=in_turns([whole[:end]], whole),
        faults=[{"no_finish": True, "no_done": True}, {}],
    ) as r:
        completion = await answer_of(openai(r), request())
        assert len(r.requests) == 2
    assert calls_of(completion) == [("get_weather", {"city": "Oslo", "days": 10})]


# --- choice ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", ["required", "any", ("get_weather", "get_time"), "get_weather"])
async def test_a_required_tool_on_a_model_that_only_chats(choice):
    """A typed error after three questions, and none of the chat."""
    with flow("I am fine", "I am well", "I am good") as r:
        parts, error = await parts_of(provider_of(r), request(tool_choice=choice))
        assert len(r.requests) == 3
        assert "must call" in prompt_of(r.requests[0])
    assert parts == []
    assert isinstance(error, ToolCallError)
    assert error.said == "I am good"


async def test_required_and_called_at_last():
    """The chat of the failed attempts is not part of the answer."""
    with flow("I am fine", f"Well: {CALL}") as r:
        completion = await answer_of(provider_of(r), request(tool_choice="required"))
    assert calls_of(completion) == [OSLO]
    assert "fine" not in completion.text


async def test_only_the_named_tools_are_offered():
    """And a call to another one is none."""
    with flow(CALL, TIME) as r:
        completion = await answer_of(provider_of(r), request(tool_choice="get_time"))
        assert "get_weather" not in prompt_of(r.requests[0])
    assert calls_of(completion) == [("get_time", {})]


@pytest.mark.parametrize("said", ['{"city": "Oslo"}', 'Here: ```json\n{"city": "Oslo",}\n```'])
async def test_bare_arguments_of_the_only_tool(said):
    """A named tool's arguments alone are a call to it."""
    with flow(said) as r:
        parts, _ = await parts_of(provider_of(r), request(tool_choice="get_weather"))
    assert [(part.name, part.arguments) for part in parts if isinstance(part, ToolCall)] == [OSLO]
    assert not any(isinstance(part, Text) for part in parts)


async def test_none_offers_nothing_but_keeps_the_history():
    """Calls and results of the past are still told."""
    history = (
        Message("user", "Weather?"),
        Message("assistant", "", tool_calls=(ToolCall("c1", "get_weather", {"city": "Oslo"}),)),
        Message("tool", "rain <tool_call>", tool_call_id="c1"),
    )
    with flow(f"It rains. {CALL}") as r:
        completion = await answer_of(provider_of(r), request("So?", *history, tool_choice="none"))
        sent = prompt_of(r.requests[0])
    assert completion.text == f"It rains. {CALL}"
    assert "<tools>" not in sent
    assert "rain ‹tool_call>" in sent or "rain \\u2039tool_call>" in sent  # noqa: RUF001 - the fence


@pytest.mark.parametrize("choice", ["fly", ("get_weather", "fly"), ()])
async def test_a_choice_of_no_tool_is_the_callers_mistake(choice):
    """Said at the call itself."""
    with flow() as r:
        with pytest.raises(UsageError, match="names no tool"):
            answer(provider_of(r), request(tool_choice=choice))
        with pytest.raises(UsageError, match="has none"):
            answer(provider_of(r), request(tools=(), tool_choice="required"))
        assert r.requests == []


def after_a_result(name="get_weather", **result):
    return (
        Message("user", "Weather?"),
        Message("assistant", "", tool_calls=(ToolCall("c1", name, {"city": "Oslo"}),)),
        Message("tool", result.pop("content", "rain"), tool_call_id="c1", **result),
    )


async def test_required_ends_when_every_tool_has_answered():
    """After the result of the only tool a model may answer in words, else it calls for ever."""
    with flow("It rains.") as r:
        asked = request(tool_choice="get_weather")
        completion = await answer_of(
            provider_of(r),
            type(asked)(messages=after_a_result(), tools=asked.tools, tool_choice="get_weather"),
        )
    assert completion.text == "It rains."


@pytest.mark.parametrize("result", [{"is_error": True}, {"content": "Error: no such city"}])
async def test_required_goes_on_after_a_failure(result):
    """A failure is no result."""
    with flow("Sorry", CALL) as r:
        asked = request(tool_choice="get_weather")
        completion = await answer_of(
            provider_of(r),
            type(asked)(messages=after_a_result(**result), tools=asked.tools, tool_choice="get_weather"),
        )
    assert calls_of(completion) == [OSLO]


async def test_required_goes_on_while_a_tool_is_left():
    """As with an agent whose last tool is its answer."""
    with flow("It rains.", TIME) as r:
        asked = request(tool_choice="required")
        completion = await answer_of(
            provider_of(r), type(asked)(messages=after_a_result(), tools=asked.tools, tool_choice="required")
        )
    assert calls_of(completion) == [("get_time", {})]


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("stream", [True, False])
async def test_the_same_call_again_is_a_call(native, stream):
    """Polling: whether a tool is asked once more is for the model and the framework to say."""
    again = [ToolCall("c2", *OSLO)] if native else CALL
    with tiny(again) as r:
        asked = replace(request(), messages=after_a_result())
        completion = await answer_of(prompted(r, native_tools=native), asked, stream=stream)
        assert len(r.requests) == 1
    assert calls_of(completion) == [OSLO]


@pytest.mark.parametrize("native", [False, True])
async def test_equal_calls_in_one_answer_are_calls(native):
    """Two dice; each has an id of its own."""
    said = [ToolCall("a", "get_time", {}), ToolCall("b", "get_time", {})] if native else f"{TIME}{TIME}"
    with tiny(said) as r:
        completion = await answer_of(prompted(r, native_tools=native), request())
    assert calls_of(completion) == [("get_time", {})] * 2
    assert len({call.id for call in completion.tool_calls}) == 2


async def test_equal_calls_of_a_repaired_answer_are_not_made_twice():
    """The first answer's two dice are two, although the second answer repeats them."""
    with flow(f"{TIME}{TIME}{BAD}", f"{TIME}{TIME}{TIME}{CALL}") as r:
        completion = await answer_of(provider_of(r), request())
    assert calls_of(completion) == [("get_time", {})] * 3 + [OSLO]


async def test_an_answer_of_nothing_but_one_call_is_ended():
    """A model that does not find the end of its answer: what it has called is called."""

    async def answer(_messages):
        while True:
            yield TIME

    with replica(FlowGpt, answer=answer) as r:
        async with asyncio.timeout(30):
            completion = await answer_of(provider_of(r), request())
            await r.await_disconnect()
    assert calls_of(completion) == [("get_time", {})] * MAX_IN_A_ROW


# --- the habits of tiny models ---


async def asked_after_a_result(r, *more, model=TINY, **settings):
    asked = replace(request(**settings), messages=(*after_a_result(), *more))
    return await answer_of(prompted(r, model), asked)


async def test_a_tiny_model_does_not_make_a_call_again_at_once():
    """It is asked for words instead, and the tools are not shown."""
    with tiny(CALL, "It rains.") as r:
        completion = await asked_after_a_result(r)
        assert "<tools>" in prompt_of(r.requests[0]) or "[TOOL_CALLS]" in prompt_of(r.requests[0])
        assert "The weather of a city" not in prompt_of(r.requests[1])
    assert (completion.text, completion.tool_calls) == ("It rains.", ())


async def test_a_tiny_model_that_repeats_a_call_is_shown_the_other_tools():
    """The second of two steps may be due: it makes the first one again only for want of an idea."""
    with tiny(CALL, TIME) as r:
        assert calls_of(await asked_after_a_result(r)) == [("get_time", {})]
        shown = prompt_of(r.requests[1])
        assert "The weather of a city" not in shown
        assert "get_time" in shown
        assert "If a part of the request is still to be done" in shown


async def test_the_last_repair_asks_for_words():
    """A repetition would be all that is left, else."""
    with tiny(CALL, "It rains.") as r:
        assert (await asked_after_a_result(r, max_repairs=1)).text == "It rains."
        assert "Now answer the request in plain words" in prompt_of(r.requests[1])


async def test_a_tool_that_is_not_there_is_no_other_step():
    """What resembles the tool that was called is asked about in words."""
    with tiny(CALL, '[TOOL_CALLS][{"name": "get_weathers", "arguments": {}}]', "It rains.") as r:
        completion = await asked_after_a_result(r)
        assert "<tools>" not in prompt_of(r.requests[2])
    assert (completion.text, completion.tool_calls) == ("It rains.", ())


@pytest.mark.parametrize("told", ["[get_weather(city: Oslo) gave this result: rain]", "rain"])
async def test_words_are_asked_for_behind_the_results(told):
    """Asked in words, a tiny model is told to answer; what it copies from the results is no call."""
    with tiny(CALL, CALL, told) as r:
        completion = await asked_after_a_result(r)
        assert "Now answer the request in plain words" in prompt_of(r.requests[2])
    assert (completion.text, completion.tool_calls) == (told, ())


async def test_who_insists_is_believed():
    """The third time it is a call, also of a tiny model."""
    with tiny(CALL, CALL, CALL) as r:
        assert calls_of(await asked_after_a_result(r)) == [OSLO]
        assert len(r.requests) == 3


async def test_a_tiny_model_leaves_a_circle():
    """Two calls in turn, each with the result that it had before."""
    both = [("get_weather", {"city": city}) for city in ("Oslo", "Rome")] * 2
    turns = [
        turn
        for number, (name, arguments) in enumerate(both, 2)
        for turn in (
            Message("assistant", "", tool_calls=(ToolCall(f"c{number}", name, arguments),)),
            Message("tool", arguments["city"], tool_call_id=f"c{number}"),
        )
    ]
    with tiny(CALL, "It rains.") as r:
        assert (await asked_after_a_result(r, *turns)).text == "It rains."


async def test_a_circle_is_left_where_it_closes():
    """What stands between two equal calls with equal results is not made again: no second message."""
    told = [("get_time", {}, "noon"), ("get_weather", {"city": "Oslo"}, "rain")]
    turns = [
        turn
        for number, (name, arguments, result) in enumerate(told, 2)
        for turn in (
            Message("assistant", "", tool_calls=(ToolCall(f"c{number}", name, arguments),)),
            Message("tool", result, tool_call_id=f"c{number}"),
        )
    ]
    with tiny(TIME, "It rains.") as r:
        assert (await asked_after_a_result(r, *turns)).text == "It rains."
    changed = replace(turns[-1], content="snow")  # who is told something else has reason to ask again
    with tiny(TIME) as r:
        assert calls_of(await asked_after_a_result(r, *turns[:-1], changed)) == [("get_time", {})]
        assert len(r.requests) == 1


async def test_the_echo_of_a_result_is_no_new_call():
    """A tiny model sends what it was told of the message that it has sent."""
    with tiny('[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "rain"}}]', "Sent.") as r:
        assert (await asked_after_a_result(r)).text == "Sent."


@pytest.mark.parametrize(
    ("allow", "model", "requests"),
    [
        (True, TINY, 1), (None, TINY, 2), (False, TINY, 2),
        (True, "large", 1), (None, "large", 1), (False, "large", 2),
    ],
)  # fmt: skip
async def test_repeats_are_a_setting(allow, model, requests):
    """True and False go for any model, None leaves it to what is known of the model."""
    with tiny(*[CALL, "It rains."][:requests]) as r:
        completion = await asked_after_a_result(r, model=model, allow_repeats=allow)
        assert len(r.requests) == requests
    assert (calls_of(completion), completion.text) == (([OSLO], "") if requests == 1 else ([], "It rains."))


async def test_what_lies_between_makes_it_another_call():
    """Another call or another turn of the user, also one that failed."""
    time_told = (
        Message("assistant", "", tool_calls=(ToolCall("c2", "get_time", {}),)),
        Message("tool", "noon", tool_call_id="c2"),
    )
    failed = (time_told[0], Message("tool", "no clock", tool_call_id="c2", is_error=True))
    for between in (time_told, failed, (Message("user", "And now?"),)):
        with tiny(CALL) as r:
            assert calls_of(await asked_after_a_result(r, *between)) == [OSLO]
            assert len(r.requests) == 1
    with tiny(f"{TIME}{CALL}") as r:
        assert calls_of(await asked_after_a_result(r)) == [("get_time", {}), OSLO]


@pytest.mark.parametrize("result", [{"is_error": True}, {"content": "Error: try again"}])
async def test_a_failure_is_no_result(result):
    """Also a tiny model may try again."""
    with tiny(CALL) as r:
        asked = request()
        completion = await answer_of(
            prompted(r, TINY), type(asked)(messages=after_a_result(**result), tools=asked.tools)
        )
        assert len(r.requests) == 1
    assert calls_of(completion) == [OSLO]


async def test_a_tiny_model_stutters():
    """The same call several times in a row is one; with another between them they are three."""
    with tiny(f"{TIME}{TIME}{TIME}") as r:
        assert calls_of(await answer_of(prompted(r, TINY), request())) == [("get_time", {})]
    with tiny(f"{TIME}{CALL}{TIME}") as r:
        completion = await answer_of(prompted(r, TINY), request())
        assert calls_of(completion) == [("get_time", {}), OSLO, ("get_time", {})]


async def test_a_late_system_message_does_not_hide_the_result():
    """Some frameworks put one at the end."""
    with tiny(CALL, "It rains.") as r:
        completion = await asked_after_a_result(r, Message("system", "Be brief."))
    assert completion.text == "It rains."


async def test_a_circle_may_lead_to_another_call():
    """It is a good one, though it was not asked for."""
    with tiny(CALL, ROME) as r:
        assert calls_of(await asked_after_a_result(r)) == [("get_weather", {"city": "Rome"})]


async def test_a_call_again_is_better_than_silence():
    """Where nothing may be asked again, the call is the answer."""
    with tiny(CALL) as r:
        assert calls_of(await asked_after_a_result(r, max_repairs=0)) == [OSLO]


async def test_a_required_call_is_not_replaced_by_words():
    """Under a required choice a repeated call is asked to become another one; again, it is made."""
    with tiny(CALL, "It rains.", TIME) as r:
        completion = await asked_after_a_result(r, tool_choice="required")
        assert "Call another function: get_time, search." in prompt_of(r.requests[1])
    assert calls_of(completion) == [("get_time", {})]
    with tiny(CALL, CALL) as r:
        completion = await asked_after_a_result(r, tool_choice="required")
    assert calls_of(completion) == [OSLO]


# --- an empty answer ------------------------------------------------------------------------------


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("silence", ["", "<think>hm</think>"], ids=["nothing", "thinking"])
async def test_an_empty_answer_is_asked_again(native, stream, silence):
    """Once, and the model is told so; tools are bound, so that it may be a call."""
    with tiny(silence, CALL) as r:
        provider = prompted(r, native_tools=native, retry=0)
        completion = await answer_of(provider, request(), stream=stream)
        assert "Your answer was empty" in prompt_of(r.requests[1])
        assert completion.finish.attempts == len(r.requests) == 2
    assert calls_of(completion) == [OSLO]


@pytest.mark.parametrize("max_repairs", [0, 1, 3])
async def test_an_empty_answer_again_is_an_error(max_repairs):
    """It is asked again once, however many repairs there are; never without repairs."""
    answers = [""] * (2 if max_repairs else 1)
    with tiny(*answers) as r:
        _, error = await parts_of(prompted(r, retry=0), request(), max_repairs=max_repairs)
        assert isinstance(error, EmptyResponseError)
        assert error.attempts == len(r.requests) == len(answers)


async def test_an_empty_answer_where_a_call_is_required():
    """It is asked for as where words came."""
    with tiny("", "", CALL) as r:
        completion = await answer_of(prompted(r, retry=0), request(tool_choice="required"))
        assert "one is required" in prompt_of(r.requests[1])
    assert calls_of(completion) == [OSLO]


async def test_an_empty_answer_after_a_call_that_went_out():
    """The call is the answer: nothing was said to take the place of the bad one."""
    with tiny(f"{CALL}{BAD}", "") as r:
        completion = await answer_of(prompted(r, retry=0), request())
    assert calls_of(completion) == [OSLO]


# --- the way there --------------------------------------------------------------------------------


async def test_without_tools_the_provider_is_asked_directly():
    """No wrapper around its stream, where no thinking is to be looked for either."""
    with flow("Hi") as r:
        provider, asked = provider_of(r), request(tools=(), reasoning="keep")
        batches = answer(provider, asked)
        assert type(batches) is type(provider.batches(asked))
        assert batches.ag_code is provider.batches(asked).ag_code
        assert [part async for batch in batches for part in batch if isinstance(part, Text)] == [Text("Hi")]


async def test_the_prompt_is_an_option():
    """Another dialect, other words."""
    with flow(CALL) as r:
        await answer_of(
            provider_of(r),
            request(),
            prompt=ToolPrompt(dialect="mistral", intro="Werkzeuge: {tools} {format}"),
        )
        sent = prompt_of(r.requests[0])
    assert "Werkzeuge: " in sent
    assert "[TOOL_CALLS]" in sent


async def test_two_tools_at_once_share_nothing():
    """Requests at the same time keep their own state."""
    with flow(*[CALL] * 8) as r:
        provider = provider_of(r)
        completions = await asyncio.gather(
            *(answer_of(provider, request(tools=(*request().tools[:1], TIME_TOOL))) for _ in range(8))
        )
    assert all(calls_of(completion) == [OSLO] for completion in completions)
    assert len({completion.tool_calls[0].id for completion in completions}) == 8


async def test_a_reminder_follows_the_users_last_words():
    """Not a result, and not where only one call is wanted."""
    prompt = ToolPrompt(reminder="(Mind the tools.)")
    result = (
        Message("user", "The time?"),
        Message("assistant", "", tool_calls=(ToolCall("1", "get_time", {}),)),
        Message("tool", "It is late.", tool_call_id="1"),
    )
    asked = request()
    with flow("Fine.", "Fine.", "Fine.") as r:
        for one in (asked, replace(asked, messages=result), replace(asked, parallel_tool_calls=False)):
            _ = [batch async for batch in answer(provider_of(r), one, prompt=prompt)]
        last = [sent.messages[-1]["content"] for sent in r.requests]
    assert last[0] == f"{asked.messages[-1].text}\n\n(Mind the tools.)"
    assert [text.endswith("(Mind the tools.)") for text in last] == [True, False, False]


@pytest.mark.parametrize(
    "said", ["[TOOL_CALLS]", "<tool_call>\n", "<tool_call></tool_call>", "<|python_tag|>"]
)
@pytest.mark.parametrize("max_repairs", [0, 2])
async def test_marks_of_a_call_with_nothing_behind_them_are_never_the_answer(said, max_repairs):
    with replica(FlowGpt, answer=said) as r:
        asked = FlowGpt(base_url=r.base_url)
        with pytest.raises(ToolCallError, match="it begins as a call does, and is none"):
            await asked.complete("Hi", tools=[TIME_TOOL], max_repairs=max_repairs)
        assert len(r.requests) == max_repairs + 1
