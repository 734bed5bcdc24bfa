"""Limits as replicas announce them, against the forms in which services were seen to write them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders.catalogue.rows import Limit
from freeproviders.testing.announce import announcement, filled, go_duration, written
from freeproviders.testing.meters import Standing
from freeproviders.wire.limits import AllowanceHeaders

NOW = Fraction("1795180051.25")  # 20 November 2026, 13:07:31.25


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        ("179.56", "2m59.56s"),
        ("6", "6s"),
        ("1.57", "1.57s"),
        ("0.145", "145ms"),
        ("0", "0s"),
        ("0.0001", "1ms"),
        ("59.9999", "1m0s"),
        ("3600", "1h0m0s"),
        ("86399.5", "23h59m59.5s"),
    ],
)
def test_go_durations(seconds: str, text: str) -> None:
    assert go_duration(Fraction(seconds)) == text


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("duration", "1m0.3s"),
        ("seconds", "60.3"),
        ("", "60.3"),
        ("epoch_s", "1795180112"),
        ("epoch_ms", "1795180111550"),
        ("http_date", "Fri, 20 Nov 2026 13:08:32 GMT"),
        ("iso", "2026-11-20T13:08:31.550Z"),
    ],
)
def test_forms_of_a_reset(form: Any, text: str) -> None:
    assert written(form, NOW + Fraction("60.3"), NOW) == text


@given(st.fractions(0, 10**6))
def test_a_time_is_never_too_early(wait: Fraction) -> None:
    at = NOW + wait
    assert Fraction(written("seconds", at, NOW)) >= wait
    assert Fraction(written("epoch_s", at, NOW)) >= at
    assert Fraction(written("epoch_ms", at, NOW)) / 1000 >= at


def standing(remaining: float = 7, **line: Any) -> Standing:
    limit = Limit(**{"metric": "requests", "per": "minute", "cap": 30, **line})
    return Standing(limit, limit.cap - remaining, remaining, 1, NOW + 5, NOW + 20)


def test_separate_headers_and_pairs() -> None:
    names = [
        AllowanceHeaders("requests", "minute", limit="x-limit", remaining="x-left", reset="x-reset"),
        AllowanceHeaders("tokens", "1 days", pair="x-tokens", scope="free"),
        AllowanceHeaders("requests", "day", limit="x-other"),
    ]
    standings = [
        standing(),
        standing(6.9, scope="all"),  # the tightest of those that are meant
        standing(123.5, metric="tokens", per="day", cap=1000, scope="free"),
        standing(1, metric="tokens", per="day", cap=1000, scope="model"),
    ]
    assert announcement(names, standings, NOW) == {
        "x-limit": "30",
        "x-left": "6",
        "x-reset": "20",
        "x-tokens": "123/1000",
    }


def test_places_in_a_body() -> None:
    body = '{"a":"{model}: {used} of {limit}, {remaining} left, {requested} wanted","b":{"c":{epoch_ms}}}'
    assert filled(body, "m", standing(), NOW, NOW + 5) == (
        '{"a":"m: 23 of 30, 7 left, 1 wanted","b":{"c":1795180056250}}'
    )
    assert filled("{seconds} {duration} {iso} {no_such}", "m", None, NOW, NOW + 125) == (
        "125 2m5s 2026-11-20T13:09:36.250Z {no_such}"
    )
