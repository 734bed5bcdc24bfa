"""What a caller asks of a ledger, what it answers, and what every ledger can do.

The way of one HTTP request::

    rules = rules_of(service, model, keyless=False)              # freeproviders.quota.rules
    ask = Ask(account=key, claims=claims_of(rules, {"tokens": 4200}))
    grant = await ledger.reserve(ask, wait_up_to=30)             # waits, or raises
    ...                                                          # the request is written
    ledger.sent(grant)                                           # once it is on its way
    ledger.received(grant)                                       # the head of the answer is there
    ledger.adopt(grant, allowances)                              # what its headers announced
    ledger.settle(grant, {"tokens": 310})                        # what it took in the end; or, to
    left = await ledger.settled(grant, {"tokens": 310}, within=1)  # hear what is left then

`reserve` is for one request: each retry, each repair and each hop to another service makes its own.
`sent`, `received`, `adopt` and `settle` return at once, never raise and may be called on any
thread; what they say is written soon after, in order. A grant that is not settled counts as spent
in full when its lease ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from freeproviders.wire.limits import Metric

if TYPE_CHECKING:
    from freeproviders.wire.limits import Allowance

Reset = Literal["fixed", "rolling", "refill", "unknown"]
"""How a limit comes back; the words of `freeproviders.catalogue.rows.Limit`."""
Counted = Literal["admission", "end"]
"""When a service counts what a request takes: as it comes in, or as its answer ends.

Where a row does not tell, "end": it holds an amount for longer, so it is right for both.
"""
Source = Literal["header", "body", "user", "row", "caller"]
"""Where the size of a limit is from. A cap that was announced counts before one of a file."""

TRANSIT_SECONDS: Final = 1.0
"""How long a request may take from its reservation to its arrival, unless the row says so."""
LEASE_SECONDS: Final = 660.0
"""How long a grant is held for a call that says nothing more: longer than any call of the defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One limit, of one pool: at most `cap` of `metric` `per` period.

    Attributes:
        service: the id of a service of the catalogue, or any other name for what counts.
        pool: the model, or the name of the pool that several models share.
        metric: what is counted.
        per: the period, as "minute" or "5 hours"; "" for concurrency, and for a gate.
        cap: how much of it; `inf` makes a gate, which is open until a refusal shuts it for a time.
        reset: how it comes back.
        zone: whose calendar it is, where days, weeks or months are fixed.
        counted: when the service counts.
        by: whose the pool is, the account's or the internet address's.
        source: where the size of the limit is from.
    """

    service: str
    pool: str
    metric: Metric
    per: str
    cap: float
    reset: Reset = "unknown"
    zone: str = "UTC"
    counted: Counted = "admission"
    by: Literal["account", "ip"] = "account"
    source: Source = "row"


@dataclass(frozen=True, slots=True)
class Claim:
    """An amount that a request may take of one pool, an upper estimate where it is not known."""

    rule: Rule
    amount: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What one HTTP request needs: all of its claims or none.

    Attributes:
        claims: what it may take, and of which pools.
        account: what tells accounts apart, the API key; "" without one. Only a salted hash of it is
            ever written.
        keep: the share (0 to 1) of the cap that is left to others where the period is a day or
            longer: a job in the background keeps back what interactive use will want.
        transit: seconds within which the request will have reached the service, counted from the
            reservation, or from `Ledger.sent` where that is told.
        lease: seconds after which the grant counts as spent in full. Longer than the call may last,
            else `Ledger.renew` in time.
    """

    claims: tuple[Claim, ...]
    account: str = field(default="", repr=False)
    keep: float = 0.0
    transit: float = TRANSIT_SECONDS
    lease: float = LEASE_SECONDS


@dataclass(slots=True, eq=False)
class Grant:
    """A reservation that was granted: room for one HTTP request, to be settled once.

    What follows the claims is the ledger's own: the store that made the grant and where it wrote
    each claim; on this process's clock, when the reservation was made and when the request was
    written; whether it was settled, and with what.
    """

    id: str
    ask: Ask
    places: list[Any]
    store: object = None
    reserved_at: float = 0.0
    sent_at: float | None = None
    settled: bool = False
    spent: Mapping[Metric, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The state of one pool, for `freeproviders quota` and the metadata of an answer.

    Attributes:
        rule: the limit, with the cap that counts at present and its source.
        account: a short mark of the account, made of the salted hash; "" for an address's pool.
        used: what counts against the cap, reservations of calls that run included.
        running: the part of `used` that calls still running may give back.
        left: what a request may take now. 0 while a refusal shuts the pool.
        back_at: when more than now will be left (UTC). None where nothing is taken, or where only the
            end of a call that runs gives something back.
        learned_at: when the cap was announced, None where it is a file's.
    """

    rule: Rule
    account: str
    used: float
    running: float
    left: float
    back_at: datetime | None = None
    learned_at: datetime | None = None

    def cells(self) -> dict[str, object]:
        """Return the cells of its row in a table."""
        rule = self.rule
        return {
            "service": rule.service,
            "account": self.account,
            "model or pool": rule.pool,
            "at most": rule.cap if isfinite(rule.cap) else None,
            "what": rule.metric,
            "per": rule.per or "moment",
            "used": self.used,
            "left": self.left,
            "more at": self.back_at,
        }


@dataclass(frozen=True, slots=True)
class NoteName:
    """What a note is about.

    Attributes:
        topic: what kind of note it is: "health", "statistics".
        service: what it is about, so that all notes of a service can be cleared.
        account: the API key, "" without one. Only a salted hash of it is ever written.
    """

    topic: str
    service: str
    account: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Note:
    """A small text that all processes that share a ledger see, as one of them wrote it last.

    Attributes:
        version: tells it from every other one of the same name.
        text: what was written; "" where it was cleared.
        age: how many seconds ago that was, when it was read.
    """

    version: str
    text: str
    age: float


class Ledger(Protocol):
    """What all processes of a user write their requests into, so that no limit is passed.

    Thread-safe; one object serves any number of threads and event loops.
    """

    async def reserve(self, ask: Ask, *, wait_up_to: float = 0.0) -> Grant:
        """Reserve room for one HTTP request that is about to be written; wait for it if need be.

        Requests of a process that wait for the same pools are served in the order in which they
        came, and the first of each process stands in a line of all. Cancelling the call gives back
        what it may just have got.

        Args:
            ask: the claims, granted all together or not at all.
            wait_up_to: seconds to wait at most. Where it is plain that the room comes later, the
                error is raised at once.

        Raises:
            QuotaTooSmallError: the request is larger than a cap: no waiting would help.
            QuotaSpentError: there is no room within `wait_up_to`; `soonest` says when there is.
            LedgerError: the ledger cannot be used, and it is not allowed to go on without.
        """
        ...

    def reserve_sync(self, ask: Ask, *, wait_up_to: float = 0.0) -> Grant:
        """Do as `reserve`, on a thread that may block."""
        ...

    def sent(self, grant: Grant) -> None:
        """Note that the request was written just now, if that was later than the reservation.

        From now on it has `Ask.transit` seconds to arrive.
        """
        ...

    def received(self, grant: Grant) -> None:
        """Note that the head of the answer has just come: the request had arrived before."""
        ...

    def renew(self, grant: Grant) -> None:
        """Begin the lease anew."""
        ...

    def settle(self, grant: Grant, spent: Mapping[Metric, float] | None = None, *, sent: bool = True) -> None:
        """End a grant with what the request has taken, and give back the rest.

        Places of concurrency are given back, a request stays counted. Settling again does nothing.

        Args:
            grant: what `reserve` returned.
            spent: what was taken, by metric; what is not named counts as reserved. An error before
                any content is `{"tokens": 0}`, an abandoned stream what was seen of it. Amounts of
                "tokens", "input tokens" and "output tokens" are separate: name those that the
                claims have (`claims_of` and `spent_of` do).
            sent: False where not a byte was written: everything is given back.
        """
        ...

    async def settled(
        self, grant: Grant, spent: Mapping[Metric, float] | None = None, *, within: float
    ) -> Sequence[Standing]:
        """Settle, and return the state that the pools have then, without gates.

        Where the ledger does not answer within so many seconds nothing is returned; it settles all
        the same. Never raises.
        """
        ...

    def adopt(self, grant: Grant, allowances: Iterable[Allowance], *, source: Source = "header") -> None:
        """Take over what the service announced with the answer to a request.

        Each allowance is about the claims of the same metric and period. A cap takes the place of
        the rule's, for all processes. What remains is a bound: no more than that is taken, less what
        may have been under way when the service said it, until it is reset. A `remaining` of 0 with
        a `reset_at` is a refusal: it shuts the pool until then. An allowance whose `per` is "" is
        about the gate, where there is one.
        """
        ...

    async def soonest(self, ask: Ask) -> datetime | None:
        """Return when the request would fit (UTC) if nothing were sent until then; None for now.

        Raises as `reserve` does, without `QuotaSpentError`.
        """
        ...

    async def standings(self, service: str = "") -> list[Standing]:
        """Return the state of all pools that were ever asked for, or those of one service."""
        ...

    async def reset(self, service: str, *, pool: str = "") -> int:
        """Forget what was counted and learned of a service, or of one of its pools.

        Returns the number of pools. Calls that run meanwhile are no longer counted. Notes about the
        service are cleared, unless it is only about a pool.
        """
        ...

    def notes(self, names: Sequence[NoteName]) -> Future[tuple[Note | None, ...]]:
        """Read notes, all of one moment; None for each that there is not, or that has expired.

        The future is done on another thread (`asyncio.wrap_future` awaits it), and may have a
        `LedgerError`.
        """
        ...

    def say(self) -> None:
        """Warn of what was lost of late, in the caller's context; `reserve` does so by itself."""
        ...

    def note(
        self, name: NoteName, text: str, *, version: str, over: str = "", keep: float, ago: float = 0.0
    ) -> Future[Note | None]:
        """Write a note if the present one is still the one that the writer has read.

        The future has the note that there is then: the new one, or another one, or None, which was
        not expected. It may have a `LedgerError`.

        Args:
            name: what it is about.
            text: what it says; some kilobytes at most. Times in it are best written as seconds from
                the writing, since clocks differ and start anew.
            version: a new token, as `secrets.token_hex` makes them.
            over: the version that was read, "" where there was none.
            keep: seconds after which it expires, `inf` for never.
            ago: how many seconds ago was the moment from which the text counts.
        """
        ...
