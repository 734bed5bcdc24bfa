"""Text goes out as soon as it is known to be text, and not before."""

import pytest

from freeproviders.tools.read.cursor import RawCall
from freeproviders.tools.read.parser import Parser
from freeproviders.types import Reasoning, Text
from tests.tools.reading import TOOLS


def outs(*pieces):
    """What each feed gives out, and the end."""
    parser = Parser(TOOLS)
    shown = []
    for out in [*map(parser.feed, pieces), parser.close()]:
        shown.append(
            "".join(part.text if isinstance(part, Text | Reasoning) else f"[{part.name}]" for part in out)
        )
    return shown


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["Hel", "lo", " you"], ["Hel", "lo", " you", ""]),
        (["a <", "b"], ["a ", "<b", ""]),
        (["a <t", "ool", "x>"], ["a ", "", "<toolx>", ""]),  # the beginning of <tool_call> until the x
        (["a {", '"', "c", 'ity": 1}'], ["a ", "", "", '{"city": 1}', ""]),  # c may become "calls"
        (["a {", '"x', 'yz"'], ["a ", '{"x', 'yz"', ""]),
        (['a {"name": "B', 'ob"}'], ['a {"name": "B', 'ob"}', ""]),
        (['a {"name": "get_w', "ord"], ["a ", '{"name": "get_word', ""]),
        (['A {"name": "get_weather", ', '"v'], ["A ", '{"name": "get_weather", "v', ""]),
        (['{"name": "get_weather", ', '"v'], ["", "", "[]"]),  # any key may follow
        (['[{"id": 1, "ti', 'tle": 2}', ', {"id'], ["", '[{"id": 1, "title": 2}', ", ", '{"id']),
        (["<tool_response>", "\n", "It rains", "{"], ["", "", "<tool_response>\nIt rains", "{", ""]),
        (['{"tem', 'p": 1}'], ["", '{"temp": 1}', ""]),  # a name may follow
        (["{" + '"k": 1, ' * 8, '"k"'], ["", "{" + '"k": 1, ' * 8 + '"k"', ""]),  # but not this late
        (['{"x', '": 1}', ' {"y": 2}'], ["", '{"x": 1}', ' {"y": 2}', ""]),
        (['So: {"x', '": 1}', ' {"y": 2}'], ['So: {"x', '": 1}', ' {"y": 2}', ""]),
        (["[1", ", 2]"], ["[1", ", 2", "]"]),  # a ] may begin MiniMax's mark
        (["[1", ", 2].", "x"], ["[1", ", 2].", "x", ""]),
        (["[se", "e]", " x"], ["", "[see", "] x", ""]),
        (["[x", "y]"], ["[x", "y", "]"]),
        (["```ru", "st\nx"], ["```ru", "st\nx", ""]),
        (
            ["```py", "thon\n", "de", "f x"],
            ["", "", "", "```python\ndef x", ""],
        ),  # a tool may be called "def"
        (['```json\n{"a', '": 1}'], ["", '```json\n{"a": 1}', ""]),  # "a" may become "arguments"
        (['```json\n{"x', '": 1}'], ["", '```json\n{"x": 1}', ""]),
        (['A\n```json\n{"x', '": 1}'], ['A\n```json\n{"x', '": 1}', ""]),
        (["x `", "`", "`"], ["x ", "", "", "```"]),
        (["\n", "\n", "Hi"], ["", "", "\n\nHi", ""]),
        (["<think>a", "b</th", "ink>", "\n", "x"], ["a", "b", "", "", "x", ""]),
        (["c", "all", " it"], ["", "", "call it", ""]),  # the beginning of "call:" and of a tool's name
        (["get", "_we", "lsh"], ["", "", "get_welsh", ""]),
        (['<tool_call>{"name":"get_time"}', "</tool_call>", "\n", "ok"], ["[get_time]", "", "", "\nok", ""]),
        (['[TOOL_CALLS][{"name":"get_time"}', "]", ""], ["", "[get_time]", "", ""]),
    ],
)
def test_each_feed(pieces, expected):
    """What goes out, feed by feed."""
    assert outs(*pieces) == expected


def test_a_call_comes_with_its_last_bracket():
    """Nobody waits for the closing tag."""
    parser = Parser(TOOLS)
    assert parser.feed('<tool_call>{"name": "get_time", "arguments": {}') == []
    (call,) = parser.feed("}")
    assert isinstance(call, RawCall)


def test_nothing_is_held_for_ever():
    """What is held has a limit; past it a call is none."""
    parser = Parser(TOOLS)
    assert parser.feed('Hi {"arguments": {"a": "') == [Text("Hi ")]
    out = [part for _ in range(20) for part in parser.feed("x" * 2**16)]
    assert sum(len(part.text) for part in out) > 2**20
    assert parser.feed("go on") == [Text("go on")]


def test_a_strong_call_past_the_limit_is_a_fault():
    """Markup says that it was meant as a call: it is not shown as text."""
    parser = Parser(TOOLS)
    out = parser.feed('<tool_call>{"a": "')
    for _ in range(20):
        out += parser.feed("x" * 2**16)
    assert next(type(part) for part in out) is RawCall
    assert out[0].fault


def test_a_name_that_never_ends_takes_no_time():
    """Underscores do not count when names are compared: each of them may go on a name for ever."""
    text = "[get_weather" + "_" * 300_000
    parser = Parser(TOOLS)
    assert "".join(part.text for part in [*parser.feed(text), *parser.close()]) == text
