"""A backend's way to the ledger: one reservation for each HTTP request that it writes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

from freeproviders.errors import ProviderError, QuotaSpentError, RateLimitError, UsageError
from freeproviders.process import PerProcess
from freeproviders.quota.clocks import boot_seconds
from freeproviders.quota.interface import TRANSIT_SECONDS, Ask, Claim, Grant, Ledger, Rule
from freeproviders.quota.rules import claims_of, spent_of
from freeproviders.tokens.corrected import Estimator
from freeproviders.tokens.upper import Estimate
from freeproviders.types import Left
from freeproviders.wire.limits import Allowance, Metric

if TYPE_CHECKING:
    from freeproviders.types import Usage

OUTPUT_TOKENS: Final = 1024
"""Tokens of an answer that are reserved where the caller does not limit it."""
_NO_LIMIT_SECONDS: Final = 3600.0
_TOLD_SECONDS: Final = 1.0
"""How long the end of an answer waits for a ledger that does not say what is left."""
_SETTLING_SECONDS: Final = 60.0
"""How long a lease outlives its call, so that a busy process still settles in time."""
_UNREAD: Final = frozenset({400, 401, 402, 403, 404, 405, 413, 415, 422})
"""Statuses of refusals before any model reads the question: no service counts its tokens then."""
_ONLY_WAITING_HELPS: Final = frozenset({"", "minute", "hour", "day", "month"})
"""Kinds of refusals; "" is one that no sign tells, and that counts where it names a time."""


class Metered(Protocol):
    """A request, as far as its amounts go."""

    @property
    def model(self) -> str | None:
        """The model that is asked."""

    @property
    def max_tokens(self) -> int | None:
        """The most tokens of the answer, None without a limit."""

    @property
    def counts_as(self) -> int:
        """As how many requests the service counts it."""

    @property
    def keep(self) -> float:
        """The share of a day's cap that it leaves to others."""


@dataclass(frozen=True, slots=True)
class Meter:
    """One backend's limits, and the ledger in which its requests are counted.

    Attributes:
        ledger: where they are counted.
        name: the name under which they are counted, of the service or given by the caller.
        rules_of: the rules for a model.
        estimate: makes an upper estimate of the tokens of a request that the backend makes.
        account: what tells accounts apart, the API key.
        keep: the share of a day's cap that is left to others.
        transit: seconds within which a request that was written has reached the service.
        count: counts a request's tokens exactly, None where the service does not tokenise.
    """

    ledger: Ledger
    name: str
    rules_of: Callable[[str], Sequence[Rule]]
    estimate: Callable[[Any], Estimate]
    account: str = ""
    keep: float = 0.0
    transit: float = TRANSIT_SECONDS
    count: Callable[[Any], Awaitable[int | None]] | None = None

    def check_account(self) -> None:
        """Raise `UsageError` where the process has used another key of the same service."""
        if self.account:
            _check_key(self.ledger, self.name, self.account)

    async def admit(self, request: Metered, wait_up_to: float, longest: float | None) -> Ticket:
        """Reserve room for one HTTP request; waits for it for so many seconds.

        `longest` is how long the request may last, None without a limit.

        Raises `QuotaSpentError` where there is none in time, `QuotaTooSmallError` where there never
        is, `UsageError` where the process has used another key of the same service.
        """
        self.check_account()
        rules, model = self.rules_of(request.model or ""), request.model or ""
        # Tokens are estimated only where they are counted.
        estimate, tokens = None, None
        if any("tokens" in rule.metric for rule in rules):
            tokens = None if self.count is None else await self.count(request)
            if tokens is None:
                estimate = self.estimate(request)
                tokens = _estimators.get().corrected(model, estimate).tokens
        ask = Ask(
            claims=_claims(rules, request, tokens),
            account=self.account,
            keep=max(self.keep, request.keep),
            transit=self.transit,
            lease=(_NO_LIMIT_SECONDS if longest is None else longest) + _SETTLING_SECONDS,
        )
        grant = await self.ledger.reserve(ask, wait_up_to=wait_up_to)
        return Ticket(self.ledger, grant, rules, model, estimate, tokens=tokens or 0, wait_up_to=wait_up_to)


def _claims(rules: Sequence[Rule], request: Metered, tokens: int | None) -> tuple[Claim, ...]:
    """Return what a request with so many tokens may take; None: they are not counted."""
    amounts: dict[Metric, float] = {"requests": float(request.counts_as)}
    if tokens is None:
        return claims_of(rules, amounts)
    answer = request.max_tokens
    if answer is None:
        caps = [rule.cap for rule in rules if rule.metric in {"tokens", "output tokens"}]
        answer = max(1, min(OUTPUT_TOKENS, int(min(caps, default=OUTPUT_TOKENS)) - tokens))
    return claims_of(rules, {**amounts, "input tokens": tokens, "output tokens": answer})


class Ticket:
    """One request's reservation, from the moment it is granted to its end.

    `tokens` is how many the question has at most, 0 where they are not counted.
    """

    __slots__ = ("_estimate", "_grant", "_ledger", "_model", "_rules", "_tokens", "_wait_up_to", "_written")

    def __init__(
        self,
        ledger: Ledger,
        grant: Grant,
        rules: Sequence[Rule],
        model: str,
        estimate: Estimate | None,
        *,
        tokens: int = 0,
        wait_up_to: float = 0.0,
    ) -> None:
        self._ledger = ledger
        self._grant = grant
        self._rules = rules
        self._model = model
        self._estimate = estimate
        self._tokens = tokens
        self._wait_up_to = wait_up_to
        self._written = False

    @property
    def is_late(self) -> bool:
        """Whether the request should have been written by now.

        The process stood still since the reservation, whose place others may have soon.
        """
        return boot_seconds() - self._grant.reserved_at > self._grant.ask.transit

    async def renew(self) -> None:
        """Give the reservation back and make another one, as for a new request.

        Raises as `Meter.admit` does.
        """
        self._ledger.settle(self._grant, sent=False)
        self._grant = await self._ledger.reserve(self._grant.ask, wait_up_to=self._wait_up_to)

    async def again(self) -> None:
        """Reserve room once more: the request may have arrived, and is about to be sent a second time.

        Raises as `Meter.admit` does.
        """
        self._ledger.settle(self._grant, self._taken(None))
        self._grant = await self._ledger.reserve(self._grant.ask, wait_up_to=self._wait_up_to)

    def writing(self) -> None:
        """Note that bytes of the request go out just now."""
        self._written = True
        self._ledger.sent(self._grant)

    def received(self, allowances: Sequence[Allowance]) -> None:
        """Note that the head of the answer is there, and take over what it announces."""
        self._ledger.received(self._grant)
        if allowances:
            self._ledger.adopt(self._grant, allowances)

    def refused(self, error: ProviderError) -> None:
        """Take over what a refusal says: nothing is sent before the service wants to be asked again."""
        if isinstance(error, QuotaSpentError):  # our own, of a reservation that was made anew
            return
        if error.status in _UNREAD:
            self._tokens = 0
        if not isinstance(error, RateLimitError) or error.kind not in _ONLY_WAITING_HELPS:
            return
        until = error.soonest or self._end_of_day(error)
        if until is not None:
            shut = Allowance(metric="requests", per="", remaining=0.0, reset_at=until)
            self._ledger.adopt(self._grant, [shut], source="body")

    async def left_after(self, usage: Usage) -> tuple[Left, ...]:
        """Settle a whole answer, and return what is left of each limit then.

        Nothing is returned where the ledger does not answer soon, or where it was settled before.
        """
        if self._grant.settled:
            return ()
        standings = await self._ledger.settled(self._grant, self._taken(usage), within=_TOLD_SECONDS)
        return tuple(
            Left(one.rule.metric, one.rule.per, one.rule.pool, one.rule.cap, one.left, one.back_at)
            for one in standings
        )

    def end(self, usage: Usage | None) -> None:
        """Settle: `usage` is what the answer took, None for one that never came."""
        if self._grant.settled:
            return
        if self._written:
            self._ledger.settle(self._grant, self._taken(usage))
        else:
            self._ledger.settle(self._grant, sent=False)

    def _taken(self, usage: Usage | None) -> dict[Metric, float]:
        """Return what is to be settled, and learn from it how many tokens the question had."""
        # A service may have counted what it was sent, whatever became of it then.
        asked, answered = self._tokens, 0
        if usage is not None:
            asked, answered = usage.input_tokens, usage.output_tokens
            if usage.estimated:
                asked = max(asked, self._tokens)
            elif self._estimate is not None:
                _estimators.get().observe(self._model, self._estimate, asked)
        taken = spent_of({"input tokens": float(asked), "output tokens": float(answered)})
        if usage is not None:  # what a service counts as a request comes in, it does not give back
            for rule in self._rules:
                if rule.counted == "admission":
                    taken.pop(rule.metric, None)
        return taken

    def _end_of_day(self, error: ProviderError) -> datetime | None:
        """Return when a day's allowance comes back that the service gives no time for."""
        if error.kind != "day":
            return None
        zone = next((rule.zone for rule in self._rules if rule.per == "day" and rule.reset == "fixed"), None)
        if zone is None:
            return None
        tomorrow = datetime.now(zone_named(zone)) + timedelta(days=1)
        return tomorrow.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)


@cache
def zone_named(name: str) -> tzinfo:
    """Return a time zone by its name, "UTC" without a look at files."""
    return UTC if name == "UTC" else ZoneInfo(name)


_estimators: PerProcess[Estimator] = PerProcess(Estimator)
"""What services have counted corrects the estimates of all backends of a process."""
_keys: PerProcess[WeakKeyDictionary[Ledger, dict[str, str]]] = PerProcess(WeakKeyDictionary)


def _check_key(ledger: Ledger, name: str, key: str) -> None:
    """Raise `UsageError` for a second key of one service: several keys are no way around its limits."""
    known = _keys.get().setdefault(ledger, {})
    if known.setdefault(name, key) != key:
        raise UsageError(
            "This process has asked with another key of the same service. Several keys of one person are no "
            "way around a service's limits; for two accounts that are rightly two, give each a Quota with a "
            "name of its own.",
            provider=name,
        )
