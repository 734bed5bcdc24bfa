"""AIChatFree: a signed request in, raw text out."""

from __future__ import annotations

import hashlib
import time as clock
from collections.abc import Iterable, Mapping
from typing import Any

from freeproviders.backend import text_stream
from freeproviders.errors import EmptyResponseError, ProviderError, RateLimitError
from freeproviders.methods import hybridmethod
from freeproviders.provider import AsyncGeneratorProvider
from freeproviders.streams import TextStream
from freeproviders.transport import HttpRequest
from freeproviders.types import Batch, ChatRequest, Message
from freeproviders.wire.failure import excerpt, retry_after
from freeproviders.wire.json import dumps
from freeproviders.wire.parts import PartDecoder
from freeproviders.wire.raw import MAX_HELD_BYTES, error_in_text, may_be_error
from freeproviders.wire.text import BOM, TextDecoder


class AIChatFree(AsyncGeneratorProvider):
    """`aichatfree.info`; last answered a public client on 2025-02-01."""

    name = "AIChatFree"
    slug = "ai-chat-free"
    url = "https://aichatfree.info"
    default_base_url = url
    api_endpoint = "/api/generate"
    protocol = "signed JSON; plain text"
    working = False
    status_note = "last public client 2025-02-01"
    supports_system_message = False

    default_model = "gemini-1.5-pro"
    models = (default_model, "gemini-pro")
    windows = {"gemini-1.5-pro": 1_048_576, "gemini-pro": 32_768}  # noqa: RUF012 - never written to

    @hybridmethod
    def create_async_generator(
        self,
        /,
        model: str | None = None,
        messages: Iterable[Message | Mapping[str, Any]] | str | None = None,
        proxy: str | None = None,
        connector: Any = None,
        **kwargs: Any,
    ) -> TextStream:
        """Stream the text of an answer; see `Backend.create_async_generator`.

        `connector`, an aiohttp connector that is used and never closed, stands where the old client
        had it.
        """
        return text_stream(self, model, messages, {"proxy": proxy, "connector": connector, **kwargs})

    def encode(self, request: ChatRequest) -> HttpRequest:
        """Write the request as the service wants it.

        The service has no system role, so such a message goes as the user's.
        """
        now = int(clock.time() * 1000)
        body = {
            "messages": [
                {
                    "role": "model" if message.role == "assistant" else "user",
                    "parts": [{"text": message.text}],
                }
                for message in request.messages
            ],
            "time": now,
            "pass": None,
            "sign": generate_signature(now, request.messages[-1].text),
        }
        headers = {
            "Accept": "*/*",
            "Accept-Language": "en-US,en;q=0.5",
            "Content-Type": "text/plain;charset=UTF-8",
            "Origin": self.url,
            "Referer": f"{self.url}/",
        }
        return HttpRequest(
            "POST", self.base_url + self.api_endpoint, self.http_headers(**headers), dumps(body)
        )

    def decoder(self, request: ChatRequest) -> PartDecoder:
        """Return a new decoder for one answer."""
        del request
        return _RawDecoder()

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Read an answer with an error status; a used-up quota comes as a 500."""
        if status == 500 and b"quota exceeded" in body.lower():
            return RateLimitError(
                "Quota exceeded.", status=status, body=excerpt(body), retry_after=retry_after(headers)
            )
        return super().failure(status, headers, body)


def generate_signature(time: int, text: str, secret: str = "") -> str:
    """Sign a request to AIChatFree.

    Args:
        time: Unix time in milliseconds, the same as in the request.
        text: the text of the last message.
        secret: the service's secret; it has none.

    Returns:
        The SHA-256 of `time:text:secret`, in hex.
    """
    return hashlib.sha256(f"{time}:{text}:{secret}".encode()).hexdigest()


class _RawDecoder(PartDecoder):
    """Reads a body that is the answer itself, or a server's error; see `freeproviders.wire.raw`."""

    ends_with_body = True

    def __init__(self) -> None:
        super().__init__()
        self._text = TextDecoder()
        self._head: bytes | None = b""  # the beginning, while it may be an error; None once it is an answer

    def decode(self, data: bytes, batch: Batch) -> None:
        if self._head is not None:
            self._head += data
            data = self._begun()
        if text := self._text.feed(data):
            self.text(text, batch)

    def finish(self, batch: Batch) -> None:
        if self._head is not None and (text := self._text.feed(self._begun(at_end=True))):
            self.text(text, batch)
        if text := self._text.close():
            self.text(text, batch)
        if not self.answered:
            raise EmptyResponseError("The answer is empty.")
        self.reason = "stop"

    def _begun(self, *, at_end: bool = False) -> bytes:
        """Return the beginning once it is known to be of an answer; raise where it is an error."""
        assert self._head is not None  # noqa: S101 - the callers look
        if BOM.startswith(self._head) and not at_end:
            return b""
        head = self._head.removeprefix(BOM)
        if may_be_error(head[:MAX_HELD_BYTES]):
            enough = len(head) >= MAX_HELD_BYTES
            if not enough and not at_end:
                return b""
            error = error_in_text(head[:MAX_HELD_BYTES], whole=not enough)
            if error is not None:
                raise error
        self._head = None
        return head
