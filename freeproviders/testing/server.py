"""The replica's server: one request in, one answer out, changed by the faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from freeproviders.listening import BACKLOG, cut_off, stop_accepting
from freeproviders.testing.answers import AnswerError, Piece, Script
from freeproviders.testing.body import BodyEnded, BodyWriter
from freeproviders.testing.faults import NO_FAULT, Fault, FaultPlan
from freeproviders.testing.ledger import Ledger
from freeproviders.testing.record import RecordedRequest
from freeproviders.testing.services.base import (
    DAY_IS_OVER,
    Embedding,
    Refusal,
    Reply,
    Service,
    Turn,
    challenge_reply,
    html_page,
    status_phrase,
)
from freeproviders.types import Finish, Usage

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader
    from aiohttp.web_protocol import RequestHandler

MAX_REQUEST_BYTES: Final = 256 * 2**20
KEEPALIVE_SECONDS: Final = 0.02
LAST_WORDS_SECONDS: Final = 0.5


class AnswerFailed(Exception):  # noqa: N818 - carries the error
    """The script has raised an exception, which is the `__cause__`."""


class ReplicaServer:
    """A server of one service on the running loop."""

    def __init__(self, service: Service, ledger: Ledger) -> None:
        self.service = service
        self.ledger = ledger
        self.script = Script(None)
        self.plan = FaultPlan(None, service)
        self.stopping = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._numbers: dict[int, int] = {}
        self._listener: asyncio.Server | None = None
        self._server: web.Server | None = None

    async def start(self, port: int) -> int:
        """Listen on 127.0.0.1; return the port."""
        loop = asyncio.get_running_loop()

        def make_request(
            message: RawRequestMessage,
            payload: StreamReader,
            protocol: RequestHandler,
            writer: AbstractStreamWriter,
            task: asyncio.Task[None],
        ) -> web.BaseRequest:
            return web.BaseRequest(
                message, payload, protocol, writer, task, loop, client_max_size=MAX_REQUEST_BYTES
            )

        # A client that leaves has to be noticed at once and not at the next write, since a stalled
        # answer never writes again.
        self._server = server = web.Server(
            self._handle, request_factory=make_request, handler_cancellation=True, access_log=None
        )

        def accept() -> asyncio.Protocol:
            protocol = server()
            self._numbers[id(protocol)] = self.ledger.connection()
            return protocol

        self._listener = await loop.create_server(accept, "127.0.0.1", port, backlog=BACKLOG)
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Break off every answer and close every connection."""
        self.stopping = True
        if self._listener is None or self._server is None:
            return
        await stop_accepting(self._listener)
        self._server.pre_shutdown()  # wakes the idle connections
        await cut_off(self._server, self._tasks, LAST_WORDS_SECONDS)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a handler runs in a task
        self._tasks.add(task)
        answer: OneAnswer | None = None
        recorded: RecordedRequest | None = None
        began = monotonic()
        try:
            recorded = await RecordedRequest.read(request, self._numbers.get(id(request.protocol), 0))
            answer = OneAnswer(self, request, recorded)
            return await answer.run()
        except (asyncio.CancelledError, ConnectionError) as gone:
            if recorded is not None and answer is not None and not answer.complete and not self.stopping:
                recorded.left = True
                self.ledger.disconnect()
            if isinstance(gone, asyncio.CancelledError):
                raise
            return web.Response()  # the client has left
        finally:
            self._tasks.discard(task)
            if recorded is not None:
                recorded.seconds = monotonic() - began
                self.ledger.ended(recorded)


class OneAnswer:
    """The answering of one request."""

    def __init__(self, server: ReplicaServer, request: web.BaseRequest, recorded: RecordedRequest) -> None:
        self._server = server
        self._service = server.service
        self._request = request
        self._recorded = recorded
        self._fault = Fault()
        self.complete = False
        """Whether everything has been sent, so that a client may leave."""

    async def run(self) -> web.StreamResponse:
        """Judge the request and answer it."""
        place, refusal = "", None
        turn: Turn | None = None
        asked: Embedding | None = None
        try:
            place = self._service.place(self._recorded)
            if place == "answer":
                turn = self._service.turn(self._recorded)
                self._recorded.messages = turn.messages
            elif place == "embeddings":
                asked = self._service.embedding(self._recorded)
        except Refusal as wrong:
            refusal = wrong
            self._recorded.refusal = wrong.message
        # Only now, so that a test that waits for the request finds it judged.
        self._server.ledger.request(self._recorded)
        if refusal is not None:
            return await self._refuse(refusal)
        accepted = turn or asked
        if accepted is None:
            return await self._answer(place, None)
        try:
            return await self._answer(place, accepted)
        finally:
            accepted.close()

    async def _answer(self, place: str, turn: Turn | Embedding | None) -> web.StreamResponse:
        """Answer a request that was accepted, as far as its fault lets that happen."""
        self._fault = self._server.plan.next(place)
        self._recorded.fault = self._fault.words
        await asyncio.sleep(self._fault.delay_headers)
        if self._fault.drop:
            self.complete = True
            if self._request.transport is not None:
                self._request.transport.abort()
            return web.Response()  # the client has left
        reply = self._misbehaviour(turn)
        if reply is None and isinstance(turn, Turn):
            return await self._talk(turn)
        if reply is None and isinstance(turn, Embedding):
            reply = await self._embed(turn)
        if turn is not None:
            turn.close()  # what it occupied is free before the client knows of the refusal
        if reply is None:
            try:
                reply = self._service.page(place, self._recorded, self._fault)
            except Refusal as wrong:
                self._recorded.refusal = wrong.message
                return await self._refuse(wrong)
        return await self._send(reply)

    async def _refuse(self, refusal: Refusal) -> web.StreamResponse:
        reply = refusal.reply or self._service.complaint(
            refusal.status, refusal.message, Fault(), refusal.code
        )
        return await self._send(
            Reply(reply.status, reply.body, reply.content_type, {**reply.headers, **refusal.headers})
        )

    def _misbehaviour(self, turn: Turn | Embedding | None) -> Reply | None:
        """Return the fault's own answer, None where it has none."""
        fault = self._fault
        if fault.redirect is not None:
            return Reply(307, b"", "text/plain", {"Location": fault.redirect})
        if fault.challenge:
            return challenge_reply()
        if fault.html:
            return Reply(200, html_page("Maintenance", "We will be back soon"), "text/html; charset=utf-8")
        if fault.kind is not None or fault.sign is not None:
            return self._service.said_no(self._recorded, fault)
        if fault.quota:
            return self._complaint(429, DAY_IS_OVER, turn) or self._service.quota(fault)
        if fault.nonce_expired is not None:
            return self._service.expired(self._recorded, fault)
        if fault.status is None:
            return None
        message = fault.error or status_phrase(fault.status)
        own = self._complaint(fault.status, message, turn)
        reply = own or self._service.complaint(fault.status, message, fault)
        if fault.body is None:
            return reply
        if isinstance(fault.body, str | bytes):
            return Reply(
                fault.status,
                fault.body.encode() if isinstance(fault.body, str) else fault.body,
                "text/plain; charset=utf-8",
            )
        return Reply(fault.status, web.json_response(fault.body).body or b"")  # type: ignore[arg-type]

    async def _send(self, reply: Reply) -> web.StreamResponse:
        """Send a whole answer."""
        response, body = await self._open(reply.status, reply.content_type, dict(reply.headers))
        try:
            await body.start()
            await asyncio.sleep(self._fault.delay_first)
            if self._fault.stall is not None:
                await body.write(reply.body if self._fault.stall else b"")
                await _for_ever()
            await body.write(reply.body)
            await self._close(body)
        except BodyEnded:
            self.complete = True
        return response

    async def _embed(self, asked: Embedding) -> Reply:
        """Write the answer to a request for vectors."""
        fault = self._fault
        if fault.error is not None:
            own = self._complaint(500, fault.error, asked)
            return replace(own or self._service.complaint(500, fault.error, fault), status=200)
        try:
            return asked.write(await self._service.vectors(asked, self._recorded), fault)
        except Exception as error:  # noqa: BLE001 - functions are the test's code
            self._server.ledger.failures.append(error)
            return self._service.complaint(500, f"The vectors could not be made: {error!r}", fault)

    def _complaint(self, status: int, message: str, turn: Turn | Embedding | None) -> Reply | None:
        """Write an error as its route does; None where the service's other routes do so too."""
        plain = self._fault.error_shape == NO_FAULT.error_shape
        return turn.complaint(status, message) if isinstance(turn, Embedding) and plain else None

    async def _talk(self, turn: Turn) -> web.StreamResponse:
        """Stream the script's answer."""
        renderer = turn.render(self._fault)
        async with AsyncExitStack() as stack:
            try:
                pieces = await self._server.script.open(self._recorded, turn.settings, stack)
            except AnswerError as error:
                return await self._send(self._service.complaint(error.status, str(error), self._fault))
            except Exception as error:  # noqa: BLE001 - scripts are the test's code
                self._server.ledger.failures.append(error)
                return await self._send(
                    self._service.complaint(500, f"The answer's script failed: {error!r}", self._fault)
                )
            response, body = await self._open(
                200, renderer.content_type, {"Cache-Control": "no-cache", **turn.headers}
            )
            try:
                await body.start()
                await self._stream(renderer, body, pieces)
                await self._close(body)
            except BodyEnded:
                self.complete = True
            except AnswerFailed as failed:
                # The headers are out: all that is left to do is to break off.
                self._server.ledger.failures.append(failed.__cause__ or failed)
                self.complete = True
                if self._request.transport is not None:
                    self._request.transport.abort()
        return response

    async def _stream(self, renderer: Any, body: BodyWriter, pieces: AsyncGenerator[Piece, None]) -> None:
        fault, sent = self._fault, 0
        if fault.error is not None and fault.error_at == 0:
            for frame in renderer.error(fault.error, first=True):
                await body.write(frame)
            return
        for frame in renderer.start():
            await body.write(frame)
        for _ in range(fault.keepalive):
            await body.write(renderer.keepalive())
            await asyncio.sleep(KEEPALIVE_SECONDS)
        await asyncio.sleep(fault.delay_first)
        try:
            while not fault.empty:
                piece = await _next(pieces)
                if piece is None:
                    break
                counts = not isinstance(piece, Usage | Finish)
                if counts and (sent == fault.stall or (sent == fault.error_at and fault.error is not None)):
                    break
                if counts and sent:
                    await asyncio.sleep(fault.pace)
                sent += counts
                try:
                    frames = list(renderer.piece(piece))
                except Exception as error:
                    raise AnswerFailed from error
                for frame in frames:
                    await body.write(frame)
        except AnswerError as error:
            for frame in renderer.error(str(error), first=False):
                await body.write(frame)
            return
        if fault.stall is not None:
            await _for_ever()
        for frame in renderer.error(fault.error, first=False) if fault.error is not None else renderer.end():
            await body.write(frame)

    async def _open(
        self, status: int, content_type: str, headers: dict[str, str]
    ) -> tuple[web.StreamResponse, BodyWriter]:
        """Send the headers."""
        fault = self._fault
        headers["Content-Type"] = fault.content_type or content_type
        if fault.retry_after is not None:
            headers["Retry-After"] = str(fault.retry_after)
        if fault.retry_after_ms is not None:
            headers["Retry-After-Ms"] = str(fault.retry_after_ms)
        if fault.encoding is not None:
            headers["Content-Encoding"] = fault.encoding
        headers.update(fault.headers or {})
        self._recorded.status = status
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(self._request)
        return response, BodyWriter(response, self._request.transport, fault)

    async def _close(self, body: BodyWriter) -> None:
        """End the body, after the fault's delay."""
        self.complete = True
        await asyncio.sleep(self._fault.hang_after_done)
        await body.finish()


async def _next(pieces: AsyncGenerator[Piece, None]) -> Piece | None:
    """Get the script's next piece, None after the last. Raises `AnswerFailed` if it raises."""
    await asyncio.sleep(0)  # a script that never waits must not keep a client's leaving from being noticed
    try:
        return await anext(pieces, None)
    except AnswerError:
        raise
    except Exception as error:
        raise AnswerFailed from error


async def _for_ever() -> None:
    """Wait until the client leaves or the replica stops: both cancel."""
    await asyncio.get_running_loop().create_future()
