"""The estimated tokens of a conversation."""

from freeproviders.types import ImageBlock, Message, TextBlock, ToolCall
from freeproviders.usage import TOKENS_PER_MESSAGE, estimate_input_tokens


def test_calls_and_pictures_cost_tokens():
    plain = estimate_input_tokens([Message("assistant", "Hello")])
    assert plain == TOKENS_PER_MESSAGE + 2
    called = Message("assistant", "Hello", tool_calls=(ToolCall("c", "search", {"words": "x" * 400}),))
    assert 100 < estimate_input_tokens([called]) - plain < 110
    shown = Message("user", (TextBlock("Hello"), ImageBlock("https://example.org/a.png")))
    assert estimate_input_tokens([shown]) == plain + 85  # the least that services count
