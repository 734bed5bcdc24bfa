"""Reasoning in every family's marks: told from the answer at every cut, and no call in it is made."""

import pytest

from freeproviders.tools.read.parser import Parser
from freeproviders.tools.read.thinking import CLOSERS, LEADING, THINKING
from freeproviders.types import Reasoning
from tests.tools.reading import TOOLS, calls, cuts, joined, read, short

CALL = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
MARKUP = f"<tool_call>{CALL}</tool_call>"
NATIVE = '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}'
THOUGHT = f"maybe {NATIVE} or {MARKUP} or {CALL}?"
W = ("get_weather", {"city": "Paris"})
PAIRS = [*THINKING.items(), *LEADING.items()]


@pytest.mark.parametrize(("opener", "closer"), PAIRS)
@pytest.mark.parametrize("tools", [(), TOOLS], ids=["plain", "tools"])
def test_it_is_told_apart(opener, closer, tools):
    """What is thought is reasoning, with its calls; what is said behind it is the answer."""
    text = f"\n{opener}{THOUGHT}{closer}\n\nI will not."
    for pieces in cuts(text):
        assert short(read(pieces, tools)) == [("thought", THOUGHT), "I will not."], pieces


@pytest.mark.parametrize(("opener", "closer"), PAIRS)
def test_a_call_behind_it_is_made(opener, closer):
    for pieces in cuts(f"{opener}{THOUGHT}{closer}\n{MARKUP}"):
        assert short(read(pieces)) == [("thought", THOUGHT), W], pieces


@pytest.mark.parametrize("opener", [opener for opener, _ in PAIRS])
def test_it_may_never_end(opener):
    """An answer that breaks off in the middle of its reasoning holds no call."""
    for pieces in cuts(f"{opener}{THOUGHT}"):
        assert short(read(pieces)) == [("thought", THOUGHT)]


@pytest.mark.parametrize("closer", CLOSERS)
@pytest.mark.parametrize("tools", [(), TOOLS], ids=["plain", "tools"])
def test_the_template_had_opened_it(closer, tools):
    """A closing mark with nothing before it belongs to reasoning that was empty."""
    for pieces in cuts(f"\n{closer}\n\nFour."):
        assert short(read(pieces, tools)) == ["Four."], pieces


def test_behind_an_empty_beginning_calls_are_read():
    for pieces in cuts(f"</think>\n{MARKUP}"):
        assert short(read(pieces)) == [W], pieces


@pytest.mark.parametrize(("opener", "closer"), THINKING.items())
def test_between_words(opener, closer):
    """Marks that mean nothing else mean reasoning also in the middle."""
    for pieces in cuts(f"Well {opener}hm{closer} yes"):
        assert short(read(pieces)) == ["Well ", ("thought", "hm"), "yes"], pieces


def test_words_of_documents_are_left_alone():
    """A document may have elements that are called so, and closing marks stay where they stand."""
    for text in ("So: <reasoning>a</reasoning> <thought>b</thought>", "a </think> b [/THINK] c"):
        for pieces in cuts(text):
            assert short(read(pieces)) == [text]


@pytest.mark.parametrize("again", ["", "<think>", "\n<think>"])
def test_an_answer_inside_the_reasoning(again):
    """Where the template opens it, the model may open it again."""
    for pieces in cuts(f"{again}hm {CALL}</think>\n{MARKUP}"):
        assert short(read(pieces, thinking=True)) == [("thought", f"hm {CALL}"), W], pieces


def test_an_answer_inside_the_reasoning_is_shown_at_once():
    parser = Parser(TOOLS, thinking=True)
    assert parser.feed("\nLet") == [Reasoning("\nLet")]
    assert parser.feed(" me") == [Reasoning(" me")]


@pytest.mark.parametrize(("opener", "closer"), PAIRS)
def test_code_keeps_its_tags(opener, closer):
    """A block or a line of code is text, whatever it begins with."""
    for text in (
        f"```xml\n{opener}plan {MARKUP}{closer}\n```\nDone.",
        f"So:\n```\n{opener}plan{closer}\n```",
        f"the `{opener}` and ``{closer}`` marks",
    ):
        for pieces in cuts(text):
            assert short(read(pieces)) == [text], pieces


@pytest.mark.parametrize(("opener", "closer"), PAIRS)
def test_kept_reasoning_is_text_without_calls(opener, closer):
    """It stays as it is, and a call in it is none."""
    text = f"{opener}{THOUGHT}{closer} No."
    for pieces in cuts(text):
        parser = Parser(TOOLS, keep_thinking=True)
        out = [part for piece in pieces for part in parser.feed(piece)]
        out = joined([*out, *parser.close()])
        assert calls(out) == []
        assert short(out) == [text]
