"""What a ledger has a store do, one step after the other, and what a store answers.

A store never waits and knows no threads: it is called by one thread at a time. Times that go in are
ages, seconds before the step is done; times that come out are seconds from then on. So no clock of
a caller is compared with the store's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from freeproviders.quota.interface import Ask, Claim, Grant, Note, NoteName, Source, Standing
from freeproviders.wire.limits import Metric

LATENESS: float = 0.25
"""The part of `Ask.transit` that a request may be written after its reservation, unless told."""
KEPT_SECONDS: float = 8.0
"""How long a place in the line is kept for a call that does not try again, as after a kill."""
NEAR_SECONDS: float = 90.0
"""Only a call that may have room so soon has a place in the line: a day's end needs none."""
LONGEST_LINE: int = 256
"""So many have a place in a line at most."""
CLEARED_SECONDS: float = 86_400.0
"""How long it is told that a note was cleared: longer than a process acts on what it has read once."""


@dataclass(frozen=True, slots=True)
class Take:
    """Grant all claims or none. Answered with a `Grant`, `Refused` or `TooSmall`.

    `force`: what another store has granted before counts here too, whether there is room or not.
    `waits`: where it is refused it has a place in the line of waiting calls, until it is granted
    or leaves. It keeps the place for `KEPT_SECONDS`, and tries again meanwhile to keep it longer.
    """

    ask: Ask
    id: str
    force: bool = False
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Leave:
    """The call that has tried by this id waits no longer."""

    id: str


@dataclass(frozen=True, slots=True)
class Look:
    """Answer as for `Take`, without taking anything; None where it would be granted."""

    ask: Ask


@dataclass(frozen=True, slots=True)
class Sent:
    """The request of a grant was written only so many seconds ago."""

    grant: Grant
    ago: float


@dataclass(frozen=True, slots=True)
class Received:
    """The head of the answer came so many seconds ago."""

    grant: Grant
    ago: float


@dataclass(frozen=True, slots=True)
class Renew:
    """The lease begins anew."""

    grant: Grant


@dataclass(frozen=True, slots=True)
class Settle:
    """The call ended so many seconds ago; `spent` None: nothing was written at all.

    With `tell` it is answered with the `Standing` of each pool then, but for gates.
    """

    grant: Grant
    spent: Mapping[Metric, float] | None
    ago: float
    tell: bool = False


@dataclass(frozen=True, slots=True)
class Announced:
    """An allowance of a service; `reset_in` counts from when the answer came.

    The reset may be as many seconds later as `resolution` says.
    """

    metric: Metric
    per: str
    cap: float | None
    remaining: float | None
    reset_in: float | None
    resolution: float = 0.0


@dataclass(frozen=True, slots=True)
class Adopt:
    """What was announced so many seconds `ago`, by the answer to a request `sent_ago`."""

    grant: Grant
    said: tuple[Announced, ...]
    source: Source
    sent_ago: float
    ago: float


@dataclass(frozen=True, slots=True)
class Standings:
    """Tell the state of all pools, or of one service's. Answered with a list of `Standing`."""

    service: str = ""


@dataclass(frozen=True, slots=True)
class Forget:
    """Forget what was counted and learned. Answered with the number of pools.

    Without `pool`, the notes about the service, or about it at any address, are cleared: what others
    have read of them is void.
    """

    service: str
    pool: str = ""


@dataclass(frozen=True, slots=True)
class ReadNotes:
    """Answered with a tuple: for each name its note, or None."""

    names: tuple[NoteName, ...]


@dataclass(frozen=True, slots=True)
class WriteNote:
    """Write a note if the present one has the version `over`, "" for none.

    Answered with the note that there is then. It expires `keep` seconds after the writing, and its
    age counts from `ago` seconds before.
    """

    name: NoteName
    text: str
    version: str
    over: str
    keep: float
    ago: float = 0.0


Step: TypeAlias = (
    Take
    | Leave
    | Look
    | Sent
    | Received
    | Renew
    | Settle
    | Adopt
    | Standings
    | Forget
    | ReadNotes
    | WriteNote
)


@dataclass(frozen=True, slots=True)
class Refused:
    """There is no room yet: the claim that has it last, and in how many seconds (`inf` for never).

    `early` is when there may be room, since calls run that may give something back: it is no more
    than `after`, and the same where nothing of that kind can come. `lined` tells that the call has a
    place in the line.
    """

    claim: Claim
    after: float
    early: float
    lined: bool = False


@dataclass(frozen=True, slots=True)
class TooSmall:
    """The cap of a claim's pool is smaller than the claim."""

    claim: Claim
    cap: float


Answer: TypeAlias = Grant | Refused | TooSmall | list[Standing] | tuple[Note | None, ...] | Note | int | None


class StoreError(Exception):
    """A store cannot be used; the text says why, and what to do."""


class Store(Protocol):
    """Where a ledger is kept."""

    shared: str
    """Which processes share it, in words: "the processes of this user"."""

    @property
    def copied(self) -> object:
        """The store of which this one is a copy that knows its grants, None for none."""
        ...

    def run(self, steps: Sequence[Step]) -> list[Answer]:
        """Do the steps in order and answer each. Raises `StoreError`, and then none was done."""
        ...

    def listen(self, wake: Callable[[], object]) -> bool:
        """Have `wake` called, on any thread, when others may have given something back.

        Returns whether that is new: what was given back before was not heard.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections; the next `run` opens them again."""
        ...
