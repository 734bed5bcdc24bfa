"""FlowGpt: newline-delimited JSON, each request signed."""

from __future__ import annotations

import hashlib
import secrets
import string
import time
from collections.abc import Iterable, Mapping
from typing import Any

from freeproviders.backend import text_stream
from freeproviders.errors import EmptyResponseError, MalformedResponseError, TruncatedResponseError
from freeproviders.methods import hybridmethod
from freeproviders.provider import AsyncGeneratorProvider
from freeproviders.streams import TextStream
from freeproviders.transport import HttpRequest
from freeproviders.types import Batch, ChatRequest, Message
from freeproviders.wire.failure import (
    ReportedError,
    classify,
    error_in_success,
    excerpt,
    read_reported_error,
)
from freeproviders.wire.json import dumps, from_json
from freeproviders.wire.lines import LineDecoder
from freeproviders.wire.parts import PartDecoder
from freeproviders.wire.text import BOM

AUTHORIZATION = "Bearer null"
GREETING = "Hello, how can I help you today?"
DEFAULT_SYSTEM = "You are helpful assistant. Follow the user's instructions carefully."
TEMPERATURE = 0.7
_DEVICE_ALPHABET = string.ascii_lowercase + string.digits


class FlowGpt(AsyncGeneratorProvider):
    """`flowgpt.com`'s anonymous chat; last answered a public client on 2024-11-06."""

    name = "FlowGpt"
    slug = "flow-gpt"
    url = "https://flowgpt.com/chat"
    default_base_url = "https://prod-backend-k8s.flowgpt.com"
    api_endpoint = "/v3/chat-anonymous"
    protocol = "signed JSON; JSON lines"
    working = False
    status_note = "last public client 2024-11-06"

    default_model = "gpt-3.5-turbo"
    models = (
        default_model,
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
    )
    # never written to
    model_aliases = {"gemini": "google-gemini", "gemini-pro": "google-gemini"}  # noqa: RUF012
    windows = {  # noqa: RUF012 - the same
        "gpt-3.5-long": 16_385,
        "google-gemini": 32_768,
        "claude-instant": 100_000,
        "claude-v1": 9000,
        "claude-v2": 100_000,
        "llama2-13b": 4096,
        "mythalion-13b": 4096,
        "pygmalion-13b": 2048,
        "chronos-hermes-13b": 2048,
        "Mixtral-8x7B": 32_768,
        "Dolphin-2.6-8x7B": 16_384,
    }
    accepted_options = frozenset({"temperature"})

    @hybridmethod
    def create_async_generator(
        self,
        /,
        model: str | None = None,
        messages: Iterable[Message | Mapping[str, Any]] | str | None = None,
        proxy: str | None = None,
        temperature: float | None = TEMPERATURE,
        **kwargs: Any,
    ) -> TextStream:
        """Stream the text of an answer; see `Backend.create_async_generator`.

        `temperature` stands where the old client had it.
        """
        return text_stream(self, model, messages, {"proxy": proxy, "temperature": temperature, **kwargs})

    def encode(self, request: ChatRequest) -> HttpRequest:
        """Write the request as the service wants it."""
        *earlier, last = request.messages
        system = "\n".join(message.text for message in request.messages if message.role == "system")
        history = [{"role": "assistant", "content": GREETING}]
        history += [
            {"role": "assistant" if message.role == "assistant" else "user", "content": message.text}
            for message in earlier
            if message.role != "system"
        ]
        body = {
            "model": request.model,
            "nsfw": False,
            "question": last.text,
            "history": history,
            "system": system or DEFAULT_SYSTEM,
            "temperature": TEMPERATURE if request.temperature is None else request.temperature,
            "promptId": f"model-{request.model}",
            "documentIds": [],
            "chatFileDocumentIds": [],
            "generateImage": False,
            "generateAudio": False,
        }
        timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
        headers = {
            "Accept": "*/*",
            "Accept-Language": "en-US;q=0.7,en;q=0.3",
            "Content-Type": "application/json",
            "Origin": "https://flowgpt.com",
            "Referer": "https://flowgpt.com/",
            "Authorization": AUTHORIZATION,
            "x-flow-device-id": "f-" + "".join(secrets.choice(_DEVICE_ALPHABET) for _ in range(19)),
            "x-nonce": nonce,
            "x-timestamp": timestamp,
            "x-signature": sign(timestamp, nonce),
        }
        return HttpRequest(
            "POST", self.base_url + self.api_endpoint, self.http_headers(**headers), dumps(body)
        )

    def decoder(self, request: ChatRequest) -> PartDecoder:
        """Return a new decoder for one answer."""
        del request
        return _EventDecoder()


def sign(timestamp: str, nonce: str, authorization: str = AUTHORIZATION) -> str:
    """Return the `x-signature` header: an MD5 in hex, as the service wants; it protects nothing."""
    return hashlib.md5(f"{timestamp}-{nonce}-{authorization}".encode(), usedforsecurity=False).hexdigest()


class _EventDecoder(PartDecoder):
    """Reads lines of JSON, `{"event": "text", "data": "<piece>"}`; only `text` has text."""

    ends_with_body = True

    def __init__(self) -> None:
        super().__init__()
        self._lines = LineDecoder()

    def decode(self, data: bytes, batch: Batch) -> None:
        for line in self._lines.feed(data):
            self._line(line, batch)

    def finish(self, batch: Batch) -> None:
        for line in self._lines.close():
            self._line(line, batch, last=True)
        self.end_text(batch)
        if not self.answered:
            raise EmptyResponseError("The answer holds no text.")
        self.reason = "stop"

    def _line(self, line: bytes, batch: Batch, *, last: bool = False) -> None:
        try:
            event = from_json(line)
        except ValueError as error:
            event = self._odd_line(line, error, last=last)
        if not isinstance(event, dict):
            return
        kind, data = event.get("event"), event.get("data")
        if kind == "error":
            reported = (
                read_reported_error(data)
                or read_reported_error(event)
                or ReportedError(str(data or "The service reported an error"))
            )
            raise classify(None, reported)
        if kind is None or event.get("error"):
            inside = error_in_success(event)
            if inside is not None:
                raise classify(None, inside)
        if kind == "text" and isinstance(data, str) and data:
            self.text(data, batch)

    def _odd_line(self, line: bytes, error: ValueError, *, last: bool) -> Any:
        """Read a line that is not JSON."""
        while line.startswith(BOM):
            line = line[len(BOM) :]
        if not line:
            return None
        try:
            return self.read_json(line)
        except ValueError:
            cls = TruncatedResponseError if last and self.answered else MalformedResponseError
            raise cls(f"A line holds no JSON: {error}.", body=excerpt(line)) from error
