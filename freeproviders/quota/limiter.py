"""A service's limits for clients that ask before each request and tell little after it.

Such a client has no place to say when a request is written or how it ended. So a place of
concurrency is never taken, since it would never be given back, and a request counts as arrived within
`Ask.transit` of its reservation.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from multidict import CIMultiDict

from freeproviders.catalogue import Service, catalogue
from freeproviders.catalogue.guard import key_variables
from freeproviders.catalogue.rows import Limit
from freeproviders.errors import FreeProvidersError, UsageError
from freeproviders.naming import argument
from freeproviders.quota.interface import Ask, Grant, Ledger
from freeproviders.quota.meter import Meter, Ticket
from freeproviders.quota.quota import Quota
from freeproviders.quota.rules import claims_of, spent_of
from freeproviders.tokens.upper import Estimate, upper_estimate, upper_tokens
from freeproviders.wire.failure import read_failure

if TYPE_CHECKING:
    from freeproviders.types import ChatRequest

WAIT_SECONDS: Final = 90.0
"""How long a request waits for room unless told: as long as a minute's limit may make it wait."""


class Limiter:
    """The limits of one account at one service, of one model where each model has its own.

    Args:
        service: a service of the catalogue, as "groq"; with `limits` any other name as well.
        limits: rows of `Limit` or mappings, in place of the service's own.
        model: the model that is asked, "" is the service's default model.
        key: the account's key; None is the one of the environment that the service's row names.
        ledger: as for `Quota`.
        keep: as for `Quota`.
        tokens_per_request: an upper estimate of a request's tokens, question and answer. 0 leaves
            limits of tokens to the service.
        wait_up_to: seconds that a request waits for room at most.
        transit: as for `Quota`, counted from the reservation.

    Raises:
        UnknownServiceError: the catalogue has no such service, and there are no `limits`.
        UsageError: the service has no limits in the catalogue, or an argument cannot work.
    """

    def __init__(
        self,
        service: str,
        limits: Iterable[Limit | Mapping[str, Any]] | None = None,
        *,
        model: str = "",
        key: str | None = None,
        ledger: str | Path | Ledger = "",
        keep: float = 0.0,
        tokens_per_request: int = 0,
        wait_up_to: float = WAIT_SECONDS,
        transit: float | None = None,
    ) -> None:
        if not tokens_per_request >= 0:
            raise UsageError(f"tokens_per_request must be 0 or more, not {tokens_per_request!r}.")
        if not wait_up_to >= 0:
            raise UsageError(
                f"{argument('wait_up_to')} must be a number of seconds, 0 or more, not {wait_up_to!r}."
            )
        row = _row(service, needed=limits is None)
        if limits is None and row is not None and not row.limit:
            raise UsageError(
                "The catalogue knows no limits of it: pass limits=[...], rows as "
                '{"metric": "requests", "per": "minute", "cap": 30}.',
                provider=row.name,
            )
        self.service = service if row is None else row.id
        self.model = model or ("" if row is None else row.default_model)
        self.names_model = bool(model)
        self.tokens_per_request = tokens_per_request
        self.wait_up_to = wait_up_to
        self._row = row
        account = (_key(row) if key is None else key.strip()) or ""
        self._kept = Quota(limits, name=self.service, ledger=ledger, keep=keep, key=account, transit=transit)
        self.quota = self._kept
        if limits is None and row is not None:  # a caller without the row needs its limits, too
            self.quota = Quota(
                row.limit, name=self.service, ledger=ledger, keep=keep, key=account, transit=transit
            )
        self._meter: Meter | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.service!r}, model={self.model!r})"

    async def reserve(self, tokens: int = 0, *, model: str = "", wait_up_to: float | None = None) -> Grant:
        """Reserve room for one request, of so many tokens at most; see `Ledger.reserve`."""
        if self._meter is None:
            await asyncio.to_thread(self._ready)
        meter = self._ready()
        try:
            return await meter.ledger.reserve(
                self._ask(meter, tokens, model), wait_up_to=self._wait(wait_up_to)
            )
        except FreeProvidersError as error:
            raise error.about(self.service, model or self.model) from error.__cause__

    def reserve_sync(self, tokens: int = 0, *, model: str = "", wait_up_to: float | None = None) -> Grant:
        """Reserve room for one request, on a thread that may block."""
        meter = self._ready()
        try:
            return meter.ledger.reserve_sync(
                self._ask(meter, tokens, model), wait_up_to=self._wait(wait_up_to)
            )
        except FreeProvidersError as error:
            raise error.about(self.service, model or self.model) from error.__cause__

    async def reserve_for(self, texts: Sequence[str]) -> Grant:
        """Reserve room for one request that sends texts to be embedded."""
        if self._meter is None:
            await asyncio.to_thread(self._ready)  # which makes estimates ready, too
        return await self.reserve(self._tokens_of(texts))

    def reserve_for_sync(self, texts: Sequence[str]) -> Grant:
        """Do as `reserve_for`, on a thread that may block."""
        self._ready()
        return self.reserve_sync(self._tokens_of(texts))

    def received(self, grant: Grant) -> None:
        """Note that an answer has begun: its request has arrived."""
        self._ready().ledger.received(grant)

    def refused(self, grant: Grant, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Take over what an answer with an error status says of limits, before `settle`."""
        meter, row = self._ready(), self._row
        error = read_failure(
            status,
            CIMultiDict(headers),
            body,
            signs=() if row is None else row.error,
            announces=() if row is None else row.headers.allowance,
        )
        ticket = Ticket(meter.ledger, grant, [claim.rule for claim in grant.ask.claims], self.model, None)
        ticket.received(error.allowances)
        ticket.refused(error)

    def settle(self, grant: Grant, tokens: tuple[int, int] | None = None) -> None:
        """End a request that took so many tokens in and out; None: as many as were reserved."""
        ledger = self._ready().ledger
        if tokens is None:
            ledger.settle(grant)
        else:
            asked, answered = tokens
            ledger.settle(grant, spent_of({"input tokens": asked, "output tokens": answered}))

    def _ready(self) -> Meter:
        """Return the way to the ledger, which imports modules and reads files when it is made."""
        if self._meter is None:
            self._meter = self._kept.meter(self.service, self._row, None, _untold)
        assert self._meter is not None  # noqa: S101 - there are limits
        return self._meter

    def _ask(self, meter: Meter, tokens: int, model: str) -> Ask:
        meter.check_account()
        tokens = tokens or self.tokens_per_request
        rules = meter.rules_of(self.model if self.names_model else model or self.model)
        return Ask(
            claims=claims_of(
                [rule for rule in rules if rule.metric != "concurrency"],
                {"tokens": tokens, "input tokens": tokens, "output tokens": tokens} if tokens else {},
            ),
            account=meter.account,
            keep=meter.keep,
            transit=meter.transit,
        )

    def _tokens_of(self, texts: Sequence[str]) -> int:
        return sum([upper_tokens(text, self.model) for text in texts])

    def _wait(self, wait_up_to: float | None) -> float:
        return self.wait_up_to if wait_up_to is None else wait_up_to


class SharedLimiter:
    """The part of a framework's rate limiter that is the same in each: a `Limiter` made of arguments.

    Copies are the object itself, so that they share the limits; a pickled one is made anew of its
    arguments.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        limits = arguments["limits"]  # which may be read only once
        self._arguments = {**arguments, "limits": None if limits is None else tuple(limits)}
        self._limiter = Limiter(**self._arguments)

    @property
    def service(self) -> str:
        """The name under which requests are counted."""
        return self._limiter.service

    @property
    def model(self) -> str:
        """The model whose limits are kept, unless the framework tells of another."""
        return self._limiter.model

    @property
    def quota(self) -> Quota:
        """The same limits for the backends and models of freeproviders."""
        return self._limiter.quota

    @property
    def wait_up_to(self) -> float:
        """Seconds that a call waits for room at most."""
        return self._limiter.wait_up_to

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.service!r}, model={self.model!r})"

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (type(self), self._arguments)


def _remade(cls: Callable[..., SharedLimiter], arguments: Mapping[str, Any]) -> SharedLimiter:
    return cls(**arguments)


def _row(name: str, *, needed: bool) -> Service | None:
    """Find a service of the catalogue; None where there is none of that id, and none is needed."""
    shelf = catalogue()
    return shelf.service(name) if needed or shelf.has(name) else None


def _key(row: Service | None) -> str:
    """Return the key of the environment for a service, "" where there is none."""
    names = () if row is None else key_variables(row)
    return next((key for name in names if (key := os.environ.get(name, "").strip())), "")


def _untold(request: ChatRequest) -> Estimate:
    """Estimate nothing: tokens come with each reservation."""
    del request
    return upper_estimate("")
