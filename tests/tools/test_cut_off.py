"""An answer that is cut off holds no call that it would not hold whole."""

import pytest

from freeproviders.tools.read.cursor import RawCall
from freeproviders.tools.read.parser import Parser
from tests.tools import test_dialects, test_families, test_near_misses
from tests.tools.reading import TOOLS, calls, joined, read, short

TEXTS = sorted(
    {text for table in test_dialects.TABLES.values() for text, _ in table}
    | {text for table in test_families.FAMILIES.values() for text, *_ in table}
    | {*test_near_misses.MADE, *test_near_misses.TWICE}
)
SIZES = range(0, len(TEXTS), 40)


def made(text, *, truncated=False):
    """The calls of an answer that could be handed on."""
    parser = Parser(TOOLS, doubts=True)
    parts = [*parser.feed(text), *parser.close(truncated=truncated)]
    return [(part.name, part.arguments) for part in parts if isinstance(part, RawCall) and not part.fault]


@pytest.mark.parametrize("start", SIZES)
def test_at_every_place(start):
    """Its calls are the first of those that the whole answer holds, with the same arguments."""
    for text in TEXTS[start : start + 40]:
        whole = made(text)
        for end in range(1, len(text)):
            found = made(text[:end], truncated=True)
            assert found == whole[: len(found)], text[:end]


@pytest.mark.parametrize("before", ["", "I look.\n", "I look. "])
@pytest.mark.parametrize(
    "call", ['<tool_call>{"name": "get_weather", "arguments": {"ci', "<function=get_weather><par"]
)
def test_an_open_call_is_no_text(before, call):
    """Not behind words on its line either: it has a fault, for which it is asked for again."""
    parser = Parser(TOOLS, doubts=True)
    parts = joined([*parser.feed(before + call), *parser.close(truncated=True)])
    *said, call = parts
    assert short(said) == ([before] if before else [])
    assert call.fault


def test_a_forgotten_end_is_forgiven():
    """Where the answer is known to be whole, a closing mark may be missing."""
    for text in (
        '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}',
        "<function=get_weather><parameter=city>Paris</parameter>",
        "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value>",
    ):
        (call,) = calls(read([text]))
        assert (call.name, call.arguments, call.fault) == ("get_weather", {"city": "Paris"}, "")
