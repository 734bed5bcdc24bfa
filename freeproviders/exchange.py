"""One attempt at a request, sent and decoded under deadlines, and the loop that tries again.

An attempt that fails is made again as long as the caller has seen nothing of the answer: up to the
first content of a stream, up to the end where the whole answer was asked for.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, Self, TypeVar

from freeproviders import journal
from freeproviders.deadlines import Timeout, Watchdog
from freeproviders.errors import (
    ContentFilterError,
    EmptyResponseError,
    FreeProvidersError,
    ProviderError,
    ProviderTimeoutError,
    ResponseError,
    ResponseTooLargeError,
    ToolCallError,
    TruncatedResponseError,
)
from freeproviders.redaction import secrets_of_options
from freeproviders.retry import Patience, Retry
from freeproviders.stop import StopCutter
from freeproviders.transport import Fetch, Fetched, HttpRequest, Response, Route, fetch, send
from freeproviders.types import (
    Admitted,
    Batch,
    Finish,
    InvalidToolCall,
    Listener,
    OnEmpty,
    ToolCall,
    Usage,
)
from freeproviders.wire.failure import blocked, excerpt, looks_like_html
from freeproviders.wire.limits import Allowance
from freeproviders.wire.parts import PartDecoder
from freeproviders.wire.unreadable import unreadable, with_rest

if TYPE_CHECKING:
    from freeproviders.quota.meter import Meter, Ticket

MAX_ANSWER_BYTES: Final = 256 * 2**20
MAX_ERROR_BYTES: Final = 2**16
ERROR_BODY_SECONDS: Final = 2.0
HEAD_BYTES: Final = 2048
PAGE_BYTES: Final = 16
DRAIN_SECONDS: Final = 0.2
DRAIN_BYTES: Final = 2**16
NOTED_WAIT: Final = 0.05
"""Seconds of waiting for room among limits from which on the log says so."""
_OF_ANSWERS: Final = (EmptyResponseError, TruncatedResponseError)
"""Failures of an answer, where others are of what came in its place."""
_COOKIES: Final = frozenset({"set-cookie", "set-cookie2"})
_REST: Final = frozenset({ToolCall, InvalidToolCall, Usage, Finish})
"""What comes with the error of an answer whose calls cannot be made."""


class Question(Protocol):
    """The attributes of a request that an exchange reads; `ChatRequest` says what each means."""

    @property
    def model(self) -> str | None: ...

    @property
    def stream(self) -> bool: ...

    @property
    def stop(self) -> tuple[str, ...]: ...

    @property
    def max_tokens(self) -> int | None: ...

    @property
    def counts_as(self) -> int: ...

    @property
    def on_empty(self) -> OnEmpty | None: ...

    @property
    def wait_up_to(self) -> float | None: ...

    @property
    def patience(self) -> Patience | None: ...

    @property
    def keep(self) -> float: ...

    @property
    def listener(self) -> Listener | None: ...

    @property
    def include_response_headers(self) -> bool: ...

    @property
    def options(self) -> Mapping[str, Any]: ...

    def may_be_empty(self, reason: str, *, thought: bool, said: bool = False) -> bool: ...


Q = TypeVar("Q", bound=Question)
Q_contra = TypeVar("Q_contra", bound=Question, contravariant=True)


class Speaker(Protocol[Q_contra]):
    """A protocol and a configuration, as far as an exchange needs them.

    `OverHttp` and `AsyncGeneratorProvider` say what each member means.
    """

    @property
    def name(self) -> str: ...

    @property
    def secrets(self) -> list[str]: ...

    @property
    def key_source(self) -> object: ...

    async def keyed(self) -> Self: ...

    @property
    def api_key_env(self) -> str | None: ...

    @property
    def timeout(self) -> Timeout: ...

    @property
    def retry(self) -> Retry: ...

    @property
    def on_empty(self) -> OnEmpty: ...

    @property
    def keeps_limits(self) -> bool: ...

    async def metered(self) -> Meter | None: ...

    @property
    def route(self) -> Route: ...

    async def ready(self, request: Q_contra, fetch: Fetch) -> None: ...

    def encode(self, request: Q_contra) -> HttpRequest: ...

    def decoder(self, request: Q_contra) -> PartDecoder: ...

    def estimated_usage(self, request: Q_contra, output_chars: int) -> Usage: ...

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError: ...

    def allowances(self, headers: Mapping[str, str]) -> tuple[Allowance, ...]: ...

    def ended(self, finish: Finish, usage: Usage) -> None: ...

    def recover(self, error: ProviderError) -> bool: ...

    def given_up(self, error: ProviderError) -> None: ...


async def exchanged(speaker: Speaker[Q], request: Q) -> AsyncGenerator[Batch, None]:
    """Stream the parts of an answer, a list for each network read.

    They come in one list where nothing is shown before the end.
    """
    exchange, batch = await begun(speaker, request)
    try:
        while batch:
            yield batch
            if not request.stream:
                return  # it was all
            batch = await exchange.read()
    finally:
        exchange.close()


async def begun(speaker: Speaker[Q], request: Q) -> tuple[Exchange[Q], Batch]:
    """Send the request, again where that may help, until there is something to show.

    Nothing has been shown before that, so nothing is shown twice. The exchange is to be closed.
    """
    if speaker.key_source is not None:
        try:
            speaker = await speaker.keyed()
        except FreeProvidersError as error:
            raise error.about(speaker.name, request.model or "") from error.__cause__
    attempt, recovered, spent = 0, False, None
    patience: Patience | None = None
    while True:
        attempt += 1
        ticket = await _admitted(speaker, request) if speaker.keeps_limits else None
        if request.listener is not None and ticket is None:
            request.listener(Admitted(speaker.name, request.model or ""))
        exchange = Exchange(speaker, request, attempt, spent, ticket)
        try:
            return exchange, await (exchange.first() if request.stream else exchange.whole())
        except ProviderError as error:
            if ticket is not None:
                ticket.refused(error)
            exchange.close()
            spent = exchange.spent
            if not recovered and speaker.recover(error):
                recovered = True  # what was put right spends no retry
                continue
            patience = patience or Patience.of(request, speaker.retry)
            delay = patience.delay(error)
            if delay is None:
                speaker.given_up(error)
                raise
            if journal.http.isEnabledFor(journal.INFO):
                who = _who(speaker, request)
                journal.http.info(
                    "%s: attempt %d failed, again in %.2f s: %s", who, attempt, delay, journal.reason(error)
                )
        except BaseException as error:
            exchange.close()
            if isinstance(error, FreeProvidersError):
                error.about(speaker.name, request.model or "")
            raise
        await asyncio.sleep(delay)


def _who(speaker: Speaker[Q], request: Q) -> str:
    """Name the provider and model in the log."""
    return journal.shown(f"{speaker.name} {request.model or ''}".rstrip())


async def _admitted(speaker: Speaker[Q], request: Q) -> Ticket | None:
    """Reserve room for one HTTP request among the limits of the service.

    It is waited for as long as for a service that says itself when to come back.
    """
    wait = request.wait_up_to
    if wait is None:
        wait = speaker.retry.retry_after_cap if speaker.retry.attempts > 1 else 0.0
    listened = journal.quota.isEnabledFor(journal.INFO)
    began = monotonic()
    try:
        meter = await speaker.metered()
        ticket = None if meter is None else await meter.admit(request, wait, speaker.timeout.total)
    except FreeProvidersError as error:
        if listened:
            who = _who(speaker, request)
            journal.quota.info("%s: not sent: %s", who, journal.reason(error))
        raise error.about(speaker.name, request.model or "") from error.__cause__
    if ticket is None:
        return None
    waited = monotonic() - began
    if listened and waited >= NOTED_WAIT:
        who = _who(speaker, request)
        journal.quota.info("%s: sent after %.2f s of waiting for room among its limits", who, waited)
    if request.listener is not None:
        request.listener(Admitted(speaker.name, request.model or "", waited))
    return ticket


class Exchange(Generic[Q]):
    """One attempt. `close` must be called, and may be called at any time.

    `spent` is what earlier attempts of the same call have cost, `ticket` the room that was reserved
    for this one where limits are kept. `decoder` is that of the answer.
    """

    def __init__(
        self,
        provider: Speaker[Q],
        request: Q,
        attempt: int,
        spent: Usage | None = None,
        ticket: Ticket | None = None,
    ) -> None:
        self._provider = provider
        self._request = request
        self._attempt = attempt
        self._spent = spent
        self._ticket = ticket
        self.decoder = provider.decoder(request)
        self._cutter = StopCutter(request.stop) if request.stop else None
        self._response: Response | None = None
        self._watchdog = Watchdog(provider.timeout, self._expire)
        self._head = b""
        self._size = 0
        self._progress = 0
        self._ended = False
        self._opening: asyncio.Task[Any] | None = None
        self._trace = journal.traced()

    async def first(self) -> Batch:
        """Send the request and read up to the first content.

        Raises errors of the tree; nothing has been emitted then.
        """
        try:
            await self._open()
            batch: Batch = []
            while not batch and not self._ended:
                batch = await self._advance()
        except FreeProvidersError as error:
            raise self._explained(error) from error.__cause__
        self._watchdog.waiting = False
        if self._trace is not None:
            self._trace.content()
            if self._ended:
                self._note_end()
        if self._ended and self._ticket is not None:
            await self._settle(self._ticket, batch)
        return batch

    async def read(self) -> Batch:
        """Return the next parts, at least one; an empty batch is the end."""
        watchdog = self._watchdog
        watchdog.progress()
        watchdog.waiting = True
        try:
            while not self._ended:
                if batch := await self._advance():
                    watchdog.waiting = False
                    if self._ended:
                        if self._trace is not None:
                            self._note_end()
                        if self._ticket is not None:
                            await self._settle(self._ticket, batch)
                    return batch
            await self._drain()
        except FreeProvidersError as error:
            raise self._explained(error) from error.__cause__
        return []

    async def whole(self) -> Batch:
        """Send the request and read to its end. Raises as `first` does."""
        batch: Batch = []
        try:
            batch += await self.first()
            while more := await self.read():
                batch += more
        except ToolCallError as error:
            with_rest(error, [*batch, *error.rest])
            raise
        return batch

    @property
    def spent(self) -> Usage | None:
        """The tokens of this attempt and of earlier ones, None where no answer had begun."""
        return self._usage_so_far() if self._begun else self._spent

    @property
    def _begun(self) -> bool:
        """Whether the service has begun to answer, though nothing of it may be readable.

        Half a JSON document says nothing, and its question was read all the same. What was
        complete and no answer, such as an error in a 200, took no tokens.
        """
        decoder = self.decoder
        if decoder.answered or decoder.output_chars or decoder.usage is not None:
            return True
        failure = decoder.failure
        return self._size > 0 and (failure is None or isinstance(failure, _OF_ANSWERS))

    def _usage_so_far(self) -> Usage:
        """The tokens of this attempt and of earlier ones."""
        own = self._own_usage()
        return own if self._spent is None else self._spent + own

    def _own_usage(self) -> Usage:
        """The tokens that the service counted in this attempt, else an estimate."""
        if self.decoder.usage is not None:
            return self.decoder.usage
        return self._provider.estimated_usage(self._request, self.decoder.output_chars)

    @property
    def unanswered(self) -> int:
        """Requests beside the counted one that went to dead connections: `Response.unanswered`."""
        return self._response.unanswered if self._response is not None else 0

    def close(self) -> None:
        """End the request at once, if it has not ended."""
        self._watchdog.stop()
        if self._response is not None and not self._response.at_end:
            self._response.close()
        if self._trace is not None and not self._ended:
            self._trace.closed(self._size)
        if self._ticket is not None:
            self._ticket.end(self._own_usage() if self._begun else None)

    async def _open(self) -> None:
        provider, timeout = self._provider, self._provider.timeout
        self._opening = task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker
        others = task.cancelling()
        try:
            await provider.ready(self._request, self._fetch)
            while self._ticket is not None and self._ticket.is_late:
                await self._ticket.renew()
            ticket = self._ticket
            encode = functools.partial(provider.encode, self._request)
            http_request = encode()
            if self._trace is not None:
                self._note_start(self._trace, http_request)
            self._response = response = await send(
                http_request,
                provider.route,
                timeout.connect,
                writing=None if ticket is None else ticket.writing,
                again=None if ticket is None else ticket.again,
                anew=encode,
            )
        except asyncio.CancelledError as error:
            if not self._watchdog.expired or task.uncancel() > others:
                raise  # the caller has cancelled, too
            raise self._timed_out() from error
        except ProviderTimeoutError:  # the transport's own limit, on the connection
            raise
        except TimeoutError as error:  # raised inside `ready`, not by the watchdog
            raise self._timed_out() from error
        finally:
            self._opening = None
        if self._ticket is not None or self._trace is not None:
            allowances = provider.allowances(response.headers)
            if self._trace is not None:
                self._trace.answered(response.status, response.headers, len(allowances))
            if self._ticket is not None:
                self._ticket.received(allowances)
        if not 200 <= response.status < 300:
            raise provider.failure(response.status, response.headers, await self._read_error_body(response))

    def _note_start(self, trace: journal.Trace, http_request: HttpRequest) -> None:
        """Note in the log that the request goes out."""
        provider, request = self._provider, self._request
        trace.sent(
            http_request.method,
            http_request.url,
            provider.name,
            model=request.model or "",
            attempt=self._attempt,
            secrets=[*provider.secrets, *secrets_of_options(request.options)],
            headers=http_request.headers,
            size=len(http_request.body or b""),
        )

    def _note_end(self) -> None:
        """Note in the log that the answer is whole."""
        assert self._trace is not None  # noqa: S101 - the callers have looked
        usage = self.decoder.usage
        tokens = None if usage is None else (usage.input_tokens, usage.output_tokens)
        self._trace.ended(self._size, self.decoder.reason or "unknown", tokens)

    async def _fetch(self, request: HttpRequest, limit: int) -> Fetched:
        """Send a request that prepares this one, under the same deadlines."""
        return await fetch(request, self._provider.route, self._provider.timeout.connect, limit)

    async def _read_error_body(self, response: Response) -> bytes:
        """Read the body as far as it comes soon: the status says more than a slow body."""
        self._watchdog.drain(ERROR_BODY_SECONDS)
        body = bytearray()
        try:
            while len(body) < MAX_ERROR_BYTES and (data := await response.read()):
                body += data
        except ProviderError:
            pass
        return bytes(body[:MAX_ERROR_BYTES])

    async def _advance(self) -> Batch:
        """One network read, decoded; may be empty."""
        response, decoder = self._response, self.decoder
        assert response is not None  # noqa: S101 - `first` opens
        if decoder.failure is not None:
            if self._cutter is not None and (held := self._cutter.flush()):
                return held
            if isinstance(decoder.failure, ToolCallError) and self._ticket is not None:
                rest = list(decoder.failure.rest)
                await self._settle(self._ticket, rest)
                with_rest(decoder.failure, rest)
            raise decoder.failure
        try:
            data = await response.read() if self._size else await self._read_head(response)
        except ProviderError as error:
            if self._watchdog.expired:
                raise self._timed_out() from error
            raise
        if not data:
            batch = decoder.close()
            if decoder.failure is None:
                return self._end(batch)
            return batch if self._cutter is None else self._cut(self._cutter, batch)
        if not decoder.answered and len(self._head) < HEAD_BYTES:
            self._head += data[:HEAD_BYTES]
        self._size += len(data)
        if self._size > MAX_ANSWER_BYTES:
            raise ResponseTooLargeError(f"The answer is longer than {MAX_ANSWER_BYTES} bytes.")
        batch = decoder.feed(data)
        if decoder.progress != self._progress:
            self._progress = decoder.progress
            self._watchdog.progress()
        if decoder.done and decoder.failure is None:
            return self._end(batch)
        if self._cutter is not None and batch:
            return self._cut(self._cutter, batch)
        return batch

    def _cut(self, cutter: StopCutter, batch: Batch) -> Batch:
        """Cut a batch at a stop sequence, which ends the answer whatever comes behind it."""
        batch = cutter.cut(batch)
        if not cutter.hit:
            return batch
        self._ended = True
        self.close()
        self.decoder.reason, self.decoder.raw_reason = "stop", None
        return self._end(batch)

    def _end(self, batch: Batch) -> Batch:
        """Add usage and finish, which come once, at the end."""
        decoder, request, provider, response = self.decoder, self._request, self._provider, self._response
        assert response is not None  # noqa: S101 - there is something that has ended
        self._ended = True
        reason = decoder.reason or ("stop" if decoder.done else "unknown")
        confirmed = decoder.confirmed
        if self._cutter is not None and not self._cutter.hit:
            batch = self._cutter.cut(batch) + self._cutter.flush()
        if self._cutter is not None and self._cutter.hit:
            reason, confirmed = "stop", True
        elif decoder.ends_with_body and not response.framed:
            reason, confirmed = "unknown", False
        if not decoder.answered and not self._may_be_empty(reason):
            self._ended = False
            filtered = reason == "content_filter"
            decoder.failure = (
                ContentFilterError("The service's content filter stopped the answer before it began.")
                if filtered
                else EmptyResponseError("The answer is empty: it holds no text and no tool call.")
            )
            return batch
        usage = self._usage_so_far()
        finish = Finish(
            reason=reason,
            provider=provider.name,
            model=decoder.model or request.model or "",
            raw_reason=decoder.raw_reason,
            confirmed=confirmed,
            attempts=self._attempt,
            response_id=decoder.response_id,
            request_id=response.headers.get("x-request-id"),
            system_fingerprint=decoder.system_fingerprint,
            service_tier=decoder.service_tier,
            headers=_shown(response.headers) if request.include_response_headers else None,
            allowances=provider.allowances(response.headers),
        )
        provider.ended(finish, usage)
        batch += usage, finish
        error = unreadable(batch, shown=decoder.shows_calls) if decoder.reason == "tool_calls" else None
        if error is None:
            return batch
        self._ended = False
        decoder.failure = with_rest(error, [part for part in batch if part.__class__ in _REST])
        return [part for part in batch if part.__class__ not in _REST]

    async def _settle(self, ticket: Ticket, batch: Batch) -> None:
        """Settle the room that was reserved, and say in `Finish` what is left."""
        if isinstance(finish := batch[-1], Finish):
            batch[-1] = replace(finish, quota=await ticket.left_after(self._own_usage()))

    def _may_be_empty(self, reason: str) -> bool:
        """Return whether an answer without text and calls is legitimate."""
        request, decoder = self._request, self.decoder
        if request.on_empty is None and reason == "stop" and self._provider.on_empty == "allow":
            return decoder.raw_reason is not None
        return request.may_be_empty(
            reason, thought=decoder.output_chars > 0, said=decoder.raw_reason is not None
        )

    async def _drain(self) -> None:
        """Read to the end of the body, so that the connection can be used again."""
        response = self._response
        if response is None or response.at_end or not self.decoder.done:
            return
        self._watchdog.drain(DRAIN_SECONDS)
        size = 0
        try:
            while size < DRAIN_BYTES and (data := await response.read()):
                size += len(data)
        except ProviderError:
            pass  # the answer is complete; how the connection ends does not matter
        self.close()

    def _expire(self) -> None:
        """Note that a limit passed, and wake the reader."""
        if self._opening is not None:
            self._opening.cancel()
        if self._response is not None:
            self._response.close()

    def _timed_out(self) -> ProviderTimeoutError:
        """The error for the limit that passed."""
        phase = self._watchdog.expired
        if phase is None:
            return ProviderTimeoutError("There was no answer in time.")
        timeout = self._provider.timeout
        seconds = {"first content": timeout.first_content, "stall": timeout.stall}.get(phase, timeout.total)
        what = {"first content": "No content came", "stall": "The stream stalled"}.get(
            phase, "The answer was not complete"
        )
        return ProviderTimeoutError(f"{what} within {seconds:g} s.", phase=phase)

    async def _read_head(self, response: Response) -> bytes:
        """Read first; where HTML is announced, enough to know whether it is a page.

        Some services call any text HTML.
        """
        data = await response.read()
        if "html" not in response.headers.get("Content-Type", ""):
            return data
        while len(data) < HEAD_BYTES and len(data.lstrip()) < PAGE_BYTES and (more := await response.read()):
            data += more
        if looks_like_html(data):
            raise blocked(data, status=response.status)
        return data

    def _explained(self, error: FreeProvidersError) -> FreeProvidersError:
        """Add provider, model and the beginning of the answer to an error, and note it in the log."""
        if isinstance(error, ProviderError):
            if (
                isinstance(error, ResponseError)
                and not isinstance(error, TruncatedResponseError)  # a cut is a cut, whatever came before it
                and not self.decoder.answered
                and looks_like_html(self._head)
            ):
                error = blocked(self._head)
            if not error.body and self._head and not self.decoder.answered:
                error.body = excerpt(self._head)
            error.attempts = self._attempt
            if not error.allowances and self._response is not None:
                error.allowances = self._provider.allowances(self._response.headers)
            error.env = error.env or self._provider.api_key_env
        if self._trace is not None:
            self._trace.failed(error, self._size)
        error.without([*self._provider.secrets, *secrets_of_options(self._request.options)])
        return error.about(self._provider.name, self._request.model or "")


def _shown(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of an answer as `Finish` has them."""
    return {name.lower(): value for name, value in headers.items() if name.lower() not in _COOKIES}
