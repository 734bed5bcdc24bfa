"""Every role and every block, written for the core."""

import base64
import io

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from freeproviders import types as core
from freeproviders.errors import UnsupportedInputError, UsageError
from freeproviders.testing import replica
from llama_index_freeproviders import FlowGpt, OpenAICompatible
from llama_index_freeproviders.messages import to_core_messages

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("system", "system"),
        ("developer", "system"),
        ("user", "user"),
        ("assistant", "assistant"),
        ("chatbot", "assistant"),
        ("model", "assistant"),
        ("tool", "tool"),
        ("function", "tool"),
    ],
)
def test_roles(role, expected):
    (message,) = to_core_messages([ChatMessage(role=role, content="x")])
    assert (message.role, message.content) == (expected, "x")
    assert message.developer == (role == "developer")


def test_a_result_finds_its_call_by_id():
    messages = to_core_messages(
        [
            ChatMessage(
                role="assistant",
                blocks=[
                    TextBlock(text="Looking."),
                    ToolCallBlock(tool_call_id="a", tool_name="add", tool_kwargs={"x": 1}),
                    ToolCallBlock(tool_call_id="b", tool_name="Box[int]", tool_kwargs='{"value": 2}'),
                ],
            ),
            ChatMessage(role="tool", content="2", additional_kwargs={"tool_call_id": "b"}),
            ChatMessage(role="tool", content="1", additional_kwargs={"tool_call_id": "a"}),
        ]
    )
    assert messages[0].content == "Looking."
    assert messages[0].tool_calls == (
        core.ToolCall("a", "add", {"x": 1}),
        core.ToolCall("b", "Box_int_", {"value": 2}),
    )
    assert [(m.tool_call_id, m.name, m.content) for m in messages[1:]] == [
        ("b", "Box_int_", "2"),
        ("a", "add", "1"),
    ]


def test_calls_and_results_without_ids_pair_up_in_order():
    calls = ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_name="a"), ToolCallBlock(tool_name="b")])
    messages = to_core_messages(
        [calls, ChatMessage(role="tool", content="1"), ChatMessage(role="tool", content="2")]
    )
    ids = [call.id for call in messages[0].tool_calls]
    assert len(set(ids)) == 2
    assert [(m.tool_call_id, m.name) for m in messages[1:]] == [(ids[0], "a"), (ids[1], "b")]


def test_calls_that_other_models_remembered():
    raw = [
        {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
        {"nonsense": True},
    ]
    (message,) = to_core_messages(
        [ChatMessage(role="assistant", content=None, additional_kwargs={"tool_calls": raw})]
    )
    assert message.tool_calls == (core.ToolCall("c1", "add", {"a": 1}),)


@pytest.mark.parametrize(
    ("written", "read"),
    [("", {}), ("{oops", {"input": "{oops"}), ("[1]", {"input": [1]}), ('{"a": 1}', {"a": 1})],
)
def test_a_calls_arguments_never_break_a_history(written, read):
    (message,) = to_core_messages(
        [ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_name="t", tool_kwargs=written)])]
    )
    assert message.tool_calls[0].arguments == read


def test_blocks_become_text(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("from a file")
    blocks = [
        TextBlock(text="one"),
        ThinkingBlock(content="secret thoughts"),
        CachePoint(cache_control=CacheControl(type="ephemeral")),
        DocumentBlock(data=b"the document", title="Report"),
        DocumentBlock(path=str(path)),
        CitableBlock(title="Book", source="page 3", content="citable"),
        CitationBlock(title="Book", source="page 3", cited_content="cited", additional_location_info={}),
    ]
    (message,) = to_core_messages([ChatMessage(role="user", blocks=blocks)])
    assert (
        message.content
        == 'one\nReport:\nthe document\nfrom a file\nBook (page 3):\ncitable\n"cited" [Book, page 3]'
    )


@pytest.mark.parametrize(
    "block",
    [
        AudioBlock(url="http://127.0.0.1/x", format="wav"),
        VideoBlock(video=b"\0\0\0\x18ftyp"),
        DocumentBlock(url="http://127.0.0.1/x"),
    ],
)
def test_what_cannot_be_sent_is_refused(block):
    with pytest.raises(UnsupportedInputError):
        to_core_messages([ChatMessage(role="user", blocks=[TextBlock(text="look"), block])])


def test_pictures_go_where_they_can_and_are_refused_elsewhere(tmp_path):
    path = tmp_path / "dot.png"
    path.write_bytes(PNG)
    blocks = [
        TextBlock(text="What is it?"),
        ImageBlock(image=PNG, detail="low"),
        ImageBlock(path=path),
        ImageBlock(url="https://example.org/a.png"),
    ]
    messages = [ChatMessage(role="user", blocks=blocks)]
    with replica("openai-compatible", answer="A dot.") as r:
        assert OpenAICompatible("m", base_url=r.base_url).chat(messages).message.content == "A dot."
        data = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
        assert r.requests[-1].json["messages"][0]["content"] == [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": data, "detail": "low"}},
            {"type": "image_url", "image_url": {"url": data}},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        ]
    with replica("flow-gpt") as r:
        with pytest.raises(UnsupportedInputError, match="pictures"):
            FlowGpt(base_url=r.base_url).chat(messages)
        assert not r.requests


GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff"
    b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)


def test_a_pictures_kind_is_known_by_its_bytes(tmp_path):
    """LlamaIndex's own `inline_url` cannot read buffers, and takes a file's name for what it is."""
    path = tmp_path / "picture"
    path.write_bytes(GIF)
    expected = f"data:image/gif;base64,{base64.b64encode(GIF).decode()}"
    for block in (
        ImageBlock(image=GIF),
        ImageBlock(image=base64.b64encode(GIF)),
        ImageBlock(image=io.BytesIO(GIF)),
        ImageBlock(path=path),
    ):
        for _ in range(2):  # a buffer may be sent again
            (message,) = to_core_messages([ChatMessage(role="user", blocks=[block])])
            assert message.images[0].url == expected
    (message,) = to_core_messages([ChatMessage(role="user", blocks=[ImageBlock(url=expected)])])
    assert message.images[0].url == expected


@pytest.mark.parametrize("block", [ImageBlock(), ImageBlock(url="file:///etc/hostname")])
def test_a_picture_that_nobody_can_fetch_is_refused(block):
    with pytest.raises(UnsupportedInputError, match="path"):
        to_core_messages([ChatMessage(role="user", blocks=[block])])


@pytest.mark.parametrize(
    "messages",
    [[], "Hi", ChatMessage(content="Hi"), [{"role": "user", "content": "Hi"}], [("user", "Hi")], ["Hi"]],
)
def test_what_is_no_conversation_is_refused(messages):
    """Before anything is sent; that it is empty is found by the core, for all who ask."""
    with pytest.raises(UsageError, match="messages"):
        FlowGpt(base_url="http://127.0.0.1:9").chat(messages)


def test_names_travel():
    (message,) = to_core_messages([ChatMessage(role="user", content="hi", additional_kwargs={"name": "ada"})])
    assert (message.name, message.content) == ("ada", "hi")


def test_a_late_system_message_and_several_turns_reach_the_service():
    turns = [
        ChatMessage(role="user", content="A"),
        ChatMessage(role="assistant", content="B"),
        ChatMessage(role="user", content="C"),
        ChatMessage(role="system", content="Be short."),
    ]
    with replica("flow-gpt", answer="ok") as r:
        assert FlowGpt(base_url=r.base_url).chat(turns).message.content == "ok"
        sent = r.requests[-1].json
        assert "Be short." in sent["system"]
        assert {"role": "assistant", "content": "B"} in sent["history"]
