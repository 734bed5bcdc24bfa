"""The estimated tokens of a conversation."""

from freeproviders.types import ImageBlock, Message, TextBlock, Tool, ToolCall
from freeproviders.usage import (
    TOKENS_PER_MESSAGE,
    estimate_input_tokens,
    estimate_output_tokens,
    surely_more_tokens,
    upper_input_estimate,
)
from tests.core.texts import TEXTS


def test_calls_and_pictures_cost_tokens():
    plain = estimate_input_tokens([Message("assistant", "Hello")])
    assert plain == TOKENS_PER_MESSAGE + 2
    called = Message(
        "assistant", "Hello", tool_calls=(ToolCall("c", "search", {"words": "some words " * 40}),)
    )
    assert 80 < estimate_input_tokens([called]) - plain < 120
    shown = Message("user", (TextBlock("Hello"), ImageBlock("https://example.org/a.png")))
    assert estimate_input_tokens([shown]) == plain + 85  # the least that services count


def test_an_answer_is_taken_to_be_written_as_its_question_is():
    assert estimate_output_tokens(400, [Message("user", "Hello")]) == 100
    assert estimate_output_tokens(400, ()) == 100
    assert 250 < estimate_output_tokens(400, [Message("user", TEXTS["chinese"])]) < 450


def test_only_what_is_surely_too_long_is_told():
    turns = [Message("user", TEXTS["hindi"])]
    tokens = estimate_input_tokens(turns)
    assert surely_more_tokens(turns, tokens - 1) == tokens
    assert surely_more_tokens(turns, tokens) is None
    assert surely_more_tokens(turns, None) is None
    assert surely_more_tokens(turns, 1e9) is None


def test_the_upper_estimate_counts_all_that_is_sent():
    """Roles, tools, calls and what templates put before a conversation."""
    turns = [Message("system", "Be brief."), Message("user", TEXTS["chinese"])]
    plain = upper_input_estimate(turns, "gpt-4o")
    assert plain.tokens > estimate_input_tokens(turns, "gpt-4o") + 50
    tool = Tool("search", "Search the shelves of the library for a title.")
    assert upper_input_estimate(turns, "gpt-4o", [tool]).tokens > plain.tokens + 20
    named = [*turns, Message("tool", "Found.", name="search", tool_call_id="call_1")]
    assert upper_input_estimate(named, "gpt-4o").tokens > plain.tokens + 10
    shown = [Message("user", (TextBlock("Hello"), ImageBlock("https://example.org/a.png")))]
    assert upper_input_estimate(shown).tokens > upper_input_estimate([Message("user", "Hello")]).tokens + 84
