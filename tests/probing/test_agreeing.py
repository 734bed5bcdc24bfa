"""Services that are as their rows say: a probe finds nothing against the row."""

from __future__ import annotations

import asyncio

import pytest

from freeproviders.catalogue import catalogue, facts_of
from freeproviders.catalogue.rows import Limit
from freeproviders.probing import Prober
from freeproviders.probing.announced import is_about
from freeproviders.testing import replica
from tests.probing.models import Obedient

LIVING = [row.id for row in catalogue() if row.gone is None]


class Clock:
    """A clock that stands still but for pauses, for a replica and a probe of it."""

    def __init__(self):
        self.now = 1_795_176_000.0

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        """Pass the time."""
        self.now += seconds


def unrecorded(row):
    """Limits that a row says are announced, and of which it knows no number."""
    lines = [line for line in row.headers.allowance if line.per]
    return [
        Limit(metric=line.metric, cap=100_000, per=line.per, scope=line.scope or "account")
        for line in lines
        if not any(is_about(line.metric, line.per, limit) for limit in row.limit)
    ]


@pytest.mark.parametrize("service", LIVING)
def test_a_replica_agrees_with_its_row(service):
    """Each service of the catalogue, as its own row describes it; its limits are kept."""
    row = catalogue().service(service)
    model = row.default_model or next((name for name in row.models if "*" not in name), "replica")
    clock = Clock()
    limits = [*row.limit, *unrecorded(row)]
    with replica(service=service, answer=Obedient(), limits=limits, clock=clock) as server:
        prober = Prober(service, model, base_url=server.base_url, api_key="a-key-of-mine")
        report = asyncio.run(prober.run(sleep=clock.sleep))
        assert report.requests == len(server.requests) == 6
        assert server.counts.refused == 0
    assert report.ended is None
    assert [finding.said for finding in report.differences] == []
    assert not [finding.said for finding in report.findings if finding.about in {"answer", "stream", "usage"}]
    facts = facts_of(row, model)
    for question, able in (("tools", facts.tools), ("schema", facts.schema)):
        outcome = report.outcome(question)
        assert (outcome.error is None) == (able is not False), outcome.error


def test_without_a_key_a_service_that_wants_none_is_asked_slowly():
    """OVHcloud takes two requests a minute without a key."""
    clock = Clock()
    with replica(service="ovhcloud", answer=Obedient(), clock=clock) as server:
        prober = Prober("ovhcloud", base_url=server.base_url)
        assert prober.plan.keyless
        report = asyncio.run(prober.run(sleep=clock.sleep))
        assert server.counts.refused == 0
    assert (report.ended, report.requests) == (None, 6)
    assert prober.plan.pause > 30
    assert any("pass between two" in line for line in prober.plan.sentences())


async def test_a_probe_in_a_running_loop():
    """Nothing blocks the loop that it runs on, and outcomes are told as they come."""
    seen = []
    async with replica(service="groq", answer=Obedient()) as server:
        report = await Prober("groq", base_url=server.base_url, api_key="a-key-of-mine").run(seen.append)
    assert seen == list(report.outcomes)
    assert not report.differences
    assert report.plain()["agrees"] is True
