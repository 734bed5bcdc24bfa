"""Shares of few questions, and differences that may be chance."""

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders.batch.chance import Share, chance, told_apart


@pytest.mark.parametrize(
    ("share", "low", "high"),
    [
        # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
        (Share(81, 263), 0.2553, 0.3662),
        (Share(15, 148), 0.0624, 0.1605),
        (Share(0, 20), 0.0000, 0.1611),
        (Share(1, 29), 0.0061, 0.1718),
    ],
)
def test_intervals_are_those_of_the_literature(share, low, high):
    assert share.interval == pytest.approx((low, high), abs=5e-5)


def test_a_share_in_words():
    assert str(Share(17, 20)) == "17 of 20 (64% to 95%)"
    assert str(Share(0, 0)) == ""
    assert Share(0, 0).interval == (0, 1)


@given(st.integers(1, 500).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_the_share_is_in_its_interval(numbers):
    share = Share(*numbers)
    low, high = share.interval
    assert 0 <= low <= share.part <= high <= 1
    mirrored = Share(share.of - share.count, share.of).interval
    assert mirrored == pytest.approx((1 - high, 1 - low))


def test_few_different_answers_tell_nothing():
    assert chance(0, 0) == 1
    assert chance(5, 0) == 0.0625
    assert chance(6, 0) == 0.03125
    assert chance(3, 1) == chance(1, 3) == 0.625


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_chance_is_that_of_a_fair_coin(first, second):
    number = first + second
    as_uneven = [k for k in range(number + 1) if abs(2 * k - number) >= abs(first - second)]
    assert chance(first, second) == pytest.approx(sum(comb(number, k) for k in as_uneven) / 2**number)


def test_many_comparisons_need_larger_differences():
    assert told_apart([]) == []
    assert told_apart([0.04]) == [True]
    assert told_apart([0.04, 0.03]) == [False, False]
    assert told_apart([0.04, 0.02]) == [True, True]
    assert told_apart([0.04, 0.9, 0.001]) == [False, False, True]
