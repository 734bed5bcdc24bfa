"""Any order of events, writes and readings, by three processes: deadlines hold, and one probes at most."""

import asyncio
import json
import math
import random

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, given, settings

from freeproviders.errors import (
    AuthenticationError,
    BadRequestError,
    ProviderConnectionError,
    QuotaSpentError,
    RateLimitError,
    ServerError,
)
from freeproviders.router import breaker, health
from freeproviders.router.breaker import (
    Answered,
    Bar,
    Barred,
    GivenBack,
    Probe,
    Record,
    applied,
    dumped,
    loaded,
    pruned,
    state_of,
)
from tests.router.shared_health import KEY, OTHER_MODEL, World

PROCESSES = 3
KEYS = [KEY, OTHER_MODEL]
ERRORS = [
    lambda: ProviderConnectionError("refused", phase="connect"),
    lambda: ProviderConnectionError("refused", phase="connect"),
    lambda: ServerError("no", status=500),
    lambda: AuthenticationError("no", status=401),
    lambda: QuotaSpentError("no"),
    lambda: BadRequestError("no", status=400),
    lambda: RateLimitError("no", status=429),
]


class Asked:
    """A request: who asks whom, not before when, and its admission."""

    def __init__(self, process, key, at, not_before, task):
        self.process = process
        self.at = at
        self.key = key
        self.not_before = not_before
        self.task = task
        self.ended = math.inf

    @property
    def admission(self):
        return self.task.result() if self.task.done() else None


class Processes:
    """What each process writes and reads is done when the test says so, in its own order."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.loop = asyncio.new_event_loop()
        self.world = World(PROCESSES)
        for ledger in self.world.ledgers:
            ledger.put_off = []
        self.asked = []
        self.probes = []
        self.known = [{}, {}, {}]  # by key: when the service may be asked again, as each process must know
        self.said = [{}, {}, {}]  # what each has found out and not yet written
        self.shared = {}

    def close(self):
        self.loop.close()
        self.world.store.close()

    def run(self, steps):
        """Do any of what may happen, again and again, and check what must hold."""
        weights = {
            self.asks: 5,
            self.time_passes: 3,
            self.fails: 3,
            self.looks: 2,
            self.catch_up: 2,
            self.is_refused_until: 1,
            self.is_answered: 1,
            self.begins: 1,
            self.is_cancelled: 1,
        }
        for _ in range(steps):
            (act,) = self.random.choices(list(weights), weights.values())
            if act == self.time_passes:
                act()
            elif act == self.asks:
                act(self.any_process(), self.random.choice(KEYS))
            elif act in {self.looks, self.catch_up}:
                act(self.any_process())
            elif under_way := [one for one in self.asked if one.admission]:
                one = self.random.choice(under_way)
                if act != self.begins:
                    self.asked.remove(one)
                one.ended = min(one.ended, self.now)
                act(one, self.world.healths[one.process])
            self.one_probe_at_most()
            self.deadlines_only_move_on()
        self.check_the_end()

    def any_process(self):
        return self.random.randrange(PROCESSES)

    def check_the_end(self):
        """All know the same, and nothing is shut for ever."""
        for number in range(PROCESSES):
            self.catch_up(number)
        for one in self.asked:
            if one.admission:
                self.world.healths[one.process].given_back(one.admission)
        self.all_know()
        for key in KEYS:
            assert len({one.state(key)[:1] for one in self.world.healths}) == 1
        self.world.pass_time(31 * breaker.DAY)
        self.all_know()
        for key in KEYS:  # nothing is shut for ever
            task = self.loop.create_task(self.world.healths[0].admit(key))
            self.catch_up(0)
            self.world.healths[0].answered(task.result())
        self.all_know()
        for one in self.world.healths:
            assert [one.state(key).name for key in KEYS] == ["closed"] * 2

    def all_know(self):
        for _ in range(2):
            for number in range(PROCESSES):
                self.looks(number)
                self.catch_up(number)

    def spin(self):
        for _ in range(4):
            self.loop.run_until_complete(asyncio.sleep(0))

    @property
    def now(self):
        return self.world.clock.at

    # --- what happens -----------------------------------------------------------------------------

    def time_passes(self):
        self.world.pass_time(self.random.choice([0.125, 1, 1, 5, 7, 7, 30, 119, 121, 400, 4000]))

    def catch_up(self, number):
        """All that a process has put into its queue is done, and what comes of it."""
        for _ in range(50):
            self.world.ledgers[number].catch_up()
            self.spin()
            if not self.world.ledgers[number].put_off:
                break
        assert not self.world.ledgers[number].put_off
        for key, until in self.said[number].items():
            self.shared[key] = max(until, self.shared.get(key, 0))
        self.said[number] = {}
        for one in [one for one in self.asked if one.task.done()]:
            self.begun(one)

    def looks(self, number):
        task = self.loop.create_task(self.world.healths[number].look(KEYS))
        self.spin()
        self.catch_up(number)
        assert task.done()
        for key, until in self.shared.items():
            self.known[number][key] = max(until, self.known[number].get(key, 0))

    def asks(self, number, key):
        task = self.loop.create_task(self.world.healths[number].admit(key))
        one = Asked(number, key, self.now, self.known[number].get(key, 0), task)
        self.spin()
        if task.done():
            self.begun(one)
        if not task.done() or task.result():
            self.asked.append(one)

    def begun(self, one):
        """Check an admission: it is not within a deadline that its process must know."""
        if one.admission is None:
            if one in self.asked:
                self.asked.remove(one)
            return
        assert one.admission.at >= one.not_before - 1e-6
        if one.admission.is_probe and one not in self.probes:
            self.probes.append(one)

    def begins(self, one, asker):
        """Its first content ends a probe, and other requests go on meanwhile."""
        asker.began(one.admission)

    def is_answered(self, one, asker):
        asker.answered(one.admission, first=0.5, whole=1.0)

    def fails(self, one, asker):
        asker.failed(one.admission, self.random.choice(ERRORS)())

    def is_refused_until(self, one, asker):
        seconds = self.random.choice([1, 60, 1800, 3599])
        asker.failed(one.admission, RateLimitError("no", status=429, retry_after=float(seconds)))
        until = self.now + seconds
        for table in (self.known[one.process], self.said[one.process]):
            table[one.key] = max(until, table.get(one.key, 0))

    def is_cancelled(self, one, asker):
        asker.given_back(one.admission)

    # --- what holds -------------------------------------------------------------------------------

    def one_probe_at_most(self):
        """Of the same scope, while its right lasts."""
        for number, one in enumerate(self.probes):
            for other in self.probes[number + 1 :]:
                first, second = sorted([one, other], key=lambda probe: probe.admission.at)
                end = min(first.ended, first.at + health.PROBE_SECONDS)
                together = set(one.admission.scopes) & set(other.admission.scopes)
                assert not together or second.admission.at >= end

    def deadlines_only_move_on(self):
        for number, table in enumerate(self.known):
            for key, until in table.items():
                if self.now < until - 1e-6:
                    state = self.world.healths[number].state(key)
                    assert not state.may_be_asked
                    assert state.wait >= until - self.now - 1e-6


@settings(max_examples=40, deadline=None, phases=[Phase.generate])
@given(seed=st.integers(0, 2**32))
def test_processes(seed):
    """A walk of a hundred steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(health, "LOOK_SECONDS", 1e6)  # whoever waits does so until the test goes on
        walk = Processes(seed)
        patch.setattr(health, "jitter", lambda: 1 + walk.random.random() / 4)
        try:
            walk.run(100)
        finally:
            walk.close()


# --- one record -----------------------------------------------------------------------------------

TIMES = st.integers(0, 800_000).map(lambda eighths: eighths / 8)
TOKENS = st.sampled_from(["", "a", "b"])
EVENTS = st.one_of(
    st.builds(
        Barred,
        scope=st.just(""),
        kind=st.sampled_from(["fault", "limit", "out"]),
        at=TIMES,
        admitted=TIMES,
        token=TOKENS,
        until=st.none() | TIMES,
        base=st.just(5.0),
        longest=st.sampled_from([300.0, breaker.DAY]),
        jitter=st.sampled_from([1.0, 1.25]),
        probed=st.booleans(),
    ),
    st.builds(Answered, scope=st.just(""), admitted=TIMES, token=TOKENS),
    st.builds(Probe, scope=st.just(""), at=TIMES, token=st.sampled_from(["a", "b"]), until=TIMES),
    st.builds(GivenBack, scope=st.just(""), token=st.sampled_from(["a", "b"])),
)


@settings(max_examples=300, deadline=None)
@given(events=st.lists(EVENTS, max_size=12), now=TIMES)
def test_a_record(events, now):
    """A bar never moves an end to an earlier time; a record is read as it was written."""
    record = Record()
    for event in events:
        before, record = record, applied(record, event)
        if isinstance(event, Barred):
            old, new = getattr(before, event.kind), getattr(record, event.kind)
            assert new is not None
            assert old is None or new.until >= old.until
            assert new.until <= max(event.at + event.longest * 1.25, old.until if old else 0)
            if event.admitted <= event.at and not event.token:
                assert applied(record, event) == record  # said twice, it is one strike
        elif isinstance(event, Probe) and record is not before:
            assert not before.probe or before.probe_until <= event.at
            assert record.probe == event.token
    (again,) = loaded(dumped({"": record}, now), now).values()
    for kind in ("fault", "limit", "out"):
        old, new = getattr(record, kind), getattr(again, kind)
        assert (old is None) == (new is None)
        if old:
            longest = {"fault": 450, "limit": breaker.MONTH, "out": breaker.DAY}[kind]
            assert new.until == math.inf or abs(new.until - min(old.until, now + longest)) < 1e-6
    state = state_of(record, now)
    assert state.wait >= 0
    assert state.may_be_asked == (state.name == "closed" or (state.name == "half-open" and not state.wait))
    assert state_of(pruned(record, now), now).name == state.name
    assert state_of(pruned(record, now + 1e9), now + 1e9) == breaker.CLOSED


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(["fault", "limit", "out", "probe", "probed", ""]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(value=JSON | st.dictionaries(st.just(""), JSON), text=st.text(max_size=20))
def test_what_anybody_has_written(value, text):
    """Whatever stands in a note, it is read or left, and bars nobody for longer than bars last."""
    for written in (text, json.dumps(value)):
        for record in loaded(written, 1000.0).values():
            state = state_of(record, 1000.0)
            assert state.wait <= breaker.MONTH or (record.out and record.out.until == math.inf)
    assert loaded(dumped({"a": Record(out=Bar(math.inf, 0.0, 1, True, "paid"))}, 5.0), 9.0)[
        "a"
    ].out.until == (math.inf)
