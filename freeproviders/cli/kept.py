"""What the commands over kept things have in common: sizes, dates, and a question before a delete."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Final

import typer

from freeproviders.cli import terminal

_UNITS: Final = ("bytes", "KB", "MB", "GB", "TB")


def confirm(what: str) -> None:
    """Ask whether to delete; leave where the user does not want to, or cannot be asked."""
    if not terminal.is_terminal(sys.stdin):
        raise typer.BadParameter("It deletes what is kept: confirm it with --yes.", param_hint="--yes")
    terminal.say(what)
    if not typer.confirm("Delete it?", err=True):
        raise typer.Exit


def counted(number: int, one: str, many: str = "") -> str:
    """Write a number of things."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def amount(size: float) -> str:
    """Write a number of bytes."""
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size /= 1000
        unit += 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 10 else f"{size:.1f} {_UNITS[unit]}"


def day(seconds: float) -> str:
    """Write a time, given in seconds since 1970, as this machine's clock shows it."""
    return _moment(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def written(seconds: float) -> str:
    """Write a time, given in seconds since 1970, as RFC 3339 has it."""
    return _moment(seconds).isoformat(timespec="seconds")


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
