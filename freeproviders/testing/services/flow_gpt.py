"""FlowGpt: signed requests, newline-delimited JSON back."""

# ruff: noqa: D102 - the methods are described where they are declared, in `services.base`

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from freeproviders.testing.answers import Piece
from freeproviders.testing.faults import EVERYWHERE, STREAM_FAULTS, Fault
from freeproviders.testing.record import RecordedRequest
from freeproviders.testing.services.base import (
    Reply,
    Service,
    Turn,
    check_headers,
    check_keys,
    dump,
    expect,
    is_number,
    read_json,
    status_phrase,
)
from freeproviders.types import Text

AUTHORIZATION: Final = "Bearer null"
HEADERS: Final = {
    "Accept": "*/*",
    "Accept-Language": "en-US;q=0.7,en;q=0.3",
    "Content-Type": "application/json",
    "Origin": "https://flowgpt.com",
    "Referer": "https://flowgpt.com/",
    "User-Agent": None,
    "Authorization": AUTHORIZATION,
    "x-flow-device-id": None,
    "x-nonce": None,
    "x-timestamp": None,
    "x-signature": None,
}
MODELS: Final = frozenset(
    {
        "gpt-3.5-turbo",
        "gpt-3.5-long",
        "gpt-4-turbo",
        "google-gemini",
        "claude-instant",
        "claude-v1",
        "claude-v2",
        "llama2-13b",
        "mythalion-13b",
        "pygmalion-13b",
        "chronos-hermes-13b",
        "Mixtral-8x7B",
        "Dolphin-2.6-8x7B",
    }
)
GREETING: Final = {"role": "assistant", "content": "Hello, how can I help you today?"}
DEFAULT_SYSTEM: Final = "You are helpful assistant. Follow the user's instructions carefully."
DEFAULT_TEMPERATURE: Final = 0.7
FIXED: Final[Mapping[str, object]] = {
    "nsfw": False,
    "documentIds": [],
    "chatFileDocumentIds": [],
    "generateImage": False,
    "generateAudio": False,
}
KEYS: Final = ("model", "question", "history", "system", "temperature", "promptId", *FIXED)
CLOCK_SKEW_SECONDS: Final = 300


class FlowGptService(Service):
    """Signed requests; no options. Each nonce is accepted once."""

    name: ClassVar[str] = "FlowGpt"
    slug: ClassVar[str] = "flow-gpt"
    line_ends: ClassVar = ("\n", "\r\n")
    routes: ClassVar = {("POST", "/v3/chat-anonymous"): "answer"}
    fault_names = EVERYWHERE | STREAM_FAULTS

    def __init__(self) -> None:
        self._nonces: set[str] = set()

    def turn(self, request: RecordedRequest) -> Turn:
        check_headers(request, HEADERS)
        self._check_signature(request.headers)
        body = read_json(request)
        check_keys(body, KEYS)
        for key, value in FIXED.items():
            expect(
                body[key] == value and type(body[key]) is type(value),
                f"{key} must be {value!r}, not {body[key]!r}.",
            )
        model, system, question = body["model"], body["system"], body["question"]
        expect(model in MODELS, f"Unknown model {model!r}.")
        expect(
            body["promptId"] == f"model-{model}",
            f"promptId must be 'model-{model}', not {body['promptId']!r}.",
        )
        expect(is_number(body["temperature"]), f"temperature must be a number, not {body['temperature']!r}.")
        expect(isinstance(system, str) and bool(system), "system must be a text.")
        expect(isinstance(question, str), "question must be a string.")
        history = body["history"]
        expect(
            isinstance(history, list) and history[:1] == [GREETING], f"history must begin with {GREETING!r}."
        )
        for n, message in enumerate(history):
            _check_message(message, f"history[{n}]")
        # The conversation as its caller had it: the page's own greeting and system text are not
        # part of it.
        told = [] if system == DEFAULT_SYSTEM else [{"role": "system", "content": system}]
        settings = {} if body["temperature"] == DEFAULT_TEMPERATURE else {"temperature": body["temperature"]}
        return Turn([*told, *history[1:], {"role": "user", "content": question}], _Lines, settings)

    def complaint(self, status: int, message: str, fault: Fault, code: str | None = None) -> Reply:  # noqa: ARG002
        return Reply(status, dump({"statusCode": status, "message": message, "error": status_phrase(status)}))

    def _check_signature(self, headers: Mapping[str, str]) -> None:
        device, nonce, timestamp, signature = (
            headers[f"x-{name}"] for name in ("flow-device-id", "nonce", "timestamp", "signature")
        )
        expect(
            re.fullmatch(r"f-[a-z0-9]{19}", device) is not None,
            f"x-flow-device-id is malformed: {device!r}.",
            status=403,
        )
        expect(
            re.fullmatch(r"[0-9a-f]{32}", nonce) is not None,
            f"x-nonce must be 32 hex characters, not {nonce!r}.",
            status=401,
        )
        expect(
            re.fullmatch(r"[0-9]{1,12}", timestamp) is not None,
            f"x-timestamp must be unix seconds, not {timestamp!r}.",
            status=401,
        )
        expect(
            abs(time.time() - int(timestamp)) <= CLOCK_SKEW_SECONDS,
            f"x-timestamp {timestamp} is too far from now.",
            status=401,
        )
        signed = f"{timestamp}-{nonce}-{AUTHORIZATION}".encode()
        expect(
            signature == hashlib.md5(signed, usedforsecurity=False).hexdigest(),
            "x-signature does not fit the request.",
            status=401,
        )
        expect(nonce not in self._nonces, f"x-nonce {nonce} was used before.", status=401)
        self._nonces.add(nonce)


def _check_message(message: Any, where: str) -> None:
    expect(
        isinstance(message, dict) and set(message) == {"role", "content"},
        f"{where} must have role and content and nothing else.",
    )
    expect(
        message["role"] in {"user", "assistant"},
        f"{where}.role must be user or assistant, not {message['role']!r}.",
    )
    expect(isinstance(message["content"], str), f"{where}.content must be a string.")


class _Lines:
    content_type = "application/x-ndjson; charset=utf-8"

    def __init__(self, fault: Fault) -> None:
        self._line_end = fault.line_end.encode()
        self._last_blank = fault.last_blank
        self._before = b""

    def start(self) -> Iterable[bytes]:
        yield self._line({"event": "start", "data": ""})
        yield self._line({"requestId": "replica"})

    def piece(self, piece: Piece) -> Iterable[bytes]:
        match piece:
            case Text(text):
                yield self._line({"event": "text", "data": text})
            case bytes():
                yield piece
            case Mapping():
                yield self._line(piece)

    def keepalive(self) -> bytes:
        before, self._before = self._before, b""
        return before + self._line_end

    def error(self, message: str, *, first: bool) -> Iterable[bytes]:  # noqa: ARG002
        yield self._line({"event": "error", "data": message})

    def end(self) -> Iterable[bytes]:
        yield self._line({"event": "metaData", "data": {"finished": True}})

    def _line(self, document: Mapping[str, Any]) -> bytes:
        before, self._before = self._before, b"" if self._last_blank else self._line_end
        return before + dump(document) + (self._line_end if self._last_blank else b"")
