"""Other libraries' exceptions become errors of the tree, by what they have and not by their classes."""

import asyncio
import enum
import json
import pickle
import ssl
import urllib.error
import urllib.request
from types import SimpleNamespace

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders import errors
from freeproviders.foreign import finish_reason, of_another_loop, reading, translated
from freeproviders.testing import replica

LIMIT = json.dumps({"error": {"message": "Slow down, sk-abcdefgh12345678.", "code": "rate_limit"}})


class StatusError(Exception):
    """As the clients of OpenAI, Anthropic and Groq have it."""

    def __init__(self, status, headers, content, body=None):
        super().__init__(f"Error code: {status}")
        self.status_code, self.body = status, body
        self.response = SimpleNamespace(status_code=status, headers=headers, content=content)


class AwsError(Exception):
    def __init__(self):
        super().__init__("An error occurred (ThrottlingException)")
        self.response = {
            "Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"},
            "ResponseMetadata": {"HTTPStatusCode": 429, "HTTPHeaders": {"retry-after": "3"}},
        }


class PlainError(Exception):
    """One with attributes of its own."""

    def __init__(self, words="It broke", **attributes):
        super().__init__(words)
        self.__dict__.update(attributes)


class NotRead:
    """An answer whose body was not read, as httpx has one of a stream."""

    status_code = 503
    headers = {"Retry-After": "9"}  # noqa: RUF012 - nobody writes

    @property
    def content(self):
        raise RuntimeError("Attempted to access streaming response content.")


class Code(enum.IntEnum):
    QUOTA = 429


@pytest.mark.parametrize(
    ("error", "cls", "status", "after"),
    [
        (StatusError(429, {"retry-after": "7"}, LIMIT.encode()), errors.RateLimitError, 429, 7),
        (StatusError(429, {"Retry-After-Ms": "500"}, b"", {"message": "x"}), errors.RateLimitError, 429, 0.5),
        (StatusError(401, {}, b"", "Incorrect API key"), errors.AuthenticationError, 401, None),
        (
            StatusError(400, {}, b'{"error": {"code": "context_length_exceeded", "message": "long"}}'),
            errors.ContextOverflowError,
            400,
            None,
        ),
        (StatusError(403, {}, b"<html><title>Just a moment</title>"), errors.BlockedError, 403, None),
        (PlainError(response=NotRead()), errors.ServerError, 503, 9),
        (AwsError(), errors.RateLimitError, 429, 3),
        (PlainError(code=404, details={"error": {"message": "no model"}}), errors.NotFoundError, 404, None),
        (PlainError("quota per day exceeded", code=Code.QUOTA), errors.QuotaExceededError, 429, None),
        (PlainError(code="503"), errors.ServerError, 503, None),
        (PlainError("model 'x' not found", status_code=404), errors.NotFoundError, 404, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_a_status_with_headers_and_a_body(error, cls, status, after):
    """Whatever the library calls them: the same error as of our own client, which says when to come back."""
    found = translated(error)
    assert type(found) is cls
    assert found.status == status
    assert found.retry_after == after
    assert "sk-abcdefgh" not in f"{found} {found.body}"
    assert type(pickle.loads(pickle.dumps(found))) is cls


class APIConnectionError(Exception): ...


class ReadTimeout(Exception): ...  # noqa: N818 - httpx's name


class ConnectTimeout(ReadTimeout): ...


class RemoteProtocolError(Exception): ...


class ProtocolError(RemoteProtocolError): ...


class JSONDecodeError(ValueError): ...


@pytest.mark.parametrize(
    ("error", "begun", "cls", "retryable"),
    [
        (TimeoutError(), False, errors.ProviderTimeoutError, True),
        (ReadTimeout("read"), False, errors.ProviderTimeoutError, True),
        (ReadTimeout("read"), True, errors.ProviderTimeoutError, True),
        (APIConnectionError("Connection error."), False, errors.ProviderConnectionError, True),
        (ConnectionRefusedError(111, "refused"), False, errors.ProviderConnectionError, True),
        (ConnectionResetError(104, "reset"), True, errors.TruncatedResponseError, True),
        (ProtocolError("peer closed connection"), True, errors.TruncatedResponseError, True),
        (ssl.SSLCertVerificationError("self-signed"), False, errors.ProviderConnectionError, False),
        (JSONDecodeError("Expecting value"), False, errors.MalformedResponseError, True),
        (PlainError("in the stream", body={"message": "Overloaded"}), True, errors.ServerError, True),
        (PlainError("in the stream", body='{"error": "rate limit"}'), True, errors.RateLimitError, True),
        (ValueError({"message": "Overloaded", "code": None}), False, errors.ServerError, True),
        (ValueError("no such thing"), False, errors.ProviderError, False),
        (TypeError("'NoneType' object is not subscriptable"), False, errors.MalformedResponseError, True),
        (KeyError("choices"), False, errors.MalformedResponseError, True),
        (TypeError("got an unexpected keyword argument 'stop'"), False, errors.ProviderError, False),
        (PlainError(code="rate_limited"), False, errors.ProviderError, False),
        (PlainError(code=1006), False, errors.ProviderError, False),  # of a web socket
    ],
    ids=repr,
)
def test_without_a_status(error, begun, cls, retryable):
    found = translated(error, begun=begun)
    assert type(found) is cls
    assert found.is_retryable == retryable
    assert found.status is None


def test_the_cause_counts_and_not_what_was_merely_handled():
    """A client wraps what it got; an error of another member, which is being handled, is not its own."""
    wrapped = PlainError("Retries are over")
    wrapped.__cause__ = StatusError(429, {"retry-after": "2"}, b"")
    assert translated(wrapped).retry_after == 2
    attempt = SimpleNamespace(exception=lambda: StatusError(503, {}, b""))
    assert type(translated(PlainError("RetryError", last_attempt=attempt))) is errors.ServerError
    beside = ValueError("its own")
    beside.__context__ = errors.RateLimitError("another member's")
    assert type(translated(beside)) is errors.ProviderError
    own = errors.ServerError("ours")
    assert translated(own) is own
    wrapped.__cause__ = own
    assert translated(wrapped) is own
    slow = PlainError("Request timed out.")
    slow.__cause__ = ConnectTimeout()
    assert translated(slow).phase == "connect"
    circle = PlainError("round")
    circle.__cause__ = ValueError("and round")
    circle.__cause__.__cause__ = circle
    assert type(translated(circle)) is errors.ProviderError


def test_another_loops_connections_are_told_apart():
    wrapped = APIConnectionError("Connection error.")
    wrapped.__cause__ = RuntimeError("Event loop is closed")
    assert of_another_loop(wrapped)
    assert of_another_loop(RuntimeError("<Lock> is bound to a different event loop"))
    assert not of_another_loop(RuntimeError("something else"))
    assert not of_another_loop(APIConnectionError("Event loop is closed"))


NAMES = ["status_code", "response", "body", "code"]


@settings(max_examples=30)
@given(st.text(), st.dictionaries(st.sampled_from(NAMES), st.integers()))
def test_strange_exceptions_are_errors_all_the_same(words, attributes):
    assert isinstance(translated(PlainError(words, **attributes)), errors.ProviderError)


class End(enum.Enum):
    MAX_TOKENS = 2


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", "stop"),
        ("end_turn", "stop"),
        ("STOP", "stop"),
        ("FinishReason.SAFETY", "content_filter"),
        ("tool_use", "tool_calls"),
        (End.MAX_TOKENS, "length"),
        ("something new", "unknown"),
        ("", None),
        (None, None),
        (3, None),
    ],
)
def test_words_for_the_end(word, reason):
    assert finish_reason(word) == reason


def test_reading_follows_names_through_anything():
    answer = {"choices": [SimpleNamespace(finish_reason="stop")]}
    assert reading(answer, "choices", 0, "finish_reason") == "stop"
    assert reading(answer, "choices", 1, "finish_reason") is None
    assert reading(answer, "usage", "prompt_tokens") is None
    assert reading(None, "usage") is None


REFUSED = {"status": 429, "retry_after": 7, "body": LIMIT}


async def asked_with_aiohttp(url, body, timeout=30):
    limit = aiohttp.ClientTimeout(timeout)
    async with aiohttp.ClientSession(timeout=limit) as session, session.post(url, json=body) as response:
        response.raise_for_status()
        await response.read()


async def asked_with_urllib(url, body, timeout=30):
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - a replica's
    await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=timeout).read())  # noqa: S310 - the same


async def asked_with_httpx(url, body, timeout=30):
    httpx = pytest.importorskip("httpx")
    async with httpx.AsyncClient(timeout=timeout) as client:
        response = await client.post(url, json=body)
        response.raise_for_status()


async def asked_with_requests(url, body, timeout=30):
    requests = pytest.importorskip("requests")

    def ask():
        with requests.post(url, json=body, timeout=timeout) as response:
            response.raise_for_status()
            response.json()

    await asyncio.to_thread(ask)


CLIENTS = [asked_with_aiohttp, asked_with_urllib, asked_with_httpx, asked_with_requests]
ASKED = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize("ask", CLIENTS, ids=lambda ask: ask.__name__)
async def test_what_real_clients_raise(ask):
    """A refusal, a connection that is dropped, a body that is cut: from a server, by four clients."""
    faults = [REFUSED, {"drop": True}, {"cut": 30}]
    async with replica("openai-compatible", answer="Hello", faults=faults) as r:
        found = []
        for _ in faults:
            try:
                await ask(f"{r.base_url}/chat/completions", ASKED)
            except Exception as error:
                found.append(translated(error))
    assert [type(error) for error in found[:2]] == [errors.RateLimitError, errors.ProviderConnectionError]
    assert found[0].retry_after == 7
    assert isinstance(found[2], errors.ProviderConnectionError | errors.TruncatedResponseError)


@pytest.mark.parametrize("ask", CLIENTS, ids=lambda ask: ask.__name__)
async def test_a_client_that_gives_up_waiting(ask):
    async with replica("openai-compatible", answer="Hello", faults={"delay_headers": 30}) as r:
        with pytest.raises(Exception) as caught:
            await ask(f"{r.base_url}/chat/completions", ASKED, timeout=0.2)
    assert type(translated(caught.value)) is errors.ProviderTimeoutError
