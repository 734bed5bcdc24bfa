"""Upper estimates of the tokens of a text: numbers that are hardly ever too low."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import ceil
from typing import Final

from freeproviders.tokens.families import ANY, family_of
from freeproviders.tokens.pieces import fragments, kinds_of

SLACK: Final = 8
"""Tokens on top of each upper estimate, for texts so short that no rule holds."""
_DEAREST: Final = 5.0
"""Tokens of a piece of a kind that no measured text had: more than any byte or emoji costs."""

_GROUPS: Final = {"lower": "latin", "title": "latin", "upper": "latin", "accents": "latin", "blank": "signs"}


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


@cache
def upper_rows() -> Mapping[str, Mapping[str, tuple[float, str]]]:
    """Read what a piece of each kind costs at most, by family, and the group that it counts to."""
    table = tomllib.loads((files(__package__) / "upper.toml").read_text(encoding="utf-8"))
    return {
        name: {kind: (row[column], _group(kind)) for kind, row in table["upper"].items()}
        for column, name in enumerate(table["families"])
    }


def _group(kind: str) -> str:
    """Return the script or sort of text that a kind of pieces counts to."""
    base = kind.partition(".")[0].partition("-")[0]
    return "signs" if base == "blanks" else _GROUPS.get(base, base)
