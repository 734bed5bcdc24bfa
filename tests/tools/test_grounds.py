"""What a tiny model has made up in a call."""

import json

import pytest

from freeproviders import FlowGpt, OpenAICompatible
from freeproviders.testing import replica
from freeproviders.tools.grounds import Grounds
from freeproviders.types import Message, collect
from tests.brain import Script

SMS = {
    "name": "send_sms",
    "parameters": {
        "type": "object",
        "properties": {"number": {"type": "string"}, "text": {"type": "string"}},
        "required": ["number", "text"],
    },
}
MADE_UP = '[TOOL_CALLS][{"name": "send_sms", "arguments": {"number": "123-456-7890", "text": "Hi"}}]'
SAID = '[TOOL_CALLS][{"name": "send_sms", "arguments": {"number": "+43 660 1234", "text": "Hi"}}]'


@pytest.mark.parametrize(
    ("value", "is_made_up"),
    [
        ("+436601234", False),
        ("0660 1234 99", True),
        ("ann@example.org", False),
        ("bob@example.org", True),
        ("Bob Low@example.org", True),
        ("Ann: ann@example.org", False),
        ("2026-03-07", False),  # worked out, maybe
        ("12:30", False),
        ("42", False),
        ("1234", False),
        ("12345", True),
        ("B-207", True),
        ("B-660", False),
        ("#ORD88213", True),
        ("747", False),
        ("A4", False),
        ("The answer is 1234567.", False),
        ("Hello", False),
    ],
)
def test_numbers_and_addresses_that_nobody_said(value, is_made_up):
    said = [
        Message("user", "Write to +43 660/1234."),
        Message("tool", "Mail: Ann@example.org", tool_call_id="1"),
    ]
    assert bool(Grounds(said).fault("send_sms", {"to": value})) == is_made_up


@pytest.mark.parametrize(
    ("model", "answers", "sent"),
    [
        ("qwen2.5-coder-0.5b", (MADE_UP, SAID), "+43 660 1234"),
        ("qwen2.5-coder-0.5b", (MADE_UP, MADE_UP), "123-456-7890"),  # who insists is believed
        ("qwen2.5-coder-7b", (MADE_UP, SAID), "123-456-7890"),
    ],
)
async def test_a_tiny_model_is_asked_once(model, answers, sent):
    """The complaint names the argument; larger models are not suspected."""
    with replica(OpenAICompatible, answer=Script(*answers)) as server:
        backend = OpenAICompatible(model, base_url=server.base_url, native_tools=False)
        calls = (await backend.complete("Send Hi to +43 660 1234.", tools=[SMS])).tool_calls
    assert [call.arguments["number"] for call in calls] == [sent]
    assert len(server.requests) == (2 if "0.5b" in model else 1)


OPTIONAL = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "artist": {"type": "string", "description": "Who performs it"},
        "volume": {"type": "number"},
        "loop": {"type": "boolean"},
        "on": {"type": "string", "format": "date"},
        "tags": {"type": "array"},
    },
    "required": ["title"],
}


@pytest.mark.parametrize(
    ("said", "given", "left"),
    [
        ("Play Blue.", {"title": "Green"}, {"title": "Green"}),
        ("Play the song Blue.", {"artist": "The Beatles"}, {}),
        ("Play Blue by the Beatles.", {"artist": "The Beatles"}, {"artist": "The Beatles"}),
        ("Play Blue, by whoever.", {"artist": ""}, {}),
        ("Who performs it?", {"artist": "who performs it"}, {}),
        ("Play Blue.", {"volume": 10, "loop": False, "tags": []}, {}),
        ("At 10, and again.", {"volume": 10.0, "loop": True}, {"volume": 10.0, "loop": True}),
        ("Play Blue tomorrow.", {"on": "2023-04-15"}, {}),
        ("Today is the 6th. Tomorrow.", {"on": "2026-03-07"}, {"on": "2026-03-07"}),
        ("Play Blue.", {"strange": "value"}, {"strange": "value"}),
    ],
)
def test_optional_arguments_that_nobody_asked_for(said, given, left):
    assert Grounds([Message("user", said)]).said(OPTIONAL, given) == left


@pytest.mark.parametrize(("model", "requests"), [("qwen2.5-coder-0.5b", 1), ("qwen2.5-coder-7b", 2)])
async def test_what_nobody_asked_for_is_no_reason_to_ask_again(model, requests):
    """A value that does not fit is left out as one that fits: the rest of the call is good."""
    units = {"type": "string", "enum": ["celsius", "fahrenheit"]}
    weather = {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": units},
            "required": ["city"],
        },
    }
    said = [
        f'[TOOL_CALLS][{{"name": "get_weather", "arguments": {{"city": "Oslo"{unit}}}}}]'
        for unit in (', "unit": "metric"', "")
    ]
    with replica(OpenAICompatible, answer=Script(*said[:requests])) as server:
        backend = OpenAICompatible(model, base_url=server.base_url, native_tools=False)
        calls = (await backend.complete("The weather in Oslo?", tools=[weather])).tool_calls
    assert [call.arguments for call in calls] == [{"city": "Oslo"}]
    assert len(server.requests) == requests


async def test_what_is_known_of_a_model_counts_behind_a_service_that_does_not_name_it():
    """The caller tells which model it is."""
    with replica(FlowGpt, answer=Script(MADE_UP, SAID)) as server:
        flow = FlowGpt(base_url=server.base_url).with_abilities(family="qwen2.5-coder-0.5b")
        request = flow.request("Send Hi to +43 660 1234.", tools=[SMS])
        parts = [part async for batch in flow.answer(request) for part in batch]
    assert [call.arguments["number"] for call in collect(parts).tool_calls] == ["+43 660 1234"]


TRACK = {
    "name": "track_parcel",
    "parameters": {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]},
}
NOTE = {
    "name": "save_note",
    "parameters": {
        "type": "object",
        "properties": {"text": {"type": "string"}, "title": {"type": "string"}},
        "required": ["text"],
    },
}


def call(name, **arguments):
    return f'{{"name": "{name}", "arguments": {json.dumps(arguments)}}}'


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("model", "second", "made"),
    [
        ("qwen2.5-coder-1.5b", call("save_note", text="Parcel AB7 is at the warehouse."), 1),
        ("qwen2.5-coder-7b", call("save_note", text="Parcel AB7 is at the warehouse."), 2),
        ("qwen2.5-coder-1.5b", call("save_note", text="Where is parcel AB7?"), 2),  # the user said so
        ("qwen2.5-coder-1.5b", call("save_note", text="warehouse"), 2),  # a name tells nothing
        ("qwen2.5-coder-1.5b", call("track_parcel", number="one of the others"), 2),  # the same tool
    ],
)
async def test_a_call_that_needs_a_result_waits_for_it(stream, model, second, made):
    """It stands beside the call that gets the result, and tells what nobody can know yet."""
    said = f"[TOOL_CALLS][{call('track_parcel', number='AB7')}, {second}]"
    with replica(OpenAICompatible, answer=Script(said)) as server:
        backend = OpenAICompatible(model, base_url=server.base_url, native_tools=False)
        asked = backend.request("Where is the parcel AB7? Make a note of it.", tools=[TRACK, NOTE])
        answer = backend.answer(asked.changed(stream=stream))
        completion = collect([part async for batch in answer for part in batch])
        assert len(server.requests) == 1
    assert completion.tool_calls[0].name == "track_parcel"
    assert len(completion.tool_calls) == made
    assert completion.finish.reason == "tool_calls"
