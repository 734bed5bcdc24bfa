"""What a replica has seen, written on its thread and read on any other."""

from __future__ import annotations

import threading
from collections.abc import Callable

from freeproviders.testing.record import RecordedRequest


class Ledger:
    """Requests, connections, clients that left, and answers that failed."""

    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self.connections = 0
        self.disconnects = 0
        self.failures: list[BaseException] = []
        self._changed = threading.Condition()

    def request(self, request: RecordedRequest) -> None:
        """A request has come."""
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def connection(self) -> int:
        """A connection was accepted; its number."""
        self.connections += 1
        return self.connections

    def disconnect(self) -> None:
        """A client has left before its answer was complete."""
        with self._changed:
            self.disconnects += 1
            self._changed.notify_all()

    def wait(self, seen: Callable[[], bool], timeout: float, what: str) -> None:
        """Wait until something was seen; raises `TimeoutError` when it is not within `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(seen, timeout):
                msg = f"{what} within {timeout:g} s: {len(self.requests)} request(s), {self.disconnects} disconnect(s) so far."
                raise TimeoutError(msg)
