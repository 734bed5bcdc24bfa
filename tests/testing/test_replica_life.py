"""Starting, stopping, counting; the plugin, and serving by hand."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading

import aiohttp
import pytest
import right_requests as right
from right_requests import SLUGS, ask

import freeproviders
import freeproviders.testing
from freeproviders.testing import Replica, replica
from freeproviders.testing.services import service_class
from tests.devmode import complaints


def replica_threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("replica-")]


async def test_it_stops_and_frees_its_port():
    with replica("flow-gpt") as r:
        assert replica_threads() == ["replica-flow-gpt"]
        port = int(r.base_url.rsplit(":", 1)[1])
        assert (await ask(r, right.flow_gpt()))[0] == 200
    assert replica_threads() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


async def test_async_with():
    async with replica("flow-gpt", answer="Hi") as r:
        assert (await ask(r, right.flow_gpt()))[0] == 200
    assert replica_threads() == []


async def test_it_stops_at_once_whatever_its_clients_do():
    """Idle connections, stalled and endless answers, and requests that are only half sent."""

    def answer(messages):
        while True:
            yield "more "

    session = aiohttp.ClientSession()
    with replica(
        "flow-gpt", answer=answer, faults=[{}, {"stall": 0}, {"delay_headers": 600}, {"end": 10}]
    ) as r:
        endless = asyncio.create_task(ask(r, right.flow_gpt()))
        await r.await_requests(1)
        stalled = asyncio.create_task(ask(r, right.flow_gpt()))
        await r.await_requests(2)
        silent = asyncio.create_task(ask(r, right.flow_gpt()))
        await r.await_requests(3)
        async with right.send(session, r, right.flow_gpt()) as response:
            await response.read()
        half = socket.create_connection(("127.0.0.1", int(r.base_url.rsplit(":", 1)[1])))
        half.sendall(b"POST /v3/chat-anonymous HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
    for result in await asyncio.gather(endless, stalled, silent, return_exceptions=True):
        assert isinstance(result, aiohttp.ClientError)
    assert r.disconnects == 0
    half.close()
    await session.close()


async def test_connections_are_counted():
    with replica("flow-gpt") as r:
        async with right.client() as session:
            for _ in range(3):
                async with right.send(session, r, right.flow_gpt()) as response:
                    await response.read()
        assert (r.connections, [request.connection for request in r.requests]) == (1, [1, 1, 1])
        await ask(r, right.flow_gpt())
        assert (r.connections, r.requests[-1].connection) == (2, 2)


async def test_large_requests_and_answers():
    text = "long line " * 200_000
    with replica("ai-chat-free") as r:
        status, body = await ask(r, right.ai_chat_free(text))
        assert (status, body.decode() == text) == (200, True)


async def test_many_clients_at_once():
    with replica("flow-gpt", answer=["a"] * 20, faults={"pace": 0.01}) as r:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            skip_auto_headers=["User-Agent", "Accept", "Content-Type"],
        ) as session:

            async def one():
                async with right.send(session, r, right.flow_gpt()) as response:
                    return right.said("flow-gpt", await response.read())

            assert set(await asyncio.gather(*(one() for _ in range(200)))) == {"a" * 20}
        assert (len(r.requests), r.disconnects) == (200, 0)


def test_sync_code():
    import urllib.request

    request = right.flow_gpt()
    with replica("flow-gpt", answer="Hi there") as r:
        # loopback
        sent = urllib.request.Request(r.base_url + request.path, request.bytes(), request.headers)  # noqa: S310
        with urllib.request.urlopen(sent, timeout=5) as response:  # noqa: S310
            assert right.said("flow-gpt", response.read()) == "Hi there"
        assert r.wait_requests().path == request.path


def test_a_replica_is_used_once_and_knows_its_state():
    r = replica("flow-gpt")
    assert "not started" in repr(r)
    with pytest.raises(RuntimeError, match="not running"):
        r.base_url  # noqa: B018
    r.stop()
    with r:
        assert r.base_url in repr(r)
    with pytest.raises(RuntimeError, match="make another"), r:
        pass


def test_a_taken_port_is_said():
    with (
        replica("flow-gpt") as r,
        pytest.raises(OSError, match="in use"),
        replica("flow-gpt", port=int(r.base_url.rsplit(":", 1)[1])),
    ):
        pass
    assert replica_threads() == []


# --- whose replica --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "slug"),
    [*zip(["FreeNetfly", "ChatgptFree", "FlowGpt", "AIChatFree", "OpenAICompatible"], SLUGS, strict=True)],
)
def test_providers_are_found_by_class_instance_name_and_slug(name, slug):
    provider = getattr(freeproviders, name)
    own = type("Own", (provider,), {"slug": "my-own"})
    instance = provider(base_url="http://127.0.0.1:1/v1")

    for given in (provider, instance, own, name, slug, slug.replace("-", "_")):
        assert service_class(given).slug == slug
    assert service_class(slug).name == name


@pytest.mark.parametrize("provider", ["embedded", "nothing", int, None])
def test_others_are_refused(provider):
    with pytest.raises(ValueError, match="flow-gpt"):
        replica(provider)


def test_embedded_has_no_replica():
    class Embedded(freeproviders.OpenAICompatible):
        slug = "embedded"

    with pytest.raises(ValueError, match="no replica"):
        replica(Embedded)


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match="secrets"):
        replica("ai-chat-free", secrets="x")


def test_an_option_that_is_none_is_told_where_it_belongs():
    with pytest.raises(
        TypeError,
        match=r"^The replica of FlowGpt has no option 'pace': that is a fault, faults=\{'pace': \.\.\.\}\.$",
    ):
        replica("flow-gpt", pace=0.1)
    with pytest.raises(
        TypeError,
        match=(
            r"has no option 'delay': it has port, secret\. Failures and delays go into "
            r"faults=\{\.\.\.\}\.$"
        ),
    ):
        replica("ai-chat-free", delay=0.1)


# --- processes ------------------------------------------------------------------------------------


def run(code, *flags, **kwargs):
    return subprocess.run(
        [sys.executable, *flags, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **kwargs,
    )


def test_nothing_is_left_open():
    code = """
import asyncio, gc, sys
sys.path.insert(0, "tests/testing")
import right_requests as right
from freeproviders.testing import replica

async def main():
    for slug in right.SLUGS:
        with replica(slug, answer="a b c", faults=[{}, {"cut": 3}, {"stall": 1}, {"drop": True}]) as r:
            for _ in range(4):
                request = await right.right_request(r, slug)
                try:
                    await asyncio.wait_for(right.ask(r, request), 0.1)
                except (right.aiohttp.ClientError, TimeoutError):
                    pass
            await r.await_disconnect()
asyncio.run(main())
gc.collect()
"""
    done = run(code, "-X", "dev", "-W", "error")

    assert (done.returncode, done.stdout, complaints(done.stderr)) == (0, "", [])


def test_nothing_is_left_open_when_a_client_does_not_read():
    code = r"""
import gc, socket, sys
sys.path.insert(0, "tests/testing")
import right_requests as right
from freeproviders.testing import replica

request = right.flow_gpt()
head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
first = f"POST {request.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(request.bytes())}\r\n"
with replica("flow-gpt", answer=[b"x" * 30_000_000]) as r:
    port = int(r.base_url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(f"{first}{head}\r\n".encode() + request.bytes())
        got = b""
        while b"xxx" not in got:
            got += client.recv(1000)
        r.stop()
gc.collect()
"""
    assert (
        "unclosed" not in run(code, "-X", "dev", "-W", "error").stderr
    )  # dev mode also says that writing so much was slow


def test_nothing_is_left_open_when_a_client_comes_at_the_last_moment():
    code = """
import gc, socket
from freeproviders.testing import replica

for _ in range(50):
    with replica("flow-gpt") as r:
        address = ("127.0.0.1", int(r.base_url.rsplit(":", 1)[1]))
        clients = [socket.create_connection(address) for _ in range(5)]
    for client in clients:
        client.close()
    gc.collect()
"""
    assert complaints(run(code, "-X", "dev", "-W", "error").stderr) == []


def test_the_names_are_there_in_any_order():
    """A submodule of the same name would hide a name once it is imported."""
    names = freeproviders.testing.__all__
    code = (
        "import freeproviders.testing as t; import freeproviders.testing.plugin; "
        f"[getattr(t, name) for name in {names!r}]; t.replica('flow-gpt')"
    )
    for order in (names, names[::-1]):
        assert run(code.replace(repr(names), repr(order))).stderr == ""
    code = "from freeproviders.testing import Replica, RecordedRequest, serve, replica; replica('flow-gpt')"
    assert run(code).stderr == ""


def test_the_plugin_costs_nothing_until_used():
    code = """
import sys
import pytest
before = set(sys.modules)
import freeproviders.testing.plugin
new = set(sys.modules) - before
late = {"aiohttp", "pydantic", "pydantic_core", "asyncio"}
assert not [name for name in new if name.split(".")[0] in late], sorted(new)
"""
    assert run(code).stderr == ""


SERVE = """
from freeproviders.testing import serve
serve("flow-gpt", answer="Hi", started=lambda r: print(r.base_url, flush=True))
print("stopped")
"""


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C cannot be sent to one process there")
def test_serve_until_interrupted():
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", SERVE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")

        class Served:
            base_url = url

        assert asyncio.run(ask(Served, right.flow_gpt()))[0] == 200
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == ("stopped\n", "")


# --- the plugin's fixtures ------------------------------------------------------------------------


@pytest.mark.parametrize("slug", SLUGS)
async def test_fixtures(slug, request):
    name = {"openai-compatible": "openai_replica"}.get(slug, slug.replace("-", "_") + "_replica")
    r = request.getfixturevalue(name)

    assert isinstance(r, Replica)
    status, body = await ask(r, await right.right_request(r, slug, "Echo this"))
    assert (status, right.said(slug, body)) == (200, "Echo this")


def test_the_factory_fixture_takes_services(provider_replica):
    server = provider_replica(service="groq", answer="one", api_key="right")
    groq = freeproviders.OpenAICompatible(service="groq", base_url=server.base_url, api_key="right")
    assert groq.complete_sync("Hi").text == "one"


async def test_the_factory_fixture(provider_replica):
    one = provider_replica(freeproviders.FlowGpt, answer="one")
    two = provider_replica("flow-gpt", "two", faults=[{"status": 500}])

    assert right.said("flow-gpt", (await ask(one, right.flow_gpt()))[1]) == "one"
    assert (await ask(two, right.flow_gpt()))[0] == 500
    assert right.said("flow-gpt", (await ask(two, right.flow_gpt()))[1]) == "two"
