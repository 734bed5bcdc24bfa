"""When a batch will have ended: by what limits still give, and by how quickly answers came.

`seconds_for` is pure. What it reckons with is a `Supply` for each service: its limits, as the ledger
tells them, and its speed. `supplies_of` looks them up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from math import floor, inf, isfinite
from typing import TYPE_CHECKING, Final

from freeproviders.backend import Backend
from freeproviders.quota.interface import Ask, Claim

if TYPE_CHECKING:
    from freeproviders.quota.interface import Rule, Standing
    from freeproviders.quota.meter import Meter

LONGEST_SECONDS: Final = 10 * 365 * 86_400.0
"""An end that is later than this is none."""
_STEPS: Final = 60
_ALMOST: Final = 1e-9
_PARTS: Final = 4
"""Parts of what was taken of a limit that are told apart by when they come back."""
_TRANCHES: Final = 8
"""How many refills are looked back at; what is behind more of them is behind all."""

Limit = tuple[str, str, str, str]
"""What tells a limit from all others."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One limit, in rows.

    Attributes:
        cap: the rows of a period.
        left: those that may be asked now.
        period: its seconds.
        refills: what it gives within a period from now if all is asked at once: in how many seconds,
            and how many rows. It gives the same again in each further period.
    """

    cap: float
    left: float
    period: float
    refills: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Supply:
    """What one service gives.

    Attributes:
        name: the service's name.
        bounds: its limits.
        speed: the rows a second that it answers where no limit is in the way.
        opens: the seconds until it may be asked at all.
    """

    name: str
    bounds: tuple[Bound, ...] = ()
    speed: float = inf
    opens: float = 0.0

    def rows_by(self, seconds: float) -> float:
        """Return how many rows it can have answered by then, from now on."""
        if seconds < self.opens:
            return 0.0
        bounds = sorted(self.bounds, key=lambda one: one.period)
        return _rows_by(bounds, self.speed, seconds, self.opens)


def seconds_for(rows: float, supplies: Iterable[Supply], speed: float = inf) -> float:
    """Return in how many seconds so many rows can be answered, `inf` where they never are.

    Args:
        rows: how many are left.
        supplies: the services that answer, all of them side by side.
        speed: the rows a second that can be asked of all together.
    """
    if rows <= 0:
        return 0.0
    known = list(supplies)

    def answered(seconds: float) -> float:
        return min(speed * seconds, sum(one.rows_by(seconds) for one in known))

    reached = rows * (1 - 1e-9)
    latest = 1.0
    while answered(latest) < reached:
        latest *= 2
        if latest > LONGEST_SECONDS:
            return inf
    earliest = 0.0
    for _ in range(_STEPS):
        middle = (earliest + latest) / 2
        if answered(middle) < reached:
            earliest = middle
        else:
            latest = middle
        if latest - earliest < 1e-3 * latest and latest - earliest < 1e-3:
            break
    return latest


def _rows_by(bounds: Sequence[Bound], speed: float, seconds: float, opens: float) -> float:
    """Return the rows by a time, where the limits are as they stand now.

    What a limit of a longer period gives at once is asked within those of shorter ones. So the rows
    by a time are the fewest that any moment before it allows: what had been given until that moment,
    and what the shorter limits let through from there on.
    """
    if not bounds:
        return speed * (seconds - opens) if isfinite(speed) else inf
    *inner, outer = bounds
    allowed = _rows_by(inner, speed, seconds, opens)
    given = outer.left
    for at, amount in _refills(outer, seconds):
        allowed = min(allowed, given + _rows_afresh(inner, speed, seconds - max(at, opens)))
        given += amount
    return min(allowed, given)


def _refills(bound: Bound, until: float) -> Iterable[tuple[float, float]]:
    """Return when a limit gives how much, up to a time: the last refills one by one, others in one."""
    steps = sorted([step for step in bound.refills if step[1] > 0])
    if not steps or bound.period <= 0:
        return
    rounds = max(0, floor((until - steps[0][0]) / bound.period) - _TRANCHES)
    if rounds and steps[0][0] <= until:
        total = sum(amount for _, amount in steps)
        yield steps[0][0], rounds * total
    for number in count(rounds):
        for at, amount in steps:
            if (when := at + number * bound.period) <= until:
                yield when, amount
        if steps[0][0] + (number + 1) * bound.period > until:
            return


def _rows_afresh(bounds: Sequence[Bound], speed: float, seconds: float) -> float:
    """Return the rows within some seconds where none of the limits was used before."""
    if seconds <= 0:
        return 0.0
    if not bounds:
        return speed * seconds if isfinite(speed) else inf
    *inner, outer = bounds
    periods = floor(seconds / outer.period)
    whole = min(outer.cap, _rows_afresh(inner, speed, outer.period))
    rest = min(outer.cap, _rows_afresh(inner, speed, seconds - periods * outer.period))
    return periods * whole + rest


# --- what there is ---


@dataclass(frozen=True, slots=True)
class RowCost:
    """What a row takes on the average: requests, and tokens of its question and its answer."""

    requests: float = 1.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0

    def of(self, metric: str) -> float:
        """Return how much of a metric a row takes, 0 for an unknown metric."""
        match metric:
            case "requests":
                return self.requests
            case "tokens":
                return self.input_tokens + self.output_tokens
            case "input tokens":
                return self.input_tokens
            case "output tokens":
                return self.output_tokens
            case _:
                return 0.0


async def supplies_of(
    backend: Backend, cost: RowCost, *, keep: float = 0.0, speed: float = inf
) -> list[Supply]:
    """Look up what a backend, or each member of a router, has left of its limits.

    Args:
        backend: the backend that is asked.
        cost: what a row takes.
        keep: the share of a day's limits that is left to others.
        speed: the rows a second that each answers where no limit is in the way.
    """
    from freeproviders.quota.windows import meaning_of  # noqa: PLC0415 - off the start

    found: list[Supply] = []
    taken: set[Limit] = set()
    for member in backend.asked_backends():
        meter = await member.metered()
        name = " ".join(filter(None, (member.name, member.model)))
        if meter is None:
            found.append(Supply(name, speed=speed))
            continue
        rules = [rule for rule in meter.rules_of(member.model) if isfinite(rule.cap)]
        places = {place_of(rule) for rule in rules}
        if places & taken:  # a pool that a better model of the service has: it gives nothing more
            continue
        taken |= places
        standings = await meter.ledger.standings(meter.name)
        # A limit of the calendar comes back at its border, whole.
        used = [
            one
            for one in standings
            if one.used and place_of(one.rule) in places and meaning_of(one.rule).kind == "rolling"
        ]
        freed = {place_of(one.rule): await _freed(meter, one) for one in used}
        share = max(keep, meter.keep)
        now = datetime.now(UTC)
        found.append(supply_of(name, rules, standings, cost, freed, keep=share, speed=speed, now=now))
    return found


async def _freed(meter: Meter, standing: Standing) -> list[datetime]:
    """Ask the ledger when each part of what was taken of a limit may be taken again."""
    rule, found = standing.rule, []
    for part in range(1, _PARTS + 1):
        amount = min(rule.cap, standing.left + standing.used * part / _PARTS)
        when = await meter.ledger.soonest(Ask(claims=(Claim(rule, amount),), account=meter.account))
        found.append(when or datetime.now(UTC))
    return found


def supply_of(
    name: str,
    rules: Sequence[Rule],
    standings: Iterable[Standing],
    cost: RowCost,
    freed: Mapping[Limit, Sequence[datetime]],
    *,
    keep: float,
    speed: float,
    now: datetime,
) -> Supply:
    """Make the supply of a service's model of its rules, and of what was counted of them.

    `freed` says of a limit when equal parts of what was taken come back.
    """
    counted = {place_of(one.rule): one for one in sorted(standings, key=lambda one: -one.left)}
    pools = {rule.pool for rule in rules}
    shut = [
        (one.back_at - now).total_seconds()
        for one in counted.values()
        if not one.rule.per and not one.left and one.back_at is not None and one.rule.pool in pools
    ]
    bounds = [
        _bound(
            rule,
            counted.get(place_of(rule)),
            freed.get(place_of(rule), ()),
            amount=amount,
            keep=keep,
            now=now,
        )
        for rule in rules
        if rule.per and (amount := cost.of(rule.metric)) > 0
    ]
    return Supply(name, tuple(bounds), speed, max([0.0, *shut]))


def _bound(
    rule: Rule,
    standing: Standing | None,
    freed: Sequence[datetime],
    *,
    amount: float,
    keep: float,
    now: datetime,
) -> Bound:
    from freeproviders.quota.windows import LONG_SECONDS, Now, meaning_of  # noqa: PLC0415 - off the start

    rule = rule if standing is None else standing.rule
    meaning = meaning_of(rule)
    kept = rule.cap * keep if meaning.period >= LONG_SECONDS else 0.0
    # What is less than a row lets none through.
    cap = float(floor(max(0.0, rule.cap - kept) / amount + _ALMOST))
    left = cap if standing is None else float(floor(max(0.0, standing.left - kept) / amount + _ALMOST))
    if meaning.kind == "calendar":
        moment = now.timestamp()
        refills = [(meaning.free_at(moment, Now(moment)) - moment, cap)]
    else:
        refills = [(max(0.0, (when - now).total_seconds()), (cap - left) / len(freed)) for when in freed]
        refills.append((meaning.period, left))
    return Bound(cap, left, meaning.period, tuple(refills))


def place_of(rule: Rule) -> Limit:
    """Return what tells a limit from all others."""
    return rule.service, rule.pool, rule.metric, rule.per
