"""Ten services with limits, of which a third of the requests fails: each question is answered once.

The services, faults and questions are those of `benchmarks.router`, which measures more and longer,
and says how near to the ideal schedule it comes. Here everything is counted, by the services.
"""

import asyncio
import time
from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.router.client import with_tasks, with_threads
from benchmarks.router.ours import Ours
from benchmarks.router.plan import Plan, faults, planned
from benchmarks.router.services import Running

PLAN = planned(Plan(questions=120, at_once=30, slowness=0.4, window=2, down=(1.0, 2.0)))


@pytest.fixture
def running():
    """Start the services of a run."""
    made = []

    def start(plan):
        made.append(Running(plan, range(len(plan.members))))
        made[0].start(time.monotonic())
        return made[0]

    yield start
    for one in made:
        one.stop()


def judge(plan, outcomes, reports):
    """Everything answered right and once, nothing above a limit, nobody asked in a cool-down.

    That an answer breaks off three times behind its first words is an error by the rules, and comes
    to one question in some ten thousand. A request may be on its way when a service names a time,
    on a busy machine for longer than the services allow for.
    """
    wrong = [one.error for one in outcomes if not one.right]
    assert all(one.first >= 0 for one in outcomes), wrong
    assert not any(error.startswith(("wrong", "twice")) for error in wrong), wrong
    assert len(wrong) <= 1, wrong
    assert sorted(one.number for one in outcomes) == list(range(plan.questions))
    answered = sum((Counter(one.answered) for one in reports), Counter())
    assert [number for number, times in answered.items() if times > 1] == []
    assert {one.name: one.over for one in reports if one.over} == {}
    assert sum(one.cooling for one in reports) <= 1
    assert [wrong for one in reports for wrong in one.wrong] == []
    met = sum((Counter(one.met) for one in reports), Counter())
    assert len(met) > len(faults(plan)) / 2, met


async def test_streams_of_tasks(running):
    services = running(PLAN)
    asked = Ours(PLAN, services.addresses, first=3, transit=1)
    judge(PLAN, await with_tasks(asked, PLAN, time.monotonic()), services.reports())
    await asked.close()


def test_whole_answers_of_threads(running):
    plan = replace(PLAN, stream=False, seed=2)
    services = running(plan)
    asked = Ours(plan, services.addresses, first=5, transit=1)
    judge(plan, with_threads(asked, plan, time.monotonic()), services.reports())
    asyncio.run(asked.close())
