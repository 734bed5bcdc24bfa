"""A question of one call, and the listener for what a router does to answer it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Final, NamedTuple

from freeproviders.backend import Backend
from freeproviders.types import Admitted, Asking, Attempt, Batch, ChatRequest, Event, Seam

Told = Asking | Attempt | Seam
"""What a router tells a listener."""
ROUTER: Final = "free-providers"
"""The slug of the core's router."""


class Question(NamedTuple):
    """A question: the backend, and the request to it."""

    backend: Backend
    request: ChatRequest

    @property
    def is_a_routers(self) -> bool:
        """Whether a router is asked, which tells of what it does."""
        return self.backend.slug == ROUTER

    def batches(self) -> AsyncGenerator[Batch, None]:
        """Stream the parts of the answer."""
        batches = self.backend.answer(self.request)
        listener = self.request.listener
        return listener.heard(batches) if isinstance(listener, Hearing) else batches

    def heard_by(self, hearing: Hearing) -> Question:
        """Return the same question with a listener for what becomes of it."""
        return Question(self.backend, replace(self.request, listener=hearing))


class Hearing:
    """The listener of one call: it tells of what a router does, on the thread of the call.

    On the caller's own event loop at once; in sync code with the next piece of the answer, or with
    its end. A restart also goes along with the parts of the answer, in its place among them.
    """

    def __init__(self, tell: Callable[[Told], object] | None) -> None:
        self._tell = tell
        self._thread = threading.get_ident()
        self._waiting: deque[Told] = deque()
        self._restarts: list[Seam] = []

    def __call__(self, told: Event) -> None:
        """Take what the router tells, without admissions; it must not wait."""
        if isinstance(told, Admitted):
            return
        if isinstance(told, Seam) and told.how == "restart":
            self._restarts.append(told)
        if self._tell is None:
            return
        if threading.get_ident() == self._thread:
            self._tell(told)
        else:
            self._waiting.append(told)

    def tell_all(self) -> None:
        """Tell of what has happened on another thread."""
        while self._waiting and self._tell is not None:
            self._tell(self._waiting.popleft())

    async def heard(self, batches: AsyncGenerator[Batch, None]) -> AsyncGenerator[Batch, None]:
        """Stream an answer with its restarts in their places."""
        async with aclosing(batches):
            async for batch in batches:
                if self._restarts:
                    restarts, self._restarts = self._restarts, []
                    yield [*restarts, *batch]  # type: ignore[list-item]  # for an assembler, which knows them
                else:
                    yield batch
