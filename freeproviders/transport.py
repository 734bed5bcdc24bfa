"""The only HTTP client: it sends a request and returns the answer's head, then its bytes."""

from __future__ import annotations

import asyncio
import functools
import io
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import field
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from freeproviders import journal
from freeproviders.deadlines import NEVER
from freeproviders.errors import (
    MalformedResponseError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    RedirectError,
    TruncatedResponseError,
    UsageError,
)
from freeproviders.naming import argument
from freeproviders.records import record
from freeproviders.sessions import (
    ONLY_FRESH,
    Answer,
    DeadConnectionError,
    PooledConnectionError,
    session_for,
)
from freeproviders.wire.failure import EXCERPT_CHARS, read_failure, redact
from freeproviders.wire.packing import unpacker

MAX_REDIRECTS: Final = 5
LONG_BODY_BYTES: Final = 2**20
_PROXY_ADVICE: Final = f"Check the {argument('proxy')} and its credentials."
_PRESERVING: Final = frozenset({307, 308})
_REDIRECTS: Final = frozenset({301, 302, 303, *_PRESERVING})


@record
class HttpRequest:
    """A request that is ready to be sent, with its whole body.

    Redirects are followed on the same host only, with `any_host` on every host: for public files,
    with no secrets in the headers.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    any_host: bool = False


@record
class Route:
    """The way to a service: a proxy, the environment's proxies, or a connector of the caller's.

    The connector is used and never closed.
    """

    proxy: str | None = field(default=None, repr=False)  # may hold a password
    trust_env: bool = False
    connector: aiohttp.BaseConnector | None = None

    def __post_init__(self) -> None:
        if self.proxy is not None:
            check_proxy(self.proxy, "proxy")
        if self.connector is not None and not isinstance(self.connector, aiohttp.BaseConnector):
            raise UsageError(f"connector must be an aiohttp connector, not {type(self.connector).__name__}.")

    def proxy_for(self, url: str) -> str | None:
        """The proxy for an address: the one given, else, only where asked, the environment's."""
        if self.proxy is not None or not self.trust_env:
            return self.proxy
        parts = urlsplit(url)
        if proxy_bypass(parts.hostname or ""):
            return None
        proxies = getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        if not proxy:
            return None
        proxy = proxy if "://" in proxy else f"http://{proxy}"
        check_proxy(proxy, "The environment's proxy")
        return proxy


def check_proxy(proxy: object, what: str) -> None:
    """Raise `UsageError` unless a value is a proxy's address; `what` names the value."""
    try:
        parts = urlsplit(proxy) if isinstance(proxy, str) else None
        if parts is not None and parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return
    except ValueError:  # a port that is none
        pass
    raise UsageError(
        f"{argument(what)} must look like http://user:password@host:port.",
        advice=f"For SOCKS pass a {argument('connector')}, for example one of the package aiohttp-socks.",
    )


class Response:
    """An answer whose head has come.

    `unanswered` counts how often the request was sent before, whole, to a connection that then
    brought nothing: the service may have worked on each, and they count as requests too.
    """

    __slots__ = ("_content", "_response", "_unpacker", "headers", "status", "unanswered")

    def __init__(self, response: aiohttp.ClientResponse, unanswered: int = 0) -> None:
        self._response = response
        self._content = response.content
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.unanswered = unanswered
        encoding = response.headers.get("Content-Encoding")
        self._unpacker = unpacker(encoding) if encoding else None

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies it sets, as it wrote them; not those that it takes back."""
        return {
            name: morsel.coded_value
            for name, morsel in self._response.cookies.items()
            if morsel["max-age"] not in {"0", "-1"}
        }

    @property
    def framed(self) -> bool:
        """Whether the body marks its end, by chunks, a length or a packed stream's own end.

        Otherwise the body ends with the connection, and whether it is complete cannot be known.
        """
        if self._unpacker is not None:
            return True
        codings = self._response.headers.getall("Transfer-Encoding", None)
        if codings:
            return codings[-1].rpartition(",")[2].strip().lower() == "chunked"
        return "Content-Length" in self.headers

    @property
    def at_end(self) -> bool:
        """Whether the last byte has been read."""
        return self._content.at_eof() and (self._unpacker is None or not self._unpacker.more)

    async def read(self) -> bytes:
        """Return what the network brought; b"" at the end. Raises errors of the tree."""
        packed = self._unpacker
        while True:
            if packed is not None and packed.more:
                # Nothing is waited for here, so the loop gets its turn: a small body may unpack to
                # a very large one.
                await asyncio.sleep(0)
                self._check_open()
                data = packed.unpack(b"")
            else:
                try:
                    data = await self._content.readany()
                except (aiohttp.ClientError, OSError) as error:
                    raise _translated(error) from error
                if not data:
                    self._check_end()
                    return data
                if packed is None:
                    return data
                data = packed.unpack(data)
            if data:
                return data

    async def read_all(self, limit: int) -> bytes:
        """The body, cut at `limit` bytes."""
        pieces: list[bytes] = []
        size = 0
        while size < limit and (data := await self.read()):
            pieces.append(data)
            size += len(data)
        return b"".join(pieces)[:limit]

    def close(self) -> None:
        """End the request at once.

        After the last byte was read there is nothing to end: the connection is back in the pool.
        """
        self._response.close()

    def _check_open(self) -> None:
        """Raise if the request was ended while there was still something to unpack."""
        error = self._content.exception()
        if isinstance(error, Exception):
            raise _translated(error) from error

    def _check_end(self) -> None:
        """Raise if the body has ended where only a fault can have ended it."""
        if self._unpacker is not None and self._unpacker.begun and not self._unpacker.whole:
            raise TruncatedResponseError("The transfer was cut off: the packed data has no end.")
        end = self._response.end if isinstance(self._response, Answer) else None
        if end is not None and end.error is not None and not self.framed:
            raise TruncatedResponseError("The transfer was cut off: the connection was reset.") from end.error


async def send(
    request: HttpRequest,
    route: Route,
    connect_timeout: float | None,
    *,
    writing: Callable[[], None] | None = None,
    again: Callable[[], Awaitable[None]] | None = None,
    anew: Callable[[], HttpRequest] | None = None,
) -> Response:
    """Send a request and wait for the headers of its answer.

    `writing` is called when a connection is there and the body is about to be written to it;
    `again` is awaited before a request that may have arrived is sent once more. `anew` writes the
    request for that, where a service takes the same signature only once.

    A redirect is followed on the same host only, and for a request with a body only where the
    method is kept (307, 308). A request that went to a connection of the pool which the server has
    just closed is sent once more, on a fresh one.
    """
    session = await session_for(route.connector)
    timeout = _client_timeout(connect_timeout)
    url = request.url
    unanswered = 0
    for _ in range(MAX_REDIRECTS + 1):
        ask = functools.partial(
            session.request,
            request.method,
            url,
            headers=request.headers,
            proxy=route.proxy_for(url),
            timeout=timeout,
            allow_redirects=False,
        )
        try:
            try:
                response = await ask(data=_payload(request.body, writing))
            except DeadConnectionError as dead:
                unanswered += dead.delivered
                if dead.delivered and again is not None:
                    await again()
                journal.http.debug("Sent once more: the pooled connection was closed by the server.")
                if anew is not None:
                    request = anew()
                    ask.keywords["headers"] = request.headers
                response = await _on_a_fresh_connection(ask, request.body, writing)
        except ProviderError:  # of `again`
            raise
        except (aiohttp.ClientError, OSError, ValueError) as error:
            translated = _translated(error)
            translated.unanswered = unanswered
            raise translated from error
        if response.status in {101, 407}:
            response.close()
            raise _not_from_the_service(response.status)
        if response.status not in _REDIRECTS:
            try:
                return Response(response, unanswered)
            except MalformedResponseError:
                response.close()
                raise
        target = response.headers.get("Location", "")
        status = response.status
        response.close()
        url = _next_url(request, url, target, status)
        if journal.http.isEnabledFor(journal.DEBUG):
            journal.http.debug("HTTP %d leads to %s", status, journal.address(url))
    raise RedirectError(
        f"There were more than {MAX_REDIRECTS} redirects, the last one to {URL(url).origin()}.", status=status
    )


@record
class Fetched:
    """A whole answer that is no stream."""

    body: bytes
    headers: Mapping[str, str]
    cookies: Mapping[str, str]


Fetch = Callable[[HttpRequest, int], Awaitable[Fetched]]
"""How a provider gets a whole answer, cut at a number of bytes; raises errors of the tree."""


async def fetch(
    request: HttpRequest,
    route: Route,
    connect_timeout: float | None,
    limit: int,
    failure: Callable[[int, Mapping[str, str], bytes], ProviderError] = read_failure,
) -> Fetched:
    """Send a request and read its whole answer, cut at `limit` bytes.

    Raises what `failure` makes of a status outside of 2xx.
    """
    trace = journal.traced()
    if trace is not None:
        trace.sent(
            request.method, request.url, "whole", headers=request.headers, size=len(request.body or b"")
        )
    try:
        response = await send(request, route, connect_timeout)
        try:
            if trace is not None:
                trace.answered(response.status, response.headers)
            body = await response.read_all(limit)
        finally:
            response.close()
    except BaseException as error:
        if trace is not None:
            trace.failed(error)
        raise
    if trace is not None:
        trace.ended(len(body))
    if not 200 <= response.status < 300:
        raise failure(response.status, response.headers, body)
    return Fetched(body, response.headers, response.cookies)


async def _on_a_fresh_connection(
    ask: Callable[..., Awaitable[aiohttp.ClientResponse]],
    body: bytes | None,
    writing: Callable[[], None] | None,
) -> aiohttp.ClientResponse:
    """Send on a connection that has carried nothing.

    Those that the pool offers are closed: they may be as dead as the first.
    """
    token = ONLY_FRESH.set(True)
    try:
        while True:
            with suppress(PooledConnectionError):
                return await ask(data=_payload(body, writing))
    finally:
        ONLY_FRESH.reset(token)


@functools.cache
def _client_timeout(connect: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=None if connect == NEVER else connect)


class _Watched(io.BytesIO):
    """A body that tells when aiohttp begins to write it, which it does once it has a connection."""

    def __init__(self, body: bytes, writing: Callable[[], None]) -> None:
        super().__init__(body)
        self._writing = writing

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file, and tell."""
        self._writing()
        return super().read(size)


def _payload(body: bytes | None, writing: Callable[[], None] | None = None) -> bytes | io.BytesIO | None:
    """The body as aiohttp takes it: a long one as a file, which is written piece by piece.

    Of a long one that is given whole, aiohttp warns, since writing it may hold up the loop.
    """
    if body is not None and writing is not None:
        return _Watched(body, writing)
    return body if body is None or len(body) < LONG_BODY_BYTES else io.BytesIO(body)


def _next_url(request: HttpRequest, url: str, target: str, status: int) -> str:
    try:
        here, there = URL(url), URL(url).join(URL(target))
        same = here.host == there.host and (
            here.origin() == there.origin() or (here.scheme, there.scheme) == ("http", "https")
        )
        elsewhere = request.any_host and there.scheme in {"https", here.scheme}
        origin = str(there.origin())
    except ValueError:
        same, elsewhere, origin = False, False, repr(target[:100])
    if not target:
        raise RedirectError("The service redirects without saying where to.", status=status, advice="")
    if not (same or elsewhere):
        raise RedirectError(f"The service redirects to {origin}, which is not followed.", status=status)
    if request.body is not None and status not in _PRESERVING:
        raise RedirectError(
            f"The service redirects a {request.method} to {there.path} in a way that would lose the request.",
            status=status,
        )
    return str(there)


def _translated(error: Exception) -> ProviderError:
    """The error of the tree for one of aiohttp's."""
    said = redact(" ".join(str(error).split()))[:EXCERPT_CHARS] or type(error).__name__
    match error:
        case aiohttp.ServerTimeoutError() | TimeoutError():
            return ProviderTimeoutError("There was no connection in time.", phase="connect")
        case aiohttp.ClientPayloadError():
            return TruncatedResponseError(f"The transfer was cut off: {said}.")
        case aiohttp.ClientConnectorCertificateError():  # which is also a ValueError
            advice = "Mend the certificate, or pass a connector with an ssl.SSLContext that trusts it."
            return _permanent(
                ProviderConnectionError(
                    f"The certificate of {error.host} is not trusted: {error.certificate_error}.",
                    advice=advice,
                )
            )
        case aiohttp.InvalidURL():
            return _permanent(
                ProviderConnectionError(
                    "The address cannot be used.",
                    advice=f"Check {argument('base_url')} and {argument('proxy')}.",
                )
            )  # it may hold a password
        case ValueError():
            return _permanent(
                ProviderConnectionError(
                    f"The request cannot be sent: {said}.",
                    advice=f"Check {argument('base_url')}, {argument('headers')} and {argument('proxy')}.",
                )
            )
        case aiohttp.ClientHttpProxyError():
            refused = ProviderConnectionError(
                f"The proxy refused: HTTP {error.status} {error.message}.", advice=_PROXY_ADVICE
            )
            return _permanent(refused) if error.status < 500 else refused
        case aiohttp.ClientResponseError():
            return MalformedResponseError(
                f"The answer cannot be read: {redact(' '.join(error.message.split()))[:EXCERPT_CHARS]}."
            )
        case aiohttp.ServerDisconnectedError():  # its words are aiohttp's own objects
            return ProviderConnectionError("Connection failed: the server closed it before its answer.")
        case aiohttp.ClientConnectorError():
            why = redact(_reason(error.os_error) or said).rstrip(".")
            return ProviderConnectionError(
                f"Connection failed: {error.host}:{error.port}: {why}.", phase="connect"
            )
        case _:
            return ProviderConnectionError(f"Connection failed: {said}.")


def _reason(error: OSError) -> str:
    """Return the words for a connection that failed, "" where there are none."""
    number = error.errno or 0
    # Their numbers are not the system's.
    if number > 0 and not isinstance(error, socket.gaierror | ssl.SSLError):
        return os.strerror(number)  # asyncio's own words repeat the address as Python writes it
    return re.sub(r" \(_ssl\.c:\d+\)", "", error.strerror or "")


def _not_from_the_service(status: int) -> ProviderError:
    """The error for a status that no chat service gives: 101 and 407."""
    if status == 407:
        return _permanent(ProviderConnectionError("The proxy refused: HTTP 407.", advice=_PROXY_ADVICE))
    return MalformedResponseError("The answer switches to another protocol.", status=status)


def _permanent(error: ProviderError) -> ProviderError:
    """Mark an error as one that trying again does not help; return it."""
    error.is_retryable = False
    return error
