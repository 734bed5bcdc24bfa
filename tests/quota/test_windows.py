"""Calendars are those of the replicas, which count for themselves; what is free is free for good."""

from bisect import bisect_right
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders.catalogue.rows import Limit
from freeproviders.quota.steps import Refused
from freeproviders.quota.windows import GRAIN, Now, borders_around, meaning_of, whole
from freeproviders.testing.meters import borders
from tests.quota.stores import Asked, Clock, ask, rule, sqlite_store

ZONES = st.sampled_from(["UTC", "America/Los_Angeles", "Asia/Kolkata", "Pacific/Apia", "Europe/Dublin"])
MOMENTS = st.integers(1_577_836_800 * 8, 2_051_222_400 * 8).map(lambda eighths: eighths / 8)  # 2020 to 2035
RULES = st.sampled_from(
    [
        rule(),
        rule(reset="fixed"),
        rule(per="day", reset="fixed", zone="America/Los_Angeles"),
        rule(per="month", reset="fixed"),
        rule("concurrency", ""),
        rule("tokens", ""),
    ]
)


@given(st.sampled_from(["day", "month"]), ZONES, MOMENTS)
def test_calendars(unit, zone, moment):
    """The borders around any moment, also where a day has 23 or 25 hours."""
    first, last = borders(
        Fraction(moment), Limit(metric="requests", per=unit, cap=1, zone=zone, reset="fixed")
    )
    found = borders_around(unit, zone, moment)
    place = bisect_right(found, moment)
    assert (found[place - 1], found[place]) == (first, last)


@given(RULES, MOMENTS, st.integers(-8 * 2**22, 8 * 2**22), st.none() | st.integers(-800, 800))
def test_a_use_is_free_from_one_moment_on(of, moment, before, border):
    """The two ways to say it agree: up to the cutoff, and after the moment."""
    meaning = meaning_of(of)
    now, at = Now(moment), moment + before / 8
    told = None if border is None else at + border / 8
    assert (at <= meaning.cutoff(now, told)) == (meaning.free_at(at, now, told) <= now.at)


@given(st.floats(0, 1e9))
def test_amounts_are_rounded_up(amount):
    assert amount <= whole(amount) < amount + GRAIN * 1.5
    assert (whole(amount) / GRAIN).is_integer()


@pytest.mark.parametrize("wall", [-1e12, -1.0, 0.0, 1e11, 1e12, 1e15])
def test_a_wall_clock_may_say_anything(wall):
    """Before 1970 and long after, a day is a day, and nothing crashes."""
    clock = Clock(wall=wall)
    book = Asked(sqlite_store(clock), clock)
    wanted = ask(rule(per="day", cap=1, reset="fixed"))
    book.granted(wanted)
    assert isinstance(book.take(wanted), Refused)
    assert book.used(wanted.claims[0].rule) == 1
