"""Limits that a service announces in the headers of its answers, in its own dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

from freeproviders.patterns import pattern
from freeproviders.records import record

Metric = Literal["requests", "tokens", "input tokens", "output tokens", "concurrency", "neurons", "usd"]
"""What a limit counts. "neurons" is Cloudflare's unit of work; "concurrency" has no time."""
ResetForm = Literal["", "duration", "seconds", "epoch_s", "epoch_ms", "http_date", "iso"]
"""How the time of a reset is written.

"duration" is Go's notation (2m59.56s), "seconds" a number of them from now, "epoch_s" and
"epoch_ms" count from 1970, "http_date" is RFC 9110's, "iso" RFC 3339's.
"""
LONGEST_RESET_SECONDS: Final = 31 * 86400.0
"""A reset that is further away counts as so far away: some services send the year 9999."""

_CLOCKS_AGREE_SECONDS: Final = 2.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_9999: Final = 253_370_764_800.0
_NUMBER: Final = pattern(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,2})?")
_A_PIECE: Final = r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(ms|[unµμ]s|[dhms])"
_PIECE: Final = pattern(_A_PIECE)
_DURATION: Final = pattern(rf"[+-]?(?:{_A_PIECE}){{1,8}}")
_FRACTIONS: Final = ("ms", "us", "µs", "μs", "ns")
_UNITS: Final[Mapping[str, float]] = {
    "d": 86400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ns": 1e-9,
}


@record
class AllowanceHeaders:
    """The names of the headers that announce one limit.

    `per` "" stands for the period of the refusal with which the headers came, for services that
    have the same headers for all periods.
    `pair` is one header with "remaining/limit"; `limit`, `remaining` and `reset` are separate ones,
    "" where there is none.
    """

    metric: Metric
    per: str
    limit: str = ""
    remaining: str = ""
    reset: str = ""
    reset_form: ResetForm = ""
    pair: str = ""
    scope: str = ""


@record
class Allowance:
    """A limit as a service announced it with an answer; None is what it did not say.

    `reset_at` is UTC; the reset may come as many seconds later as `resolution` says, since many
    services tell whole seconds, and round them down.
    """

    metric: Metric
    per: str
    cap: float | None = None
    remaining: float | None = None
    reset_at: datetime | None = None
    scope: str = ""
    resolution: float = field(default=0.0, compare=False)

    def plain(self) -> dict[str, Any]:
        """Return what was said as plain data; `reset_at` is a text of RFC 3339."""
        said = {
            "metric": self.metric,
            "per": self.per,
            "cap": self.cap,
            "remaining": self.remaining,
            "reset_at": None if self.reset_at is None else self.reset_at.isoformat(),
            "scope": self.scope,
        }
        return {name: value for name, value in said.items() if value is not None and value != ""}


def read_allowances(
    headers: Mapping[str, str], dialect: Sequence[AllowanceHeaders], now: datetime
) -> tuple[Allowance, ...]:
    """Read the limits that an answer announces, in the order of the dialect.

    `headers` looks names up in any case. What cannot be read is None, and a limit of which nothing
    can be read is left out. No reset lies before `now`, and none further than
    `LONGEST_RESET_SECONDS` behind it. Where the answer has a `Date`, resets that are told as a time
    are of that clock, however wrong this machine's is.
    """
    found = []
    for row in dialect:
        if row.pair:
            rest, _, whole = (headers.get(row.pair) or "").partition("/")
            cap, remaining = _number(whole), _number(rest)
        else:
            cap, remaining = _value(headers, row.limit), _value(headers, row.remaining)
        if cap is not None and cap < 0:  # some write -1 where there is no limit
            cap = None
        if remaining is not None and remaining < 0:
            remaining = None if cap is None else 0.0
        said = headers.get(row.reset) if row.reset else None
        reset = None if said is None else _moment(said, row.reset_form, now, headers.get("Date"))
        if cap is not None or remaining is not None or reset is not None:
            resolution = 1.0 if said is not None and _is_whole(said.strip(), row.reset_form) else 0.0
            found.append(Allowance(row.metric, row.per, cap, remaining, reset, row.scope, resolution))
    return tuple(found)


def seconds_until(then: datetime, now: datetime, date: str | None) -> float:
    """Return the seconds from now until a time that a service has told.

    `date` is the `Date` header of the same answer. This machine's clock counts where the two agree,
    since a date has whole seconds and was written a moment ago; else the service's.
    """
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    if date is not None:
        try:
            there = parsedate_to_datetime(date)
        except (ValueError, TypeError, IndexError):
            there = now
        there = there.replace(tzinfo=there.tzinfo or UTC)
        if not 0 <= (now - there).total_seconds() < _CLOCKS_AGREE_SECONDS:
            now = there
    return (then - now).total_seconds()


def read_seconds(text: str) -> float | None:
    """Read a number of seconds, or a duration as Go writes it; None where it is neither.

    Raises nothing. `2m59.56s`, `120ms`, `6s`, `1h2m` and `5.289` are examples.
    """
    text = text.strip()
    if (seconds := _number(text)) is not None:
        return seconds
    if not _DURATION.fullmatch(text):
        return None
    total = sum(float(number) * _UNITS[unit] for number, unit in _PIECE.findall(text))
    return -total if text.startswith("-") else total


def seconds_from(now: datetime, seconds: float) -> datetime:
    """Return the time so many seconds from `now`, not before it and not after the ceiling."""
    return now.astimezone(UTC) + timedelta(seconds=min(max(seconds, 0.0), LONGEST_RESET_SECONDS))


def _value(headers: Mapping[str, str], name: str) -> float | None:
    said = headers.get(name) if name else None
    return None if said is None else _number(said)


def _number(text: str) -> float | None:
    """Read a plain number; words such as nan and inf are none, and neither is 1_000."""
    match = _NUMBER.fullmatch(text.strip())
    return None if match is None else float(match[0])


def _is_whole(text: str, form: ResetForm) -> bool:
    """Whether a time is written without a fraction of a second."""
    return form not in {"", "epoch_ms"} and "." not in text and not text.endswith(_FRACTIONS)


def _moment(text: str, form: ResetForm, now: datetime, date: str | None) -> datetime | None:
    """Read the time of a reset in its form, within what is sensible."""
    try:
        match form:
            case "duration" | "seconds":
                seconds = read_seconds(text)
                return None if seconds is None else seconds_from(now, seconds)
            case "epoch_s" | "epoch_ms":
                number = _number(text)
                if number is None:
                    return None
                seconds = number if form == "epoch_s" else number / 1000
                at = _EPOCH + timedelta(seconds=min(max(seconds, 0.0), _YEAR_9999))
            case "http_date":
                at = parsedate_to_datetime(text)
            case "iso":
                at = datetime.fromisoformat(text.strip())
            case _:
                return None
        # A difference is safe for any time, while a conversion to UTC may overflow.
        return seconds_from(now, seconds_until(at, now, date))
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
