"""What an error says of the member that gave it: nothing, a fault, a limit, or that it is out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

from freeproviders.errors import (
    AuthenticationError,
    BadRequestError,
    BlockedError,
    ContentFilterError,
    LedgerError,
    NoProviderError,
    NotFoundError,
    NotInPlanError,
    OutputError,
    OverloadedError,
    PermissionDeniedError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    QuotaExceededError,
    QuotaSpentError,
    QuotaTooSmallError,
    RateLimitError,
    RedirectError,
    ResponseError,
    RetiredModelError,
    ServerError,
    UsageError,
)
from freeproviders.router.breaker import DAY, HOUR, MONTH, BarKind

Where = Literal["service", "pool", "model"]

FAULT_SECONDS: Final = 5.0
"""How long a member is not asked after the first fault; each further one doubles it."""
LONGEST_FAULT_SECONDS: Final = 300.0
LONGEST_LOCAL_SECONDS: Final = 30.0
"""A server of this machine is looked after more often: the user may just have started it."""
LONGEST_SAID_SECONDS: Final = 25 * HOUR
"""The most that is believed of a service that says when to come back; of a month, 31 days."""

_UNSAID: Final[Mapping[str, tuple[float, float]]] = {
    "": (1.0, 300.0),
    "minute": (15.0, 60.0),
    "hour": (300.0, HOUR),
    "day": (HOUR, DAY),
    "month": (HOUR, DAY),
    "credit": (HOUR, DAY),
    "concurrency": (1.0, 30.0),
    "upstream": (5.0, 300.0),
}
"""Seconds of a cool-down where the service says no time: at first, and at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a member's row says that its health needs.

    Attributes:
        pools: the pools of limits that the model shares with others.
        ends: by "day" and "month", the time zone at whose calendar's border the allowance comes back.
        is_local: whether it answers on this machine.
    """

    pools: frozenset[str] = frozenset()
    ends: Mapping[str, str] = field(default_factory=dict)
    is_local: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A bar that an error puts up.

    Attributes:
        where: what it bars, of the member; `pool` names the pool.
        kind: which bar.
        seconds: its length as the service said it, None where it did not.
        base: its length without that, at the first strike.
        longest: the most that it lasts.
        probed: whether one probe decides at its end.
    """

    where: Where
    kind: BarKind
    seconds: float | None = None
    base: float = 0.0
    longest: float = DAY
    probed: bool = True
    pool: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an error says of a member.

    Attributes:
        kind: the name under which it is counted, "" where nothing was sent.
        counts: whether it counts against the model, as one of several faults that shut it.
        bar: what it bars at once, None for nothing.
        service_answered: whether the way to the service has worked.
        model_answered: whether the model itself has given an answer, if not one that was wanted.
    """

    kind: str = ""
    counts: bool = False
    bar: Sentence | None = None
    service_answered: bool = False
    model_answered: bool = False


_NOTHING: Final = Verdict()


def verdict_of(error: BaseException, facts: Facts, now: datetime | None = None) -> Verdict:
    """Judge an error that ended an attempt."""
    match error:
        case QuotaSpentError() | QuotaTooSmallError() | UsageError() | LedgerError():
            return _NOTHING
        case asyncio.CancelledError() | GeneratorExit() | KeyboardInterrupt() | SystemExit():
            return _NOTHING
        case BadRequestError():
            return Verdict(kind="request", service_answered=True)
        case ContentFilterError():
            return Verdict(kind="filter", service_answered=True, model_answered=True)
        case OutputError():
            return Verdict(kind="output", service_answered=True, model_answered=True)
        case RateLimitError():
            return Verdict(
                kind="limit", bar=_limit(error, facts, now or datetime.now(UTC)), service_answered=True
            )
        case AuthenticationError():
            return _out("key", "service", HOUR)
        case NotInPlanError():
            return _out("plan", "model", DAY)
        case PermissionDeniedError():
            return _out("permission", "service" if error.kind == "region" else "model", HOUR)
        case RetiredModelError():
            return _out("retired", "model", DAY)
        case NotFoundError():
            return _out("not found", "model", HOUR)
        case RedirectError():
            return _out("redirect", "service", HOUR)
        case NoProviderError():
            seconds = _said(error, now or datetime.now(UTC))
            if seconds is None:
                return Verdict(kind="server", counts=True)
            bar = Sentence(where="model", kind="limit", seconds=seconds, probed=False)
            return Verdict(kind="limit", bar=bar)
        case ProviderConnectionError() | ProviderTimeoutError() if error.phase == "connect":
            longest = LONGEST_LOCAL_SECONDS if facts.is_local else LONGEST_FAULT_SECONDS
            return Verdict(
                kind="connection",
                bar=Sentence(where="service", kind="fault", base=FAULT_SECONDS, longest=longest),
            )
        case ProviderError():
            return _fault(error, now)
        case _:  # a local engine's, or of a backend that is not ours
            return Verdict(kind="other", counts=True)


def _fault(error: ProviderError, now: datetime | None) -> Verdict:
    """Judge a fault that may pass."""
    answered = error.status is not None or isinstance(error, ResponseError | BlockedError)
    match error:
        case ProviderTimeoutError():
            kind = "timeout"
        case ServerError():
            kind = "overload" if isinstance(error, OverloadedError) else "server"
        case BlockedError():
            kind = "blocked"
        case ResponseError():
            kind = "answer"
        case _:
            kind = "connection"
    seconds = _said(error, now or datetime.now(UTC))
    bar = None
    if seconds and isinstance(error, ServerError):
        bar = Sentence(where="model", kind="limit", seconds=seconds, longest=HOUR, probed=False)
    return Verdict(kind=kind, counts=True, bar=bar, service_answered=answered)


def _out(kind: str, where: Where, seconds: float) -> Verdict:
    """Return the verdict that waiting is no help; it is forgotten after a day at most."""
    bar = Sentence(where=where, kind="out", base=seconds, longest=DAY)
    return Verdict(kind=kind, bar=bar, service_answered=True)


def _limit(error: RateLimitError, facts: Facts, now: datetime) -> Sentence:
    """Return for how long the service wants to be left alone, and what that is about."""
    where: Where = "model"
    pool = ""
    if error.scope == "account" or (error.kind == "credit" and not error.scope):
        where = "service"
    elif error.scope not in {"", "model"}:
        where, pool = "pool", error.scope
    month = error.kind in {"month", "credit"}
    seconds = _said(error, now)
    kind = error.kind or ("day" if isinstance(error, QuotaExceededError) else "")
    if seconds is None and (zone := facts.ends.get(kind)) is not None:
        seconds = _until_border(kind, zone, now)
    base, longest = _UNSAID.get(kind, _UNSAID[""])
    if seconds is not None:
        longest = MONTH if month else LONGEST_SAID_SECONDS
    probed = seconds is None and kind != "concurrency"
    return Sentence(
        where=where, kind="limit", seconds=seconds, base=base, longest=longest, probed=probed, pool=pool
    )


def _said(error: ProviderError, now: datetime) -> float | None:
    """Return the seconds that the service wants to be left alone, the longer where it says two."""
    said = [] if error.retry_after is None else [error.retry_after]
    if error.soonest is not None:
        said.append((error.soonest - now).total_seconds())
    return max(0.0, *said) if said else None


def _until_border(unit: str, zone: str, now: datetime) -> float:
    from freeproviders.quota.windows import borders_around  # noqa: PLC0415 - time zones are rarely needed

    moment = now.timestamp()
    return (
        next((border for border in borders_around(unit, zone, moment) if border > moment), moment + DAY)
        - moment
    )
