"""The state of a run while it goes on, for displays and callers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic

from freeproviders.batch.rows import Row
from freeproviders.types import Left


@dataclass(frozen=True, slots=True)
class Pause:
    """Why no request is sent at the moment, and until when (UTC)."""

    until: datetime
    why: str


@dataclass(slots=True)
class Progress:
    """The state of a run, which changes as it goes on.

    Attributes:
        total: how many rows there are, None while that is unknown.
        states: rows that have ended, by state.
        kept: rows whose answer was there before.
        running: rows that were asked and have not ended.
        later: rows that have failed and are asked again.
        services: rows that were answered now, by "provider/model".
        input_tokens: tokens of the questions that were answered now.
        output_tokens: tokens of their answers.
        estimated: whether some of the tokens are estimates.
        quota: what was left of each limit after the latest answer, by provider.
        pause: why no request is sent at the moment, None while questions are asked.
        began: when the run began, by `time.monotonic`.
    """

    total: int | None = None
    states: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    running: int = 0
    later: int = 0
    services: Counter[str] = field(default_factory=Counter)
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    quota: dict[str, dict[tuple[str, str, str], Left]] = field(default_factory=dict)
    pause: Pause | None = None
    began: float = field(default_factory=monotonic)

    @property
    def done(self) -> int:
        """The number of rows that need not be asked any more."""
        return self.states["done"] + self.states["refused"] + self.states["poisoned"]

    @property
    def left(self) -> int | None:
        """The number of rows that are to be asked, None while the total is unknown."""
        return None if self.total is None else self.total - self.done

    @property
    def answered(self) -> int:
        """The number of rows that were answered now."""
        return self.services.total()

    @property
    def seconds(self) -> float:
        """The seconds since the run began."""
        return monotonic() - self.began

    def note(self, rows: Sequence[Row]) -> None:
        """Count rows that have ended."""
        for row in rows:
            self.states[row.state] += 1
            if row.kept:
                self.kept += 1
                continue
            if row.completion is None:
                continue
            usage, finish = row.completion.usage, row.completion.finish
            self.services[f"{finish.provider}/{finish.model}" if finish.model else finish.provider] += 1
            self.input_tokens += usage.input_tokens
            self.output_tokens += usage.output_tokens
            self.estimated = self.estimated or usage.estimated
            if finish.quota:
                left = self.quota.setdefault(finish.provider, {})
                left.update({(one.scope, one.metric, one.per): one for one in finish.quota})
