"""Asking a model until its answer is good: one loop for calls, typed answers and thinking."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

from freeproviders import journal
from freeproviders.abilities import Answering
from freeproviders.errors import (
    BadRequestError,
    EmptyResponseError,
    OutputError,
    ProviderError,
    ToolCallError,
)
from freeproviders.retry import Patience
from freeproviders.tools.fence import Fence
from freeproviders.tools.prompt import ToolPrompt, worded
from freeproviders.tools.quirks import quirks_for
from freeproviders.tools.read.thinking import CLOSED_UNOPENED, ClosingMark, closing_mark
from freeproviders.tools.readers import Out, Reader
from freeproviders.tools.schema.validate import loaded
from freeproviders.tools.tally import Tally
from freeproviders.types import Batch, ChatRequest, Finish, Reasoning, Text

R = TypeVar("R", bound=Reader)  # type: ignore[type-arg]  # of the same `Out` as the question


@dataclass(frozen=True, slots=True)
class Fault:
    """The fault of an answer.

    `what` says it, `turn` asks the model again, `error` is raised when there is no asking again;
    `final` says that there is none, since the answer has gone out.
    """

    what: str
    turn: str
    error: type[OutputError]
    final: bool = False


class Question(ABC, Generic[Out, R]):
    """One question, asked in rounds.

    A subclass writes the request and makes the reader of each round, judges each answer, and asks
    again.
    """

    judges: ClassVar[bool] = True
    """Whether an answer is judged by a schema."""

    _fence: Fence | None = None
    """The fence of the question's texts, whose originals are put back in the answers."""
    _starts_thinking = False
    """Whether the answer that is read next begins inside the thinking."""

    def __init__(self, backend: Answering, request: ChatRequest, prompt: ToolPrompt) -> None:
        self._backend = backend
        self._request = request
        self._patience = Patience.of(request, backend.retry)
        self._model = request.model or backend.model
        self._quirks = quirks_for(backend, self._model)
        self._prompt = worded(prompt, self._quirks.words)
        self._tally = Tally(backend, self._model, request.max_repairs)
        self._broken = 0
        """The requests of this round that broke off."""

    async def rounds(self) -> AsyncGenerator[list[Out], None]:
        """Ask until the answer is good or there is no asking again; stream what goes out.

        Where the request is not streamed, nothing goes out before the end. A request that breaks
        off before anything of its answer has gone out is sent again as the backend's `Retry` and
        `wait_up_to` allow, which count for all rounds together.
        """
        if self.judges:
            await loaded()
        streamed, patience = self._request.stream, self._patience
        waiting: list[Out] = []  # what goes out at the end
        while True:
            request, reader = self._next_request(), self._next_reader()
            out_here: list[Out] = []
            came: Batch | None = []  # as long as nothing has gone out that cannot be taken back
            judged = patience.judged
            try:
                async with aclosing(self._ask(request)) as batches:
                    async for batch in batches:
                        if came is not None:
                            came += batch
                        if out := reader.take(batch if streamed else _joined(batch)):
                            if streamed:
                                if came is not None and self._binds(out):
                                    came = None
                                yield out
                            else:
                                out_here += out
                        if reader.stopped:
                            break
                reader, out_here = self._ended(reader, came, out_here)
            except (BadRequestError, ToolCallError) as error:
                if came is not None and not reader.said and self._put_otherwise(error):
                    continue
                salvaged = self._salvaged(error, reader)
                if salvaged is None:
                    raise
                out_here += [*salvaged, *reader.end()]
                self._answered(request, reader)
            except ProviderError as error:
                if await self._is_sent_again(error, request, reader, None if came is None else judged):
                    continue
                if not reader.silent:
                    raise
                out_here = []
            else:
                self._answered(request, reader)
            if not streamed:
                waiting += out_here
            elif out_here:
                yield out_here
            fault = self._fault_of(reader)
            if fault is None:
                yield [*waiting, *self._ending(reader)]
                return
            self._repair(reader, fault)

    async def _is_sent_again(
        self, error: ProviderError, request: ChatRequest, reader: R, judged: int | None
    ) -> bool:
        """Return whether a request that failed is sent again, after the wait for that.

        `judged` were the requests whose errors had been judged before it, None where some of the
        answer has gone out.
        """
        if reader.untouched and self._put_otherwise(error):
            return True
        reader.silent = isinstance(error, EmptyResponseError) and self._mends_silence
        delay = self._broke_off(error, request, reader, judged)
        if delay is None:
            return False
        await asyncio.sleep(delay)
        return True

    def _broke_off(
        self, error: ProviderError, request: ChatRequest, reader: R, judged: int | None
    ) -> float | None:
        """Count a request that broke off; return the seconds until it is sent again, None for never."""
        delay = None
        # What failed before anything came has been tried again by the backend itself.
        if judged is not None and not (reader.silent or reader.untouched):
            unjudged = error.attempts - (self._patience.judged - judged)
            delay = self._patience.delay(error, max(1, unjudged))
        if delay is not None and journal.http.isEnabledFor(journal.INFO):
            why = journal.reason(error)
            journal.http.info("%s: broke off, again in %.2f s: %s", self._named, delay, why)
        self._tally.broke_off(request, reader, error.attempts)
        self._broken = error.attempts = self._broken + error.attempts
        return delay

    def _ended(self, reader: R, came: Batch | None, out: list[Out]) -> tuple[R, list[Out]]:
        """Take the end of an answer; return its reader, and all that goes out and has not yet.

        If a mark closes thinking that nothing has opened, all that `came` is read anew, as long as
        nothing of it has gone out (else None): no call in the thinking is made, no object found.
        """
        mark = closing_mark(reader.said)
        if mark is not None and came is not None:
            reader = self._next_reader(starts_thinking=False)
            out = reader.take_opened(_joined(came), mark)
        end = self._end_of(reader)
        if reader.mistaken and came is not None:
            out = [part for part in out if type(part) is not Reasoning]
        self._learn_of_thinking(reader, mark)
        return reader, [*out, *end]

    def _learn_of_thinking(self, reader: R, mark: ClosingMark | None) -> None:
        """Remember whether the model's answers begin inside the thinking, if this one shows it."""
        learned, finish = self._backend.learned, reader.finish
        if mark is not None:
            learned.prove("begins_thinking", self._model, CLOSED_UNOPENED)
        elif (
            reader.mistaken
            and reader.confirmed
            and not self._request.stop
            and finish is not None
            and finish.reason in {"stop", "tool_calls"}
        ):
            learned.disprove("begins_thinking", self._model, "An answer closed no thinking.")

    def _answered(self, request: ChatRequest, reader: R) -> None:
        """Count a request that was answered."""
        self._tally.answered(request, reader)
        self._broken = 0

    def _end_of(self, reader: R) -> list[Out]:
        """Take the end of an answer; raise `EmptyResponseError` where it was nothing but thinking.

        A token limit, a filter and a stop sequence may leave nothing, and say so in the `Finish`.
        """
        out = reader.end()
        reason = "stop" if reader.finish is None else reader.finish.reason
        limited = reason == "content_filter" or self._request.may_be_empty(reason, thought=True, said=True)
        if limited or not self._is_empty(reader):
            return out
        error = EmptyResponseError(
            "The answer holds thinking, but no text and no tool call.",
            provider=self._backend.name,
            model=self._model,
        )
        error.attempts = 1 if reader.finish is None else reader.finish.attempts
        raise error

    def _repair(self, reader: R, fault: Fault) -> None:
        """Prepare the next round; raise the fault's error where there is none."""
        if self._starts_over(reader):
            return
        if fault.final or self._tally.exhausted:
            error = fault.error(
                fault.what,
                said=reader.quoted,
                attempts=self._tally.repairs + 1,
                provider=self._backend.name,
                model=self._model,
            )
            error.usage, error.finish = self._tally.usage, self._finish(reader)
            raise error
        self._tally.repairs += 1
        if journal.tools.isEnabledFor(journal.INFO):
            journal.tools.info(
                "%s: the output was no good (%s), asked again (%d of %d)",
                self._named,
                fault.error.__name__,
                self._tally.repairs,
                self._request.max_repairs,
            )
        self._ask_again(reader, fault)

    @property
    def _named(self) -> str:
        """Who is asked, for the log."""
        return journal.shown(f"{self._backend.name} {self._model}")

    def _finish(self, reader: R, **changes: Any) -> Finish:
        """The end of the last answer, with the number of all requests."""
        finish = reader.finish or Finish(
            reason="unknown" if reader.goes_on else "stop", provider=self._backend.name, model=self._model
        )
        if not changes and finish.attempts == self._tally.requests:
            return finish
        return replace(finish, attempts=self._tally.requests, **changes)

    def _binds(self, _out: list[Out]) -> bool:
        """Return whether what goes out cannot be taken back, as a draft can be."""
        return True

    def _ask(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Ask the backend."""
        return self._backend.batches(request)

    def _next_reader(self, *, starts_thinking: bool = True) -> R:
        """Make the next reader; without `starts_thinking`, of an answer that begins as any other."""
        self._starts_thinking = starts_thinking and (
            self._quirks.thinking or self._backend.learned.proves("begins_thinking", self._model)
        )
        reader = self._reader()
        if self._fence is not None:
            reader.originals = self._fence.originals
        return reader

    def _changed(self, **changes: Any) -> ChatRequest:
        """Write a request of this question: the caller's, with changes."""
        # Asked again, a model may well have words: only the caller's own word lets an answer be empty.
        on_empty = self._request.on_empty or "error"
        return self._request.changed(patience=self._patience, on_empty=on_empty, **changes)

    @abstractmethod
    def _next_request(self) -> ChatRequest:
        """Write the request of the next round."""

    @abstractmethod
    def _reader(self) -> R:
        """Make the reader for the answer of the next round."""

    def _put_otherwise(self, _error: ProviderError | OutputError) -> bool:
        """Put the question in another way than the one that failed; False where there is none."""
        return False

    def _starts_over(self, _reader: R) -> bool:
        """Put the question in another way, at no repair's cost; False where the model is to blame."""
        return False

    def _salvaged(self, error: BadRequestError | ToolCallError, _reader: R) -> list[Out] | None:
        """Read what a service sent along with an error; None where there is nothing to read."""
        self._tally.spent(error)
        return None

    @property
    def _mends_silence(self) -> bool:
        """Whether an answer that is empty is no error yet, but judged as any other."""
        return False

    def _is_empty(self, _reader: R) -> bool:
        """Return whether an answer is to be judged as empty; one that is judged otherwise is not."""
        return False

    def _fault_of(self, _reader: R) -> Fault | None:
        """Judge a whole answer; None is a good one."""
        return None

    @abstractmethod
    def _ending(self, reader: R) -> list[Out]:
        """Return the parts that go out at the end of a good answer."""

    def _ask_again(self, reader: R, fault: Fault) -> None:
        """Prepare the next round."""


def _joined(batch: Batch) -> Batch:
    """Join pieces of text that follow each other: where nothing is shown, they are read as one."""
    out: Batch = []
    texts: list[str] = []
    for part in batch:
        if type(part) is Text:
            texts.append(part.text)
            continue
        if texts:
            out.append(Text("".join(texts)))
            texts.clear()
        out.append(part)
    if texts:
        out.append(Text("".join(texts)))
    return out
