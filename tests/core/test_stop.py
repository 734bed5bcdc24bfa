"""Stop sequences across the cuts of a stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders.stop import StopCutter
from freeproviders.types import Reasoning, Text, ToolCall


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
