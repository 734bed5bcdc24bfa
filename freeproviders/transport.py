"""The only HTTP client: one aiohttp session for each running event loop and connector.

Nobody closes a chat model, so nobody can be asked to close a session. Each loop's sessions are held by a started async generator on
that loop: `asyncio.run`, `asyncio.Runner` and test runners call `loop.shutdown_asyncgens()`, which runs its `finally`. Sessions of a
loop that was closed without that are let go of when the next loop comes by, and a forked child forgets all it inherited.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import io
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from freeproviders._version import __version__
from freeproviders.errors import (
    MalformedResponseError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    RedirectError,
    TruncatedResponseError,
    UsageError,
)
from freeproviders.wire.failure import EXCERPT_CHARS, redact

USER_AGENT: Final = f"freeproviders/{__version__}"
MAX_REDIRECTS: Final = 5
LONG_BODY_BYTES: Final = 2**20
_NEVER: Final = float("inf")
_PROXY_ADVICE: Final = "Check the proxy and its credentials."
_PRESERVING: Final = frozenset({307, 308})
_REDIRECTS: Final = frozenset({301, 302, 303, *_PRESERVING})


@dataclass(frozen=True, slots=True)
class Timeout:
    """Limits of one attempt, in seconds; None is no limit.

    `connect` runs until a connection stands, `first_content` until the first text, reasoning or tool call (headers and keep-alive
    comments do not count), `stall` between two parts, `total` over everything.
    """

    connect: float | None = 10.0
    first_content: float | None = 120.0
    stall: float | None = 60.0
    total: float | None = 600.0

    def __post_init__(self) -> None:
        for name in ("connect", "first_content", "stall", "total"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
                raise UsageError(f"timeout: {name} must be a number of seconds above 0 or None, not {value!r}.")

    @classmethod
    def of(cls, value: Timeout | float | None, default: Timeout) -> Timeout:
        """Read what a caller passed: None is the default, a number a limit on the whole attempt."""
        if value is None:
            return default
        if isinstance(value, Timeout):
            return value
        return cls(connect=default.connect, first_content=None, stall=None, total=value)


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
        return {name: morsel.coded_value for name, morsel in self._response.cookies.items() if morsel["max-age"] not in {"0", "-1"}}

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
    session = await _session(route.connector)
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
    raise RedirectError(f"more than {MAX_REDIRECTS} redirects, the last one to {URL(url).origin()}.", status=status)


@functools.cache
def _client_timeout(connect: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=None if connect == _NEVER else connect)


def _payload(body: bytes | None) -> bytes | io.BytesIO | None:
    """A long body is written piece by piece; aiohttp warns of one given whole, since writing it may hold up the loop."""
    return body if body is None or len(body) < LONG_BODY_BYTES else io.BytesIO(body)


def _next_url(request: HttpRequest, url: str, target: str, status: int) -> str:
    try:
        here, there = URL(url), URL(url).join(URL(target))
        same = here.host == there.host and (here.origin() == there.origin() or (here.scheme, there.scheme) == ("http", "https"))
        elsewhere = request.any_host and there.scheme in {"https", here.scheme}
        origin = str(there.origin())
    except ValueError:
        same, elsewhere, origin = False, False, repr(target[:100])
    if not target:
        raise RedirectError("the service redirects without saying where to.", status=status, advice="")
    if not (same or elsewhere):
        raise RedirectError(f"the service redirects to {origin}, which is not followed.", status=status)
    if request.body is not None and status not in _PRESERVING:
        raise RedirectError(f"the service redirects a {request.method} to {there.path} in a way that would lose the request.", status=status)
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
            return _permanent(ProviderConnectionError(f"the certificate of {error.host} is not trusted: {error.certificate_error}.", advice=advice))
        case aiohttp.InvalidURL():
            return _permanent(ProviderConnectionError("the address cannot be used.", advice="Check base_url and proxy."))  # it may hold a password
        case ValueError():
            return _permanent(ProviderConnectionError(f"the request cannot be sent: {said}.", advice="Check base_url, headers and proxy."))
        case aiohttp.ClientHttpProxyError():
            refused = ProviderConnectionError(f"the proxy refused: HTTP {error.status} {error.message}.", advice=_PROXY_ADVICE)
            return _permanent(refused) if error.status < 500 else refused
        case aiohttp.ClientResponseError():
            return MalformedResponseError(f"the answer cannot be read: {redact(' '.join(error.message.split()))[:EXCERPT_CHARS]}.")
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


# --- sessions -------------------------------------------------------------------------------------


class _LoopSessions:
    """The sessions of one loop, by connector (None: our own)."""

    def __init__(self) -> None:
        self.by_connector: dict[aiohttp.BaseConnector | None, aiohttp.ClientSession] = {}
        self._holder: AsyncGenerator[None, None] | None = None

    async def hold(self) -> None:
        """Start the generator whose end is the loop's end."""
        self._holder = self._close_with_loop()
        await anext(self._holder)

    def open(self, connector: aiohttp.BaseConnector | None) -> aiohttp.ClientSession:
        """A new session. Those whose connector was closed meanwhile are let go of, since a caller may bring a connector for each call."""
        if connector is not None:
            _check_connector(connector)
        self.by_connector = {given: session for given, session in self.by_connector.items() if not session.closed}
        session = aiohttp.ClientSession(
            connector=connector if connector is not None else aiohttp.TCPConnector(limit=0),  # callers bound their own concurrency
            connector_owner=connector is None,
            cookie_jar=aiohttp.DummyCookieJar(),  # cookies belong to one provider, never to all
            headers={"User-Agent": USER_AGENT},
        )
        self.by_connector[connector] = session
        return session

    def abandon(self) -> None:
        """Let go of what a closed loop left: nothing can be awaited on it any more, and nothing shall be reported as forgotten."""
        for given, session in self.by_connector.items():
            connector = session.connector
            session.detach()
            if given is None and connector is not None:
                _close_sockets(connector)
                closing = connector.close()
                with suppress(StopIteration):
                    closing.__await__().__next__()  # on a closed loop it has nothing to wait for
        self.by_connector.clear()

    async def _close_with_loop(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            if _sessions.get(loop := asyncio.get_running_loop()) is self:
                del _sessions[loop]
            sessions = list(self.by_connector.values())
            self.by_connector.clear()
            for session in sessions:
                await session.close()


def _check_connector(connector: aiohttp.BaseConnector) -> None:
    if connector.closed:
        raise UsageError("the connector is closed: pass one that is open, or none.")
    loop = asyncio.get_running_loop()
    if getattr(connector, "_loop", loop) is not loop:  # it has no public name
        raise UsageError(
            "the connector belongs to another event loop: make it where the loop runs that uses it. Sync calls have a loop of their own and take none."
        )


def _close_sockets(connector: aiohttp.BaseConnector) -> None:
    """Close the idle connections of a closed loop; neither aiohttp nor asyncio has a public way to, so this looks inside and does without where it finds nothing."""
    for idle in getattr(connector, "_conns", {}).values():
        for protocol, _ in idle:
            transport = getattr(protocol, "transport", None)
            sock = getattr(transport, "_sock", None)
            if transport is not None and sock is not None:
                sock.close()
                transport._sock = None  # noqa: SLF001


_sessions: dict[asyncio.AbstractEventLoop, _LoopSessions] = {}
"""By loop, which is held: a session must be let go of before the garbage collector finds it on a dead loop and complains."""
_inherited: list[object] = []


async def _session(connector: aiohttp.BaseConnector | None) -> aiohttp.ClientSession:
    loop = asyncio.get_running_loop()
    held = _sessions.get(loop)
    if held is None:
        _sweep()
        held = _sessions[loop] = _LoopSessions()
        await held.hold()
    session = held.by_connector.get(connector)
    return held.open(connector) if session is None or session.closed else session


def _sweep() -> None:
    """Let go of the sessions of loops that were closed; the next loop does it for the last ones, and the interpreter's end."""
    for loop in [loop for loop in list(_sessions) if loop.is_closed()]:
        sessions = _sessions.pop(loop, None)
        if sessions is not None:
            sessions.abandon()


atexit.register(_sweep)


def _forget_after_fork() -> None:
    """Keep the parent's sessions from being closed or reported by the child: their sockets are the parent's."""
    for sessions in _sessions.values():
        _inherited.extend((sessions, sessions.by_connector))
        sessions.by_connector = {}
    _sessions.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


# --- deadlines ------------------------------------------------------------------------------------


class Watchdog:
    """The deadlines of one attempt, by one timer: progress only moves a number, since resetting a timer for each read costs more than the read.

    `on_expiry` is called once, when a limit passes; `expired` then names it. The stall limit counts only while somebody waits for the service:
    a consumer may think as long as it likes about what it has got.
    """

    __slots__ = ("_deadline", "_end", "_loop", "_on_expiry", "_phase", "_stall", "_timer", "expired", "waiting")

    def __init__(self, timeout: Timeout, on_expiry: Callable[[], Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_expiry = on_expiry
        now = self._loop.time()
        self._end = now + (timeout.total or _NEVER)
        self._deadline = now + (timeout.first_content or _NEVER)
        self._stall = timeout.stall or _NEVER
        self._phase = "first content"
        self.waiting = True
        self.expired: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._arm(min(self._deadline, self._end, now + self._stall))

    def progress(self) -> None:
        """A part came, or somebody waits for the next one: the stall limit starts anew."""
        self._deadline = self._loop.time() + self._stall
        self._phase = "stall"

    def drain(self, seconds: float) -> None:
        """The answer is complete; only so long may the end of the body take."""
        self._deadline = self._loop.time() + seconds
        self._phase = "drain"
        self.stop()
        self._arm(self._deadline)

    def stop(self) -> None:
        """The attempt is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, when: float) -> None:
        if when < _NEVER:
            self._timer = self._loop.call_at(when, self._check)

    def _check(self) -> None:
        now = self._loop.time()
        if not self.waiting:
            self._deadline = now + self._stall
        if now < min(self._deadline, self._end):
            self._arm(min(self._deadline, self._end))
            return
        self._timer = None
        self.expired = self._phase if self._deadline <= now else "total"
        self._on_expiry()
