"""The ledger of this package, used as its interface says."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.quota.driver import Driver
from benchmarks.quota.queue import Item
from benchmarks.quota.service import now
from benchmarks.quota.tally import Limits
from freeproviders.errors import LedgerWarning, QuotaSpentError
from freeproviders.quota.interface import Ask, Claim, Grant, Ledger, Rule
from freeproviders.quota.opening import open_ledger
from freeproviders.wire.limits import AllowanceHeaders, read_allowances


class Ours(Driver):
    """A ledger that knows the caps, and neither the meaning of the limits nor their phase."""

    async def open(self) -> None:
        # A ledger that goes on with another file, or alone, would be judged by what it is not.
        warnings.simplefilter("error", LedgerWarning)
        self.ledger = self.make()
        self.per = f"{self.job.queue.window // 1_000_000} seconds"
        self.dialect = [
            AllowanceHeaders(
                metric, self.per, f"x-limit-{metric}", f"x-remaining-{metric}", f"x-reset-{metric}", "seconds"
            )
            for metric in ("requests", "tokens")
        ]
        self.rules = {
            name: (
                self.rule(name, one, "requests", "admission"),
                self.rule(name, one, "tokens", "admission" if one.counted == "admission" else "end"),
            )
            for name, one in self.job.limits.items()
        }
        await self.ledger.standings()

    def make(self) -> Ledger:
        raise NotImplementedError

    def rule(self, name: str, limits: Limits, metric: Any, counted: Any) -> Rule:
        """Make a rule. What a service announces is of use to those who know what it means."""
        return Rule(
            service=name,
            pool="m",
            metric=metric,
            per=self.per,
            cap=getattr(limits, metric),
            counted=counted,
            reset=limits.meaning if limits.announce else "unknown",
        )

    async def admit(self, name: str, item: Item) -> Grant:
        requests, tokens = self.rules[name]
        ask = Ask(
            claims=(Claim(requests), Claim(tokens, item.most)),
            account="key",
            transit=self.job.queue.transit,
            lease=self.job.lease,
        )
        try:
            return await self.ledger.reserve(ask, wait_up_to=max(0.0, (self.end - now()) / 1e6))
        except QuotaSpentError as error:
            raise TimeoutError(str(error)) from error

    def sent(self, ticket: Grant) -> None:
        self.ledger.sent(ticket)

    def received(self, ticket: Grant, fields: dict[str, str]) -> None:
        self.ledger.received(ticket)
        if said := read_allowances(fields, self.dialect, datetime.now(UTC)):
            self.ledger.adopt(ticket, said)

    def settle(self, ticket: Grant, used: int) -> None:
        claim = ticket.ask.claims[1]
        if used and claim.rule.counted == "admission":
            used = claim.amount  # the service has taken it all as the request came in
        self.ledger.settle(ticket, {"tokens": used})

    async def close(self) -> None:
        self.ledger.close()


class OverSQLite(Ours):
    """Over a file that all processes open."""

    def make(self) -> Ledger:
        return open_ledger(Path(self.job.folder, "ledger.sqlite"))


class OverRedis(Ours):
    """Over a server that all processes ask."""

    def make(self) -> Ledger:
        return open_ledger(self.job.redis)
