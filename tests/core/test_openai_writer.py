"""Answers written in the OpenAI protocol, read by a plain client and by the package's reader."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders.types import Finish, Reasoning, Text, ToolCall, Usage
from freeproviders.wire.openai.answer import ChatDecoder
from freeproviders.wire.openai.writer import (
    DELTA_STYLES,
    AnswerStyle,
    ChunkWriter,
    DocumentWriter,
    error_document,
)
from tests.core.chunks import read_chunks, sse

text = st.text(min_size=1, max_size=12)
arguments = st.dictionaries(
    text, st.none() | st.integers(-9, 9) | text | st.lists(text, max_size=2), max_size=3
)
content = st.lists(
    st.builds(Text, text) | st.builds(Reasoning, text) | st.tuples(text, arguments), max_size=8
)
usages = st.none() | st.builds(
    Usage,
    st.integers(0, 99),
    st.integers(0, 99),
    st.none() | st.integers(0, 9),
    st.none() | st.integers(0, 9),
)


def with_ids(parts):
    """Calls with ids that no other call has."""
    return [ToolCall(f"c{n}", *part) if isinstance(part, tuple) else part for n, part in enumerate(parts)]


def written(writer, parts):
    return [writer.start(), *(chunk for part in parts for chunk in writer.part(part)), *writer.end()]


def told(parts, kind):
    return "".join(part.text for part in parts if isinstance(part, kind))


@given(content, usages, st.sampled_from(DELTA_STYLES), st.booleans())
def test_any_answer_as_chunks(parts, usage, style, role_content):
    """A plain client reads what was written, and so does the package's reader, in each style of deltas."""
    parts = with_ids(parts)
    calls = [part for part in parts if isinstance(part, ToolCall)]
    given_parts = [*parts, usage, Finish(reason="stop")] if usage else parts
    writer = ChunkWriter(
        "m1", AnswerStyle(tool_deltas=style, role_content=role_content), include_usage=usage is not None
    )
    chunks = json.loads(json.dumps(written(writer, given_parts)))

    plain = read_chunks(chunks)
    assert plain[:2] == (told(parts, Text), told(parts, Reasoning))
    assert plain[2] == [(call.id, call.name, dict(call.arguments)) for call in calls]
    assert plain[3] == ("stop" if usage or not calls else "tool_calls")
    assert (plain[4] or {}).get("total_tokens") == (usage and usage.total_tokens)
    assert len({chunk["id"] for chunk in chunks}) == 1

    decoder = ChatDecoder()
    got = decoder.feed(sse(*chunks))
    assert decoder.failure is None
    assert (told(got, Text), told(got, Reasoning)) == plain[:2]
    assert [part for part in got if isinstance(part, ToolCall)] == calls
    assert decoder.usage == usage
    assert (decoder.model, decoder.response_id) == ("m1", writer.id)


@given(content, usages)
def test_any_answer_as_a_document(parts, usage):
    """The document holds the same: text, thinking, calls, reason and usage."""
    parts = with_ids(parts)
    calls = [part for part in parts if isinstance(part, ToolCall)]
    writer = DocumentWriter("m1", answer_id="r1", created=7)
    for part in [*parts, usage] if usage else parts:
        writer.part(part)
    document = json.loads(json.dumps(writer.end()))

    message = document["choices"][0]["message"]
    assert (document["id"], document["created"], document["object"]) == ("r1", 7, "chat.completion")
    assert (message["content"] or "") == told(parts, Text)
    assert message.get("reasoning_content", "") == told(parts, Reasoning)
    assert [c["function"]["name"] for c in message.get("tool_calls", ())] == [call.name for call in calls]
    assert document["choices"][0]["finish_reason"] == ("tool_calls" if calls else "stop")

    decoder = ChatDecoder()
    got = decoder.feed(json.dumps(document).encode()) + decoder.close()
    assert (told(got, Text), told(got, Reasoning)) == (told(parts, Text), told(parts, Reasoning))
    assert [part for part in got if isinstance(part, ToolCall)] == calls
    assert decoder.usage == (usage or Usage(0, 0))


def test_what_an_answer_may_leave_out():
    """A reason that nobody knows is "stop"; calls may lack their index; a document may lack its reason."""
    writer = ChunkWriter("m1", AnswerStyle(tool_deltas="merged", tool_index=False))
    chunks = [*writer.part(ToolCall("a", "f", {})), *writer.part(ToolCall("b", "g", {})), *writer.flush()]
    assert [[one["id"] for one in chunk["choices"][0]["delta"]["tool_calls"]] for chunk in chunks] == [
        ["a", "b"]
    ]
    assert "index" not in chunks[0]["choices"][0]["delta"]["tool_calls"][0]
    writer = ChunkWriter("m1")
    assert writer.part(Finish(reason="unknown")) == []
    assert writer.finish()["choices"][0]["finish_reason"] == "stop"
    assert DocumentWriter("m1").end(finish=False)["choices"][0]["finish_reason"] is None


def test_styles():
    """An unknown style of deltas is refused."""
    with pytest.raises(ValueError, match="tool_deltas must be"):
        AnswerStyle(tool_deltas="none")


def test_errors():
    """An error has the protocol's four fields; a status of 500 and more is the server's."""
    assert error_document("no", 404, "gone") == {
        "error": {"message": "no", "type": "invalid_request_error", "param": None, "code": "gone"}
    }
    assert error_document("no")["error"]["type"] == "server_error"


def test_usage_and_calls_as_documents():
    """Counts have the protocol's names, details only where they are known; arguments are JSON text."""
    assert Usage(3, 5).to_openai() == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    assert Usage(3, 5, 2, 1, estimated=True).to_openai() == {
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    assert ToolCall("c", "f", {"x": "\u00fc"}).to_openai() == {
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": '{"x":"\u00fc"}'},
    }
