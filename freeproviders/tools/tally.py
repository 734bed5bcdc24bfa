"""Asking a model again: how often, what it is shown of its last answer, and what all of it costs."""

from __future__ import annotations

from typing import Final

from freeproviders.abilities import Answering, Feature
from freeproviders.types import ChatRequest, Finish, Message, Usage
from freeproviders.usage import estimate_input_tokens, estimate_tokens

MAX_QUOTED_CHARS: Final = 4000
"""How much of a failed answer the model is shown when it is asked again."""


class Tally:
    """What the requests for one answer add up to.

    `requests` counts all that were sent; `repairs` those that asked again because of what the model had said.
    """

    def __init__(self, provider: Answering, model: str, max_repairs: int) -> None:
        self._provider = provider
        self._model = model
        self._max_repairs = max_repairs
        self._refused: Feature | None = None
        self._usage: Usage | None = None
        self.requests = 0
        self.repairs = 0

    @property
    def exhausted(self) -> bool:
        """Whether there is no asking again."""
        return self.repairs >= self._max_repairs

    def refused(self, feature: Feature, attempts: int, *, certain: bool = False) -> None:
        """A request was refused, because of a feature as it seems: that is remembered once it is `certain`, or once the model answers without it."""
        self.requests += attempts
        self._refused = feature
        if certain:
            self._remember()

    def answered(self, request: ChatRequest, said: str, usage: Usage | None, finish: Finish | None) -> None:
        """The model has answered; `usage` None, as of an answer that was not read to its end, is estimated."""
        if usage is None:
            usage = Usage(estimate_input_tokens(request.messages), estimate_tokens(len(said)), estimated=True)
        self._usage = usage if self._usage is None else self._usage + usage
        self.requests += finish.attempts if finish is not None else 1
        self._remember()

    @property
    def usage(self) -> Usage:
        """The sum of all answers."""
        return self._usage or Usage(0, 0, estimated=True)

    def _remember(self) -> None:
        if self._refused:
            self._provider.learned.refuse(self._refused, self._model)
            self._refused = None


def turns_again(said: str, turn: str) -> tuple[Message, Message]:
    """The two turns that ask again: what the model said, and what is to be said of it."""
    return Message("assistant", said[:MAX_QUOTED_CHARS] or "(nothing)"), Message("user", turn)
