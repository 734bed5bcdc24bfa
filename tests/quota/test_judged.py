"""Eight processes on one ledger, before a service that counts for itself: not one call over.

The service and its clients are those of `benchmarks.quota`, which measures more and longer. The
service counts a request as having come within the promised transit of the time at which it was
written, so that no process that the machine forgot for a while is taken for a ledger's fault.
"""

import asyncio
import random
import sqlite3
import time
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quota import ideal
from benchmarks.quota.counting import SECOND, count_of
from benchmarks.quota.driver import Job
from benchmarks.quota.queue import Queue
from benchmarks.quota.running import begin, client, finish, reports, run, service, tell
from benchmarks.quota.service import now
from benchmarks.quota.tally import Limits
from freeproviders.quota.opening import open_ledger

WINDOW = SECOND
QUEUE = Queue(WINDOW, scale=0.05)
LIMITS = {
    "fixed": Limits("fixed", 12, 3000, WINDOW, WINDOW * 3 // 10),
    "rolling": Limits("rolling", 12, 3000, WINDOW),
    "refill": Limits("refill", 12, 3000, WINDOW, counted="admission"),
    "corrected": Limits("rolling", 12, 3000, WINDOW, counted="corrected"),
}
JOB = Job("ledger, SQLite", 0, "", LIMITS, QUEUE, 4 * WINDOW, 3)


def judge(seen, windows):
    """Nothing over, and more than so many windows' worth done."""
    assert {name: one.over for name, one in seen.items()} == dict.fromkeys(LIMITS, 0)
    for name, one in seen.items():
        assert one.calls > windows * LIMITS[name].requests, name


@pytest.fixture(params=["SQLite", "Redis"])
def job(request, tmp_path):
    """A job over a store of its own."""
    redis = ""
    if request.param == "Redis":
        number = 2 if "killed" in request.node.name else 1  # a database of its own
        redis = f"{request.getfixturevalue('redis_address').rpartition('/')[0]}/{number}"
    return replace(JOB, driver=f"ledger, {request.param}", folder=str(tmp_path), redis=redis)


def test_eight_processes_pass_no_limit(job):
    seen, _ = run(job, 8)
    judge(seen, 1)


def test_workers_that_are_killed_at_any_moment_pass_no_limit(job):
    """What a killed worker had under way counts as spent; the ledger is sound.

    A worker that the machine let wait between its reservation and the write, and that was killed
    before it could tell so, has written later than the ledger knows: one call of each at most.
    """
    with service(LIMITS, QUEUE) as port:
        left, killed = kill_at_random(
            replace(job, port=port, lease=4.0, duration=3 * WINDOW), random.Random(7)
        )
        assert not any(finish(left, 60))
        seen = reports(port)
    assert sum(one.over for one in seen.values()) <= killed
    assert any(one.calls for one in seen.values())  # a lease may hold all that there is
    assert killed > 2
    place = job.redis or f"{job.folder}/ledger.sqlite"
    for one in asyncio.run(standings(place)):
        assert one.used <= one.rule.cap
    if not job.redis:
        with closing(sqlite3.connect(place)) as file:
            assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def kill_at_random(job, chance):
    """Run a job, of which a worker is killed and replaced now and then; returns the last workers."""
    clients = [client(job) for _ in range(8)]
    start = begin(clients)
    killed = 0
    while now() < start + job.duration:
        time.sleep(chance.uniform(0.1, 0.6))
        victim = clients.pop(chance.randrange(len(clients)))
        victim.kill()
        assert finish([victim], 30)[0] in {-9, 0}
        killed += 1
        clients.append(client(job))
        tell(clients[-1], start)
    return clients, killed


async def standings(path):
    ledger = open_ledger(path)
    try:
        return await ledger.standings()
    finally:
        ledger.close()


def test_the_judge_sees_what_is_over():
    """Without a limiter every meaning refuses calls, so that the tests above can fail."""
    seen, _ = run(replace(JOB, driver="none, obeying Retry-After", duration=WINDOW), 2)
    assert all(one.over for one in seen.values())


NOTED = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 4)), max_size=25)


@given(NOTED, st.integers(0, 60), st.integers(1, 4))
def test_windows_are_counted_as_they_are_defined(noted, time, amount):
    """By looking at each window there is."""
    fixed, rolling = count_of("fixed", 6, 10, 3), count_of("rolling", 6, 10)
    let_in = []
    for at, much in noted:
        fits = rolling.fits(at, much)
        tried = [*let_in, (at, much)]
        assert fits == all(
            sum(one for when, one in tried if begin <= when < begin + 10) <= 6 for begin in range(-10, 61)
        )
        if fits:
            rolling.add(at, much)
            let_in = tried
        fixed.add(at, much)
    window = (time - 3) // 10
    assert fixed.fits(time, amount) == (
        amount + sum(much for at, much in noted if (at - 3) // 10 == window) <= 6
    )


@given(NOTED)
def test_a_bucket_is_counted_as_it_is_defined(noted):
    """Microsecond by microsecond, with 6 in 10 of them."""
    bucket = count_of("refill", 6, 10)
    let_in = []
    for at, much in noted:
        tried = sorted([*let_in, (at, much)])
        level, lowest = 60, 60
        for moment in range(61):
            level = min(60, level + 6) - 10 * sum(one for when, one in tried if when == moment)
            lowest = min(lowest, level)
        assert bucket.fits(at, much) == (lowest >= 0)
        if lowest >= 0:
            bucket.add(at, much)
            let_in = tried


@pytest.mark.parametrize("counted", ["admission", "corrected", "end"])
@pytest.mark.parametrize("meaning", ["fixed", "rolling", "refill"])
def test_nobody_does_better_than_the_omniscient_client(meaning, counted):
    """It gets all that is there: of each whole window the cap, but what the next request is too large for."""
    limits = Limits(meaning, 12, 100_000, WINDOW, WINDOW // 3, counted)
    had, best = ideal.used([], QUEUE, limits, 0, 10 * WINDOW - 1)
    assert had == 0
    assert best == {"fixed": 11 * 12, "rolling": 10 * 12, "refill": 11 * 12 - 1}[meaning]
