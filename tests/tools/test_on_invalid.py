"""Calls that still do not fit after the repairs: an error, or handed on as they are."""

import pytest

from freeproviders import FlowGpt
from freeproviders.errors import ToolCallError
from freeproviders.testing import replica
from freeproviders.types import Text, ToolCall
from tests.tools.asking import BAD, CALL, answer_of, calls_of, flow, in_turns, openai, parts_of, request

NAMELESS = '<tool_call>{"name": "fly", "arguments": {"to": "Oslo"}}</tool_call>'
NO_OBJECT = '<tool_call>{"name": "search", "arguments": [1, 2]}</tool_call>'
HALF = '<tool_call>{"name": "get_weather", "arguments": {"city": "Os'


def provider_of(r):
    return FlowGpt(base_url=r.base_url)


@pytest.mark.parametrize(
    ("said", "call"),
    [(BAD, ("get_weather", {"days": "x"})), (NAMELESS, ("fly", {"to": "Oslo"}))],
    ids=["arguments", "name"],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_handed_on_after_the_repairs(said, call, stream):
    """As an ordinary call with an id, after as many questions as without."""
    with flow(f"Hm. {said}", said, said) as r:
        completion = await answer_of(provider_of(r), request(), on_invalid="pass", stream=stream)
        assert len(r.requests) == 3
        assert "<tools>" in r.requests[2].body.decode()
    assert completion.text == "Hm. "
    assert calls_of(completion) == [call]
    assert completion.tool_calls[0].id.startswith("call_")
    assert completion.finish.reason == "tool_calls"
    assert completion.finish.attempts == 3


async def test_handed_on_at_once_without_repairs():
    with flow(f"Hm. {BAD}{CALL}") as r:
        completion = await answer_of(provider_of(r), request(), on_invalid="pass", max_repairs=0)
    assert calls_of(completion) == [("get_weather", {"city": "Oslo"}), ("get_weather", {"days": "x"})]
    assert len({call.id for call in completion.tool_calls}) == 2


async def test_repaired_calls_are_as_without():
    with flow(BAD, CALL) as r:
        completion = await answer_of(provider_of(r), request(), on_invalid="pass")
    assert calls_of(completion) == [("get_weather", {"city": "Oslo"})]


async def test_an_unknown_name_is_complained_about_with_the_names_there_are():
    """The tools stay; the model may also answer in words."""
    with flow(NAMELESS, CALL) as r:
        assert calls_of(await answer_of(provider_of(r), request(), on_invalid="pass")) == [
            ("get_weather", {"city": "Oslo"})
        ]
        asked = r.requests[1].body.decode()
        assert "get_weather, get_time, search" in asked
        assert "<tools>" in asked
    with flow(NAMELESS, "I cannot fly.") as r:
        completion = await answer_of(provider_of(r), request(), on_invalid="pass")
    assert (completion.text, completion.tool_calls) == ("I cannot fly.", ())


@pytest.mark.parametrize("said", [NO_OBJECT, HALF, f"{BAD}{HALF}"], ids=["a list", "cut off", "one of two"])
async def test_what_is_no_object_is_never_handed_on(said):
    with flow(said, said, said) as r:
        parts, error = await parts_of(provider_of(r), request(), on_invalid="pass")
    assert not any(isinstance(part, ToolCall) for part in parts)
    assert isinstance(error, ToolCallError)


@pytest.mark.parametrize("mode", ["raise", None])
async def test_an_error_otherwise(mode):
    with flow(BAD, BAD, BAD) as r:
        _, error = await parts_of(provider_of(r), request(), on_invalid=mode)
    assert isinstance(error, ToolCallError)


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
    with flow(NAMELESS, "Hello!") as r:
        completion = await answer_of(provider_of(r), request())
        assert "<tools>" not in r.requests[1].body.decode()
    assert completion.text == "Hello!"


async def test_nothing_is_handed_on_without_tools():
    """What looks like a call is text there."""
    with flow(NAMELESS) as r:
        completion = await answer_of(provider_of(r), request(), on_invalid="pass", tool_choice="none")
    assert (completion.text, completion.tool_calls) == (NAMELESS, ())


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


async def test_one_call_stays_one():
    with flow(f"{BAD}{NAMELESS}") as r:
        asked = request(parallel_tool_calls=False)
        completion = await answer_of(provider_of(r), asked, on_invalid="pass", max_repairs=0)
    assert calls_of(completion) == [("get_weather", {"days": "x"})]


async def test_native_calls_keep_their_ids():
    with replica("openai-compatible", answer=in_turns(*[[ToolCall("mine", "fly", {"to": "Oslo"})]] * 3)) as r:
        parts, error = await parts_of(openai(r, native_tools=True), request(), on_invalid="pass")
    assert error is None
    assert [(part.id, part.name) for part in parts if isinstance(part, ToolCall)] == [("mine", "fly")]
    assert not any(isinstance(part, Text) for part in parts)
