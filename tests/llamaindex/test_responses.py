"""Chunks are copies of validated objects that nothing can tell from validated ones."""

import pickle

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from freeproviders.templates import identical
from freeproviders.types import Finish, Reasoning, Text, ToolCall, Usage
from llama_index_freeproviders import responses
from llama_index_freeproviders.responses import LONG_TEXT, ChatAssembler, CompletionAssembler


def test_the_quick_way_is_in_use_with_the_installed_versions():
    """With a version whose objects differ, `quick_or_validated` would have chosen the usual way."""
    assert responses.chat_chunk is not responses.validated_chat
    assert responses.last_chunk is not responses.validated_last
    assert responses.completion_chunk is not responses.validated_completion


@pytest.mark.parametrize(("text", "delta"), [("a", "a"), ("so far", " far"), ("é\u2028", "\u2028")])
def test_a_copied_chunk_is_the_validated_one(text, delta):
    fast = responses.chat_chunk(text, delta)
    slow = ChatResponse(message=ChatMessage(role="assistant", content=text), delta=delta)
    assert identical(fast, slow)
    assert fast.model_dump_json() == slow.model_dump_json()
    assert pickle.loads(pickle.dumps(fast)) == slow
    assert fast.model_copy(deep=True) == slow
    last = ChatResponse(
        message=ChatMessage(role="assistant", content=text),
        delta="",
        raw={"usage": {"total_tokens": 1}},
        additional_kwargs={"total_tokens": 1},
    )
    assert identical(responses.last_chunk(text, {"usage": {"total_tokens": 1}}, {"total_tokens": 1}), last)
    assert identical(responses.completion_chunk(text, delta), CompletionResponse(text=text, delta=delta))


@pytest.mark.parametrize(
    "other",
    [
        ChatResponse(message=ChatMessage(role="assistant", content="b"), delta="a"),
        ChatResponse(message=ChatMessage(role="user", content="a"), delta="a"),
        ChatResponse(
            message=ChatMessage(role="assistant", content="a"), delta="a", raw=None
        ),  # equal, yet another field counts as set
        ChatResponse(
            message=ChatMessage(role="assistant", blocks=[TextBlock(text="a")], additional_kwargs={}),
            delta="a",
        ),
    ],
)
def test_identical_sees_every_difference(other):
    assert not identical(responses.chat_chunk("a", "a"), other)


def test_chunks_share_nothing():
    one, two = responses.chat_chunk("a", "a"), responses.chat_chunk("a", "a")
    one.message.additional_kwargs["x"] = 1
    one.message.blocks.append(TextBlock(text="more"))
    one.message.blocks[0].text = "changed"
    one.additional_kwargs["y"] = 2
    one.raw = {"z": 3}
    assert identical(two, responses.chat_chunk("a", "a"))
    done = responses.completion_chunk("a", "a")
    done.additional_kwargs["x"] = 1
    assert responses.completion_chunk("a", "a").additional_kwargs == {}


def test_the_validated_way_gives_the_same():
    assert identical(responses.validated_chat("ab", "b"), responses.chat_chunk("ab", "b"))
    assert identical(responses.validated_last("ab", {"a": 1}, {}), responses.last_chunk("ab", {"a": 1}, {}))
    assert identical(responses.validated_completion("ab", "b"), responses.completion_chunk("ab", "b"))


def run(assembler, parts):
    return [chunk for part in parts for chunk in assembler.chunks([part])]


def test_messages_add_up_deltas_do_not_repeat_and_the_last_chunk_is_whole():
    chunks = run(ChatAssembler(), [Text("Hel"), Text("lo"), Usage(3, 2), Finish("stop", "P", "m")])
    assert [chunk.message.content for chunk in chunks] == ["Hel", "Hello", "Hello"]
    assert [chunk.delta for chunk in chunks] == ["Hel", "lo", ""]
    assert [chunk.raw for chunk in chunks[:-1]] == [None, None]
    assert chunks[-1].raw["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "estimated": False,
    }
    assert type(chunks[-1].raw) is dict
    assert chunks[-1].raw["finish_reason"] == "stop"
    assert (chunks[-1].raw["provider"], chunks[-1].raw["model"]) == ("P", "m")


def test_thinking_is_a_block_and_a_delta_of_its_own():
    chunks = run(
        ChatAssembler(),
        [
            Reasoning("Let me "),
            Reasoning("see."),
            Text("4"),
            Usage(1, 9, reasoning_tokens=7, cached_tokens=1),
            Finish(),
        ],
    )
    assert [chunk.additional_kwargs.get("thinking_delta") for chunk in chunks] == [
        "Let me ",
        "see.",
        None,
        None,
    ]
    assert [chunk.delta for chunk in chunks] == ["", "", "4", ""]
    assert chunks[0].message.content is None
    assert chunks[-1].message.blocks == [
        ThinkingBlock(content="Let me see.", num_tokens=7),
        TextBlock(text="4"),
    ]
    assert chunks[-1].raw["usage"]["completion_tokens_details"] == {"reasoning_tokens": 7}
    assert chunks[-1].raw["usage"]["prompt_tokens_details"] == {"cached_tokens": 1}


def test_a_pure_call_has_no_text_block_and_is_told_twice():
    chunks = run(
        ChatAssembler({"Box_int_": "Box[int]"}),
        [ToolCall("c1", "Box_int_", {"value": 3}), Usage(1, 1), Finish("tool_calls")],
    )
    for chunk in chunks:
        assert chunk.message.content is None
        assert chunk.message.blocks == [
            ToolCallBlock(tool_call_id="c1", tool_name="Box[int]", tool_kwargs={"value": 3})
        ]
        assert chunk.message.additional_kwargs["tool_calls"] == [
            {"id": "c1", "type": "function", "function": {"name": "Box[int]", "arguments": '{"value":3}'}}
        ]
        chunk.model_dump_json()


def test_text_before_a_call_stays():
    chunks = run(
        ChatAssembler(),
        [
            Text("Let me look."),
            ToolCall("c1", "look", {}),
            ToolCall("c2", "look", {"at": "b"}),
            Usage(1, 1),
            Finish("tool_calls"),
        ],
    )
    assert chunks[-1].message.content == "Let me look."
    assert [block.tool_call_id for block in chunks[-1].message.blocks[1:]] == ["c1", "c2"]


def test_completions_hold_the_text_so_far():
    chunks = run(CompletionAssembler(), [Reasoning("hm"), Text("a"), Text("b"), Usage(1, 1), Finish()])
    assert [(chunk.text, chunk.delta) for chunk in chunks] == [("", ""), ("a", "a"), ("ab", "b"), ("ab", "")]
    assert chunks[0].additional_kwargs == {"thinking_delta": "hm"}
    assert chunks[-1].raw["usage"]["total_tokens"] == 2


@pytest.mark.parametrize("cls", [ChatAssembler, CompletionAssembler])
def test_a_long_stream_copies_its_text_once_for_each_read_and_not_for_each_piece(cls):
    assembler, out = cls(), []
    reads = [[Text("word ")] * 400 for _ in range(100)]
    for batch in reads:
        out += assembler.chunks(batch)
    whole = "word " * 40_000
    assert "".join(chunk.delta for chunk in out) == whole
    copied = sum(len(chunk.text if cls is CompletionAssembler else chunk.message.content) for chunk in out)
    pieces_up_to_the_limit = LONG_TEXT // 5 + 400
    assert len(out) <= pieces_up_to_the_limit + len(reads)
    assert copied < pieces_up_to_the_limit * LONG_TEXT + len(reads) * len(
        whole
    )  # 20 MB; a chunk for each piece would copy 4 GB
    assert (out[-1].text if cls is CompletionAssembler else out[-1].message.content) == whole


def test_long_thinking_is_copied_once_for_each_read_as_well():
    assembler, out = ChatAssembler(), []
    for _ in range(100):
        out += assembler.chunks([Reasoning("word ")] * 400)
    out += assembler.chunks([Text("so ")] * 400)
    assert (
        "".join(chunk.additional_kwargs.get("thinking_delta", "") for chunk in out)
        == out[-1].message.blocks[0].content
        == "word " * 40_000
    )
    assert "".join(chunk.delta for chunk in out) == out[-1].message.content == "so " * 400
    assert len(out) <= LONG_TEXT // 5 + 400 + 101


def test_merging_keeps_the_order_of_parts():
    calls, end = [ToolCall("1", "t", {}), ToolCall("2", "t", {})], [Usage(1, 1), Finish()]
    batch = [
        Text("a"),
        Text("b"),
        Reasoning("r"),
        Reasoning("s"),
        Text("c"),
        *calls,
        Text("d"),
        Text("e"),
        *end,
    ]
    assert responses._merged(batch) == [Text("ab"), Reasoning("rs"), Text("c"), *calls, Text("de"), *end]
