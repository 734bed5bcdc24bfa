"""The most that one request for vectors may have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Limits of a request; None is no known limit.

    Attributes:
        texts: texts of a request.
        tokens: tokens of all its texts together.
        window: tokens of one text; what is longer is refused, or cut where that is asked for.
        concurrency: requests at the same time.
    """

    texts: int | None = None
    tokens: int | None = None
    window: int | None = None
    concurrency: int = 4
