"""Conversations and names that services with tools of their own refuse, and how they are mended.

The replica is as strict as the protocol's inventor: what it takes is in order.
"""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders import OpenAICompatible
from freeproviders.testing import replica
from freeproviders.tools.native import LOST, Names, mended
from freeproviders.types import ImageBlock, Message, TextBlock, Tool, ToolCall
from tests.tools.asking import answer_of, calls_of, in_turns, openai, parts_of, request
from tests.tools.reading import TOOLS


def call(identity="a", name="get_weather", **arguments):
    return ToolCall(identity, name, arguments)


def made(*calls, text=""):
    return Message("assistant", text, tool_calls=calls)


def result(identity="a", text="rain", **more):
    return Message("tool", text, tool_call_id=identity, **more)


USER = Message("user", "Weather?")
NEXT = Message("user", "And now?")


def is_in_order(messages):
    """What services want: unique ids, and behind calls their results and nothing else."""
    ids, open_calls = set(), []
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                return False
            open_calls.remove(message.tool_call_id)
        elif open_calls:
            return False
        for one in message.tool_calls:
            if not one.id or one.id in ids:
                return False
            ids.add(one.id)
            open_calls.append(one.id)
    return not open_calls


def outline(messages):
    return [
        (message.role, message.tool_call_id or [one.id for one in message.tool_calls] or message.text)
        for message in messages
    ]


def test_what_is_in_order_stays_as_it_is():
    """Also an error, pictures in a result, and parallel calls."""
    image = (TextBlock("see"), ImageBlock("data:,"))
    whole = (
        Message("system", "Be brief."),
        USER,
        made(call("a"), call("b")),
        result("a", is_error=True),
        replace(result("b"), content=image),
        Message("assistant", "Rain."),
        NEXT,
    )
    assert mended(whole) == whole


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ([USER, made(call("a")), NEXT], [USER, made(call("a")), result("a", LOST), NEXT]),
        ([USER, made(call("a"))], [USER, made(call("a")), result("a", LOST)]),
        (
            [USER, made(call("a"), call("b")), result("b"), NEXT],
            [USER, made(call("a"), call("b")), result("a", LOST), result("b"), NEXT],
        ),
        (  # in another order, and behind the user's next words
            [USER, made(call("a"), call("b")), result("b"), NEXT, result("a")],
            [USER, made(call("a"), call("b")), result("a"), result("b"), NEXT],
        ),
        (  # a result that names its tool and no call
            [USER, made(call("a"), call("b", "get_time")), result(None, name="get_time"), result("a")],
            [USER, made(call("a"), call("b", "get_time")), result("a"), result("b", name="get_time")],
        ),
    ],
)
def test_what_is_broken_is_mended(broken, whole):
    """Each call has its result behind it; one that has none gets words that say so."""
    assert outline(mended(broken)) == outline(whole)
    told = [message.text for message in mended(broken) if message.role == "tool"]
    assert told == [message.text for message in whole if message.role == "tool"]
    assert is_in_order(mended(broken))


def test_a_result_without_its_call_is_told():
    """In a turn of the user, shared with the user's own words: some models want turns to alternate."""
    cut = [result("gone", "rain", name="get_weather"), result("", "noon"), USER, Message("assistant", "Ok")]
    notes, answer = mended(cut)
    assert notes.role == "user"
    assert "call of get_weather" in notes.text
    assert "this result: rain]" in notes.text
    assert "call of a tool" in notes.text
    assert notes.text.endswith("\n\nWeather?")
    assert answer.text == "Ok"
    picture = replace(result("gone"), content=(TextBlock("see"), ImageBlock("data:,")))
    (turn,) = mended([USER, picture])
    assert [type(block) for block in turn.content] == [TextBlock, TextBlock, ImageBlock]


def test_a_second_result_of_a_call_is_told_too():
    """Nothing that a tool said is lost."""
    whole = mended([USER, made(call("a")), result("a", "one"), result("a", "two"), NEXT])
    assert [message.role for message in whole] == ["user", "assistant", "tool", "user"]
    assert "two]" in whole[-1].text
    assert whole[-1].text.endswith("And now?")


def test_ids_become_unique():
    """Some services count calls from 0 in each answer, some give none; results go with their calls."""
    turns = [
        made(call("call_0", city="Oslo"), call("", city="Rome")),
        result("call_0", "cold"),
        result("", "warm"),
        made(call("call_0", city="Bern")),
        result("call_0", "mild"),
    ]
    whole = mended(turns)
    assert is_in_order(whole)
    cities = {one.id: one.arguments["city"] for message in whole for one in message.tool_calls}
    told = {cities[message.tool_call_id]: message.text for message in whole if message.role == "tool"}
    assert told == {"Oslo": "cold", "Rome": "warm", "Bern": "mild"}
    assert whole == mended(turns)  # the same ids again: services keep what they have read
    assert whole[0].tool_calls[0].id == "call_0"
    assert mended(whole) == whole


IDS = st.sampled_from(["", "a", "b", "c"])
MESSAGES = st.lists(
    st.one_of(
        st.builds(Message, st.sampled_from(["user", "system"]), st.text(max_size=3)),
        st.builds(
            lambda ids, text: Message("assistant", text, tool_calls=tuple(call(one) for one in ids)),
            st.lists(IDS, max_size=3),
            st.text(max_size=3),
        ),
        st.builds(
            lambda identity, text, name: Message("tool", text, tool_call_id=identity, name=name),
            IDS | st.none(),
            st.text(max_size=3),
            st.sampled_from(["get_weather", "other"]) | st.none(),
        ),
    ),
    max_size=12,
)


@given(MESSAGES)
def test_any_conversation_comes_in_order(messages):
    """And what was said by anybody is still there."""
    whole = mended(messages)
    assert is_in_order(whole)
    assert mended(whole) == whole
    everything = "\n".join(message.text for message in whole)
    assert all(message.text in everything for message in messages)
    assert sum(len(one.tool_calls) for one in whole) == sum(len(one.tool_calls) for one in messages)


@pytest.mark.parametrize("choice", [None, "none"])
@pytest.mark.parametrize("offered", [TOOLS, ()])
async def test_a_strict_service_takes_broken_conversations(choice, offered):
    """With tools, without, and where none may be called."""
    history = [result("gone"), USER, made(call("x"), call("x")), result("x"), NEXT, made(call("x")), NEXT]
    with replica(OpenAICompatible, answer=in_turns("Rain.", "Rain.")) as r:
        for stream_arguments in (False, True):
            asked = replace(
                request("So?", *history, tools=offered, tool_choice=choice),
                stream_tool_arguments=stream_arguments,
            )
            parts, error = await parts_of(openai(r, native_tools=True), asked)
            assert error is None, error
            assert parts
        assert len(r.requests) == 2
        assert not any(one.refusal for one in r.requests)


# --- names ---


STRANGE = [
    "get weather",
    "get.weather",
    "get/weather",
    "天気",
    "погода",
    "météo",
    "x" * 65,
    "x" * 65 + "y",
    "Box[int]",
    " ",
    "\n",
    "\ud800",
    "a" * 500,
]


@given(st.lists(st.one_of(st.sampled_from([*STRANGE, "get_weather"]), st.text(min_size=1)), unique=True))
def test_any_names_become_names(names):
    """Each has one of its own, which leads back to it, and good ones stay."""
    table = Names(names)
    sent = [table.sent(name) for name in names]
    assert len(set(sent)) == len(sent)
    for name, other in zip(names, sent, strict=True):
        assert 0 < len(other) <= 64
        assert all(char.isascii() and (char.isalnum() or char in "_-") for char in other)
        assert table.own.get(other, other) == name
        if name == "get_weather":
            assert other == name


def odd_tool(name):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return Tool(name, "Tell the weather.", schema)


@pytest.mark.parametrize("name", STRANGE[:-2] + STRANGE[-1:])
@pytest.mark.parametrize("choice", [None, "required", "named"])
async def test_tools_of_any_name_are_called_natively(name, choice):
    """The service is told a name that it takes; calls come with the tool's own."""

    def answer(_messages, recorded):
        sent = recorded.json["tools"][0]["function"]["name"]
        return [ToolCall("a", sent, {"city": "Oslo"})]

    tools = (odd_tool(name), odd_tool("get_weather"))
    with replica(OpenAICompatible, answer=answer) as r:
        for claim in (True, "auto", "auto"):
            asked = request(tools=tools, tool_choice=(name,) if choice == "named" else choice)
            completion = await answer_of(openai(r, native_tools=claim), asked)
            assert calls_of(completion) == [(name, {"city": "Oslo"})]
        assert not any(one.refusal for one in r.requests)
        assert len(r.requests) == 3


async def test_strange_names_in_a_conversation():
    """Of a tool that is bound, of one that is not any more, and of one that a model made up."""
    history = [
        USER,
        made(call("a", "get weather"), call("b", "old.tool"), call("c", "")),
        result("a", name="get weather"),
        result("b", name="old.tool"),
        result("c", "There is no such tool.", name=""),
    ]
    with replica(OpenAICompatible, answer=in_turns("Rain.")) as r:
        asked = request("So?", *history, tools=(odd_tool("get weather"),))
        assert (await answer_of(openai(r, native_tools=True), asked)).text == "Rain."
        (sent,) = r.requests
        names = [one["function"]["name"] for one in sent.json["messages"][1]["tool_calls"]]
        assert names[:2] == ["get_weather", "old_tool"]
        assert names[2]
        assert sent.json["tools"][0]["function"]["name"] == "get_weather"
        assert "get weather" not in json.dumps(sent.json["messages"][1])
