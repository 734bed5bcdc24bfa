"""Replicas that start and stop, each on a thread and an event loop of its own."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, Self

from freeproviders.catalogue import Service as Row
from freeproviders.listening import ServerInWith
from freeproviders.testing.answers import Answer, Script
from freeproviders.testing.faults import FAULT_NAMES, FaultPlan, Faults
from freeproviders.testing.ledger import Ledger
from freeproviders.testing.limits import Counts
from freeproviders.testing.record import RecordedRequest
from freeproviders.testing.server import ReplicaServer
from freeproviders.testing.services import catalogued_class, service_class
from freeproviders.testing.services.base import Service

START_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.5
Watch = Callable[[RecordedRequest], object]


class Replica(ServerInWith):
    """A local server that speaks one service's protocol, made by `replica`.

    It is a context manager, sync and async.
    """

    def __init__(
        self,
        provider: object = None,
        answer: Answer = None,
        *,
        service: str | Path | Row | None = None,
        faults: Faults = None,
        port: int = 0,
        watch: Watch | None = None,
        log: Watch | None = None,
        **options: Any,
    ) -> None:
        self._service = _service(provider, service, options)
        self._ledger = Ledger(watch, log)
        self._server = ReplicaServer(self._service, self._ledger)
        self._wanted_port = port
        self._port: int | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self.answer = answer
        self.faults = faults

    def __repr__(self) -> str:
        where = self.base_url if self._port else "not started"
        return f"<Replica of {self._service.name}, {where}, {len(self.requests)} request(s)>"

    # --- what it answers --------------------------------------------------------------------------

    @property
    def answer(self) -> Answer:
        """The answer, see `freeproviders.testing.answers`; may be set while the replica runs."""
        return self._answer

    @answer.setter
    def answer(self, answer: Answer) -> None:
        self._server.script = Script(answer)
        self._answer = answer

    @property
    def faults(self) -> Faults:
        """The faults of `freeproviders.testing.faults`; may be set while the replica runs.

        A list that is set applies from its first mapping again.
        """
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._server.plan = FaultPlan(faults, self._service)
        self._faults = faults

    # --- what it has seen -------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """The replica's address, for the provider's `base_url`."""
        if self._port is None:
            raise RuntimeError("The replica is not running: use it in a with statement.")
        return f"http://127.0.0.1:{self._port}{self._service.base_path}"

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every request so far, refused ones too, in the order in which they came."""
        return self._ledger.requests

    @property
    def connections(self) -> int:
        """The number of TCP connections accepted so far."""
        return self._ledger.connections

    @property
    def disconnects(self) -> int:
        """The number of clients that left before their answer was complete."""
        return self._ledger.disconnects

    @property
    def counts(self) -> Counts:
        """What the limits of a service of the catalogue have admitted and refused so far."""
        return self._service.counts()

    def wait_disconnect(self, count: int = 1, *, timeout: float = 5.0) -> int:
        """Wait until `count` clients have left early; return how many have.

        Raises `TimeoutError` when they have not within `timeout` seconds. In async code use
        `await_disconnect`: a client on a blocked loop cannot leave.
        """
        self._ledger.wait(lambda: self.disconnects >= count, timeout, f"No {count} client(s) left early")
        return self.disconnects

    async def await_disconnect(self, count: int = 1, *, timeout: float = 5.0) -> int:  # noqa: ASYNC109 - a twin
        """`wait_disconnect` for async code."""
        return await asyncio.to_thread(self.wait_disconnect, count, timeout=timeout)

    def wait_requests(self, count: int = 1, *, timeout: float = 5.0) -> RecordedRequest:
        """Wait until `count` requests have come; return the last of them. Raises `TimeoutError`."""
        self._ledger.wait(lambda: len(self.requests) >= count, timeout, f"No {count} request(s) came")
        return self.requests[count - 1]

    async def await_requests(self, count: int = 1, *, timeout: float = 5.0) -> RecordedRequest:  # noqa: ASYNC109 - a twin
        """`wait_requests` for async code."""
        return await asyncio.to_thread(self.wait_requests, count, timeout=timeout)

    # --- starting and stopping --------------------------------------------------------------------

    def start(self) -> Self:
        """Start serving. Raises `OSError` when the port is taken."""
        if self._thread is not None:
            raise RuntimeError("The replica was started before: make another.")
        ready: Future[int] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name=f"replica-{self._service.slug}", daemon=True
        )
        self._thread.start()
        self._port = ready.result(START_SECONDS)
        return self

    def stop(self) -> None:
        """Stop serving and break off unfinished answers; a stopped replica stays stopped."""
        if self._thread is None:
            return
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _raise_failures(self, error: BaseException | None) -> None:
        """Raise the first exception of a script, which else would stay in the other thread."""
        for failure in self._ledger.failures[:1]:
            if error is None:
                raise failure
            if error is not failure:
                error.add_note(f"The replica's answer failed before that: {failure!r}")

    def _run(self, ready: Future[int]) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._serve(ready))
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def _serve(self, ready: Future[int]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        port = await self._server.start(self._wanted_port)
        ready.set_result(port)
        try:
            await self._stop.wait()
        finally:
            await self._server.stop()


def _service(provider: object, service: str | Path | Row | None, options: dict[str, Any]) -> Service:
    """Make the service. Raises `TypeError` on an unknown option and says where it belongs."""
    if provider is not None and service is not None:
        raise TypeError(
            f"A replica is of a provider or of a service: leave out {provider!r} or service={service!r}."
        )
    cls = service_class(provider) if service is None else catalogued_class(service)
    known = inspect.signature(cls).parameters
    for name in options:
        if name not in known:
            advice = (
                f"that is a fault, faults={{{name!r}: ...}}"
                if name in FAULT_NAMES
                else f"it has {', '.join(['port', *known])}. Failures and delays go into faults={{...}}"
            )
            raise TypeError(f"The replica of {cls.name} has no option {name!r}: {advice}.")
    return cls(**options)


def replica(
    provider: object = None,
    answer: Answer = None,
    *,
    service: str | Path | Row | None = None,
    faults: Faults = None,
    port: int = 0,
    watch: Watch | None = None,
    log: Watch | None = None,
    **options: Any,
) -> Replica:
    """Make a replica of a service, for a `with` or `async with` statement.

    Args:
        provider: a provider class (or its name or slug, "flow-gpt").
        service: in place of a provider, a service of the catalogue: its id ("groq"), a file, or
            a row.
        answer: the answer, see `freeproviders.testing.answers`; None sends the last user message
            back.
        faults: failures and delays, see `freeproviders.testing.faults`.
        port: the port on 127.0.0.1; 0 is any free port.
        watch: called with each `RecordedRequest` that was judged, on the replica's thread.
        log: called with each whose answer has ended; its `line` is one for an access log.
        options: the service's own: `style` for ChatgptFree, `secret` for AIChatFree, and those of
            `OpenAIService` and `CataloguedService` in `freeproviders.testing.services`.

    Raises:
        ValueError: there is no replica of the provider, or a fault is unknown.
        UnknownServiceError: there is no such service; `CatalogueError` for a file that is wrong.
        TypeError: the answer is none, or the service has no such option.
    """
    return Replica(
        provider, answer, service=service, faults=faults, port=port, watch=watch, log=log, **options
    )


def serve(
    provider: object = None,
    answer: Answer = None,
    port: int = 0,
    *,
    service: str | Path | Row | None = None,
    faults: Faults = None,
    started: Callable[[Replica], object] | None = None,
    watch: Watch | None = None,
    log: Watch | None = None,
    **options: Any,
) -> None:
    """Run a replica until Ctrl-C.

    `started` is called with the replica when it listens, `watch` and `log` as `replica` says.
    """
    with Replica(
        provider, answer, service=service, faults=faults, port=port, watch=watch, log=log, **options
    ) as server:
        forever = threading.Event()
        try:
            if started is not None:
                started(server)
            while not forever.wait(
                POLL_SECONDS
            ):  # in steps: an endless wait cannot be interrupted everywhere
                pass
        except KeyboardInterrupt:
            return
