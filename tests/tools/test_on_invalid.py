"""Calls that still do not fit after the repairs: handed on to the framework, or an error."""

import pytest

from freeproviders import FlowGpt, OpenAICompatible
from freeproviders.errors import ToolCallError
from freeproviders.testing import replica
from freeproviders.types import InvalidToolCall, Message, Text, ToolCall
from freeproviders.wire.json import loads
from tests.tools.asking import (
    BAD,
    CALL,
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

NAMELESS = '<tool_call>{"name": "fly", "arguments": {"to": "Oslo"}}</tool_call>'
NO_OBJECT = '<tool_call>{"name": "search", "arguments": [1, 2]}</tool_call>'
HALF = '<tool_call>{"name": "get_weather", "arguments": {"city": "Os'
OSLO = ("get_weather", {"city": "Oslo"})


def provider_of(r):
    return FlowGpt(base_url=r.base_url)


@pytest.mark.parametrize("mode", ["pass", None])
@pytest.mark.parametrize("choice", [None, "auto", "required", ("get_weather", "get_time")])
@pytest.mark.parametrize("stream", [True, False])
async def test_handed_on_after_the_repairs(mode, choice, stream):
    """As an ordinary call with an id, after as many questions as without."""
    with flow(f"Hm. {BAD}", BAD, BAD) as r:
        asked = request(tool_choice=choice)
        completion = await answer_of(provider_of(r), asked, on_invalid=mode, stream=stream)
        assert len(r.requests) == 3
        assert all("<tools>" in sent.body.decode() for sent in r.requests)
    assert completion.text == ("" if choice in {"required", ("get_weather", "get_time")} else "Hm. ")
    assert calls_of(completion) == [("get_weather", {"days": "x"})]
    assert completion.tool_calls[0].id.startswith("call_")
    assert completion.finish.reason == "tool_calls"
    assert completion.finish.attempts == 3


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("mode", ["pass", None])
@pytest.mark.parametrize("max_repairs", [1, 2, 5])
async def test_an_unknown_name_is_told_the_names_once(native, mode, max_repairs):
    """Who uses it again means it: however many repairs there are, the framework answers it."""
    said = [ToolCall("mine", "fly", {"to": "Oslo"})] if native else NAMELESS
    with tiny(said, said) as r:
        completion = await answer_of(
            prompted(r, native_tools=native), request(), on_invalid=mode, max_repairs=max_repairs
        )
        assert len(r.requests) == 2
        asked = r.requests[1].body.decode()
        assert "There is no tool named" in asked
        assert "The tools are: get_weather, get_time, search." in asked
        assert "tools" in r.requests[1].json if native else "<tools>" in asked
    assert calls_of(completion) == [("fly", {"to": "Oslo"})]
    assert completion.text == ""
    if native:
        assert completion.tool_calls[0].id == "mine"


@pytest.mark.parametrize("native", [False, True])
async def test_a_wrong_name_and_then_the_right_one(native):
    """The model corrects itself, or says in words that it cannot."""
    wrong = [ToolCall("a", "fly", {"to": "Oslo"})] if native else NAMELESS
    right = [ToolCall("a", *OSLO)] if native else CALL
    with tiny(wrong, right) as r:
        assert calls_of(await answer_of(prompted(r, native_tools=native), request())) == [OSLO]
    with tiny(wrong, "I cannot fly.") as r:
        completion = await answer_of(prompted(r, native_tools=native), request())
    assert (completion.text, completion.tool_calls) == ("I cannot fly.", ())


async def test_a_wrong_name_beside_wrong_arguments():
    """What can be mended is still asked for after the names have been told."""
    with flow(NAMELESS, f"{NAMELESS}{BAD}", f"{NAMELESS}{CALL}") as r:
        completion = await answer_of(provider_of(r), request())
        assert "is required but missing" in r.requests[2].body.decode()
    assert calls_of(completion) == [OSLO, ("fly", {"to": "Oslo"})]


async def test_handed_on_at_once_without_repairs():
    with flow(f"Hm. {BAD}{CALL}{BAD}") as r:
        completion = await answer_of(provider_of(r), request(), max_repairs=0)
    assert calls_of(completion) == [OSLO, *[("get_weather", {"days": "x"})] * 2]
    assert len({call.id for call in completion.tool_calls}) == 3


@pytest.mark.parametrize("choice", [None, "required"])
async def test_words_before_a_call_are_kept(choice):
    """Also where nothing goes out before the end of the answer."""
    with flow(f"Hm. {BAD}") as r:
        completion = await answer_of(provider_of(r), request(tool_choice=choice), max_repairs=0)
    assert completion.text.rstrip() == "Hm."
    assert calls_of(completion) == [("get_weather", {"days": "x"})]


async def test_repaired_calls_are_as_without():
    with flow(BAD, CALL) as r:
        completion = await answer_of(provider_of(r), request(), on_invalid="pass")
    assert calls_of(completion) == [OSLO]


# --- what is never handed on ----------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["pass", None])
@pytest.mark.parametrize("said", [NO_OBJECT, HALF, f"{NO_OBJECT}{HALF}"], ids=["a list", "cut off", "both"])
async def test_what_is_no_object_is_never_handed_on_alone(said, mode):
    with flow(said, said, said) as r:
        parts, error = await parts_of(provider_of(r), request(), on_invalid=mode)
        assert len(r.requests) == 3
    assert not any(isinstance(part, ToolCall | InvalidToolCall) for part in parts)
    assert isinstance(error, ToolCallError)


BROKEN = [
    '{"path": "/etc/pas', '{"path": "/etc/pas}', '{"path": ', "{", '{"path": "/etc/passwd"', "[1]", "7",
    '{"path": "a"} and {"path": "b"}',
]  # fmt: skip
READ = {
    "name": "read",
    "parameters": {"type": "object", "properties": {"path": {"type": "string", "default": "/"}}},
}


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("text", BROKEN)
async def test_broken_arguments_are_never_completed(native, text):
    """Not to the path that they begin with, not to nothing, not to a path of all the text."""
    written = '<tool_call>{"name": "read", "arguments": %s}</tool_call>'
    as_text = written.replace("%s", f'"{text.replace(chr(34), chr(92) + chr(34))}"')
    said = [InvalidToolCall("a", "read", text, "")] if native else as_text
    with tiny(said) as r:
        asked = prompted(r).request("Read", tools=[READ])
        parts, error = await parts_of(prompted(r, native_tools=native), asked, max_repairs=0)
    assert isinstance(error, ToolCallError)
    assert not any(isinstance(part, ToolCall) for part in parts)


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("stream", [True, False])
async def test_what_is_no_object_beside_a_call(native, stream):
    """It comes with the call, as what cannot be made, with the model's own text."""
    broken = '{"city": "Os' if native else "[1, 2]"
    said = [ToolCall("a", *OSLO), InvalidToolCall("b", "search", broken, "")]
    said = said if native else f"{CALL}{NO_OBJECT}"
    with tiny(said, said, said) as r:
        completion = await answer_of(prompted(r, native_tools=native), request(), stream=stream)
        assert len(r.requests) == 3
    assert calls_of(completion) == [OSLO]
    (invalid,) = completion.invalid_tool_calls
    assert broken in invalid.text
    assert invalid.error.startswith("The call to search" if native else "The arguments of search")
    assert invalid.name == "search"
    assert invalid.id not in {"", completion.tool_calls[0].id}
    if native:
        assert (invalid.id, invalid.text) == ("b", broken)


async def test_the_open_call_of_a_cut_answer_beside_calls():
    """It is none of the calls, however much of it had come; what fits its name is handed on."""
    said = f"{BAD}{HALF}"
    with flow(said, said, said) as r:
        completion = await answer_of(provider_of(r), request())
    assert calls_of(completion) == [("get_weather", {"days": "x"})]
    assert [call.error for call in completion.invalid_tool_calls] != []


async def test_bare_arguments_of_a_cut_answer_are_no_call():
    """The only tool is required; what the limit cut off is not completed."""
    choice = {
        "message": {"role": "assistant", "content": '{"city": "Oslo", "days": 1'},
        "finish_reason": "length",
    }
    fault = {"status": 200, "content_type": "application/json", "body": {"choices": [choice]}}
    with tiny(faults=fault) as r:
        _, error = await parts_of(
            prompted(r, retry=0), request(tool_choice="get_weather"), stream=False, max_repairs=0
        )
    assert isinstance(error, ToolCallError)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "choice"), [("raise", None), ("raise", "required"), (None, "get_weather")])
@pytest.mark.parametrize("native", [False, True])
async def test_an_error_where_the_caller_wants_one(mode, choice, native):
    """Asked for, or because one tool was required by name: nobody would answer the call."""
    said = [ToolCall("a", "get_weather", {"days": "x"})] if native else BAD
    with tiny(said, said, said) as r:
        parts, error = await parts_of(
            prompted(r, native_tools=native), request(tool_choice=choice), on_invalid=mode
        )
    assert isinstance(error, ToolCallError)
    assert error.is_retryable
    assert not any(isinstance(part, ToolCall) for part in parts)


async def test_an_unknown_name_is_an_error_where_errors_are_asked_for():
    """It is asked for again with the names that there are; words are an answer then, too."""
    with flow(NAMELESS, NAMELESS, NAMELESS) as r:
        parts, error = await parts_of(provider_of(r), request(), on_invalid="raise")
        assert len(r.requests) == 3
        assert all("<tools>" in sent.body.decode() for sent in r.requests)
        assert "get_weather, get_time, search" in r.requests[1].body.decode()
    assert isinstance(error, ToolCallError)
    assert "fly" in error.message
    assert not any(isinstance(part, ToolCall) for part in parts)
    with flow(NAMELESS, "I cannot fly.") as r:
        completion = await answer_of(provider_of(r), request(), on_invalid="raise")
    assert (completion.text, completion.tool_calls) == ("I cannot fly.", ())


@pytest.mark.parametrize("choice", ["required", "get_weather"])
async def test_a_required_call_may_be_handed_on_too(choice):
    """But it must have been attempted."""
    with flow(BAD, BAD, BAD) as r:
        completion = await answer_of(provider_of(r), request(tool_choice=choice), on_invalid="pass")
    assert calls_of(completion) == [("get_weather", {"days": "x"})]
    with flow("No.", "No.", "No.") as r:
        parts, error = await parts_of(provider_of(r), request(tool_choice=choice), on_invalid="pass")
    assert parts == []
    assert isinstance(error, ToolCallError)


@pytest.mark.parametrize("native", [False, True])
async def test_a_tool_that_the_choice_leaves_out_is_not_called(native):
    """It is a tool of the framework, which would run it: the caller has said which may be called."""
    said = [ToolCall("a", *OSLO)] if native else CALL
    with tiny(said, said, said) as r:
        asked = request(tool_choice=("get_time", "search"))
        parts, error = await parts_of(prompted(r, native_tools=native), asked, on_invalid="pass")
    assert isinstance(error, ToolCallError)
    assert not any(isinstance(part, ToolCall) for part in parts)


async def test_one_call_stays_one():
    with flow(f"{BAD}{NAMELESS}") as r:
        asked = request(parallel_tool_calls=False)
        completion = await answer_of(provider_of(r), asked, on_invalid="pass", max_repairs=0)
    assert calls_of(completion) == [("get_weather", {"days": "x"})]


async def test_native_calls_keep_their_ids():
    """Each call has one of its own, also where a service gives several the same."""
    same = [ToolCall("mine", "get_weather", {"days": "x"}), ToolCall("other", "get_weather", {"days": "y"})]
    with replica("openai-compatible", answer=in_turns(*[same] * 3)) as r:
        parts, error = await parts_of(openai(r, native_tools=True), request())
    assert error is None
    assert [part.id for part in parts if isinstance(part, ToolCall)] == ["mine", "other"]
    assert not any(isinstance(part, Text) for part in parts)


# --- what the model is told -----------------------------------------------------------------------


async def test_a_repair_shows_the_shape():
    """What is missing, and what the arguments look like."""
    with flow(BAD, CALL) as r:
        await answer_of(provider_of(r), request())
        asked = r.requests[1].json["question"]
    assert "'city' is required but missing" in asked
    assert '{"city": string, "days"?: integer, "unit"?: "celsius" | "fahrenheit"}' in asked


async def test_a_list_for_one_value_is_one_call_for_each():
    """Small models put all they are asked for into one call."""
    both = CALL.replace('"Oslo"', '["Oslo", "Rome"]')
    with flow(both, CALL) as r:
        await answer_of(provider_of(r), request())
        assert "make one call of get_weather for each of Oslo, Rome" in r.requests[1].json["question"]


# --- where no tool may be called ------------------------------------------------------------------


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_call_where_none_is_wanted_is_asked_for_in_words(native, stream):
    """The user sees no markup, and the framework runs nothing."""
    history = (
        Message("user", "Weather?"),
        Message("assistant", "", tool_calls=(ToolCall("c1", *OSLO),)),
        Message("tool", "rain", tool_call_id="c1"),
    )
    for asked in (
        request("So?", *history, tool_choice="none"),
        # As in the last turn of an agent; natively the service sees to it.
        *([] if native else [request("So?", *history, tools=()), request("So?", tool_choice="none")]),
    ):
        with tiny([ToolCall("c2", *OSLO)] if native else CALL, "It rains.") as r:
            completion = await answer_of(prompted(r, native_tools=native), asked, stream=stream)
            assert len(r.requests) == 2
            assert "Answer in words, without a function call." in r.requests[1].body.decode()
        assert (completion.text, completion.tool_calls) == ("It rains.", ())


async def test_a_call_that_is_wanted_as_text_is_text():
    """Shown in words, or insisted on, or of a tool that nobody knows."""
    for said in ([f"It looks so: {CALL}"], [CALL, CALL], [NAMELESS]):
        with flow(*said) as r:
            completion = await answer_of(provider_of(r), request(tool_choice="none"))
            assert len(r.requests) == len(said)
        assert (completion.text, completion.tool_calls) == (said[-1], ())
    with flow(CALL) as r:
        completion = await answer_of(provider_of(r), request(tool_choice="none"), max_repairs=0)
    assert completion.text == CALL


# --- data that looks like calls -------------------------------------------------------------------

NAMED = [
    '{"name": "Bob"}',
    '[{"name": "Bob"}, {"name": "Bob"}]',
    '```json\n[{"name": "Bob"}, {"name": "Ann"}]\n```',
    '<think>Who?</think>{"name": "Bob"}',
    '{"action": "buy"}',
]


@pytest.mark.parametrize("said", NAMED)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("repairs", [2, 0])
async def test_json_with_names_is_the_answer_when_it_comes_again(said, stream, repairs):
    """Nobody can tell it from a call to a tool that is not bound, but by asking."""
    with replica(OpenAICompatible, answer=in_turns(said, said)) as r:
        answer = await answer_of(prompted(r), request("Names?"), stream=stream, max_repairs=repairs)
    assert answer.text == said.rpartition("</think>")[2]
    assert not answer.tool_calls
    assert answer.finish.reason == "stop"
    assert len(r.requests) == (2 if repairs else 1)


@pytest.mark.parametrize("said", ['{"name": "Bob"}', '{"action": "buy", "input": "x"}'])
@pytest.mark.parametrize("stream", [True, False])
async def test_an_object_of_the_response_format_is_no_call(said, stream):
    """Not even where it would be the call of another tool."""
    keys = loads(said)
    form = {"type": "object", "properties": {key: {"type": "string"} for key in keys}, "required": [*keys]}
    with replica(OpenAICompatible, answer=in_turns(said)) as r:
        answer = await answer_of(prompted(r), request("Who?", response_format=form), stream=stream)
    assert (loads(answer.text), answer.tool_calls) == (keys, ())


@pytest.mark.parametrize("form", [None, {"type": "json_object"}])
@pytest.mark.parametrize("key", ['"arguments"', "arguments"])
async def test_a_call_with_arguments_is_no_data(form, key):
    """It goes on to the framework, whatever object would do."""
    said = f'{{"name": "get_wether", {key}: {{"city": "Oslo"}}}}'
    with replica(OpenAICompatible, answer=in_turns(said, said)) as r:
        answer = await answer_of(prompted(r), request(response_format=form))
    assert calls_of(answer) == [("get_wether", {"city": "Oslo"})]
