"""Questions to replicas without any of our clients."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from freeproviders.testing import Replica

HI = {"role": "user", "content": "Hi"}


@dataclass(frozen=True)
class Answered:
    """What came back, with headers in small letters."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Clock:
    """A clock that is moved by hand."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def send(
    server: Replica, method: str, path: str, body: object = None, key: str | None = "secret"
) -> Answered:
    """Send a request to a path under the base URL, or from the root where it begins with two slashes."""
    url = urlsplit(server.base_url)
    connection = http.client.HTTPConnection(url.netloc, timeout=30)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    at = path[1:] if path.startswith("//") else url.path + path
    try:
        connection.request(method, at, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return Answered(
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            response.read().decode(),
        )
    finally:
        connection.close()


def ask(server: Replica, model: str = "m", *, key: str | None = "secret", **body: Any) -> Answered:
    """Ask a question, "Hi" where the body names no messages."""
    return send(server, "POST", "/chat/completions", {"model": model, "messages": [HI], **body}, key)
