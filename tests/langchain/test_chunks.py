"""Chunks made quickly are the chunks LangChain would make."""

import copy
import pickle

import pytest
from langchain_core.load import dumps, load
from langchain_core.load.dump import dumpd
from langchain_core.messages import AIMessageChunk
from pydantic import Field

from freeproviders.templates import quick_or_validated, separate
from freeproviders.types import Completion, Finish, Reasoning, Text, ToolCall, Usage
from langchain_freeproviders import chunks
from langchain_freeproviders.chunks import (
    ChunkWriter,
    quick_last,
    quick_reasoning,
    quick_text,
    quick_words,
    result,
    validated_last,
    validated_reasoning,
    validated_text,
    validated_words,
)

COUNTS = [
    {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12},
    {
        "input_tokens": 7,
        "output_tokens": 5,
        "total_tokens": 12,
        "input_token_details": {"cache_read": 1},
        "output_token_details": {"reasoning": 2},
    },
]
METADATA = [{"model_name": "m", "attempts": 1}, {"trail": [{"provider": "P"}], "headers": {"a": "b"}}]
WAYS = [(quick_text(), validated_text), (quick_reasoning(), validated_reasoning)]
TEXTS = ["", "a", "Grüße \U0001f30a", "\u2028\r\n[DONE]", "x" * 10_000]


def test_the_quick_way_is_in_use():
    assert chunks.text_chunk is not validated_text
    assert chunks.reasoning_chunk is not validated_reasoning
    assert chunks.last_chunk is not validated_last
    assert chunks.words_generation is not validated_words


def same(one, other):
    """Hold that nothing tells two chunks or generations apart."""
    for a, b in ((one, other), (one.message, other.message)):
        assert a == b
        assert type(a) is type(b)
        assert a.model_fields_set == b.model_fields_set
        assert a.model_dump() == b.model_dump()
        assert a.model_dump_json() == b.model_dump_json()
        assert list(a.__dict__) == list(b.__dict__)
        assert a.__pydantic_extra__ == b.__pydantic_extra__
        assert a.__pydantic_private__ == b.__pydantic_private__
        assert repr(a) == repr(b)
        assert dumps(a) == dumps(b)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("ways", WAYS, ids=["text", "reasoning"])
def test_a_copy_equals_a_validated_chunk(ways, text):
    same(ways[0](text), ways[1](text))


@pytest.mark.parametrize("usage", [None, *COUNTS], ids=["none", "counts", "details"])
@pytest.mark.parametrize("metadata", METADATA, ids=["short", "deep"])
def test_a_copy_of_the_last_chunk_equals_a_validated_one(metadata, usage):
    same(quick_last()(copy.deepcopy(metadata), copy.deepcopy(usage)), validated_last(metadata, usage))


@pytest.mark.parametrize("usage", COUNTS, ids=["counts", "details"])
@pytest.mark.parametrize("text", TEXTS, ids=["none", "a", "emoji", "lines", "long"])
def test_a_copy_of_an_answer_equals_a_validated_one(text, usage):
    given = (text, {"reasoning_content": "Hm."}, METADATA[1], usage)
    same(quick_words()(*copy.deepcopy(given)), validated_words(*given))


@pytest.mark.parametrize("ways", WAYS, ids=["text", "reasoning"])
def test_a_copy_can_do_what_a_chunk_can(ways):
    one, other = ways[0]("Hello"), ways[1]("Hello")
    assert one + ways[0](" you") == other + ways[1](" you")
    assert one.message + one.message == other.message + other.message
    assert copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == other
    assert one.message.model_copy(update={"id": "x"}) == other.message.model_copy(update={"id": "x"})
    assert load(dumpd(one), allowed_objects="all") == other
    one.message.id = other.message.id = "an id"
    one.message.note = other.message.note = "messages take further attributes"
    assert one == other
    assert one.message.model_fields_set == other.message.model_fields_set


def test_two_copies_share_nothing():
    text = quick_text()
    one, other = text("a"), text("a")
    assert separate(one, other)
    one.message.additional_kwargs["k"] = one.message.response_metadata["k"] = 1
    one.message.tool_call_chunks.append("x")
    one.message.id = "an id"
    one.message.note = "n"
    assert other.message == AIMessageChunk(content="a")
    assert text("a").message == AIMessageChunk(content="a")


def test_a_difference_means_validating(monkeypatch):
    """Whatever LangChain may add to its chunks: a copy that is not the same is not used."""

    class Renamed(AIMessageChunk):
        news: list[str] = Field(default_factory=list)

    monkeypatch.setattr(chunks, "AIMessageChunk", Renamed)
    assert quick_or_validated(quick_text, validated_text, "a") is validated_text
    assert quick_or_validated(quick_reasoning, validated_reasoning, "a") is validated_reasoning


PARTS = [
    Reasoning("Hm. "),
    Reasoning("Well."),
    Text("Let me "),
    Text("see."),
    ToolCall("call_a", "add", {"a": 1, "b": [2, "ü"]}),
    ToolCall("call_b", "now", {}),
    Usage(
        7,
        5,
        reasoning_tokens=2,
        cached_tokens=1,
        cache_write_tokens=3,
        input_audio_tokens=0,
        output_audio_tokens=4,
        accepted_prediction_tokens=1,
    ),
    Finish(reason="tool_calls", provider="P", model="m-1", response_id="r-1", attempts=2),
]


def added(parts):
    writer = ChunkWriter("p")
    made = [
        chunk
        for part in parts
        if (chunk := writer.text(part.text) if isinstance(part, Text) else writer.other(part)) is not None
    ]
    total = made[0]
    for chunk in made[1:]:
        total += chunk
    return made, total.message


def test_a_stream_adds_up():
    made, message = added(PARTS)
    assert len(made) == len(PARTS) - 1  # usage comes with the end
    assert message.content == "Let me see."
    assert message.additional_kwargs == {"reasoning_content": "Hm. Well."}
    assert message.tool_calls == [
        {"name": "add", "args": {"a": 1, "b": [2, "ü"]}, "id": "call_a", "type": "tool_call"},
        {"name": "now", "args": {}, "id": "call_b", "type": "tool_call"},
    ]
    assert not message.invalid_tool_calls
    assert message.usage_metadata == {
        "input_tokens": 7,
        "output_tokens": 5,
        "total_tokens": 12,
        "input_token_details": {"cache_read": 1, "cache_creation": 3, "audio": 0},
        "output_token_details": {"reasoning": 2, "audio": 4},
    }
    assert message.response_metadata == {
        "model_name": "m-1",
        "model_provider": "p",
        "finish_reason": "tool_calls",
        "provider": "P",
        "attempts": 2,
        "id": "r-1",
    }
    assert message.chunk_position == "last"


def test_metadata_comes_once():
    made, _ = added(PARTS)
    assert [bool(chunk.message.response_metadata) for chunk in made] == [False] * (len(made) - 1) + [True]
    assert [chunk.message.usage_metadata is not None for chunk in made] == [False] * (len(made) - 1) + [True]
    assert [chunk.message.chunk_position for chunk in made] == [None] * (len(made) - 1) + ["last"]


def test_a_stream_and_a_whole_answer_say_the_same():
    _, streamed = added(PARTS)
    calls = tuple(part for part in PARTS if isinstance(part, ToolCall))
    whole = (
        result(Completion("Let me see.", "Hm. Well.", calls, PARTS[-2], PARTS[-1]), "p")
        .generations[0]
        .message
    )
    for name in ("content", "additional_kwargs", "tool_calls", "usage_metadata", "response_metadata"):
        assert getattr(streamed, name) == getattr(whole, name)
    assert streamed.content_blocks == whole.content_blocks


def test_what_was_estimated_or_not_confirmed_is_said():
    _, message = added(
        [
            Text("a"),
            Usage(1, 1, estimated=True),
            Finish(reason="unknown", provider="P", model="m", confirmed=False, raw_reason="eh"),
        ]
    )
    assert message.response_metadata["usage_estimated"] is True
    assert message.response_metadata["confirmed"] is False
    assert message.response_metadata["raw_finish_reason"] == "eh"
