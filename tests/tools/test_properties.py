"""What holds for any text and any calls."""

import itertools
import re
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders.tools.judge import Judge
from freeproviders.tools.read.dialects.registry import DIALECTS
from freeproviders.tools.readers import CallReader
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import Reasoning, Text, Tool, ToolCall
from tests.tools.reading import TOOLS, calls, joined, read, short

FRAGMENTS = st.sampled_from(
    ["<", ">", "</", "{", "}", "[", "]", "(", ")", '"', "'", "`", "```", "```json\n", "\n", " ", ":", ",",
     "\\", "/", "//", "/*", "#", "<tool_call>", "</tool_call>", "<think>",
     "</think>", "<function=", "</function>", "<parameter=a>", "</parameter>", "[TOOL_CALLS]", "[ARGS]",
     "<|python_tag|>", "<tool_response>", "name", "arguments", '"name": ', '"arguments": {',
     "get_weather", "get_time", '"get_time"', "functions.", "fly", "x", "é", "null", "1", "=", ";"]
)  # fmt: skip
SOUP = st.lists(FRAGMENTS, max_size=25).map("".join)


def pieces_of(text, cuts):
    marks = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in itertools.pairwise(marks)]


# Hypothesis also draws constants of our modules, among them the marks of reasoning and of turns.
MARKED = re.compile(r"<[|/\w\uff5c]|\[/?[A-Z]|\]<|\bto=|functools")


@given(st.text().filter(lambda text: not MARKED.search(text)))
def test_text_without_markup_passes(text):
    """Any text in which nothing names a tool or opens reasoning comes out as it went in."""
    parts = read(list(text))
    assert parts == ([Text(text)] if text else [])


@given(st.lists(FRAGMENTS.filter(lambda piece: "think" not in piece), max_size=25).map("".join))
def test_soup_without_tools_passes(text):
    """Where no tool is bound, markup is text."""
    assert read(list(text), ()) == ([Text(text)] if text else [])


@settings(max_examples=500)
@given(SOUP, st.lists(st.integers(0, 500), max_size=6))
def test_cuts_do_not_matter(text, cuts):
    """The worst of texts is read the same at any cuts."""
    whole = read([text])
    assert read(pieces_of(text, cuts)) == whole
    assert read(list(text)) == whole


WORDS = st.sampled_from(
    ["The", "I", "Hi", "Sure", "tool", "tool:", "Tool call:", "call:", "function", "functools[", "to=",
     "commentary to=", "analysis", "assistantfinal", "Action", "Action:", "Act", "A", "print(", "await ",
     "return ", "functions.", "default_api.", "get_weather", "Get-Time", "getTime", "sea", "search(q=1)",
     " ", "(", ")", ":", "_a", "1", "\u4f60\u597d\u5417", "\u00df", "\u0130st", "<", "{"]
)  # fmt: skip
"""What answers in words begin with, and calls in words."""


@settings(max_examples=500)
@given(st.lists(WORDS, min_size=1, max_size=6).map("".join), st.lists(st.integers(0, 60), max_size=4))
def test_cuts_of_the_first_words_do_not_matter(text, cuts):
    """Words that are ruled out at once as a call's are those that are ruled out letter by letter."""
    whole = read([text], doubts=True)
    assert read(pieces_of(text, cuts), doubts=True) == whole
    assert read(list(text), doubts=True) == whole


@settings(max_examples=300)
@given(SOUP, st.lists(st.integers(0, 500), max_size=6))
def test_a_batch_is_read_as_its_parts(text, cuts):
    """Pieces that come in one network read are taken together, and mean the same."""
    pieces = [Text(piece) for piece in pieces_of(text, cuts)]
    assert taken([pieces]) == taken([[piece] for piece in pieces])


def taken(batches):
    reader = CallReader(Judge(Toolbox(TOOLS)))
    out = [part for batch in batches for part in reader.take(batch)]
    parts = joined([*out, *reader.end()])
    return [part.text if isinstance(part, Text | Reasoning) else part.name for part in parts], reader.said


@settings(max_examples=300)
@given(SOUP)
def test_nothing_is_invented(text):
    """What comes out as text and reasoning stands in the text, in that order.

    What comes out as a call was written in it.
    """
    parts = read([text])
    rest = iter(text)
    assert all(char in rest for part in parts if part not in calls([part]) for char in part.text)
    assert all(call.source in text for call in calls(parts))


NAMES = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=12)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | SOUP,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.text(string.ascii_letters + "_", min_size=1, max_size=10).filter(lambda key: key.isidentifier())
TEXTS = st.text(max_size=30).filter(lambda text: text.isprintable() or "\n" in text)


@st.composite
def tool_calls(draw, values=JSON):
    """A toolbox and some calls to its tools, each as the tool's schema wants it."""
    names = draw(
        st.lists(
            NAMES,
            min_size=1,
            max_size=3,
            unique_by=lambda name: "".join(filter(str.isalnum, name.casefold())),
        )
    )
    names = [name for name in names if any(map(str.isalnum, name))] or ["tool"]
    made = [
        ToolCall("", draw(st.sampled_from(names)), arguments)
        for arguments in draw(st.lists(st.dictionaries(KEYS, values, max_size=3), min_size=1, max_size=3))
    ]
    keys = {key for call in made for key in call.arguments}
    return Toolbox(
        Tool(name, "", {"type": "object", "properties": {key: {} for key in sorted(keys)}}) for name in names
    ), made


def read_back(box, text, cuts):
    judge = Judge(box)
    return [judge.judge(part) for part in read(pieces_of(text, cuts), box)]


def plain(found):
    return [(call.name, call.arguments) for call in found if isinstance(call, ToolCall)]


@settings(max_examples=150)
@given(
    tool_calls(),
    st.sampled_from(sorted(DIALECTS.keys() - {"xml"})),
    st.lists(st.integers(0, 500), max_size=4),
)
def test_calls_come_back(drawn, dialect, cuts):
    """Any calls, in any dialect and cut anywhere, come back equal, with nothing beside them."""
    box, made = drawn
    found = read_back(box, DIALECTS[dialect].render(made), cuts)
    assert plain(found) == [(call.name, dict(call.arguments)) for call in made]
    assert len(found) == len(made)


@settings(max_examples=150)
@given(tool_calls(st.text(max_size=30)), st.lists(st.integers(0, 500), max_size=4))
def test_calls_with_xml_parameters_come_back(drawn, cuts):
    """XML parameters have no types but text.

    The schema gives numbers back, texts come as they were.
    """
    box, made = drawn
    found = read_back(box, DIALECTS["xml"].render(made), cuts)
    assert plain(found) == [(call.name, dict(call.arguments)) for call in made]


@given(
    st.text(alphabet=string.ascii_letters + " .\n", max_size=30),
    tool_calls(),
    st.sampled_from(sorted(DIALECTS)),
)
def test_text_around_calls_stays(text, drawn, dialect):
    """Prose before a call goes out before it."""
    box, made = drawn
    parts = joined(read([f"Well, {text}\n", DIALECTS[dialect].render(made)], box))
    assert parts[0] == Text(f"Well, {text}\n")
    assert len(calls(parts)) == len(made)


def test_tables_use_the_tools():
    """The tools of the tables are bound: this file's soup names them."""
    assert short(read(['{"name": "get_time", "arguments": {}}'], TOOLS)) == [("get_time", {})]


def test_a_sample_of_code_is_the_same_at_every_cut():
    """Behind a backtick, what begins like a mark and is none begins no sample."""
    for text in ("a `<arg_key>x</arg_key> y<|end|>", "a `<todo> b` <think>c</think>d", "a `] <x> b"):
        for tools in ((), TOOLS):
            whole = read([text], tools)
            assert read(list(text), tools) == whole
            assert read(pieces_of(text, range(len(text))), tools) == whole
