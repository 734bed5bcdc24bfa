"""A batch from its plan to its last row, as the command line runs it."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf, isfinite
from pathlib import Path
from time import monotonic
from typing import Any, Final, Literal

from freeproviders.answers.entry import Run
from freeproviders.answers.opening import open_store
from freeproviders.answers.store import AnswerStore
from freeproviders.backend import Backend
from freeproviders.batch import Answered, Progress, Report, answered
from freeproviders.batch.forecast import RowCost, seconds_for, supplies_of
from freeproviders.batch.tables.note import RunNote, alone, moment
from freeproviders.batch.tables.output import Output
from freeproviders.batch.tables.questions import Questions
from freeproviders.batch.tables.record import Format
from freeproviders.batch.tables.run import Survey, TableRun
from freeproviders.batch.tables.source import format_of, open_table, sniffed
from freeproviders.batch.tables.template import Template
from freeproviders.batch.tables.writers import WRITABLE
from freeproviders.batch.terms import with_terms
from freeproviders.cli import choosing, kept, terminal
from freeproviders.cli.batch_display import BatchDisplay
from freeproviders.cli.commands import INTERRUPTED_EXIT, LEFT_EXIT
from freeproviders.cli.moments import shown_length, shown_moment
from freeproviders.errors import FreeProvidersError, UsageError
from freeproviders.router.router import FreeProviders

_LOOK_SECONDS: Final = 0.5
_NOTE_SECONDS: Final = 2.0
_FORECAST_SECONDS: Final = 5.0
_USUAL_OUTPUT_TOKENS: Final = 300
"""Tokens of an answer, before the first ones are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command was told."""

    table: Path
    table_name: str
    output: Path | None
    reading: Format | None
    writing: Format | None
    encoding: str | None
    template: Path | None
    prompt_field: str | None
    schema: Mapping[str, Any] | None
    system: str | None
    settings: dict[str, Any] = field(default_factory=dict)
    limit: int | None
    store: str | None
    overwrite: bool
    accepted: tuple[str, ...]
    wait: bool
    until: datetime | None
    reserve: float
    in_flight: int | None
    dedupe: bool | None
    retry: tuple[str, ...]
    engine: Literal["local", "ray"]
    quiet: bool


class BatchRun:
    """One start of a batch.

    Raises `UsageError` where it cannot work, before anything is sent.
    """

    def __init__(self, backend: Backend, options: Options) -> None:
        self._options = options
        self._output = Output(options.output, _writing(options))
        self._table = open_table(options.table, _reading(options), encoding=options.encoding)
        if self._output.path is not None and self._output.path == options.table.resolve():
            raise UsageError(f"{self._output.path} is the table of the questions: name another --output.")
        template = None if options.template is None else Template(_text(options.template))
        self._backend, self._left_out = with_terms(backend, options.accepted)
        self._store: AnswerStore = open_store(options.store)
        self._name = "" if self._output.path is None else str(self._output.path)
        self._run = TableRun(
            self._table,
            Questions(
                template=template,
                field=options.prompt_field,
                system=options.system,
                settings=options.settings,
            ),
            self._backend,
            schema=options.schema,
            limit=options.limit,
            wording=_worded,
        )
        self._kept = {"store": self._store, "dedupe": options.dedupe, **options.settings}
        self._progress = Progress()
        self._display = BatchDisplay(self._progress, quiet=options.quiet)
        self._stopped = False
        self._unnoted = False

    def run(self) -> int:
        """Run it, and return the exit code."""
        if not self._name:
            return self._alone(RunNote(output=""))
        with alone(self._name):
            before = RunNote.of(self._name)
            if before is None and self._is_anothers() and not self._options.overwrite:
                raise UsageError(
                    f"{self._name} is there, and no batch is known that wrote it: name another --output, "
                    "or write over it with --overwrite."
                )
            return self._alone(before or RunNote(output=self._name, began=moment(datetime.now(UTC))))

    def _is_anothers(self) -> bool:
        path = self._output.path
        return path is not None and path.exists() and path.stat().st_size > 0

    def _alone(self, note: RunNote) -> int:
        survey = self._run.survey()
        self._introduce(survey, note)
        note.source, note.store = self._options.table_name, self._store.place
        note.rows, note.ended, note.why, note.soonest = survey.rows, False, "", ""
        if self._name:
            note.save()
        if self._options.engine == "local":  # else each node has weights of its own
            choosing.make_ready(self._backend)
        try:
            return asyncio.run(self._asked(survey, note))
        except KeyboardInterrupt:
            terminal.say("Left at once. What was answered is stored: the same command goes on.")
            return INTERRUPTED_EXIT

    # --- before the first question ---

    def _introduce(self, survey: Survey, note: RunNote) -> None:
        rows = f"{survey.rows:,} row{'s' if survey.rows != 1 else ''}"
        terminal.say(f"{self._options.table_name}: {rows}.")
        if survey.wrong:
            more = " ..." if survey.wrong > len(survey.named) else ""
            terminal.say(f"{survey.wrong:,} of them cannot be asked: {' '.join(survey.named)}{more}")
        renamed = [f"{one.key} is {one.name}" for one in self._run.columns() if one.key != one.name]
        if renamed and self._name:
            terminal.say(f"Columns whose names are taken: {', '.join(renamed)}.")
        for one in self._left_out:
            terminal.say(f"{one.service} is not asked. {terminal.renamed(one.why)}")
        terminal.say(f"Asked: {self._who()}. Answers are stored in {self._store.place}.")
        if self._store.place == "memory":
            terminal.say("They are gone at the end: the same command asks all rows again.")
        elif note.states and note.rows:
            done = note.states.get("done", 0)
            terminal.say(
                f"Going on: {kept.counted(done, 'row')} {_be(done, 'was', 'were')} done, "
                f"{note.left:,} left, as of "
                f"{shown_moment(datetime.fromisoformat(note.updated))}."
            )

    def _who(self) -> str:
        backend = self._backend
        if isinstance(backend, FreeProviders):
            return ", ".join(member.name for member in backend.members)
        return " ".join(filter(None, (backend.name, backend.model)))

    # --- the run ---

    async def _asked(self, survey: Survey, note: RunNote) -> int:
        options = self._options
        if options.retry:
            number = await self._run.ask_again(options.retry, run=self._name, **self._kept)
            terminal.say(f"{kept.counted(number, 'row')} {_be(number)} asked again.")
        await self._foretell(survey)
        run = answered(
            self._run.rows(),
            self._backend,
            run=Run(name=self._name, source=options.table_name),
            until=options.until,
            wait=options.wait,
            reserve=options.reserve,
            in_flight=options.in_flight,
            accept_terms=options.accepted,
            engine=options.engine,
            progress=self._progress,
            **self._kept,
        )
        with self._signals(run):
            watching = asyncio.create_task(self._watch(survey, note))
            try:
                with self._display.shown():
                    async with aclosing(run):
                        async for _ in run:
                            pass
            except FreeProvidersError as error:
                note.why = terminal.in_options(error)
                raise
            finally:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
                self._note(note, run.report)
        try:
            states = await self._run.write(self._output, **self._kept)
        except (FreeProvidersError, OSError) as error:
            note.why = terminal.in_options(error)
            self._save(note)
            raise
        note.states, note.ended = dict(states), True
        self._save(note)
        return self._tell(states, run.report, survey.rows)

    def _signals(self, run: Answered) -> Any:
        return _Signals(run, self._stop)

    def _stop(self, run: Answered) -> None:
        self._stopped = True
        run.stop("It was stopped.")
        terminal.say("Ending: the rows in flight have a moment. Ctrl-C again leaves at once.")

    async def _watch(self, survey: Survey, note: RunNote) -> None:
        """Show and note the state now and then, and reckon when it ends."""
        speed = _Speed()
        noted = foretold = monotonic()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            speed.look(self._progress)
            self._display.update()
            if monotonic() - noted >= _NOTE_SECONDS:
                noted = monotonic()
                self._note(note, None)
            if monotonic() - foretold >= _FORECAST_SECONDS:
                foretold = monotonic()
                self._display.ends = await self._ends(survey, speed)

    async def _ends(self, survey: Survey, speed: _Speed) -> datetime | None:
        progress = self._progress
        supplies = await supplies_of(
            self._backend,
            _cost(survey, progress, self._options),
            keep=self._options.reserve,
            speed=speed.most,
        )
        limited = any(one.bounds for one in supplies)
        seconds = seconds_for(progress.left or 0, supplies, speed.most if limited else speed.mean(progress))
        return datetime.now(UTC) + timedelta(seconds=seconds) if isfinite(seconds) else None

    async def _foretell(self, survey: Survey) -> None:
        """Say when it may have ended, by the limits alone."""
        options = self._options
        cost = _cost(survey, self._progress, options)
        supplies = await supplies_of(self._backend, cost, keep=options.reserve)
        if not survey.rows or not all(one.bounds for one in supplies):
            return
        seconds = seconds_for(survey.rows, supplies)
        if seconds < 1.0:
            return
        if not isfinite(seconds):
            terminal.say("The limits never allow that many rows.")
            return
        kept = f" {options.reserve:.0%} of a day's stay free (--reserve)." if options.reserve else ""
        terminal.say(f"By the limits alone, all rows take at least {shown_length(seconds)}.{kept}")

    def _note(self, note: RunNote, report: Report | None) -> None:
        progress = self._progress
        note.states = {name: number for name, number in progress.states.items() if number}
        note.services = dict(progress.services.most_common())
        note.ends = moment(self._display.ends)
        if report is not None:
            note.why, note.soonest = note.why or terminal.told(report.why), moment(report.soonest)
        self._save(note)

    def _save(self, note: RunNote) -> None:
        """Write the note; where that cannot be done the run goes on, and it is said once."""
        if not self._name or self._unnoted:
            return
        try:
            note.save()
        except UsageError as error:
            self._unnoted = True
            terminal.say(terminal.in_options(error))

    # --- the end ---

    def _tell(self, states: Counter[str], report: Report, rows: int) -> int:
        where = f" {self._name}" if self._name else ""
        done, refused, poisoned, left = [
            states[state] for state in ("done", "refused", "poisoned", "exhausted")
        ]
        have = "has an answer" if done == 1 else "have answers"
        said = [f"{done:,} of {kept.counted(rows, 'row')} {have}."]
        if refused:
            said.append(f"{refused:,} {_be(refused, 'was', 'were')} refused.")
        if poisoned:
            said.append(f"{poisoned:,} {_be(poisoned, 'was', 'were')} given up after several failures.")
        terminal.say(" ".join(said) + where)
        if left:
            terminal.say(f"{left:,} {_be(left)} left. {terminal.told(report.why)}")
            if not report.waiting_helps:
                terminal.say("The same command goes on once that is mended.")
            elif self._store.place != "memory":
                again = "" if report.soonest is None else f" from {shown_moment(report.soonest)} on"
                terminal.say(f"The same command goes on with {'it' if left == 1 else 'them'}{again}.")
        if self._stopped:
            return INTERRUPTED_EXIT
        if left and report.waiting_helps:
            return LEFT_EXIT
        return 1 if refused or poisoned or left else 0


def _be(number: int, one: str = "is", several: str = "are") -> str:
    return one if number == 1 else several


class _Speed:
    """How quickly answers come: on the average, and at the best."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []
        self.most = inf

    def look(self, progress: Progress) -> None:
        """Note how many there are by now."""
        now = monotonic()
        self._seen.append((now, progress.answered))
        while len(self._seen) > 2 and self._seen[1][0] < now - max(5.0, progress.seconds / 10):
            self._seen.pop(0)
        (first, before), (last, by_now) = self._seen[0], self._seen[-1]
        if last > first and by_now > before:
            speed = (by_now - before) / (last - first)
            self.most = speed if not isfinite(self.most) else max(self.most, speed)

    def mean(self, progress: Progress) -> float:
        """Return the rows a second of the last while, 0 before the first."""
        (first, before), (last, by_now) = self._seen[0], self._seen[-1]
        if last > first and by_now > before:
            return (by_now - before) / (last - first)
        return progress.answered / progress.seconds if progress.answered else 0.0


class _Signals:
    """Ends a run at the first Ctrl-C or SIGTERM, and leaves at the second."""

    def __init__(self, run: Answered, stop: Any) -> None:
        self._run, self._stop = run, stop
        self._presses = 0

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self._heard)

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.remove_signal_handler(number)

    def _heard(self) -> None:
        self._presses += 1
        if self._presses == 1:
            self._stop(self._run)
        else:
            raise KeyboardInterrupt


def _worded(said: FreeProvidersError | str) -> str:
    return terminal.told(said) if isinstance(said, str) else terminal.in_options(said)


def _reading(options: Options) -> Format | None:
    if options.reading is not None or options.table_name != "standard input":
        return options.reading
    return sniffed(options.table)


def _writing(options: Options) -> Format:
    if options.writing is not None:
        return options.writing
    if options.output is None:
        return "jsonl"
    kind = format_of(options.output)
    if kind is None or kind not in WRITABLE or options.output.suffix == ".gz":
        raise UsageError(
            f"The name of {options.output} does not tell how to write it: it may end in .jsonl, .csv, "
            ".tsv or .parquet, or --to names the format."
        )
    return kind


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").removesuffix("\n")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text in UTF-8.") from None


def _cost(survey: Survey, progress: Progress, options: Options) -> RowCost:
    """Return what a row takes: by those that were answered, else by estimate."""
    if number := progress.answered:
        return RowCost(1.0, progress.input_tokens / number, progress.output_tokens / number)
    most = options.settings.get("max_tokens")
    return RowCost(1.0, survey.input_tokens, min(most or _USUAL_OUTPUT_TOKENS, _USUAL_OUTPUT_TOKENS))
