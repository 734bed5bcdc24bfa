"""Corrections as TOML, and what headers are guessed to announce."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders.catalogue.rows import Limit
from freeproviders.probing.announced import AnyCase, form_of, guessed, misread
from freeproviders.probing.lines import together, toml_of
from freeproviders.wire.limits import AllowanceHeaders

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
texts = st.text(st.characters(codec="utf-8"), max_size=30)
values = st.one_of(
    texts,
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.dates(date(2000, 1, 1)),
    st.floats(allow_nan=False, allow_infinity=False, width=32).filter(lambda one: not one.is_integer()),
    st.lists(texts, max_size=3),
)
tables = st.dictionaries(texts, values, max_size=4)
documents = st.dictionaries(
    texts,
    st.one_of(
        values, tables, st.lists(tables, min_size=1, max_size=3), st.dictionaries(texts, tables, max_size=3)
    ),
    max_size=5,
)


@given(documents)
def test_what_is_written_is_read(document):
    """Any names and texts, in single fields, tables, lists of tables and tables of tables."""
    assert tomllib.loads(toml_of(document)) == document


def test_corrections_are_put_together():
    """Limits and signs are added, lines of a table stand beside each other, single fields replace."""
    first = {"limit": [{"cap": 1}], "models": {"a": {"tools": True}}, "request": {"leave_out": ["x"]}}
    second = {"limit": [{"cap": 2}, {"cap": 1}], "models": {"b": {}}, "request": {"leave_out": ["y"]}}
    assert together([first, second]) == {
        "limit": [{"cap": 1}, {"cap": 2}],
        "models": {"a": {"tools": True}, "b": {}},
        "request": {"leave_out": ["y"]},
    }
    assert first["limit"] == [{"cap": 1}]


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
