"""Limits that services announce in headers: every form, nonsense, and times without sense."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from freeproviders.wire.limits import (
    LONGEST_RESET_SECONDS,
    Allowance,
    AllowanceHeaders,
    read_allowances,
    read_seconds,
)

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
EPOCH_S = int(NOW.timestamp())
FORMS = ["", "duration", "seconds", "epoch_s", "epoch_ms", "http_date", "iso"]
GROQ = [
    AllowanceHeaders(
        "requests",
        "day",
        limit="x-ratelimit-limit-requests",
        remaining="x-ratelimit-remaining-requests",
        reset="x-ratelimit-reset-requests",
        reset_form="duration",
        scope="model",
    ),
    AllowanceHeaders(
        "tokens",
        "minute",
        limit="x-ratelimit-limit-tokens",
        remaining="x-ratelimit-remaining-tokens",
        reset="x-ratelimit-reset-tokens",
        reset_form="duration",
    ),
]


def reset_of(value, form, now=NOW):
    """The seconds until the reset that one header announces, None where it announces none."""
    row = AllowanceHeaders("requests", "day", limit="limit", reset="reset", reset_form=form)
    (allowance,) = read_allowances({"limit": "1", "reset": value}, [row], now)
    return None if allowance.reset_at is None else (allowance.reset_at - now).total_seconds()


@pytest.mark.parametrize(
    ("value", "form", "resolution"),
    [
        ("6", "seconds", 1),
        ("6s", "seconds", 1),
        ("33011.382867", "seconds", 0),
        ("120ms", "duration", 0),
        ("2m59.56s", "duration", 0),
        ("1h2m", "duration", 1),
        ("1m3s", "duration", 1),
        ("856µs", "duration", 0),
        (str(EPOCH_S + 90), "epoch_s", 1),
        (f"{EPOCH_S + 90}.25", "epoch_s", 0),
        (str((EPOCH_S + 90) * 1000), "epoch_ms", 0),
        ("Fri, 20 Nov 2026 12:01:30 GMT", "http_date", 1),
        ("2026-11-20T12:01:30Z", "iso", 1),
        ("2026-11-20T12:01:30.5Z", "iso", 0),
    ],
)
def test_whole_seconds_may_be_rounded(value, form, resolution):
    """What has no fraction may lie up to a second later."""
    row = AllowanceHeaders("requests", "day", limit="limit", reset="reset", reset_form=form)
    (allowance,) = read_allowances({"reset": value}, [row], NOW)
    assert allowance.resolution == resolution


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (str(EPOCH_S + 90), "epoch_s"),
        (str((EPOCH_S + 90) * 1000), "epoch_ms"),
        ("Fri, 20 Nov 2026 12:01:30 GMT", "http_date"),
        ("2026-11-20T12:01:30Z", "iso"),
    ],
)
@pytest.mark.parametrize("ahead", [-7200.0, -3.5, 0.0, 0.75, 1.9, 40.0, 86_400.0])
def test_a_time_is_of_the_services_clock(value, form, ahead):
    """The `Date` of the same answer tells how wrong this machine's is; a wrong date tells nothing."""
    row = AllowanceHeaders("requests", "day", reset="reset", reset_form=form)
    now = NOW + timedelta(seconds=ahead)
    headers = CIMultiDict({"reset": value, "date": format_datetime(NOW, usegmt=True)})
    (allowance,) = read_allowances(headers, [row], now)
    expected = 90 - ahead if 0 <= ahead < 2 else 90
    assert (allowance.reset_at - now).total_seconds() == pytest.approx(expected)
    (allowance,) = read_allowances({"reset": value, "Date": "today"}, [row], NOW)
    assert (allowance.reset_at - NOW).total_seconds() == 90


@pytest.mark.parametrize(
    ("value", "form", "seconds"),
    [
        ("2m59.56s", "duration", 179.56),
        ("6s", "duration", 6),
        ("1.57s", "duration", 1.57),
        ("120ms", "duration", 0.12),
        ("856µs", "duration", 0.000856),
        ("1h2m", "duration", 3720),
        ("1h2m3.5s", "duration", 3723.5),
        ("0s", "duration", 0),
        ("-3s", "duration", 0),
        ("12.5", "duration", 12.5),
        ("33011.382867", "seconds", 33011.382867),
        (" 60 ", "seconds", 60),
        ("6s", "seconds", 6),
        ("-5", "seconds", 0),
        (str(EPOCH_S + 90), "epoch_s", 90),
        (f"{EPOCH_S + 90}.25", "epoch_s", 90.25),
        (str((EPOCH_S + 90) * 1000 + 1), "epoch_ms", 90.001),
        (str(EPOCH_S - 90), "epoch_s", 0),
        (str((EPOCH_S - 90) * 1000), "epoch_ms", 0),
        ("-99999999999999999999", "epoch_s", 0),
        ("Fri, 20 Nov 2026 12:01:30 GMT", "http_date", 90),
        ("Fri, 20 Nov 2026 12:01:30 -0000", "http_date", 90),
        ("Fri, 20 Nov 2026 11:01:30 GMT", "http_date", 0),
        ("2026-11-20T12:01:30Z", "iso", 90),
        ("2026-11-20T13:01:30.500+01:00", "iso", 90.5),
        ("2026-11-20T12:01:30.123456789Z", "iso", 90.123456),
        ("2026-11-20T12:01:30", "iso", 90),
        ("9999-12-31T23:59:59Z", "iso", LONGEST_RESET_SECONDS),
        ("9999-12-31T23:59:59-12:00", "iso", LONGEST_RESET_SECONDS),
        ("0001-01-01T00:00:00+12:00", "iso", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", "http_date", LONGEST_RESET_SECONDS),
        ("253402300799", "epoch_s", LONGEST_RESET_SECONDS),
        ("253402300799000", "epoch_ms", LONGEST_RESET_SECONDS),
        ("9" * 30, "epoch_s", LONGEST_RESET_SECONDS),
        ("1e9", "seconds", LONGEST_RESET_SECONDS),
        ("999999h", "duration", LONGEST_RESET_SECONDS),
        ("", "duration", None),
        ("soon", "duration", None),
        ("2m59.56", "duration", None),
        ("s", "duration", None),
        ("1m 2s", "duration", None),
        ("nan", "seconds", None),
        ("inf", "seconds", None),
        ("1_000", "seconds", None),
        ("٣", "seconds", None),
        ("today", "http_date", None),
        ("2026-13-01", "iso", None),
        ("soon", "epoch_s", None),
        ("60", "", None),
    ],
)
def test_resets(value, form, seconds):
    """Each form is read; the past is now, the far future has a ceiling, nonsense is None."""
    assert reset_of(value, form) == seconds


@given(
    st.text(max_size=40) | st.from_regex(r"[-+0-9.:hmsTZe ]{1,40}", fullmatch=True), st.sampled_from(FORMS)
)
def test_no_header_is_an_error(value, form):
    """Whatever a service writes, a time is sensible or None, and numbers are numbers or None."""
    row = AllowanceHeaders("tokens", "minute", limit="l", remaining="r", reset="t", reset_form=form)
    pair = AllowanceHeaders("tokens", "minute", pair="l")
    for allowance in read_allowances(dict.fromkeys("lrt", value), [row, pair], NOW):
        assert allowance.cap is None or allowance.cap >= 0
        assert allowance.remaining is None or allowance.remaining >= 0
        if allowance.reset_at is not None:
            assert NOW <= allowance.reset_at <= NOW + timedelta(seconds=LONGEST_RESET_SECONDS)
            assert allowance.reset_at.tzinfo is UTC


@given(st.integers(0, 59), st.integers(0, 59), st.integers(0, 23), st.integers(0, 999))
def test_durations_as_go_writes_them(seconds, minutes, hours, thousandths):
    """A duration is the sum of its pieces, and those that are zero may be missing."""
    total = hours * 3600 + minutes * 60 + seconds + thousandths / 1000
    text = f"{hours}h" * bool(hours) + f"{minutes}m" * bool(hours or minutes) + f"{seconds}.{thousandths:03}s"

    assert read_seconds(text) == pytest.approx(total, abs=1e-9)


@given(st.integers(0, int(LONGEST_RESET_SECONDS)), st.integers(-12, 14))
def test_every_form_tells_the_same_time(seconds, zone):
    """A moment is the same in each way of writing it, whatever the zone of the text."""
    at = NOW + timedelta(seconds=seconds)
    local = at.astimezone(timezone(timedelta(hours=zone)))

    assert reset_of(str(int(at.timestamp())), "epoch_s") == seconds
    assert reset_of(str(int(at.timestamp()) * 1000), "epoch_ms") == seconds
    assert reset_of(local.isoformat(), "iso") == seconds
    assert reset_of(format_datetime(local), "http_date") == seconds
    assert reset_of(str(seconds), "seconds") == seconds


def test_one_service():
    """Limits come in the order of the dialect, names in any case, times in UTC."""
    headers = CIMultiDict(
        {
            "X-RateLimit-Limit-Requests": "1000",
            "X-RateLimit-Remaining-Requests": "999",
            "X-RateLimit-Reset-Requests": "1m26.4s",
            "X-RateLimit-Limit-Tokens": "8000",
            "X-RateLimit-Remaining-Tokens": "7890",
            "X-RateLimit-Reset-Tokens": "825ms",
        }
    )
    now = NOW.astimezone(timezone(timedelta(hours=-8)))

    assert read_allowances(headers, GROQ, now) == (
        Allowance("requests", "day", 1000, 999, NOW + timedelta(seconds=86.4), "model"),
        Allowance("tokens", "minute", 8000, 7890, NOW + timedelta(milliseconds=825)),
    )


@pytest.mark.parametrize(
    ("headers", "cap", "remaining"),
    [
        ({"pair": "12/20"}, 20, 12),
        ({"pair": " 0 / 20 "}, 20, 0),
        ({"pair": "12"}, None, 12),
        ({"pair": "/20"}, 20, None),
        ({"pair": "-1/20"}, 20, 0),
        ({"pair": "-1/-1"}, None, None),
        ({"pair": "many/few"}, None, None),
        ({"limit": "20", "remaining": "12"}, 20, 12),
        ({"limit": "20.5"}, 20.5, None),
        ({"limit": "20", "remaining": "-3"}, 20, 0),
        ({"limit": "-1", "remaining": "-1"}, None, None),
        ({"limit": "unlimited"}, None, None),
        ({"other": "1"}, None, None),
    ],
)
def test_numbers(headers, cap, remaining):
    """Below zero is used up, or no limit at all; a limit of which nothing is said is left out."""
    row = (
        AllowanceHeaders("requests", "day", pair="pair")
        if "pair" in headers
        else AllowanceHeaders("requests", "day", limit="limit", remaining="remaining")
    )
    told = cap is not None or remaining is not None

    assert read_allowances(headers, [row], NOW) == (Allowance("requests", "day", cap, remaining),) * told


def test_plain_data():
    """An allowance as adapters show it: what was said, and no more."""
    allowance = Allowance("requests", "day", 50, 0, NOW)

    assert allowance.plain() == {
        "metric": "requests",
        "per": "day",
        "cap": 50,
        "remaining": 0,
        "reset_at": "2026-11-20T12:00:00+00:00",
    }
    assert Allowance("tokens", "minute", scope="model").plain() == {
        "metric": "tokens",
        "per": "minute",
        "scope": "model",
    }
