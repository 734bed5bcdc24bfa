"""Not quite HTTP, or HTTP that nobody expects, as servers and proxies send it.

Each is an answer or a typed error, soon.
"""

import asyncio
import gc
import gzip
import json
import socket
import ssl
import subprocess
import time

import aiohttp
import pytest

from freeproviders import AIChatFree, OpenAICompatible, Timeout, errors
from freeproviders.sessions import _sessions
from freeproviders.testing import replica
from tests.core.servers import says
from tests.core.services import FAST, HI, text_of

DONE = b"data: [DONE]\n\n"
QUICK = Timeout(connect=2, first_content=2, stall=2, total=5)


def event(text):
    return (
        b"data: " + json.dumps({"model": "m", "choices": [{"delta": {"content": text}}]}).encode() + b"\n\n"
    )


ONE = event("Hello")


def answer(body, status="200 OK", *headers, length=None):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def provider_of(url, **options):
    return OpenAICompatible("m", **{"base_url": url, "retry": 0, "timeout": QUICK, **options})


FINE = {
    "http/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + ONE + DONE,
    "no length": b"HTTP/1.1 200 OK\r\n\r\n" + ONE + DONE,
    "length too long": answer(ONE + DONE, length=5000),
    "100 first": b"HTTP/1.1 100 Continue\r\n\r\n" + answer(ONE + DONE),
    "103 first": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer(ONE + DONE),
    "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nX-A: 1\r\n\r\n"
    % (len(ONE + DONE), ONE + DONE),
}


@pytest.mark.parametrize("script", FINE.values(), ids=FINE)
async def test_answers(script):
    """Odd, and an answer all the same."""
    async with says(script) as url:
        assert await text_of(provider_of(url)) == "Hello"


FAULTS = {
    "no length, cut by its end": (
        b"HTTP/1.1 200 OK\r\n\r\n" + ONE + b'data: {"cho',
        errors.TruncatedResponseError,
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", errors.EmptyResponseError),
    "205": (answer(b"", "205 Reset"), errors.EmptyResponseError),
    "304": (b"HTTP/1.1 304 Not Modified\r\n\r\n", errors.BadRequestError),  # only 2xx is an answer
    "101": (b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", errors.MalformedResponseError),
    "999": (answer(b"no", "999 X"), errors.ServerError),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", errors.MalformedResponseError),
    "a header without end": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000, errors.MalformedResponseError),
    "a chunk that is none": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        errors.MalformedResponseError,
    ),
    "no gzip": (answer(ONE, "200 OK", "Content-Encoding: gzip"), errors.MalformedResponseError),
    "gzip cut": (
        answer(gzip.compress(ONE)[:60], "200 OK", "Content-Encoding: gzip"),
        errors.TruncatedResponseError,
    ),
    "307 to nowhere": (answer(b"", "307 X"), errors.RedirectError),
    "407 of a proxy": (
        answer(b"<html>", "407 Log in", "Content-Type: text/html"),
        errors.ProviderConnectionError,
    ),
}


@pytest.mark.parametrize(("script", "cls"), FAULTS.values(), ids=FAULTS)
async def test_faults(script, cls):
    """Each is its own typed error, on one line and not too long, and nothing is left open."""
    async with says(script) as url:
        with pytest.raises(errors.ProviderError) as caught:
            await text_of(provider_of(url))
        assert type(caught.value) is cls
        assert caught.value.__cause__ is not caught.value
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 800
    del caught
    gc.collect()


async def test_what_came_of_an_error_body():
    """An error's body that stalls or breaks off is not waited for, and what came of it is said."""
    for tail in ([600], []):
        async with says(
            b'HTTP/1.1 429 X\r\nContent-Length: 200\r\nRetry-After: 7\r\n\r\n{"error":"slow down', *tail
        ) as url:
            with pytest.raises(errors.RateLimitError, match="slow down") as caught:
                await text_of(provider_of(url, timeout=Timeout(first_content=600)))
            assert caught.value.retry_after == 7


async def test_text_that_looks_like_a_page():
    """A model may be asked for HTML: once it is answering, a cut is a cut and no bot check."""
    async with says(answer(b"<html>as you asked", "200 OK", "Content-Type: text/plain", length=500)) as url:
        with pytest.raises(errors.TruncatedResponseError):
            await text_of(AIChatFree(base_url=url, retry=0))


async def test_a_deadline_in_the_turn_of_the_loop_in_which_the_headers_come():
    """The limit holds even when it passes just as the headers arrive, with nobody left to wake."""
    with replica(OpenAICompatible, answer="x", faults={"delay_headers": 0.1, "delay_first": 60}) as r:
        provider = provider_of(r.base_url, timeout=Timeout(first_content=0.2, stall=None, total=None))
        call = asyncio.create_task(provider.complete(HI))
        await r.await_requests()
        time.sleep(0.4)  # now both are due at once
        with pytest.raises(errors.ProviderTimeoutError, match="No content"):
            async with asyncio.timeout(10):
                await call


async def test_the_callers_own_limit_is_not_ours():
    """`asyncio.timeout` around a call raises its own error, and leaves ours alone."""
    with replica(OpenAICompatible, answer="x", faults={"delay_first": 60}) as r:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.2):
                await provider_of(r.base_url).complete(HI)
        assert not isinstance(caught.value, errors.ProviderTimeoutError)


async def test_a_connect_limit_keeps_its_cause():
    """No error is its own cause, which would send whoever follows the causes round in circles."""
    async with says(60) as url:
        connector = aiohttp.TCPConnector(limit=1)
        provider = provider_of(url, connector=connector, timeout=Timeout(connect=0.2, total=2))
        first = asyncio.create_task(provider.complete(HI))
        await asyncio.sleep(0.05)
        with pytest.raises(errors.ProviderTimeoutError) as caught:
            await provider.complete(HI)
        assert caught.value.phase == "connect"
        assert isinstance(caught.value.__cause__, aiohttp.ClientError)
        assert not isinstance(caught.value.__cause__, errors.ProviderError)
        first.cancel()
        await connector.close()


async def test_certificates(tmp_path):
    """A certificate that nobody signed is an error that says so and is not tried again.

    A connector that trusts it is the way.
    """
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        key,
        "-out",
        certificate,
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    subprocess.run([*made, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with says(answer(ONE + DONE), tls=context) as url:
        with pytest.raises(
            errors.ProviderConnectionError, match=r"certificate of 127\.0\.0\.1 is not trusted"
        ) as caught:
            await text_of(provider_of(url, retry=FAST))
        assert (caught.value.attempts, caught.value.is_retryable) == (1, False)
        async with aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(certificate))) as connector:
            assert await text_of(provider_of(url, connector=connector)) == "Hello"


async def test_ipv6():
    """An address in brackets works, where the machine has any."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    async with says(answer(ONE + DONE), host="::1") as url:
        assert await text_of(provider_of(url)) == "Hello"


async def test_a_name_that_cannot_be_asked_for_is_not_tried_again():
    """What is wrong with the address stays wrong."""
    with pytest.raises(errors.ProviderConnectionError) as caught:
        await text_of(provider_of(f"http://{'a' * 70}.example/v1", retry=FAST))
    assert caught.value.attempts == 1


async def test_proxies_of_the_environment(monkeypatch):
    """An address without its scheme is one; what is no HTTP proxy is said, without its password."""
    async with says(answer(ONE + DONE)) as url:
        monkeypatch.setenv("http_proxy", url.removeprefix("http://"))
        monkeypatch.delenv("no_proxy", raising=False)
        assert await text_of(provider_of("http://nowhere.example/v1", trust_env=True)) == "Hello"
    monkeypatch.setenv("http_proxy", "socks5://u:s3cret@127.0.0.1:9")
    with pytest.raises(errors.UsageError, match="environment's proxy") as caught:
        await text_of(provider_of("http://nowhere.example/v1", trust_env=True))
    assert "s3cret" not in str(caught.value)


async def test_a_key_that_the_service_repeats():
    """It is taken out of message and excerpt, whatever it looks like."""
    body = b'{"error": {"message": "wrong key: correct-horse-battery"}}'
    async with says(answer(body, "401 X")) as url:
        with pytest.raises(errors.AuthenticationError) as caught:
            await text_of(provider_of(url, api_key="correct-horse-battery"))
    assert "horse" not in f"{caught.value} {caught.value!r} {caught.value.body}"
    assert "wrong key: ***" in str(caught.value)


async def test_connectors_that_come_and_go():
    """A connector for each call leaves no session behind.

    One that is closed or of another loop is the caller's mistake.
    """
    with replica(OpenAICompatible, answer="ok") as r:
        for _ in range(5):
            async with aiohttp.TCPConnector() as connector:
                assert await text_of(provider_of(r.base_url), connector=connector) == "ok"
        assert len(_sessions.get()[asyncio.get_running_loop()].by_connector) <= 2
        with pytest.raises(errors.UsageError, match="connector is closed"):
            await text_of(provider_of(r.base_url), connector=connector)
        async with aiohttp.TCPConnector() as connector:
            provider = provider_of(r.base_url, connector=connector)
            for elsewhere in (
                provider.complete_sync,
                lambda messages: asyncio.run(provider.complete(messages)),
            ):
                with pytest.raises(errors.UsageError, match="another event loop"):
                    await asyncio.to_thread(elsewhere, HI)
            assert await text_of(provider) == "ok"


async def test_one_connection_for_many_streams():
    """A caller's connector with a limit of one serves calls one after the other."""
    with replica(OpenAICompatible, answer=["Hello", " there"], faults={"pace": 0.01}) as r:
        async with aiohttp.TCPConnector(limit=1) as connector:
            provider = provider_of(r.base_url, connector=connector, timeout=Timeout())
            assert await asyncio.gather(*(text_of(provider) for _ in range(10))) == ["Hello there"] * 10
        assert len({request.connection for request in r.requests}) == 1


async def test_what_was_put_right_spends_no_retry():
    """A retry is left after a request that had to be sent again for a reason of its own."""
    faults = [
        {"status": 400, "body": {"error": {"message": "unknown field stream_options"}}},
        {"status": 503},
    ]
    with replica(OpenAICompatible, answer="ok", faults=faults) as r:
        assert await text_of(provider_of(r.base_url, retry=1)) == "ok"
        assert len(r.requests) == 3
