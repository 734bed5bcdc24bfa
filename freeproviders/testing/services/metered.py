"""Answers of a service that counts their tokens against its limits."""

# ruff: noqa: D102 - the methods are described where they are declared, in `services.base`

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from freeproviders.testing.answers import Piece
from freeproviders.testing.limits import Ticket
from freeproviders.testing.services.base import Renderer
from freeproviders.types import (
    Alternative,
    Finish,
    InvalidToolCall,
    LogProbs,
    ToolCall,
    ToolCallDelta,
    Usage,
)

_NOT_COUNTED: Final = (Usage, Finish, LogProbs, ToolCallDelta, Alternative, bytes, Mapping)


class Metered:
    """Writes an answer, counts its tokens, and gives its calls the ids that the service gives."""

    def __init__(
        self, renderer: Renderer, ticket: Ticket, prompt: int, id_chars: int, cost: float | None = None
    ) -> None:
        self._renderer = renderer
        self._ticket = ticket
        self._prompt = prompt
        self._id_chars = id_chars
        self._cost = cost
        self._parts = 0
        self._usage: Usage | None = None
        self.content_type = renderer.content_type
        self.start = renderer.start
        self.keepalive = renderer.keepalive
        self.error = renderer.error

    def piece(self, piece: Piece) -> Iterable[bytes]:
        if isinstance(piece, Usage):
            self._usage = piece
        if not isinstance(piece, _NOT_COUNTED):
            self._parts += 1
        if self._usage is None:
            self._ticket.tokens(self._prompt, self._parts)
        else:
            self._ticket.tokens(self._usage.input_tokens, self._usage.output_tokens)
        if isinstance(piece, ToolCall | InvalidToolCall) and self._id_chars:
            piece = replace(piece, id=self._identity(piece.id))
        return self._renderer.piece(piece)

    def end(self) -> Iterable[bytes]:
        # What the call occupied is free before the client can know that it has ended.
        self._ticket.close()
        if self._cost is not None:
            usage = self._usage or Usage(self._prompt, self._parts)
            yield from self._renderer.piece(replace(usage, cost=self._cost))
        yield from self._renderer.end()

    def _identity(self, identity: str) -> str:
        if len(identity) == self._id_chars and identity.isalnum() and identity.isascii():
            return identity
        return hashlib.sha256(identity.encode()).hexdigest()[: self._id_chars]
