"""The quick way to write events gives the bytes that the writer gives."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from freeproviders.types import (
    Finish,
    InvalidToolCall,
    LogProbs,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)
from freeproviders.wire.openai.answer import ChatDecoder
from freeproviders.wire.openai.events import DONE, EventFrames
from freeproviders.wire.openai.writer import AnswerStyle, ChunkWriter

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PARTS: st.SearchStrategy[Part] = st.one_of(
    TEXTS.map(Text),
    TEXTS.map(Reasoning),
    TEXTS.map(Refusal),
    TEXTS.map(lambda text: LogProbs({"content": [{"token": text, "logprob": -0.5}], "refusal": None})),
    TEXTS.map(lambda text: ToolCall("c", "f", {"text": text})),
    TEXTS.map(lambda text: InvalidToolCall("c", "f", text, "No object.")),
    st.just(Usage(3, 4)),
    st.just(Finish("length")),
)
NAMES: dict[str, Any] = {"answer_id": "chatcmpl-1", "created": 1}


def written(batches: list[list[Part]], **options: Any) -> bytes:
    """Every chunk by the writer alone."""
    writer = ChunkWriter("m", AnswerStyle(tool_deltas="whole"), **options, **NAMES)
    chunks = [writer.start()]
    for batch in batches:
        for part in batch:
            chunks += writer.part(part)
    chunks += writer.end(freeproviders={"a": 1})
    return b"".join(b"data: %b\n\n" % plain(chunk) for chunk in chunks) + DONE


def plain(chunk: dict[str, Any]) -> bytes:
    return json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode()


@given(st.lists(st.lists(PARTS, max_size=4), max_size=6), st.booleans())
def test_both_ways_give_the_same_bytes(batches: list[list[Part]], include_usage: bool) -> None:
    style = AnswerStyle(tool_deltas="whole")
    frames = EventFrames(ChunkWriter("m", style, include_usage=include_usage, **NAMES))
    out = frames.start() + b"".join(map(frames.of, batches)) + frames.end(freeproviders={"a": 1})
    events = [
        event if event == b"data: [DONE]" else b"data: " + plain(json.loads(event[6:]))
        for event in out.split(b"\n\n")[:-1]
    ]
    assert b"".join(event + b"\n\n" for event in events) == written(batches, include_usage=include_usage)


@given(st.lists(TEXTS.filter(bool), min_size=1, max_size=8))
def test_our_own_reader_reads_it(texts: list[str]) -> None:
    frames = EventFrames(ChunkWriter("m", include_usage=True))
    data = frames.start() + frames.of([*map(Text, texts), Usage(1, 2), Finish()]) + frames.end()
    decoder = ChatDecoder()
    parts = [*decoder.feed(data), *decoder.close()]
    assert "".join(part.text for part in parts if isinstance(part, Text)) == "".join(texts)
    assert decoder.usage == Usage(1, 2)


def test_half_a_character_is_written_as_an_escape() -> None:
    frames = EventFrames(ChunkWriter("m"))
    for part in (Text("\ud83d"), Reasoning("\ud83d"), Refusal("\ud83d")):
        assert b'"\\ud83d"' in frames.of([part])


def test_what_is_seen_can_be_changed() -> None:
    seen: list[Part] = []

    def see(part: Part) -> Part:
        seen.append(part)
        return Refusal("No.") if isinstance(part, ToolCall) else part

    frames = EventFrames(ChunkWriter("m"), see)
    out = frames.of([Text("a"), Reasoning("b"), ToolCall("c", "f", {}), Usage(1, 1)])
    assert b'"refusal":"No."' in out
    assert b"tool_calls" not in out
    assert seen == [Reasoning("b"), ToolCall("c", "f", {}), Usage(1, 1)]  # text costs no call
