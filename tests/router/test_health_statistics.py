"""What is expected of members: limits, shares, patience; kept for others, and merged."""

import asyncio
import json
import math
import os
import random
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from freeproviders.errors import ProviderConnectionError, ProviderTimeoutError, ServerError
from freeproviders.quota.opening import open_ledger
from freeproviders.router import statistics
from freeproviders.router.health import Health
from freeproviders.router.memory import STATISTICS_SECONDS
from freeproviders.router.statistics import (
    Sums,
    Vitals,
    dumped,
    is_too_many,
    loaded,
    merged,
    patience,
)
from tests.router.shared_health import KEY, OTHER, OTHER_MODEL, World, admit, answer, fail, look

ROOT = Path(__file__).parent.parent.parent


def test_no_limit_before_enough_is_known():
    world = World(1)
    (health,) = world.healths
    assert health.first_limit(KEY) is None
    for number in range(8):
        assert health.first_limit(KEY) is None, number
        answer(health, first=1.0, whole=20.0)
    assert health.first_limit(KEY) == 3.0
    assert health.first_limit(KEY, whole=True) == 60.0
    assert health.first_limit(KEY, tokens=8000) == 7.0
    assert health.first_limit(OTHER_MODEL) is None


@pytest.mark.parametrize(
    ("first", "whole", "limits"), [(0.01, 0.02, (1.5, 10.0)), (100.0, 500.0, (120.0, 600.0))]
)
def test_limits_are_sensible(first, whole, limits):
    (health,) = World(1).healths
    for _ in range(20):
        answer(health, first=first, whole=whole)
    assert (health.first_limit(KEY), health.first_limit(KEY, whole=True)) == limits


def test_a_service_that_has_become_slow_gets_more_time():
    """Each time-out at the limit says that the answers need longer than that."""
    world = World(1)
    (health,) = world.healths
    for _ in range(20):
        answer(health, first=1.0)
    before = health.first_limit(KEY)
    admission = admit(health)
    world.pass_time(before)
    health.failed(admission, ProviderTimeoutError("silent", phase="first content"))
    answer(health, first=1.0)
    admission = admit(health)
    world.pass_time(before)
    health.failed(admission, ProviderTimeoutError("silent", phase="first content"))
    assert health.first_limit(KEY) > before


def test_a_share_is_of_late():
    world = World(1)
    (health,) = world.healths
    for _ in range(20):
        fail(health, ServerError("no", status=500), OTHER)
        world.pass_time(1000)
    bad = health.speed(OTHER).success
    assert bad < 0.5
    assert health.speed(KEY) == (None, pytest.approx(0.9))
    for number in range(10):
        answer(health, OTHER, first=float(number))
    better = health.speed(OTHER)
    assert better.success > bad
    assert better.first == 5.0
    world.pass_time(20_000)
    for _ in range(20):
        answer(health, OTHER, first=1.0)
    assert health.speed(OTHER).success > 0.95


# --- how many faults are too many -----------------------------------------------------------------


def walk(share, requests, seed, healthy=0):
    """Of a member with a share of random faults: how often it was shut, for which part of the time."""
    chance, vitals = random.Random(seed), Vitals()
    now = shut = pause = 0.0
    times, first = 0, None
    for _ in range(healthy):
        vitals.answered(now, 0.1, 0.2)
    for number in range(requests):
        now += 1
        if chance.random() >= share:
            vitals.answered(now, 0.1, 0.2)
            pause = 0.0
        elif vitals.failed(now, "server", "", counts=True) or pause:
            times += not pause
            first = first or number + 1
            pause = min(pause * 2, 300) or 5.0
            vitals.run = 0
            now += pause
            shut += pause
    return times, shut / now, first


def test_who_fails_at_random_is_hardly_ever_shut():
    """3 times in 10, over 2,000 requests of each of 20 members."""
    found = [walk(0.3, 2000, seed) for seed in range(20)]
    assert sum(times for times, _, _ in found) / 20 < 4
    assert sum(shut for _, shut, _ in found) / 20 < 0.02


def test_who_is_dead_is_shut_soon():
    assert walk(1.0, 10, 1)[2] == 3
    assert walk(1.0, 10, 1, healthy=50)[2] == 2
    assert walk(0.95, 200, 1)[1] > 0.9


def test_patience():
    assert [patience(share) for share in (0, 0.05, 0.1, 0.3, 0.5, 1)] == [2, 3, 3, 6, 8, 8]


@given(
    faults=st.integers(2, 40),
    pending=st.integers(1, 200),
    share=st.integers(1, 999).map(lambda of_1000: Fraction(of_1000, 1000)),
)
def test_faults_among_pending_requests_are_judged_by_the_binomial_sum(faults, pending, share):
    asked = faults + pending
    exact = sum(
        math.comb(asked, number) * share**number * (1 - share) ** (asked - number)
        for number in range(faults, asked + 1)
    )
    allowed = Fraction(statistics._CHANCE)
    if abs(exact / allowed - 1) > 1e-6:
        assert is_too_many(faults, pending, float(share)) == (exact <= allowed)


def test_any_number_of_requests_may_be_pending():
    """As of a batch that asks a server of the user's own ten thousand questions at once."""
    (health,) = World(1).healths
    admissions = [admit(health) for _ in range(10_000)]
    shut = 0
    for admission in admissions:
        health.failed(admission, ServerError("no", status=500))
        shut += 1
        if not health.state(KEY).may_be_asked:
            break
    assert 1000 < shut < 5000  # a member that nobody knows fails once in ten times, for all that is known


# --- kept -----------------------------------------------------------------------------------------


def test_a_new_process_knows_what_others_have_seen():
    world = World(2)
    one, other = world.healths
    look(one)
    for _ in range(10):
        answer(one, first=2.0, whole=4.0)
    fail(one, ServerError("no", status=500))
    world.pass_time(STATISTICS_SECONDS)
    answer(one, first=2.0, whole=4.0)
    world.pass_time(60)
    look(other)
    assert other.first_limit(KEY) == 6.0
    row = other.standing(KEY)
    assert row.counts == {"asked": 12, "answered": 11, "server": 1}
    assert (row.first_p50, row.first_p95, row.state) == (2.0, 2.0, "closed")
    assert json.loads(json.dumps(row.plain()))["model"] == "m-1"


def test_all_that_was_seen_adds_up():
    """Processes that write at the same time, each without having read the other's."""
    world = World(3)
    look(*world.healths)
    for health in world.healths:
        for _ in range(5):
            answer(health)
    world.pass_time(STATISTICS_SECONDS)
    for health in world.healths:
        answer(health)
    world.pass_time(STATISTICS_SECONDS)
    answer(world.healths[0])
    new = World(1)
    new.ledgers[0].store = world.store
    new.healths[0]._memory.clock = world.clock.now
    look(*new.healths)
    assert new.healths[0].standing(KEY).counts == {"asked": 19, "answered": 19}


def test_an_answer_is_not_a_trip():
    """Statistics are written every two minutes, however many answers there are."""
    world = World(1)
    (health,) = world.healths
    look(health)
    before = world.ledgers[0].trips
    for _ in range(1000):
        answer(health)
        world.pass_time(0.5)
    assert world.ledgers[0].trips - before <= 5


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(max_size=30)
    | st.recursive(
        st.none() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["counts", "share", "first", "whole", "m"]), inner, max_size=4)
        ),
    ).map(json.dumps)
)
def test_what_anybody_has_written(text):
    for sums in loaded(text, 100.0).values():
        assert all(math.isfinite(one) for one in (*sums.first, *sums.whole, sums.good, sums.bad))
    assert isinstance(dumped(merged(loaded(text, 100.0), {"m": Sums(50.0)}), 100.0), str)


def test_written_and_read():
    sums = Sums(10.0)
    sums.result(10.0, good=3.0, bad=1.0)
    sums.count("asked", 4)
    sums.first.extend([0.5] * 70)
    (again,) = loaded(dumped({"m": sums}, 12.0), 112.0).values()
    assert (again.counts, again.good, again.bad, again.at) == ({"asked": 4}, 3.0, 1.0, 110.0)
    assert list(again.first) == [0.5] * statistics.WRITTEN_SAMPLES


def test_what_a_process_has_seen_is_kept_when_it_ends(tmp_path):
    """Even of one question, also where two processes end in the same moment."""
    code = """
import asyncio, sys
from freeproviders.quota.opening import open_ledger
from freeproviders.router.health import Health
from tests.router.shared_health import KEY
async def main():
    health = Health(open_ledger(sys.argv[1]))
    await health.look([KEY])
    health.answered(await health.admit(KEY), first=0.5, whole=1.0)
asyncio.run(main())
"""
    path = tmp_path / "quota.db"
    running = [subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT) for _ in range(2)]
    assert [one.wait(60) for one in running] == [0, 0]
    ledger = open_ledger(path)
    health = Health(ledger)
    asyncio.run(health.look([KEY]))
    assert health.standing(KEY).counts == {"asked": 2, "answered": 2}
    ledger.close()


# --- one process ----------------------------------------------------------------------------------

DOWN = ProviderConnectionError("refused", phase="connect")


def test_routers_threads_and_loops_of_a_process_share_it(tmp_path):
    """What one finds out counts for the other at once; nothing is lost between threads."""
    ledger = open_ledger(tmp_path / "quota.db")
    healths = [Health(ledger), Health(ledger)]

    async def ask(health):
        await health.look([KEY, OTHER])
        for number in range(50):
            admission = await health.admit(KEY)
            if number % 2:
                health.answered(admission, first=0.1)
            else:
                health.given_back(admission)
            health.speed(KEY)
            health.first_limit(KEY)
            health.standings()

    threads = [threading.Thread(target=asyncio.run, args=(ask(healths[number % 2]),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert healths[0].standing(KEY).counts == {"asked": 400, "answered": 200}
    fail(healths[0], DOWN)
    assert healths[1].state(KEY).name == "open"
    ledger.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_knows_what_is_noted(tmp_path):
    ledger = open_ledger(tmp_path / "quota.db")
    health = Health(ledger)
    asyncio.run(health.look([KEY]))
    fail(health, DOWN)
    ledger.notes([]).result()  # what came before is written
    child = os.fork()
    if not child:  # pragma: no cover - not counted in children
        try:
            asyncio.run(health.look([KEY, OTHER]))
            known = health.state(KEY).name == "open"
            fail(health, DOWN, OTHER)
            ledger.notes([]).result()
            ledger.close()
            os._exit(0 if known else 3)
        except BaseException:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    asyncio.run(health.look([KEY, OTHER]))
    assert [health.state(key).name for key in (KEY, OTHER)] == ["open", "open"]
    ledger.close()
