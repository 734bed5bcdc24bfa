"""What an answer shows of the account that asked: that it is billed, or that another model answered.

The rows say what is free; this looks at what came. It proves nothing where a service says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from freeproviders.catalogue import Limit, Service
from freeproviders.catalogue.rows import SECONDS, Cost, seconds_of
from freeproviders.catalogue.words import amount, shown
from freeproviders.errors import ProviderError
from freeproviders.model_names import tail
from freeproviders.router.policy import cost_of
from freeproviders.types import Finish, Usage
from freeproviders.wire.limits import Allowance

TOLERANCE: Final = 1.25
"""A limit is above the free cap from so many times on: services round, and change their caps a little."""
MAX_CHARS: Final = 200
"""So much of a name is looked at."""
_PIECES: Final = re.compile(r"[a-z]+|[0-9.]+")
_SUFFIX: Final = re.compile(
    r"[-@_](?:latest|preview|exp|experimental|stable"  # which of a model's states
    r"|gguf|awq|gptq|(?:nv|mx)?fp(?:4|8|16)|bf16|int[48]|q[2-8](?:_k)?(?:_[0-9lms])?"  # with how many bits
    r"|[0-9]{8}|[0-9]{6}|[0-9]{4}(?:-[0-9]{2}){0,2}|[0-9]{2}-[0-9]{4}|0[0-9]{1,2})$"  # a snapshot's date
)
"""Words behind a model's name that say how it is served, or which of its snapshots it is."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """A model that must not cost anything, and what is looked at in its answers.

    `has_key` says whether it is asked with a key, and so for an account; `cost` is what the row says.
    """

    row: Service
    model: str
    cost: Cost
    has_key: bool

    def answered(self, finish: Finish, usage: Usage | None) -> str:
        """Return why the account must not be asked again after an answer, "" where all is right."""
        cost = usage.cost if usage is not None else None
        return (
            _charged(self, cost)
            or _other_model(self, finish.model, cost)
            or _looks_paid(self, finish.allowances)
        )

    def refused(self, error: ProviderError) -> str:
        """Return why the account must not be asked again after a refusal, "" where it may be."""
        return _looks_paid(self, error.allowances, error.kind)


# --- money ----------------------------------------------------------------------------------------


def _charged(one: Guarded, cost: float | None) -> str:
    """Say that an answer was charged; credits that are given for free are counted in money too."""
    if not cost or any(limit.metric == "usd" and limit.counts(one.model) for limit in one.row.limit):
        return ""
    return f"An answer of it has cost {cost:g}, as the service says: the account looks paid."


# --- the model that answered ----------------------------------------------------------------------


def _other_model(one: Guarded, said: str, cost: float | None) -> str:
    """Say that another model has answered, which is not known to be free here."""
    asked = one.model
    if not said or not asked or is_same(asked, said):
        return ""
    if cost == 0:  # the service itself says that it was free
        return ""
    allowed = {"never", one.cost}
    if any(cost_of(one.row, name, has_key=one.has_key) in allowed for name in _spellings(one.row, said)):
        return ""
    return (
        f"{said} answered in place of {asked}, and nothing says that it is free there: the account may be "
        "charged for it."
    )


def is_same(asked: str, said: str) -> bool:
    """Return whether two names are spellings of one model.

    Names of organisations and folders, a suffix such as `:free` or `:latest`, dates of snapshots,
    marks and case make no difference: services write them or leave them out.
    """
    return _core(asked) == _core(said)


def _core(name: str) -> tuple[str, ...]:
    """Return what is left of a name without words of how it is served and of its snapshot."""
    left, cut = tail(name[:MAX_CHARS]), 1
    while cut:
        left, cut = _SUFFIX.subn("", left)
    return tuple(_PIECES.findall(left))


def _spellings(row: Service, said: str) -> Iterator[str]:
    """Yield the names under which a row may have a model: as it was said, and its own ones."""
    yield said
    yield said.removeprefix("models/")
    yield from (name for name in row.models if "*" not in name and is_same(name, said))


# --- limits ---------------------------------------------------------------------------------------


def _looks_paid(guarded: Guarded, announced: Iterable[Allowance], kind: str = "") -> str:
    """Say that the service announces more than a free account has.

    A model that is free whatever the account may have a higher limit, as after credits were bought.
    """
    if guarded.cost != "allowance" or not guarded.has_key:
        return ""
    for one in announced:
        free = _recorded(guarded.row, guarded.model, one, one.per or kind)
        if free is not None and one.cap is not None and one.cap > free.cap * TOLERANCE:
            return (
                f"The account looks paid: the service announces {amount(one.cap)} where free accounts have "
                f"{shown(free)}. Should the free limit have risen, put it into a file of your own."
            )
    return ""


def _recorded(row: Service, model: str, announced: Allowance, per: str) -> Limit | None:
    """Return the recorded limit that an announced one is about, the highest of several."""
    same = [
        limit
        for limit in row.limit
        if limit.metric == announced.metric
        and _seconds(limit.per) == _seconds(per)
        and announced.scope in {"", limit.scope}
        and limit.counts(model)
        and limit.keyless is not True
    ]
    return max(same, key=lambda limit: limit.cap, default=None)


def _seconds(per: str) -> float | None:
    """Return a period in seconds, "" as 0; None for what is no period."""
    if not per:
        return 0.0
    return seconds_of(per) if per.rpartition(" ")[2].removesuffix("s") in SECONDS else None
