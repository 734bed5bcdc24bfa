"""Reading answers of a service that sends refusals in the place of the answer's text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from freeproviders.types import Batch, Text
from freeproviders.wire.failure import disguised
from freeproviders.wire.openai.answer import ChatDecoder
from freeproviders.wire.signs import Sign


class DisguiseDecoder(ChatDecoder):
    """Holds text back while it may still become a refusal, which is then an error.

    Nothing is held once anything else has come.
    """

    def __init__(self, disguises: Sequence[Sign], **settings: Any) -> None:
        super().__init__(**settings)
        self._disguises = disguises
        self._text_so_far = ""
        self._held: Batch = []
        self._seen_through = False

    def feed(self, data: bytes) -> Batch:
        """Decode one network read."""
        batch = super().feed(data)
        return batch if self._seen_through else self._judged(batch, at_end=self.done)

    def close(self) -> Batch:
        """Decode the end of the body."""
        batch = super().close()
        return batch if self._seen_through else self._judged(batch, at_end=True)

    def _judged(self, batch: Batch, *, at_end: bool) -> Batch:
        """Return what can be shown, the text held back before included."""
        self._held += batch
        self._text_so_far += "".join([part.text for part in batch if isinstance(part, Text)])
        said = self._text_so_far.strip()
        if self.failure is None and all(isinstance(part, Text) for part in batch):
            whole = next((sign for sign in self._disguises if sign.text.strip() == said), None)
            if whole is not None and at_end:
                self.failure = disguised(whole, said)
                self.output_chars, self.answered = 0, False  # it was no answer
                self._held = []
                return []
            if not at_end and any(sign.text.strip().startswith(said) for sign in self._disguises):
                return []
        self._seen_through = True
        held, self._held = self._held, []
        return held
