"""LangChain's messages, of every kind, as the core's."""

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from freeproviders.errors import UnsupportedInputError, UsageError
from freeproviders.types import ImageBlock, Message, TextBlock, ToolCall
from langchain_freeproviders.messages import core_messages
from tests.langchain.services import OPENAI

CALL = {"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
ADD = ToolCall("c1", "add", {"a": 1})


def one(message):
    (made,) = core_messages([message])
    return made


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (HumanMessage("hi"), Message("user", "hi")),
        (HumanMessage("hi", name="ann"), Message("user", "hi", "ann")),
        (HumanMessageChunk(content="hi"), Message("user", "hi")),
        (SystemMessage("be brief"), Message("system", "be brief")),
        (AIMessage("hello"), Message("assistant", "hello")),
        (AIMessageChunk(content="hello"), Message("assistant", "hello")),
        (AIMessage("", tool_calls=[CALL]), Message("assistant", "", tool_calls=(ADD,))),
        (
            AIMessageChunk(
                content="", tool_call_chunks=[{"name": "add", "args": '{"a": 1}', "id": "c1", "index": 0}]
            ),
            Message("assistant", "", tool_calls=(ADD,)),
        ),
        (ToolMessage("2", tool_call_id="c1", name="add"), Message("tool", "2", "add", tool_call_id="c1")),
        (
            ToolMessage("boom", tool_call_id="c1", status="error"),
            Message("tool", "boom", tool_call_id="c1", is_error=True),
        ),
        (FunctionMessage(content="2", name="add"), Message("tool", "2", "add")),
        (ChatMessage("hi", role="user"), Message("user", "hi")),
        (ChatMessage("hi", role="developer"), Message("system", "hi", developer=True)),
        (
            SystemMessage("hi", additional_kwargs={"__openai_role__": "developer"}),
            Message("system", "hi", developer=True),
        ),
        (ChatMessage("hi", role="model"), Message("assistant", "hi")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_message(message, expected):
    assert one(message) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (["hi"], "hi"),
        ([{"type": "text", "text": "hi"}], "hi"),
        ([{"text": "hi"}], "hi"),
        ([{"type": "text-plain", "text": "hi", "mime_type": "text/plain"}], "hi"),
        ([{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}], "hi"),
        (["a", {"type": "text", "text": "b"}], (TextBlock("a"), TextBlock("b"))),
        ([], ()),
    ],
)
def test_list_contents(content, expected):
    assert one(HumanMessage(content)).content == expected


URL = "https://example.org/a.png"
DATA = "data:image/png;base64,AAAA"


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"type": "image_url", "image_url": {"url": URL, "detail": "low"}}, ImageBlock(URL, "low")),
        ({"type": "image_url", "image_url": URL}, ImageBlock(URL)),
        ({"type": "image", "url": URL}, ImageBlock(URL)),
        ({"type": "image", "base64": "AAAA", "mime_type": "image/png"}, ImageBlock(DATA)),
        ({"type": "image", "source_type": "url", "url": URL}, ImageBlock(URL)),
        (
            {"type": "image", "source_type": "base64", "data": "AAAA", "mime_type": "image/png"},
            ImageBlock(DATA),
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            ImageBlock(DATA),
        ),
        ({"type": "image", "source": {"type": "url", "url": URL}}, ImageBlock(URL)),
    ],
)
def test_pictures_in_every_notation(block, expected):
    assert one(HumanMessage([{"type": "text", "text": "What is this?"}, block])).images == (expected,)


@pytest.mark.parametrize("kind", ["video", "whatever"])
def test_what_cannot_be_sent_is_said(kind):
    with pytest.raises(UnsupportedInputError, match=kind):
        one(HumanMessage([{"type": kind, "base64": "AAAA", "mime_type": "a/b"}]))


def test_a_picture_that_cannot_be_sent_is_said():
    with pytest.raises(UnsupportedInputError, match="url or base64"):
        one(HumanMessage([{"type": "image", "file_id": "f-1"}]))
    with pytest.raises(UnsupportedInputError, match="user message"):
        one(SystemMessage([{"type": "image", "url": URL}]))


def test_a_picture_among_a_tools_results():
    message = ToolMessage(
        [{"type": "text", "text": "a map"}, {"type": "image", "base64": "AAAA", "mime_type": "image/png"}],
        tool_call_id="c1",
    )
    assert one(message) == Message("tool", (TextBlock("a map"), ImageBlock(DATA)), tool_call_id="c1")


def test_what_a_model_said_beside_its_words_is_not_among_them():
    """Its thinking stays apart, for the services that want it back between tool calls."""
    message = AIMessage(
        [
            {"type": "reasoning", "reasoning": "Hm."},
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}},
            {"type": "tool_call", "id": "c1", "name": "add", "args": {"a": 1}},
            {"type": "tool_use", "id": "c2", "name": "now", "input": {}},
            {"type": "non_standard", "value": {}},
        ],
        tool_calls=[CALL],
        additional_kwargs={"reasoning_content": "Hm.", "lc_source": "notification", "lc_data": {"secret": 1}},
        response_metadata={"model_name": "m"},
    )
    assert one(message) == Message(
        "assistant", "Let me see.", tool_calls=(ADD, ToolCall("c2", "now", {})), reasoning="Hm."
    )


@pytest.mark.parametrize("kind", [HumanMessage, SystemMessage])
def test_thinking_is_not_what_a_user_says(kind):
    """A graph may hand on one model's answer, blocks and all, as words of the user to the next."""
    thoughts = [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "reasoning", "reasoning": "Hm."},
    ]
    said = one(kind([*thoughts, {"type": "text", "text": "Go on."}]))
    assert (said.text, said.reasoning) == ("Go on.", "")


def test_a_call_made_badly_stays_in_the_conversation():
    """An agent answers it with an error, and the answer must have something to belong to."""
    bad = {"name": "add", "args": '{"a": ', "id": "c9", "error": "x", "type": "invalid_tool_call"}
    assert one(AIMessage("", invalid_tool_calls=[bad])).tool_calls == (ToolCall("c9", "add", {}),)


def test_results_inside_a_human_message():
    """As Anthropic's clients write them."""
    message = HumanMessage(
        [
            {"type": "tool_result", "tool_use_id": "c1", "content": "2", "is_error": True},
            {"type": "text", "text": "Go on."},
        ]
    )
    assert core_messages([message]) == (
        Message("tool", "2", tool_call_id="c1", is_error=True),
        Message("user", "Go on."),
    )
    assert core_messages(
        [
            HumanMessage(
                [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "2"}]}]
            )
        ]
    ) == (Message("tool", "2", tool_call_id="c1"),)


@pytest.mark.parametrize("messages", [[], [RemoveMessage(id="x")], [ChatMessage("hi", role="narrator")]])
def test_what_is_no_conversation(messages):
    with pytest.raises(UsageError):
        core_messages(messages)


def test_nothing_of_langchains_own_is_sent():
    """Neither notifications nor ids, metadata or extra fields."""
    history = [
        SystemMessage("Be brief.", additional_kwargs={"lc_source": "summary"}),
        HumanMessage("Hi", id="m-1", additional_kwargs={"lc_source": "notification", "lc_data": {"a": 1}}),
        AIMessage(
            "Hello",
            id="m-2",
            response_metadata={"model_name": "m"},
            additional_kwargs={"reasoning_content": "Hm."},
        ),
        HumanMessage("Bye", name="ann"),
    ]
    with OPENAI.replica("ok") as r:
        OPENAI.model(r).invoke(history)
    assert r.requests[-1].json["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye", "name": "ann"},
    ]


def test_pictures_reach_a_service_that_takes_them(service):
    """And are refused, before anything is sent, by one that does not."""
    message = HumanMessage(
        [
            {"type": "text", "text": "What is this?"},
            {"type": "image", "base64": "AAAA", "mime_type": "image/png"},
        ]
    )
    with service.replica("A dot.") as r:
        model = service.model(r)
        if service is OPENAI:
            assert model.invoke([message]).content == "A dot."
            assert r.requests[-1].json["messages"][0]["content"][1] == {
                "type": "image_url",
                "image_url": {"url": DATA},
            }
        else:
            with pytest.raises(UnsupportedInputError, match="pictures"):
                model.invoke([message])
            assert not r.requests
    assert model.profile["image_inputs"] is (service is OPENAI)


def test_each_call_is_sent_whatever_its_id():
    """Two calls of one id are two calls; those without an id differ in a whole conversation."""
    again = {**CALL, "args": {"a": 2}}
    assert one(AIMessage("", tool_calls=[CALL, again])).tool_calls == (ADD, ToolCall("c1", "add", {"a": 2}))
    nameless = AIMessage("", tool_calls=[{**CALL, "id": None}, {**again, "id": None}])
    sent = core_messages([nameless, HumanMessage("hi"), nameless])
    identities = [call.id for message in sent for call in message.tool_calls]
    assert len(set(identities)) == len(identities) == 4
    with OPENAI.replica("ok") as r:
        OPENAI.model(r).bind_tools([{"name": "add", "description": "Add."}]).invoke(
            [HumanMessage("hi"), AIMessage("", tool_calls=[CALL, again]), ToolMessage("1", tool_call_id="c1")]
        )
    written = "".join(each["content"] for each in r.requests[-1].json["messages"])
    assert [f'{{"a":{n}}}' in written.replace(" ", "") for n in (1, 2)] == [True, True]
