"""Token counts where a service gives none: an estimate, and flagged as one."""

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
"""The least that services count for one; how many more depends on its size, which an address does not tell."""


def estimate_tokens(chars: int) -> int:
    """Tokens of a text of so many characters."""
    return -(-chars // CHARS_PER_TOKEN)


def estimate_input_tokens(messages: Iterable[Message]) -> int:
    """Tokens of a conversation."""
    return sum(
        [
            TOKENS_PER_MESSAGE
            + estimate_tokens(len(words(message)))
            + TOKENS_PER_PICTURE * len(message.images)
            for message in messages
        ]
    )


def words(message: Message) -> str:
    """What of a message costs tokens, but for its pictures: its text, and the tool calls it remembers."""
    if not message.tool_calls:
        return message.text
    return " ".join(
        [message.text, *(f"{call.name} {dumps(call.arguments).decode()}" for call in message.tool_calls)]
    )
