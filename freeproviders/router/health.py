"""How members fare. The shared breakers and statistics take this module's place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from freeproviders.errors import FreeProvidersError
from freeproviders.router.member import Key


class State(NamedTuple):
    """Whether a member may be asked, and why not, until when (monotonic)."""

    may_be_asked: bool = True
    reason: str = ""
    until: float | None = None


class Speed(NamedTuple):
    """How quick and how reliable a member was of late."""

    first: float | None = None
    success: float = 1.0


class Standing(NamedTuple):
    """How a member fares."""

    key: Key


class Health:
    """How members fare."""

    @classmethod
    def of(cls, ledger: object) -> Health:
        """Return the health that is kept in a ledger."""
        del ledger
        return cls()

    async def look(self, keys: Iterable[Key]) -> None:
        """Read what other processes noted."""

    async def admit(self, key: Key) -> bool:
        """Return whether a member may be asked now."""
        del key
        return True

    def state(self, key: Key) -> State:
        """Return the state of a member."""
        del key
        return State()

    def speed(self, key: Key) -> Speed:
        """Return how quick a member was."""
        del key
        return Speed()

    def first_limit(self, key: Key, *, whole: bool = False) -> float | None:
        """Return the seconds after which a member is given up."""
        del key, whole
        return None

    def answered(self, key: Key, *, first: float | None = None, whole: float | None = None) -> None:
        """Note an answer."""

    def failed(self, key: Key, error: FreeProvidersError) -> None:
        """Note a failure."""

    def given_back(self, key: Key) -> None:
        """Note that a probe said nothing."""

    def take_out(self, key: Key, reason: str) -> None:
        """Leave a member out from now on."""

    def standing(self, key: Key) -> Standing:
        """Return how a member fares."""
        return Standing(key)
