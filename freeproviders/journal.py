"""What the core says of its work in the standard `logging`: one tree of loggers, silent by default.

| logger | level | what |
|---|---|---|
| `freeproviders.http` | INFO | each request, its status, first content, end or failure; retries and waits |
| | DEBUG | headers by their names, sizes, announced limits, redirects, dead connections |
| `freeproviders.quota` | INFO | requests that the ledger refuses or holds back |
| `freeproviders.tools` | INFO | output that is no good, and is asked for again |
| `freeproviders.router` | INFO | members that are asked, fail (and why) or are passed over; waits |
| `freeproviders.embedded` | INFO | files that are fetched, the engine's starts and ends |

No line holds a key, a cookie, a value of a header or of an address's query, a prompt, an answer, or
words of a service, which may repeat any of them. A call looks once whether the logger is enabled, and a
part of an answer costs nothing.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from freeproviders.redaction import without_secrets

INFO: Final = logging.INFO
DEBUG: Final = logging.DEBUG
MODEL_CHARS: Final = 80

http: Final = logging.getLogger("freeproviders.http")
quota: Final = logging.getLogger("freeproviders.quota")
tools: Final = logging.getLogger("freeproviders.tools")
router: Final = logging.getLogger("freeproviders.router")
embedded: Final = logging.getLogger("freeproviders.embedded")

# A library prints nothing unasked.
logging.getLogger("freeproviders").addHandler(logging.NullHandler())

_numbers: Final = itertools.count(1)


class Trace:
    """One HTTP request in the log, by its number. Made only where `http` is enabled."""

    __slots__ = ("_began", "_mark", "_open")

    def __init__(self) -> None:
        self._mark = f"#{next(_numbers)}"
        self._began = monotonic()
        self._open = False

    def sent(
        self,
        method: str,
        url: str,
        who: str,
        *,
        model: str = "",
        attempt: int = 1,
        secrets: Iterable[str] = (),
        headers: Iterable[str] = (),
        size: int = 0,
    ) -> None:
        """Note that a request goes out: to which service, and of what size."""
        self._began, self._open = monotonic(), True
        asked = f" model={shown(model)}" if model else ""
        again = f" attempt={attempt}" if attempt > 1 else ""
        http.info("%s %s %s (%s%s%s)", self._mark, method, address(url, secrets), who, asked, again)
        if http.isEnabledFor(DEBUG):
            http.debug("%s sent: %d bytes; headers %s", self._mark, size, _names(headers))

    def answered(self, status: int, headers: Mapping[str, str], limits: int = 0) -> None:
        """Note the head of the answer; `limits` is how many limits it announces."""
        http.info("%s HTTP %d after %.2f s", self._mark, status, self._seconds)
        if http.isEnabledFor(DEBUG):
            told = f"; {limits} announced limits" if limits else ""
            http.debug("%s received: headers %s%s", self._mark, _names(headers), told)

    def content(self) -> None:
        """Note that the first content of the answer is there."""
        http.info("%s first content after %.2f s", self._mark, self._seconds)

    def ended(self, size: int, reason: str = "", tokens: tuple[int, int] | None = None) -> None:
        """Note the whole answer: its bytes, why it ended, its input and output tokens."""
        self._open = False
        why = f" ({reason})" if reason else ""
        counted = f", {tokens[0]} + {tokens[1]} tokens" if tokens else ""
        http.info("%s end%s after %.2f s: %d bytes%s", self._mark, why, self._seconds, size, counted)

    def failed(self, error: BaseException, size: int = 0) -> None:
        """Note that there is no answer, or no whole one, and why."""
        if self._open:  # what failed before it was sent is noted elsewhere
            self._open = False
            http.info("%s failed after %.2f s: %s; %d bytes", self._mark, self._seconds, reason(error), size)

    def closed(self, size: int) -> None:
        """Note that the caller has left before the end."""
        if self._open:
            self._open = False
            http.info("%s closed by the caller after %.2f s: %d bytes", self._mark, self._seconds, size)

    @property
    def _seconds(self) -> float:
        return monotonic() - self._began


def traced() -> Trace | None:
    """Return a new request's place in the log, None where the logger is not enabled."""
    return Trace() if http.isEnabledFor(INFO) else None


def address(url: str, secrets: Iterable[str] = ()) -> str:
    """Write an address without what may be secret: a login, the values of its query, known secrets."""
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return "(an address that cannot be read)"
    # What stands alone may be a value.
    query = "&".join(f"{name}=***" if value else "***" for name, value in pairs)
    host = parts.netloc.rpartition("@")[2]
    text = urlunsplit((parts.scheme, host, parts.path, query, ""))
    return shown(without_secrets(text, secrets), limit=500)


def reason(error: BaseException) -> str:
    """Say why something failed, in none of a service's words, which may repeat a question."""
    status, phase = getattr(error, "status", None), getattr(error, "phase", "")
    after, kind = getattr(error, "retry_after", None), getattr(error, "kind", "")
    facts = [
        f"HTTP {status}" if status else "",
        f"limit: {phase}" if phase and isinstance(error, TimeoutError) else "",
        f"about: {kind}" if kind else "",
        f"asks to wait {after:g} s" if after is not None else "",
    ]
    told = ", ".join(fact for fact in facts if fact)
    return f"{type(error).__name__} ({told})" if told else type(error).__name__


def shown(text: str, limit: int = MODEL_CHARS) -> str:
    """Return a name on one line: a line break in it would forge a line of the log."""
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= limit else f"{text[:limit]}..."


def _names(headers: Iterable[str]) -> str:
    return ", ".join(shown(name) for name in headers) or "none"
