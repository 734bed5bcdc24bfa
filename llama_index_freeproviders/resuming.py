"""A query engine whose responses are kept, so that a long evaluation goes on where it was ended."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing, closing
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.response.schema import RESPONSE_TYPE, Response
from llama_index.core.prompts.mixin import PromptDictType, PromptMixin, PromptMixinType
from llama_index.core.schema import NodeWithScore, QueryBundle

from freeproviders.answers.store import AnswerStore
from freeproviders.batch.resumable import IN_FLIGHT, Outcome, Resumable
from freeproviders.errors import UsageError
from llama_index_freeproviders.values import values_of


def resumable(
    engine: Any,
    *,
    name: str,
    store: str | Path | AnswerStore | None = None,
    types: Sequence[type[Any]] = (),
    dedupe: bool = False,
    again: bool = False,
) -> ResumableQueryEngine:
    """Return a query engine whose responses are kept on disk, so that no question is asked twice.

    It is a query engine like the one that is given, with its callbacks and prompts, and has
    `batch`, `abatch`, `batch_as_completed` and `abatch_as_completed` beside. They take questions one
    by one from any iterable, so that memory holds what is in flight. What was answered before the
    process ended is answered from the store at the next start.

    Args:
        engine: a query engine, or any object with `query` and `aquery`. It must not stream.
        name: what is asked, with its version. The engine itself is no part of a key: take another
            name when you change it.
        store: a path, a `redis://` URL, "memory", or a `freeproviders.answers.AnswerStore`; None is
            `FREEPROVIDERS_ANSWERS`, else the user's own file.
        types: classes in responses beside LlamaIndex's responses and nodes: models of pydantic,
            dataclasses, named tuples, enumerations.
        dedupe: whether equal questions of a batch are one; else each is asked.
        again: whether questions whose errors are kept are asked once more.

    Raises:
        UsageError: the name is empty, one of `types` cannot be kept, or the engine cannot be asked.
        AnswerStoreError: there can be no store at that place.

    Examples:
        ```python
        engine = resumable(index.as_query_engine(), store="eval.db", name="rag-v1")
        async for place, response in engine.abatch_as_completed(questions, concurrency=8):
            print(place, response)
        ```
    """
    return ResumableQueryEngine(engine, name=name, store=store, types=types, dedupe=dedupe, again=again)


class ResumableQueryEngine(BaseQueryEngine):
    """A query engine whose responses are kept by their questions; `resumable` makes one."""

    def __init__(
        self,
        engine: Any,
        *,
        name: str,
        store: str | Path | AnswerStore | None = None,
        types: Sequence[type[Any]] = (),
        dedupe: bool = False,
        again: bool = False,
    ) -> None:
        if not (hasattr(engine, "query") and hasattr(engine, "aquery")):
            raise UsageError(
                f"engine must be a query engine, or have query and aquery, not {type(engine).__name__}."
            )
        super().__init__(getattr(engine, "callback_manager", None))
        self._engine = engine
        self._core = Resumable("llama_index", name, store, values_of(types), dedupe=dedupe, again=again)

    # --- what it is ---

    @property
    def name(self) -> str:
        """What is asked, with its version."""
        return self._core.name

    # The names of prompts are the engine's: LlamaIndex cannot change one that is two modules deep.

    def _get_prompts(self) -> dict[str, Any]:
        own = self._engine._get_prompts() if isinstance(self._engine, PromptMixin) else {}  # noqa: SLF001
        return dict(own)

    def _get_prompt_modules(self) -> PromptMixinType:
        own = self._engine._get_prompt_modules() if isinstance(self._engine, PromptMixin) else {}  # noqa: SLF001
        return dict(own)

    def _update_prompts(self, prompts: PromptDictType) -> None:
        if isinstance(self._engine, PromptMixin):
            self._engine._update_prompts(prompts)  # noqa: SLF001 - the mixin's own way down

    def retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """Retrieve as the engine does; nothing is kept."""
        found: list[NodeWithScore] = self._engine.retrieve(query_bundle)
        return found

    def synthesize(
        self,
        query_bundle: QueryBundle,
        nodes: list[NodeWithScore],
        additional_source_nodes: Sequence[NodeWithScore] | None = None,
    ) -> RESPONSE_TYPE:
        """Synthesize as the engine does; nothing is kept."""
        made: RESPONSE_TYPE = self._engine.synthesize(query_bundle, nodes, additional_source_nodes)
        return made

    async def asynthesize(
        self,
        query_bundle: QueryBundle,
        nodes: list[NodeWithScore],
        additional_source_nodes: Sequence[NodeWithScore] | None = None,
    ) -> RESPONSE_TYPE:
        """Synthesize as the engine does; nothing is kept."""
        made: RESPONSE_TYPE = await self._engine.asynthesize(query_bundle, nodes, additional_source_nodes)
        return made

    # --- one question ---

    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        row = self._row(query_bundle)
        row.outcome = self._core.call_sync(row.key, lambda: _response(self._engine.query(query_bundle)))
        found: RESPONSE_TYPE = _shown(row.outcome) if row.in_batch else self._core.settled_sync(row.outcome)
        return found

    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        row = self._row(query_bundle)

        async def ask() -> Any:
            return _response(await self._engine.aquery(query_bundle))

        row.outcome = await self._core.call(row.key, ask)
        found: RESPONSE_TYPE = _shown(row.outcome) if row.in_batch else await self._core.settled(row.outcome)
        return found

    def _row(self, query_bundle: QueryBundle) -> _Row:
        row = _asked.get()
        if row is None or row.owner is not self:
            return _Row(self, self._core.key(query_bundle), in_batch=False)
        _asked.set(None)  # it is of this question, not of those that the engine asks for it
        return row

    # --- many questions ---

    def batch(
        self,
        queries: Iterable[str | QueryBundle],
        *,
        concurrency: int = IN_FLIGHT,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """Return the responses to questions, in their order; see `batch_as_completed`."""
        found = self.batch_as_completed(queries, concurrency=concurrency, return_exceptions=return_exceptions)
        return [response for _, response in sorted(found, key=_place)]

    async def abatch(
        self,
        queries: Iterable[str | QueryBundle] | AsyncIterable[str | QueryBundle],
        *,
        concurrency: int = IN_FLIGHT,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """Return the responses to questions, in their order; see `abatch_as_completed`."""
        found = self.abatch_as_completed(
            queries, concurrency=concurrency, return_exceptions=return_exceptions
        )
        return [response for _, response in sorted([one async for one in found], key=_place)]

    def batch_as_completed(
        self,
        queries: Iterable[str | QueryBundle],
        *,
        concurrency: int = IN_FLIGHT,
        return_exceptions: bool = False,
    ) -> Iterator[tuple[int, Any]]:
        """Yield the places of questions with their responses, as those are kept.

        Args:
            queries: any number, taken one by one when there is room.
            concurrency: questions at a time.
            return_exceptions: whether an error takes the place of its response. Else the first ends
                the batch: what runs is waited for and kept, and the error is raised.

        Raises:
            UsageError: the first response is of a type that cannot be kept.
            AnswerStoreError: the store cannot be read or written.
        """
        found = self._core.outcomes_sync(
            map(_bundle, queries), self._called, in_flight=concurrency, errors=return_exceptions
        )
        with closing(found):
            for outcome in found:
                yield outcome.index, outcome.output if outcome.error is None else outcome.error

    async def abatch_as_completed(
        self,
        queries: Iterable[str | QueryBundle] | AsyncIterable[str | QueryBundle],
        *,
        concurrency: int = IN_FLIGHT,
        return_exceptions: bool = False,
    ) -> AsyncIterator[tuple[int, Any]]:
        """Do as `batch_as_completed`, on the caller's event loop; questions may come asynchronously too."""
        bundles = _abundles(queries) if isinstance(queries, AsyncIterable) else map(_bundle, queries)
        found = self._core.outcomes(bundles, self._acalled, in_flight=concurrency, errors=return_exceptions)
        async with aclosing(found):
            async for outcome in found:
                yield outcome.index, outcome.output if outcome.error is None else outcome.error

    def _called(self, _: int, query: Any, key: bytes) -> Outcome:
        row = _Row(self, key, in_batch=True)
        token = _asked.set(row)
        try:
            self.query(query)
        except Exception:
            if row.outcome is None or row.outcome.error is None:
                raise
        finally:
            _asked.reset(token)
        return _ended(row)

    async def _acalled(self, _: int, query: Any, key: bytes) -> Outcome:
        row = _Row(self, key, in_batch=True)
        token = _asked.set(row)
        try:
            await self.aquery(query)
        except Exception:
            if row.outcome is None or row.outcome.error is None:
                raise
        finally:
            _asked.reset(token)
        return _ended(row)


@dataclass(slots=True)
class _Row:
    """One question on its way through LlamaIndex's `query`, and what became of it."""

    owner: ResumableQueryEngine
    key: bytes
    in_batch: bool
    outcome: Outcome | None = None


_asked: Final[ContextVar[_Row | None]] = ContextVar("freeproviders_resumable_row", default=None)


def _ended(row: _Row) -> Outcome:
    if row.outcome is None:
        raise AssertionError("LlamaIndex's query method did not call _query.")
    return row.outcome


def _shown(outcome: Outcome) -> Any:
    if outcome.error is not None:
        raise outcome.error
    return outcome.output


def _response(found: Any) -> Any:
    """Return what LlamaIndex takes for a response, as its own engines of functions do with a text."""
    return Response(found) if isinstance(found, str) else found


def _bundle(query: Any) -> Any:
    return QueryBundle(query) if isinstance(query, str) else query


async def _abundles(queries: AsyncIterable[Any]) -> AsyncIterator[Any]:
    async for query in queries:
        yield _bundle(query)


def _place(one: tuple[int, Any]) -> int:
    return one[0]
