"""The requests that a client sent, kept for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import CIMultiDictProxy


@dataclass(slots=True)
class RecordedRequest:
    """One request, as it came.

    `headers` is looked up in any case. `messages` are the decoded role/content mappings of a chat
    request; where the protocol flattens the conversation it is one user message with the prompt. Of a
    request for vectors that is well written, `texts` are its texts, `model`, `input_type` and `size`
    the model, what the texts are for in the service's word, and how many numbers a vector has.
    `connection` numbers the TCP connections from 1: two requests with the same number shared one.
    `refusal` is the reason for which the request was refused, None if it was not; `status` is that
    of the answer, 0 before it begins and where there is none. `fault` is what was done to it on
    purpose, as "status=503", `seconds` how long it took and `left` whether the client has left before
    its end: all three are known at the end of the answer.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: CIMultiDictProxy[str]
    body: bytes
    connection: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)
    refusal: str | None = None
    status: int = 0
    texts: list[str] = field(default_factory=list)
    model: str = ""
    input_type: str = ""
    size: int = 0
    fault: str = ""
    seconds: float = 0.0
    left: bool = False

    @classmethod
    async def read(cls, request: web.BaseRequest, connection: int) -> RecordedRequest:
        """Read the whole request."""
        return cls(
            request.method,
            request.path,
            dict(request.query),
            request.headers,
            await request.read(),
            connection,
        )

    @property
    def line(self) -> str:
        """The request and what became of it, as a line of an access log."""
        why = [
            self.refusal or "",
            f"fault {self.fault}" if self.fault else "",
            "the client left" if self.left else "",
        ]
        told = "; ".join(one.removesuffix(".") for one in why if one)
        line = f"{self.method} {self.path} {self.status or '-'} {self.seconds:.2f} s"
        return f"{line}: {told}" if told else line

    @property
    def json(self) -> Any:
        """The body read as JSON. Raises `ValueError` where it is none."""
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        """The body read as an HTML form. Raises `ValueError` where it is none."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True))

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies of the request."""
        return {name: morsel.value for name, morsel in SimpleCookie(self.headers.get("Cookie", "")).items()}
