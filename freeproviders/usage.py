"""Estimated token counts, for services that report none, and upper ones, for reservations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from freeproviders.tokens.families import family_of, preamble_of
from freeproviders.tokens.likely import likely_tokens
from freeproviders.types import Message, Tool
from freeproviders.wire.json import dumps

if TYPE_CHECKING:
    from freeproviders.tokens.upper import Estimate

CHARS_PER_TOKEN: Final = 4
"""A rule of thumb for English text; other scripts need more tokens."""
TOKENS_PER_MESSAGE: Final = 4
"""Role and separators."""
MOST_TOKENS_PER_MESSAGE: Final = 8
"""The same in the templates that need most."""
TOKENS_PER_PICTURE: Final = 85
"""The least that services count for a picture; its unknown size may add more."""
_LEAST_CHARS_PER_TOKEN: Final = 0.25
"""No character has more tokens than bytes."""


def estimate_tokens(text: str, model: str = "") -> int:
    """Estimate the tokens of a text, by its script and the model's family of tokenizers."""
    return likely_tokens(text, model)


def estimate_output_tokens(chars: int, messages: Sequence[Message]) -> int:
    """Estimate the tokens of an answer from its number of characters and its conversation.

    An answer's characters are counted as they come, not its scripts: it is taken to be written as
    the last message is, where that is not plain ASCII.
    """
    text = messages[-1].text if messages else ""
    if text.isascii():
        return -(-chars // CHARS_PER_TOKEN)
    return -(-chars * likely_tokens(text) // len(text))


def estimate_input_tokens(messages: Iterable[Message], model: str = "") -> int:
    """Estimate the tokens of a conversation."""
    return sum(
        [
            TOKENS_PER_MESSAGE
            + estimate_tokens(counted_text(message), model)
            + TOKENS_PER_PICTURE * len(message.images)
            for message in messages
        ]
    )


def surely_more_tokens(messages: Iterable[Message], limit: float | None, model: str = "") -> int | None:
    """Return the estimated tokens of a conversation where they are more than a limit, else None.

    None is no limit. Nothing is estimated of a conversation that is too short for so many.
    """
    if limit is None:
        return None
    turns = tuple(messages)
    most = sum(
        [
            TOKENS_PER_MESSAGE
            + len(counted_text(turn)) / _LEAST_CHARS_PER_TOKEN
            + TOKENS_PER_PICTURE * len(turn.images)
            for turn in turns
        ]
    )
    if most <= limit:
        return None
    tokens = estimate_input_tokens(turns, model)
    return tokens if tokens > limit else None


def upper_input_estimate(
    messages: Iterable[Message], model: str = "", tools: Iterable[Tool] = ()
) -> Estimate:
    """Estimate the most tokens that a conversation and the tools offered with it may have.

    Pictures count as in `estimate_input_tokens`: their size is not known. `Estimator.corrected`
    corrects the estimate by what the service has counted. Call `freeproviders.tokens.upper.prepare`
    on a thread before the first estimate on an event loop: the data of estimates is read once.
    """
    # Most calls reserve nothing, and need none of its data.
    from freeproviders.tokens.upper import Estimate, upper_estimate  # noqa: PLC0415 - see above

    turns = tuple(messages)
    texts = [counted_text(turn) for turn in turns]
    texts += [
        f"{turn.name or ''} {turn.tool_call_id or ''}" for turn in turns if turn.name or turn.tool_call_id
    ]
    texts += [dumps(tool.to_openai()).decode() for tool in tools]
    estimate = upper_estimate("\n".join(texts), model)
    beside = preamble_of(family_of(model))
    beside += sum([MOST_TOKENS_PER_MESSAGE + TOKENS_PER_PICTURE * len(turn.images) for turn in turns])
    return Estimate(estimate.tokens + beside, estimate.groups, estimate.beside + beside)


def counted_text(message: Message) -> str:
    """The text and tool calls of a message, as counted for token estimates."""
    if not message.tool_calls:
        return message.text
    return " ".join(
        [message.text, *(f"{call.name} {dumps(call.arguments).decode()}" for call in message.tool_calls)]
    )
