"""The base of all embedders, and all the ways to ask."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from freeproviders import bridge
from freeproviders.checks import one_of, seconds
from freeproviders.deadlines import running_loop
from freeproviders.embeddings.block import Block, Call, Turn
from freeproviders.embeddings.kept import Kept
from freeproviders.embeddings.result import Collected, EmbeddedBatch, Embeddings
from freeproviders.embeddings.source import VectorSource
from freeproviders.embeddings.texts import checked
from freeproviders.errors import FamilyMismatchError, FreeProvidersError
from freeproviders.naming import joined
from freeproviders.tokens.upper import prepare
from freeproviders.wire.embeddings.request import ROLES, Role

Progress = Callable[[int, int], None]
"""Called with the texts that are done and the texts in all."""

_TEXTS: Final = 96
"""Texts of a request where no cap is known."""
_AHEAD: Final = 4
"""Blocks that may be asked for beyond those that fill the slots, so that a slow one holds up no other."""
_WINDOW: Final = 4000
"""Texts of a stream that are looked up in a cache before requests are made of those that are missing."""
WAIT_SECONDS: Final = 120.0
"""How long a request waits for a service that says when to come back: longer than a minute's limit."""


class Embedder(VectorSource):
    """An object that makes vectors of one family.

    A subclass has what `VectorSource` says: a `name`, a `model`, `family`, `caps` and `ask`.
    """

    _learns_size = False

    async def embed(
        self,
        texts: str | Iterable[str],
        *,
        role: Role = "document",
        truncate: bool = False,
        wait_up_to: float | None = WAIT_SECONDS,
        progress: Progress | None = None,
    ) -> Embeddings:
        """Make the vectors of texts, in their order; a bare text is one.

        Args:
            texts: what to embed, in memory as a whole; `stream` takes more than that.
            role: "document" for what is to be found, "query" for what finds.
            truncate: whether a text that is longer than the model's window is cut; the result says
                which. Else it is refused.
            wait_up_to: seconds that each request may wait for room in a limit, or for a service
                that says when to come back. None is the rule of `Retry`.
            progress: called with the texts done and the texts in all, after each block.

        Raises:
            UsageError: an argument cannot work; nothing was sent.
            BadTextsError: single texts got no vector; the error has the vectors of the others.
            ProviderError: the service failed, or refuses every text.
        """
        found = checked(texts)
        whole = Collected(len(found))
        call = self._call(role, truncate, wait_up_to, alone=len(found) == 1)
        try:
            async with aclosing(self._collected(call, found, whole)) as steps:
                async for _ in steps:
                    if progress is not None:
                        progress(whole.done, len(found))
        except FreeProvidersError as error:
            self._tell_what_is_kept(error, whole.done, len(found))
            raise
        return whole.result(self.family)

    def embed_sync(
        self,
        texts: str | Iterable[str],
        *,
        role: Role = "document",
        truncate: bool = False,
        wait_up_to: float | None = WAIT_SECONDS,
        progress: Progress | None = None,
    ) -> Embeddings:
        """Do as `embed`, in code without an event loop."""
        return bridge.run(
            self.embed(texts, role=role, truncate=truncate, wait_up_to=wait_up_to, progress=progress)
        )

    async def stream(
        self,
        texts: Sequence[str],
        *,
        role: Role = "document",
        truncate: bool = False,
        wait_up_to: float | None = WAIT_SECONDS,
        progress: Progress | None = None,
        turn: Turn | None = None,
    ) -> AsyncGenerator[EmbeddedBatch, None]:
        """Make vectors block by block, in the order of the texts; arguments are those of `embed`.

        No more than some blocks are in memory. A text that got no vector is in its batch's `bad`;
        where there is one text only, its error is raised. Closing the stream ends its requests.
        `turn` is awaited before each request, but not before one that is made again.
        """
        call = self._call(role, truncate, wait_up_to, alone=len(texts) == 1)
        call.turn = turn
        done = 0
        try:
            if call.kept is None:
                async with aclosing(self._asked(call, texts)) as batches:
                    async for batch in batches:
                        done += batch.count
                        if progress is not None:
                            progress(done, len(texts))
                        yield batch
                return
            for start in range(0, len(texts), _WINDOW):
                some = texts[start : start + _WINDOW]
                whole = Collected(len(some))
                told = 0
                async with aclosing(self._collected(call, some, whole)) as steps:
                    async for there in steps:
                        done = start + whole.done
                        if progress is not None:
                            progress(done, len(texts))
                        if there > told:
                            yield whole.batch(start, told, there)
                            told = there
        except FreeProvidersError as error:
            self._tell_what_is_kept(error, done, len(texts))
            raise

    def _call(self, role: Role, truncate: bool, wait_up_to: float | None, *, alone: bool) -> Call:
        running_loop()
        one_of("role", role, ROLES)
        if wait_up_to is not None:
            seconds("wait_up_to", wait_up_to)
        kept = None
        if self.cache is not None:
            family = self.family
            self._learns_size = self._learns_size or family.size is None
            if self._learns_size:  # what is kept for the model tells, and is told, when its size changes
                family = replace(family, size=None)
            kept = Kept(cache=self.cache, family=family, role=role, truncate=truncate, options=self.options)
        return Call(
            embedder=self,
            role=role,
            truncate=truncate,
            wait_up_to=wait_up_to,
            alone=alone,
            slots=asyncio.Semaphore(self.caps.concurrency),
            probing=asyncio.Lock(),
            kept=kept,
        )

    async def _collected(
        self, call: Call, texts: Sequence[str], whole: Collected
    ) -> AsyncGenerator[int, None]:
        """Put the vectors of texts together: those that are kept, and the others as they come.

        Yields, after each step, how many texts from the first one on are done.
        """
        asked: Sequence[str] = texts
        places: list[list[int]] | None = None
        try:
            if call.kept is not None:
                missing, size = await call.kept.look_up(texts, whole)
                if size is not None:
                    self.check_size(size)
                asked, places = list(missing), list(missing.values())
                if whole.done:
                    yield places[0][0] if places else len(texts)
            async with aclosing(self._asked(call, asked)) as batches:
                async for batch in batches:
                    if places is None:
                        whole.add(batch)
                        yield whole.done
                        continue
                    whole.scatter(batch, places)
                    end = batch.start + batch.count
                    yield places[end][0] if end < len(places) else len(texts)
        except FamilyMismatchError as error:
            if call.kept is not None and call.kept.family.size is None and not error.advice:
                error.advice = call.kept.cache.advice(error.stored)
            raise

    async def _asked(self, call: Call, texts: Sequence[str]) -> AsyncGenerator[EmbeddedBatch, None]:
        """Ask for the vectors of texts, block by block, in their order."""
        if call.truncate or self.caps.tokens is not None:  # tokens are estimated, from data in a file
            await asyncio.to_thread(prepare)
        blocks = self._blocks(call, texts)
        running: deque[asyncio.Task[EmbeddedBatch]] = deque()
        try:
            while True:
                while len(running) < self.caps.concurrency + _AHEAD and (block := next(blocks, None)):
                    running.append(asyncio.create_task(block.run()))
                if not running:
                    return
                try:
                    batch = await running[0]
                except BaseExceptionGroup as group:
                    raise _first_of(group) from None
                running.popleft()
                yield batch
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _blocks(self, call: Call, texts: Sequence[str]) -> Iterator[Block]:
        most = self.caps.texts or _TEXTS
        return (Block(call, at, texts[at : at + most]) for at in range(0, len(texts), most))

    def _tell_what_is_kept(self, error: FreeProvidersError, done: int, count: int) -> None:
        """Say in an error's advice what became of the vectors that came before it."""
        if not done or isinstance(error, FamilyMismatchError):
            return
        words = f"{done} of {count} texts had their vectors."
        if self.cache is not None:
            words = f"{done} of {count} texts have their vectors in {self.cache.path}: call again to go on."
        error.advice = joined(error.advice, words)


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group: those beside it are of the same call."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
