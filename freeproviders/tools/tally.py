"""The tally of the requests for one answer: repairs, usage, and the turns of a repair."""

from __future__ import annotations

from typing import Final, Protocol

from freeproviders.abilities import Answering, Feature
from freeproviders.errors import FreeProvidersError, OutputError
from freeproviders.types import ChatRequest, Finish, Message, Usage
from freeproviders.usage import estimate_input_tokens, estimate_output_tokens

MAX_QUOTED_CHARS: Final = 4000
"""How much of a failed answer the model is shown when it is asked again."""


class Counted(Protocol):
    """An answer as far as it is counted."""

    @property
    def said(self) -> str:
        """Everything that the model wrote."""

    thought_chars: int
    untouched: bool
    usage: Usage | None
    finish: Finish | None


class Tally:
    """The tally of the requests for one answer.

    `requests` counts all that were sent, `repairs` those that asked again because of what the model
    had said.
    """

    def __init__(self, backend: Answering, model: str, max_repairs: int) -> None:
        self._backend = backend
        self._model = model
        self._max_repairs = max_repairs
        self._refused: Feature | None = None
        self._why = ""
        self._usage: Usage | None = None
        self.requests = 0
        self.repairs = 0

    @property
    def exhausted(self) -> bool:
        """Whether there is no asking again."""
        return self.repairs >= self._max_repairs

    def refused(
        self, feature: Feature | None, attempts: int, why: str = "", *, certain: bool = False
    ) -> None:
        """Count a request that was refused, because of a feature as it seems; None is any reason.

        That is remembered once it is `certain`, or once the model answers without the feature.
        """
        self.requests += attempts
        self._refused, self._why = feature, why
        if certain:
            self._remember()

    def broke_off(self, request: ChatRequest, answer: Counted, attempts: int) -> None:
        """Count an answer that broke off; one of which nothing had come cost nothing."""
        self.requests += attempts
        if not answer.untouched:
            self._spend(request, answer)

    def answered(self, request: ChatRequest, answer: Counted) -> None:
        """Count an answer; usage that is not known, as of one not read to its end, is estimated."""
        self.requests += answer.finish.attempts if answer.finish is not None else 1
        self._spend(request, answer)
        self._remember()

    def spent(self, error: FreeProvidersError) -> None:
        """Count what an answer that is an error has cost; say in the error what all of them have."""
        if isinstance(error, OutputError) and error.usage is not None:
            self._add(error.usage)
            error.usage = self._usage

    @property
    def usage(self) -> Usage:
        """The sum of all answers."""
        return self._usage or Usage(0, 0, estimated=True)

    def _spend(self, request: ChatRequest, answer: Counted) -> None:
        usage = answer.usage
        if usage is None:
            messages = request.messages
            said = estimate_output_tokens(len(answer.said) + answer.thought_chars, messages)
            usage = Usage(estimate_input_tokens(messages, request.model or ""), said, estimated=True)
        self._add(usage)

    def _add(self, usage: Usage) -> None:
        self._usage = usage if self._usage is None else self._usage + usage

    def _remember(self) -> None:
        if self._refused:
            self._backend.learned.refuse(self._refused, self._model, f"The service refused it: {self._why}")
            self._refused = None


def turns_again(said: str, turn: str) -> tuple[Message, Message]:
    """Write the two turns of a repair: the model's answer, and the complaint about it."""
    return Message("assistant", said[:MAX_QUOTED_CHARS] or "(nothing)"), Message("user", turn)
