"""Stop sequences across the cuts of a stream."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders import OpenAICompatible
from freeproviders.errors import TruncatedResponseError
from freeproviders.stop import StopCutter
from freeproviders.testing import replica
from freeproviders.types import Finish, Reasoning, Text, ToolCall


def run(pieces, stops):
    cutter = StopCutter(tuple(stops))
    out = [part for piece in pieces for part in cutter.cut([Text(piece)])]
    if not cutter.hit:
        out += cutter.flush()
    return "".join(part.text for part in out), cutter.hit


@pytest.mark.parametrize(
    ("pieces", "stops", "text", "hit"),
    [
        (["one two three"], ["two"], "one ", True),
        (["one t", "wo three"], ["two"], "one ", True),
        (["one t", "w", "elve"], ["two"], "one twelve", False),
        (["EN", "D"], ["END"], "", True),
        (["a\n", "\nb"], ["\n\n"], "a", True),
        (["abc", "X"], ["abcX", "bc"], "a", True),
        (["never"], ["x"], "never", False),
        (["held t"], ["two"], "held t", False),
    ],
)
def test_table(pieces, stops, text, hit):
    """The text ends where the first stop sequence to be complete begins."""
    assert run(pieces, stops) == (text, hit)


@given(
    st.text("ab", max_size=30),
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3),
    st.data(),
)
def test_cuts_do_not_matter(text, stops, data):
    """The same text passes, however it is cut."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    passed, hit = run(pieces, stops)

    assert (passed, hit) == run(list(text), stops)
    assert hit == any(stop in text for stop in stops)
    assert text.startswith(passed)
    assert hit or passed == text
    assert not any(stop in passed for stop in stops)


def test_nothing_is_held_longer_than_needed():
    """Text that cannot begin a stop sequence passes at once; another kind of part releases what was held."""
    cutter = StopCutter(("stop",))

    assert cutter.cut([Text("abc s")]) == [Text("abc ")]
    assert cutter.cut([Text("x")]) == [Text("sx")]
    assert cutter.cut([Text("st"), Reasoning("hm"), ToolCall("1", "f", {})]) == [
        Text("st"),
        Reasoning("hm"),
        ToolCall("1", "f", {}),
    ]


@pytest.mark.parametrize(("last", "text", "whole"), [("even", "a STeven", False), ("OP, b", "a ", True)])
async def test_the_last_text_of_an_answer_that_ends_with_an_error(last, text, whole):
    """It comes with the end of the body; what is held goes before it, and a stop sequence ends it."""
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}
    deltas = [{"content": "a ST"}, {"content": last, "tool_calls": [call]}]
    events = [f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta}]})}" for delta in deltas]
    fault = {"status": 200, "content_type": "text/event-stream", "body": "\n\n".join(events)}
    parts, error = [], None
    with replica(OpenAICompatible, faults=fault) as r:
        try:
            async for part in OpenAICompatible("m", base_url=r.base_url, retry=0).stream("Hi", stop=["STOP"]):
                parts.append(part)
        except TruncatedResponseError as raised:
            error = raised
    assert "".join(part.text for part in parts if isinstance(part, Text)) == text
    assert isinstance(parts[-1], Finish) is whole
    assert (error is None) is whole
