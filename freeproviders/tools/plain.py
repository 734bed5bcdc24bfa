"""Questions for words: thinking is set apart from text, and no tool may be called."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import ClassVar

from freeproviders.abilities import Answering
from freeproviders.errors import ToolCallError
from freeproviders.tools.fence import Fence
from freeproviders.tools.prompt import ToolPrompt, fill
from freeproviders.tools.read.cursor import RawCall
from freeproviders.tools.read.parser import Parser, Piece
from freeproviders.tools.readers import Reader
from freeproviders.tools.rounds import Fault, Question
from freeproviders.tools.tally import turns_again
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import (
    Batch,
    ChatRequest,
    InvalidToolCall,
    Part,
    Reasoning,
    ReasoningMode,
    Refusal,
    Text,
    ToolCall,
)


class PlainReader(Reader[Part]):
    """Separates reasoning from text; all of it goes out.

    No call to one of the `forbidden` tools goes out. An answer that begins with one is read no
    further; with `looks` that is looked for in the text as well, whose beginning waits until it is
    known.
    """

    answered = False
    """Whether there was text or a tool call."""
    calls_first = False
    """Whether the answer begins with a call that is forbidden."""

    def __init__(
        self,
        forbidden: Toolbox | None = None,
        *,
        looks: bool = True,
        starts_thinking: bool = False,
        reasoning: ReasoningMode | None = None,
    ) -> None:
        super().__init__(starts_thinking=starts_thinking, reasoning=reasoning)
        self._forbidden = forbidden
        self._probe = Parser(forbidden) if forbidden and looks else None
        self._waiting: list[Part] = []

    def end(self) -> list[Part]:
        """Take the end of the answer; return what goes out at last."""
        out = super().end()
        if self._probe is not None:
            self._begin(self._probe.close(truncated=self.truncated or not self.confirmed), out)
            out += self._waiting
        return out

    def _piece(self, piece: Piece, out: list[Part]) -> None:
        if isinstance(piece, Text):
            if self._probe is None:
                self.answered = True
                out.append(piece)
            elif not self.stopped:
                self._waiting.append(piece)
                self._begin(self._probe.feed(piece.text), out)
        elif isinstance(piece, Reasoning) and not self._drops_reasoning:
            out.append(piece)

    def _begin(self, pieces: list[Piece], out: list[Part]) -> None:
        """Decide about the beginning of the answer, if these pieces of it show what it is."""
        first = next((piece for piece in pieces if not isinstance(piece, Reasoning)), None)
        if isinstance(first, RawCall) and self._forbidden and self._forbidden.match(first.name):
            self.calls_first = self.stopped = True
            self._waiting.clear()
        elif first is not None:
            self._probe = None
            self.answered = True
            out += self._waiting
            self._waiting = []

    def _native_call(self, call: ToolCall | InvalidToolCall, out: list[Part]) -> None:
        if self._forbidden:
            if not self.answered:
                self.calls_first = self.stopped = True
            return
        for piece in self._text_ended():
            self._take_piece(piece, out)
        self._flush(out)
        self.answered = True
        out.append(call)

    def _beside(self, part: Part, out: list[Part]) -> None:
        self.answered = self.answered or isinstance(part, Refusal)
        out.append(part)


class PlainQuestion(Question[Part, PlainReader]):
    """A question without tools or schema: only thinking is separated from text."""

    judges: ClassVar[bool] = False

    def __init__(
        self,
        backend: Answering,
        request: ChatRequest,
        prompt: ToolPrompt,
        *,
        fence: Fence | None = None,
        begun: AsyncGenerator[Batch, None] | None = None,
    ) -> None:
        super().__init__(backend, request, prompt)
        self._fence = fence
        self._begun = begun

    def _ask(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        begun, self._begun = self._begun, None
        return super()._ask(request) if begun is None else begun

    def _next_request(self) -> ChatRequest:
        return self._changed()

    def _reader(self) -> PlainReader:
        return PlainReader(starts_thinking=self._starts_thinking, reasoning=self._request.reasoning)

    def _is_empty(self, reader: PlainReader) -> bool:
        return not reader.answered

    def _ending(self, reader: PlainReader) -> Batch:
        return [self._tally.usage, self._finish(reader)]


class WordsQuestion(PlainQuestion):
    """A question to a model that knows tools, none of which may be called now.

    An answer that begins with a call all the same is asked for in words, once; the next is taken as
    it is, since what looks like a call may have been asked for.
    """

    def __init__(
        self,
        backend: Answering,
        request: ChatRequest,
        prompt: ToolPrompt,
        box: Toolbox,
        fence: Fence | None,
    ) -> None:
        super().__init__(backend, request, prompt, fence=fence)
        self._box = box

    def _reader(self) -> PlainReader:
        return PlainReader(
            self._box,
            looks=not (self._tally.repairs or self._tally.exhausted),
            starts_thinking=self._starts_thinking,
            reasoning=self._request.reasoning,
        )

    def _is_empty(self, reader: PlainReader) -> bool:
        return not (reader.answered or reader.calls_first)

    def _fault_of(self, reader: PlainReader) -> Fault | None:
        if not reader.calls_first:
            return None
        what = "No function can be called now."
        return Fault(what, fill(self._prompt.in_words, complaint=what), ToolCallError)

    def _ask_again(self, reader: PlainReader, fault: Fault) -> None:
        turns = turns_again(reader.quoted, fault.turn)
        self._request = replace(self._request, messages=(*self._request.messages, *turns))
