"""Estimated token counts, for services that report none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from freeproviders.types import Message
from freeproviders.wire.json import dumps

CHARS_PER_TOKEN: Final = 4
"""A rule of thumb for English text and the tokenizers in use; other scripts need more tokens."""
TOKENS_PER_MESSAGE: Final = 4
"""Role and separators."""
TOKENS_PER_PICTURE: Final = 85
"""The least that services count for a picture; its unknown size may add more."""


def estimate_tokens(chars: int) -> int:
    """Estimate the tokens of a text from its number of characters."""
    return -(-chars // CHARS_PER_TOKEN)


def estimate_input_tokens(messages: Iterable[Message]) -> int:
    """Estimate the tokens of a conversation."""
    return sum(
        [
            TOKENS_PER_MESSAGE
            + estimate_tokens(len(counted_text(message)))
            + TOKENS_PER_PICTURE * len(message.images)
            for message in messages
        ]
    )


def counted_text(message: Message) -> str:
    """The text and tool calls of a message, as counted for token estimates."""
    if not message.tool_calls:
        return message.text
    return " ".join(
        [message.text, *(f"{call.name} {dumps(call.arguments).decode()}" for call in message.tool_calls)]
    )
