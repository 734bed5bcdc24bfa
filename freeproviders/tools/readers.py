"""Readers, each of one answer: its content, and the parts that go out. No I/O."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, Final, Generic, TypeVar

from freeproviders.tools.judge import Complaint, Judge
from freeproviders.tools.read.cursor import RawCall
from freeproviders.tools.read.doubt import is_bare
from freeproviders.tools.read.endless import Endless
from freeproviders.tools.read.parser import Parser, Piece
from freeproviders.tools.read.thinking import ClosingMark
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import (
    Batch,
    Finish,
    InvalidToolCall,
    Part,
    Reasoning,
    ReasoningMode,
    Refusal,
    Text,
    ToolCall,
    Usage,
)
from freeproviders.wire.json import dumps, loads
from freeproviders.wire.lookalikes import Originals

Out = TypeVar("Out")
CallT = TypeVar("CallT", RawCall, ToolCall, InvalidToolCall)

MAX_REPEATED: Final = 3
"""How often a tiny model may repeat a call before its answer is ended: it goes round in circles."""
MAX_IN_A_ROW: Final = 100
"""Of so many equal calls in a row no model finds the end: the answer is not read on."""

_DATA = re.compile(r"\s*(?:`{3,}\w*\s*)?(?:\{|\[\s*\{)")
"""The beginning of an answer in JSON, without any mark of a call."""
_OPAQUE: Final = frozenset({"id", "extra"})
"""What is no text of the model's."""
_NO_TOOLS: Final = Toolbox(())
_NO_NAMES: Final[Mapping[str, str]] = {}
_NONE: Final[Counter[tuple[str, Any]]] = Counter()


class Reader(ABC, Generic[Out]):
    """Reads one answer, batch by batch.

    Args:
        box: the tools whose calls are told from text.
        starts_thinking: the answer begins inside the reasoning. Where nothing closes it, it was
            none, and comes as text at the end; `mistaken` says so.
        reasoning: what becomes of the thinking; None is "split".
        ends: an answer that repeats itself without end is ended.
        doubts: an answer that begins as a call does, and is none, is a call with a fault.
    """

    def __init__(
        self,
        box: Toolbox = _NO_TOOLS,
        *,
        starts_thinking: bool = False,
        reasoning: ReasoningMode | None = None,
        ends: bool = False,
        doubts: bool = False,
    ) -> None:
        self._box = box
        self.endless = Endless() if ends else None
        """What looks for repetition without end."""
        self._drops_reasoning = reasoning == "drop"
        self._keeps_tags = reasoning == "keep"
        self._starts_thinking = starts_thinking
        self._doubts = doubts
        self._parser = Parser(box, thinking=starts_thinking, keep_thinking=self._keeps_tags, doubts=doubts)
        self._said: list[str] = []
        self._inside: list[str] = []
        """What came while the answer seemed to be inside the reasoning."""
        self.mistaken = False
        """Whether the answer did not begin inside the reasoning, as was said."""
        self.thought_chars = 0
        """Characters of the thinking that came apart from the text."""
        self.usage: Usage | None = None
        self.finish: Finish | None = None
        self.stopped = False
        """Whether the rest of the answer is not wanted."""
        self.silent = False
        """Whether the answer was nothing, or nothing but thinking, where one was due."""
        self.untouched = True
        """Whether nothing has come."""
        self.originals: Originals | None = None
        """What puts back what the fence has changed in the question; None where that is nothing."""

    @property
    def said(self) -> str:
        """Everything that the model wrote, calls included, without thinking that came apart."""
        return "".join(self._said)

    @property
    def quoted(self) -> str:
        """The part of the answer that errors and the turns of a repair quote."""
        return self.said

    @property
    def truncated(self) -> bool:
        """Whether a limit ended the answer."""
        return self.finish is not None and self.finish.reason == "length"

    @property
    def confirmed(self) -> bool:
        """Whether the answer is complete as far as is known, and did not just end."""
        return not self.goes_on and (self.finish is None or self.finish.confirmed)

    @property
    def goes_on(self) -> str:
        """The words for an answer that would have repeated itself without end, "" for another."""
        return self.endless.what if self.endless is not None and self.endless.unit else ""

    def take(self, batch: Batch) -> list[Out]:
        """Take what came; return what goes out."""
        out: list[Out] = []
        take = self._take_piece
        self.untouched = False
        if self._take_words(batch, out):
            return out
        for part in batch:
            if self.stopped and not isinstance(part, Usage | Finish):
                continue
            if self.endless is not None and type(part) is Text and self.endless.feed(part.text):
                self.stopped = True
            if type(part) is Text and part.text and self._parser.passes(part.text):
                self._said.append(part.text)
                take(part, out)
                continue
            match part:
                case Text():
                    self._said.append(part.text)
                    if self._parser.inside:
                        self._inside.append(part.text)
                    for piece in self._parser.feed(part.text):
                        take(piece, out)
                    if self._parser.stopped and not self.stopped:
                        self._flush(out)
                        self.stopped = True
                case Reasoning():
                    if self._parser.inside:  # the service tells it apart itself
                        for piece in self._text_ended():
                            take(piece, out)
                    self.thought_chars += len(part.text)
                    take(part, out)
                case ToolCall():
                    self._said.append(f"{part.name}({dumps(part.arguments).decode()})")
                    self._native_call(self._original(part, out), out)
                case InvalidToolCall():
                    self._said.append(f"{part.name}({part.text})")
                    self._native_call(self._original(part, out), out)
                case Usage():
                    self.usage = part
                case Finish():
                    self.finish = part
                case _:
                    self._flush(out)
                    self._beside(part, out)
        return out

    def _take_words(self, batch: Batch, out: list[Out]) -> bool:
        """Take a batch of nothing but ordinary text, which is looked at as one; False for any other."""
        words = [part for part in batch if type(part) is Text]
        texts = [part.text for part in words]
        if self.stopped or self.endless is not None or len(texts) != len(batch) or not all(texts):
            return False
        if not self._parser.passes("".join(texts)):
            return False
        self._said += texts
        take = self._take_piece
        for part in words:
            take(part, out)
        return True

    def end(self) -> list[Out]:
        """Take the end of the answer; return what goes out at last."""
        out: list[Out] = []
        take = self._take_piece
        for piece in self._closed(truncated=self.truncated or not self.confirmed):
            take(piece, out)
        self._flush(out)
        return out

    def take_opened(self, batch: Batch, mark: ClosingMark) -> list[Out]:
        """Take an answer that is known whole and whose reasoning ends at a mark; return what goes out.

        No call and no object is looked for in the reasoning, also where it stays in the text.
        """
        out: list[Out] = []
        at, kept = 0, mark.end if self._keeps_tags else mark.start
        for part in batch:
            if type(part) is not Text:
                out += self.take([part])
                continue
            start, at = at, at + len(part.text)
            thought, text = part.text[: max(0, kept - start)], part.text[max(0, mark.end - start) :]
            if thought and self._keeps_tags:
                self._said.append(thought)
                self._take_piece(Text(thought), out)
            elif thought:
                out += self.take([Reasoning(thought)])
            if text := text if self._said else text.lstrip():
                out += self.take([Text(text)])
        return out

    @property
    def _take_piece(self) -> Callable[[Piece, list[Out]], None]:
        """What takes a piece of the parser's, which may hold what the fence has changed."""
        return self._piece if self.originals is None else self._put_back

    def _text_ended(self) -> list[Piece]:
        """Let the text end before what came beside it; return what the parser held of it."""
        held = self._closed()
        self._parser = Parser(self._box, keep_thinking=self._keeps_tags)
        return held

    def _closed(self, *, truncated: bool = False) -> list[Piece]:
        """Let the parser end; return what it held, or all where nothing has closed the reasoning.

        Then there was none, or it broke off: a call in it may have been only thought about.
        """
        held = self._parser.close(truncated=truncated)
        said = "".join(self._inside) if self._parser.inside else ""
        if not said.strip():
            return held
        self.mistaken = True
        parser = Parser(_NO_TOOLS if truncated else self._box, doubts=self._doubts)
        pieces = [*parser.feed(said), *parser.close()]
        # What is kept in the text has gone out as text.
        return [*held, *filter(_is_call, pieces)] if self._keeps_tags else pieces

    def _put_back(self, piece: Piece, out: list[Out]) -> None:
        """Take a piece, in which the originals are put back now that it is known what it is."""
        if isinstance(piece, RawCall):
            self._piece(self._original(piece, out), out)
        elif self.originals is not None:
            for part in self.originals.piece(piece):
                self._piece(part, out)

    def _original(self, call: CallT, out: list[Out]) -> CallT:
        """Return a call with the originals, behind the text that came before it."""
        self._flush(out)
        if self.originals is None:
            return call
        facts = {item.name: getattr(call, item.name) for item in fields(call) if item.name not in _OPAQUE}
        return replace(call, **self.originals.value(facts))

    def _flush(self, out: list[Out]) -> None:
        """Take the text of which the end might have become a changed string."""
        if self.originals is not None:
            for part in self.originals.flush():
                self._piece(part, out)

    @abstractmethod
    def _piece(self, piece: Piece, out: list[Out]) -> None:
        """Take a piece of the answer; what goes out is added to `out`."""

    def _native_call(self, call: ToolCall | InvalidToolCall, out: list[Out]) -> None:
        """Take a call that the service itself has separated from the text."""

    def _beside(self, part: Part, out: list[Out]) -> None:
        """Take what is no part of the answer's text; a refusal stands where an answer was due."""
        if isinstance(part, Refusal):
            self._said.append(part.text)
            self._piece(Text(part.text), out)


class CallReader(Reader[Part]):
    """Reads the answer of a model that was given tools.

    Args:
        judge: judges the calls; with an empty box everything is text.
        holds: nothing but thinking goes out before the end of the answer, so that an answer that
            breaks off can be asked for again; text then stays in `held_text`, since it may not be
            wanted.
        introduces: held text goes out before the first call.
        single: the first valid call ends the answer; `stopped` says so.
        reads_on: behind words, which may prove to be thinking, the answer is read to its end all the
            same; nothing more of it is taken.
        handed_out: the calls of earlier answers, which do not go out again where this one, which must
            then be held, restates them.
        faulty: the tools of the calls of the last answer that were complained about, "" for a call
            that names none: what corrects one of them may equal a call that has gone out.
        taken: the ids of the conversation's calls, which no new call gets: frameworks find the result
            of a call by its id, and some services count from 0 in each answer.
        doubted: texts that seemed to be meant as calls and were asked about: the same text again is
            the answer.
        settled: the calls whose results the model was just told; one that it makes again at once
            is in `repeated`, and so is one that equals the call before it. None lets every call
            through.
        rushes: a call behind one of another tool ends the answer, and is not made, where it tells what
            stands nowhere in the conversation: the result that it needs has not come.
        asked_twice: the model was given the tools in two ways, and may make one call in both.
        own_names: the tools' own names, by those that the service was told in their place.
    """

    def __init__(
        self,
        judge: Judge,
        *,
        holds: bool = False,
        introduces: bool = True,
        single: bool = False,
        reads_on: bool = False,
        handed_out: Collection[ToolCall] = (),
        faulty: Collection[str] = (),
        taken: Iterable[str] = (),
        doubted: Collection[str] = (),
        settled: Iterable[ToolCall] | None = None,
        rushes: bool = False,
        asked_twice: bool = False,
        own_names: Mapping[str, str] = _NO_NAMES,
        starts_thinking: bool = False,
        reasoning: ReasoningMode | None = None,
        ends: bool = False,
        doubts: bool = True,
    ) -> None:
        super().__init__(
            judge.box, starts_thinking=starts_thinking, reasoning=reasoning, ends=ends, doubts=doubts
        )
        self._judge = judge
        self._doubted = doubted
        self._holds = holds
        self._held_calls: Batch = []  # and the text that introduces them
        self._introduces = introduces
        self._single = single
        self._reads_on = reads_on
        self._has_enough = False
        self._handed_out = Counter(map(call_key, handed_out)) if handed_out else _NONE
        self._faulty = faulty
        self._equal: list[ToolCall] = []  # calls of this answer that equal ones that have gone out
        self._ids = {*taken, *[call.id for call in handed_out]}
        self._refuses_repeats = settled is not None
        self._just_made = {call_key(call) for call in settled or ()}
        self._in_a_row = 0
        self._rushes = rushes
        self._asked_twice = asked_twice
        self._own_names = own_names
        self._ways: dict[tuple[str, Any], bool] = {}
        self.native_calls = False
        """Whether a valid call came apart from the text."""
        self.text_calls = False
        """Whether a call to a bound tool came as text."""
        self.held_text: list[str] = []
        self.given_text: list[str] = []
        self.calls: list[ToolCall] = []
        self.repeated: list[ToolCall] = []
        self.complaints: list[Complaint] = []
        self.doubts: list[str] = []
        """The texts that seem to be meant as calls."""

    @property
    def answered(self) -> bool:
        """Whether there was text or a call, valid or not."""
        calls = self.calls or self.repeated or self.complaints
        return bool(calls or self.held_text or self.given_text)

    @property
    def data(self) -> str:
        """The whole text, where it is JSON that only names no tool; "" for any other answer."""
        calls = self.calls or self.repeated or not all(complaint.unbound for complaint in self.complaints)
        if calls or not self.complaints or "".join((*self.given_text, *self.held_text)).strip():
            return ""
        parser = Parser(thinking=self._starts_thinking and not self.mistaken, keep_thinking=self._keeps_tags)
        said = self.said if self.originals is None else self.originals.text(self.said)
        pieces = (*parser.feed(said), *parser.close())
        text = "".join([piece.text for piece in pieces if isinstance(piece, Text)])
        return text if _DATA.match(text) else ""

    def end(self) -> Batch:
        """Take the end of the answer; return what goes out at last."""
        out = [] if self.stopped else super().end()
        if self._equal:
            again = {call.id for call in self._equal if self._restates(call)}
            self.calls = [call for call in self.calls if call.id not in again]
            self._held_calls = [
                part for part in self._held_calls if not (isinstance(part, ToolCall) and part.id in again)
            ]
        return [*out, *self._held_calls]

    def add(self, raw: RawCall) -> Batch:
        """Take a call that came in another way; return what goes out."""
        out: Batch = []
        self._said.append(raw.source)
        self._call(raw, out)
        return out

    def _piece(self, piece: Piece, out: Batch) -> None:
        if self.stopped or self._has_enough:
            return
        if isinstance(piece, Text):
            if self._holds:
                self.held_text.append(piece.text)
            else:
                self.given_text.append(piece.text)
                out.append(piece)
        elif isinstance(piece, RawCall):
            if piece.doubtful and piece.source.strip() in self._doubted and not is_bare(piece.source):
                self._piece(Text(piece.source), out)
                return
            verdict = self._call(piece, out)
            shown = piece.doubtful or (isinstance(verdict, Complaint) and verdict.unbound)
            self.text_calls |= not shown  # which is to be a call without doubt
        elif not self._drops_reasoning:
            out.append(piece)

    def _native_call(self, call: ToolCall | InvalidToolCall, out: Batch) -> None:
        """Take a call beside the text: what the parser held has ended before it.

        White space before a call is no part of the answer.
        """
        if self._has_enough:
            return
        if call.name in self._own_names:
            call = replace(call, name=self._own_names[call.name])
        take = self._take_piece
        for piece in self._text_ended():
            if isinstance(piece, RawCall) and piece.doubtful:
                take(Text(piece.source), out)  # what was meant is this call
            elif not (isinstance(piece, Text) and piece.text.isspace()):
                take(piece, out)
        self._flush(out)
        if isinstance(call, InvalidToolCall):
            raw = _read_again(call)
        else:
            raw = RawCall(call.name, call.arguments, extra=call.extra)
        verdict = self._call(raw, out, call.id, native=True)
        self.native_calls |= not isinstance(verdict, Complaint)

    def _beside(self, part: Part, out: Batch) -> None:
        if self._holds:
            super()._beside(part, out)  # judged as words are
            return
        if isinstance(part, Refusal):
            self.given_text.append(part.text)
        out.append(part)

    def _call(
        self, raw: RawCall, out: Batch, call_id: str = "", *, native: bool = False
    ) -> ToolCall | Complaint:
        """Take a call; return what it was judged to be."""
        if raw.doubtful:
            self.doubts.append(raw.source.strip())
        verdict = self._judge.judge(raw, call_id="" if call_id in self._ids else call_id)
        if isinstance(verdict, Complaint):
            self.complaints.append(verdict)
            known = verdict.call or verdict.invalid
            self._ids.add(known.id if known is not None else "")
            return verdict
        key = call_key(verdict)
        if self._asked_twice and self._ways.setdefault(key, native) is not native:
            return verdict
        if self._handed_out[key]:
            self._handed_out[key] -= 1
            if not self._refuses_repeats:
                self._ids.add(verdict.id)
                self._equal.append(verdict)
                self.calls.append(verdict)
                self._held_calls.append(verdict)
            return verdict
        if self._rushes and self._is_rushed(verdict):
            self.stopped = True
            return verdict
        if key not in self._just_made:
            self._in_a_row = 0
        elif self._refuses_repeats:
            self.repeated.append(verdict)
            self.stopped = len(self.repeated) >= MAX_REPEATED
            return verdict
        self._just_made = {key}
        self._in_a_row += 1
        self._ids.add(verdict.id)
        self.calls.append(verdict)
        if self._holds:
            out = self._held_calls
        if self._introduces and self.held_text:
            text = "".join(self.held_text)
            self.held_text.clear()
            self.given_text.append(text)
            out.append(Text(text))
        out.append(verdict)
        if self._single and self._reads_on and not native and self._has_words():
            self._has_enough = True
        elif self._single or self._in_a_row == MAX_IN_A_ROW:
            self.stopped = True
        return verdict

    def _restates(self, call: ToolCall) -> bool:
        """Return whether a call that equals one that has gone out is that one, and corrects none.

        The answer then has more calls than were to be corrected, or several that have gone out and all
        of those; or no call of this tool was to be corrected.
        """
        if len(self.calls) + len(self.complaints) > len(self._faulty):
            return True
        if len(self._equal) > 1 and not any(self._handed_out.values()):
            return True
        return "" not in self._faulty and call.name not in self._faulty

    def _is_rushed(self, call: ToolCall) -> bool:
        """Return whether a call would tell the result of one that stands before it."""
        return any(made.name != call.name for made in self.calls) and self._judge.is_ahead(call)

    def _has_words(self) -> bool:
        """Return whether there has been any text."""
        return any(not text.isspace() for text in (*self.given_text, *self.held_text))


class ObjectReader(Reader[Out]):
    """Reads an answer that is to hold an object: `text` is all of it but the thinking."""

    def __init__(self, *, starts_thinking: bool = False, reasoning: ReasoningMode | None = None) -> None:
        # Thinking that stayed in the text would be searched for the object.
        mode = None if reasoning == "keep" else reasoning
        super().__init__(starts_thinking=starts_thinking, reasoning=mode, ends=True)
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self.committed = False
        """Whether the text has gone out: nothing can be found in it or asked for again any more."""

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """The thinking so far, where it is not dropped."""
        return "" if self.mistaken else "".join(self._reasoning)

    @property
    def quoted(self) -> str:
        """The text, without the thinking."""
        return self.text

    def _piece(self, piece: Piece, out: list[Out]) -> None:
        if isinstance(piece, Text):
            self._text.append(piece.text)
            self._more_text(piece, out)
        elif isinstance(piece, Reasoning) and not self._drops_reasoning:
            self._reasoning.append(piece.text)
            self._more_reasoning(piece, out)

    @abstractmethod
    def _more_text(self, piece: Text, out: list[Out]) -> None:
        """Take a piece of the text; what goes out is added to `out`."""

    def _more_reasoning(self, piece: Reasoning, out: list[Out]) -> None:
        """Take a piece of the thinking; what goes out is added to `out`."""


def _is_call(piece: Piece) -> bool:
    return isinstance(piece, RawCall)


def _read_again(call: InvalidToolCall) -> RawCall:
    """Read arguments that are JSON but no object: null may stand for none."""
    try:
        if call.name:
            return RawCall(call.name, loads(call.text), call.text)
    except ValueError:
        pass
    return RawCall(call.name, source=call.text, fault=call.error.rstrip("."))


def call_key(call: ToolCall) -> tuple[str, Any]:
    """Return a key that two equal calls have in common."""
    return call.name, dumps(call.arguments)
