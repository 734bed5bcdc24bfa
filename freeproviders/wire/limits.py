"""Limits that a service announces in the headers of its answers, in its own dialect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Metric = Literal["requests", "tokens", "input tokens", "output tokens", "concurrency", "neurons", "usd"]
"""What a limit counts. "neurons" is Cloudflare's unit of work; "concurrency" has no time."""
ResetForm = Literal["", "duration", "seconds", "epoch_s", "epoch_ms", "http_date", "iso"]
"""How the time of a reset is written.

"duration" is Go's notation (2m59.56s), "seconds" a number of them from now, "epoch_s" and
"epoch_ms" count from 1970, "http_date" is RFC 9110's, "iso" RFC 3339's.
"""


@dataclass(frozen=True, slots=True)
class AllowanceHeaders:
    """The names of the headers that announce one limit.

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


@dataclass(frozen=True, slots=True)
class Allowance:
    """A limit as a service announced it with an answer; None is what it did not say.

    `reset_at` is UTC.
    """

    metric: Metric
    per: str
    cap: float | None = None
    remaining: float | None = None
    reset_at: datetime | None = None
    scope: str = ""
