"""Questions in a dataset of Ray Data: one actor on each node, which answers its blocks.

Ray Data runs a block again after a node was lost, and it may hold up an actor's event loop while it
waits for room. So every answer is in the store before its row leaves the actor, and the questions
are asked on a loop of our own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from freeproviders import bridge
from freeproviders.abilities import Askable
from freeproviders.answers.opening import store_place
from freeproviders.backend import Backend
from freeproviders.batch.engine import answered
from freeproviders.batch.ray.loading import check_ray, ray_module
from freeproviders.batch.ray.nodes import living
from freeproviders.batch.ray.shared import HERE, ledgers_of, place_name
from freeproviders.batch.ray.travel import check_no_secret, packed, unpacked
from freeproviders.batch.rows import Question, Row
from freeproviders.batch.tables.cells import as_text, encodable
from freeproviders.batch.tables.columns import Column, UnfitError, columns_of, fitted
from freeproviders.batch.tables.outcome import Outcome
from freeproviders.batch.tables.parquet import arrow_type, pyarrow
from freeproviders.batch.tables.questions import Questions
from freeproviders.batch.tables.record import Record
from freeproviders.batch.tables.template import Template
from freeproviders.errors import FreeProvidersError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

Asked = Question | FreeProvidersError
BLOCK_ROWS: Final = 64
"""Rows that an actor is given at once; Ray gives it four such batches at the same time."""


class Answerer:
    """The class for `Dataset.map_batches`: answers the rows of batches in Arrow's format.

    Equal questions are asked once, since Ray may run a batch again and its rows have no number. The
    batch gets the columns of a table of answers: the answer or the fields of its schema, what became
    of the row, which service answered, with how many tokens. A row that cannot be answered says why.

    Args:
        backend: what `arguments` has made of a backend.
        store: where answers are kept, as `open_store` takes it; "" is the node's own.
        run: under which name they are listed and deleted.
        template: the prompt, with the names of columns in braces.
        prompt_field: the column that holds the prompt.
        system: instructions for every row.
        settings: of the requests and of the run, as `freeproviders.batch.answered` takes them.

    Raises:
        UsageError: nodes on several machines do not share the store or the ledger.
    """

    def __init__(
        self,
        *,
        backend: bytes,
        store: str = "",
        run: str = "",
        template: str | None = None,
        prompt_field: str | None = None,
        system: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        made = unpacked(backend)
        check_shared(made, store)
        settings = dict(settings or {})
        form = settings.get("response_format")
        self._schema = form.get("json_schema", {}).get("schema") if isinstance(form, Mapping) else None
        self._questions = Questions(
            template=None if template is None else Template(template), field=prompt_field, system=system
        )
        self._looked = False
        self._waiting: asyncio.Queue[Asked] = asyncio.Queue()
        self._rows: dict[int, asyncio.Future[Row]] = {}
        self._given = 0
        self._over: BaseException | str | None = None
        self._run = answered(self._pulled(), made, store=store or None, run=run, dedupe=True, **settings)
        self._running: asyncio.Task[None] | None = None

    @staticmethod
    def arguments(backend: Backend | Askable, **arguments: Any) -> dict[str, Any]:
        """Return the `fn_constructor_kwargs` of this class, without a secret in them.

        Raises `UsageError` for a backend or a store with secrets of its own.
        """
        check_ray()
        made = Backend.of(backend)
        check_no_secret(str(arguments.get("store", "")).encode(), made.name)
        return {"backend": packed(made), **arguments}

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Answer the rows of a batch."""
        answered: pa.Table = await asyncio.to_thread(bridge.run, self._answered(batch))
        return answered

    # --- on our own loop ---

    async def _answered(self, batch: pa.Table) -> pa.Table:
        records = [
            Record(place, f"row {place + 1}", values) for place, values in enumerate(batch.to_pylist())
        ]
        if records and not self._looked:
            self._questions.look(batch.column_names, records[0].values)
            self._looked = True
        if self._running is None:
            self._running = asyncio.create_task(self._serve())
        futures = [self._ask(self._questions.question(record)) for record in records]
        rows = await asyncio.gather(*futures)
        arrow, _ = pyarrow()
        columns = columns_of(dict.fromkeys(batch.column_names, "text"), self._schema)
        outcomes = [_outcome(row, columns) for row in rows]
        for column in columns:
            if column.origin != "input":
                cells = [_cell(column, outcome) for outcome in outcomes]
                batch = batch.append_column(column.name, arrow.array(cells, type=arrow_type(column)))
        return batch

    def _ask(self, question: Asked) -> asyncio.Future[Row]:
        future: asyncio.Future[Row] = asyncio.get_running_loop().create_future()
        index, self._given = self._given, self._given + 1
        if isinstance(self._over, BaseException):
            future.set_exception(self._over)
        elif self._over is not None:
            future.set_result(Row(index=index, state="exhausted"))
        else:
            self._rows[index] = future
            self._waiting.put_nowait(question)
        return future

    async def _pulled(self) -> AsyncGenerator[Asked, None]:
        while True:
            yield await self._waiting.get()

    async def _serve(self) -> None:
        """Hand on rows as they end; after the end of the run, none is asked any more."""
        try:
            async for row in self._run:
                if not (future := self._rows.pop(row.index)).done():  # its batch was given up
                    future.set_result(row)
            self._over = self._run.report.why
        except Exception as error:  # noqa: BLE001 - raised in the batches
            self._over = error
        for index, future in self._rows.items():
            if future.done():
                continue
            if isinstance(self._over, BaseException):
                future.set_exception(self._over)
            else:
                future.set_result(Row(index=index, state="exhausted"))
        self._rows.clear()


def check_shared(backend: Backend, store: str) -> None:
    """Raise `UsageError` where nodes on several machines would keep answers or limits each for itself."""
    machines = {row["NodeManagerAddress"] for row in living(ray_module())}
    if len(machines) < 2:
        return
    if place_name(place := store_place(store or None)).startswith(HERE):
        raise UsageError(
            f"The store {place} is another one on each of the {len(machines)} machines of the cluster: name "
            "one Redis server for all, as store='redis://host:6379/0' or in FREEPROVIDERS_ANSWERS on every "
            "node."
        )
    if any(one.startswith(HERE) for one in ledgers_of(backend)):
        raise UsageError(
            f"Each of the {len(machines)} machines of the cluster would keep limits for itself, and together "
            "they would ask for more than is allowed: set FREEPROVIDERS_QUOTA to one Redis URL on every "
            "node before `ray start`."
        )


def answered_dataset(
    dataset: Any,
    backend: Backend | Askable,
    *,
    nodes: int | None = None,
    batch_size: int = BLOCK_ROWS,
    **arguments: Any,
) -> Any:
    """Return a dataset of Ray Data with the answers to its rows: one actor for each node.

    Args:
        dataset: the questions.
        backend: the backend that is asked, by each node with its own keys and addresses.
        nodes: how many actors there are; None is one for each node of the cluster.
        batch_size: rows that an actor is given at once.
        arguments: those of `Answerer`.
    """
    if nodes is None:
        ray = ray_module()
        nodes = len(living(ray)) if ray.is_initialized() else 1
    return dataset.map_batches(
        Answerer,
        fn_constructor_kwargs=Answerer.arguments(backend, **arguments),
        batch_format="pyarrow",
        batch_size=batch_size,
        concurrency=max(1, nodes),
        num_cpus=0.1,  # with one, and a processor on each node, none is left for the reader: nothing goes on
    )


def _outcome(row: Row, columns: Iterable[Column]) -> Outcome:
    """Return what became of a row; a field that does not fit its column is left out, with a word.

    The columns of a dataset have one type from its first block on, on whichever node.
    """
    fields = dict(row.data) if isinstance(row.data, Mapping) else {}
    said = [str(row.error)] if row.error else []
    for column in columns:
        if column.origin != "field" or column.key not in fields:
            continue
        try:
            fitted(fields[column.key], column, 0)
        except UnfitError:
            said.append(f"The column {column.name} cannot hold {as_text(fields.pop(column.key)):.200}.")
    return Outcome(row.state, row.completion, " ".join(said), row.tries, fields)


def _cell(column: Column, outcome: Outcome) -> Any:
    cell = fitted(column.value({}, outcome), column, 0)
    return encodable(cell) if isinstance(cell, str) else cell
