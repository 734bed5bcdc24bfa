"""What a client sent, kept for the test to look at."""

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

    `headers` is looked up in any case. `messages` are the decoded role/content mappings of a chat request; where the protocol flattens the
    conversation it is one user message that holds the prompt. `connection` numbers the TCP connections from 1, so two requests with the same
    number shared one. `refusal` says why the request was refused, and is None when it was not.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: CIMultiDictProxy[str]
    body: bytes
    connection: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)
    refusal: str | None = None

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
    def json(self) -> Any:
        """The body as JSON; raises `ValueError` where it is not."""
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        """The body as an HTML form; raises `ValueError` where it is not."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True))

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that came along."""
        return {name: morsel.value for name, morsel in SimpleCookie(self.headers.get("Cookie", "")).items()}
