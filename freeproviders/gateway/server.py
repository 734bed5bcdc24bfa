"""The gateway's server: which requests may ask, which endpoint, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from aiohttp import web

from freeproviders.abilities import Askable
from freeproviders.backend import Backend
from freeproviders.errors import FreeProvidersError, UsageError
from freeproviders.gateway.chat import ChatQuestion
from freeproviders.gateway.guard import Guard
from freeproviders.gateway.incoming import Incoming, Room
from freeproviders.gateway.limits import LOOPBACK_RATE, OUTER_RATE, Limits, Rate
from freeproviders.gateway.memory import CallMemory
from freeproviders.gateway.protocol import Connection, Server, TooMany
from freeproviders.gateway.refusals import Refusal, refusal_of
from freeproviders.gateway.served import Served
from freeproviders.gateway.streaming import EventStream
from freeproviders.gateway.vectors import vectors
from freeproviders.listening import BACKLOG, cut_off, stop_accepting
from freeproviders.tools import loading
from freeproviders.types import Usage
from freeproviders.wire.openai.asked import read_chat, read_object
from freeproviders.wire.openai.vectors import read_vectors

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader

    from freeproviders.embeddings.embedder import Embedder

ACCESS: Final = logging.getLogger("freeproviders.gateway.access")
"""One line for each request, at the level INFO."""
_LOG: Final = logging.getLogger("freeproviders.gateway")
_LOOK_SECONDS: Final = 1.0
"""How often the streams are looked at."""
_LAST_WORDS_SECONDS: Final = 1.0
_LINGER_SECONDS: Final = 2.0
"""How long the rest of a body is read that was refused, so that its sender reads the refusal."""
_ENDPOINTS: Final = "/v1/chat/completions, /v1/embeddings, /v1/models and /health"

Handler = Callable[[Incoming], Awaitable[web.StreamResponse]]


class GatewayServer:
    """The endpoint over one backend, on the running event loop.

    Args:
        backend: the backend that answers: a provider, a router, or any object with `name`, `model`
            and `batches`.
        embedder: makes vectors; with None there are none.
        host: the address to listen at.
        api_key: what clients must send; needed where others than this machine's programs can ask.
        hosts: further names by which clients may call the gateway.
        origins: pages of a browser that may ask, as "https://chat.example".
        limits: what it takes at most.

    Raises:
        UsageError: a key is missing or too short for the address, or the backend is none.
    """

    def __init__(
        self,
        backend: Backend | Askable,
        *,
        embedder: Embedder | None = None,
        host: str = "127.0.0.1",
        api_key: str | None = None,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        limits: Limits | None = None,
    ) -> None:
        self.host = host
        self.guard = Guard(host, api_key, hosts=hosts, origins=origins)
        self.limits = limits or Limits()
        self.served = Served(Backend.of(backend), embedder)
        usual = LOOPBACK_RATE if self.guard.is_local else OUTER_RATE
        self._rate = Rate(usual if self.limits.per_minute is None else self.limits.per_minute)
        self._memory = CallMemory()
        self._room = Room(self.limits)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._busy: set[asyncio.Transport] = set()
        self._streams: set[EventStream] = set()
        self._answering = 0
        self._stopping = False
        self._cutting = False
        self._listener: asyncio.Server | None = None
        self._server: Server | None = None
        self._looking: asyncio.Task[None] | None = None
        self._routes: dict[str, tuple[str, Handler]] = {
            "/chat/completions": ("POST", self._chat),
            "/embeddings": ("POST", self._vectors),
            "/models": ("GET", self._models),
            "/health": ("GET", self._health),
        }

    # --- its life ---

    async def start(self, port: int = 0) -> int:
        """Listen; return the port. Raises `OSError` where it is taken."""
        await loading.loaded()  # else the first question with tools would wait for it
        loop = asyncio.get_running_loop()

        def make_request(
            message: RawRequestMessage,
            payload: StreamReader,
            protocol: web.RequestHandler,
            writer: AbstractStreamWriter,
            task: asyncio.Task[None],
        ) -> web.BaseRequest:
            assert isinstance(protocol, Connection)  # noqa: S101 - which `Server` makes
            protocol.asked()
            # The size of a body is looked at while it is read.
            return web.BaseRequest(message, payload, protocol, writer, task, loop)

        self._server = server = Server(
            self._handle,
            request_factory=make_request,
            handler_cancellation=True,  # a client that leaves ends its question at once
            access_log=None,
            keepalive_timeout=self.limits.idle_seconds,
            lingering_time=_LINGER_SECONDS,
        )

        def accept() -> asyncio.BaseProtocol:
            return server() if server.open < self.limits.connections else TooMany()

        self._listener = await loop.create_server(accept, self.host, port, backlog=BACKLOG)
        self._looking = asyncio.create_task(self._look())
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self, grace: float | None = None) -> None:
        """Refuse what is new, let answers go on for a while, then cut them off.

        `grace` is how many seconds they have; None is the limits' own.
        """
        self._stopping = True
        if self._listener is None or self._server is None:
            return
        await stop_accepting(self._listener)
        for connection in self._server.connections:
            transport = connection.transport
            if transport is not None and transport not in self._busy:
                transport.close()
            else:
                connection.close()  # after its answer
        grace = self.limits.grace_seconds if grace is None else grace
        if self._tasks and grace:
            await asyncio.wait(self._tasks, timeout=grace)
        self._cutting = True
        await cut_off(self._server, self._tasks, _LAST_WORDS_SECONDS)
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking

    async def _look(self) -> None:
        """Look after the streams as long as the server runs."""
        pause = min(_LOOK_SECONDS, self.limits.silence_seconds, self.limits.unread_seconds)
        while True:
            await asyncio.sleep(pause)
            now = time.monotonic()
            for stream in tuple(self._streams):
                stream.look(now)

    # --- one request ---

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a handler runs in a task
        self._tasks.add(task)
        if (transport := request.transport) is not None:
            self._busy.add(transport)
        incoming = Incoming(request, self.limits, self._room)
        try:
            return await self._answered(incoming)
        finally:
            self._tasks.discard(task)
            if transport is not None:
                self._busy.discard(transport)
            incoming.close()
            if ACCESS.isEnabledFor(logging.INFO):
                ACCESS.info(incoming.line())

    async def _answered(self, incoming: Incoming) -> web.StreamResponse:
        try:
            return await self._routed(incoming)
        except asyncio.CancelledError:
            if not self._cutting:
                raise
            response = incoming.refused(_ending())
        except Exception as error:  # noqa: BLE001 - each becomes an answer
            response = incoming.refused(_refusal(error, incoming))
        if self._stopping:
            response.force_close()
        return response

    async def _routed(self, incoming: Incoming) -> web.StreamResponse:
        request = incoming.request
        if request.method == "OPTIONS":
            incoming.headers |= self.guard.preflight(request.headers)
            incoming.status = 204
            return web.Response(status=204, headers=incoming.headers)
        incoming.headers |= self.guard.check(request.headers)
        path = request.path.removeprefix("/v1")
        method, handler = self._routes.get(path) or self._of_a_model(request.raw_path) or _nothing(request)
        if request.method != method and not (request.method == "HEAD" and method == "GET"):
            raise Refusal(
                405,
                f"{request.method[:16]} is not allowed here, {method} is.",
                code="method_not_allowed",
                headers={"Allow": method},
            )
        if path != "/health":
            self.guard.check_key(request.headers.get("Authorization", ""))
        if self._stopping:
            raise _ending()
        if method == "GET":
            return await handler(incoming)
        self._admit()
        self._answering += 1
        try:
            return await handler(incoming)
        finally:
            self._answering -= 1

    def _admit(self) -> None:
        """Refuse a request above the number and the rate of those that are answered."""
        if self._answering >= self.limits.at_once:
            raise Refusal(
                503,
                f"This gateway answers {self.limits.at_once} requests at the same time, and no more.",
                code="overloaded",
                retry_after=1,
                again=True,
            )
        if wait := self._rate.take():
            raise Refusal(
                429,
                "This gateway gets too many requests: its limit a minute is used up.",
                code="rate_limit_exceeded",
                kind="rate_limit_error",
                retry_after=wait,
                again=True,
            )

    # --- the endpoints ---

    async def _chat(self, incoming: Incoming) -> web.StreamResponse:
        asked = read_chat(read_object(await incoming.body()))
        incoming.model = asked.model
        if asked.ignored:
            incoming.headers["X-Freeproviders-Ignored"] = _header(asked.ignored)
        model = await self.served.asked(asked.model)
        question = ChatQuestion(self.served, self._memory, incoming, asked)
        request = question.request(model)
        if not asked.stream:
            return incoming.answer(await question.document(request))
        stream = EventStream(incoming)
        self._streams.add(stream)
        try:
            await question.send(request, stream)
        except asyncio.CancelledError:
            if not self._cutting:
                raise
            await self._broken(stream, _ending(), incoming)
        except Exception as error:  # noqa: BLE001 - each becomes an event, or an answer
            await self._broken(stream, _refusal(error, incoming), incoming)
        finally:
            self._streams.discard(stream)
        return stream.response

    async def _broken(self, stream: EventStream, refusal: Refusal, incoming: Incoming) -> None:
        """End a stream with a refusal; raise it where nothing has been sent."""
        await stream.settled()
        if not stream.has_begun:
            raise refusal
        incoming.code = refusal.code
        await stream.fail(refusal.document)

    async def _vectors(self, incoming: Incoming) -> web.StreamResponse:
        asked = read_vectors(read_object(await incoming.body()))
        incoming.model = asked.model
        if asked.ignored:
            incoming.headers["X-Freeproviders-Ignored"] = _header(asked.ignored)
        embedder = self.served.vectors(asked.model)
        document, tokens = await vectors(embedder, asked)
        incoming.answered, incoming.usage = embedder.name, Usage(tokens, 0)
        return incoming.answer(document)

    async def _models(self, incoming: Incoming) -> web.StreamResponse:
        created = self.served.created
        data = [model.document(created) for model in await self.served.models()]
        return incoming.answer({"object": "list", "data": data})

    def _of_a_model(self, raw_path: str) -> tuple[str, Handler] | None:
        """Find the endpoint of one model, whose name may hold slashes, written as such or as %2F."""
        path = raw_path.partition("?")[0].removeprefix("/v1")
        name = unquote(path.removeprefix("/models/"))
        if not path.startswith("/models/") or not name:
            return None

        async def one(incoming: Incoming) -> web.StreamResponse:
            model = await self.served.model(name)
            return incoming.answer(model.document(self.served.created))

        return "GET", one

    async def _health(self, incoming: Incoming) -> web.StreamResponse:
        return incoming.answer({"status": "ok", "answering": self._answering})


def _nothing(request: web.BaseRequest) -> tuple[str, Handler]:
    raise Refusal(
        404, f"There is nothing at {request.path[:100]!r}: this gateway has {_ENDPOINTS}.", code="not_found"
    )


def _ending() -> Refusal:
    return Refusal(503, "This gateway is ending.", code="shutting_down", retry_after=1, again=True)


def _refusal(error: Exception, incoming: Incoming) -> Refusal:
    """Write what went wrong as a refusal; raise it where no client is there to read one."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, FreeProvidersError):
        return refusal_of(error)
    if incoming.is_alone:
        raise error
    _LOG.error("An error of the gateway's own, in request %s.", incoming.id, exc_info=error)
    return Refusal(
        500, "An error of the gateway's own: its log has more.", code="internal_error", again=False
    )


def _header(names: Iterable[str]) -> str:
    """Write names of fields as a header: those that are plain, and not too many."""
    plain = [name for name in names if name.isascii() and name.isidentifier() and len(name) <= 64]
    return ", ".join(plain[:20])


def default_backend(*, is_local: bool) -> Backend:
    """Make the router over all that is free here; elsewhere over what is on this machine alone.

    Raises `UsageError` where there is no service to ask.
    """
    from freeproviders.router.router import FreeProviders  # noqa: PLC0415 - only where none is given

    return FreeProviders() if is_local else FreeProviders(privacy="local")


def default_embedder() -> Embedder | None:
    """Make the offline embedder where its package is installed."""
    from freeproviders.embeddings import OfflineEmbedder  # noqa: PLC0415 - only where none is given

    try:
        return OfflineEmbedder()
    except UsageError:
        return None
