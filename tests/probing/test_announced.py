"""What headers are guessed to announce."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from freeproviders.catalogue.rows import Limit
from freeproviders.probing.announced import AnyCase, form_of, guessed, misread
from freeproviders.wire.limits import AllowanceHeaders

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("2m59.56s", "duration"),
        ("120ms", "duration"),
        ("59", "seconds"),
        ("0.5", "seconds"),
        ("1795176000", "epoch_s"),
        ("1795176000000", "epoch_ms"),
        ("Sun, 22 Nov 2026 00:00:00 GMT", "http_date"),
        ("2026-11-22T00:00:00Z", "iso"),
        ("soon", ""),
    ],
)
def test_the_form_of_a_reset(value, form):
    """Each form that a row can name is told by its value."""
    assert form_of(value) == form


def line(metric, per, stem, form="", scope=""):
    """A line with three headers, of which `{}` stands for the role."""
    names = [stem.format(role) for role in ("limit", "remaining", "reset")]
    return AllowanceHeaders(metric, per, *names, reset_form=form, scope=scope)


@pytest.mark.parametrize(
    ("expected", "reset"),
    [
        (line("tokens", "minute", "x-ratelimit-{}-tokens-minute", "seconds"), "12"),
        (line("requests", "day", "x-ratelimit-{}-requests-day", "duration"), "12h0m0s"),
        (line("requests", "hour", "x-ratelimit-{}-hourly", "iso"), "2026-11-21T13:00:00Z"),
        (line("requests", "minute", "x-rate-limit-{}", "epoch_s"), "1795262430"),
        (line("requests", "day", "ratelimit-{}", "seconds"), "40000"),
        (line("requests", "hour", "ratelimit-{}", "seconds"), "3000"),
        (line("input tokens", "minute", "x-ratelimit-{}-input-tokens", "seconds"), "20"),
        (line("neurons", "day", "x-{}-neurons-day", "seconds"), "20"),
        (line("concurrency", "", "x-{}-concurrent", "seconds"), "20"),
    ],
)
def test_what_headers_announce(expected, reset):
    """The words tell the metric and the period; where they do not, the reset tells the period."""
    headers = AnyCase([{expected.limit.title(): "77", expected.remaining: "70", expected.reset: reset}])
    assert guessed(headers, [], [], NOW) == [expected]
    assert guessed(headers, [expected], [], NOW) == []


def test_a_recorded_limit_tells_the_period():
    """Headers without a word for it, of which a limit has the very number."""
    limits = [Limit(metric="requests", cap=500, per="day", scope="model")]
    headers = AnyCase([{"x-ratelimit-limit": "500", "x-ratelimit-remaining": "499"}])
    (found,) = guessed(headers, [], limits, NOW)
    assert (found.per, found.scope, found.reset) == ("day", "model", "")


def test_headers_that_tell_nothing():
    """Words for numbers, and a reset alone."""
    headers = {"x-ratelimit-limit": "many", "x-ratelimit-reset-day": "12", "x-frame-limit": "3"}
    assert guessed(AnyCase([headers]), [], [], NOW) == []


def test_resets_that_are_misread():
    """A reset in no form is taken out of the line; seconds and durations are read by either name."""
    odd = line("requests", "day", "x-{}", "epoch_s")
    headers = AnyCase([{"x-limit": "1", "x-reset": "soon"}])
    ((before, after, value),) = misread(headers, [odd], NOW)
    assert (before, after.reset, value) == (odd, "", "soon")
    numbers = line("requests", "day", "x-{}", "duration")
    assert not list(misread(AnyCase([{"x-reset": "12"}]), [numbers], NOW))
