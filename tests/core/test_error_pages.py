"""Web pages and oddities in the place of answers, on plain sockets: judged by status, marks and protocol."""

import json
from contextlib import contextmanager

import pytest

from freeproviders import AIChatFree, ChatgptFree, FlowGpt, OpenAICompatible, Timeout, errors
from freeproviders.types import Finish
from tests.core.chunks import call, delta, sse
from tests.core.servers import read_request, speaks
from tests.core.services import FAST, HI, text_of

QUICK = Timeout(connect=5, first_content=5, stall=5, total=20)
FINE = {
    OpenAICompatible: sse(delta(content="fine"), delta("stop")),
    ChatgptFree: b'{"status": "success", "data": "fine"}',
    FlowGpt: b'{"event": "text", "data": "fine"}\n',
    AIChatFree: b"fine",
}
SITE = b'<html><div data-post-id="7" data-nonce="abc"></div></html>'
NONCE_PAGE = (
    b'<!DOCTYPE html>\n<html lang="en-US">\n<head><title>Something went wrong.</title></head>\n'
    b'<body id="error-page"><div class="wp-die-message">The link you followed has '
    b"expired.</div></body></html>"
)


def nginx(status, phrase):
    """The page that nginx writes for a status."""
    return (
        b"<html>\r\n<head><title>%d %b</title></head>\r\n<body>\r\n<center><h1>%d %b</h1></center>\r\n"
        b"<hr><center>nginx/1.24.0</center>\r\n</body>\r\n</html>\r\n" % (status, phrase, status, phrase)
    )


def answer(body, status=200, *headers):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@contextmanager
def answers(*script):
    """Answer the n-th request, each on its own connection, with the n-th of these.

    Yields (url, methods).
    """
    methods = []

    def talk(connection, number):
        request = read_request(connection)
        if request:
            methods.append(request.partition(b" ")[0].decode())
            connection.sendall(script[min(number, len(script)) - 1])

    with speaks(talk) as url:
        yield url, methods


def provider_of(cls, url, **options):
    model = {"model": "m"} if cls is OpenAICompatible else {}
    return cls(base_url=url, **{"timeout": QUICK, "retry": FAST, **model, **options})


TRANSIENT = [
    (408, b"Request Time-out", errors.ServerError),
    (425, b"Too Early", errors.RateLimitError),
    (429, b"Too Many Requests", errors.RateLimitError),
    (500, b"Internal Server Error", errors.ServerError),
    (502, b"Bad Gateway", errors.ServerError),
    (503, b"Service Temporarily Unavailable", errors.ServerError),
    (504, b"Gateway Time-out", errors.ServerError),
]
LASTING = [
    (400, b"Bad Request", errors.BadRequestError),
    (401, b"Authorization Required", errors.AuthenticationError),
    (402, b"Payment Required", errors.QuotaExceededError),
    (403, b"Forbidden", errors.PermissionDeniedError),
    (404, b"Not Found", errors.NotFoundError),
    (410, b"Gone", errors.NotFoundError),
    (413, b"Request Entity Too Large", errors.BadRequestError),
]


@pytest.mark.parametrize("cls", [OpenAICompatible, FlowGpt, AIChatFree])
@pytest.mark.parametrize(("status", "phrase", "error"), TRANSIENT)
async def test_a_page_of_a_transient_fault(cls, status, phrase, error):
    """It is tried again, at the time that its header says."""
    page = answer(nginx(status, phrase), status, "Content-Type: text/html", "Retry-After: 0.05")
    with answers(page, answer(FINE[cls])) as (url, methods):
        assert await text_of(provider_of(cls, url)) == "fine"
    assert methods == ["POST", "POST"]
    page = answer(nginx(status, phrase), status, "Content-Type: text/html", "Retry-After: 7")
    with answers(page) as (url, _), pytest.raises(error) as caught:
        await text_of(provider_of(cls, url, retry=0))
    assert type(caught.value) is error
    assert (caught.value.status, caught.value.retry_after, caught.value.is_retryable) == (status, 7, True)
    assert phrase.decode() in str(caught.value)


@pytest.mark.parametrize("cls", [OpenAICompatible, FlowGpt, AIChatFree, ChatgptFree])
@pytest.mark.parametrize(("status", "phrase", "error"), LASTING)
async def test_a_page_of_a_lasting_fault(cls, status, phrase, error):
    """It has the class of its status, and is not tried again."""
    page = answer(nginx(status, phrase), status, "Content-Type: text/html")
    script = [answer(SITE), page] if cls is ChatgptFree else [page]
    with answers(*script) as (url, methods), pytest.raises(errors.ProviderError) as caught:
        await text_of(provider_of(cls, url))
    assert type(caught.value) is error
    assert (caught.value.status, caught.value.is_retryable) == (status, False)
    assert methods[-1:] == ["POST"]
    assert len(methods) == len(script)


CHALLENGES = [
    (403, b"<html><head><title>Just a moment...</title></head></html>", ""),
    (503, b"<!DOCTYPE html><script>window._cf_chl_opt={}</script>", ""),
    (403, b"<html>no marks", "cf-mitigated: challenge"),
    (429, b"<html><div class='g-recaptcha'></div>", ""),
    (200, b"<html>a page of any kind", "Content-Type: text/html"),
    (200, b"\xef\xbb\xbf<!DOCTYPE html><title>Just a moment...</title>", "Content-Type: text/plain"),
    (200, b'<?xml version="1.0"?><!DOCTYPE html><title>Just a moment...</title>', "Content-Type: text/plain"),
]


@pytest.mark.parametrize("cls", [OpenAICompatible, FlowGpt, AIChatFree])
@pytest.mark.parametrize(("status", "body", "header"), CHALLENGES)
async def test_a_bot_check(cls, status, body, header):
    """A page with a challenge's marks, or any page with a 200, is one, and is not tried again."""
    with answers(answer(body, status, *[header] * bool(header))) as (url, methods):
        with pytest.raises(errors.BlockedError) as caught:
            await text_of(provider_of(cls, url))
    assert caught.value.status == (None if status == 200 else status)
    assert methods == ["POST"]


async def test_a_form_on_a_sites_own_page_is_no_bot_check():
    """A 404 page with a captcha for its contact form says that nothing is there."""
    with answers(answer(b"<html><script src='recaptcha/api.js'></script>", 404)) as (url, _):
        with pytest.raises(errors.NotFoundError):
            await text_of(provider_of(OpenAICompatible, url))


async def test_wordpress_own_page_for_an_expired_nonce():
    """The page is fetched again, once; when that does not help, the error says why."""
    refused = answer(NONCE_PAGE, 403, "Content-Type: text/html; charset=UTF-8")
    with answers(answer(SITE), refused, answer(SITE), answer(FINE[ChatgptFree])) as (url, methods):
        assert await text_of(provider_of(ChatgptFree, url, retry=0)) == "fine"
    assert methods == ["GET", "POST", "GET", "POST"]
    with answers(answer(SITE), refused, answer(SITE), refused) as (url, methods):
        with pytest.raises(errors.PermissionDeniedError) as caught:
            await text_of(provider_of(ChatgptFree, url, retry=0))
    assert type(caught.value).__name__ == "NonceExpiredError"
    assert methods == ["GET", "POST", "GET", "POST"]


async def test_40_000_calls():
    """Deltas with ever new indexes end in a typed error, long before they are all read."""
    deltas = b"".join(sse(delta(tool_calls=[call(n, f"c{n}", "f", "{}")]), done=False) for n in range(40_000))
    with answers(answer(deltas)) as (url, _), pytest.raises(errors.ResponseTooLargeError, match="tool calls"):
        await text_of(provider_of(OpenAICompatible, url, retry=0))


async def test_an_unfinished_answer():
    """A stream without reason and [DONE] has no confirmed end, and is not said to have stopped."""
    with answers(answer(sse(delta(content="Hello"), done=False))) as (url, _):
        finish = [part async for part in provider_of(OpenAICompatible, url).stream(HI)][-1]
    assert isinstance(finish, Finish)
    assert (finish.reason, finish.raw_reason, finish.confirmed) == ("unknown", None, False)


@pytest.mark.parametrize(
    ("tail", "error"),
    [
        (b'error: {"code": 500, "message": "slot unavailable"}\n\n', errors.ServerError),
        (b'{"error": {"message": "Rate limit reached"}}', errors.RateLimitError),
        (nginx(502, b"Bad Gateway"), errors.BlockedError),
        (sse(delta(content=" ") | {"error": {"message": "boom"}}), errors.ServerError),
    ],
)
async def test_an_error_after_text(tail, error):
    """What a service says after its text, in whatever form, is an error; the text was given out."""
    text = []
    with answers(answer(sse(delta(content="Hello"), done=False) + tail)) as (url, _):
        with pytest.raises(errors.ProviderError) as caught:
            async for piece in provider_of(OpenAICompatible, url).create_async_generator(messages=HI):
                text.append(piece)
    assert type(caught.value) is error
    assert text == ["Hello"]


@pytest.mark.parametrize(
    ("cls", "body", "said"),
    [
        (OpenAICompatible, b"\xef\xbb\xbf" + FINE[OpenAICompatible], "fine"),
        (OpenAICompatible, FINE[OpenAICompatible].replace(b"[DONE]", b"[DONE] "), "fine"),
        (
            OpenAICompatible,
            FINE[OpenAICompatible].replace(b"data: [DONE]", b"data:\n\ndata:\t[DONE]"),
            "fine",
        ),
        (ChatgptFree, b"\xef\xbb\xbf" + FINE[ChatgptFree], "fine"),
        (ChatgptFree, b"\xef\xbb\xbf" + FINE[OpenAICompatible], "fine"),
        (FlowGpt, b"\xef\xbb\xbf" + FINE[FlowGpt], "fine"),
        (AIChatFree, b"\xef\xbb\xbffine", "fine"),
        (
            FlowGpt,
            b'{"event": "text", "data": "\\ud83d"}\n{"event": "text", "data": "\\ude00"}\n',
            "\U0001f600",
        ),
    ],
)
async def test_what_is_plainly_meant(cls, body, said):
    """Byte order marks, blanks at the end and halves of characters lose nothing and fail nothing."""
    script = [answer(SITE), answer(body)] if cls is ChatgptFree else [answer(body)]
    with answers(*script) as (url, _):
        completion = await provider_of(cls, url, retry=0).complete(HI)
    assert (completion.text, completion.finish.reason, completion.finish.confirmed) == (said, "stop", True)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (json.dumps({"error": "Quota exceeded"}).encode(), errors.RateLimitError),
        (b"upstream connect error or disconnect/reset before headers. reset reason: x", errors.ServerError),
    ],
)
async def test_errors_as_raw_text(body, error):
    """On a protocol whose body is the answer, an error with a 200 is tried again like any other."""
    with answers(answer(body), answer(b"fine")) as (url, _):
        assert await text_of(provider_of(AIChatFree, url)) == "fine"
    with answers(answer(body)) as (url, _), pytest.raises(error):
        await text_of(provider_of(AIChatFree, url, retry=0))
