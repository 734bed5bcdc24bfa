"""What became of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from freeproviders.batch.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of a run; a notebook shows it as tables.

    Attributes:
        done: rows that have an answer.
        refused: rows whose question was refused.
        poisoned: rows that were given up.
        exhausted: rows that were begun and have no answer yet.
        kept: rows whose answer was there before; they are counted above too.
        left: rows that the next start asks, None where the number of rows is not known.
        services: rows that were answered now, by "provider/model".
        input_tokens: tokens of the questions that were answered now.
        output_tokens: tokens of their answers.
        estimated: whether some of the tokens are estimates.
        seconds: how long it took.
        why: why it stopped before its end, "" where it did not.
        soonest: when (UTC) a question may be asked again, None where no limit names a time.
        waiting_helps: whether a later start may get further; False where, for example, a key is not
            accepted.
    """

    done: int
    refused: int
    poisoned: int
    exhausted: int
    kept: int
    left: int | None
    services: Mapping[str, int]
    input_tokens: int
    output_tokens: int
    estimated: bool
    seconds: float
    why: str = ""
    soonest: datetime | None = None
    waiting_helps: bool = True

    @classmethod
    def of(
        cls, progress: Progress, *, why: str, soonest: datetime | None, waiting_helps: bool, ended: bool
    ) -> Report:
        """Sum up a run; `ended` says that its last row was pulled."""
        states = progress.states
        return cls(
            done=states["done"],
            refused=states["refused"],
            poisoned=states["poisoned"],
            exhausted=states["exhausted"],
            kept=progress.kept,
            left=states["exhausted"] if ended else progress.left,
            services=dict(progress.services.most_common()),
            input_tokens=progress.input_tokens,
            output_tokens=progress.output_tokens,
            estimated=progress.estimated,
            seconds=progress.seconds,
            why=why,
            soonest=soonest,
            waiting_helps=waiting_helps,
        )

    def __str__(self) -> str:
        counts = {
            "done": self.done,
            "refused": self.refused,
            "poisoned": self.poisoned,
            "left": self.left,
        }
        told = ", ".join([f"{count:,} {name}" for name, count in counts.items() if count])
        kept = f" ({self.kept:,} kept)" if self.kept else ""
        return f"{told or 'no rows'}{kept} in {self.seconds:.1f} s.{' ' if self.why else ''}{self.why}"

    def _repr_html_(self) -> str:
        from freeproviders import display  # noqa: PLC0415 - only a display needs it

        about = "about " if self.estimated else ""
        tokens = f"{about}{self.input_tokens:,} + {self.output_tokens:,}"
        counts = {
            "done": self.done,
            "of them kept": self.kept,
            "refused": self.refused,
            "poisoned": self.poisoned,
            "left": self.left,
            "tokens": tokens if self.services else "",
            "seconds": round(self.seconds, 1),
            "stopped, since": self.why,
            "more at": self.soonest,
        }
        named = {name: value for name, value in counts.items() if value not in {0, None, ""}}
        services = [{"answered by": name, "rows": count} for name, count in self.services.items()]
        return display.facts(named, "Batch") + (display.table(services) if services else "")
