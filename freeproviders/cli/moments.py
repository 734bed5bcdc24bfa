"""Times and lengths of time, as they are typed and as they are shown."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

import typer

_LENGTH: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})")
_UNITS: Final = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def read_moment(text: str, option: str) -> datetime:
    """Read a day (its beginning), a time of ISO 8601, the next time of a clock, or a length from now.

    A time without a zone is one of this machine. Raises `BadParameter`, also for one that is over.
    """
    now = datetime.now().astimezone()
    when = _read(text.strip(), now)
    if when is None:
        raise typer.BadParameter(
            f"{text!r} is no time: write 2026-12-01, 2026-12-01T18:00, 18:00, or a length as 8h, 90m, 1d12h.",
            param_hint=option,
        )
    if when <= now:
        raise typer.BadParameter(f"{shown_moment(when)} is over.", param_hint=option)
    return when


def _read(text: str, now: datetime) -> datetime | None:
    if text and (length := _LENGTH.fullmatch(text)):
        days, hours, minutes, seconds = (int(number or 0) for number in length.groups())
        try:
            return now + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        except OverflowError:
            return None
    if clock := _CLOCK.fullmatch(text):
        try:
            when = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        except ValueError:
            return None
        return when if when > now else when + timedelta(days=1)
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        return None


def shown_moment(when: datetime) -> str:
    """Write a time of this machine, with its day where that is another than today."""
    when, now = when.astimezone(), datetime.now().astimezone()
    if when.date() == now.date():
        return f"{when:%H:%M}"
    return f"{when:%a} {when.day} {when:%b %H:%M}" if when.year == now.year else f"{when:%Y-%m-%d %H:%M}"


def shown_length(seconds: float) -> str:
    """Write a length of time in its two largest units."""
    left = max(0, round(seconds))
    said: list[str] = []
    for size, unit in _UNITS:
        number, rest = divmod(left, size)
        if number and len(said) < 2:
            said.append(f"{number} {unit}{'s' if number != 1 else ''}")
            left = rest
        elif said:
            break
    return " ".join(said) or "0 seconds"
