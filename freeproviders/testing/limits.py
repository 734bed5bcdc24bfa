"""The limits of a service, counted for all its clients: per model or pool, key or address."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, cast, get_args

from freeproviders.catalogue.rows import Limit, seconds_of
from freeproviders.testing.meters import Count, Meter, Standing, Use, exact, meter_of
from freeproviders.wire.limits import AllowanceHeaders, Metric

Caps = Mapping[str, float] | Sequence[Limit] | bool
"""The type of `limits=`: other caps as {"requests/minute": 3}, other lines, or False for none."""
METRICS: Final[tuple[str, ...]] = get_args(Metric)


@dataclass(frozen=True, slots=True)
class Asker:
    """A client: the account's key, "" without one, and the internet address."""

    key: str
    address: str


@dataclass(frozen=True, slots=True)
class Counts:
    """The number of calls admitted and refused by limits so far, and what each limit has counted."""

    admitted: int
    refused: int
    limits: tuple[Count, ...]

    def of(self, name: str, pool: str = "") -> Count:
        """Find the count of "requests/minute" and its like; of several lines it is the tightest.

        Raises `LookupError` where nothing was counted, or in several pools and none is named.
        """
        found = [count for count in self.limits if _name(count.limit) == name and pool in {"", count.pool}]
        if len({(count.pool, count.account) for count in found}) != 1:
            had = ", ".join(f"{_name(count.limit)} of {count.pool}" for count in self.limits) or "none"
            raise LookupError(f"No single count of {name!r} {pool}: there are {had}.")
        return min(found, key=lambda count: count.limit.cap)


class Exceeded(Exception):  # noqa: N818 - an answer, not an error of the replica's
    """A limit has no room for a call."""

    def __init__(self, standing: Standing) -> None:
        super().__init__(standing.limit)
        self.standing = standing


class Ticket:
    """The admission of one call: what it has taken from each limit."""

    def __init__(
        self, limits: Limits, taken: Iterable[tuple[Limit, Meter, Use]], prompt: int, requests: int
    ) -> None:
        self._limits = limits
        self._taken = list(taken)
        self._tokens = (prompt, 0)
        self._requests = requests
        self._closed = False

    def tokens(self, prompt: int, answer: int) -> None:
        """Note the tokens of the call so far, which are settled by `close`."""
        self._tokens = (prompt, answer)

    def close(self) -> None:
        """Settle the tokens and end what the call occupied; further calls do nothing."""
        if not self._closed:
            self._closed = True
            self._limits.settle(self._taken, *self._tokens, self._requests)


class Limits:
    """The limits of a service, counted for all its clients.

    `charges` is what one call costs in metrics that no request shows, as {"neurons": 40}; those
    that it does not name are not counted. `reserve` True takes the whole `max_tokens` of a request
    in advance, as some services do. May be read on any thread.
    """

    def __init__(
        self,
        limits: Iterable[Limit],
        clock: Callable[[], float],
        *,
        charges: Mapping[str, float] | None = None,
        reserve: bool = False,
    ) -> None:
        self.lines = tuple(limits)
        self._clock = clock
        self._charges = charges or {}
        self._reserve = reserve
        self._meters: dict[tuple[int, str, str], Meter] = {}
        self._accounts: dict[str, int] = {}
        self._admitted = self._refused = 0
        self._lock = threading.Lock()

    def admit(self, model: str, asker: Asker, prompt: int = 0, answer: int = 0, requests: int = 1) -> Ticket:
        """Take from all limits what a call of `prompt` and at most `answer` tokens needs.

        `requests` is how many requests it counts for. All or nothing. Raises `Exceeded` with the
        limit that would be back last.
        """
        with self._lock:
            now = self.now()
            found = [
                (meter, amount)
                for meter in self._of(model, asker)
                if (amount := self._amount(meter.limit, prompt, answer if self._reserve else 0, requests))
                is not None
            ]
            short = [(meter.standing(now, amount), meter) for meter, amount in found]
            short = [(standing, meter) for standing, meter in short if not standing.fits]
            if short:
                self._refused += 1
                for _, meter in short:
                    meter.refused += 1
                raise Exceeded(max((standing for standing, _ in short), key=_lateness))
            self._admitted += 1
            return Ticket(
                self,
                [(meter.limit, meter, meter.take(now, amount)) for meter, amount in found],
                prompt,
                requests,
            )

    def standings(self, model: str, asker: Asker) -> list[Standing]:
        """Tell how the limits of a model stand for a client."""
        with self._lock:
            now = self.now()
            return [meter.standing(now, Fraction(0)) for meter in self._of(model, asker)]

    def now(self) -> Fraction:
        """Read the clock."""
        return exact(self._clock())

    def counts(self) -> Counts:
        """Tell what was counted so far."""
        with self._lock:
            now = self.now()
            counts = [meter.count(now, pool, account) for (_, pool, account), meter in self._named()]
            return Counts(self._admitted, self._refused, tuple(counts))

    def settle(
        self, taken: Iterable[tuple[Limit, Meter, Use]], prompt: int, answer: int, requests: int
    ) -> None:
        """Put what a call has used in the place of what it has taken."""
        with self._lock:
            now = self.now()
            for limit, meter, use in taken:
                meter.settle(now, use, self._amount(limit, prompt, answer, requests) or Fraction(0))

    def _of(self, model: str, asker: Asker) -> list[Meter]:
        """Find the meters of a request, and make those that are new."""
        meters = []
        for number, limit in enumerate(self.lines):
            if not limit.counts(model) or limit.keyless not in {None, not asker.key}:
                continue
            owner = asker.key if limit.by == "account" and asker.key else f"ip {asker.address}"
            if owner == asker.key:
                self._accounts.setdefault(owner, len(self._accounts) + 1)
            place = (number, model if limit.scope == "model" else limit.scope, owner)
            if place not in self._meters:
                self._meters[place] = meter_of(limit)
            meters.append(self._meters[place])
        return meters

    def _named(self) -> Iterable[tuple[tuple[int, str, int], Meter]]:
        for (number, pool, owner), meter in self._meters.items():
            yield (number, pool, self._accounts.get(owner, 0)), meter

    def _amount(self, limit: Limit, prompt: int, answer: int, requests: int) -> Fraction | None:
        """Return what a call takes of a limit, None where that is not known."""
        match limit.metric:
            case "requests":
                return Fraction(requests)
            case "concurrency":
                return Fraction(1)
            case "tokens":
                return Fraction(prompt + answer)
            case "input tokens":
                return Fraction(prompt)
            case "output tokens":
                return Fraction(answer)
            case metric:
                return exact(self._charges[metric]) if metric in self._charges else None


def changed(
    limits: Iterable[Limit], caps: Caps, announced: Iterable[AllowanceHeaders] = ()
) -> tuple[Limit, ...]:
    """Apply `limits=` to the lines of a row.

    A name of `caps` that the row has no line for becomes a rolling window, of the scope in which the
    row's headers announce it, else of the whole account. Raises `ValueError` on a name or a cap that is none.
    """
    if caps is True:
        return tuple(limits)
    if caps is False:
        return ()
    if not isinstance(caps, Mapping):
        return tuple(caps)
    for name, cap in caps.items():
        if not isinstance(cap, int | float) or isinstance(cap, bool) or cap < 0:
            raise ValueError(f"limits: the cap of {name!r} must be a number from 0 up, not {cap!r}.")
    lines = [replace(limit, cap=caps.get(_name(limit), limit.cap)) for limit in limits]
    for name in caps.keys() - {_name(limit) for limit in lines}:
        metric, _, per = name.partition("/")
        if metric not in METRICS or (bool(per) == (metric == "concurrency")):
            raise ValueError(f'limits has {name!r}: a limit is named as "requests/minute" or "concurrency".')
        if per:
            seconds_of(per)
        line = Limit(metric=cast("Metric", metric), per=per, cap=caps[name])
        scope = next((one.scope for one in announced if is_about(one, line, any_scope=True)), "")
        lines.append(replace(line, scope=scope or line.scope))
    return tuple(lines)


def is_about(names: AllowanceHeaders, limit: Limit, *, any_scope: bool = False) -> bool:
    """Return whether headers announce a limit; "" for a period or scope stands for any."""
    return (
        names.metric == limit.metric
        and (not names.per or (bool(limit.per) and seconds_of(names.per) == seconds_of(limit.per)))
        and (any_scope or names.scope in {"", limit.scope})
    )


def _name(limit: Limit) -> str:
    return f"{limit.metric}/{limit.per}" if limit.per else limit.metric


def _lateness(standing: Standing) -> tuple[bool, Fraction]:
    """Order refusals: what time does not mend comes last, but a call too many ends by itself."""
    never = standing.back_at is None and standing.limit.metric != "concurrency"
    return never, standing.back_at or Fraction(0)
