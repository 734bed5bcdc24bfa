"""One answer of a model that was given tools: what of it goes out, which calls it holds, what is wrong with it. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from freeproviders.tools.cursor import RawCall
from freeproviders.tools.judge import Complaint, Judge
from freeproviders.tools.parser import Parser, Piece
from freeproviders.types import Batch, Finish, Reasoning, Text, ToolCall, Usage
from freeproviders.wire.json import dumps

MAX_REPEATED: Final = 3
"""So often a model may repeat itself before it is taken to be going round in circles and its answer is ended."""


class Attempt:
    """Reads one answer, batch by batch.

    Args:
        judge: judges the calls; with an empty box everything is text.
        hold: text is not given out until it is known to be wanted: it stays in `held`.
        preface: held words go out before the first call.
        single: the first valid call ends the answer; `stopped` says so.
        made: the calls of earlier attempts, which are not made again.
        settled: calls that have given their results; made once more they are `repeated` instead. None lets every call through, and the same one several times.
        thinking: the answer begins inside the reasoning.
    """

    def __init__(
        self,
        judge: Judge,
        *,
        hold: bool = False,
        preface: bool = True,
        single: bool = False,
        made: Iterable[ToolCall] = (),
        settled: Iterable[ToolCall] | None = (),
        thinking: bool = False,
    ) -> None:
        self._judge = judge
        self._parser = Parser(judge.box, thinking=thinking)
        self._hold = hold
        self._preface = preface
        self._single = single
        made = tuple(made)
        self._made = {_key(call) for call in made}
        self._ids = {call.id for call in made}
        self._guard = settled is not None
        self._settled = {_key(call) for call in settled or ()}
        self._here: set[tuple[str, Any]] = set()
        self._said: list[str] = []
        self.held: list[str] = []
        self.calls: list[ToolCall] = []
        self.repeated: list[ToolCall] = []
        self.complaints: list[Complaint] = []
        self.usage: Usage | None = None
        self.finish: Finish | None = None
        self.stopped = False

    @property
    def said(self) -> str:
        """Everything that the model wrote, calls included."""
        return "".join(self._said)

    @property
    def truncated(self) -> bool:
        """Whether a limit ended the answer."""
        return self.finish is not None and self.finish.reason == "length"

    @property
    def confirmed(self) -> bool:
        """Whether the answer is complete as far as is known: not where the connection just ended."""
        return self.finish is None or self.finish.confirmed

    def take(self, batch: Batch) -> Batch:
        """Take what came; return what goes out."""
        out: Batch = []
        for part in batch:
            if self.stopped:
                break
            match part:
                case Text():
                    self._said.append(part.text)
                    self._sort(self._parser.feed(part.text), out)
                case ToolCall():
                    self._flush(out)
                    self._said.append(f"{part.name}({dumps(part.arguments).decode()})")
                    self._call(RawCall(part.name, part.arguments), out, part.id)
                case Usage():
                    self.usage = part
                case Finish():
                    self.finish = part
                case _:
                    out.append(part)
        return out

    def end(self) -> Batch:
        """The answer has ended; return what goes out at last."""
        out: Batch = []
        if not self.stopped:
            self._sort(self._parser.close(truncated=self.truncated or not self.confirmed), out)
        return out

    def add(self, raw: RawCall) -> Batch:
        """Take a call that came by another way."""
        out: Batch = []
        self._said.append(raw.source)
        self._call(raw, out)
        return out

    def _flush(self, out: Batch) -> None:
        """A call has come by itself: what was held until now has ended before it, and white space before a call is none of the answer."""
        held = self._parser.close()
        self._parser = Parser(self._judge.box)
        self._sort([piece for piece in held if not (isinstance(piece, Text) and piece.text.isspace())], out)

    def _sort(self, pieces: list[Piece], out: Batch) -> None:
        for piece in pieces:
            if self.stopped:
                return
            if isinstance(piece, RawCall):
                self._call(piece, out)
            elif isinstance(piece, Reasoning) or not self._hold:
                out.append(piece)
            else:
                self.held.append(piece.text)

    def _call(self, raw: RawCall, out: Batch, call_id: str = "") -> None:
        verdict = self._judge.judge(raw, call_id="" if call_id in self._ids else call_id)
        if isinstance(verdict, Complaint):
            self.complaints.append(verdict)
            return
        key = _key(verdict)
        if key in self._made:
            return
        if self._guard and (key in self._settled or key in self._here):
            self.repeated.append(verdict)
            self.stopped = len(self.repeated) >= MAX_REPEATED
            return
        self._here.add(key)
        self._ids.add(verdict.id)
        self.calls.append(verdict)
        if self._preface and self.held:
            out.append(Text("".join(self.held)))
            self.held.clear()
        out.append(verdict)
        self.stopped = self._single


def _key(call: ToolCall) -> tuple[str, Any]:
    return call.name, dumps(call.arguments)
