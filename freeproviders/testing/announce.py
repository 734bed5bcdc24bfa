"""How services write their limits: headers, each in the dialect of its row, and places in bodies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from fractions import Fraction
from math import ceil, floor
from typing import Final

from freeproviders.testing.limits import is_about
from freeproviders.testing.meters import Standing
from freeproviders.wire.limits import AllowanceHeaders, ResetForm

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLI: Final = 1000


def announcement(
    allowance: Iterable[AllowanceHeaders], standings: Iterable[Standing], now: Fraction
) -> dict[str, str]:
    """Write the headers of those limits that the row has a line for.

    Where several limits fit one announcement, the one with the least left is announced. What is
    left is rounded down and a time is rounded up, so that a client that believes them is not refused.
    """
    headers: dict[str, str] = {}
    standings = list(standings)
    for names in allowance:
        fitting = [standing for standing in standings if is_about(names, standing.limit)]
        if fitting:
            headers.update(_headers(names, min(fitting, key=lambda one: one.remaining), now))
    return headers


def _headers(names: AllowanceHeaders, standing: Standing, now: Fraction) -> Mapping[str, str]:
    cap, left = _number(standing.limit.cap), str(floor(standing.remaining))
    headers = {names.limit: cap, names.remaining: left, names.pair: f"{left}/{cap}"}
    if standing.reset_at is not None:
        headers[names.reset] = written(names.reset_form, standing.reset_at, now)
    return {name: value for name, value in headers.items() if name}


def written(form: ResetForm, at: Fraction, now: Fraction) -> str:
    """Write a moment as a service does; "" is written as "seconds"."""
    wait = max(Fraction(0), at - now)
    match form:
        case "duration":
            return go_duration(wait)
        case "epoch_s":
            return str(ceil(at))
        case "epoch_ms":
            return str(ceil(at * _MILLI))
        case "http_date":
            return format_datetime(_EPOCH + timedelta(seconds=ceil(at)), usegmt=True)
        case "iso":
            moment = _EPOCH + timedelta(milliseconds=ceil(at * _MILLI))
            return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case "seconds" | "":
            return _number(ceil(wait * _MILLI) / _MILLI)


def go_duration(seconds: Fraction) -> str:
    """Write a duration as Go does, to the millisecond: 2m59.56s, 1h0m0s, 145ms, 0s."""
    millis = ceil(seconds * _MILLI)
    if 0 < millis < _MILLI:
        return f"{millis}ms"
    minutes, millis = divmod(millis, 60 * _MILLI)
    hours, minutes = divmod(minutes, 60)
    rest = f"{_number(millis / _MILLI)}s"
    return f"{hours}h{minutes}m{rest}" if hours else f"{minutes}m{rest}" if minutes else rest


def filled(body: str, model: str, standing: Standing | None, now: Fraction, back_at: Fraction) -> str:
    """Fill the places of a sign's body; they are described at `Sign`."""
    # Where no limit is known, a limit of one that was used: a limit of 0 is another refusal.
    limit, used, remaining, requested = (
        (standing.limit.cap, standing.used, standing.remaining, standing.requested)
        if standing is not None
        else (1, 1, 0, 1)
    )
    numbers = {"limit": limit, "used": used, "remaining": remaining, "requested": requested}
    forms: Mapping[str, ResetForm] = {
        "seconds": "seconds",
        "duration": "duration",
        "epoch_s": "epoch_s",
        "epoch_ms": "epoch_ms",
        "iso": "iso",
    }
    places = {
        "model": model,
        **{name: _number(number) for name, number in numbers.items()},
        **{name: written(form, back_at, now) for name, form in forms.items()},
    }
    for name, value in places.items():
        body = body.replace(f"{{{name}}}", value)
    return body


def _number(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:.12g}"
