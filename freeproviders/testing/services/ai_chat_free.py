"""AIChatFree: signed JSON sent as plain text, the bare answer back."""

# ruff: noqa: D102 - the methods are described where they are declared, in `services.base`

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from freeproviders.testing.answers import Piece
from freeproviders.testing.faults import Fault
from freeproviders.testing.record import RecordedRequest
from freeproviders.testing.services.base import (
    Reply,
    Service,
    Turn,
    check_headers,
    check_keys,
    dump,
    expect,
    read_json,
)
from freeproviders.types import Text

SITE: Final = "https://aichatfree.info"
HEADERS: Final = {
    "Accept": "*/*",
    "Accept-Language": "en-US,en;q=0.5",
    "Content-Type": "text/plain;charset=UTF-8",
    "Origin": SITE,
    "Referer": f"{SITE}/",
    "User-Agent": None,
}
ROLES: Final = {"user": "user", "model": "assistant"}
CLOCK_SKEW_MS: Final = 300_000


class AIChatFreeService(Service):
    """Signed requests. `secret` is the site's part of the signature."""

    name: ClassVar[str] = "AIChatFree"
    slug: ClassVar[str] = "ai-chat-free"
    routes: ClassVar = {("POST", "/api/generate"): "answer"}

    def __init__(self, secret: str = "") -> None:
        self._secret = secret

    def turn(self, request: RecordedRequest) -> Turn:
        check_headers(request, HEADERS)
        body = read_json(request)
        check_keys(body, ("messages", "time", "pass", "sign"))
        expect(body["pass"] is None, f"pass must be null, not {body['pass']!r}.")
        messages = body["messages"]
        expect(
            isinstance(messages, list) and bool(messages), "messages must be a list of at least one message."
        )
        decoded = [_decode(message, f"messages[{n}]") for n, message in enumerate(messages)]
        sent = body["time"]
        expect(type(sent) is int, f"time must be a whole number of milliseconds, not {sent!r}.")
        expect(
            abs(time.time() * 1000 - sent) <= CLOCK_SKEW_MS, f"time {sent} is too far from now.", status=401
        )
        signed = f"{sent}:{decoded[-1]['content']}:{self._secret}".encode("utf-8", "surrogatepass")
        expect(
            body["sign"] == hashlib.sha256(signed).hexdigest(),
            "Invalid signature: sign does not fit the request.",
            status=401,
        )
        return Turn(decoded, _Raw)

    def complaint(self, status: int, message: str, fault: Fault, code: str | None = None) -> Reply:  # noqa: ARG002
        return Reply(status, dump({"error": {"message": message}}))

    def quota(self, fault: Fault) -> Reply:  # noqa: ARG002
        return Reply(500, b"Quota exceeded", "text/plain; charset=utf-8")


def _decode(message: Any, where: str) -> dict[str, Any]:
    expect(
        isinstance(message, dict) and set(message) == {"role", "parts"},
        f"{where} must have role and parts and nothing else.",
    )
    expect(message["role"] in ROLES, f"{where}.role must be user or model, not {message['role']!r}.")
    parts = message["parts"]
    fits = (
        isinstance(parts, list)
        and len(parts) == 1
        and isinstance(parts[0], dict)
        and set(parts[0]) == {"text"}
        and isinstance(parts[0]["text"], str)
    )
    expect(fits, f'{where}.parts must be [{{"text": ...}}].')
    return {"role": ROLES[message["role"]], "content": parts[0]["text"]}


class _Raw:
    content_type = "text/plain; charset=utf-8"

    def __init__(self, fault: Fault) -> None:
        del fault  # there is no framing for one to change

    def start(self) -> Iterable[bytes]:
        return ()

    def piece(self, piece: Piece) -> Iterable[bytes]:
        match piece:
            case Text(text):
                yield text.encode("utf-8", "replace")
            case bytes():
                yield piece
            case Mapping():
                yield dump(piece)

    def keepalive(self) -> bytes:
        raise AssertionError  # raw text cannot say nothing

    def error(self, message: str, *, first: bool) -> Iterable[bytes]:  # noqa: ARG002
        yield dump({"error": {"message": message}})

    def end(self) -> Iterable[bytes]:
        return ()
