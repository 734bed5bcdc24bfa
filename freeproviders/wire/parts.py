"""The base of every protocol's decoder: bytes in, parts out, and the facts of the whole answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from freeproviders.errors import FreeProvidersError
from freeproviders.types import Batch, FinishReason, Reasoning, Text, Usage
from freeproviders.wire.json import loads, loads_leniently
from freeproviders.wire.text import split_half


class PartDecoder(ABC):
    """Decodes one answer.

    `feed` takes what a network read brought and returns text, reasoning and complete tool calls;
    `close` is called at a clean end of the body and returns what was still held back. Neither
    raises: an error is left in `failure`, so that what came before it in the same read is not lost.
    Usage and Finish are not parts here but attributes, since only the whole exchange knows who
    answered and how often it was asked.

    A protocol implements `decode` and `finish`, which append to the batch and may raise an error of
    the tree.
    """

    ends_with_body: ClassVar[bool] = False
    """The protocol has no end mark: only the end of the body says that the answer is complete."""

    shows_calls = False
    """Whether pieces of tool calls go out as they come."""

    def __init__(self) -> None:
        self.failure: FreeProvidersError | None = None
        self.done = False
        """The protocol's own end was seen."""
        self.confirmed = True
        """False when the body ended cleanly but the service never said that the answer was complete."""
        self.reason: FinishReason | None = None
        self.raw_reason: str | None = None
        self.model: str | None = None
        self.response_id: str | None = None
        self.system_fingerprint: str | None = None
        self.service_tier: str | None = None
        self.usage: Usage | None = None
        self.output_chars = 0
        """Characters of text, reasoning and tool calls so far; for estimating usage."""
        self.progress = 0
        """Grows with everything that counts as content, a piece of an unfinished tool call included."""
        self.answered = False
        """Whether there was text or a tool call; reasoning alone is no answer."""
        self.lenient = False
        """Whether a document was not quite JSON, so that texts may hold halves of surrogate pairs."""
        self.half = ""
        """The first half of a surrogate pair at the end of the last text, until the second one comes."""
        self._half_of: type[Text | Reasoning] = Text

    def feed(self, data: bytes) -> Batch:
        """Decode one network read."""
        batch: Batch = []
        try:
            self.decode(data, batch)
        except FreeProvidersError as error:
            self.failure = error
        return batch

    def close(self) -> Batch:
        """Decode the end of the body."""
        batch: Batch = []
        try:
            self.finish(batch)
        except FreeProvidersError as error:
            self.failure = error
        return batch

    @abstractmethod
    def decode(self, data: bytes, batch: Batch) -> None:
        """Decode one network read into the batch."""

    @abstractmethod
    def finish(self, batch: Batch) -> None:
        """Decode what is left at the end of the body into the batch."""

    def text(self, text: str, batch: Batch) -> None:
        """Append a piece of the answer."""
        if self.lenient and not (text := self._joined(text, Text, batch)):
            return
        batch.append(Text(text))
        self.answered = True
        self.progress += 1
        self.output_chars += len(text)

    def reasoning(self, text: str, batch: Batch) -> None:
        """Append a piece of the model's thinking."""
        if self.lenient and not (text := self._joined(text, Reasoning, batch)):
            return
        batch.append(Reasoning(text))
        self.progress += 1
        self.output_chars += len(text)

    def end_text(self, batch: Batch) -> None:
        """End the text: a half of a surrogate pair whose other one never came is U+FFFD.

        That is what a decoder of UTF-8 makes of a character that was cut off; half a character is
        no reason to lose an answer.
        """
        if self.half:
            kind, self.half = self._half_of, ""
            (self.text if kind is Text else self.reasoning)("\ufffd", batch)

    def read_json(self, data: bytes) -> Any:
        """Decode a document, leniently where it is not quite JSON; raises `ValueError`."""
        try:
            return loads(data)
        except ValueError:
            document = loads_leniently(data)
            self.lenient = True
            return document

    def _joined(self, text: str, kind: type[Text | Reasoning], batch: Batch) -> str:
        """Join a text with the half that was held back before it, and hold a half at its end back."""
        if kind is not self._half_of:
            self.end_text(batch)
        text, self.half = split_half(self.half + text)
        self._half_of = kind
        return text
