"""The decisions of a ledger: what is granted, until when it counts, and what announcements change.

No input or output: a store reads and writes the `Pages`, in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from math import floor, inf
from typing import Final

from freeproviders.catalogue.rows import seconds_of
from freeproviders.quota.interface import Ask, Claim, Grant, Rule, Standing
from freeproviders.quota.pages import Pages, Place, Pool, Use
from freeproviders.quota.steps import (
    KEPT_SECONDS,
    LATENESS,
    LONGEST_LINE,
    NEAR_SECONDS,
    Adopt,
    Announced,
    Answer,
    Forget,
    Leave,
    Look,
    Received,
    Refused,
    Renew,
    Sent,
    Settle,
    Standings,
    Step,
    Take,
    TooSmall,
)
from freeproviders.quota.windows import GRAIN, LONG_SECONDS, Meaning, Now, meaning_of, whole

LEARNED_SECONDS: Final = 7 * 86_400.0
"""For how long the cap that a service announced counts, unless it is announced again."""
_TURN_SECONDS: Final = 1.0
"""How soon to look again whether the first calls in the line have taken what there is."""
_YEAR_9999: Final = 253_370_764_800.0


class Book:
    """The decisions at one moment, over the pages of one transaction."""

    def __init__(self, pages: Pages, now: Now) -> None:
        self.pages = pages
        self.now = now
        self.left = False
        """Whether a call has left the line without a grant, so that others may have room."""

    def do(self, step: Step) -> Answer:
        """Do one step."""
        match step:
            case Take():
                return self._take(step)
            case Leave(call):
                self._leave(call)
            case Look(ask):
                return self._judge(ask)[2]
            case Sent(grant, ago):
                self._move(grant, ago, arrived=False)
            case Received(grant, ago):
                self._move(grant, ago, arrived=True)
            case Renew(grant):
                self._renew(grant)
            case Settle(grant, tell=tell):
                self._settle(step)
                return self._told(grant.ask) if tell else None
            case Adopt():
                for said in step.said:
                    self._adopt(step, said)
            case Standings(service):
                return [self._standing(pool) for pool in self.pages.pools(service)]
            case Forget(service, name):
                return self._forget(service, name)
        return None

    # --- reserve ----------------------------------------------------------------------------------

    def _judge(
        self, ask: Ask, call: str = ""
    ) -> tuple[list[tuple[Pool, Meaning, float]], dict[str, float], Refused | TooSmall | None]:
        """Return the pools of an ask, what it wants of those that refuse it, and its refusal."""
        found = []
        full: dict[str, float] = {}
        small: TooSmall | None = None
        last: tuple[float, Claim] | None = None
        firm = 0.0
        for claim in ask.claims:
            rule = claim.rule
            meaning = meaning_of(rule)
            pool = self.pages.pool(rule, ask.account)
            self._pass_time(pool, meaning)
            amount = 0.0 if meaning.kind == "gate" else whole(claim.amount)
            found.append((pool, meaning, amount))
            cap = self._cap(pool)
            if ask.keep and meaning.period >= LONG_SECONDS and meaning.kind != "lease":
                cap *= 1 - ask.keep
            ahead = self._ahead(pool, call) if amount else 0.0
            if amount > cap:
                small = small or TooSmall(claim, cap)
            elif not self._fits(pool, meaning, amount + ahead, cap):
                after = early = 0.0
                if not self._fits(pool, meaning, amount, cap):
                    after = max(self._back_in(pool, meaning, amount, cap), 0.0)
                    early = self._early(pool, meaning, after, ask)
                if ahead:  # when there is room for them too; they may leave before
                    turn = self._back_in(pool, meaning, min(amount + ahead, cap), cap)
                    after = max(after, turn if turn > 0 else _TURN_SECONDS)
                if amount:
                    full[str(pool.id)] = amount
                if last is None or after > last[0]:
                    last = after, claim
                firm = max(firm, early)
        if small is not None or last is None:
            return found, full, small
        return found, full, Refused(last[1], last[0], firm)

    def _take(self, step: Take) -> Answer:
        ask = step.ask
        found, full, refusal = self._judge(ask, step.id)
        if refusal is not None and not step.force:
            if isinstance(refusal, Refused) and step.waits and self._stand(step.id, full, refusal):
                return replace(refusal, lined=True)
            self._leave(step.id)
            return refusal
        if step.id in self.pages.line():
            self.pages.stand(step.id, None)
        now = self.now.at
        places: list[tuple[int, float] | None] = []
        for (pool, meaning, amount), claim in zip(found, ask.claims, strict=True):
            if not amount:
                places.append(None)
                continue
            if meaning.kind == "lease" or claim.rule.counted == "end":
                at = now + ask.lease
            else:
                at = now + ask.transit * (1 + LATENESS)
            self._add(pool, Use(at, step.id, amount, open=True))
            if pool.left is not None:
                pool.left -= amount
            places.append((pool.id, at))
        return Grant(step.id, ask, places)

    # --- the line ---------------------------------------------------------------------------------

    def _ahead(self, pool: Pool, call: str) -> float:
        """Return how much of a pool is wanted by calls that have waited for it for longer."""
        line = self.pages.line()
        if not line:
            return 0.0
        own = line.get(call)
        turn = (inf, "") if own is None else (own.since, call)
        return sum(
            place.wanted.get(str(pool.id), 0.0)
            for other, place in line.items()
            if place.until > self.now.at and (place.since, other) < turn
        )

    def _stand(self, call: str, full: Mapping[str, float], refusal: Refused) -> bool:
        """Give a refused call a place in the line, or keep it; return whether there is one.

        It is for the pools that have refused, now or before: what others take elsewhere, where
        there is room, takes nothing away.
        """
        line = self.pages.line()
        for other, place in list(line.items()):
            if place.until <= self.now.at and other != call:
                self._leave(other)
        own = line.get(call)
        if refusal.early > NEAR_SECONDS or (own is None and len(line) >= LONGEST_LINE):
            return False
        since, wanted = (self.now.at, full) if own is None else (own.since, {**own.wanted, **full})
        self.pages.stand(call, Place(since, self.now.at + KEPT_SECONDS, wanted))
        return True

    def _leave(self, call: str) -> None:
        if call in self.pages.line():
            self.pages.stand(call, None)
            self.left = True

    def _fits(self, pool: Pool, meaning: Meaning, amount: float, cap: float) -> bool:
        return pool.used + amount <= cap and (pool.left is None or amount <= self._left(pool, meaning) > 0)

    def _back_in(self, pool: Pool, meaning: Meaning, amount: float, cap: float) -> float:
        """Return in how many seconds an amount fits that does not fit now."""
        now = self.now
        back = now.at
        if (need := pool.used + amount - cap) > 0:
            back = self._freed(pool, meaning, need)
        if pool.left is not None:
            wanted = max(amount, GRAIN)
            if (need := wanted - self._left(pool, meaning)) > 0:
                until = pool.until
                if meaning.kind == "rolling" and pool.rule.reset == "refill":
                    until = min(until, now.at + need * meaning.period / self._cap(pool))
                elif meaning.kind == "rolling" and pool.rule.reset != "fixed":
                    until = min(until, self._freed(pool, meaning, need, known=pool.as_of))
                if amount <= 1 or pool.rule.metric != "requests":
                    until = min(until, pool.probe)
                back = max(back, until)
        return back - now.at

    def _freed(self, pool: Pool, meaning: Meaning, need: float, *, known: float = inf) -> float:
        """Return when so much is free again, of uses that arrived up to `known`."""
        for use in self.pages.uses(pool):
            if use.at > known:
                break
            need -= use.amount
            if need <= 0:
                return meaning.free_at(use.at, self.now, pool.border)
        return inf

    def _early(self, pool: Pool, meaning: Meaning, after: float, ask: Ask) -> float:
        """Return the soonest that a refusal may end, given the calls that run."""
        if pool.running <= 0:
            return after
        if pool.rule.metric == "requests" and meaning.kind in {"rolling", "calendar"} and pool.left is None:
            return max(0.0, after - ask.transit * (1 + LATENESS))  # only the moment of arrival is open
        return 0.0

    # --- while the call runs ----------------------------------------------------------------------

    def _move(self, grant: Grant, ago: float, *, arrived: bool) -> None:
        """Change when a request is taken to have arrived, of what counts from its arrival."""
        moment = self.now.at - ago
        for number, (place, claim) in enumerate(zip(grant.places, grant.ask.claims, strict=True)):
            if place is None or claim.rule.counted == "end" or claim.rule.metric == "concurrency":
                continue
            pool = self._known(place[0])
            if pool is None:
                continue
            use = self._pull(pool, place[1], grant.id)
            if use is None:
                if arrived:
                    continue
                # Its process stood still for so long that its place was given to others.
                use = Use(-inf, grant.id, whole(claim.amount), open=True)
                if pool.left is not None:
                    pool.left -= use.amount
            at = min(use.at, moment) if arrived else max(use.at, moment + grant.ask.transit)
            done = arrived and claim.rule.metric == "requests"
            self._add(pool, Use(at, use.grant, use.amount, open=use.open and not done))
            grant.places[number] = (place[0], at)

    def _known(self, number: int) -> Pool | None:
        """Find a pool as it is now: what has been freed stays free, however late a call ends."""
        pool = self.pages.known(number)
        if pool is not None:
            self._pass_time(pool, meaning_of(pool.rule))
        return pool

    def _renew(self, grant: Grant) -> None:
        for number, (place, claim) in enumerate(zip(grant.places, grant.ask.claims, strict=True)):
            if place is None or not (claim.rule.counted == "end" or claim.rule.metric == "concurrency"):
                continue
            pool = self._known(place[0])
            if pool is not None and (use := self._pull(pool, place[1], grant.id)) is not None:
                at = max(use.at, self.now.at + grant.ask.lease)
                self._add(pool, use._replace(at=at))
                grant.places[number] = (place[0], at)

    def _settle(self, step: Settle) -> None:
        grant = step.grant
        for place, claim in zip(grant.places, grant.ask.claims, strict=True):
            if place is None or (pool := self._known(place[0])) is None:
                continue
            if (use := self._pull(pool, place[1], grant.id)) is None:
                continue
            rule = claim.rule
            if rule.metric == "concurrency" or step.spent is None:
                amount = 0.0
            elif rule.metric == "requests":
                amount = use.amount
            else:
                amount = whole(max(0.0, step.spent.get(rule.metric, use.amount)))
            at = self.now.at - step.ago if rule.counted == "end" else use.at
            if amount:
                self._add(pool, Use(at, use.grant, amount, open=False))
            if pool.left is not None:
                more = amount - use.amount
                if more > 0 or use.at > pool.as_of:
                    pool.left -= more
        grant.places = [None] * len(grant.places)

    # --- what a service says ----------------------------------------------------------------------

    def _adopt(self, step: Adopt, said: Announced) -> None:
        for claim in step.grant.ask.claims:
            rule = claim.rule
            if rule.metric != said.metric or not same_period(rule.per, said.per):
                continue
            pool = self.pages.pool(rule, step.grant.ask.account)
            meaning = meaning_of(rule)
            self._pass_time(pool, meaning)
            pool.dirty = True
            told = self.now.at - step.ago
            reset = None if said.reset_in is None else told + said.reset_in
            if meaning.kind == "gate":
                if said.remaining == 0 and reset is not None:
                    pool.left, pool.as_of, pool.told, pool.until, pool.probe = 0.0, told, told, reset, inf
                continue
            if said.cap is not None and said.cap > 0:
                pool.cap, pool.cap_source = said.cap, step.source
                pool.cap_at = self.now.at + self.now.low
            if meaning.kind == "rolling" and rule.reset == "fixed" and reset is not None:
                # A border that is not known well enough for so short a period frees nothing.
                pool.border = reset if said.resolution <= meaning.margin else None
            if said.remaining is not None and meaning.kind != "lease":
                self._bound(pool, meaning, step, said, reset)

    def _bound(self, pool: Pool, meaning: Meaning, step: Adopt, said: Announced, reset: float | None) -> None:
        """Bound what may be taken by what the service has left."""
        as_of, told = self.now.at - step.sent_ago, self.now.at - step.ago
        remaining = floor((said.remaining or 0.0) / GRAIN) * GRAIN
        own = step.grant.id if pool.rule.counted == "admission" else ""
        away = sum(use.amount for use in self.pages.uses(pool, after=as_of) if use.grant != own)
        left = remaining - away
        if pool.left is not None:
            # Answers come out of order, and each may have counted calls that are under way: the best
            # bound holds, unless the service has less than it, which only another program can have
            # taken.
            before = self._left(pool, meaning)
            if (remaining >= before >= left) or (as_of < pool.as_of and remaining < before):
                return
        pool.left, pool.as_of, pool.told = left, as_of, told
        pool.probe = inf
        if meaning.kind == "rolling" and pool.rule.reset in {"rolling", "refill"}:
            pool.until = told + meaning.period
            if reset is not None and pool.rule.reset == "rolling":
                pool.probe = reset + said.resolution
        elif reset is not None:
            pool.until = reset + max(meaning.margin, said.resolution)
        else:
            pool.until = meaning.free_at(told, self.now)

    # --- time -------------------------------------------------------------------------------------

    def _pass_time(self, pool: Pool, meaning: Meaning) -> None:
        """Free what is free by now, and forget announcements that hold no longer."""
        cutoff = meaning.cutoff(self.now, pool.border)
        if pool.oldest <= cutoff:
            back = meaning.kind == "rolling" and pool.rule.reset in {"rolling", "unknown"}
            for use in self.pages.drop_until(pool, cutoff):
                pool.used -= use.amount
                if use.open:
                    pool.running -= use.amount
                if back and pool.left is not None and use.at <= pool.as_of:
                    pool.left += use.amount
            pool.oldest = next((use.at for use in self.pages.uses(pool)), inf)
            pool.dirty = True
        if pool.left is not None:
            now = self.now.at
            if pool.until <= now or (pool.probe <= now and pool.rule.metric != "requests"):
                pool.left, pool.until, pool.probe, pool.dirty = None, inf, inf, True
            elif pool.probe <= now:  # one use has left the service's window; whether more have, it will say
                pool.left, pool.probe, pool.dirty = max(pool.left, 1.0), inf, True
        if pool.cap is not None and self.now.at + self.now.low > pool.cap_at + LEARNED_SECONDS:
            pool.cap, pool.cap_source, pool.dirty = None, "", True

    def _left(self, pool: Pool, meaning: Meaning) -> float:
        if pool.left is None:
            return inf
        if meaning.kind == "rolling" and pool.rule.reset == "refill":
            return pool.left + max(0.0, self.now.at - pool.told) * self._cap(pool) / meaning.period
        return pool.left

    @staticmethod
    def _cap(pool: Pool) -> float:
        return pool.rule.cap if pool.cap is None else pool.cap

    # --- uses -------------------------------------------------------------------------------------

    def _add(self, pool: Pool, use: Use) -> None:
        self.pages.put(pool, use)
        pool.used += use.amount
        if use.open:
            pool.running += use.amount
        pool.oldest = min(pool.oldest, use.at)
        pool.dirty = True

    def _pull(self, pool: Pool, at: float, grant: str) -> Use | None:
        use = self.pages.remove(pool, at, grant)
        if use is not None:
            pool.used -= use.amount
            if use.open:
                pool.running -= use.amount
            pool.dirty = True
        return use

    # --- for people -------------------------------------------------------------------------------

    def _told(self, ask: Ask) -> list[Standing]:
        """Return the state of each pool of an ask, but for gates."""
        return [
            self._standing(self.pages.pool(claim.rule, ask.account))
            for claim in ask.claims
            if meaning_of(claim.rule).kind != "gate"
        ]

    def _standing(self, pool: Pool) -> Standing:
        meaning = meaning_of(pool.rule)
        self._pass_time(pool, meaning)
        now = self.now
        cap = self._cap(pool)
        left = max(0.0, min(cap - pool.used, self._left(pool, meaning)))
        back = None
        if pool.left is not None and self._left(pool, meaning) < cap - pool.used:
            back = min(pool.until, pool.probe)
        elif (use := next(self.pages.uses(pool), None)) is not None and not self._lasts(pool, use):
            back = meaning.free_at(use.at, now, pool.border)
        return Standing(
            rule=pool.rule if pool.cap is None else _capped(pool),
            account=pool.who[:6],
            used=pool.used,
            running=pool.running,
            left=left,
            back_at=None if back is None or back == inf else _utc(back + now.low),
            learned_at=None if pool.cap is None else _utc(pool.cap_at),
        )

    def _lasts(self, pool: Pool, use: Use) -> bool:
        """Whether a use is that of a call that still runs, with an unknown end."""
        rule = pool.rule
        return use.open and use.at > self.now.at and (rule.counted == "end" or rule.metric == "concurrency")

    def _forget(self, service: str, name: str) -> int:
        pools = [pool for pool in self.pages.pools(service) if name in {"", pool.rule.pool}]
        for pool in pools:
            self.pages.clear(pool)
            pool.used = pool.running = 0.0
            pool.oldest = pool.until = pool.probe = inf
            pool.cap = pool.left = pool.border = None
            pool.dirty = True
        return len(pools)


def same_period(one: str, other: str) -> bool:
    """Return whether two periods are the same, however they are written."""
    if one == other:
        return True
    try:
        return seconds_of(one) == seconds_of(other)
    except ValueError:
        return False


def _capped(pool: Pool) -> Rule:
    values = {name: getattr(pool.rule, name) for name in Rule.__slots__}
    return Rule(**{**values, "cap": pool.cap, "source": pool.cap_source})


def _utc(moment: float) -> datetime:
    return datetime.fromtimestamp(min(max(moment, 0.0), _YEAR_9999), UTC)
