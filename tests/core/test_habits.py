"""Habits of single services in answers of OpenAI's protocol, as bytes, cut anywhere."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders.errors import MalformedResponseError, ResponseTooLargeError
from freeproviders.types import CallExtra, InvalidToolCall, Reasoning, Text, ToolCall, ToolCallDelta, Usage
from freeproviders.wire.json import loads_several
from freeproviders.wire.openai.answer import ChatDecoder
from freeproviders.wire.openai.calls import MAX_ARGUMENT_CHARS, MAX_CALLS_IN_ONE
from freeproviders.wire.openai.details import MAX_DETAILS, Details
from tests.core.chunks import call, delta, sse


def decoded(body, size=None, **options):
    """The decoder of an answer and its parts, fed in pieces of a size."""
    decoder = ChatDecoder(**options)
    size = size or len(body)
    parts = [part for at in range(0, len(body), size) for part in decoder.feed(body[at : at + size])]
    if not decoder.done and decoder.failure is None:
        parts += decoder.close()
    return decoder, parts


def joined(parts):
    """Parts with neighbouring text and thinking joined."""
    out = []
    for part in parts:
        if out and type(part) is type(out[-1]) and isinstance(part, Text | Reasoning):
            out[-1] = type(part)(out[-1].text + part.text)
        else:
            out.append(part)
    return out


def document(message, finish="stop", **more):
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.dumps({"id": "r1", "model": "m1", "choices": [choice], **more}).encode()


def thought(*texts):
    return {"type": "thinking", "thinking": [{"type": "text", "text": text} for text in texts]}


USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "queue_time": 0.1}
HMHI = [Reasoning("hmm"), Text("Hello")]


@pytest.mark.parametrize("size", [None, 1, 7])
@pytest.mark.parametrize(
    ("body", "parts", "usage"),
    [
        pytest.param(
            sse(
                delta(role="assistant", content=""),
                delta(content=[thought("h")]),
                delta(content=[thought("m", "m")]),
                delta(content=[{"type": "thinking", "thinking": [], "closed": True}]),
                delta(content=[{"type": "text", "text": "Hel"}]),
                delta(content="lo"),
                delta("stop", content="") | {"usage": USAGE},
            ),
            HMHI,
            Usage(7, 3),
            id="Mistral: content as a list of chunks, streamed",
        ),
        pytest.param(
            document({"content": [thought("h", "mm"), {"type": "text", "text": "Hello"}]}, usage=USAGE),
            HMHI,
            Usage(7, 3),
            id="Mistral: content as a list of chunks",
        ),
        pytest.param(
            document(
                {
                    "content": [
                        {"type": "text", "text": "Hel"},
                        {"type": "reference", "reference_ids": [1]},
                        {"type": "text", "text": "lo"},
                    ]
                }
            ),
            [Text("Hello")],
            None,
            id="Mistral: references",
        ),
        pytest.param(
            sse(
                delta(role="assistant", content="") | {"x_groq": {"id": "req_1"}},
                delta(reasoning="hm", channel="analysis"),
                delta(reasoning="m", channel="analysis"),
                delta(content="Hello"),
                delta("stop") | {"x_groq": {"id": "req_1", "usage": USAGE}},
            ),
            HMHI,
            Usage(7, 3),
            id="Groq: tokens in x_groq",
        ),
        pytest.param(
            document({"reasoning": "hmm", "content": "Hello"}, usage=USAGE, x_groq={"id": "req_1"}),
            HMHI,
            Usage(7, 3),
            id="Groq: a document",
        ),
        pytest.param(
            sse(
                delta(reasoning="hm", reasoning_details=[{"type": "reasoning.text", "text": "hm"}]),
                delta(reasoning="m", reasoning_details=[{"type": "reasoning.text", "text": "m"}]),
                delta(content="Hello"),
                {"id": "r1", "choices": [{"delta": {"content": ""}, "finish_reason": "stop",
                                          "native_finish_reason": "STOP"}]},
                {"id": "r1", "choices": [{"delta": {"role": "assistant", "content": ""},
                                          "finish_reason": None, "native_finish_reason": None}],
                 "usage": {**USAGE, "cost": 0, "completion_tokens_details": {"reasoning_tokens": 2}}},
            ),
            HMHI,
            Usage(7, 3, 2, cost=0),
            id="OpenRouter: thinking under two names, tokens in a chunk with a choice",
        ),
        pytest.param(
            document(
                {"content": "Hello", "refusal": None, "reasoning": "hmm",
                 "reasoning_details": [{"type": "reasoning.text", "text": "hmm"}]},
                usage=USAGE,
            ),
            HMHI,
            Usage(7, 3),
            id="OpenRouter: a document",
        ),
    ],
)  # fmt: skip
def test_thinking_and_tokens(body, parts, usage, size):
    decoder, got = decoded(body, size)
    assert decoder.failure is None
    assert joined(got) == parts
    assert decoder.usage == usage
    assert decoder.reason == "stop"


def made(parts):
    return [(part.name, part.arguments) for part in parts if isinstance(part, ToolCall)]


ROME, OSLO, TIME = ("w", {"city": "Rome"}), ("w", {"city": "Oslo"}), ("t", {})
JSONS = [json.dumps(one[1]) for one in (ROME, OSLO, TIME)]


@pytest.mark.parametrize("finish", ["stop", "tool_calls", None])
@pytest.mark.parametrize(
    ("frames", "ids"),
    [
        pytest.param(
            [
                [call(None, "a", "w", JSONS[0])],
                [call(None, "b", "w", JSONS[1])],
                [call(None, "c", "t", "{}")],
            ],
            "abc",
            id="no index, an id each",
        ),
        pytest.param(
            [[call(None, "a", "w", JSONS[0]), call(None, "b", "w", JSONS[1]), call(None, "c", "t", "{}")]],
            "abc",
            id="no index, in one delta",
        ),
        pytest.param(
            [[call(None, None, "w", JSONS[0])], [call(None, None, "w", JSONS[1])], [call(None, "", "t", "")]],
            "",
            id="neither index nor id",
        ),
        pytest.param(
            [[call(0, "a", "w", JSONS[0])], [call(0, "b", "w", JSONS[1])], [call(0, "c", "t", "{}")]],
            "abc",
            id="always index 0, an id each",
        ),
        pytest.param(
            [[call(0, None, "w", JSONS[0])], [call(0, None, "w", JSONS[1])], [call(0, None, "t", "{}")]],
            "",
            id="always index 0, no id",
        ),
        pytest.param(
            [[call(0, "a", "w", JSONS[0] + JSONS[1])], [call(1, "c", "t", "{}")]],
            "a",
            id="two objects in one call",
        ),
        pytest.param(
            [
                [call(0, None, "w", JSONS[0][:5])],
                [call(0, None, None, JSONS[0][5:])],
                [call(0, None, "w", JSONS[1][:3])],
                [call(0, None, None, JSONS[1][3:])],
                [call(0, None, "t", "")],
            ],
            "",
            id="always index 0, no id, in pieces",
        ),
    ],
)
def test_parallel_calls_do_not_collapse(frames, ids, finish):
    """Calls are told apart whatever a service leaves out; each has an id of its own."""
    body = sse(*[delta(tool_calls=frame) for frame in frames], *([delta(finish)] if finish else []))
    for size in (None, 1):
        decoder, parts = decoded(body, size)
        assert decoder.failure is None
        assert made(parts) == [ROME, OSLO, TIME]
        assert len({part.id for part in parts}) == 3
        assert [part.id for part in parts][: len(ids)] == list(ids)
        assert decoder.reason == "tool_calls"


def test_a_name_in_pieces_is_one_name():
    frames = [[call(0, "a", "get_", "")], [call(0, None, "weather", None)], [call(0, None, None, "{}")]]
    _, parts = decoded(sse(*[delta(tool_calls=frame) for frame in frames], delta("tool_calls")))
    assert made(parts) == [("get_weather", {})]


@pytest.mark.parametrize("text", [JSONS[0] * 2, JSONS[0] + "[]", JSONS[0] + '{"x"', JSONS[0] + "x", "{}{}"])
def test_what_is_not_plainly_several_calls_is_none(text):
    """The same object twice may be one that was sent again."""
    body = sse(delta(tool_calls=[call(0, "a", "w", text), call(1, "b", "t", "{}")]), delta("stop"))
    _, parts = decoded(body)
    assert [type(part) for part in parts] == [InvalidToolCall, ToolCall]


def test_what_was_shown_is_not_taken_apart():
    """Its pieces are out: frameworks have put them together to one call."""
    body = sse(delta(tool_calls=[call(0, "a", "w", JSONS[0] + JSONS[1])]), delta("stop"))
    decoder, parts = decoded(body, deltas=True)
    assert [type(part) for part in parts] == [ToolCallDelta, InvalidToolCall]
    assert decoder.shows_calls


@given(
    st.lists(st.dictionaries(st.text(), st.integers() | st.text()), max_size=6), st.sampled_from(["", "\n "])
)
def test_several_documents(documents, between):
    assert loads_several(between.join(map(json.dumps, documents)) + between, 6) == documents


@pytest.mark.parametrize("text", ["{}" * (MAX_CALLS_IN_ONE + 1), "[" * 10_000, "{NaN}", "1 ,2"])
def test_what_are_no_documents(text):
    with pytest.raises(ValueError, match=r".+"):
        loads_several(text, MAX_CALLS_IN_ONE)


def test_many_objects_in_one_call_are_none():
    """The time is linear in their number: with these, a quadratic one would be hours."""
    body = sse(delta(tool_calls=[call(0, "a", "w", "{}" * 400_000)]), delta("stop"))
    _, parts = decoded(body)
    assert [type(part) for part in parts] == [InvalidToolCall]


# --- what services add to calls -------------------------------------------------------------------

SIGNED = {"google": {"thought_signature": "c2ln"}}


def signed(**more):
    return {**call(None, "a", "w", JSONS[0]), "extra_content": SIGNED, **more}


@pytest.mark.parametrize(
    "body",
    [
        sse(delta(tool_calls=[signed(), call(None, "b", "t", "{}")]), delta("stop")),
        sse(
            delta(tool_calls=[call(0, "a", "w", "")]),
            delta(tool_calls=[{**call(0, None, None, JSONS[0]), "extra_content": SIGNED}]),
            delta(tool_calls=[{**call(1, "b", "t", "{}"), "extra_content": None}]),
            delta("tool_calls"),
        ),
        document({"content": None, "tool_calls": [signed(), call(None, "b", "t", "{}")]}, "tool_calls"),
    ],
    ids=["streamed", "in pieces", "a document"],
)
def test_a_signature_stays_with_its_call(body):
    for size in (None, 1):
        _, parts = decoded(body, size, origin="gemini/m")
        assert [part.extra for part in parts] == [CallExtra("gemini/m", {"extra_content": SIGNED}), None]
        _, parts = decoded(body, size)
        assert [part.extra for part in parts] == [None, None]


def test_further_answers_have_theirs():
    choices = [{"message": {"tool_calls": [signed(id=name)]}, "finish_reason": "stop"} for name in "ab"]
    _, parts = decoded(json.dumps({"model": "m1", "choices": choices}).encode(), origin="o")
    assert (
        parts[0].extra == parts[1].completion.tool_calls[0].extra == CallExtra("o", {"extra_content": SIGNED})
    )


def test_hostile_additions_are_bounded():
    half = b'{"id": "a", "function": {"name": "w"}, "extra_content": {"x": "\\ud800"}}'
    _, parts = decoded(sse(b'{"choices": [{"delta": {"tool_calls": [' + half + b"]}}]}"), origin="o")
    assert parts[0].extra.fields == {"extra_content": {"x": "\ufffd"}}
    big = delta(tool_calls=[signed(extra_content={"x": "a" * (MAX_ARGUMENT_CHARS // 2)})])
    decoder, _ = decoded(sse(big, big, big), origin="o")
    assert type(decoder.failure) is ResponseTooLargeError
    deep = b'{"choices": [{"delta": {"tool_calls": [{"extra_content": ' + b"[" * 900 + b"]" * 900 + b"}]}}]}"
    decoder, _ = decoded(sse(deep), origin="o")
    assert isinstance(decoder.failure, MalformedResponseError)


PIECES = [
    {"type": "reasoning.text", "text": "h", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.text", "text": "m", "format": "anthropic-claude-v1", "index": 0, "signature": None},
    {"type": "reasoning.text", "signature": "sig", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "x", "id": "a", "index": 1},
    {"type": "reasoning.encrypted", "data": "y", "id": "b", "index": 1},
    {"type": "reasoning.summary", "summary": "s", "index": 2},
    {"type": "reasoning.text", "text": "t", "index": 3},
    {"type": "reasoning.text", "text": "u", "index": 4},
]
WHOLE = [
    {"type": "reasoning.text", "text": "hm", "format": "anthropic-claude-v1", "index": 0, "signature": "sig"},
    *PIECES[3:],
]


def test_details_of_thinking_stay_with_the_first_call():
    frames = [delta(reasoning=piece.get("text", ""), reasoning_details=[piece]) for piece in PIECES]
    calls = delta(tool_calls=[call(0, "a", "w", JSONS[0]), call(1, "b", "t", "{}")])
    extra = CallExtra("openrouter/m", {}, {"reasoning_details": WHOLE})
    for body in (
        sse(*frames, calls, delta("tool_calls")),
        document({**calls["choices"][0]["delta"], "reasoning_details": WHOLE}),
    ):
        _, parts = decoded(body, origin="openrouter/m")
        assert [part.extra for part in parts if isinstance(part, ToolCall)] == [extra, None]
    assert CallExtra.of(json.loads(json.dumps(extra.to_dict()))) == extra
    _, parts = decoded(sse(*frames, delta(content="Hello")), origin="o")  # nobody wants them without calls
    assert joined(parts) == [Reasoning("hmtu"), Text("Hello")]


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "type": st.sampled_from(
                    ["reasoning.text", "reasoning.summary", "reasoning.encrypted", "x", None, 1]
                )
            },
            optional={
                "index": st.integers(0, 2),
                "text": st.text(max_size=3) | st.none() | st.integers(),
                "summary": st.text(max_size=3),
                "data": st.text(max_size=3),
                "signature": st.none() | st.text(max_size=3),
            },
        ),
        max_size=12,
    ),
    st.lists(st.integers(0, 12), max_size=4),
)
def test_details_at_any_cut(items, cuts):
    """Deltas may hold one or several; what is joined once stays as it is."""
    whole, pieces = Details(), Details()
    whole.add(items)
    at = 0
    for cut in [*sorted(cuts), len(items)]:
        pieces.add(items[at:cut])
        at = max(at, cut)
    assert whole.joined() == pieces.joined()
    for kind, field in (("reasoning.text", "text"), ("reasoning.summary", "summary")):
        before, after = (
            "".join(item[field] for item in some if item["type"] == kind and isinstance(item.get(field), str))
            for some in (items, whole.joined())
        )
        assert before == after
    assert sum(item["type"] == "reasoning.encrypted" for item in whole.joined()) == sum(
        item["type"] == "reasoning.encrypted" for item in items
    )


def test_too_many_details_are_none():
    details = Details()
    details.add([{"type": "x"}] * (MAX_DETAILS + 5))
    assert details.joined() == []
