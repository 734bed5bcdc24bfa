"""Server-sent events, with faults where they are asked for."""

from __future__ import annotations

from freeproviders.testing.faults import Fault


class EventWriter:
    """Writes events of one `data:` line."""

    def __init__(self, fault: Fault) -> None:
        self._line_end = fault.line_end.encode()
        self._before = b"\xef\xbb\xbf" if fault.bom else b""
        self._last_blank = fault.last_blank

    def event(self, data: bytes) -> bytes:
        """Write an event; without `last_blank` its blank line comes with the next one."""
        before, self._before = self._before, b"" if self._last_blank else self._line_end
        return before + b"data: " + data + self._line_end + (self._line_end if self._last_blank else b"")

    def comment(self) -> bytes:
        """Write a comment that keeps the connection alive."""
        before, self._before = self._before, b""
        return before + b": keep-alive" + self._line_end * 2
