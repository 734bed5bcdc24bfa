"""Stop sequences, applied in the client: services lack them, or disagree on the details."""

from __future__ import annotations

from freeproviders.types import Batch, Text


class StopCutter:
    """Passes parts on until a stop sequence begins, wherever the pieces are cut.

    The sequence itself is not passed on. Text that may be the beginning of a sequence is held back
    until that is decided. `hit` says that a sequence was found; everything after it is dropped.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._longest = max(map(len, stops)) - 1
        self._held = ""
        self.hit = False

    def cut(self, batch: Batch) -> Batch:
        """Take a batch; return what may be passed on."""
        out: Batch = []
        for part in batch:
            if self.hit:
                break
            if type(part) is Text:
                if text := self._text(part.text):
                    out.append(Text(text))
            else:
                if self._held:
                    out.extend(self.flush())
                out.append(part)
        return out

    def flush(self) -> Batch:
        """Return what was held back: with another part or the end it is no stop sequence."""
        held, self._held = self._held, ""
        return [Text(held)] if held else []

    def _text(self, piece: str) -> str:
        text = self._held + piece
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.hit = True
            self._held = ""
            # The first to be complete, so that the cuts of the stream do not matter.
            return text[: min(found)[1]]
        keep = self._undecided(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _undecided(self, text: str) -> int:
        """The length of the longest end of the text with which a stop sequence begins."""
        for size in range(min(self._longest, len(text)), 0, -1):
            if any(stop.startswith(text[-size:]) for stop in self._stops):
                return size
        return 0
