"""Asking any provider anything, and what a conversation is taken to cost."""

import pytest

from freeproviders import FlowGpt
from freeproviders.ask import ask, whole
from freeproviders.errors import UsageError
from freeproviders.testing import replica
from freeproviders.types import ImageBlock, Message, TextBlock, ToolCall
from freeproviders.usage import TOKENS_PER_MESSAGE, TOKENS_PER_PICTURE, estimate_input_tokens

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}
CALLED = [
    {"role": "user", "content": "Add!"},
    {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "add", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "c", "content": "3"},
]


async def test_what_a_service_does_not_know_goes_through_the_engine():
    with replica(FlowGpt, answer='<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>') as r:
        provider = FlowGpt(base_url=r.base_url)
        assert (await whole(ask(provider, provider.request("Add!", tools=[ADD])))).tool_calls[
            0
        ].arguments == {"a": 1}
    with replica(FlowGpt, answer='Sure: {"a": 1}') as r:
        provider = FlowGpt(base_url=r.base_url)
        assert (
            await whole(ask(provider, provider.request("JSON!", response_format={"type": "json_object"})))
        ).text == '{"a":1}'
    with replica(FlowGpt, answer="It is 3.") as r:
        provider = FlowGpt(base_url=r.base_url)
        assert (await whole(ask(provider, provider.request(CALLED)))).text == "It is 3."
        assert "tool_response" in r.requests[-1].body.decode()


async def test_a_plain_question_goes_straight():
    said = 'Write <tool_call>{"name": "add", "arguments": {}}</tool_call> for a call.'
    with replica(FlowGpt, answer=said) as r:
        provider = FlowGpt(base_url=r.base_url)
        assert (await whole(ask(provider, provider.request("How?")))).text == said


def test_a_mistake_is_found_at_the_call():
    provider = FlowGpt(base_url="http://127.0.0.1:1")
    with pytest.raises(UsageError, match="subtract"):
        ask(provider, provider.request("Hi", tools=[ADD], tool_choice="subtract"))


def test_calls_and_pictures_cost_tokens():
    plain = estimate_input_tokens([Message("assistant", "Hello")])
    assert plain == TOKENS_PER_MESSAGE + 2
    called = Message("assistant", "Hello", tool_calls=(ToolCall("c", "search", {"words": "x" * 400}),))
    assert 100 < estimate_input_tokens([called]) - plain < 110
    shown = Message("user", (TextBlock("Hello"), ImageBlock("https://example.org/a.png")))
    assert estimate_input_tokens([shown]) == plain + TOKENS_PER_PICTURE
