"""Likely estimates of the tokens of a text."""

from __future__ import annotations

from math import ceil

from freeproviders.tokens.families import family_of
from freeproviders.tokens.rates import LIKELY
from freeproviders.tokens.shape import shape_of


def likely_tokens(text: str, model: str = "") -> int:
    """Estimate the tokens of a text, as likely too high as too low, some per cent for most texts."""
    rates = LIKELY[family_of(model)]
    return ceil(sum([count * rates[name] for name, count in shape_of(text).items()]))
