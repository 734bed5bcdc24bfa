"""How a gateway begins and ends, what it does in silence, and who is let go."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from freeproviders import FlowGpt, OpenAICompatible
from freeproviders.errors import ServerError, UsageError
from freeproviders.gateway import Gateway, GatewayServer, Limits, serve
from freeproviders.testing import Replica, replica
from tests.gateway.conftest import HI, Through, async_client, client
from tests.gateway.raw import answer_of, connected, error_of, head, question, read_all

STREAM = {"model": "auto", "messages": HI, "stream": True}


class Held:
    """An answer of two words, the second of which waits until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    async def __call__(self, messages: Any) -> AsyncIterator[str]:
        yield "one"
        await asyncio.to_thread(self.go.wait, 30)
        yield " two"

    def answer(self, messages: Any) -> AsyncIterator[str]:
        return self(messages)


@contextmanager
def held(through: Through, **given: Any) -> Iterator[tuple[Held, Replica, Gateway]]:
    script = Held()
    server, gateway = through(OpenAICompatible, script.answer, **given)
    try:
        yield script, server, gateway
    finally:
        script.go.set()


def begun(gateway: Gateway) -> socket.socket:
    """A connection on which a stream has begun."""
    connection = connected(gateway)
    connection.sendall(question(STREAM, Connection="keep-alive"))
    data = b""
    while b'"one"' not in data:
        data += connection.recv(2**16)
    return connection


def test_answers_may_end(through: Through) -> None:
    """A gateway that ends takes nothing new, and lets an answer come to its end."""
    with held(through) as (script, _, gateway):
        idle = connected(gateway)
        with begun(gateway) as connection, idle:
            stopping = threading.Thread(target=gateway.stop, args=(30.0,))
            stopping.start()
            assert idle.recv(100) == b""  # an idle connection is closed at once
            with pytest.raises(ConnectionRefusedError):
                connected(gateway)
            # A request on a connection that is busy is not answered any more.
            connection.sendall(head("/health", "GET"))
            script.go.set()
            data = read_all(connection)
            assert b'" two"' in data
            assert b"data: [DONE]" in data
            assert data.count(b"HTTP/1.1") == 0
            stopping.join(10)
            assert not stopping.is_alive()


def test_answers_are_cut_off_in_the_end(through: Through) -> None:
    with held(through) as (_, server, gateway), begun(gateway) as connection:
        waiting = connected(gateway)
        waiting.sendall(question({**STREAM, "stream": False}))
        server.wait_requests(2)
        gateway.stop(0)
        events = read_all(connection).split(b"\n\n")
        error = next(event for event in events if b'"error"' in event)
        assert json.loads(error.partition(b"data: ")[2])["error"]["code"] == "shutting_down"
        assert b"[DONE]" not in b"".join(events)
        status, headers, body = answer_of(read_all(waiting))
        assert (status, error_of(body)["code"], headers["x-should-retry"]) == (503, "shutting_down", "true")
        waiting.close()
        assert server.wait_disconnect(2) == 2


class Silent:
    """A backend that says nothing until it is let go, and then fails."""

    name, model = "Silent", "m"

    def __init__(self) -> None:
        self.go = threading.Event()

    async def batches(self, request: Any) -> Any:
        await asyncio.to_thread(self.go.wait, 60)
        raise ServerError("Too late.", status=503)
        yield []


@contextmanager
def silence() -> Iterator[tuple[Silent, Gateway]]:
    backend = Silent()
    with serve(backend, embedder=None, limits=Limits(silence_seconds=0.01)) as gateway:
        try:
            yield backend, gateway
        finally:
            backend.go.set()


def test_silence_is_filled_with_comments() -> None:
    """Headers go out with the first, so that an error behind it is an event."""
    with silence() as (backend, gateway), connected(gateway) as connection:
        connection.sendall(question(STREAM))
        data = b""
        while b": keep-alive\n\n" not in data:
            more = connection.recv(2**16)
            assert more, data
            data += more
        assert data.startswith(b"HTTP/1.1 200")
        backend.go.set()
        assert b'"code":"upstream_error"' in data + read_all(connection)


def test_comments_are_nothing_to_a_client() -> None:
    """What it is told is the error."""
    with silence() as (backend, gateway):
        asking = client(gateway).chat.completions.with_streaming_response
        with asking.create(**STREAM) as response:  # headers, which only a comment can have brought
            backend.go.set()
            with pytest.raises(openai.APIError, match="Too late"):
                list(response.parse())


def test_a_client_that_does_not_read_is_let_go(through: Through) -> None:
    """Its question ends at the service, which else would wait for it for ever."""

    async def endless(messages: Any) -> AsyncIterator[str]:
        while True:
            yield "x" * 100_000

    server, gateway = through(OpenAICompatible, endless, limits=Limits(unread_seconds=0.01))
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", int(gateway.base_url.split(":")[2].partition("/")[0])))
        connection.sendall(question(STREAM))
        assert server.wait_disconnect(timeout=20) == 1


def test_one_after_the_other() -> None:
    with replica(FlowGpt) as server:
        gateway = serve(FlowGpt(base_url=server.base_url), embedder=None)
        with pytest.raises(RuntimeError, match="not running"):
            _ = gateway.base_url
        with gateway:
            assert gateway.base_url in repr(gateway)
            with pytest.raises(RuntimeError, match="started before"):
                gateway.start()
            port = int(gateway.base_url.split(":")[2].partition("/")[0])
            with pytest.raises(OSError, match=str(port)):
                serve(FlowGpt(base_url=server.base_url), port=port, embedder=None).start()
        gateway.stop()
        with serve(FlowGpt(base_url=server.base_url), port=port, embedder=None) as again:
            assert client(again).chat.completions.create(model="auto", messages=HI)


async def test_in_asynchronous_code() -> None:
    """The gateway has a loop of its own; its server also runs on the caller's."""
    async with replica(FlowGpt, answer="Yes") as server:
        flow = FlowGpt(base_url=server.base_url)
        async with serve(flow, embedder=None) as gateway, async_client(gateway) as asking:
            answer = await asking.chat.completions.create(model="auto", messages=HI)
            assert answer.choices[0].message.content == "Yes"
        own = GatewayServer(flow)
        port = await own.start()
        try:
            async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="x") as asking:
                answer = await asking.chat.completions.create(model="auto", messages=HI)
                assert answer.choices[0].message.content == "Yes"
        finally:
            await own.stop(0)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"host": "0.0.0.0"}, "a key is needed"),  # noqa: S104 - the point
        ({"host": ""}, "host must be an address"),
        ({"port": 99_999}, "port must be a whole number from 0 to 65535, not 99999"),
        ({"api_key": ""}, "api_key must be"),
        ({"backend": object()}, "needs name, model and batches"),
    ],
)
def test_what_cannot_be_served(given: dict[str, Any], says: str) -> None:
    with replica(FlowGpt) as server, pytest.raises(UsageError, match=says):
        serve(**{"backend": FlowGpt(base_url=server.base_url), "embedder": None, **given})


def test_an_address_that_others_reach() -> None:
    key = "a-key-of-sixteen-and-more"
    with (
        replica(FlowGpt, answer="Yes") as server,
        serve(FlowGpt(base_url=server.base_url), host="0.0.0.0", api_key=key, embedder=None) as gateway,  # noqa: S104
    ):
        with pytest.raises(openai.AuthenticationError):
            client(gateway).models.list()
        answer = client(gateway, api_key=key).chat.completions.create(model="auto", messages=HI)
        assert answer.choices[0].message.content == "Yes"


# --- the log --------------------------------------------------------------------------------------

Lines = Callable[[], list[str]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    caplog.set_level(logging.INFO, "freeproviders.gateway.access")
    return lambda: [record.getMessage() for record in caplog.records if "access" in record.name]


def test_a_line_for_each_request(through: Through, lines: Lines) -> None:
    """Without a word of the question, the answer, the key or the address's query."""
    _, gateway = through(FlowGpt, "SECRET-ANSWER", api_key="SECRET-KEY")
    asking = client(gateway, api_key="SECRET-KEY")
    said = [{"role": "user", "content": "SECRET-QUESTION"}]
    asking.chat.completions.create(model="auto", messages=said)  # type: ignore[arg-type]
    list(asking.chat.completions.create(model="gpt-3.5-turbo", messages=said, stream=True))  # type: ignore[arg-type]
    with pytest.raises(openai.NotFoundError):
        asking.chat.completions.create(model="evil\nname\x1b[2J" * 20, messages=said)  # type: ignore[arg-type]
    with connected(gateway) as connection:
        connection.sendall(head("/v1/models?key=SECRET-QUERY", "GET", Authorization="Bearer SECRET-OTHER"))
        read_all(connection)
    first, second, third, fourth = lines()
    assert "SECRET" not in "".join(lines())
    assert first.startswith("POST /v1/chat/completions 200 ")
    assert "model=auto answered='FlowGpt gpt-3.5-turbo' tokens=" in first
    assert second.endswith(" stream")
    assert " 404 " in third
    assert third.endswith("... error=model_not_found")
    assert third.isprintable()
    assert fourth.startswith("GET /v1/models 401 ")


def test_a_client_that_left_has_a_line(through: Through, lines: Lines) -> None:
    server, gateway = through(faults={"delay_headers": 60})
    with connected(gateway) as connection:
        connection.sendall(question({**STREAM, "stream": False}))
        server.wait_requests()
    server.wait_disconnect()
    gateway.stop()
    assert " 499 " in lines()[-1]


def test_a_mistake_of_our_own_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        name, model = "Broken", "m"

        def batches(self, request: Any) -> Any:
            return self._parts()

        async def _parts(self) -> AsyncIterator[Any]:
            raise ZeroDivisionError("SECRET")
            yield

    with serve(Broken(), embedder=None) as gateway:
        for stream in (False, True):
            with pytest.raises(openai.InternalServerError) as caught:
                client(gateway, max_retries=2).chat.completions.create(
                    model="auto", messages=HI, stream=stream
                )
            assert caught.value.code == "internal_error"
            assert "SECRET" not in str(caught.value)
    errors = [record for record in caplog.records if record.name == "freeproviders.gateway"]
    assert len(errors) == 2
    assert all(error.exc_info and error.exc_info[0] is ZeroDivisionError for error in errors)
