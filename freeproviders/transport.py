"""The only HTTP client: a request goes out, the headers of its answer come back, and then its bytes."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

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
from freeproviders.sessions import session_for
from freeproviders.wire.failure import EXCERPT_CHARS, redact

MAX_REDIRECTS: Final = 5
LONG_BODY_BYTES: Final = 2**20
_PROXY_ADVICE: Final = "Check the proxy and its credentials."
_PRESERVING: Final = frozenset({307, 308})
_REDIRECTS: Final = frozenset({301, 302, 303, *_PRESERVING})


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request, ready to be sent; `body` is complete. Redirects stay on the host, unless `any_host`: for public files, with no secrets in the headers."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    any_host: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """How to get there: a proxy, proxies from the environment, or a connector of the caller's, which is used and never closed."""

    proxy: str | None = field(default=None, repr=False)  # may hold a password
    trust_env: bool = False
    connector: aiohttp.BaseConnector | None = None

    def __post_init__(self) -> None:
        if self.proxy is not None:
            _check_proxy(self.proxy, "proxy")
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
        _check_proxy(proxy, "the environment's proxy")
        return proxy


def _check_proxy(proxy: object, what: str) -> None:
    try:
        parts = urlsplit(proxy) if isinstance(proxy, str) else None
        if parts is not None and parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return
    except ValueError:  # a port that is none
        pass
    raise UsageError(
        f"{what} must look like http://user:password@host:port. For SOCKS pass a connector, for example one of the package aiohttp-socks."
    )


class Response:
    """An answer whose headers have come."""

    __slots__ = ("_content", "_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._content = response.content
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies it sets, as it wrote them; not those that it takes back."""
        return {
            name: morsel.coded_value
            for name, morsel in self._response.cookies.items()
            if morsel["max-age"] not in {"0", "-1"}
        }

    @property
    def at_end(self) -> bool:
        """Whether the last byte has been read."""
        return self._content.at_eof()

    async def read(self) -> bytes:
        """What the network brought, at least a byte; b"" at the end. Raises errors of the tree."""
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise _translated(error) from error

    async def read_all(self, limit: int) -> bytes:
        """The body, cut at `limit` bytes."""
        pieces: list[bytes] = []
        size = 0
        while size < limit and (data := await self.read()):
            pieces.append(data)
            size += len(data)
        return b"".join(pieces)[:limit]

    def close(self) -> None:
        """End the request at once. After the last byte was read this frees nothing: the connection is back in the pool."""
        self._response.close()


async def send(request: HttpRequest, route: Route, connect_timeout: float | None) -> Response:
    """Send a request and wait for the headers of its answer.

    A redirect is followed on the same host only, and for a request with a body only where the method is kept (307, 308).
    """
    session = await session_for(route.connector)
    timeout = _client_timeout(connect_timeout)
    url = request.url
    for _ in range(MAX_REDIRECTS + 1):
        proxy = route.proxy_for(url)
        try:
            response = await session.request(
                request.method,
                url,
                data=_payload(request.body),
                headers=request.headers,
                proxy=proxy,
                timeout=timeout,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _translated(error) from error
        if response.status in {101, 407}:
            response.close()
            raise _not_from_the_service(response.status)
        if response.status not in _REDIRECTS:
            return Response(response)
        target = response.headers.get("Location", "")
        status = response.status
        response.close()
        url = _next_url(request, url, target, status)
    raise RedirectError(
        f"more than {MAX_REDIRECTS} redirects, the last one to {URL(url).origin()}.", status=status
    )


@functools.cache
def _client_timeout(connect: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=None if connect == NEVER else connect)


def _payload(body: bytes | None) -> bytes | io.BytesIO | None:
    """A long body is written piece by piece; aiohttp warns of one given whole, since writing it may hold up the loop."""
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
        raise RedirectError("the service redirects without saying where to.", status=status, advice="")
    if not (same or elsewhere):
        raise RedirectError(f"the service redirects to {origin}, which is not followed.", status=status)
    if request.body is not None and status not in _PRESERVING:
        raise RedirectError(
            f"the service redirects a {request.method} to {there.path} in a way that would lose the request.",
            status=status,
        )
    return str(there)


def _translated(error: Exception) -> ProviderError:
    """The one place where aiohttp's errors become ours."""
    said = redact(" ".join(str(error).split()))[:EXCERPT_CHARS] or type(error).__name__
    match error:
        case aiohttp.ServerTimeoutError() | TimeoutError():
            return ProviderTimeoutError("no connection in time.", phase="connect")
        case aiohttp.ClientPayloadError():
            return TruncatedResponseError(f"the transfer was cut off: {said}.")
        case aiohttp.ClientConnectorCertificateError():  # which is also a ValueError
            advice = "Mend the certificate, or pass a connector with an ssl.SSLContext that trusts it."
            return _permanent(
                ProviderConnectionError(
                    f"the certificate of {error.host} is not trusted: {error.certificate_error}.",
                    advice=advice,
                )
            )
        case aiohttp.InvalidURL():
            return _permanent(
                ProviderConnectionError("the address cannot be used.", advice="Check base_url and proxy.")
            )  # it may hold a password
        case ValueError():
            return _permanent(
                ProviderConnectionError(
                    f"the request cannot be sent: {said}.", advice="Check base_url, headers and proxy."
                )
            )
        case aiohttp.ClientHttpProxyError():
            refused = ProviderConnectionError(
                f"the proxy refused: HTTP {error.status} {error.message}.", advice=_PROXY_ADVICE
            )
            return _permanent(refused) if error.status < 500 else refused
        case aiohttp.ClientResponseError():
            return MalformedResponseError(
                f"the answer cannot be read: {redact(' '.join(error.message.split()))[:EXCERPT_CHARS]}."
            )
        case _:
            return ProviderConnectionError(f"connection failed: {said}.")


def _not_from_the_service(status: int) -> ProviderError:
    """Two answers that no chat service gives."""
    if status == 407:
        return _permanent(ProviderConnectionError("the proxy refused: HTTP 407.", advice=_PROXY_ADVICE))
    return MalformedResponseError("the answer switches to another protocol.", status=status)


def _permanent(error: ProviderError) -> ProviderError:
    """Of a kind that may pass, but this one will not."""
    error.is_retryable = False
    return error
