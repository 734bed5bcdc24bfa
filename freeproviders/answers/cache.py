"""The cache of answers for interactive use: the same question to the same model is asked once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from freeproviders.answers.entry import Entry
from freeproviders.answers.keys import request_key
from freeproviders.answers.opening import open_store
from freeproviders.answers.outage import STORE_SECONDS, outage_at
from freeproviders.answers.plain import from_plain, to_plain
from freeproviders.answers.store import AnswerStore
from freeproviders.errors import AnswerStoreError, UsageError
from freeproviders.naming import argument
from freeproviders.types import (
    Admitted,
    Batch,
    ChatRequest,
    Completion,
    Finish,
    Seam,
    ToolCallDelta,
    collect,
    parts_of,
)
from freeproviders.wire.json import dumps

T = TypeVar("T")

Cache = bool | str | Path | AnswerStore | None
"""Where answers are kept: True the user's own store, False or None nowhere, or a place or a store."""


class AnswerCache:
    """Answers by the keys of their questions, in a store that batches may fill as well.

    What is kept is served however long ago it came, until it is deleted. A store that cannot be used
    (a full disk, a server that is gone) costs no answer: an `AnswerStoreWarning` says why, once for
    each reason, and for a minute nothing is looked for and nothing kept. Questions that are equal
    and are asked at the same moment are each asked.
    """

    def __init__(self, store: AnswerStore) -> None:
        self.store = store

    @classmethod
    def of(cls, cache: Cache | AnswerCache) -> AnswerCache | None:
        """Return the cache that an argument names. Raises `UsageError` where it names none."""
        if isinstance(cache, AnswerCache):
            return cache
        if cache is None or isinstance(cache, bool):
            return cls(open_store()) if cache else None
        if isinstance(cache, str | os.PathLike) or all(hasattr(cache, name) for name in ("get", "put")):
            return cls(open_store(cache))
        raise UsageError(
            f"{argument('cache')} must be True, False, a path, a URL of a Redis server or an answer store, "
            f"not {type(cache).__name__}."
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store!r})"

    async def answered(
        self, request: ChatRequest, asked: str, batches: AsyncGenerator[Batch, None]
    ) -> AsyncGenerator[Batch, None]:
        """Stream the answer that is kept; where there is none, the one of `batches`, and keep it.

        Args:
            request: the question.
            asked: what it is asked for; see `request_key`.
            batches: the answer of the backend; it has not begun yet.
        """
        async with aclosing(batches):
            key = await _key_of(request, asked)
            kept = None if key is None else await self._kept(key)
            if kept is not None:
                if request.listener is not None:
                    request.listener(Admitted(kept.finish.provider, kept.finish.model))
                yield _shown(kept, request)
                return
            said: Batch = []
            async for batch in batches:
                if key is not None:
                    said += batch
                    if batch and batch[-1].__class__ is Finish:
                        await self._keep(key, collect(said), request)
                yield batch

    async def _kept(self, key: bytes) -> Completion | None:
        """Return the answer that is kept under a key, None where there is none that can be read."""
        found = await self._done(lambda: self.store.get([key]))
        entry = None if found is None else found.get(key)
        if entry is None or entry.state != "done":
            return None
        try:
            return from_plain(entry.value)
        except AnswerStoreError as error:
            outage_at(self.store.place).say(f"{error} It is asked again.")
            await self._done(lambda: self.store.forget([key]))
            return None

    async def _keep(self, key: bytes, answer: Completion, request: ChatRequest) -> None:
        """Keep an answer that is whole, without what was true of that hour only."""
        if not is_whole(answer, request):
            return
        lasting = replace(answer, finish=replace(answer.finish, quota=(), allowances=()))
        try:
            entry = Entry(state="done", value=to_plain(lasting))
        except TypeError:  # arguments of a caller's own backend that JSON has no form for
            return
        await self._done(lambda: self.store.put([(key, entry)]))

    async def _done(self, ask: Callable[[], Future[T]]) -> T | None:
        """Have the store do something; None where it cannot, and while it could not a short while ago."""
        outage = outage_at(self.store.place)
        if outage.is_on:
            return None
        try:
            return await asyncio.wait_for(asyncio.wrap_future(ask()), STORE_SECONDS)
        except TimeoutError:
            outage.failed("")
        except Exception as error:  # noqa: BLE001 - no error of a store may cost an answer
            outage.failed(str(error))
        return None


def is_whole(answer: Completion, request: ChatRequest) -> bool:
    """Return whether an answer is all that was asked for, so that it may be given again.

    It has ended by itself, by a stop sequence or at the caller's own `max_tokens`, and the service
    said so; its calls can be made, and so it is with each of several answers. An object is left out
    that a caller wants to have even where it does not fit its schema.
    """
    finish = answer.finish
    ended = finish.reason in {"stop", "tool_calls"} or (
        finish.reason == "length" and request.max_tokens is not None
    )
    return (
        ended
        and finish.confirmed
        and bool(answer.text or answer.tool_calls or answer.refusal)
        and not answer.invalid_tool_calls
        and not (request.on_invalid == "pass" and request.response_format is not None)
        and all(is_whole(other, request) for other in answer.others)
    )


async def _key_of(request: ChatRequest, asked: str) -> bytes | None:
    """Return the key of a question, None where it has none and so is always asked."""
    try:
        if any(message.media for message in request.messages):  # pictures may be large
            return await asyncio.to_thread(request_key, request, asked)
        return request_key(request, asked)
    except UsageError:
        return None


def _shown(kept: Completion, request: ChatRequest) -> Batch:
    """Return the parts of an answer that is given again."""
    finish, usage = kept.finish, kept.usage
    again = replace(
        kept,
        usage=usage if usage.cost is None else replace(usage, cost=0.0),
        finish=replace(
            finish,
            cached=True,
            attempts=0,
            trail=(),
            quota=(),
            allowances=(),
            seams=_of_what_is_shown(finish.seams),
        ),
    )
    shown = parts_of(again)
    if not (request.stream_tool_arguments and request.stream):
        return shown
    deltas = [
        ToolCallDelta(index, call.id, call.name, dumps(call.arguments).decode())
        for index, call in enumerate(kept.tool_calls)
    ]
    return [*deltas, *shown]


def _of_what_is_shown(seams: tuple[Seam, ...]) -> tuple[Seam, ...]:
    """Return the seams of an answer without the text that a restart had made void."""
    void = max([seam.offset for seam in seams if seam.how == "restart"], default=0)
    return tuple(
        [
            replace(seam, offset=seam.offset - void)
            for seam in seams
            if seam.how != "restart" and seam.offset >= void
        ]
    )
