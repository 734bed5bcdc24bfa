"""How long an answer took, without the time for which limits let it wait."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from time import monotonic
from typing import Final

from freeproviders.types import (
    Batch,
    Completion,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolCallDelta,
    collect,
)

_CONTENT: Final = frozenset({Text, Reasoning, Refusal, ToolCall, ToolCallDelta})


class Stopwatch:
    """Measures one answer; `streams` says whether its first content has a time of its own."""

    __slots__ = ("_began", "_streams", "_told")

    def __init__(self, *, streams: bool) -> None:
        self._streams = streams
        self._told = False
        self._began = monotonic()

    def admitted(self, waited: float) -> None:
        """Note that a request goes out; what came before the first one does not count."""
        if self._told:
            self._began += waited
        else:
            self._told, self._began = True, monotonic()

    async def whole(self, batches: AsyncGenerator[Batch, None]) -> Completion:
        """Wait for the end of an answer; one that a cache has kept is not measured."""
        first: float | None = None
        parts: Batch = []
        async with aclosing(batches):
            async for batch in batches:
                if first is None and self._streams and any(part.__class__ in _CONTENT for part in batch):
                    first = monotonic() - self._began
                parts += batch
        completion = collect(parts)
        if completion.finish.cached:
            return completion
        return replace(completion, seconds=monotonic() - self._began, first_seconds=first)
