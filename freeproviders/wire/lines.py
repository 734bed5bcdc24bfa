"""Lines of bytes, as in newline-delimited JSON."""

from __future__ import annotations

from freeproviders.errors import ResponseTooLargeError

MAX_LINE_BYTES = 16 * 2**20


class LineDecoder:
    """Cuts a byte stream at LF or CRLF; drops blank lines unless `keep_blank` asks for them.

    A line split over many reads is joined once, so the cost stays linear. Only LF ends a line: CR,
    U+2028 and their kind are content. Blanks around a line are taken off.
    """

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES, *, keep_blank: bool = False) -> None:
        self._max = max_line_bytes
        self._keep_blank = keep_blank
        self._pending: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take a read; return the lines it completes, without their ends.

        Raises `ResponseTooLargeError` when a line passes the cap.
        """
        if b"\n" not in data:
            self._keep(data)
            return []
        if self._pending:
            data = b"".join((*self._pending, data))
            self._pending.clear()
        self._size = 0
        *lines, rest = data.split(b"\n")
        if rest:
            self._keep(rest)
        if self._keep_blank:
            return [_stripped(line) for line in lines]
        return [line for line in map(_stripped, lines) if line]

    def close(self) -> list[bytes]:
        """End the stream and return the last line, which may lack its LF."""
        last = _stripped(b"".join(self._pending))
        self._pending.clear()
        return [last] if last else []

    def _keep(self, data: bytes) -> None:
        self._pending.append(data)
        self._size += len(data)
        if self._size > self._max:
            raise ResponseTooLargeError(f"A line of the answer is longer than {self._max} bytes.")


def _stripped(line: bytes) -> bytes:
    return line.strip(b" \t\r")
