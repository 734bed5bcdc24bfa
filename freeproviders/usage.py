"""Token counts where a service gives none: an estimate, and flagged as one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from freeproviders.types import Message

CHARS_PER_TOKEN: Final = 4
"""A rule of thumb for English text and the tokenizers in use; other scripts need more tokens."""
TOKENS_PER_MESSAGE: Final = 4
"""Role and separators."""


def estimate_tokens(chars: int) -> int:
    """Tokens of a text of so many characters."""
    return -(-chars // CHARS_PER_TOKEN)


def estimate_input_tokens(messages: Iterable[Message]) -> int:
    """Tokens of a conversation."""
    return sum([TOKENS_PER_MESSAGE + estimate_tokens(len(message.text)) for message in messages])
