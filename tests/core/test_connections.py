"""How connections end, on plain sockets.

In the middle of an answer, between two answers, and while a request is being written.
"""

import asyncio
import gzip
import json
import sys
import threading
import zlib

import aiohttp
import pytest

from freeproviders import AIChatFree, FlowGpt, OpenAICompatible, Timeout, errors
from freeproviders.testing import replica
from freeproviders.transport import HttpRequest, Route, send
from freeproviders.types import Finish, Text
from tests.core.servers import read_request, reset, speaks
from tests.core.services import HI, text_of

QUICK = Timeout(connect=5, first_content=5, stall=5, total=10)
DOCUMENT = json.dumps({"choices": [{"message": {"content": "here"}, "finish_reason": "stop"}]}).encode()
RAW = b"The dose is 10 mg."
LINES = b"".join(
    json.dumps({"event": "text", "data": piece}).encode() + b"\n" for piece in ("The dose ", "is ", "10 mg.")
)
ENDLESS = [(AIChatFree, RAW), (FlowGpt, LINES)]
"""Protocols that have no end mark of their own."""


def answer(body, *headers, status="200 OK"):
    """A whole answer that says its length."""
    return (
        "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]).encode() + body
    )


def once(*pieces, end=None):
    """Answer one request with bytes and end the connection."""

    def talk(connection, number):
        if read_request(connection):
            for piece in pieces:
                connection.sendall(piece)
            if end is not None:
                end(connection)

    return talk


async def outcome(provider):
    """The text that came, and the end or the error."""
    text = []
    try:
        async for part in provider.stream(HI):
            if isinstance(part, Text):
                text.append(part.text)
            elif isinstance(part, Finish):
                return "".join(text), part
    except errors.ProviderError as error:
        return "".join(text), error
    raise AssertionError("a stream without an end")


def provider_of(cls, url, **options):
    if cls is OpenAICompatible:
        options["model"] = "m"
    return cls(base_url=url, **{"retry": 0, "timeout": QUICK, **options})


# --- an end that nobody confirmed -----------------------------------------------------------------

UNFRAMED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"


@pytest.mark.parametrize(("cls", "body"), ENDLESS)
async def test_reset_at_every_byte_of_a_body_without_length(cls, body):
    """A reset is a cut, wherever it comes, also behind the last byte: nobody said that it was the last."""
    for cut in range(len(body) + 1):
        with speaks(once(UNFRAMED + body[:cut], end=reset)) as url:
            text, end = await outcome(provider_of(cls, url))
            assert isinstance(end, errors.ProviderError), (cut, end)
            assert end.is_retryable
            if text:
                assert isinstance(end, errors.TruncatedResponseError), (cut, end)


@pytest.mark.parametrize(("cls", "body"), ENDLESS)
async def test_orderly_end_of_a_body_without_length(cls, body):
    """The text is an answer, and its end is said to be a guess; with chunks or a length it is none."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
        len(body),
        body,
    )
    for script, reason, confirmed in (
        (UNFRAMED + body, "unknown", False),
        (b"HTTP/1.0 200 OK\r\n\r\n" + body, "unknown", False),
        (chunked, "stop", True),
        (answer(body), "stop", True),
        (
            UNFRAMED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + gzip.compress(body),
            "stop",
            True,
        ),
    ):
        with speaks(once(script)) as url:
            text, end = await outcome(provider_of(cls, url))
            assert (text, end.reason, end.confirmed) == (RAW.decode(), reason, confirmed), script
    with speaks(once(UNFRAMED + body)) as url:
        end = [part async for part in provider_of(cls, url).stream(HI, stop="dose")][-1]
        assert (end.reason, end.confirmed) == ("stop", True)  # our own end, and no guess


def deflated(body, window):
    packer = zlib.compressobj(wbits=window)
    return packer.compress(body) + packer.flush()


def brotlied(body):
    return pytest.importorskip("brotli").compress(body, quality=5)


PACKINGS = {
    "gzip": ("gzip", gzip.compress),
    "deflate": ("deflate", lambda body: deflated(body, 15)),
    "bare deflate": ("deflate", lambda body: deflated(body, -15)),
    "br": ("br", brotlied),
}


@pytest.mark.parametrize("end", [None, reset], ids=["orderly", "reset"])
@pytest.mark.parametrize(("encoding", "pack"), PACKINGS.values(), ids=PACKINGS)
async def test_packed_body_cut_at_every_byte(encoding, pack, end):
    """A packed body has an end of its own: without it, the answer is cut, with a length or without."""
    packed = pack(RAW * 3)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\n".encode()
    for length in (b"", b"Content-Length: %d\r\n", b"Transfer-Encoding: chunked\r\n"):
        for cut in range(1, len(packed)):
            piece = packed[:cut]
            framing = length % cut if b"%" in length else length
            if b"chunked" in length:
                piece = b"%x\r\n%b\r\n0\r\n\r\n" % (cut, piece)
            with speaks(once(head + framing + b"\r\n" + piece, end=end)) as url:
                _, error = await outcome(provider_of(AIChatFree, url))
                assert isinstance(error, errors.ResponseError | errors.ProviderConnectionError), (cut, error)
                assert error.is_retryable
    with speaks(once(head + b"\r\n" + packed)) as url:
        text, finish = await outcome(provider_of(AIChatFree, url))
        assert (text, finish.confirmed) == (RAW.decode() * 3, True)


async def test_packed_body_of_several_members_and_with_padding():
    """Members of gzip come one after another, as a proxy may join them; what follows the last is padding."""
    packed = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two") + bytes(20)
    for step in (1, 7, len(packed)):
        pieces = [packed[at : at + step] for at in range(0, len(packed), step)]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
        with speaks(once(head + chunks)) as url:
            text, finish = await outcome(provider_of(AIChatFree, url))
            assert (text, finish.confirmed) == ("one two", True)


async def test_packing_that_nobody_asked_for():
    """A packing that no package here can undo is a typed error, and the connection is closed."""
    for encoding in ("br", "zstd"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules["freeproviders.wire.packing"]._OPTIONAL, encoding, lambda: None)
            with speaks(once(answer(b"abc", f"Content-Encoding: {encoding}"))) as url:
                _, error = await outcome(provider_of(AIChatFree, url))
                assert isinstance(error, errors.MalformedResponseError)
                assert encoding in str(error)


# --- a small body that unpacks to a large one -----------------------------------------------------


@pytest.mark.parametrize(("encoding", "pack"), PACKINGS.values(), ids=PACKINGS)
async def test_the_loop_turns_while_a_body_unpacks(encoding, pack):
    """Other tasks get their turn after each piece, and a limit can end what would unpack for seconds."""
    size = 64 * 2**20
    packed = pack(bytes(size))
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    with speaks(once(answer(packed, f"Content-Encoding: {encoding}"))) as url:
        response = await send(HttpRequest("GET", url), Route(), 5)
        counting = asyncio.create_task(count())
        unpacked = most = 0
        while data := await response.read():
            unpacked += len(data)
            most = max(most, len(data))
        counting.cancel()
        assert unpacked == size
        assert most <= 2**20
        assert turns >= size / 2**20

        response = await send(HttpRequest("GET", url), Route(), 5)
        await response.read()
        response.close()
        with pytest.raises(errors.ProviderError):
            while await response.read():
                pass


# --- a pooled connection that is dead -------------------------------------------------------------


def closes_after(seconds, requests):
    """Answer one request for each connection, and close it without having said so."""

    def talk(connection, number):
        if request := read_request(connection):
            requests.append(request)
            connection.sendall(answer(DOCUMENT))
            if seconds:
                threading.Event().wait(seconds * (number % 6))

    return talk


@pytest.mark.parametrize("own", [False, True], ids=["our connector", "the caller's"])
@pytest.mark.parametrize("seconds", [0, 0.001], ids=["at once", "after 0 to 5 ms"])
async def test_calls_to_a_server_that_closes_unannounced(seconds, own):
    """300 calls in a row, none fails without any retry, and each is asked for once or, unseen, twice."""
    requests = []
    with speaks(closes_after(seconds, requests)) as url:
        connector = aiohttp.TCPConnector(limit=1) if own else None
        provider = provider_of(OpenAICompatible, url, connector=connector)
        for _ in range(300):
            completion = await provider.complete("Hi")
            assert (completion.text, completion.finish.attempts) == ("here", 1)
        if connector is not None:
            await connector.close()
    assert len(requests) == 300


def dies_on_the_second_request(how):
    """Answer one request, read a second one and end the connection; a fresh one is answered.

    Yields what came.
    """
    requests = []

    def talk(connection, number):
        while request := read_request(connection):
            requests.append((number, request))
            if len([one for one, _ in requests if one == number]) == 2:
                how(connection)
                return
            connection.sendall(answer(b"ok"))

    return talk, requests


async def ask(url, body=b"question", headers=None, connector=None):
    """Send a request; return the answer's body and the answer."""
    response = await send(HttpRequest("POST", url, headers or {}, body), Route(connector=connector), 5)
    return await response.read_all(1000), response


@pytest.mark.parametrize("how", [lambda connection: None, reset], ids=["orderly", "reset"])
async def test_dead_connection_is_replaced_once_and_counted_apart(how):
    """The second request goes out again on a fresh connection.

    The answer says that the service may have seen it twice.
    """
    talk, requests = dies_on_the_second_request(how)
    with speaks(talk) as url:
        assert (await ask(url))[1].unanswered == 0
        data, response = await ask(url)
        assert (data, response.unanswered) == (b"ok", 1)
    assert [number for number, _ in requests] == [1, 1, 2]


@pytest.mark.parametrize("how", [lambda connection: None, reset], ids=["orderly", "reset"])
async def test_fresh_connection_that_dies_is_an_error(how):
    """What failed on a fresh connection is not sent again below the retries, nor a third time."""
    numbers = []

    def talk(connection, number):
        while read_request(connection):
            numbers.append(number)
            if number > 1 or numbers.count(1) == 2:
                how(connection)
                return
            connection.sendall(answer(b"ok"))

    with speaks(talk) as url:
        await ask(url)
        with pytest.raises(errors.ProviderConnectionError) as caught:
            await ask(url)
        assert numbers == [1, 1, 2]
        assert caught.value.unanswered == 1
        with pytest.raises(errors.ProviderConnectionError) as caught:
            await ask(url)
        assert numbers == [1, 1, 2, 3]
        assert caught.value.unanswered == 0


@pytest.mark.parametrize("end", [None, reset], ids=["orderly", "reset"])
async def test_answer_that_had_begun_is_not_asked_for_again(end):
    """A head that breaks off at any byte is an error, and nothing is sent again.

    It shows that the service has worked on the request.
    """
    head = answer(b"", "X-Name: value")
    for cut in range(1, len(head) - 1):
        numbers = []

        def talk(connection, number, cut=cut, numbers=numbers):
            while read_request(connection):
                numbers.append(number)
                if len(numbers) == 2:
                    connection.sendall(head[:cut])
                    if end is not None:
                        end(connection)
                    return
                connection.sendall(answer(b"ok"))

        with speaks(talk) as url:
            await ask(url)
            with pytest.raises(errors.ProviderError):
                await ask(url)
            assert numbers == [1, 1], cut


@pytest.mark.parametrize("own", [False, True], ids=["our connector", "the caller's"])
async def test_fresh_means_fresh(own):
    """With more dead connections in the pool, the second sending takes none of them."""
    together = threading.Barrier(4)
    numbers = []

    def talk(connection, number):
        if number <= 4:
            read_request(connection)
            together.wait(5)
            connection.sendall(answer(b"ok"))
        while read_request(connection):
            numbers.append(number)
            if number <= 4:
                return
            connection.sendall(answer(b"ok"))

    with speaks(talk) as url:
        connector = aiohttp.TCPConnector() if own else None
        await asyncio.gather(*[ask(url, connector=connector) for _ in range(4)])
        data, response = await ask(url, connector=connector)
        assert (data, response.unanswered) == (b"ok", 1)
        assert len(numbers) == 2
        assert numbers[1] > 4
        if connector is not None:
            await connector.close()


@pytest.mark.parametrize("status", [307, 308])
async def test_server_that_closes_after_a_redirect(status):
    """A redirect on the same host is followed though the server closes the connection that it came on."""
    requests = []

    def talk(connection, number):
        if request := read_request(connection):
            requests.append(request)
            connection.sendall(
                answer(b"ok")
                if b"POST /there " in request
                else answer(b"", "Location: /there", status=f"{status} Moved")
            )

    with speaks(talk) as url:
        for _ in range(20):
            data, _ = await ask(f"{url}/here")
            assert data == b"ok"
    assert all(request.endswith(b"question") for request in requests)


# --- an answer while the request is being written -------------------------------------------------


@pytest.mark.parametrize("size", [2**17, 2**20 - 1, 2**23])
async def test_refusal_before_the_request_is_whole(size):
    """A service that refuses a long request and closes is understood, though the writing fails."""

    def talk(connection, number):
        connection.recv(1000)
        connection.sendall(answer(b'{"error": "too long"}', "Connection: close", status="413 Too Large"))

    with speaks(talk) as url:
        for _ in range(25):
            data, response = await ask(url, bytes(size))
            assert (response.status, data) == (413, b'{"error": "too long"}')


# --- what is an answer ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["300 Multiple Choices", "304 Not Modified", "305 Use Proxy", "399 Odd"])
async def test_only_2xx_is_an_answer(status):
    """A status outside of 2xx is an error, whatever the body says."""
    body = b"" if status.startswith("304") else b'{"error": "which one?"}'
    for cls in (AIChatFree, FlowGpt, OpenAICompatible):
        with speaks(once(answer(body, status=status))) as url:
            with pytest.raises(errors.ProviderError) as caught:
                await text_of(provider_of(cls, url))
            assert caught.value.status == int(status[:3])


# --- headers that are the connection's ------------------------------------------------------------

FRAMING = {
    "Content-Length": "3",
    "transfer-encoding": "chunked",
    "TE": "trailers",
    "Trailer": "x",
    "Upgrade": "h2c",
    "Expect": "100-continue",
    "Keep-Alive": "timeout=5",
    "Proxy-Connection": "close",
    "Connection": "Authorization",
}


@pytest.mark.parametrize(("name", "value"), FRAMING.items(), ids=FRAMING)
async def test_framing_headers_of_the_caller(name, value):
    """Framing headers are refused before anything is sent, wherever they are given.

    They would turn the end of one request into the beginning of another.
    """
    requests = []
    with speaks(closes_after(0, requests)) as url:
        with pytest.raises(errors.UsageError, match=name):
            provider_of(OpenAICompatible, url, headers={name: value})
        provider = provider_of(OpenAICompatible, url)
        with pytest.raises(errors.UsageError, match=name):
            provider.configured(headers={name: value})
        with pytest.raises(errors.UsageError, match=name):
            await provider.complete("Hi", headers={name: value})
        assert requests == []


async def test_other_headers_of_the_caller():
    """A host of one's own and a connection for one request are the caller's to choose."""
    requests = []
    with speaks(closes_after(0, requests)) as url:
        provider = provider_of(OpenAICompatible, url, headers={"Host": "example.org", "Connection": "close"})
        assert (await provider.complete("Hi")).text == "here"
    assert b"Host: example.org\r\n" in requests[0]
    assert b"Connection: close\r\n" in requests[0]


async def test_a_limit_passes_while_a_body_unpacks():
    """The limit on the whole answer counts though not a byte is waited for any more."""
    packed = gzip.compress(b": nothing said\n" * 10**7, 1)
    limit = Timeout(connect=5, first_content=0.2, stall=5, total=10)
    with speaks(once(answer(packed, "Content-Encoding: gzip"))) as url:
        with pytest.raises(errors.ProviderTimeoutError) as caught:
            await text_of(provider_of(OpenAICompatible, url, timeout=limit))
        assert caught.value.phase == "first content"


async def test_what_is_sent_once_more_has_a_signature_of_its_own():
    """A service that takes a nonce only once has seen the first, whose connection it closed."""
    faults = [{"status": 503, "retry_after": 0}, {"drop": True}]
    with replica(FlowGpt, answer="here", faults=faults) as server:
        answer = await FlowGpt(base_url=server.base_url, retry=1).complete("Hi")
        nonces = [request.headers["x-nonce"] for request in server.requests]
    assert answer.text == "here"
    assert len(nonces) == len(set(nonces)) == 3
