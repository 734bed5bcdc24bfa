"""A run over a table: its questions, and the table of their answers."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from time import time
from typing import Any, Final

from freeproviders.answers.entry import Entry
from freeproviders.answers.plain import error_to_plain
from freeproviders.answers.store import AnswerStore
from freeproviders.backend import Backend
from freeproviders.batch.engine import kept
from freeproviders.batch.rows import Question, Row
from freeproviders.batch.tables.columns import Column, Kind, columns_of, joined, kind_of
from freeproviders.batch.tables.outcome import Outcome
from freeproviders.batch.tables.output import Output, Piece, Results, pieces_of
from freeproviders.batch.tables.parquet import Parquet
from freeproviders.batch.tables.questions import Questions
from freeproviders.batch.tables.record import Record, Table
from freeproviders.errors import FreeProvidersError, UsageError
from freeproviders.types import as_messages
from freeproviders.usage import estimate_input_tokens

_SAMPLE: Final = 200
"""Questions whose tokens are estimated."""
_MOST_NAMED: Final = 3
"""Wrong rows that are named one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a table holds.

    Attributes:
        rows: how many rows it has.
        wrong: how many of them are no questions.
        named: the first of those, with their places.
        kinds: its columns, and the kinds of their values.
        input_tokens: the mean of the tokens of a question, by estimate.
    """

    rows: int
    wrong: int = 0
    named: tuple[str, ...] = ()
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    input_tokens: float = 0.0


class TableRun:
    """The questions of a table, and their answers.

    Args:
        table: the questions.
        questions: makes them of rows.
        backend: the backend that is asked.
        schema: the JSON schema of the answers, whose properties become columns.
        limit: at most so many rows, from the first; None is all.
        wording: writes an error, or what is told of one, with the user's names of arguments.

    Raises:
        UsageError: from `survey`: the table has no such columns, or cannot be read.
    """

    def __init__(
        self,
        table: Table,
        questions: Questions,
        backend: Backend,
        *,
        schema: Mapping[str, Any] | None = None,
        limit: int | None = None,
        wording: Callable[[FreeProvidersError | str], str] = str,
    ) -> None:
        self._table = table
        self._questions = questions
        self._backend = backend
        self._schema = schema
        self._limit = limit
        self._wording = wording
        self.found: Survey | None = None

    def survey(self) -> Survey:
        """Read the table once: whether its columns are there, how many rows, and which are wrong."""
        kinds, first = self._columns()
        if first is not None:
            self._questions.look(kinds, first.values)
        rows, wrong, tokens, asked = 0, 0, 0, 0
        named: list[str] = []
        for piece in self._pieces(carried=True):
            for record in piece.records:
                rows += 1
                made = self._questions.question(record)
                if isinstance(made, UsageError):
                    wrong += 1
                    if len(named) < _MOST_NAMED:
                        named.append(placed(record, str(made)))
                elif asked < _SAMPLE and (counted := self._tokens(made)) is not None:
                    asked += 1
                    tokens += counted
        self.found = Survey(
            rows=rows,
            wrong=wrong,
            named=tuple(named),
            kinds={name: kind or "text" for name, kind in kinds.items()},
            input_tokens=tokens / asked if asked else 0.0,
        )
        return self.found

    def rows(self) -> Rows:
        """Return the questions, as a run takes them."""
        return Rows(self._asked, 0 if self.found is None else self.found.rows)

    def columns(self) -> list[Column]:
        """Return the columns of the table of answers."""
        kinds = {} if self.found is None else self.found.kinds
        return columns_of(kinds, self._schema, calls=self._questions.source == "openai")

    async def write(self, output: Output, **keywords: Any) -> Counter[str]:
        """Write the table of answers, of what the store has; return how many rows are in which state.

        `keywords` are those of the run: its store, its settings, and what decides about equal rows.
        """
        states: Counter[str] = Counter()
        carries = output.kind == "parquet" and isinstance(self._table, Parquet)

        async def results() -> Results:
            states.clear()
            async for piece, rows in self._kept(carries=carries, **keywords):
                outcomes = [
                    self._outcome(record, row) for record, row in zip(piece.records, rows, strict=True)
                ]
                states.update([one.state for one in outcomes])
                yield piece, outcomes

        inputs = self._table.arrow if carries and isinstance(self._table, Parquet) else None
        await output.write(self.columns(), results, inputs=inputs)
        return states

    async def ask_again(
        self, states: Collection[str], *, store: AnswerStore, run: str = "", **keywords: Any
    ) -> int:
        """Let rows of some states be asked by the next start; return how many there are.

        `keywords` are those of the run.
        """
        number = 0
        async for _, rows in self._kept(carries=True, store=store, **keywords):
            again = [
                (row.key, Entry(state="failed", value=error_to_plain(row.error), at=time()))
                for row in rows
                if row.state in states and row.key and row.error is not None
            ]
            if again:
                await asyncio.wrap_future(store.put(again, run=run))
            number += len(again)
        return number

    async def _kept(self, *, carries: bool, **keywords: Any) -> AsyncGenerator[tuple[Piece, list[Row]], None]:
        waiting: deque[Piece] = deque()

        def asked() -> Iterator[Question | UsageError]:
            for piece in self._pieces(carried=carries):
                waiting.append(piece)
                for record in piece.records:
                    yield self._questions.question(record)

        rows: list[Row] = []
        async with aclosing(kept(asked(), self._backend, **keywords)) as found:
            async for row in found:
                rows.append(row)
                if len(rows) == len(waiting[0].records):
                    yield waiting.popleft(), rows
                    rows = []

    def _outcome(self, record: Record, row: Row) -> Outcome:
        """Return what became of a row; an error of the row itself names its place."""
        if row.completion is not None:
            return Outcome("done", row.completion, tries=row.tries, fields=_fields(row.data))
        error = row.error
        if error is None:
            said = "There is no answer yet." if row.state == "exhausted" else ""
            return Outcome(row.state, error=said, tries=row.tries)
        if isinstance(error, UsageError):  # in the names of the row's own fields
            return Outcome(row.state, error=placed(record, str(error)), tries=row.tries)
        said = self._wording(error)
        if row.state == "poisoned":
            failed = [one for one in row.trail if one.error]
            if {one.error for one in failed} - {str(error)}:  # else each has said the same
                tries = [f"{one.provider} {one.model}: {self._wording(one.error)}" for one in failed]
                said = " ".join([said, *(f"({number}) {one}" for number, one in enumerate(tries, 1))])
        return Outcome(row.state, error=said, tries=row.tries)

    def _asked(self) -> Iterator[Question | UsageError]:
        for piece in self._pieces(carried=True):
            for record in piece.records:
                yield self._questions.question(record)

    def _pieces(self, *, carried: bool) -> Iterator[Piece]:
        """Yield the rows; `carried` says that columns which no question needs may be left out."""
        wanted = self._questions.columns if carried else None
        return pieces_of(self._table, most=self._limit, carried=carried, columns=wanted)

    def _columns(self) -> tuple[dict[str, Kind | None], Record | None]:
        """Return all columns with their kinds, and the first row that can be used."""
        known = self._table.columns
        if known is not None:
            rows = (record for record in self._table.records() if not record.wrong)
            return dict.fromkeys(known, "text"), next(rows, None)
        kinds: dict[str, Kind | None] = {}
        first: Record | None = None
        for piece in self._pieces(carried=False):
            for record in piece.records:
                if first is None and not record.wrong:
                    first = record
                for name, value in record.values.items():
                    kinds[name] = joined(kinds.get(name), kind_of(value))
        return kinds, first

    def _tokens(self, question: Question) -> int | None:
        try:
            return estimate_input_tokens(as_messages(question.messages), self._backend.model)
        except UsageError:
            return None


class Rows:
    """The questions of a table, as often as they are iterated; their number is known."""

    def __init__(self, made: Callable[[], Iterator[Question | UsageError]], number: int) -> None:
        self._made = made
        self._number = number

    def __iter__(self) -> Iterator[Question | UsageError]:
        return self._made()

    def __len__(self) -> int:
        return self._number


def placed(record: Record, text: str) -> str:
    """Write what is wrong with a row, with its place in the table."""
    return f"{record.place[0].upper()}{record.place[1:]}: {text}"


def _fields(data: Any) -> Mapping[str, Any]:
    return data if isinstance(data, Mapping) else {}
