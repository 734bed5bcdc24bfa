"""Calls of any kind whose outputs are kept under a name, so that none is made twice.

The frameworks' adapters say how a call is made and which classes their values have; what is kept,
under which keys, and how many calls run at a time is decided here.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import json
import time
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from concurrent.futures import Future
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

from freeproviders.answers.entry import Entry, Run, State
from freeproviders.answers.opening import open_store
from freeproviders.answers.plain import error_from_plain, error_to_plain
from freeproviders.answers.store import AnswerStore
from freeproviders.answers.values import Values
from freeproviders.batch.judging import kind_of
from freeproviders.batch.occurrences import Occurrences
from freeproviders.errors import (
    AnswerStoreError,
    AuthenticationError,
    BlockedError,
    EmbeddedModelError,
    FreeProvidersError,
    NoProviderError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ProviderConnectionError,
    RedirectError,
    UsageError,
)
from freeproviders.foreign import translated

IN_FLIGHT: Final = 8
"""Calls that run at a time where the caller names no number."""
_VERSION: Final = 1
_MOST_TRIES: Final = 3
_MOST_SAVING: Final = 256
"""Outputs that may wait for the store before no further call begins."""
_END: Final = object()
_OF_OTHERS: Final = (
    AuthenticationError,
    BlockedError,
    EmbeddedModelError,
    NoProviderError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ProviderConnectionError,
    RedirectError,
)
"""Failures that say nothing of the input: the network, the account, the service as a whole."""


def _nothing(_: int) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one input: an output or an error.

    `kept` says that it came from the store, and no call was made. `saved` is done when it is safe
    there, None where nothing is to be written.
    """

    index: int = 0
    output: Any = None
    error: Exception | None = None
    kept: bool = False
    saved: Future[None] | None = None


class Resumable:
    """A name in a store, under which the outputs of calls are kept by their inputs.

    An output is in the store before the caller sees it. Errors are kept only
    where asking again would not help and other inputs are answered: for an input that a service
    refuses as such, and for one that failed at three starts.

    Args:
        kind: tells frameworks apart, whose outputs have other forms.
        name: what is asked, with its version: take another name when you change what is asked.
        store: as `freeproviders.answers.open_store` takes it.
        values: how inputs and outputs are written.
        dedupe: whether equal inputs of a batch are one question; else each is asked.
        again: whether inputs whose errors are kept are asked once more.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        store: str | Path | AnswerStore | None,
        values: Values,
        *,
        dedupe: bool = False,
        again: bool = False,
    ) -> None:
        if not name:
            raise UsageError("name is empty: name what is asked, with its version, as 'rag-v1'.")
        self.kind = kind
        self.name = name
        self.dedupe = dedupe
        self._again = again
        self._values = values
        self._store = open_store(store)
        self._begun = False
        self._fits = False
        self._answered = 0
        self._notes: deque[tuple[bytes, Entry]] = deque(maxlen=_MOST_SAVING)

    @property
    def fits(self) -> bool:
        """Whether an output was kept, or found."""
        return self._fits

    @property
    def place(self) -> str:
        """Where the outputs are kept, for people."""
        return self._store.place

    # --- one input ---

    def key(self, value: Any, more: Any = None, occurrence: int = 0) -> bytes:
        """Return the key of an input.

        Args:
            value: the input.
            more: what else decides the output.
            occurrence: tells equal inputs apart that are to have an output each.

        Raises:
            UsageError: the input has something that no key can be made of.
        """
        facts = [_VERSION, self.kind, self.name, self._values.canonical([value, more]), occurrence]
        return sha256(json.dumps(facts).encode()).digest()

    async def call(self, key: bytes, ask: Callable[[], Awaitable[Any]]) -> Outcome:
        """Return what is kept under a key, else make the call, whose errors are in the outcome.

        Raises:
            AnswerStoreError: the store cannot be read.
            UsageError: the first output of all cannot be kept.
        """
        self._begin()
        entry = (await _awaited(self._store.get([key]))).get(key)
        if (outcome := self._found(entry)) is not None:
            return outcome
        answered = self._answered
        try:
            output = await ask()
        except Exception as error:  # noqa: BLE001 - any; the caller raises it
            return self._failed(key, entry, error, alone=self._answered == answered)
        return self._done(key, output)

    def call_sync(self, key: bytes, ask: Callable[[], Any]) -> Outcome:
        """Do as `call`, without an event loop."""
        self._begin()
        entry = self._store.get([key]).result().get(key)
        if (outcome := self._found(entry)) is not None:
            return outcome
        answered = self._answered
        try:
            output = ask()
        except Exception as error:  # noqa: BLE001 - any; the caller raises it
            return self._failed(key, entry, error, alone=self._answered == answered)
        return self._done(key, output)

    async def settled(self, outcome: Outcome) -> Any:
        """Return the output once it is safe in the store; raises the error where there is one."""
        if outcome.saved is not None:
            await _awaited(outcome.saved)
        return _output(outcome)

    def settled_sync(self, outcome: Outcome) -> Any:
        """Do as `settled`, without an event loop."""
        if outcome.saved is not None:
            outcome.saved.result()
        return _output(outcome)

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._store.begin(Run(name=self.name, source=self.kind, began=time.time()))

    def _found(self, entry: Entry | None) -> Outcome | None:
        if entry is None or entry.state == "failed":
            return None
        if entry.state != "done":
            return None if self._again else Outcome(error=error_from_plain(entry.value), kept=True)
        try:
            output = self._values.restored(json.loads(entry.value))
        except FreeProvidersError:
            raise
        except Exception as error:
            raise AnswerStoreError(
                f"An output that is kept under the name {self.name!r} in {self.place} is damaged. Delete the "
                "run with `freeproviders answers delete`, or take another name."
            ) from error
        self._fits = True
        return Outcome(output=output, kept=True)

    def _done(self, key: bytes, output: Any) -> Outcome:
        try:
            value = json.dumps(self._values.plain(output), separators=(",", ":")).encode()
        except UsageError as error:
            if not self._fits:
                raise
            return Outcome(error=error)
        self._fits = True
        self._answered += 1
        notes = [self._notes.popleft() for _ in range(len(self._notes))]
        entries = [*notes, (key, Entry(state="done", value=value, at=time.time()))]
        return Outcome(output=output, saved=self._store.put(entries, run=self.name))

    def _failed(self, key: bytes, entry: Entry | None, error: Exception, *, alone: bool) -> Outcome:
        """Note an error of an input, for when another is answered: else it is the fault of something else."""
        if (about := _about(error)) == "others":
            return Outcome(error=error)
        tries = 1 if entry is None else entry.tries + 1
        state: State = "poisoned" if tries >= _MOST_TRIES else "failed"
        if about == "input":
            state = "refused"
        note = (key, Entry(state=state, value=error_to_plain(error), tries=tries, at=time.time()))
        if (about == "input" and self._fits) or not alone:
            return Outcome(error=error, saved=self._store.put([note], run=self.name))
        self._notes.append(note)
        return Outcome(error=error)

    # --- many inputs ---

    async def outcomes(
        self,
        inputs: Iterable[Any] | AsyncIterable[Any],
        ask: Callable[[int, Any, bytes], Awaitable[Outcome]],
        *,
        more: Callable[[int], Any] = _nothing,
        in_flight: int = IN_FLIGHT,
        errors: bool = False,
    ) -> AsyncGenerator[Outcome, None]:
        """Yield what becomes of inputs as it is safe in the store.

        Inputs are taken when there is room for their calls. Until one output was kept, calls are
        made one by one, so that a type that cannot be kept costs one call.

        Args:
            inputs: any number.
            ask: makes the call of an input, with its place and its key: `call` with a framework's
                own things around.
            more: what else decides the output, by the place of the input.
            in_flight: calls at a time.
            errors: whether errors are outcomes like others. Else the first ends it: no further input
                is taken, what runs is waited for and kept, and the error is raised.
        """
        rows = _Rows(self, more, in_flight, errors=errors)
        source, pull = _source(inputs)
        taking: asyncio.Future[Any] | None = None
        asking: dict[asyncio.Future[Outcome], bytes] = {}
        saving: dict[asyncio.Future[None], Outcome] = {}
        try:
            while True:
                while taking is None and rows.have_room(len(asking), len(saving)):
                    if pull is not None:
                        taking = asyncio.ensure_future(pull())
                    elif (begun := rows.begin(next(source, _END))) is not None:
                        asking[asyncio.ensure_future(_called(ask, begun))] = begun[2]
                running = [*asking, *saving, *([taking] if taking else ())]
                if not running:
                    break
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    if one is taking:
                        begun, taking = rows.begin(taking.result()), None
                        if begun is not None:
                            asking[asyncio.ensure_future(_called(ask, begun))] = begun[2]
                    elif one in asking:
                        for outcome in rows.ended(asking.pop(one), one.result()):
                            if outcome.saved is not None:
                                saving[asyncio.wrap_future(outcome.saved)] = outcome
                            elif rows.shows(outcome):
                                yield outcome
                    else:
                        one.result()
                        if rows.shows(outcome := saving.pop(one)):
                            yield outcome
        finally:
            stopping = [*asking, *([taking] if taking else ())]
            for each in stopping:
                each.cancel()
            await asyncio.gather(*stopping, return_exceptions=True)
        rows.finish()

    def outcomes_sync(
        self,
        inputs: Iterable[Any],
        ask: Callable[[int, Any, bytes], Outcome],
        *,
        more: Callable[[int], Any] = _nothing,
        in_flight: int = IN_FLIGHT,
        errors: bool = False,
    ) -> Generator[Outcome, None, None]:
        """Do as `outcomes`, with a thread for each call; those that run when it is closed are waited for."""
        rows = _Rows(self, more, in_flight, errors=errors)
        source, pull = _source(inputs)
        if pull is not None:
            raise UsageError("An asynchronous iterable needs the asynchronous method.")
        asking: dict[Future[Any], bytes] = {}
        saving: dict[Future[Any], list[Outcome]] = {}
        with concurrent.futures.ThreadPoolExecutor(in_flight, "freeproviders-resumable") as threads:
            while True:
                while rows.have_room(len(asking), len(saving)):
                    if (begun := rows.begin(next(source, _END))) is not None:
                        context = contextvars.copy_context()
                        asking[threads.submit(context.run, _called_sync, ask, begun)] = begun[2]
                if not asking and not saving:
                    break
                done, _ = concurrent.futures.wait([*asking, *saving], return_when="FIRST_COMPLETED")
                for one in done:
                    if one in asking:
                        for outcome in rows.ended(asking.pop(one), one.result()):
                            if outcome.saved is not None:
                                saving.setdefault(outcome.saved, []).append(outcome)
                            elif rows.shows(outcome):
                                yield outcome
                    else:
                        one.result()
                        yield from filter(rows.shows, saving.pop(one))
        rows.finish()


@dataclass(frozen=True, slots=True)
class _Unusable:
    """An input of which no key can be made, and why."""

    error: UsageError


class _Rows:
    """The inputs of one batch: places, keys, which wait for an equal one, whether more are taken."""

    def __init__(self, owner: Resumable, more: Callable[[int], Any], in_flight: int, *, errors: bool) -> None:
        if in_flight < 1:
            raise UsageError(f"The number of calls at a time must be 1 or more, not {in_flight}.")
        self._owner = owner
        self._more = more
        self._in_flight = in_flight
        self._errors = errors
        self._open = True
        self._taken = 0
        self._occurrences = Occurrences()
        self._places: dict[bytes, list[int]] = {}
        self._error: Exception | None = None

    def have_room(self, asking: int, saving: int) -> bool:
        """Whether another input is to be taken."""
        doubles = sum(map(len, self._places.values())) - len(self._places) if self._owner.dedupe else 0
        most = self._in_flight if self._owner.fits else 1
        return self._open and asking + doubles < most and saving < _MOST_SAVING

    def begin(self, value: Any) -> tuple[int, Any, bytes] | None:
        """Take an input; None at the end, and where an equal one is on its way."""
        if value is _END:
            self._open = False
            return None
        place, self._taken = self._taken, self._taken + 1
        try:
            key = self._owner.key(value, self._more(place))
        except UsageError as error:
            value, key = _Unusable(error), place.to_bytes(8)
        if self._owner.dedupe:
            if key in self._places:
                self._places[key].append(place)
                return None
        elif before := self._occurrences.number_of(key):  # an input without a key has a place of its own
            key = self._owner.key(value, self._more(place), before)
        self._places[key] = [place]
        return place, value, key

    def ended(self, key: bytes, outcome: Outcome) -> list[Outcome]:
        """Return what became of all inputs of a key."""
        if outcome.error is not None and not self._errors:
            self._open = False
        return [replace(outcome, index=place) for place in self._places.pop(key)]

    def shows(self, outcome: Outcome) -> bool:
        """Whether the caller sees an outcome; an error that ends the batch is raised at its end."""
        if outcome.error is None or self._errors:
            return True
        self._error = self._error or outcome.error
        return False

    def finish(self) -> None:
        """Raise the error that has ended the batch."""
        if self._error is not None:
            raise self._error


async def _called(
    ask: Callable[[int, Any, bytes], Awaitable[Outcome]], begun: tuple[int, Any, bytes]
) -> Outcome:
    return Outcome(error=begun[1].error) if isinstance(begun[1], _Unusable) else await ask(*begun)


def _called_sync(ask: Callable[[int, Any, bytes], Outcome], begun: tuple[int, Any, bytes]) -> Outcome:
    return Outcome(error=begun[1].error) if isinstance(begun[1], _Unusable) else ask(*begun)


def _source(
    inputs: Iterable[Any] | AsyncIterable[Any],
) -> tuple[Iterator[Any], Callable[[], Awaitable[Any]] | None]:
    """Return how the next input is taken: from an iterator, or by waiting for it."""
    if not isinstance(inputs, AsyncIterable):
        return iter(inputs), None
    each = aiter(inputs)

    async def pull() -> Any:
        return await anext(each, _END)

    return iter(()), pull


async def _awaited(future: Future[Any]) -> Any:
    """Wait for the store; a caller that is cancelled meanwhile does not cancel its work."""
    return await asyncio.shield(asyncio.wrap_future(future))


def _about(error: Exception) -> Literal["input", "call", "others"]:
    """Return what an error is about: the input as such, this call of it, or what concerns others too."""
    read = translated(error)
    if (kind := kind_of(read)) == "question":
        return "input"
    return "others" if kind in {"limit", "run"} or isinstance(read, _OF_OTHERS) else "call"


def _output(outcome: Outcome) -> Any:
    if outcome.error is not None:
        raise outcome.error
    return outcome.output
