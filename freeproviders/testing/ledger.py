"""The requests and connections of a replica, written on its thread and read on any other."""

from __future__ import annotations

import threading
from collections.abc import Callable

from freeproviders.testing.record import RecordedRequest


class Ledger:
    """Requests, connections, clients that left, and answers that failed.

    `watch` is called with each request that was judged, `log` with each whose answer has ended, on the
    replica's thread.
    """

    def __init__(
        self,
        watch: Callable[[RecordedRequest], object] | None = None,
        log: Callable[[RecordedRequest], object] | None = None,
    ) -> None:
        self._watch = watch
        self._log = log
        self.requests: list[RecordedRequest] = []
        self.connections = 0
        self.disconnects = 0
        self.failures: list[BaseException] = []
        self._changed = threading.Condition()

    def request(self, request: RecordedRequest) -> None:
        """Keep a request that was judged."""
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
        if self._watch is not None:
            self._watch(request)

    def ended(self, request: RecordedRequest) -> None:
        """Note that the answer to a request has ended."""
        if self._log is not None:
            self._log(request)

    def connection(self) -> int:
        """Count a connection that was accepted; return its number."""
        self.connections += 1
        return self.connections

    def disconnect(self) -> None:
        """Count a client that left before its answer was complete."""
        with self._changed:
            self.disconnects += 1
            self._changed.notify_all()

    def wait(self, seen: Callable[[], bool], timeout: float, what: str) -> None:
        """Wait until `seen()` is true. Raises `TimeoutError` after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(seen, timeout):
                raise TimeoutError(
                    f"{what} within {timeout:g} s: {len(self.requests)} request(s), "
                    f"{self.disconnects} disconnect(s) so far."
                )
