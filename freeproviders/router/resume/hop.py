"""One hop, without I/O: batches of a member in, what is shown of them out."""

from __future__ import annotations

from dataclasses import replace

from freeproviders.router.resume.splice import Match
from freeproviders.router.resume.ways import Way
from freeproviders.stop import StopCutter
from freeproviders.types import Batch, ChatRequest, Finish, LogProbs, Reasoning, Text, Usage


class Hop:
    """The stream of a member that is asked to go on.

    `refused` says why its stream does not go on, "" while it may; nothing has been given out then.
    `joined` says that it does. `ended` says that the answer is complete, `cut` that a stop sequence
    has ended it before the member did. `shown` is what was given out, and `written` counts the
    characters that the member wrote.
    """

    def __init__(self, request: ChatRequest, text: str, way: Way) -> None:
        self._restarts = way.how == "restart"
        if self._restarts or way.sure:
            beginnings = {"": ""}
        elif tail := way.tail:
            # Some services take the blank away before the first word, and some repeat what was begun.
            beginnings = {tail: tail, tail.lstrip(): tail, text: ""}
        else:
            beginnings = {text: ""}
        self._match = Match(beginnings)
        self._stops = request.stop
        self._cutter = SpanningStops(request.stop, text) if way.begun and request.stop else None
        self.refused = ""
        self.ended = self.cut = False
        self.shown: Batch = []
        self.written = 0
        self.usage: Usage | None = None
        self.finish: Finish | None = None

    @property
    def joined(self) -> bool:
        """Whether it is decided that the stream goes on."""
        return self._match.joined and not self.refused

    def take(self, batch: Batch) -> Batch:
        """Take a batch; return what of it is shown, without usage and finish."""
        out: Batch = []
        for part in batch:
            if self.refused or self.ended:
                break
            if isinstance(part, Text):
                self._take_text(part.text, out)
            elif isinstance(part, Usage):
                self.usage = part
            elif isinstance(part, Finish):
                self._end(part, out)
            elif isinstance(part, Reasoning):
                self.written += len(part.text)
                if self._restarts:
                    out.append(part)  # else it was shown before, as it was thought then
            elif self.joined:
                out.append(part)
            elif not isinstance(part, LogProbs):
                self.refused = f"it answered with a {type(part).__name__}"
        self.shown += out
        return out

    def _take_text(self, text: str, out: Batch) -> None:
        self.written += len(text)
        goes_out = self._match.feed(text)
        if self._match.refused:
            self.refused = "it gave another answer"
        else:
            self._show(goes_out, out)

    def _show(self, text: str, out: Batch) -> None:
        if self._cutter is not None and text:
            text = self._cutter.cut(text)
        if text:
            out.append(Text(text))
        if self._cutter is not None and self._cutter.hit:
            self.ended = self.cut = True
            self.finish = Finish("stop")

    def _end(self, finish: Finish, out: Batch) -> None:
        missing = self._match.missing
        held = self._match.close()
        if self._match.refused:
            # A stop sequence that was shown in part before the break: the answer ends before it.
            begins_stop = any(stop.startswith(missing) for stop in self._stops) if missing else False
            if not (begins_stop and finish.reason == "stop"):
                self.refused = "its answer ended before that"
                return
            self._match = Match({"": ""})
        self._show(held, out)
        if self._cutter is not None and not self.cut and (rest := self._cutter.flush()):
            out.append(Text(rest))
        self.ended = True
        self.finish = replace(finish, reason="stop", raw_reason=None) if self.cut else finish


class SpanningStops:
    """Stop sequences in a text of which the beginning has been shown."""

    def __init__(self, stops: tuple[str, ...], shown: str) -> None:
        self._cutter = StopCutter(stops)
        end = shown[len(shown) - max(map(len, stops)) + 1 :] if len(shown) >= max(map(len, stops)) else shown
        passed = sum([len(part.text) for part in self._cutter.cut([Text(end)]) if isinstance(part, Text)])
        self._shown = len(end) - passed
        """Characters that the cutter holds back and that have been shown all the same."""

    @property
    def hit(self) -> bool:
        """Whether a stop sequence was found."""
        return self._cutter.hit

    def cut(self, text: str) -> str:
        """Take a piece; return what may be shown."""
        return self._unseen(self._cutter.cut([Text(text)]))

    def flush(self) -> str:
        """Return what was held back: at the end it is no stop sequence."""
        return self._unseen(self._cutter.flush())

    def _unseen(self, parts: Batch) -> str:
        text = "".join([part.text for part in parts if isinstance(part, Text)])
        seen = min(self._shown, len(text))
        self._shown -= seen
        return text[seen:]
