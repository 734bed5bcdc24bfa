"""Everything a service can do wrong is a typed error, in bounded time.

The error says who, what and what to do; and no text is given out twice.
"""

import asyncio
from dataclasses import replace

import pytest

from freeproviders import AIChatFree, ChatgptFree, FlowGpt, FreeNetfly, OpenAICompatible, Timeout, errors
from freeproviders.testing import replica
from freeproviders.types import Finish, Text
from tests.core.services import FAST, HI, SERVICES, text_of

PATIENT = Timeout(connect=60, first_content=60, stall=60, total=60)
"""For what is no matter of time: a busy machine is slow."""
QUICK = Timeout(connect=2, first_content=0.3, stall=0.3, total=3)
LONG = "A sentence that is long enough to be cut somewhere in its middle. " * 40


@pytest.fixture(params=SERVICES, ids=str)
def service(request):
    return request.param


BEFORE_ANY_TEXT = [
    ({"status": 500}, errors.ServerError),
    ({"status": 503, "retry_after": 7}, errors.ServerError),
    ({"status": 400}, errors.BadRequestError),
    ({"status": 401}, errors.AuthenticationError),
    ({"status": 404}, errors.NotFoundError),
    ({"status": 418}, errors.BadRequestError),
    ({"status": 429, "retry_after_ms": 7000}, errors.RateLimitError),
    ({"quota": True}, errors.RateLimitError),
    ({"challenge": True}, errors.BlockedError),
    ({"html": True}, errors.BlockedError),
    ({"html": True, "chunk": 1}, errors.BlockedError),
    ({"empty": True}, errors.EmptyResponseError),
    ({"drop": True}, errors.ProviderConnectionError),
    ({"redirect": "http://127.0.0.1:1/elsewhere"}, errors.RedirectError),
    ({"delay_headers": 30}, errors.ProviderTimeoutError),
    ({"delay_first": 30}, errors.ProviderTimeoutError),
    ({"keepalive": 1000}, errors.ProviderTimeoutError),
]


@pytest.mark.parametrize(("fault", "cls"), BEFORE_ANY_TEXT, ids=str)
async def test_before_any_text(service, fault, cls):
    """Each fault is its own error, which says who and what, and what the service said about coming back."""
    if "keepalive" in fault and (service.style.get("style") == "json" or service.cls is AIChatFree):
        fault = {"delay_first": 30}  # these have no way to keep a connection alive without text
    with replica(service.cls, answer="Hello", faults=fault, **service.style) as r:
        with pytest.raises(cls) as caught:
            limit = QUICK if cls is errors.ProviderTimeoutError else PATIENT
            await text_of(service.provider(r, timeout=limit), on_empty="error")
    error = caught.value
    assert isinstance(error, errors.ProviderError)
    assert error.provider == service.cls.name
    assert f"[{service.cls.name}" in str(error)
    if fault.get("status"):
        assert error.status == fault["status"]
        assert error.body
        assert str(fault["status"]) in str(error)
    if "retry_after" in fault or "retry_after_ms" in fault:
        assert error.retry_after == 7
        assert "Try again in 7 s" in str(error)
    if cls is errors.ProviderTimeoutError:
        assert error.phase == "first content"
        assert "0.3 s" in str(error)
    if cls in {errors.BlockedError, errors.RedirectError}:
        assert error.advice in str(error)


STREAMING = [service for service in SERVICES if service.style.get("style") != "json"]


@pytest.fixture(params=STREAMING, ids=str)
def streaming(request):
    return request.param


async def collected(stream):
    parts, error = [], None
    try:
        async for part in stream:
            parts.append(part)
    except errors.ProviderError as caught:
        error = caught
    return parts, error


@pytest.mark.parametrize(
    ("fault", "cls", "phase"),
    [
        ({"stall": 2}, errors.ProviderTimeoutError, "stall"),
        ({"pace": 0.1}, errors.ProviderTimeoutError, "total"),
        ({"cut": 900}, errors.TruncatedResponseError, None),
        ({"error": "it broke", "error_at": 2}, errors.ServerError, None),
    ],
    ids=str,
)
async def test_after_text(streaming, fault, cls, phase):
    """What was said before the fault arrives once, then comes the error; nothing is tried again."""
    if "error" in fault and streaming.cls is AIChatFree:
        fault, cls = {"cut": 900}, errors.TruncatedResponseError  # raw text has no place for an error
    pieces = [f"piece {i} " for i in range(100)]
    with replica(streaming.cls, answer=pieces, faults=fault, **streaming.style) as r:
        limit = replace(PATIENT, **{phase: 1.0} if phase else {})
        parts, error = await collected(streaming.provider(r, timeout=limit, retry=FAST).stream(HI))

        assert type(error) is cls
        assert getattr(error, "phase", None) == phase
        assert len([request for request in r.requests if request.method == "POST"]) == 1
    text = "".join(part.text for part in parts)
    assert text
    assert "".join(pieces).startswith(text)
    if "error" in fault:
        assert text == "piece 0 piece 1 "
        assert "it broke" in str(error)


async def passes(seconds: float) -> None:
    """Let time pass at once, by the clock of the loop and its timers."""
    loop = asyncio.get_running_loop()
    now = loop.time
    loop.time = lambda: now() + seconds
    await asyncio.sleep(0.01)  # for the timers that are due


async def test_a_slow_consumer_is_no_stall(streaming):
    """Only the service's silence counts, not a consumer's time between parts.

    A service that is silent after such a break still stalls.
    """
    pieces = [f"piece {i} " for i in range(4)]
    with replica(streaming.cls, answer=pieces, faults={"pace": 0.05}, **streaming.style) as r:
        text = ""
        async for part in streaming.provider(r, timeout=Timeout(stall=60)).stream(HI):
            if isinstance(part, Text):
                text += part.text
                await passes(100)
        assert text == "".join(pieces)
    with replica(streaming.cls, answer=pieces, faults={"stall": 1}, **streaming.style) as r:
        with pytest.raises(errors.ProviderTimeoutError, match="stalled"):
            async for _ in streaming.provider(r, timeout=Timeout(stall=0.3)).stream(HI):
                await passes(100)


@pytest.mark.parametrize("at", [0, 1, 30, 200])
async def test_cut_at_byte(service, at):
    """A cut transfer is never an answer.

    Before the first text it may be tried again, and then the answer comes whole and once.
    """
    with replica(service.cls, answer=[LONG], faults={"cut": at}, **service.style) as r:
        parts, error = await collected(service.provider(r, timeout=Timeout(total=3)).stream(HI))
        assert isinstance(error, errors.TruncatedResponseError | errors.ProviderConnectionError)
        assert not any(isinstance(part, Finish) for part in parts)
    with replica(service.cls, answer=[LONG], faults=[{"cut": at}], **service.style) as r:
        parts, error = await collected(service.provider(r, retry=FAST).stream(HI))
        text = "".join(part.text for part in parts if isinstance(part, Text))
        assert (error is None and text == LONG) or (error is not None and text and LONG.startswith(text))


async def test_a_clean_end_too_early(streaming):
    """An end inside a document or an event is an error; a clean end after text is an answer.

    It is flagged where the protocol would have said more.
    """
    with replica(
        streaming.cls,
        answer=["Hello", " there"],
        faults={"no_done": True, "no_finish": True}
        if streaming.cls in {FreeNetfly, OpenAICompatible}
        else None,
        **streaming.style,
    ) as r:
        finish = [part async for part in streaming.provider(r).stream(HI)][-1]
        assert finish.confirmed is (streaming.cls not in {FreeNetfly, OpenAICompatible})
    if streaming.cls in {FreeNetfly, OpenAICompatible, FlowGpt}:
        with replica(streaming.cls, answer=[LONG], faults={"end": 400}) as r:
            _, error = await collected(streaming.provider(r).stream(HI))
            assert type(error) in {errors.TruncatedResponseError, errors.MalformedResponseError}


@pytest.mark.parametrize(
    "first",
    [
        {"status": 503},
        {"status": 429, "retry_after": 0},
        {"drop": True},
        {"empty": True},
        {"cut": 0},
        {"delay_first": 30},
    ],
    ids=str,
)
async def test_retry_before_the_first_text(service, first):
    """A fault before any text is tried again, once for each attempt, and the answer comes once.

    Where a page came before on the same connection, the first drop looks like an idle connection's
    end: sent again, not counted.
    """
    uncounted = int("drop" in first and service.cls is ChatgptFree)
    limit = QUICK if "delay_first" in first else PATIENT
    with replica(service.cls, answer=["Hello", " there"], faults=[first, first], **service.style) as r:
        parts = [
            part async for part in service.provider(r, retry=FAST, timeout=limit).stream(HI, on_empty="error")
        ]
        assert "".join(part.text for part in parts if isinstance(part, Text)) == "Hello there"
        assert parts[-1].attempts == 3 - uncounted
        assert len([request for request in r.requests if request.method == "POST"]) == 3
    with replica(service.cls, answer="Hello", faults=[first] * 4, **service.style) as r:
        with pytest.raises(errors.ProviderError, match="tried 3 times"):
            await text_of(service.provider(r, retry=FAST, timeout=limit), on_empty="error")
        assert len([request for request in r.requests if request.method == "POST"]) == 3 + uncounted


async def test_no_retry_of_a_refusal(service):
    """What would be refused again is sent once."""
    for fault in ({"status": 400}, {"challenge": True}, {"status": 429, "retry_after": 3600}):
        with replica(service.cls, answer="Hello", faults=fault, **service.style) as r:
            with pytest.raises(errors.ProviderError):
                await text_of(service.provider(r, retry=FAST))
            assert len([request for request in r.requests if request.method == "POST"]) == 1


@pytest.mark.parametrize(
    "shape",
    [
        "object",
        "string",
        "object-error",
        "array",
        "errors",
        "rfc7807",
        "message",
        "detail",
        "choices-null",
        "finish-reason",
        "text",
    ],
)
@pytest.mark.parametrize("cls", [FreeNetfly, OpenAICompatible])
async def test_error_inside_a_200(cls, shape):
    """An error that comes as a success, in whichever shape, is an error."""
    with replica(cls, answer="Hello", faults={"error": "Rate limit exceeded", "error_shape": shape}) as r:
        provider = cls(*(["m"] if cls is OpenAICompatible else []), base_url=r.base_url, retry=0)
        for whole in (False, True):
            with pytest.raises(errors.ProviderError) as caught:
                await (provider.complete(HI) if whole else text_of(provider))
            assert isinstance(caught.value, errors.RateLimitError | errors.ServerError)


@pytest.mark.parametrize(
    "fault",
    [
        {"no_stream": True},
        {"bom": True},
        {"line_end": "\r\n"},
        {"line_end": "\r"},
        {"last_blank": False, "no_done": True},
        {"keepalive": 3},
    ],
    ids=str,
)
async def test_what_is_no_fault(fault):
    """Odd ways to answer are answers."""
    with replica(OpenAICompatible, answer=["Hello", " there"], faults=fault) as r:
        assert await text_of(OpenAICompatible("m", base_url=r.base_url)) == "Hello there"


async def test_connection_refused_and_no_host():
    """No server is a connection error, and so is a proxy that is none."""
    for options in ({}, {"proxy": "http://user:secret@127.0.0.1:9"}):
        with pytest.raises(errors.ProviderConnectionError) as caught:
            await text_of(OpenAICompatible("m", base_url="http://127.0.0.1:9/v1", retry=0, **options))
        assert "secret" not in str(caught.value)


# --- the nonce ---


@pytest.mark.parametrize("way", ["403", "-1", "json"])
@pytest.mark.parametrize("style", ["sse", "json"])
async def test_expired_nonce(way, style):
    """An expired nonce is fetched again once, however the service says it; twice is an error.

    No retry is spent on it.
    """
    with replica(ChatgptFree, answer="Hello", faults=[{"nonce_expired": way}], style=style) as r:
        provider = ChatgptFree(base_url=r.base_url, retry=0)
        assert await text_of(provider) == "Hello"
        assert [request.method for request in r.requests] == ["GET", "POST", "GET", "POST"]
        assert await text_of(provider) == "Hello"
        assert [request.method for request in r.requests][4:] == ["POST"]
    with replica(ChatgptFree, answer="Hello", faults={"nonce_expired": way}, style=style) as r:
        with pytest.raises(errors.PermissionDeniedError):
            await text_of(ChatgptFree(base_url=r.base_url))
        assert [request.method for request in r.requests] == ["GET", "POST", "GET", "POST"]


async def test_nonce_is_fetched_once_by_concurrent_calls_and_never_shared():
    """Ten first calls at once fetch one page.

    Another instance, or a copy with another address, fetches its own.
    """
    with replica(ChatgptFree, answer="Hello") as r, replica(ChatgptFree, answer="Hello") as other:
        one, two = ChatgptFree(base_url=r.base_url), ChatgptFree(base_url=r.base_url)
        assert await asyncio.gather(*(text_of(one) for _ in range(10))) == ["Hello"] * 10
        assert [request.method for request in r.requests].count("GET") == 1
        await text_of(two)
        assert [request.method for request in r.requests].count("GET") == 2
        assert await text_of(one, base_url=other.base_url) == "Hello"
        assert await text_of(one, timeout=60) == "Hello"
        assert [request.method for request in r.requests].count("GET") == 2
        nonces = {request.form["_wpnonce"] for request in r.requests if request.method == "POST"}
        assert len(nonces) == 2


async def test_nonce_when_the_first_fetch_fails_or_is_cancelled():
    """Whoever waited for a page that did not come fetches it himself."""
    with replica(ChatgptFree, answer="Hello", faults=[{"on": "page", "status": 500}]) as r:
        provider = ChatgptFree(base_url=r.base_url, retry=0)
        results = await asyncio.gather(*(text_of(provider) for _ in range(5)), return_exceptions=True)
        assert sorted(map(str, results)).count("Hello") == 4
    with replica(ChatgptFree, answer="Hello", faults=[{"on": "page", "delay_headers": 1}]) as r:
        provider = ChatgptFree(base_url=r.base_url)
        first = asyncio.create_task(text_of(provider))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(text_of(provider))
        await asyncio.sleep(0.1)
        first.cancel()
        assert await second == "Hello"


# --- the replica refuses what is wrong, seen with the real client ---


async def test_wrong_signature_is_refused(monkeypatch):
    """A request that is not signed as the service wants is refused, so the tests above prove that ours is."""
    import freeproviders.providers.ai_chat_free as ai
    import freeproviders.providers.flow_gpt as flow

    monkeypatch.setattr(flow, "sign", lambda timestamp, nonce: "0" * 32)
    monkeypatch.setattr(ai, "generate_signature", lambda now, text: "0" * 64)
    for cls in (FlowGpt, AIChatFree):
        with replica(cls, answer="Hello") as r:
            with pytest.raises(errors.ProviderError, match="sign"):
                await text_of(cls(base_url=r.base_url, retry=0))


class Gone(FlowGpt):
    """A service whose public address answers no more."""

    default_base_url = "http://127.0.0.1:9"


async def test_a_service_that_may_be_gone():
    """The user's network is not blamed where the public service was last seen long ago."""
    with pytest.raises(
        errors.ProviderConnectionError,
        match=r"may be gone \(last public client \d{4}-\d\d-\d\d\)\. Pass base_url for another place",
    ):
        await Gone(retry=0).complete("Hi")
    with pytest.raises(errors.ProviderConnectionError, match=r"start the server, or check base_url\."):
        await FlowGpt(base_url=Gone.default_base_url, retry=0).complete("Hi")
