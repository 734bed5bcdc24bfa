"""The counters of a replica's limits, judged by models that count everything again each time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders.catalogue.rows import Limit
from freeproviders.testing.limits import Asker, Exceeded, Limits, changed
from freeproviders.testing.meters import Standing, borders

ME = Asker("key", "127.0.0.1")
START = datetime(2026, 11, 20, 13, 7, 31, 250_000, tzinfo=UTC).timestamp()


class Clock:
    """A clock that is moved by hand."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def exact(number: float) -> Fraction:
    return Fraction(str(number))


def refusal(limits: Limits, *tokens: int, model: str = "m", asker: Asker = ME) -> Standing | None:
    """Ask once; the call ends at once. Return how the limit stands that refused it."""
    try:
        limits.admit(model, asker, *tokens).close()
    except Exceeded as exceeded:
        return exceeded.standing
    return None


def asked(limits: Limits, *tokens: int, **who: Any) -> bool:
    """Ask once; return whether the call was admitted."""
    return refusal(limits, *tokens, **who) is None


# Steps of 1/8 s up to above the period of ten seconds, so that borders are met exactly.
STEPS = st.lists(st.tuples(st.integers(0, 90), st.integers(1, 5)), max_size=60)


def used_of(reset: str, uses: Iterable[tuple[Fraction, int]], now: Fraction, cap: int) -> Fraction:
    """What counts at a moment, from nothing but the list of what was admitted."""
    period = Fraction(10)
    if reset == "rolling":
        return Fraction(sum(amount for at, amount in uses if at > now - period))
    if reset == "fixed":
        return Fraction(sum(amount for at, amount in uses if at // period == now // period))
    level, last = Fraction(cap), Fraction(0)
    for at, amount in [*uses, (now, 0)]:
        level = min(Fraction(cap), level + (at - last) * cap / period) - amount
        last = at
    return cap - level


@pytest.mark.parametrize("reset", ["rolling", "fixed", "refill"])
@given(cap=st.integers(1, 12), steps=STEPS)
def test_each_meaning_is_exact(reset: Any, cap: int, steps: list[tuple[int, int]]) -> None:
    """A call is admitted where the naive model has room for it, else refused with the exact moment."""
    clock = Clock()
    limits = Limits([Limit(metric="tokens", per="10 seconds", cap=cap, reset=reset)], clock)
    uses: list[tuple[Fraction, int]] = []
    for step, amount in steps:
        clock.now += step / 8
        now = exact(clock.now)
        room = used_of(reset, uses, now, cap) + amount <= cap
        refused = refusal(limits, amount)
        assert (refused is None) == room
        if refused is None:
            uses.append((now, amount))
        elif amount > cap:
            assert refused.too_large
            assert refused.back_at is None
        else:
            at = refused.back_at
            assert at is not None
            assert used_of(reset, uses, at, cap) + amount <= cap
            assert used_of(reset, uses, at - Fraction(1, 1_000_000), cap) + amount > cap
    counted = limits.counts()
    assert (counted.admitted, counted.refused) == (len(uses), len(steps) - len(uses))
    if steps:
        (count,) = counted.limits
        assert count.admitted == sum(amount for _, amount in uses)
        assert count.refused == len(steps) - len(uses)
        assert count.largest <= cap
        at_each = [float(used_of(reset, uses[: n + 1], at, cap)) for n, (at, _) in enumerate(uses)]
        assert count.largest == max(at_each, default=0)
        assert count.used + count.remaining == pytest.approx(cap)


@pytest.mark.parametrize("reset", ["rolling", "fixed", "refill"])
@given(cap=st.integers(1, 12), steps=STEPS)
def test_what_is_left_is_the_truth(reset: Any, cap: int, steps: list[tuple[int, int]]) -> None:
    """So many calls fit as are left, and at the announced moment there is room again."""
    clock = Clock()
    limits = Limits([Limit(metric="requests", per="10 seconds", cap=cap, reset=reset)], clock)
    for step, calls in steps:
        clock.now += step / 8
        for _ in range(calls):
            asked(limits)
    (standing,) = limits.standings("m", ME)
    assert [asked(limits) for _ in range(int(standing.remaining) + 1)] == [True] * int(standing.remaining) + [
        False
    ]
    (standing,) = limits.standings("m", ME)
    assert standing.reset_at is not None
    clock.now = float(standing.reset_at) + 1e-6
    assert asked(limits)


@pytest.mark.parametrize("reset", ["rolling", "fixed"])
@given(steps=STEPS, cap=st.integers(1, 12), lasts=st.integers(0, 12))
def test_what_is_settled_counts_at_its_admission(
    reset: Any, steps: list[tuple[int, int]], cap: int, lasts: int
) -> None:
    """Answers are known only when they end: their tokens count with those of their prompts."""
    clock = Clock()
    limits = Limits([Limit(metric="tokens", per="10 seconds", cap=cap, reset=reset)], clock)
    uses: list[tuple[Fraction, int]] = []
    for step, answer in steps:
        clock.now += step / 8
        now = exact(clock.now)
        before = used_of(reset, uses, now, cap)
        try:
            ticket = limits.admit("m", ME, 1)
        except Exceeded:
            assert before + 1 > cap
            continue
        assert before + 1 <= cap
        clock.now += lasts
        ticket.tokens(1, answer)
        ticket.close()
        ticket.close()
        uses.append((now, 1 + answer))
    if uses:
        used = limits.counts().of("tokens/10 seconds").used
        assert used == used_of(reset, uses, exact(clock.now), cap)


def test_all_or_nothing() -> None:
    clock = Clock()
    lines = [
        Limit(metric="requests", per="minute", cap=2, reset="rolling"),
        Limit(metric="tokens", per="minute", cap=10, reset="rolling"),
        Limit(metric="requests", per="day", cap=100, reset="fixed"),
    ]
    limits = Limits(lines, clock)
    assert asked(limits, 8)
    assert not asked(limits, 3)  # takes no request
    assert asked(limits, 2)
    with pytest.raises(Exceeded) as caught:
        limits.admit("m", ME, 1)
    assert caught.value.standing.limit.per == "minute"
    counts = limits.counts()
    assert (counts.admitted, counts.refused) == (2, 2)
    assert [(count.admitted, count.refused) for count in counts.limits] == [(2, 1), (10, 2), (2, 0)]


def test_the_limit_that_is_back_last_is_told() -> None:
    minute = Limit(metric="requests", per="minute", cap=1, reset="rolling")
    day = Limit(metric="requests", per="day", cap=1, reset="fixed")
    once = Limit(metric="requests", cap=1)
    midnight = datetime(2026, 11, 21, tzinfo=UTC).timestamp()
    for lines in ([day, minute], [minute, day], [minute, once, day]):
        limits = Limits(lines, Clock())
        assert asked(limits)
        refused = refusal(limits)
        assert refused is not None
        told = (once, None) if once in lines else (day, midnight)
        assert (refused.limit, refused.back_at) == told


def test_pools() -> None:
    """Models have limits of their own or share a named pool, and each key has its own."""
    lines = [
        Limit(metric="requests", per="minute", cap=1, scope="model"),
        Limit(metric="requests", per="hour", cap=3, scope="free", models=("*:free",)),
        Limit(metric="requests", per="day", cap=4, scope="here", by="ip"),
    ]
    limits = Limits(lines, Clock())
    you = Asker("other", "127.0.0.1")
    assert [
        asked(limits, model=name) for name in ("a:free", "a:free", "b:free", "c:free", "d:free", "e")
    ] == [
        True,
        False,
        True,
        True,
        False,  # the pool
        True,
    ]
    assert not asked(limits, model="f", asker=you)  # the address
    assert [
        (count.limit.per, count.pool, count.account, count.admitted) for count in limits.counts().limits
    ] == [
        ("minute", "a:free", 1, 1),
        ("hour", "free", 1, 3),
        ("day", "here", 0, 4),
        ("minute", "b:free", 1, 1),
        ("minute", "c:free", 1, 1),
        ("minute", "d:free", 1, 0),
        ("minute", "e", 1, 1),
        ("minute", "f", 2, 0),
    ]
    assert limits.counts().of("requests/minute", "b:free").remaining == 0
    with pytest.raises(LookupError, match="No single count"):
        limits.counts().of("requests/minute")


def test_with_and_without_a_key() -> None:
    lines = [
        Limit(metric="requests", per="minute", cap=1, keyless=True),
        Limit(metric="requests", per="minute", cap=2, keyless=False),
    ]
    limits = Limits(lines, Clock())
    nobody = Asker("", "127.0.0.1")
    assert [asked(limits, asker=who) for who in (nobody, nobody, ME, ME, ME)] == [
        True,
        False,
        True,
        True,
        False,
    ]


def test_at_once() -> None:
    limits = Limits([Limit(metric="concurrency", cap=2)], Clock())
    first, _ = limits.admit("m", ME), limits.admit("m", ME)
    with pytest.raises(Exceeded) as caught:
        limits.admit("m", ME)
    assert caught.value.standing.back_at is None
    first.close()
    first.close()  # gives back one place only
    limits.admit("m", ME)
    assert not asked(limits)
    assert limits.counts().of("concurrency").largest == 2


def test_what_is_taken_in_advance() -> None:
    limits = Limits([Limit(metric="tokens", per="minute", cap=100)], Clock(), reserve=True)
    ticket = limits.admit("m", ME, 10, 60)
    assert not asked(limits, 10, 30)
    ticket.tokens(10, 5)
    ticket.close()
    assert limits.counts().of("tokens/minute").used == 15
    with pytest.raises(Exceeded) as caught:
        limits.admit("m", ME, 50, 60)
    assert caught.value.standing.too_large


def test_units_that_no_request_shows() -> None:
    line = Limit(metric="neurons", per="day", cap=100, reset="fixed")
    assert all(asked(Limits([line], Clock())) for _ in range(5))
    limits = Limits([line], Clock(), charges={"neurons": 40})
    assert [asked(limits) for _ in range(3)] == [True, True, False]


def test_a_credit_never_comes_back() -> None:
    clock = Clock()
    limits = Limits([Limit(metric="requests", cap=1)], clock)
    assert asked(limits)
    clock.now += 10**8
    with pytest.raises(Exceeded) as caught:
        limits.admit("m", ME)
    assert (caught.value.standing.back_at, caught.value.standing.reset_at) == (None, None)


def test_a_clock_that_goes_back() -> None:
    for reset in ("rolling", "fixed", "refill"):
        clock = Clock()
        limits = Limits([Limit(metric="requests", per="minute", cap=1, reset=reset)], clock)
        assert asked(limits)
        clock.now -= 3600
        assert not asked(limits)
        clock.now += 3660
        assert asked(limits), reset


UTC_ZONE = "UTC"


@pytest.mark.parametrize(
    ("per", "zone", "now", "first", "last"),
    [
        ("minute", UTC_ZONE, "2026-11-20T13:07:59.999999", "2026-11-20T13:07:00", "2026-11-20T13:08:00"),
        ("10 seconds", UTC_ZONE, "2026-11-20T13:07:10", "2026-11-20T13:07:10", "2026-11-20T13:07:20"),
        ("hour", "Asia/Kolkata", "2026-11-20T13:07:00", "2026-11-20T12:30:00", "2026-11-20T13:30:00"),
        ("day", UTC_ZONE, "2026-11-20T23:59:59.5", "2026-11-20T00:00:00", "2026-11-21T00:00:00"),
        ("day", "America/Los_Angeles", "2026-11-20T07:59:59", "2026-11-19T08:00:00", "2026-11-20T08:00:00"),
        ("day", "America/Los_Angeles", "2026-11-20T08:00:00", "2026-11-20T08:00:00", "2026-11-21T08:00:00"),
        # A day of 25 hours, at the end of summer time.
        ("day", "America/Los_Angeles", "2026-11-01T12:00:00", "2026-11-01T07:00:00", "2026-11-02T08:00:00"),
        ("week", UTC_ZONE, "2026-11-22T23:00:00", "2026-11-16T00:00:00", "2026-11-23T00:00:00"),
        ("month", UTC_ZONE, "2026-12-31T23:00:00", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
        ("3 months", UTC_ZONE, "2026-11-20T00:00:00", "2026-10-01T00:00:00", "2027-01-01T00:00:00"),
    ],
)
def test_borders(per: str, zone: str, now: str, first: str, last: str) -> None:
    def moment(text: str) -> Fraction:
        return exact(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())

    limit = Limit(metric="requests", per=per, cap=1, zone=zone)
    assert borders(moment(now), limit) == (moment(first), moment(last))


def test_other_caps() -> None:
    row = [Limit(metric="requests", per="minute", cap=30), Limit(metric="tokens", per="day", cap=9)]
    assert changed(row, True) == tuple(row)
    assert changed(row, False) == ()
    assert changed(row, row[:1]) == (row[0],)
    caps = {"requests/minute": 3, "concurrency": 1, "requests/5 hours": 7}
    assert {(line.metric, line.per): line.cap for line in changed(row, caps)} == {
        ("requests", "minute"): 3,
        ("tokens", "day"): 9,
        ("concurrency", ""): 1,
        ("requests", "5 hours"): 7,
    }
    for name in ("rpm", "requests", "request/minute", "concurrency/minute", "requests/moment"):
        with pytest.raises(ValueError, match=r"a limit is named as|is no period"):
            changed(row, {name: 3})
    for cap in (-1, "3", None, True):
        with pytest.raises(ValueError, match=r"the cap of 'requests/minute' must be a number from 0 up"):
            changed(row, {"requests/minute": cap})  # type: ignore[dict-item]
