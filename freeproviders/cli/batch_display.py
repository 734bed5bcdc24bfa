"""The progress of a batch: a picture that is redrawn at a terminal, else a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from freeproviders.catalogue.rows import SECONDS, seconds_of
from freeproviders.catalogue.words import amount
from freeproviders.cli import terminal
from freeproviders.cli.moments import shown_length, shown_moment

if TYPE_CHECKING:
    from freeproviders.batch import Progress
    from freeproviders.types import Left

_FIRST_LINES: Final = (5.0, 15.0, 30.0)
_LINE_SECONDS: Final = 60.0
"""How often a line is written where there is no terminal; the first ones come sooner."""
_MOST_NAMED: Final = 5
_SHORT_SECONDS: Final = 120.0


class BatchDisplay:
    """Shows the state of a run on standard error; `ends` is when it will have ended."""

    def __init__(self, progress: Progress, *, quiet: bool = False) -> None:
        self._progress = progress
        self._quiet = quiet
        self._live: Any = None
        self._lines = 0
        self._last = monotonic()
        self._paused = ""
        self.ends: datetime | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it until the end of the block."""
        if self._quiet or not (terminal.is_terminal(sys.stderr) and terminal.takes_sequences()):
            yield
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(
            stderr=True,
            no_color=not terminal.colours(sys.stderr),
            highlight=False,
            emoji=False,
            markup=False,
        )
        with Live(console=console, auto_refresh=False, transient=True) as self._live:
            yield
        self._live = None

    def update(self) -> None:
        """Show the state of now, if it is time to."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.update(self._picture(), refresh=True)
            return
        pause = "" if self._progress.pause is None else self._progress.pause.why
        wait = _FIRST_LINES[self._lines] if self._lines < len(_FIRST_LINES) else _LINE_SECONDS
        if monotonic() - self._last >= wait or (pause and not self._paused):
            self._last = monotonic()
            self._lines += 1
            terminal.say(" ".join(self.lines()))
        self._paused = pause

    def lines(self) -> list[str]:
        """Write the state in sentences."""
        found = self._progress
        total = "" if found.total is None else f" of {found.total:,}"
        counts = {
            "refused": found.states["refused"],
            "given up": found.states["poisoned"],
            "failed for now": found.later,
            "running": found.running,
        }
        more = "".join([f", {number:,} {what}" for what, number in counts.items() if number])
        left = "" if found.left is None else f", {found.left:,} left"
        said = [f"{found.states['done']:,}{total} done{left}{more}."]
        if found.services:
            said.append(f"{_named(found.services)}.")
        if quota := _quota(found.quota):
            said.append(f"Left of today's limits: {quota}.")
        if found.pause is not None:
            why = _first_sentence(terminal.told(found.pause.why))
            said.append(f"Waiting {_for(found.pause.until)}: {why}")
        # An end before the wait is over was reckoned before it was known, or by nothing.
        if self.ends is not None and (found.pause is None or self.ends > found.pause.until):
            seconds = (self.ends - datetime.now(UTC)).total_seconds()
            said.append(f"It ends about {shown_moment(self.ends)}, in {shown_length(seconds)}.")
        return said

    def _picture(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        found = self._progress
        bar = ProgressBar(total=found.total or 1, completed=found.done, width=60)
        return Group(bar, *(Text(terminal.printable(line)) for line in self.lines()))


def _named(services: Mapping[str, int]) -> str:
    """Write how many rows each service has answered, the first few by name."""
    ordered = sorted(services.items(), key=lambda one: -one[1])
    said = [f"{name} {number:,}" for name, number in ordered[:_MOST_NAMED]]
    others = sum(number for _, number in ordered[_MOST_NAMED:])
    return ", ".join([*said, *([f"others {others:,}"] if others else [])])


def _quota(quota: Mapping[str, Mapping[tuple[str, str, str], Left]]) -> str:
    said = []
    for name, limits in quota.items():
        of_a_day = [one for one in limits.values() if one.per and seconds_of(one.per) >= SECONDS["day"]]
        said += [
            f"{name} {amount(round(one.left))} of {amount(one.cap)} {one.metric}"
            for one in sorted(of_a_day, key=lambda one: one.left / one.cap if one.cap else 0.0)[:2]
        ]
    return ", ".join(said[:_MOST_NAMED])


def _for(until: datetime) -> str:
    """Write how long a wait is: a short one as a length, since a clock's minute does not tell it."""
    seconds = (until - datetime.now(UTC)).total_seconds()
    if seconds < _SHORT_SECONDS:
        return shown_length(max(1.0, seconds))
    return f"until {shown_moment(until)}"


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".") + "."
