"""Both stores decide alike, as a naive model does, and no service ever sees more than its limit."""

import itertools
from math import inf
from shutil import rmtree
from tempfile import mkdtemp

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, precondition, rule

from freeproviders.quota.interface import Grant
from freeproviders.quota.steps import (
    Adopt,
    Announced,
    Look,
    Received,
    Refused,
    Renew,
    Sent,
    Settle,
    Take,
    TooSmall,
)
from tests.quota import stores
from tests.quota.servers import RedisServer, server_program
from tests.quota.stores import Clock, ask, sqlite_store

EIGHTHS = st.integers(0, 640).map(lambda eighths: eighths / 8)
MINUTE = stores.rule(cap=4, reset="rolling")
FIXED = stores.rule(cap=3, reset="fixed", pool="m-2")
REFILL = stores.rule(cap=5, reset="refill", pool="m-3")
DAY = stores.rule(per="day", cap=12, reset="fixed", zone="America/Los_Angeles", pool="all")
TOKENS = stores.rule("tokens", cap=1000, counted="end", pool="all")
PROMPTS = stores.rule("input tokens", "5 minutes", cap=2000, pool="all")
PLACES = stores.rule("concurrency", "", 3, pool="all")
TOTAL = stores.rule("usd", "", 2.5, pool="all")
RULES = [MINUTE, FIXED, REFILL, DAY, TOKENS, PROMPTS, PLACES, TOTAL, stores.GATE]
TRANSIT, LEASE = 1.0, 100.0
_numbers = itertools.count()
_server = []


def redis_store(clock):
    """A store on a server that lasts for the whole run; None where there is none."""
    if server_program() is None:
        return None
    try:
        from freeproviders.quota.redis import RedisStore

        if not _server:
            _server.append(RedisServer(mkdtemp()).start())
    except ImportError:
        return None
    return RedisStore(_server[0].url, prefix=f"model{next(_numbers)}:", clock=clock.wall)


def teardown_module():
    for server in _server:
        server.stop()
        rmtree(server.folder)


class Call:
    """What the model knows of a granted call: who asked what, and since when it counts until when."""

    def __init__(self, wanted, at):
        self.wanted = wanted
        self.wanted_rules = {claim.rule for claim in wanted.claims}
        self.reserved = at
        self.written = None  # when the request is written
        self.arrives = None  # when the service sees it
        self.uses = {}  # by rule: [at, amount, open]


def free_at(of, at, day_ends):
    """When a use is free, as plainly as it can be said."""
    if of.metric == "concurrency":
        return at
    if of is TOTAL:
        return inf
    if of is DAY:
        return next(end + 5 for end in day_ends if end >= at + 5)
    return at + (300 if of is PROMPTS else 60)


class Ledgers(RuleBasedStateMachine):
    """Any calls at any times, on SQLite, on Redis and in the model."""

    calls = Bundle("calls")

    @initialize(hour=st.integers(0, 23))
    def begin(self, hour):
        midnight = 1_789_974_000.0  # 2026-09-21 in Los Angeles
        self.clock = Clock(wall=midnight + hour * 3600)
        self.day_ends = [midnight + day * 86_400 - self.clock.offset for day in range(9)]
        self.stores = [one for one in (sqlite_store(self.clock), redis_store(self.clock)) if one is not None]
        self.all = []
        self.bounded = set()
        self.number = 0

    def teardown(self):
        for store in getattr(self, "stores", ()):
            store.close()

    def run_all(self, make):
        """Do one step on each store; `make` gets the number of the store. Return the answers."""
        return [store.run([make(number)])[0] for number, store in enumerate(self.stores)]

    @rule(seconds=EIGHTHS | st.integers(0, 90_000).map(float))
    def time_passes(self, seconds):
        self.clock.at += seconds

    # --- the model --------------------------------------------------------------------------------

    def live(self, of):
        uses = [call.uses[of] for call in self.all if of in call.uses]
        return sorted(use for use in uses if free_at(of, use[0], self.day_ends) > self.clock.at)

    def verdict(self, wanted):
        """In how many seconds it fits (0: now), or None where it is too large."""
        after = 0
        for claim in wanted.claims:
            of, amount = claim.rule, claim.amount
            room = of.cap * (1 - wanted.keep) if wanted.keep and of in (DAY, TOTAL) else of.cap
            if amount > room:
                return None
            uses = self.live(of)
            need = sum(use[1] for use in uses) + amount - room
            for use in uses:
                if need <= 0:
                    break
                need -= use[1]
                if need <= 0:
                    after = max(after, free_at(of, use[0], self.day_ends) - self.clock.at)
            if need > 0:
                after = inf
        return after

    # --- what callers do --------------------------------------------------------------------------

    @rule(
        target=calls,
        amounts=st.dictionaries(
            st.sampled_from(RULES), st.sampled_from([0, 1, 2, 0.5, 300, 999, 1500]), min_size=1
        ),
        keep=st.sampled_from([0, 0, 0.5]),
        late=st.sampled_from([0, 0, 0, 0.25, 3.0]),
        transit=st.integers(0, 8).map(lambda eighths: eighths / 8),
    )
    def reserve(self, amounts, keep, late, transit):
        claims = [(of, 1 if of.metric == "requests" else amount) for of, amount in amounts.items()]
        wanted = ask(*claims, keep=keep, transit=TRANSIT, lease=LEASE)
        looks = self.run_all(lambda _: Look(wanted))
        self.number += 1
        answers = self.run_all(lambda _: Take(wanted, f"g{self.number:06}"))
        told = [said(answer) for answer in answers]
        assert told == [told[0]] * len(told)
        assert [said(look) for look in looks] == [one if one[0] != "granted" else ("fits",) for one in told]
        if not any(claim.rule in self.bounded for claim in wanted.claims):
            expected = self.verdict(wanted)
            if told[0][0] == "too small":
                assert expected is None
            elif told[0][0] == "granted":
                assert expected == 0
            else:
                assert told[0][2] == expected
        call = Call(wanted, self.clock.at)
        call.grants = answers
        if told[0][0] != "granted":
            call.grants = None
            return call
        call.written = self.clock.at + late
        call.arrives = call.written + transit
        call.told_late = late <= TRANSIT / 4
        for claim in wanted.claims:
            if claim.rule is stores.GATE or not claim.amount:
                continue
            kept = claim.rule.counted == "end" or claim.rule is PLACES
            call.uses[claim.rule] = [
                self.clock.at + (LEASE if kept else TRANSIT * 1.25),
                -(-claim.amount * 2**20 // 1) / 2**20,
                True,
            ]
        self.all.append(call)
        self.no_service_sees_too_much()
        return call

    @rule(of=st.sampled_from(RULES), amount=st.sampled_from([0.5, 1, 2, 300]), keep=st.sampled_from([0, 0.5]))
    def soonest(self, of, amount, keep):
        """A refusal says the moment: just before it the request is still refused, and then it fits."""
        wanted = ask((of, 1 if of.metric == "requests" else amount), keep=keep)
        looks = self.run_all(lambda _: Look(wanted))
        if not isinstance(looks[0], Refused) or looks[0].after == inf:
            return
        assert looks[0].early <= looks[0].after
        after = -(-looks[0].after * 2**20 // 1) / 2**20  # a bucket refills at moments of any fraction
        if after > 2**-9:
            self.clock.at += after - 2**-9
            assert all(isinstance(one, Refused) for one in self.run_all(lambda _: Look(wanted)))
            self.clock.at += 2**-9
        else:
            self.clock.at += after
        assert self.run_all(lambda _: Look(wanted)) == [None] * len(self.stores)

    @rule(call=calls)
    def write(self, call):
        """A request that is written late says so, in time."""
        if call.grants is None or call.told_late or self.clock.at < call.written:
            return
        call.told_late = True
        ago = self.clock.at - call.written
        if ago > 30:  # it never was: the caller has died before
            call.arrives = None
            return
        self.run_all(lambda number: Sent(call.grants[number], ago))
        for of, use in call.uses.items():  # also what had been freed: it is on its way only now
            if of.counted != "end" and of is not PLACES:
                use[0] = max(use[0], call.written + TRANSIT)

    @rule(call=calls, part=st.integers(0, 4))
    def head(self, call, part):
        if call.grants is None or call.arrives is None or not call.told_late or self.clock.at < call.arrives:
            return
        ago = (self.clock.at - call.arrives) * part / 4
        self.run_all(lambda number: Received(call.grants[number], ago))
        moment = self.clock.at - ago
        self.move(call, lambda at: min(at, moment))

    def move(self, call, moved):
        for of, use in call.uses.items():
            if of.counted != "end" and of is not PLACES and self.stands(of, use):
                use[0] = moved(use[0])

    def stands(self, of, use):
        """Whether a use has not been freed: what was freed does not come back."""
        return free_at(of, use[0], self.day_ends) > self.clock.at

    @rule(call=calls)
    def renew(self, call):
        if call.grants is None:
            return
        self.run_all(lambda number: Renew(call.grants[number]))
        for of, use in call.uses.items():
            if (of.counted == "end" or of is PLACES) and self.stands(of, use):
                use[0] = max(use[0], self.clock.at + LEASE)

    @rule(call=consumes(calls), taken=st.sampled_from([None, 0, 10, 400]), sent=st.booleans())
    def settle(self, call, taken, sent):
        if call.grants is None:
            return
        sent = sent or self.clock.at >= call.written
        if sent and not call.told_late:
            return
        spent = {} if taken is None else {"tokens": float(taken), "input tokens": float(taken)}
        self.run_all(lambda number: Settle(call.grants[number], spent if sent else None, 0.0))
        for of, use in list(call.uses.items()):
            if not self.stands(of, use):
                continue
            if of is PLACES or not sent:
                del call.uses[of]
            elif of.metric in spent:
                use[1] = spent[of.metric]
            if of is TOKENS and of in call.uses:
                use[0] = self.clock.at
        if not sent:
            call.arrives = None

    @rule(
        call=calls,
        of=st.sampled_from(RULES),
        cap=st.none() | st.sampled_from([2.0, 6.0, 2000.0]),
        remaining=st.none() | st.sampled_from([0.0, 1.0, 3.0, 700.0]),
        reset=st.none() | EIGHTHS,
        part=st.integers(0, 4),
        resolution=st.sampled_from([0.0, 1.0, 4.0]),
    )
    @precondition(lambda self: len(self.all) > 3)
    def announce(  # noqa: PLR0917 - hypothesis fills them in by name
        self, call, of, cap, remaining, reset, part, resolution
    ):
        """What a service says bounds what comes after; the model leaves such pools alone."""
        if call.grants is None:
            return
        sent_ago = min(self.clock.at - call.reserved, 32.0)
        self.bounded |= {one for one in call.wanted_rules if (one.metric, one.per) == (of.metric, of.per)}
        said = (Announced(of.metric, of.per, cap, remaining, reset, resolution),)
        self.run_all(lambda n: Adopt(call.grants[n], said, "header", sent_ago, sent_ago * part / 4))

    # --- what a service sees ----------------------------------------------------------------------

    def no_service_sees_too_much(self):
        """In no window that ends with an arrival are there more than the cap, wherever it begins."""
        for of, period in ((MINUTE, 60), (FIXED, 60), (REFILL, 60)):
            if of in self.bounded:
                continue
            seen = sorted(
                call.arrives for call in self.all if call.arrives is not None and of in call.wanted_rules
            )
            for number, moment in enumerate(seen):
                assert sum(moment - period < one <= moment for one in seen[: number + 1]) <= of.cap
        if DAY not in self.bounded:
            days = [
                sum(call.arrives >= end for end in self.day_ends)
                for call in self.all
                if call.arrives is not None and DAY in call.wanted_rules
            ]
            # A request of the last seconds of a day may be counted on either side.
            assert all(days.count(day) <= DAY.cap for day in days)


def said(answer):
    """An answer, as it can be compared."""
    match answer:
        case Grant():
            return ("granted",)
        case Refused(claim, after, early):
            return "refused", claim.rule, after, early
        case TooSmall(claim, cap):
            return "too small", claim.rule, cap
    return ("fits",)


TestLedgers = Ledgers.TestCase
TestLedgers.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
