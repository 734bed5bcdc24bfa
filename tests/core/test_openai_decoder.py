"""The OpenAI protocol's answers: frames of every service's habit, at every cut."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders import errors
from freeproviders.types import ImageBlock, Message, Reasoning, Text, TextBlock, ToolCall, Usage
from freeproviders.wire.openai.answer import ChatDecoder
from freeproviders.wire.openai.request import full_messages
from tests.core.chunks import call, delta, sse


def decode(*chunks):
    decoder = ChatDecoder()
    parts = [part for chunk in chunks for part in decoder.feed(chunk)]
    if not decoder.done and decoder.failure is None:
        parts += decoder.close()
    return decoder, parts


def words(parts):
    """Parts with neighbouring text and reasoning joined, since a cut may divide neither."""
    out = []
    for part in parts:
        if out and type(part) is type(out[-1]) and isinstance(part, Text | Reasoning):
            out[-1] = type(part)(out[-1].text + part.text)
        else:
            out.append(part)
    return out


HELLO = [Text("Hello")]
TABLE = [
    pytest.param(
        sse(delta(role="assistant", content=""), delta(content="Hel"), delta(content="lo"), delta("stop")),
        HELLO,
        "stop",
        id="plain",
    ),
    pytest.param(
        sse(
            delta(role="assistant", content=None),
            delta(role="assistant", content="Hello"),
            delta("stop", content=None),
        ),
        HELLO,
        "stop",
        id="nulls and roles",
    ),
    pytest.param(sse(delta(content="Hello")), HELLO, None, id="[DONE] without a finish reason"),
    pytest.param(sse(delta(content="Hello"), delta("length")), HELLO, "length", id="length"),
    pytest.param(sse(delta(content="Hello"), delta("weird")), HELLO, "unknown", id="unknown reason"),
    pytest.param(
        sse(delta(content="Hello"), {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}),
        HELLO,
        None,
        id="usage frame",
    ),
    pytest.param(
        sse(
            delta(content="Hello", new_field={"a": 1}),
            {"choices": [{"delta": {"content": ""}, "x": 1}], "y": 2},
        ),
        HELLO,
        None,
        id="unknown fields",
    ),
    pytest.param(
        sse({"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}),
        HELLO,
        "stop",
        id="a whole message as an event",
    ),
    pytest.param(
        sse(delta(reasoning_content="hm"), delta(content="Hello"), delta("stop")),
        [Reasoning("hm"), *HELLO],
        "stop",
        id="reasoning_content",
    ),
    pytest.param(
        sse(delta(reasoning="hm", content=""), delta(content="Hello", reasoning=None)),
        [Reasoning("hm"), *HELLO],
        None,
        id="reasoning",
    ),
    pytest.param(
        sse(delta(reasoning="hm", reasoning_content="hm"), delta(content="Hello")),
        [Reasoning("hm"), *HELLO],
        None,
        id="reasoning said twice",
    ),
    pytest.param(
        sse(
            delta(
                content=[
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                    {"type": "text", "text": "Hello"},
                ]
            )
        ),
        [Reasoning("hm"), *HELLO],
        None,
        id="content as a list",
    ),
    pytest.param(
        sse(
            delta(tool_calls=[call(0, "a", "f", "")]),
            delta(tool_calls=[call(0, None, None, '{"x"')]),
            delta(tool_calls=[call(0, None, None, ": 1}")]),
            delta("tool_calls"),
        ),
        [ToolCall("a", "f", {"x": 1})],
        "tool_calls",
        id="a call in pieces",
    ),
    pytest.param(
        sse(
            delta(tool_calls=[call(1, "b", "g", "{}")]),
            delta(tool_calls=[call(0, "a", "f", '{"x": 1}')]),
            delta("tool_calls"),
        ),
        [ToolCall("a", "f", {"x": 1}), ToolCall("b", "g", {})],
        "tool_calls",
        id="indexes out of order",
    ),
    pytest.param(
        sse(delta(tool_calls=[call(None, "a", "f", '{"x": 1}'), call(None, "b", "g", "")]), delta("stop")),
        [ToolCall("a", "f", {"x": 1}), ToolCall("b", "g", {})],
        "tool_calls",
        id="no indexes",
    ),
    pytest.param(
        sse(
            delta(tool_calls=[call(0, "a", "f", '{"x": 1}')]),
            delta(tool_calls=[call(0, "b", "f", '{"x": 2}')]),
            delta("tool_calls"),
        ),
        [ToolCall("a", "f", {"x": 1}), ToolCall("b", "f", {"x": 2})],
        "tool_calls",
        id="one index for two calls",
    ),
    pytest.param(
        sse(
            delta(tool_calls=[call(0, "a", "f", '{"x":')]),
            delta(tool_calls=[call(None, None, None, "1}")]),
            delta("tool_calls"),
        ),
        [ToolCall("a", "f", {"x": 1})],
        "tool_calls",
        id="an index only at first",
    ),
    pytest.param(
        sse(
            delta(tool_calls=[{"function": {"name": "f", "arguments": {"x": 1}}, "id": "a"}]),
            delta("tool_calls"),
        ),
        [ToolCall("a", "f", {"x": 1})],
        "tool_calls",
        id="arguments as an object",
    ),
    pytest.param(
        sse(delta(content="Hello"), delta(tool_calls=[call(0, "a", "f", "")])),
        [*HELLO, ToolCall("a", "f", {})],
        "tool_calls",
        id="text, then a call, no reason",
    ),
    pytest.param(
        sse(
            delta(tool_calls=[call("0", "a", "f", '{"x":'), call("1", "b", "g", '{"y":')]),
            delta(tool_calls=[call("0", arguments="1}"), call("1", arguments="2}")]),
        ),
        [ToolCall("a", "f", {"x": 1}), ToolCall("b", "g", {"y": 2})],
        "tool_calls",
        id="indexes as text",
    ),
    pytest.param(
        sse(delta(tool_calls=[call(0, 7, "f", '"{\\"x\\": 1}"')]), delta("tool_calls")),
        [ToolCall("7", "f", {"x": 1})],
        "tool_calls",
        id="arguments encoded twice, a number as id",
    ),
    pytest.param(
        sse(delta(reasoning_content=[1], reasoning="hm", content="Hello")),
        [Reasoning("hm"), *HELLO],
        None,
        id="reasoning that is no text",
    ),
    pytest.param(
        sse(delta(content="Hello")) + sse(delta(content=" again"), delta("length")),
        HELLO,
        None,
        id="more after [DONE]",
    ),
    pytest.param(sse(delta(content="Hello")) + b"data: {oops\n\n", HELLO, None, id="junk after [DONE]"),
    pytest.param(
        sse(delta("stop"), delta(content="Hello"), delta("stop")),
        HELLO,
        "stop",
        id="a reason before the text",
    ),
    pytest.param(
        sse({"choices": [], "error": None}, delta(content="Hello") | {"error": None}),
        HELLO,
        None,
        id="an error that is null",
    ),
    pytest.param(
        b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" + sse(delta(content="Hello")),
        HELLO,
        None,
        id="keep-alive comments",
    ),
    pytest.param(sse(delta(content="Hello"), delta("stop"), done=False), HELLO, "stop", id="no [DONE]"),
    pytest.param(
        sse(delta(content="Hello"), done=False).rstrip(b"\n"),
        HELLO,
        None,
        id="last event without its blank line",
    ),
    pytest.param(
        sse(delta(content="Hello"), delta(content="lost")).replace(b"lost", b"[DONE]"),
        [Text("Hello[DONE]")],
        None,
        id="[DONE] inside text",
    ),
    pytest.param(sse(delta(content="\u2028🙂\r\n\x85")), [Text("\u2028🙂\r\n\x85")], None, id="odd text"),
    pytest.param(
        json.dumps(
            {
                "id": "r1",
                "model": "m1",
                "choices": [{"message": {"content": "Hello", "reasoning": "hm"}, "finish_reason": "stop"}],
            },
            indent=1,
        ).encode(),
        [Reasoning("hm"), *HELLO],
        "stop",
        id="a document instead of a stream",
    ),
    pytest.param(
        b"\n\n"
        + json.dumps(
            {
                "choices": [
                    {
                        "message": {"content": None, "tool_calls": [call(None, "a", "f", '{"x": 1}')]},
                        "finish_reason": "tool_calls",
                    }
                ]
            }
        ).encode(),
        [ToolCall("a", "f", {"x": 1})],
        "tool_calls",
        id="a document with a call",
    ),
    pytest.param(
        json.dumps({"choices": [{"text": "Hello", "finish_reason": "stop"}]}).encode(),
        HELLO,
        "stop",
        id="a document of the old completions",
    ),
]


@pytest.mark.parametrize(("stream", "parts", "reason"), TABLE)
def test_table(stream, parts, reason):
    """Each answer gives its parts in one piece, cut in two at every byte, and byte by byte."""
    for chunks in (
        [stream],
        [stream[i : i + 1] for i in range(len(stream))],
        *([stream[:cut], stream[cut:]] for cut in range(1, len(stream))),
    ):
        decoder, got = decode(*chunks)
        assert decoder.failure is None
        assert words(got) == parts
        assert decoder.reason == reason
        assert decoder.answered


FAILURES = [
    pytest.param(
        sse({"error": {"message": "overloaded", "code": 503}}), errors.ServerError, id="an error frame"
    ),
    pytest.param(
        sse({"choices": None, "error": {"message": "Rate limit exceeded", "code": 429}}),
        errors.RateLimitError,
        id="choices null and an error",
    ),
    pytest.param(
        sse({"object": "error", "message": "maximum context length is 10 tokens", "code": 400}),
        errors.ContextOverflowError,
        id="an error object",
    ),
    pytest.param(sse(delta("error")), errors.ServerError, id="finish_reason error"),
    pytest.param(sse(delta("content_filter")), errors.ContentFilterError, id="filtered before it began"),
    pytest.param(
        sse(delta() | {"error": {"message": "it broke"}}),
        errors.ServerError,
        id="an error beside an empty delta",
    ),
    pytest.param(
        b'{"choices": [{"message": {"content": ""}}], "error": {"message": "it broke"}}',
        errors.ServerError,
        id="an error beside an empty message",
    ),
    pytest.param(b'{"choices": {"0": {}}}', errors.MalformedResponseError, id="choices that are no list"),
    pytest.param(b'{"choices": 5}', errors.MalformedResponseError, id="choices that are a number"),
    pytest.param(b'{"choices": [null]}', errors.MalformedResponseError, id="a choice that is null"),
    pytest.param(sse(b"[" * 5000), errors.MalformedResponseError, id="too deep"),
    pytest.param(sse(b"{oops"), errors.MalformedResponseError, id="no JSON"),
    pytest.param(
        sse(delta(tool_calls=[call(0, "a", "f", '{"x": 1')]), done=False),
        errors.TruncatedResponseError,
        id="ended inside a call",
    ),
    pytest.param(
        sse(delta(tool_calls=[call(0, "a", "f", '{"x": 1')]), delta("length")),
        errors.TruncatedResponseError,
        id="a call cut by the token limit",
    ),
    pytest.param(b'data: {"choices": [{"del', errors.TruncatedResponseError, id="ended inside an event"),
    pytest.param(
        b'{"choices": [{"message": {"content": "Hel',
        errors.TruncatedResponseError,
        id="ended inside a document",
    ),
    pytest.param(
        b'{"error": {"message": "no such model", "code": 404}}',
        errors.NotFoundError,
        id="a document that is an error",
    ),
    pytest.param(
        b'[{"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}]',
        errors.RateLimitError,
        id="a list that is an error",
    ),
    pytest.param(b'{"hello": 1}', errors.MalformedResponseError, id="a document of something else"),
    pytest.param(b"Ratelimit Exceeded!", errors.RateLimitError, id="an error as plain text"),
    pytest.param(b"Service is down for today.", errors.MalformedResponseError, id="plain text"),
]


@pytest.mark.parametrize(("stream", "cls"), FAILURES)
def test_failures(stream, cls):
    """What is no answer is its own typed error, at any cut; text before it is not lost."""
    before = b"" if not stream.startswith(b"data:") else sse(delta(content="Hello"), done=False)
    for chunks in (
        [before + stream],
        [*(stream[i : i + 1] for i in range(len(stream)))],
        *([stream[:cut], stream[cut:]] for cut in range(1, len(stream))),
    ):
        decoder, parts = decode(*chunks)
        if cls is errors.ContentFilterError and chunks[0].startswith(before) and before:
            assert (
                decoder.failure is None or type(decoder.failure) is cls
            )  # after text it is the finish reason
        else:
            assert type(decoder.failure) is cls
        if before and chunks[0].startswith(before):
            assert parts[0] == Text("Hello")


def test_what_is_said_once():
    """Model, id and usage with its details are read from the stream or a service's own place."""
    decoder, _ = decode(
        sse(
            delta(content="x"),
            {
                "choices": [],
                "usage": {
                    "prompt_tokens": 3,
                    "completion_tokens": 5,
                    "completion_tokens_details": {
                        "reasoning_tokens": 2,
                        "audio_tokens": 1,
                        "accepted_prediction_tokens": 0,
                        "rejected_prediction_tokens": "7",
                        "text_tokens": 9,
                    },
                    "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2, "audio_tokens": 0},
                },
            },
        )
    )
    assert (decoder.model, decoder.response_id) == ("m1", "r1")
    usage = Usage(
        3,
        5,
        reasoning_tokens=2,
        cached_tokens=1,
        cache_write_tokens=2,
        input_audio_tokens=0,
        output_audio_tokens=1,
        accepted_prediction_tokens=0,
    )
    assert decoder.usage == usage
    assert (usage + usage).to_openai() == {
        "prompt_tokens": 6,
        "completion_tokens": 10,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 4,
            "audio_tokens": 2,
            "accepted_prediction_tokens": 0,
        },
    }
    assert usage + Usage(1, 1) == replace(usage, input_tokens=4, output_tokens=6)

    decoder, _ = decode(
        sse(
            delta(content="x"),
            delta("stop") | {"x_groq": {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}},
        )
    )
    assert decoder.usage == Usage(1, 2)


def test_an_end_without_a_word_is_flagged():
    """A clean end after text is an answer, but not a confirmed one."""
    assert decode(sse(delta(content="x"), done=False))[0].confirmed is False
    assert decode(sse(delta(content="x"), delta("stop"), done=False))[0].confirmed is True
    assert decode(sse(delta(content="x")))[0].confirmed is True


@given(st.lists(st.text(min_size=1), min_size=1, max_size=8), st.data())
def test_any_text(pieces, data):
    """Any text arrives whole and once, however the bytes are cut."""
    stream = sse(
        delta(role="assistant", content=""), *(delta(content=piece) for piece in pieces), delta("stop")
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    _, parts = decode(*[stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)])

    assert "".join(part.text for part in parts) == "".join(pieces)
    assert [part.text for part in parts] == pieces


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=3),
    lambda x: (
        st.lists(x, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "content",
                    "message",
                    "tool_calls",
                    "function",
                    "index",
                    "id",
                    "name",
                    "arguments",
                    "usage",
                    "prompt_tokens",
                    "error",
                    "finish_reason",
                    "x_groq",
                    "reasoning",
                    "model",
                ]
            ),
            x,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(
    st.lists(
        junk
        | st.fixed_dictionaries(
            {"choices": st.lists(st.fixed_dictionaries({"message": junk, "delta": junk}), max_size=2)}
        ),
        max_size=4,
    )
)
def test_any_frame(frames):
    """Hostile frames and documents are data: they end in parts or a typed error, never in a fault of ours."""
    for stream in (sse(*frames), *(json.dumps(frame).encode() for frame in frames)):
        decoder, parts = decode(stream)
        assert decoder.failure is None or isinstance(decoder.failure, errors.FreeProvidersError)
        assert all(isinstance(part.id, str) for part in parts if isinstance(part, ToolCall))


def test_the_first_frame_may_name_nobody():
    """A first frame with empty names, as of one large service, does not stand for the rest."""
    decoder, _ = decode(
        sse({"id": "", "model": "", "choices": [], "prompt_filter_results": []}, delta(content="x"))
    )
    assert (decoder.model, decoder.response_id) == ("m1", "r1")


def test_blank_lines_are_not_kept():
    """Blank lines before the answer take time and space in proportion to their number.

    A line that never ends has its cap.
    """
    decoder = ChatDecoder()
    for _ in range(400):
        assert decoder.feed(b" \n" * 2**15) == []
    assert decoder.feed(sse(delta(content="Hello"))) == HELLO
    decoder = ChatDecoder()
    while decoder.failure is None:
        decoder.feed(b" " * 2**20)
    assert type(decoder.failure) is errors.ResponseTooLargeError


def test_messages_as_the_protocol_writes_them():
    """Names, pictures, calls and results are sent; text in a list is sent as text."""
    messages = [
        Message("system", "be brief"),
        Message("user", (TextBlock("what"), TextBlock("is it?")), name="bob"),
        Message("user", (TextBlock("look"), ImageBlock("data:image/png;base64,AA==", "low"))),
        Message("assistant", "", tool_calls=(ToolCall("a", "f", {"x": "ü"}),)),
        Message("tool", "42", tool_call_id="a"),
    ]
    assert full_messages(messages) == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "what\nis it?", "name": "bob"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":"ü"}'}}
            ],
        },
        {"role": "tool", "content": "42", "tool_call_id": "a"},
    ]
