"""A store, and another one in its place as long as it cannot be used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from freeproviders import journal
from freeproviders.errors import LedgerError
from freeproviders.quota.clocks import boot_seconds
from freeproviders.quota.interface import Grant
from freeproviders.quota.steps import (
    Answer,
    Forget,
    Leave,
    Look,
    ReadNotes,
    Settle,
    Standings,
    Step,
    Store,
    StoreError,
    Take,
    WriteNote,
)

_MEANWHILE: Final = 10_000
"""Of so many grants a lost store is told when it is back."""


class Failover:
    """A store that is opened when it is first needed, and the spare ones behind it.

    Called by one thread at a time, as a store is.

    Args:
        make: opens the store.
        spare: makes the store to go on with when one cannot be used, given that one. Where it
            returns None, there is a `LedgerError`.

    Attributes:
        unsaid: sentences on what was lost, to be given as warnings; other threads take them out.
    """

    retry_seconds = 60.0
    """How soon to try again a store that could not be used."""

    def __init__(self, make: Callable[[], Store], spare: Callable[[Store], Store | None]) -> None:
        self.unsaid: deque[str] = deque()
        self._make = make
        self._spare = spare
        self._store: Store | None = None
        self._lost: Store | None = None
        self._retry_at = 0.0
        self._meanwhile: deque[Grant] = deque(maxlen=_MEANWHILE)

    def run(self, steps: Sequence[Step]) -> list[Answer]:
        """Have the store do the steps; where it cannot, go on with the spare one and say so."""
        if not steps:
            return []
        if self._lost is not None and boot_seconds() >= self._retry_at:
            self._return()
        while True:
            store = self._current()
            # What another store has granted is settled there or not at all, and then counts in full.
            own = [step for step in steps if not _is_elsewhere(step, store)]
            try:
                answers = iter(store.run(own))
            except StoreError as error:
                self._go_on_without(store, error)
            else:
                return [None if _is_elsewhere(step, store) else self._noted(next(answers)) for step in steps]

    def _noted(self, answer: Answer) -> Answer:
        """Note which store has made a grant, and what the lost one has to know when it is back."""
        if isinstance(answer, Grant):
            answer.store = self._store
            if self._lost is not None:
                self._meanwhile.append(answer)
        return answer

    def _go_on_without(self, store: Store, error: StoreError) -> None:
        """Take the spare of a store that has failed. Raises `LedgerError` where there is none."""
        spare = self._spare(store)
        if spare is None:
            raise LedgerError(f"{error} Requests are not sent without knowing what is left.") from error
        if self._lost is None:
            self._lost = store
        else:
            store.close()  # a spare one, which is not used again
        self._retry_at = boot_seconds() + self.retry_seconds
        self._store = spare
        journal.quota.info("The ledger cannot be used; limits are counted for %s", spare.shared)
        self.unsaid.append(f"{error} Limits are now counted for {spare.shared}.")

    def _return(self) -> None:
        """Go back to the lost store, if it can be used again, and charge it what was granted meanwhile."""
        store, grants = self._lost, list(self._meanwhile)
        if store is None:
            return
        try:
            charged = store.run([Take(grant.ask, grant.id, force=True) for grant in grants])
        except StoreError:
            self._retry_at = boot_seconds() + self.retry_seconds
            return
        for grant, made in zip(grants, charged, strict=True):
            if isinstance(made, Grant):
                grant.places, grant.store = made.places, store
        self._current().close()
        self._store, self._lost = store, None
        self._meanwhile.clear()
        self.run([Settle(grant, grant.spent, 0.0) for grant in grants if grant.settled])

    def listen(self, wake: Callable[[], object]) -> bool:
        """Do as `Store.listen`."""
        return self._current().listen(wake)

    def close(self) -> None:
        """Close the store, and the lost one in whose place it is; the next `run` opens them again."""
        for store in (self._store, self._lost):
            if store is not None:
                store.close()

    def _current(self) -> Store:
        if self._store is None:
            self._store = self._make()
        return self._store


def _is_elsewhere(step: Step, store: Store) -> bool:
    """Whether a step is about a grant of another store than this one and what it is a copy of."""
    if isinstance(step, Take | Leave | Look | Standings | Forget | ReadNotes | WriteNote):
        return False
    return step.grant.store not in {store, store.copied}
