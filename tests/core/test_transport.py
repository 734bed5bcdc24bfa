"""Redirects, proxies, the environment, and what one provider may know of another."""

import asyncio
import copy
import errno
import os
import pickle
import socket
import ssl

import pytest
from aiohttp import ClientConnectorError, web
from aiohttp.client_reqrep import ConnectionKey

from freeproviders import ChatgptFree, FlowGpt, OpenAICompatible, Timeout, errors
from freeproviders.testing import replica
from freeproviders.transport import _translated
from tests.core.servers import forward_proxy, serve
from tests.core.services import HI, text_of

DOCUMENT = {"choices": [{"message": {"content": "here"}, "finish_reason": "stop"}]}


def redirecting(status, where):
    async def handle(request, served):
        if request.path == "/v1/chat/completions":
            return web.Response(status=status, headers={"Location": where(served)})
        return web.json_response(DOCUMENT)

    return handle


@pytest.mark.parametrize("status", [307, 308])
async def test_redirect_on_the_same_host(status):
    """A redirect that keeps the method is followed on the same host, with body and key."""
    with serve(redirecting(status, lambda served: "/moved")) as served:
        assert await text_of(OpenAICompatible("m", base_url=f"{served.url}/v1", api_key="sk-1")) == "here"
        first, second = served.requests
        assert first[3] == second[3]
        assert second[2]["Authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_to_another_host(status):
    """Neither the prompt nor the key nor a cookie follows to another host or port."""

    async def handle(request, served):
        return web.json_response(DOCUMENT)

    with (
        serve(handle) as other,
        serve(redirecting(status, lambda served: f"{other.url}/v1/chat/completions")) as served,
    ):
        provider = OpenAICompatible("m", base_url=f"{served.url}/v1", api_key="sk-1", cookies={"a": "1"})
        with pytest.raises(errors.RedirectError, match="base_url") as caught:
            await text_of(provider)
        assert other.requests == []
        assert other.url in str(caught.value)


async def test_redirect_that_loses_the_request_or_never_ends():
    """A redirect that would turn the question into a GET is an error, and so is a circle."""
    with serve(redirecting(302, lambda served: "/moved")) as served:
        with pytest.raises(errors.RedirectError, match="lose"):
            await text_of(OpenAICompatible("m", base_url=f"{served.url}/v1"))
    with serve(redirecting(307, lambda served: "/v1/chat/completions")) as served:
        with pytest.raises(errors.RedirectError, match="more than 5"):
            await text_of(OpenAICompatible("m", base_url=f"{served.url}/v1"))
        assert len(served.requests) == 6


async def test_proxy_with_credentials():
    """All requests go through the proxy, which gets its credentials; the service never sees them."""
    with replica(ChatgptFree, answer="ok") as r, forward_proxy() as proxy:
        address = proxy.url.replace("http://", "http://user:pa%40ss@")
        assert await text_of(ChatgptFree(base_url=r.base_url, proxy=address)) == "ok"
        assert len(proxy.requests) == len(r.requests) == 2
        assert all(
            headers["Proxy-Authorization"] == "Basic dXNlcjpwYUBzcw==" for _, _, headers, _ in proxy.requests
        )
        assert not any("Proxy-Authorization" in request.headers for request in r.requests)


async def test_the_environment_counts_only_when_asked(monkeypatch):
    """Proxy variables are looked at with trust_env, and NO_PROXY with them."""
    with replica(FlowGpt, answer="ok") as r, forward_proxy() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert await text_of(FlowGpt(base_url=r.base_url)) == "ok"
        assert proxy.requests == []
        assert await text_of(FlowGpt(base_url=r.base_url, trust_env=True)) == "ok"
        assert len(proxy.requests) == 1
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert await text_of(FlowGpt(base_url=r.base_url, trust_env=True)) == "ok"
        assert len(proxy.requests) == 1


async def test_cookies_stay_with_their_provider():
    """What one provider's service sets, another provider at the same address does not send."""

    async def handle(request, served):
        response = web.json_response(DOCUMENT)
        response.set_cookie("seen", "1")
        return response

    with serve(handle) as served:
        for _ in range(2):
            await text_of(OpenAICompatible("m", base_url=f"{served.url}/v1"))
        assert not any("Cookie" in headers for _, _, headers, _ in served.requests)


async def test_too_long_an_answer(monkeypatch):
    """An answer that is longer than the cap, and than what the system keeps between the two, is refused."""
    monkeypatch.setattr("freeproviders.exchange.MAX_ANSWER_BYTES", 100_000)
    with replica(FlowGpt, answer=["x" * 10_000] * 5000) as r:
        with pytest.raises(errors.ResponseTooLargeError):
            await text_of(FlowGpt(base_url=r.base_url, retry=0))
        await r.await_disconnect()


async def test_connect_timeout():
    """A connection that does not stand in time is a time-out of its own phase."""
    with socket.socket() as listening:  # a full backlog: connections are neither taken nor refused
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        with pytest.raises(errors.ProviderTimeoutError) as caught:
            await text_of(
                OpenAICompatible(
                    "m", base_url=f"http://127.0.0.1:{port}/v1", retry=0, timeout=Timeout(connect=0.3)
                )
            )
        assert caught.value.phase == "connect"
        for filler in fillers:
            filler.close()


def test_a_provider_pickles_and_copies():
    """A configuration travels; what was learned from a service does not have to."""
    with replica(ChatgptFree, answer="ok") as r:
        provider = ChatgptFree(base_url=r.base_url, headers={"x-a": "1"}, timeout=Timeout(total=5))
        assert asyncio.run(text_of(provider)) == "ok"
        for other in (pickle.loads(pickle.dumps(provider)), copy.deepcopy(provider)):
            assert asyncio.run(text_of(other)) == "ok"
            assert (other.base_url, other.headers, other.timeout) == (
                provider.base_url,
                provider.headers,
                provider.timeout,
            )
        assert [request.method for request in r.requests].count("GET") == 3


async def test_configured():
    """A copy differs in what was said and in nothing else."""
    provider = OpenAICompatible("m", base_url="http://127.0.0.1:1/v1", api_key="k", timeout=5)
    other = provider.configured(base_url="http://127.0.0.1:2/v1", proxy="http://127.0.0.1:3")
    assert (other.base_url, other.timeout) == ("http://127.0.0.1:2/v1", provider.timeout)
    assert provider.configured(base_url="http://127.0.0.1:1/v2").api_key == "k"
    assert (provider.base_url, provider.route.proxy) == ("http://127.0.0.1:1/v1", None)
    with pytest.raises(errors.UsageError, match="colour"):
        provider.configured(colour="red")


async def test_stream_options_are_dropped_when_refused():
    """A service that does not know `stream_options` is asked again without, and then never with."""

    async def handle(request, served):
        body = await request.json()
        if "stream_options" in body:
            return web.json_response({"detail": "extra fields not permitted: stream_options"}, status=422)
        return web.json_response(DOCUMENT)

    with serve(handle) as served:
        provider = OpenAICompatible("m", base_url=f"{served.url}/v1", retry=0)
        assert await text_of(provider, HI) == "here"
        assert await text_of(provider, HI) == "here"
        assert len(served.requests) == 3


async def test_list_models():
    """The service's models, in either of the two shapes; anything else is a typed error."""
    answers = [
        web.json_response({"data": [{"id": "a"}, {"id": "b"}]}),
        web.json_response([{"name": "c"}]),
        web.json_response({"x": 1}),
        web.Response(status=401),
    ]

    async def handle(request, served):
        return answers[len(served.requests) - 1]

    with serve(handle) as served:
        provider = OpenAICompatible("m", base_url=f"{served.url}/v1")
        assert await provider.list_models() == ["a", "b"]
        assert provider.list_models_sync() == ["c"]
        with pytest.raises(errors.MalformedResponseError):
            await provider.list_models()
        with pytest.raises(errors.AuthenticationError, match="OpenAICompatible"):
            await provider.list_models()


async def test_a_connection_that_fails_says_why():
    """The numbers of TLS and of the search for a host are not the system's."""
    with serve(redirecting(307, lambda served: "")) as served:
        plain = served.url.removeprefix("http://")
        provider = OpenAICompatible("m", base_url=f"https://{plain}/v1", retry=0)
        with pytest.raises(errors.ProviderConnectionError, match=r"(?i)ssl|tls") as caught:
            await text_of(provider)
        assert "_ssl.c" not in str(caught.value)
        assert plain in str(caught.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ECONNREFUSED, "Connect call failed ('::1', 9)"), os.strerror(errno.ECONNREFUSED)),
        (socket.gaierror(8, "nodename nor servname provided, or not known"), "nodename nor servname"),
        (ssl.SSLError(1, "[SSL: X] odd (_ssl.c:1006)"), "[SSL: X] odd"),
        (OSError("Multiple exceptions: a, b"), "Cannot connect to host"),
    ],
)
def test_the_words_of_a_failed_connection(error, said):
    """Numbers mean other things on other systems, and the names that they have are not always there."""
    key = ConnectionKey("host", 443, True, True, None, None, None)
    text = str(_translated(ClientConnectorError(key, error)))
    assert text.startswith(f"Connection failed: host:443: {said}")
    assert "_ssl.c" not in text
