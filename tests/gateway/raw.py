"""A client that writes bytes: what is no proper HTTP, and what no client of OpenAI sends."""

from __future__ import annotations

import json
import re
import socket
from typing import Any
from urllib.parse import urlsplit

from freeproviders.gateway import Gateway

CHAT = "/v1/chat/completions"


def connected(gateway: Gateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(gateway.base_url).port or 0), timeout=10)


def head(path: str = CHAT, method: str = "POST", version: str = "1.1", **headers: Any) -> bytes:
    """A request's head; `headers` with _ for -, None to leave one out."""
    fields = {"Host": "localhost", "Content-Type": "application/json", "Connection": "close"}
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([f"{method} {path} HTTP/{version}", *lines, "", ""]).encode()


def question(body: Any, **headers: Any) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head(Content_Length=len(data), **headers) + data


def read_all(connection: socket.socket, *, whole: bool = True) -> bytes:
    """Read to the end of the connection, or else of the first answer, where that tells its length."""
    data = b""
    while more := connection.recv(2**16):
        data += more
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", data)
        end = data.find(b"\r\n\r\n") + 4
        if not whole and length and end > 4 and len(data) >= end + int(length[1]):
            break
    return data


def asked(gateway: Gateway, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes; return the status, the headers and the body of the answer."""
    with connected(gateway) as connection:
        connection.sendall(request)
        return answer_of(read_all(connection, whole=False))


def answer_of(data: bytes) -> tuple[int, dict[str, str], bytes]:
    first, _, body = data.partition(b"\r\n\r\n")
    status, *fields = first.decode("latin-1").split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    return int(status.split()[1]), {name.lower(): value for name, value in headers.items()}, body


def error_of(body: bytes) -> dict[str, Any]:
    """The error of an answer, which must be OpenAI's document and show nothing of our code."""
    assert b"Traceback" not in body
    assert b".py" not in body
    error: dict[str, Any] = json.loads(body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    return error
