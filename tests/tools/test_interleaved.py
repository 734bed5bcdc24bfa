"""Thinking between tool calls: sent back to the services that want it, and to no others."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ThinkingBlock, ToolCallBlock

from freeproviders import OpenAICompatible
from freeproviders.testing import replica
from freeproviders.types import Message, Reasoning, ToolCall
from langchain_freeproviders.messages import core_messages
from llama_index_freeproviders.messages import to_core_messages
from tests.tools.asking import in_turns
from tests.tools.reading import TOOLS

CALL = ToolCall("c1", "get_time", {})
BEFORE = [
    Message("user", "The time?"),
    Message("assistant", "", tool_calls=(ToolCall("c0", "get_time", {}),), reasoning="long ago"),
    Message("tool", "10:00", tool_call_id="c0"),
    Message("assistant", "Ten.", reasoning="said"),
]
RUN = [
    Message("user", "And now?"),
    Message("assistant", "", tool_calls=(CALL,), reasoning="I look again"),
    Message("tool", "11:00", tool_call_id="c1"),
]


def provider_of(r, model="some-model", **options):
    return OpenAICompatible(model, base_url=r.base_url, native_tools=True, retry=0, **options)


def told(sent):
    return [message.get("reasoning_content") for message in sent.json["messages"]]


async def ask(provider):
    return await provider.complete([*BEFORE, *RUN], tools=TOOLS)


@pytest.mark.parametrize(
    ("model", "changes", "expected"),
    [
        ("some-model", {}, None),
        ("some-model", {"interleaved": True}, "I look again"),
        ("kimi-k2-thinking", {}, "I look again"),
        ("deepseek/deepseek-v3.2-exp", {}, "I look again"),
    ],
)
async def test_by_the_models_row_or_the_callers_word(model, changes, expected):
    """Only that of calls which the assistant made since the user last spoke."""
    with replica(OpenAICompatible, answer="Eleven.", earlier_reasoning="taken") as r:
        await ask(provider_of(r, model).with_abilities(**changes))
        assert told(r.requests[0]) == [*[None] * 5, expected, None]


async def test_a_service_that_refuses_it_is_not_sent_it_again():
    with replica(OpenAICompatible, answer="Eleven.", earlier_reasoning="refused") as r:
        provider = provider_of(r, "kimi-k2-thinking")
        assert (await ask(provider)).text == "Eleven."
        await ask(provider)
        assert [any(told(sent)) for sent in r.requests] == [True, False, False]


async def test_a_service_that_misses_it_gets_it():
    with replica(OpenAICompatible, answer="Eleven.", earlier_reasoning="wanted") as r:
        provider = provider_of(r)
        assert (await ask(provider)).text == "Eleven."
        await ask(provider)
        assert [any(told(sent)) for sent in r.requests] == [False, True, True]


async def test_in_a_run_of_the_core():
    """What came as thinking goes back as it came."""
    answers = in_turns([Reasoning("I look"), CALL], [Reasoning("done"), "Eleven."])
    with replica(OpenAICompatible, answer=answers, earlier_reasoning="wanted") as r:
        provider = provider_of(r, "kimi-k2-thinking")
        first = await provider.complete("The time?", tools=TOOLS)
        history = [
            {"role": "user", "content": "The time?"},
            {
                "role": "assistant",
                "content": first.text,
                "reasoning_content": first.reasoning,
                "tool_calls": [call.to_openai() for call in first.tool_calls],
            },
            {"role": "tool", "content": "11:00", "tool_call_id": first.tool_calls[0].id},
        ]
        assert (await provider.complete(history, tools=TOOLS)).text == "Eleven."
        assert told(r.requests[1]) == [None, "I look", None]


async def test_prompted_tools_have_no_place_for_it():
    with replica(OpenAICompatible, answer="Eleven.") as r:
        provider = OpenAICompatible("kimi-k2-thinking", base_url=r.base_url, native_tools=False)
        assert (await ask(provider)).text == "Eleven."
        assert not any(any(told(sent)) for sent in r.requests)


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("", additional_kwargs={"reasoning_content": "hm"}),
        AIMessage([{"type": "reasoning", "reasoning": "hm"}]),
        AIMessage([{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Hi"}]),
    ],
)
def test_langchains_notations(message):
    assert core_messages([HumanMessage("Hi"), message])[1].reasoning == "hm"
    assert core_messages([ToolMessage("x", tool_call_id="c")])[0].reasoning == ""


def test_llamaindexs_blocks():
    blocks = [ThinkingBlock(content="hm"), ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs={})]
    message = to_core_messages([ChatMessage(role="assistant", blocks=blocks)])[0]
    assert (message.reasoning, message.text, len(message.tool_calls)) == ("hm", "", 1)
    user = ChatMessage(role="user", blocks=[ThinkingBlock(content="hm"), TextBlock(text="Hi")])
    assert to_core_messages([user])[0].reasoning == ""
