"""The texts of a call: checked before anything is sent, cut into blocks and requests."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence

from freeproviders.embeddings.caps import Caps
from freeproviders.errors import TruncatedTextsWarning, UsageError
from freeproviders.tokens.upper import upper_tokens
from freeproviders.usage import estimate_tokens

_MOST_TOKENS_PER_CHARACTER = 4
"""No character has more tokens than bytes."""


def checked(texts: str | Iterable[str]) -> Sequence[str]:
    """Return the texts as a sequence; a bare text is one. Raises `UsageError` for what is none."""
    if isinstance(texts, str):
        return (texts,)
    if not isinstance(texts, Iterable):
        raise UsageError(f"texts must be a list of texts, not {type(texts).__name__}.")
    found = texts if isinstance(texts, list | tuple) else list(texts)
    for place, text in enumerate(found):
        if not isinstance(text, str):
            raise UsageError(f"Text {place} is no text but {type(text).__name__}.")
    return found


def requests_of(places: Sequence[int], texts: Sequence[str], caps: Caps, model: str) -> Iterator[list[int]]:
    """Group the places of texts into requests within the caps.

    A text that is alone too large is a request of its own.
    """
    most, cap = caps.texts or max(1, len(places)), caps.tokens
    if cap is None or sum([len(texts[place]) for place in places]) * _MOST_TOKENS_PER_CHARACTER <= cap:
        for at in range(0, len(places), most):
            yield list(places[at : at + most])
        return
    group: list[int] = []
    tokens = 0
    for place in places:
        more = upper_tokens(texts[place], model)
        if group and (len(group) == most or tokens + more > cap):
            yield group
            group, tokens = [], 0
        group.append(place)
        tokens += more
    if group:
        yield group


def is_too_long(text: str, window: int, model: str) -> bool:
    """Return whether a text is longer than a window, by an estimate of its tokens that a tenth may be off."""
    if len(text) * _MOST_TOKENS_PER_CHARACTER <= window:
        return False
    return estimate_tokens(text, model) * 10 > window * 11


def cut(text: str, window: int, model: str) -> str:
    """Cut a text so that it surely fits into a window, by upper estimates of its tokens."""
    if len(text) * _MOST_TOKENS_PER_CHARACTER <= window:
        return text
    while text and (tokens := upper_tokens(text, model)) > window:
        text = text[: min(len(text) - 1, len(text) * window // tokens)]
    return text


def warn_of_cut(truncated: Collection[int], count: int, *, stacklevel: int) -> None:
    """Warn where vectors are of the beginnings of their texts only, given the places of these."""
    if truncated:
        shown = sorted(truncated)
        places = ", ".join(map(str, shown[:10])) + (", ..." if len(shown) > 10 else "")
        warnings.warn(
            f"{len(shown)} of {count} texts were cut to the model's window: {places}.",
            TruncatedTextsWarning,
            stacklevel=stacklevel,
        )
