"""What llama.cpp's own completion endpoint streams: text behind a prompt that is given as it is."""

from __future__ import annotations

from typing import Any, Final

from freeproviders.errors import MalformedResponseError, TruncatedResponseError
from freeproviders.types import Batch, FinishReason, Usage
from freeproviders.wire.failure import classify, error_in_success, excerpt
from freeproviders.wire.parts import PartDecoder
from freeproviders.wire.sse import Event, SSEDecoder

_REASONS: Final[dict[str, FinishReason]] = {"eos": "stop", "word": "stop", "limit": "length"}


class CompletionDecoder(PartDecoder):
    """Decodes one answer of `/completion`.

    `again` is text that the engine was made to write once more: the answer must begin with it, and it
    is left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.again = ""
        self._sse = SSEDecoder()

    def decode(self, data: bytes, batch: Batch) -> None:
        """Decode one network read into the batch."""
        self._events(self._sse.feed(data), batch)

    def finish(self, batch: Batch) -> None:
        """Decode what is left at the end of the body into the batch."""
        self._events(self._sse.close(), batch)
        if not self.done:
            raise TruncatedResponseError("The engine's answer has no end.")

    def _events(self, events: list[Event], batch: Batch) -> None:
        for _, payload in events:
            if self.done:
                return
            try:
                frame = self.read_json(payload)
            except ValueError as error:
                raise MalformedResponseError(
                    f"An event holds no JSON: {error}.", body=excerpt(payload)
                ) from error
            reported = error_in_success(frame)
            if reported is not None:
                raise classify(reported.status, reported)
            if not isinstance(frame, dict) or not isinstance(frame.get("content"), str):
                raise MalformedResponseError("An event has no content.", body=excerpt(payload))
            if new := self._without_again(frame["content"]):
                self.text(new, batch)
            if frame.get("stop") is True:
                self._end(frame, batch)

    def _without_again(self, text: str) -> str:
        """Leave out what was to be written once more."""
        if not self.again or not text:
            return text
        self.progress += 1
        expected = self.again[: len(text)]
        if not text.startswith(expected):
            raise MalformedResponseError(f"The engine wrote {text!r} where it had to write {expected!r}.")
        self.again = self.again[len(expected) :]
        return text[len(expected) :]

    def _end(self, frame: dict[str, Any], batch: Batch) -> None:
        self.end_text(batch)
        self.done = True
        self.raw_reason = str(frame.get("stop_type") or "")
        self.reason = _REASONS.get(self.raw_reason, "unknown")
        self.confirmed = self.reason != "unknown"
        evaluated, predicted = frame.get("tokens_evaluated"), frame.get("tokens_predicted")
        if isinstance(evaluated, int) and isinstance(predicted, int):
            cached = (frame.get("timings") or {}).get("cache_n")
            self.usage = Usage(
                evaluated, predicted, cached_tokens=cached if isinstance(cached, int) else None
            )
