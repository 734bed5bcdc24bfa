"""A request on its way in: its body within the limits, and what its line in the log says."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from freeproviders.gateway.limits import Limits
from freeproviders.gateway.refusals import Refusal
from freeproviders.types import Finish, Usage
from freeproviders.wire.json import dumps

JSON_TYPE: Final = "application/json"
_MOST_SHOWN: Final = 80


class Room:
    """The memory for the bodies of all requests that are answered at the same time."""

    def __init__(self, limits: Limits) -> None:
        self.left = limits.bodies_bytes


@dataclass(slots=True, eq=False)
class Incoming:
    """One request, and what becomes of it.

    `headers` are those that each answer to it has. `taken` counts the bytes of memory that it has of
    the room for bodies.
    """

    request: web.BaseRequest
    limits: Limits
    room: Room
    id: str = field(default_factory=lambda: f"req_{secrets.token_hex(8)}")
    started: float = field(default_factory=time.monotonic)
    headers: dict[str, str] = field(default_factory=dict)
    taken: int = 0
    status: int = 0
    code: str = ""
    model: str = ""
    answered: str = ""
    attempts: int = 0
    streamed: bool = False
    usage: Usage | None = None

    def __post_init__(self) -> None:
        self.headers |= {"Server": "freeproviders", "X-Request-Id": self.id}

    @property
    def is_alone(self) -> bool:
        """Whether the client has left."""
        transport = self.request.transport
        return transport is None or transport.is_closing()

    # --- in ---

    async def body(self) -> bytes:
        """Read the body, which must be JSON by its header. Raises `Refusal`."""
        request, limits = self.request, self.limits
        # A page of a browser can send text without asking first, and JSON it cannot.
        if request.content_type != JSON_TYPE:
            raise Refusal(
                415,
                f"Content-Type must be {JSON_TYPE}, not {request.content_type!r:.100}.",
                code="unsupported_media_type",
            )
        if (request.content_length or 0) > limits.body_bytes:
            raise self._too_large()
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # the answer has not begun
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(limits.body_seconds):
                async for data in request.content.iter_any():
                    size += len(data)
                    if size > limits.body_bytes:
                        raise self._too_large()
                    self._take(len(data))
                    pieces.append(data)
        except TimeoutError:
            raise Refusal(
                408, f"The body did not come within {limits.body_seconds:g} s.", code="request_timeout"
            ) from None
        except web.RequestPayloadError as error:
            raise Refusal(
                400, f"The body cannot be read: {str(error)[:200]}.", code="invalid_request"
            ) from None
        return b"".join(pieces)

    def close(self) -> None:
        """Give back the room for the body."""
        self.room.left += self.taken
        self.taken = 0

    def _take(self, size: int) -> None:
        if size > self.room.left:
            raise Refusal(
                503,
                "There is no memory left for further requests at present.",
                code="overloaded",
                retry_after=1,
                again=True,
            )
        self.room.left -= size
        self.taken += size

    def _too_large(self) -> Refusal:
        return Refusal(
            413, f"The body is larger than {self.limits.body_bytes} bytes.", code="request_too_large"
        )

    # --- out ---

    def answer(
        self, document: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        """Make an answer of a JSON document, or of its bytes."""
        body = document if isinstance(document, bytes) else dumps(document)
        self.status = status
        return web.Response(
            status=status, body=body, content_type=JSON_TYPE, headers={**self.headers, **(headers or {})}
        )

    def refused(self, refusal: Refusal) -> web.Response:
        """Make the answer of a refusal."""
        self.code = refusal.code
        return self.answer(refusal.document, refusal.status, refusal.headers)

    # --- the log ---

    def ended(self, finish: Finish, usage: Usage | None) -> None:
        """Note which model has answered, and what it took."""
        self.answered = " ".join(filter(None, (finish.provider, finish.model)))
        self.attempts = finish.attempts
        self.usage = usage

    def line(self) -> str:
        """Write the request's line for the log: no prompt, no answer, no key."""
        request, usage = self.request, self.usage
        said = [
            request.method[:16],
            _shown(request.path),
            str(self.status or 499),  # 499: the client has left
            f"{time.monotonic() - self.started:.3f}s",
            self.id,
            f"model={_shown(self.model)}" if self.model else "",
            f"answered={_shown(self.answered)!r}" if self.answered else "",
            f"attempts={self.attempts}" if self.attempts > 1 else "",
            f"tokens={usage.input_tokens}+{usage.output_tokens}" if usage is not None else "",
            "stream" if self.streamed else "",
            f"error={self.code}" if self.code else "",
        ]
        return " ".join(filter(None, said))


def _shown(text: str) -> str:
    """Write what a client has sent in one line, and not all of it."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text[: _MOST_SHOWN + 1])
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
