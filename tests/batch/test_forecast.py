"""When a batch ends: beside the ledger itself, on a clock that the test sets, and by properties."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf, isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders import FreeProviders, OpenAICompatible
from freeproviders.batch.forecast import Bound, RowCost, Supply, place_of, seconds_for, supplies_of, supply_of
from freeproviders.quota.interface import Grant
from freeproviders.quota.quota import Quota
from freeproviders.quota.steps import Look, Settle, Standings
from tests.quota.stores import Asked, Clock, ask, rule, sqlite_store

MINUTE, DAY = 60.0, 86_400.0

BOUNDS = st.builds(
    lambda cap, share, period, back, rolling: Bound(
        cap,
        cap * share,
        period,
        ((back * period, cap * (1 - share)), (period, cap * share)) if rolling else ((back * period, cap),),
    ),
    st.floats(1, 1000),
    st.floats(0, 1),
    st.sampled_from([1.0, MINUTE, 3600.0, DAY]),
    st.floats(0, 1),
    st.booleans(),
)
SUPPLIES = st.builds(
    Supply,
    st.just("a"),
    st.lists(BOUNDS, max_size=3).map(tuple),
    st.floats(0.01, 100),
    st.floats(0, 1000),
)


@given(st.lists(SUPPLIES, min_size=1, max_size=3), st.floats(0, 5000), st.floats(0, 5000))
def test_more_rows_are_not_sooner_done_and_more_services_not_later(supplies, rows, more) -> None:
    few, many = seconds_for(rows, supplies), seconds_for(rows + more, supplies)
    assert 0 <= few <= many * 1.001 + 1e-2
    if isfinite(few):
        helped = seconds_for(rows, [*supplies, Supply("b", (), 1.0)])
        assert helped <= few * 1.001 + 1e-2


@given(st.integers(1, 10_000), st.floats(0.01, 100))
def test_without_limits_the_speed_decides(rows, speed) -> None:
    assert seconds_for(rows, [Supply("a", (), speed)]) == pytest.approx(rows / speed, rel=1e-2, abs=1e-2)
    assert seconds_for(rows, [Supply("a"), Supply("b")], speed) == pytest.approx(
        rows / speed, rel=1e-2, abs=1e-2
    )


def test_nothing_left_and_never() -> None:
    assert seconds_for(0, []) == 0
    assert seconds_for(1, []) == inf
    assert seconds_for(10, [Supply("a", (Bound(0, 0, DAY, ((DAY, 0),)),), 1.0)]) == inf


def test_a_service_that_is_shut_is_counted_from_when_it_opens() -> None:
    assert seconds_for(10, [Supply("a", (), 1.0, opens=100)]) == pytest.approx(110, abs=0.1)


def run_on(book: Asked, rules, cost: RowCost, rows: int, speed: float) -> float:
    """Ask rows of a ledger, each when there is room for it, and return how long that took."""
    began = book.clock.at
    for number in range(rows):
        book.clock.at = max(book.clock.at, began + number / speed)
        wanted = ask(*[(one, cost.of(one.metric)) for one in rules], transit=0.0)
        while not isinstance(grant := book.take(wanted), Grant):
            book.clock.at += max(grant.after, 0.01)
        spent = {one.metric: cost.of(one.metric) for one in rules if one.metric != "requests"}
        book.do(Settle(grant, spent, 0.0))
    return book.clock.at + 1 / speed - began


def foretold(book: Asked, rules, cost: RowCost, rows: int, speed: float) -> float:
    now = datetime.fromtimestamp(book.clock.wall(), UTC)
    standings = book.do(Standings())
    freed = {
        place_of(one.rule): [
            now
            + timedelta(
                seconds=getattr(book.do(Look(ask((one.rule, one.left + share * one.used)))), "after", 0)
            )
            for share in (0.25, 0.5, 0.75, 1.0)
        ]
        for one in standings
        if one.used
    }
    supply = supply_of("a", rules, standings, cost, freed, keep=0.0, speed=speed, now=now)
    return seconds_for(rows, [supply])


@settings(max_examples=12, deadline=None)
@given(
    minute=st.integers(5, 30),
    days=st.floats(0.5, 3.5),
    a_day=st.integers(40, 100),
    used=st.floats(0, 1),
    pause=st.floats(0, 0.9),
    speed=st.sampled_from([0.2, 2.0, 50.0]),
    tokens=st.booleans(),
    fixed=st.booleans(),
)
def test_the_end_is_within_a_tenth_of_what_the_ledger_grants(
    *, minute, days, a_day, used, pause, speed, tokens, fixed
) -> None:
    """With limits of a minute and of a day, of requests and of tokens, some of them used before."""
    clock = Clock()
    store = sqlite_store(clock)
    book = Asked(store, clock)
    rules = [
        rule(per="minute", cap=minute),
        rule(per="day", cap=a_day, reset="fixed" if fixed else "rolling"),
        *([rule("tokens", "minute", 100.0 * minute)] if tokens else []),
    ]
    cost = RowCost(1.0, 60.0, 90.0)
    run_on(book, rules, cost, int(used * a_day), speed)
    clock.at += pause * DAY
    rows = int(days * a_day)
    said = foretold(book, rules, cost, rows, speed)
    took = run_on(book, rules, cost, rows, speed)
    assert said == pytest.approx(took, rel=0.1, abs=2 * MINUTE)


async def test_what_a_backend_has_left(tmp_path) -> None:
    """A backend with limits of its caller's; a share of its day is left to others."""
    limits = [
        {"metric": "requests", "per": "minute", "cap": 10},
        {"metric": "requests", "per": "day", "cap": 100},
        {"metric": "concurrency", "per": "", "cap": 2},
    ]
    quota = Quota(limits, name="mine", ledger=str(tmp_path / "ledger.sqlite"))
    backend = OpenAICompatible("m", base_url="http://127.0.0.1:9/v1", quota=quota)
    (supply,) = await supplies_of(backend, RowCost(), keep=0.2)
    assert [(one.cap, one.left, one.period) for one in supply.bounds] == [(10, 10, 60), (80, 80, DAY)]
    assert seconds_for(80, [supply]) == pytest.approx(7 * 60, abs=1)
    assert seconds_for(81, [supply]) == pytest.approx(DAY, rel=0.01)


async def test_members_that_share_a_pool_count_once(tmp_path) -> None:
    limits = [{"metric": "requests", "per": "day", "cap": 100}]
    quota = Quota(limits, name="mine", ledger=str(tmp_path / "ledger.sqlite"))
    members = [
        OpenAICompatible(name, base_url="http://127.0.0.1:9/v1", quota=quota) for name in ("one", "two")
    ]
    other = OpenAICompatible("three", base_url="http://127.0.0.1:9/v1", quota=None)
    supplies = await supplies_of(FreeProviders(*members, other), RowCost(), speed=1.0)
    assert [len(one.bounds) for one in supplies] == [1, 0]
