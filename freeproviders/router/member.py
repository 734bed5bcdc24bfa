"""A member of a router: one model of one backend."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import inf
from typing import Final, Literal, NamedTuple

from freeproviders.backend import Backend
from freeproviders.catalogue.rows import Cost, Service
from freeproviders.deadlines import running_loop
from freeproviders.router.guard import Guarded

Place = Literal["service", "local", "embedded", "given"]
"""Where a member answers: elsewhere, on a server of this machine, in our own engine, or unknown."""
PLACES: Final[dict[Place, int]] = {"given": 0, "service": 0, "local": 1, "embedded": 2}
"""The order of places, where the caller does not name members."""


class Key(NamedTuple):
    """What a member's health is kept under.

    `service` is the id of a row with the address where it is not the row's own, else a backend's name
    and address; `account` is its API key, of which nothing but a salted hash is ever written.
    """

    service: str
    model: str
    account: str = ""

    def __repr__(self) -> str:  # without the account, which is a secret
        return f"Key({self.service!r}, {self.model!r})"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Member:
    """One model of one backend, as a router asks it.

    Attributes:
        backend: the backend that is asked, with `model` as its own model.
        name: how the user would name it: "groq/openai/gpt-oss-120b", "embedded".
        key: what its health is kept under.
        rank: 0 for the best model of a service, 1 for its second ...
        place: where it answers.
        row: the service's row of the catalogue, None without one.
        cost: what the row says that the model costs, None where nothing is known.
        named: whether the caller named it; False where the router found it.
        paid: whether the caller allowed that it costs money.
        guarded: what is looked at in its answers, None where nothing must be.
    """

    backend: Backend
    name: str
    key: Key
    rank: int = 0
    place: Place = "given"
    row: Service | None = field(default=None, repr=False)
    cost: Cost | None = None
    named: bool = True
    paid: bool = False
    guarded: Guarded | None = field(default=None, repr=False)

    @property
    def model(self) -> str:
        """The model that is asked."""
        return self.backend.model

    def cells(self) -> dict[str, object]:
        """Return the cells of its row in a table."""
        return {
            "member": self.name,
            "where": self.place,
            "free": self.cost,
            "window": self.backend.window_of(self.model),
        }

    def wanted(self, prefer: Sequence[str]) -> float:
        """Return the place of the first of some preferred names that means this member, `inf` for none."""
        return next((place for place, name in enumerate(prefer) if self.answers_to(name)), inf)

    def answers_to(self, name: str) -> bool:
        """Return whether a name means this member: its own, its service's, or "service/model"."""
        return answers_to(self.name, self.model, name)


def answers_to(own: str, model: str, name: str) -> bool:
    """Return whether a name, as `names.checked` wrote it, means a member of the name `own`."""
    service = own.partition("/")[0]
    # Ollama leaves out the tag that it takes where none is named.
    return name in {own, service, f"{service}/{model}", f"{service}/{model.removesuffix(':latest')}"}


class Skipped(NamedTuple):
    """A service or model that is not asked, and why.

    `expected` says that no warning is needed even if its key or package is there, as of a service
    that a router does not choose by itself.
    """

    name: str
    reason: str
    expected: bool = False


class Later(NamedTuple):
    """A place that is looked at when the first question comes: Ollama's server, or folders of files.

    `look` takes a second at most and raises nothing; it returns the members that are there, or why
    there are none.
    """

    name: str
    look: Callable[[], Awaitable[Found]]


@dataclass(slots=True, eq=False)
class Found:
    """The members that may be asked, in order, what is left out, and where else to look for members.

    `arranged` puts members in order.
    """

    members: list[Member] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    later: list[Later] = field(default_factory=list)
    arranged: Callable[[list[Member]], list[Member]] = list
    _looking: dict[int, Future[None]] = field(default_factory=dict, repr=False)
    """The look that is under way, by the process: in the child of a fork its parent's never ends."""

    async def complete(self) -> None:
        """Look for members where that was not done yet, once for all questions of all loops and threads.

        A look that was cancelled is taken up by the next question. Raises `UsageError` where no loop of
        asyncio runs.
        """
        if self.later:
            running_loop()
        process = os.getpid()
        while self.later:
            mine: Future[None] = Future()
            looking = self._looking.setdefault(process, mine)
            if looking is not mine:
                await asyncio.shield(asyncio.wrap_future(looking))
                continue
            try:
                found = await asyncio.gather(*(one.look() for one in self.later))
                members = [*self.members, *(member for one in found for member in one.members)]
                self.skipped = [*self.skipped, *(skipped for one in found for skipped in one.skipped)]
                self.members, self.later = self.arranged(members), []
            finally:
                del self._looking[process]
                mine.set_result(None)
