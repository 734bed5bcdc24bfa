"""Several answers to one question, `ChatRequest.n`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Protocol

from freeproviders.abilities import Answering
from freeproviders.stop import StopCutter
from freeproviders.streams import all_parts, whole
from freeproviders.thinking import SplitAnswer
from freeproviders.types import (
    Alternative,
    Batch,
    ChatRequest,
    Completion,
    Finish,
    Text,
    Usage,
    collect,
    parts_of,
)


class AsksForEach(Answering, Protocol):
    """A backend that adds to an answer what the service lacks."""

    def answer(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Stream the answer to any request."""


async def several(
    backend: AsksForEach, request: ChatRequest, *, at_once: bool
) -> AsyncGenerator[Batch, None]:
    """Wait for `request.n` answers: of one request if `at_once`, else of a request for each.

    The parts of the first come with the others as `Alternative` parts, all in one batch.
    """
    single = replace(request, n=1)
    splits = request.reasoning != "keep"
    batches = backend.batches(request) if at_once else backend.answer(single)
    parts = await all_parts(SplitAnswer(backend, request, batches) if at_once and splits else batches)
    first = collect(parts)
    others = [_stopped(other, request.stop) if request.stop else other for other in first.others]
    if splits:
        others = [await whole(SplitAnswer(backend, single, _again(other))) for other in others]
    missing = request.n - 1 - len(others)  # also where a service knows no `n`
    tasks = [asyncio.ensure_future(whole(backend.answer(single))) for _ in range(missing)]
    try:
        others += await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    usage = first.usage
    for other in others:
        usage += other.usage
    shown: Batch = [part for part in parts if not isinstance(part, Alternative | Usage | Finish)]
    yield [*shown, *map(Alternative, others), usage, first.finish]


async def _again(answer: Completion) -> AsyncGenerator[Batch, None]:
    """Stream an answer that came whole."""
    yield parts_of(answer)


def _stopped(answer: Completion, stops: tuple[str, ...]) -> Completion:
    """Cut an answer that came whole at a stop sequence."""
    cutter = StopCutter(stops)
    pieces = [*cutter.cut([Text(answer.text)]), *cutter.flush()]
    return replace(answer, text="".join([piece.text for piece in pieces if isinstance(piece, Text)]))
