"""The health of a member as people see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from freeproviders.router.breaker import StateName


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The health of one member, for `status` and `freeproviders doctor`.

    Attributes:
        service: whose model it is, as in its key.
        model: the model.
        state: as in `State`.
        until: when it may be asked again (UTC); None for now, and where it is out until it is cleared.
        reason: why it is not asked, "" where it is.
        error: what went wrong last in this process, in words; "" for nothing.
        counts: how many requests were "asked" and "answered", and failures by their kinds.
        first_p50: seconds until the first content that half of the answers have needed.
        first_p95: those that 95 of 100 have needed.
        success: the share of requests that are answered, of late.
    """

    service: str
    model: str
    state: StateName
    until: datetime | None = None
    reason: str = ""
    error: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    first_p50: float | None = None
    first_p95: float | None = None
    success: float = 1.0

    def plain(self) -> dict[str, Any]:
        """Return the same as plain data; `until` is a text of RFC 3339."""
        return {
            "service": self.service,
            "model": self.model,
            "state": self.state,
            "until": self.until.isoformat() if self.until else None,
            "reason": self.reason,
            "error": self.error,
            "counts": dict(self.counts),
            "first_p50": self.first_p50,
            "first_p95": self.first_p95,
            "success": round(self.success, 3),
        }

    def cells(self) -> dict[str, object]:
        """Return the cells of its row in a table."""
        return {
            **{name: getattr(self, name) for name in ("service", "model", "state", "until", "reason")},
            "last error": self.error,
            "requests": self.counts,
            "first words (s)": self.first_p50,
            "answered": f"{self.success:.0%}",
        }
