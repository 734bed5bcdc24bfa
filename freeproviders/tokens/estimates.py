"""Estimates of the tokens of a text: a likely number, and one that is hardly ever too low."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

from freeproviders.tokens.families import ANY, family_of, upper_rows
from freeproviders.tokens.likely import LIKELY
from freeproviders.tokens.pieces import fragments, kinds_of
from freeproviders.tokens.shape import shape_of

SLACK: Final = 8
"""Tokens on top of each upper estimate, for texts so short that no rule holds."""
_DEAREST: Final = 5.0
"""Tokens of a piece of a kind that no measured text had: more than any byte or emoji costs."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """An upper estimate in tokens.

    `groups` says what each script or sort of text contributes to it, `beside` what is added to
    those: slack, roles, pictures, what templates put before a conversation.
    """

    tokens: int
    groups: Mapping[str, float]
    beside: float


def prepare() -> None:
    """Read the data of upper estimates, which blocks: before one is made on an event loop."""
    upper_rows()
    fragments()


def likely_tokens(text: str, model: str = "") -> int:
    """Estimate the tokens of a text, as likely too high as too low, some per cent for most texts."""
    rates = LIKELY[family_of(model)]
    return ceil(sum([count * rates[name] for name, count in shape_of(text).items()]))


def upper_tokens(text: str, model: str = "") -> int:
    """Estimate the most tokens that a text may have, closely where the model's family is known."""
    return upper_estimate(text, model).tokens


def upper_estimate(text: str, model: str = "") -> Estimate:
    """Estimate the most tokens that a text may have, and what each script contributes."""
    cost, groups = upper_rows()[family_of(model)], dict[str, float]()
    for kind, count in kinds_of(text).items():
        tokens, group = cost.get(kind) or (_DEAREST, ANY)
        if tokens:
            groups[group] = groups.get(group, 0.0) + tokens * count
    beside = SLACK if text else 0
    return Estimate(ceil(beside + sum(groups.values())), groups, beside)
