"""The events of a call while it runs, and what is left of the limits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from freeproviders.records import record
from freeproviders.wire.limits import Metric

SeamKind = Literal["replay", "prefill", "trim", "restart"]
OnBrokenStream = Literal["raise", "continue", "restart"]


@record
class Asking:
    """A router is about to send a question to a member; `place` says where that is.

    It is "service", "local" for a server of this machine, "embedded" for our own engine, and "given"
    for a backend of the caller's.
    """

    provider: str
    model: str
    place: str

    def plain(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {"provider": self.provider, "model": self.model, "place": self.place}


@record
class Admitted:
    """A request is about to go out: there is room for it among the limits that are kept.

    Where none are kept it comes at once. `waited` is how many seconds the room took. A question that
    is asked again, or elsewhere, is admitted again.
    """

    provider: str
    model: str
    waited: float = 0.0

    def plain(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {"provider": self.provider, "model": self.model, "waited": round(self.waited, 3)}


@record
class Attempt:
    """What became of one member of a router for one question.

    `provider` and `model` name the member. `error` is why it gave no answer, in words, "" where it
    did. `requests` counts the HTTP requests that it was sent: 0 where it was passed over, as one in
    a cool-down. `seconds` is how long it took.
    """

    provider: str
    model: str
    error: str = ""
    requests: int = 1
    seconds: float = 0.0

    def plain(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {
            "provider": self.provider,
            "model": self.model,
            "error": str(self.error),  # where its arguments are marked, without the marks
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
        }


@record
class Seam:
    """A place in an answer at which another member, or the same one again, went on.

    `offset` counts the characters of text before it. `broken` and `source` name the model that broke
    off and the one that went on, as "provider/model". `how` is the way: "replay" by the same answer
    given again, "prefill" by a model that was given what it had said, "trim" by an answer that began
    with all that was said. "restart" says that the answer begins anew, and that what came before the
    offset is void.
    """

    offset: int
    broken: str
    source: str
    how: SeamKind

    def plain(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {"offset": self.offset, "broken": self.broken, "source": self.source, "how": self.how}


@record
class Left:
    """A limit that is kept, and what is left of it for all programs of the user together.

    At most `cap` of `metric` may be taken `per` period; `per` is "" where places are counted.
    `scope` is the model, or the name of the pool that several models share. `back_at` (UTC) is when
    more will be left, None where that is all, or where only calls that still run can give it back.
    """

    metric: Metric
    per: str
    scope: str
    cap: float
    left: float
    back_at: datetime | None = None

    def plain(self) -> dict[str, Any]:
        """Return the same as plain data; `back_at` is a text of RFC 3339, left out where None."""
        said: dict[str, Any] = {
            "metric": self.metric,
            "per": self.per,
            "scope": self.scope,
            "cap": self.cap,
            "left": self.left,
        }
        if self.back_at is not None:
            said["back_at"] = self.back_at.isoformat()
        return said


Event = Asking | Admitted | Attempt | Seam
Listener = Callable[[Event], object]
"""A function that is told what becomes of a question while it is answered."""
