"""A member of a router: one model of one backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from freeproviders.backend import Backend
from freeproviders.catalogue.rows import Cost, Service

Place = Literal["service", "local", "embedded", "given"]
"""Where a member answers: elsewhere, on a server of this machine, in our own engine; or nobody knows."""


class Key(NamedTuple):
    """What a member's health is kept under.

    `service` is the id of a row with the address where it is not the row's own, else a backend's name
    and address; `account` is its API key, of which nothing but a salted hash is ever written.
    """

    service: str
    model: str
    account: str = ""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Member:
    """One model of one backend, as a router asks it.

    Attributes:
        backend: who is asked, with `model` as its own model.
        name: how the user would name it: "groq/openai/gpt-oss-120b", "embedded".
        key: what its health is kept under.
        rank: 0 for the best model of a service, 1 for its second ...
        place: where it answers.
        row: the service's row of the catalogue, None without one.
        cost: what the row says that the model costs, None where nothing is known.
        named: whether the caller named it; False where the router found it.
        paid: whether the caller allowed that it costs money.
    """

    backend: Backend
    name: str
    key: Key
    rank: int = 0
    place: Place = "given"
    row: Service | None = None
    cost: Cost | None = None
    named: bool = True
    paid: bool = False

    @property
    def model(self) -> str:
        """The model that is asked."""
        return self.backend.model


class Skipped(NamedTuple):
    """A service or model that is not asked, and why."""

    name: str
    reason: str
