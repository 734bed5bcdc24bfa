"""Requests that no client of OpenAI sends: never a 500, never a word of our code."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freeproviders import FlowGpt
from freeproviders.gateway import Gateway, Limits, serve
from freeproviders.testing import Replica, replica
from tests.gateway.conftest import HI, Through
from tests.gateway.raw import CHAT, answer_of, asked, connected, error_of, head, question, read_all
from tests.gateway.test_asked import BODIES, JSON, LETTERS

BODY = {"model": "auto", "messages": HI}


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"Hello there\r\n\r\n", 400, "invalid_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "invalid_request"),
        (b"POST / HTTP/1.1\r\nHost localhost\r\n\r\n", 400, "invalid_request"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 400, "invalid_request"),
        (head(Content_Length="many"), 400, "invalid_request"),
        (head(Content_Length=3, Transfer_Encoding="chunked") + b"0\r\n\r\n", 400, "invalid_request"),
        (question(b"{", Host="evil.example"), 403, "host_not_allowed"),
        (question(BODY, Origin="https://evil.example"), 403, "origin_not_allowed"),
        (question(BODY, Sec_Fetch_Site="cross-site"), 403, "origin_not_allowed"),
        (question(BODY, Content_Type="text/plain"), 415, "unsupported_media_type"),
        (question(BODY, Content_Type=None), 415, "unsupported_media_type"),
        (question(b"model=auto", Content_Type="application/x-www-form-urlencoded"), 415, None),
        (question(b"{"), 400, "invalid_json"),
        (question(b""), 400, "invalid_json"),
        (question(b"[]"), 400, "invalid_json"),
        (question({"model": 5, "messages": HI}), 400, "invalid_request"),
        (question(BODY, Content_Encoding="gzip"), 400, "invalid_request"),
        (head(Content_Length=10**9), 413, "request_too_large"),
        (head("/v1/responses", Content_Length=0), 404, "not_found"),
        (head("/", "GET"), 404, "not_found"),
        (head("/v1/models/%2e%2e/%2e%2e/etc", "GET"), 404, "model_not_found"),
        (head("/v1/models/", "GET"), 404, "not_found"),
        (head(CHAT, "GET"), 405, "method_not_allowed"),
        (head(CHAT, "DELETE"), 405, "method_not_allowed"),
        (head(CHAT, "OPTIONS", Origin="https://evil.example"), 403, "origin_not_allowed"),
        (head(CHAT, "OPTIONS"), 405, "method_not_allowed"),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_refused(flow: tuple[Replica, Gateway], request_: bytes, status: int, code: str | None) -> None:
    given, headers, body = asked(flow[1], request_)
    assert given == status
    error = error_of(body)
    assert code is None or error["code"] == code
    assert headers["content-type"].startswith("application/json")
    assert flow[0].requests == []


def test_what_is_served_all_the_same(flow: tuple[Replica, Gateway]) -> None:
    """HTTP/1.0, chunks, compression, an address without /v1, a client that waits to be asked for its body."""
    packed = gzip.compress(json.dumps(BODY).encode())
    chunked = json.dumps(BODY).encode()
    for request in (
        question(BODY, version="1.0", Host=None),
        question(BODY, path="/chat/completions"),
        question(packed, Content_Encoding="gzip"),
        head(Transfer_Encoding="chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(chunked), chunked),
        question(BODY, Content_Type="application/json; charset=utf-8"),
    ):
        status, _, body = asked(flow[1], request)
        assert status == 200
        assert json.loads(body)["choices"][0]["message"]["content"] == "Hello there, friend"
    data = json.dumps(BODY).encode()
    with connected(flow[1]) as connection:
        connection.sendall(head(Content_Length=len(data), Expect="100-continue"))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(data)
        assert answer_of(read_all(connection))[0] == 200


def test_a_stream_over_http_1_0(flow: tuple[Replica, Gateway]) -> None:
    """There are no chunks: the end of the connection is the end of the stream."""
    status, headers, body = asked(flow[1], question({**BODY, "stream": True}, version="1.0"))
    assert status == 200
    assert "transfer-encoding" not in headers
    assert body.endswith(b"data: [DONE]\n\n")


def test_requests_one_behind_the_other(flow: tuple[Replica, Gateway]) -> None:
    """Sent without waiting, answered in their order; a bad one does not spoil the next."""
    requests = [
        question(BODY, Connection="keep-alive"),
        question(b"{", Connection="keep-alive"),
        question({**BODY, "stream": True}, Connection="keep-alive"),
        head("/health", "GET"),
    ]
    _, gateway = flow
    with connected(gateway) as connection:
        connection.sendall(b"".join(requests))
        data = read_all(connection)
    assert [int(piece[:3]) for piece in data.split(b"HTTP/1.1 ")[1:]] == [200, 400, 200, 200]


def test_the_head_alone(flow: tuple[Replica, Gateway]) -> None:
    status, headers, body = asked(flow[1], head("/health", "HEAD"))
    assert (status, body) == (200, b"")
    assert headers["server"] == "freeproviders"


def test_a_body_that_does_not_come(through: Through) -> None:
    server, gateway = through(limits=Limits(body_seconds=0.1))
    status, _, body = asked(gateway, head(Content_Length=50) + b'{"model"')
    assert (status, error_of(body)["code"]) == (408, "request_timeout")
    assert server.requests == []


def test_a_head_that_does_not_come(through: Through) -> None:
    _, gateway = through(limits=Limits(idle_seconds=0.2))
    with connected(gateway) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: loc")
        assert read_all(connection) == b""


def test_bodies_have_room(through: Through) -> None:
    """A body that says that it is small and is not, one that unpacks to more, and all of them together."""
    _, gateway = through(limits=Limits(body_bytes=1000))
    chunk = b"%x\r\n%b\r\n" % (600, b" " * 600)
    assert asked(gateway, head(Transfer_Encoding="chunked") + chunk * 2 + b"0\r\n\r\n")[0] == 413
    packed = gzip.compress(b" " * 10**6)
    assert asked(gateway, question(packed, Content_Encoding="gzip"))[0] == 413
    _, gateway = through(limits=Limits(bodies_bytes=100))
    status, headers, body = asked(gateway, question({**BODY, "user": "x" * 200}))
    assert (status, error_of(body)["code"], headers["x-should-retry"]) == (503, "overloaded", "true")
    assert asked(gateway, question(BODY))[0] == 200  # the room is free again


def test_number_and_rate(through: Through) -> None:
    server, gateway = through(faults={"stall": 0}, limits=Limits(at_once=1, per_minute=2))
    with connected(gateway) as first:
        first.sendall(question(BODY))
        server.wait_requests()
        status, headers, body = asked(gateway, question(BODY))
        assert (status, error_of(body)["code"], headers["retry-after"]) == (503, "overloaded", "1")
        assert asked(gateway, head("/health", "GET"))[0] == 200
    server.wait_disconnect()
    server.faults = None
    assert asked(gateway, question(BODY))[0] == 200
    status, headers, body = asked(gateway, question(BODY))
    assert (status, error_of(body)["code"]) == (429, "rate_limit_exceeded")
    assert 0 < int(headers["retry-after"]) <= 30


def test_more_connections_than_there_may_be(through: Through) -> None:
    _, gateway = through(limits=Limits(connections=1))
    with connected(gateway) as first, connected(gateway) as second:
        first.sendall(head("/health", "GET", Connection="keep-alive"))
        assert first.recv(2**16).startswith(b"HTTP/1.1 200")
        with suppress(ConnectionResetError):
            assert second.recv(1) == b""


def test_a_page_that_may_ask(through: Through) -> None:
    _, gateway = through(origins=["https://chat.example"])
    status, headers, _ = asked(
        gateway,
        head(CHAT, "OPTIONS", Origin="https://chat.example", Access_Control_Request_Headers="authorization"),
    )
    assert (status, headers["access-control-allow-origin"]) == (204, "https://chat.example")
    for body in (BODY, {**BODY, "stream": True}, {**BODY, "model": "none"}):
        _, headers, _ = asked(gateway, question(body, Origin="https://chat.example"))
        assert headers["access-control-allow-origin"] == "https://chat.example"


@pytest.fixture(scope="module")
def echo() -> Iterator[Gateway]:
    with replica(FlowGpt) as server, serve(FlowGpt(base_url=server.base_url), embedder=None) as gateway:
        yield gateway


def messages() -> st.SearchStrategy[Any]:
    """Messages that are nearly right."""
    fields = {
        "role": st.sampled_from(["user", "assistant", "tool", "system", "developer", "robot"]) | JSON,
        "content": st.text(LETTERS, max_size=5) | JSON,
        "name": JSON,
        "tool_call_id": JSON,
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {"id": JSON, "function": st.fixed_dictionaries({"name": JSON, "arguments": JSON})}
            )
            | JSON,
            max_size=2,
        )
        | JSON,
    }
    return st.lists(st.fixed_dictionaries({}, optional=fields) | JSON, max_size=3)


TOOLS = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("function"), "function": st.fixed_dictionaries({"name": JSON, "parameters": JSON})}
    )
    | JSON,
    max_size=2,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BODIES, messages(), TOOLS, st.booleans())
def test_any_body_gets_an_answer_or_a_refusal(
    echo: Gateway, body: dict[str, Any], said: list[Any], tools: list[Any], stream: bool
) -> None:
    body = {"messages": said, **({"tools": tools} if tools else {}), **body, "stream": stream}
    status, _, data = asked(echo, question(json.dumps(body).encode()))
    assert status in {200, 400, 404, 413, 502}, data
    if status != 200:
        error_of(data)
