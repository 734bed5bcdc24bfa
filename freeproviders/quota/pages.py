"""What a ledger has written down: pools, what was taken of them, and which calls wait.

A store keeps it; `book` decides what changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, Protocol

from freeproviders.quota.interface import Rule


class Use(NamedTuple):
    """What one grant has taken of one pool; `open` while the call may still change it."""

    at: float
    grant: str
    amount: float
    open: bool


class Place(NamedTuple):
    """A place in the line of waiting calls: since and until when, and the amount of each pool."""

    since: float
    until: float
    wanted: Mapping[str, float]


@dataclass(slots=True, eq=False)
class Pool:
    """The state of one limit, of one account.

    Attributes:
        id: its number.
        rule: the limit as it was asked for last.
        who: the salted hash of the account.
        used: the sum of its uses, `running` of the open ones.
        oldest: no use is older than that.
        cap: what the service announced last, said `cap_source` at `cap_at` (UTC).
        left: what the service has left for requests that are yet to come, None where it did not
            say. Uses that arrived before `as_of` had been counted in it, it was `told` later, holds
            `until`, and `probe` is when it may be asked whether it still does.
        border: the end of a fixed window, as the service told it.
        dirty: whether it differs from what is stored.
    """

    id: int
    rule: Rule
    who: str
    used: float = 0.0
    running: float = 0.0
    oldest: float = inf
    cap: float | None = None
    cap_source: str = ""
    cap_at: float = 0.0
    left: float | None = None
    as_of: float = 0.0
    told: float = 0.0
    until: float = inf
    probe: float = inf
    border: float | None = None
    dirty: bool = False


class Pages(Protocol):
    """What the decisions read and write."""

    def pool(self, rule: Rule, account: str) -> Pool:
        """Find or make the pool of a rule and an account."""
        ...

    def known(self, number: int) -> Pool | None:
        """Find a pool by its number."""
        ...

    def pools(self, service: str) -> list[Pool]:
        """Find all pools, or those of a service."""
        ...

    def uses(self, pool: Pool, *, after: float = -inf) -> Iterator[Use]:
        """Yield the uses later than a moment, the oldest first."""
        ...

    def drop_until(self, pool: Pool, cutoff: float) -> list[Use]:
        """Remove the uses up to a moment, and return them."""
        ...

    def put(self, pool: Pool, use: Use) -> None:
        """Add a use."""
        ...

    def remove(self, pool: Pool, at: float, grant: str) -> Use | None:
        """Remove a use and return it; None where it is not there."""
        ...

    def clear(self, pool: Pool) -> None:
        """Remove all uses."""
        ...

    def line(self) -> dict[str, Place]:
        """Find all waiting calls, by the ids of their tries."""
        ...

    def stand(self, call: str, place: Place | None) -> None:
        """Give a call a place in the line, or take it away."""
        ...
