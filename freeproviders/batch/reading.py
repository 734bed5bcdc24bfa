"""Rows pulled lazily, read as requests, with the keys of their entries in the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sized
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from freeproviders.answers.keys import request_key
from freeproviders.backend import Backend
from freeproviders.batch.occurrences import Occurrences
from freeproviders.batch.rows import Asked, Question
from freeproviders.batch.typed import Form, form_of
from freeproviders.checks import check_request
from freeproviders.errors import FreeProvidersError, UsageError
from freeproviders.types import Attempt, ChatRequest


@dataclass(slots=True, eq=False)
class Item:
    """A row on its way.

    Attributes:
        index: its place among the questions.
        request: the question.
        key: the key of its entry.
        form: what makes an object of a typed answer, None for words.
        merges: whether an equal question may be answered with it.
        tries: attempts that have failed while others were answered.
        fails: attempts that have failed for whatever reason since the start of the process.
        mark: how many rows had been answered when it was last asked or had failed.
        error: the last failure.
        damaged: whether its entry cannot be read, so that another one must take its place.
        tried: the failures that count, as the trail of an error has them.
        due: the loop's time at which it may be asked again.
        named: whether a limit or a cool-down has named that time.
        followers: the places of equal questions that wait for its answer.
    """

    index: int
    request: ChatRequest
    key: bytes
    form: Form | None = None
    merges: bool = False
    tries: int = 0
    fails: int = 0
    mark: int = 0
    error: FreeProvidersError | None = None
    damaged: bool = False
    tried: tuple[Attempt, ...] = ()
    due: float = 0.0
    named: bool = False
    followers: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Unusable:
    """A row that no question can be made of."""

    index: int
    error: FreeProvidersError


class Reader:
    """Reads rows as requests, and counts equal ones.

    Args:
        backend: the backend that is asked.
        settings: the settings of all rows.
        dedupe: whether equal questions are one; None: those that are asked at temperature 0.

    Raises:
        UsageError: settings that no row could be asked with.
    """

    def __init__(self, backend: Backend, settings: Mapping[str, Any], *, dedupe: bool | None) -> None:
        self._backend = backend
        self._settings, self._form = form_of({**settings, "stream": False})
        self._dedupe = dedupe
        self._asked_as: dict[str | None, str] = {}
        self._occurrences = Occurrences()
        self._pulled = 0
        check_request(backend.request("?", **self._settings), backend.accepted_options)

    def read(self, value: Asked) -> Item | Unusable:
        """Read the next row."""
        index = self._pulled
        self._pulled += 1
        if isinstance(value, FreeProvidersError):
            return Unusable(index, value)
        try:
            if isinstance(value, str) and not value.strip():
                raise UsageError("The question is empty.")
            request, form = self._request(value)
            merges = request.temperature == 0 if self._dedupe is None else self._dedupe
            return Item(index, request, self._key(request, merges=merges), form, merges)
        except FreeProvidersError as error:
            return Unusable(index, error.about(self._backend.name, ""))

    def _request(self, value: Any) -> tuple[ChatRequest, Form | None]:
        if isinstance(value, ChatRequest):
            return value, None if value.response_format is None else Form(value.response_format)
        if isinstance(value, Question):
            if not value.settings:
                return self._backend.request(value.messages, **self._settings), self._form
            own, form = form_of(value.settings)
            settings = {**self._settings, **own, "stream": False}
            return self._backend.request(value.messages, **settings), form or self._form
        return self._backend.request(value, **self._settings), self._form

    def _key(self, request: ChatRequest, *, merges: bool) -> bytes:
        asked = self._asked_as.get(request.model)
        if asked is None:
            asked = self._asked_as[request.model] = self._backend.asked_as(request.model)
        key = request_key(request, asked)
        if merges:
            return key
        occurrence = self._occurrences.number_of(key)
        return request_key(request, asked, occurrence) if occurrence else key


class Source:
    """The rows of a caller, pulled as far as they are there.

    `woken` is called when a row has come that was waited for.
    """

    def __init__(
        self, rows: Iterable[Asked] | AsyncIterable[Asked], reader: Reader, woken: Callable[[], object]
    ) -> None:
        self.total = len(rows) if isinstance(rows, Sized) else None
        self.pulled = 0
        self.ended = False
        self._reader = reader
        self._woken = woken
        self._iterator: Iterator[Asked] | None = None
        self._later: AsyncIterator[Asked] | None = None
        self._next: asyncio.Future[Asked] | None = None
        if isinstance(rows, str | Mapping | Question | ChatRequest):
            raise UsageError(
                f"rows must be a list or another iterable of questions, not {type(rows).__name__}."
            )
        if isinstance(rows, AsyncIterable):
            self._later = aiter(rows)
        elif isinstance(rows, Iterable):
            self._iterator = iter(rows)
        else:
            raise UsageError(f"rows must be an iterable of questions, not {type(rows).__name__}.")

    async def take(self, most: int) -> list[Item | Unusable]:
        """Return the next rows, at most so many; none where the next one has not come yet, or at the end.

        Raises whatever the caller's iterable raises.
        """
        if self.ended:
            return []
        taken: list[Item | Unusable] = []
        try:
            if self._iterator is not None:
                for value in self._iterator:
                    taken.append(self._reader.read(value))
                    if len(taken) >= most:
                        return taken
                self.ended = True
            else:
                while len(taken) < most and await self._has_next():
                    assert self._next is not None  # noqa: S101 - it has a next one
                    value, self._next = self._next.result(), None
                    taken.append(self._reader.read(value))
        except StopAsyncIteration:
            self.ended = True
        finally:
            self.pulled += len(taken)
        return taken

    async def _has_next(self) -> bool:
        """Return whether the next row is there, and let it come where it is not."""
        if self._next is None:
            assert self._later is not None  # noqa: S101 - for the type checker
            self._next = asyncio.ensure_future(_next_of(self._later))
            self._next.add_done_callback(lambda _: self._woken())
        await asyncio.sleep(0)
        return self._next.done()

    async def close(self) -> None:
        """Wait for no further row."""
        if self._next is not None and not self._next.done():
            self._next.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._next


async def _next_of(rows: AsyncIterator[Asked]) -> Asked:
    return await anext(rows)
