r"""Server-sent events, by the rules of the WHATWG (HTML, section 9.2.6).

Departures, because of what language model services send: a last event that lacks its blank line is
given out at the end of the stream, an event may be as large as the cap allows, however small the
reads, and lines that belong to no event are given out where they are asked for.

The quick path serves what nearly every service sends, events of one `data: ` line ended by `\n\n`,
many in a read; everything else goes line by line.
"""

from __future__ import annotations

from freeproviders.errors import ResponseTooLargeError
from freeproviders.wire.text import BOM

MAX_EVENT_BYTES = 16 * 2**20

Event = tuple[str, bytes]
"""An event's name ("message" when it has none) and its data; ids and reconnection times are dropped."""
UNFRAMED = "\n"
"""The name given to a line that belongs to no event: no event can have it."""

_MESSAGE = "message"
_IGNORED = frozenset({b"", b"id", b"retry"})  # the field of a comment is empty


class SSEDecoder:
    """Cuts a byte stream into events.

    `keep_unframed` gives lines of unknown fields out as events named `UNFRAMED`, as a whole and at
    once; by the rules they are dropped.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES, *, keep_unframed: bool = False) -> None:
        self._max = max_event_bytes
        self._keep_unframed = keep_unframed
        self._pending: list[bytes] = []  # the line that is not complete yet, as it was read
        self._pending_size = 0
        self._data: list[bytes] = []  # the data lines of the event that is not complete yet
        self._data_size = 0
        self._name = _MESSAGE
        self._at_start = True
        self._skip_lf = False  # the last read ended in CR: an LF now belongs to it

    def feed(self, data: bytes) -> list[Event]:
        """Take a read; return the events it completes.

        Raises `ResponseTooLargeError` when an event passes the cap.
        """
        if (
            data.endswith(b"\n\n")
            and data.startswith(b"data: ")
            and data.find(0x0A) == len(data) - 2
            and 0x0D not in data
            and self._between_events()
        ):
            return [
                (_MESSAGE, data[6:-2])
            ]  # one event in one read, as a service sends that writes word by word
        if self._at_start:
            data = self._start(data)
        if self._skip_lf and data:
            self._skip_lf = False
            if data[0] == 0x0A:
                data = data[1:]
        if 0x0D in data:
            self._skip_lf = data[-1] == 0x0D
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in data:
            self._hold(data)
            return []
        if self._pending:
            data = self._take(data)
        events: list[Event] = []
        if not self._data and self._name == _MESSAGE:
            whole, between, data = data.rpartition(b"\n\n")
            payloads = whole[6:].split(b"\n\ndata: ")
            # A search in each stops at once; to count line feeds costs as much as to cut at them.
            if whole.startswith(b"data: ") and True not in [0x0A in payload for payload in payloads]:
                events = [(_MESSAGE, payload) for payload in payloads]
            elif between:
                for line in whole.split(b"\n"):
                    self._line(line, events)
                self._line(b"", events)
        if data:
            *lines, rest = data.split(b"\n")
            for line in lines:
                self._line(line, events)
            self._hold(rest)
        return events

    def resume(self, data: bytes) -> bytes:
        """Return a read from the beginning of an event on, with what was held back of that before.

        Returns b"" where no event begins or ends there, and all stays as it was; else the caller
        feeds whatever is left of it.
        """
        if self._at_start or self._skip_lf or self._data or self._name != _MESSAGE or b"\n\n" not in data:
            return b""
        return self._take(data) if self._pending else data

    def close(self) -> list[Event]:
        """End the stream and return the last event, if it lacks its blank line."""
        events: list[Event] = []
        if self._pending:
            self._line(self._take(), events)
        self._line(b"", events)
        return events

    def _between_events(self) -> bool:
        return not (self._at_start or self._skip_lf or self._pending or self._data) and self._name == _MESSAGE

    def _start(self, data: bytes) -> bytes:
        """Take a byte order mark away, however it is cut."""
        data = self._take(data)
        if len(data) < len(BOM) and BOM.startswith(data):
            self._hold(data)
            return b""
        self._at_start = False
        return data.removeprefix(BOM)

    def _line(self, line: bytes, events: list[Event]) -> None:
        if not line:
            if self._data:
                events.append((self._name, b"\n".join(self._data)))
                self._data.clear()
                self._data_size = 0
            self._name = _MESSAGE
            return
        field, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            self._data.append(value)
            self._data_size += len(value)
            self._check()
        elif field == b"event":
            self._name = value.decode("utf-8", "replace") or _MESSAGE
        elif self._keep_unframed and field not in _IGNORED:
            events.append((UNFRAMED, line))

    def _hold(self, data: bytes) -> None:
        """Keep the beginning of a line until its end comes."""
        if data:
            self._pending.append(data)
            self._pending_size += len(data)
            self._check()

    def _take(self, data: bytes = b"") -> bytes:
        """The line held back so far, and what came after it."""
        whole = b"".join((*self._pending, data))
        self._pending.clear()
        self._pending_size = 0
        return whole

    def _check(self) -> None:
        if self._pending_size + self._data_size > self._max:
            raise ResponseTooLargeError(f"An event of the answer is longer than {self._max} bytes.")
