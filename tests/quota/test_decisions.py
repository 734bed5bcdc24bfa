"""What a store grants, until when it counts, and what announcements change, on both stores."""

from math import inf

import pytest

from freeproviders.quota.interface import Grant
from freeproviders.quota.steps import (
    Adopt,
    Announced,
    Forget,
    Received,
    Refused,
    Renew,
    Sent,
    Settle,
    TooSmall,
)
from tests.quota.stores import GATE, Asked, Clock, ask, rule, sqlite_store


def test_a_request_counts_for_a_period_from_its_arrival(book):
    """A slot is free a period after the head of the answer, or after the last moment of arrival."""
    wanted = ask(rule(cap=2))
    first = book.granted(wanted)
    book.granted(wanted)
    assert isinstance(book.take(wanted), Refused)
    book.clock.at += 0.5
    book.do(Received(first, 0.25))  # it had arrived by 1000.25
    assert book.after(wanted) == 59.75
    book.clock.at = 1060.25 - 2**-10
    assert isinstance(book.take(wanted), Refused)
    book.clock.at = 1060.25
    book.granted(wanted)
    assert book.after(wanted) == 1.0  # the second: reserved at 1000, written by 1000.25, there by 1001.25
    book.clock.at = 1061.25
    book.granted(wanted)


def test_a_request_that_is_written_late_counts_from_then(book):
    wanted = ask(rule(cap=1))
    grant = book.granted(wanted)
    book.clock.at += 5
    book.do(Sent(grant, 1.0))
    assert book.after(wanted) == 60  # written at 1004, there by 1005
    book.do(Received(grant, 0.5))
    assert book.after(wanted) == 59.5


def test_all_claims_or_none(book):
    """What one pool refuses takes nothing of another, and the latest of the refusals is told."""
    requests, tokens = rule(cap=10), rule("tokens", cap=100, counted="end")
    book.granted(ask(requests, (tokens, 90)))
    refused = book.take(ask(requests, (tokens, 11)))
    assert isinstance(refused, Refused)
    assert refused.claim.rule == tokens
    assert book.used(requests) == 1
    book.granted(ask(requests, (tokens, 10)))


def test_tokens_count_from_the_end_of_the_call_and_are_given_back(book):
    tokens = rule("tokens", cap=100, counted="end")
    grant = book.granted(ask((tokens, 100)))
    refused = book.take(ask((tokens, 50)))
    assert (refused.after, refused.early) == (160.0, 0.0)  # the whole lease and a period, or at any time
    book.clock.at += 10
    book.do(Settle(grant, {"tokens": 30.0}, 2.0))
    assert book.used(tokens) == 30
    book.granted(ask((tokens, 70)))
    assert book.after(ask((tokens, 30))) == 58.0  # it ended at 1008


def test_a_lease_that_ends_counts_as_spent(book):
    """Tokens then count for a period more, a place of concurrency is free."""
    tokens, places = rule("tokens", cap=100, counted="end"), rule("concurrency", "", 1)
    book.granted(ask((tokens, 100), places))
    assert book.after(ask(places)) == 100.0
    book.clock.at += 100
    book.granted(ask(places))
    assert book.after(ask((tokens, 1))) == 60.0


def test_a_lease_is_renewed(book):
    places = rule("concurrency", "", 1)
    grant = book.granted(ask(places))
    book.clock.at += 90
    book.do(Renew(grant))
    assert book.after(ask(places)) == 100.0
    book.do(Settle(grant, {}, 0.0))
    book.granted(ask(places))


def test_what_was_never_written_is_given_back_whole(book):
    wanted = ask(rule(cap=1), (rule("tokens", "day", 50), 50), rule("concurrency", "", 1))
    grant = book.granted(wanted)
    book.do(Settle(grant, None, 0.0))
    grant = book.granted(wanted)
    book.do(Settle(grant, {"tokens": 0.0}, 0.0))  # an error before any content keeps the request
    assert book.used(rule(cap=1)) == 1
    assert book.used(rule("tokens", "day", 50)) == 0


def test_who_settles_is_told_what_is_left(book):
    """Of each pool but gates. Calls that run say nothing of when more comes: nobody knows their end."""
    requests, tokens = rule(cap=3), rule("tokens", cap=100, counted="end")
    places = rule("concurrency", "", 2)
    wanted = ask(requests, (tokens, 40), places, GATE)
    first, second = book.granted(wanted), book.granted(wanted)
    start = book.clock.wall()
    book.clock.at += 8
    book.do(Received(first, 4.0))
    told = book.do(Settle(first, {"tokens": 10.0}, 2.0, tell=True))
    assert [one.rule for one in told] == [requests, tokens, places]
    assert [one.left for one in told] == [1, 50, 1]  # the second call still holds 40
    assert [after(one, start) for one in told] == [61.25, 66.0, None]
    book.clock.at += 70
    told = book.do(Settle(second, {"tokens": 0.0}, 0.0, tell=True))
    assert [(one.left, one.back_at) for one in told] == [(3, None), (100, None), (2, None)]


def after(standing, start):
    """In how many seconds from a moment more is left."""
    return None if standing.back_at is None else round(standing.back_at.timestamp() - start, 3)


def test_a_call_that_runs_tells_no_time(book):
    tokens, places = rule("tokens", cap=100, counted="end"), rule("concurrency", "", 2)
    wanted = ask((tokens, 40), places)
    book.granted(wanted)
    told = book.do(Settle(book.granted(wanted), None, 0.0, tell=True))
    assert [(one.left, one.back_at) for one in told] == [(60, None), (1, None)]


def test_settling_again_changes_nothing(book):
    tokens = rule("tokens", cap=100)
    grant = book.granted(ask((tokens, 60)))
    book.do(Settle(grant, {"tokens": 20.0}, 0.0))
    book.do(Settle(grant, {"tokens": 0.0}, 0.0))
    assert book.used(tokens) == 20


def test_more_than_was_reserved_counts(book):
    tokens = rule("tokens", cap=100, counted="end")
    grant = book.granted(ask((tokens, 60)))
    book.do(Settle(grant, {"tokens": 140.0}, 0.0))
    assert book.used(tokens) == 140
    assert book.after(ask((tokens, 1))) == 60.0


def test_larger_than_a_cap(book):
    tokens = rule("tokens", cap=100)
    answer = book.take(ask(rule(), (tokens, 101)))
    assert isinstance(answer, TooSmall)
    assert (answer.claim.rule, answer.cap) == (tokens, 100)


def test_a_share_of_a_day_is_kept_for_others(book):
    day, minute = rule(per="day", cap=10), rule(cap=100)
    for _ in range(7):
        book.granted(ask(day, minute, keep=0.3))
    assert isinstance(book.take(ask(day, minute, keep=0.3)), Refused)
    book.granted(ask(day, minute))


def test_a_day_of_a_calendar_ends_at_its_midnight(make_store):
    """In Los Angeles, and five seconds later, since clocks differ."""
    clock = Clock(wall=1_790_000_000.0)  # 2026-09-21 14:13:20 UTC, 07:13:20 there
    book = Asked(make_store(clock), clock)
    wanted = ask(rule(per="day", cap=1, reset="fixed", zone="America/Los_Angeles"))
    book.granted(wanted)
    to_midnight = 86_400 - (7 * 3600 + 13 * 60 + 20)
    assert book.after(wanted) == to_midnight + 5
    clock.at += to_midnight + 5 - 2**-10
    assert isinstance(book.take(wanted), Refused)
    clock.at += 2**-10
    book.granted(wanted)


def test_near_midnight_a_request_counts_on_both_sides(make_store):
    clock = Clock(wall=1_790_035_200.0 - 3)  # three seconds to midnight UTC
    book = Asked(make_store(clock), clock)
    wanted = ask(rule(per="day", cap=1, reset="fixed"))
    book.granted(wanted)
    assert book.after(wanted) == 3 + 86_400 + 5


def test_a_month_of_a_calendar(make_store):
    clock = Clock(wall=1_790_000_000.0)
    book = Asked(make_store(clock), clock)
    wanted = ask(rule("usd", "month", 5, reset="fixed"))
    book.granted(ask((wanted.claims[0].rule, 5)))
    assert book.after(wanted) == 1_790_812_800 - 1_790_000_000 + 5  # the first of October


def announced(remaining=None, cap=None, reset_in=None, metric="requests", per="minute"):
    return Announced(metric, per, cap, remaining, reset_in)


def test_a_cap_that_was_announced_counts_for_all(book):
    wanted = ask(rule(cap=1))
    grant = book.granted(wanted)
    book.do(Adopt(grant, (announced(cap=3),), "header", 0.0, 0.0))
    book.granted(wanted)
    book.granted(wanted)
    assert isinstance(book.take(wanted), Refused)
    book.clock.at += 8 * 86_400  # after a week it is the row's again
    book.granted(wanted)
    assert isinstance(book.take(wanted), Refused)


def test_what_is_left_is_what_the_service_has_less_what_is_under_way(book):
    wanted = ask(rule(cap=20, reset="fixed"))
    first, second = book.granted(wanted), book.granted(wanted)
    book.clock.at += 1
    book.do(Received(first, 0.5))
    book.do(Adopt(first, (announced(remaining=3, reset_in=10.0),), "header", 1.0, 0.5))
    book.granted(wanted)  # 3, less the second
    book.granted(wanted)
    refused = book.take(wanted)
    assert refused.after == 10.5  # the reset, and a second since it may be rounded
    book.do(Received(second, 0.0))
    book.clock.at += 10.5
    book.granted(wanted)


def test_bounds_of_answers_out_of_order(book):
    """Each of eight calls at once is told what was left when it came; the ninth may have the rest."""
    wanted = ask(rule(cap=20, reset="rolling"))
    grants = [book.granted(wanted) for _ in range(8)]
    book.clock.at += 1
    for grant in grants:
        book.do(Received(grant, 0.0))
    for left, grant in zip((5, 12, 9, 7, 6, 11, 8, 10), grants, strict=True):
        book.do(Adopt(grant, (announced(remaining=left),), "header", 1.0, 0.0))
    for _ in range(5):
        book.granted(wanted)
    assert isinstance(book.take(wanted), Refused)


def test_what_others_have_taken_is_learned(book):
    """In a rolling window our own uses come back one by one, and one of theirs at the reset."""
    wanted = ask(rule(cap=20, reset="rolling"))
    mine = book.granted(wanted)
    book.do(Received(mine, 0.0))
    book.clock.at += 30
    other = book.granted(wanted)
    book.do(Received(other, 0.0))
    book.do(Adopt(other, (announced(remaining=0, reset_in=10.0),), "header", 0.0, 0.0))
    assert book.after(wanted) == 10.0
    book.clock.at += 10
    book.granted(wanted)
    assert book.after(wanted) == 20.0  # ours of the beginning leaves the window
    book.clock.at += 20
    book.granted(wanted)
    assert book.after(wanted) == 30.0


def test_a_bucket_that_was_told_empty_refills(book):
    wanted = ask(rule(cap=60, reset="refill"))
    grant = book.granted(wanted)
    book.do(Received(grant, 0.0))
    book.do(Adopt(grant, (announced(remaining=0, reset_in=60.0),), "header", 0.0, 0.0))
    assert book.after(wanted) == 1.0
    book.clock.at += 2
    book.granted(wanted)
    book.granted(wanted)
    assert book.after(wanted) == 1.0


def test_a_border_that_was_told_frees_what_lies_before_it(book):
    wanted = ask(rule(cap=1, reset="fixed"))
    grant = book.granted(wanted)
    book.do(Received(grant, 0.0))
    book.do(Adopt(grant, (announced(reset_in=20.0),), "header", 0.0, 0.0))
    assert book.after(wanted) == 21.0
    book.clock.at += 21
    book.granted(wanted)
    assert book.after(wanted) == 61.25


def test_whole_seconds_are_no_border_of_a_short_window(book):
    """The service may open up to a second later: what was sent counts for a period, as ever."""
    wanted = ask(rule(per="10 seconds", cap=2, reset="fixed"))
    first, second = book.granted(wanted), book.granted(wanted)
    for grant in (first, second):
        book.do(Received(grant, 0.0))
    exact, whole = (Announced("requests", "10 seconds", None, None, 3.0, part) for part in (0.0, 1.0))
    book.do(Adopt(first, (exact,), "header", 0.0, 0.0))
    assert book.after(wanted) == pytest.approx(3.0 + 10 / 60)
    book.do(Adopt(first, (whole,), "header", 0.0, 0.0))
    assert book.after(wanted) == 10.0
    told = Announced("requests", "10 seconds", None, 0.0, 10.0, 1.0)
    book.do(Adopt(second, (told,), "header", 0.0, 0.0))
    assert book.after(wanted) == 11.0


def test_a_refusal_shuts_the_gate(book):
    wanted = ask(rule(cap=10), GATE)
    grant = book.granted(wanted)
    book.do(Adopt(grant, (announced(remaining=0, reset_in=7.0, per=""),), "body", 0.0, 0.0))
    assert book.after(wanted) == 7.0
    book.clock.at += 7
    book.granted(wanted)


def test_accounts_have_their_own(book):
    wanted = rule(cap=1)
    book.granted(ask(wanted, account="a"))
    book.granted(ask(wanted, account="b"))
    assert isinstance(book.take(ask(wanted, account="a")), Refused)
    address = rule(cap=1, by="ip", pool="all")
    book.granted(ask(address, account="a"))
    assert isinstance(book.take(ask(address, account="b")), Refused)


def test_what_was_counted_is_forgotten_by_name(book):
    one, other = ask(rule(cap=1)), ask(rule(cap=1, pool="m-2"))
    grant = book.granted(one)
    book.granted(other)
    assert book.do(Forget("acme", "m-1")) == 1
    assert isinstance(book.take(other), Refused)
    book.granted(one)
    book.do(Settle(grant, None, 0.0))  # of before: no longer counted, so nothing is given back
    assert isinstance(book.take(one), Refused)
    assert book.do(Forget("acme")) == 2
    book.granted(other)


def test_a_limit_without_a_period_never_comes_back(book):
    wanted = ask((rule("tokens", "", 5), 5))
    book.granted(wanted)
    assert book.after(wanted) == inf


def test_a_wall_clock_that_is_set_frees_nothing():
    """Neither a rolling window nor a day, forwards or back; and the day still ends in time."""
    clock = Clock(wall=1_790_000_000.0)
    book = Asked(sqlite_store(clock), clock)
    minute, day = ask(rule(cap=1)), ask(rule(per="day", cap=1, reset="fixed", pool="m-2"))
    book.granted(minute)
    book.granted(day)
    before = book.after(day)
    for step in (86_400.0, -3 * 86_400.0, 40 * 86_400.0, 0.0):
        clock.offset = 1_790_000_000.0 - 1000 + step
        assert isinstance(book.take(minute), Refused)
        assert book.after(minute) == 61.25
        assert isinstance(book.take(day), Refused)
        assert book.after(day) >= before
    clock.at += 61.25
    book.granted(minute)
    clock.at += 26 * 3600  # after a day the clock is believed again, and the day is over
    book.granted(day)


@pytest.mark.parametrize("names", [("one", "two", "three"), ("", "", "")], ids=["named", "nameless"])
def test_a_new_start_of_the_machine(names):
    """What was counted goes on by the wall clock, and no call runs any more."""
    clock = Clock(wall=1_790_000_000.0)
    clock.boot = names[0]
    book = Asked(sqlite_store(clock), clock)
    day, places = ask(rule(per="5 hours", cap=1)), ask(rule("concurrency", "", 1))
    book.granted(day)
    book.granted(places)
    wall = clock.wall()
    clock.at, clock.boot = 30.0, names[1]
    clock.offset = wall + 3600 - clock.at
    assert book.after(day) == 4 * 3600 + 1.25
    book.granted(places)
    wall = clock.wall()
    clock.at, clock.boot = 20.0, names[2]
    clock.offset = -clock.at  # the machine has forgotten the date: it is 1970
    assert 0 < book.after(day) <= 5 * 3600
    clock.at += 5 * 3600
    assert isinstance(book.take(day), Grant)
