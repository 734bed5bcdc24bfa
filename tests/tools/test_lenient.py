"""JSON as models write it, and texts that only look like it."""

import contextlib
import warnings

import pytest

from freeproviders.tools.fence import fence
from freeproviders.tools.read.lenient import read_json
from freeproviders.tools.toolbox import Toolbox
from tests.tools.reading import TOOLS, read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{"a": [1, 2,], /* b */ "c": true, // d\n "e": "x, } // y",}',
            {"a": [1, 2], "c": True, "e": "x, } // y"},
        ),
        ("{'a': True, 'b': None, \"c\": 'it\\'s'}", {"a": True, "b": None, "c": "it's"}),
        ("{a: 1, b: 'x'}", {"a": 1, "b": "x"}),
        ('{"a": "b\nc"}', {"a": "b\nc"}),
        ('{"a": [1, {"b": 2', {"a": [1, {"b": 2}]}),
        ('{"a": "\\ud800"}', {"a": "\ufffd"}),
        ("{'path': 'C:\\docs', 're': '\\d+'}", {"path": "C:\\docs", "re": "\\d+"}),
    ],
)
def test_read(text, expected):
    """Comments, commas, quotes, missing brackets; without a word on the caller's screen."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert read_json(text) == expected
    assert said == []


def test_a_long_answer_with_small_slips_is_read():
    """Comments and trailing commas cost nothing: a list of any length may have them."""
    text = "[" + '{"name": "Ann", "ok": true,}, // one\n' * 5000 + "]"
    assert read_json(text) == [{"name": "Ann", "ok": True}] * 5000


@pytest.mark.parametrize(
    "unit", ["{'", '{"', "{0", "[{", "{,[“]", "{]", '"x" ', "'x',", "{[]]", "0", "1.", "\\u"]
)
@pytest.mark.parametrize("size", [3_000, 30_000])
def test_hostile_texts_take_no_time(unit, size):
    """What would keep the guessing decoder busy for seconds or hours is refused at once."""
    with contextlib.suppress(ValueError):
        read_json('{"x": ' + (unit * size)[:size] + "}")
    with contextlib.suppress(ValueError):
        read_json('{x: "1.' + (unit * size)[:size] + '1"}')


def test_without_guessing_nothing_is_lost():
    """Text in brackets is no list."""
    assert read_json("['a', 'b',]", guess=False) == ["a", "b"]
    for text in ("[draft] my note", "{a: 1} and more"):
        with pytest.raises(ValueError, match="not JSON"):
            read_json(text, guess=False)


@pytest.mark.parametrize(
    "text", ['{"```json{```', '{"name": "search", "arguments": {"q":x y,"```json{```\\n": }}']
)
def test_a_decoder_that_gives_up_in_its_own_way_is_no_crash(text):
    """`json_repair` asserts on some texts: a page with one of them cannot stop an agent."""
    with contextlib.suppress(ValueError):
        read_json(text)
    assert fence(text, Toolbox(TOOLS))


@pytest.mark.parametrize("text", ["{'a': 1or 2}", "['a', 0x1for, '\\d']", "{'a': 5in}", "{'a': 1jif}"])
def test_odd_numbers_say_nothing_on_the_screen(text):
    """Python warns of a number that a word follows at once."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with contextlib.suppress(ValueError):
            read_json(text)
        read([f"<tool_call>get_weather(city={text[6:-1]}, days=07)</tool_call>"])
    assert said == []
