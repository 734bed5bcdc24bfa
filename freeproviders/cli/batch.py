"""`freeproviders batch`: the questions of a table, asked over hours or days."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from freeproviders.cli import choosing, options, terminal
from freeproviders.cli.commands import Command, WithRun, examples, variables
from freeproviders.cli.moments import read_moment, shown_moment

if TYPE_CHECKING:
    from freeproviders.backend import Backend

TABLES: Final = "The tables"
RUN: Final = "The run"
Reading = Literal["jsonl", "csv", "tsv", "parquet", "text"]
Writing = Literal["jsonl", "csv", "tsv", "parquet"]

app = typer.Typer(cls=WithRun, help="Ask the questions of a table.")


@app.command(cls=Command, hidden=True)
@examples(
    "freeproviders batch questions.csv -o answers.csv",
    "freeproviders batch questions.csv -o answers.jsonl --template prompt.txt",
    "freeproviders batch questions.csv -o answers.parquet --service groq --wait",
    "freeproviders batch status answers.csv",
)
@variables(
    FREEPROVIDERS_ANSWERS="The usual --store.",
    FREEPROVIDERS_STATE="The folder of what is noted of batches.",
)
def run(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help='The questions: a file of JSON lines, CSV, Parquet or text, or "-" for standard input.',
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help='The answers: .jsonl, .csv, .tsv or .parquet, or "-" for standard output.',
            rich_help_panel=TABLES,
            show_default=False,
        ),
    ],
    template: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="A text with {column} where a row's cell is put in: the prompt.",
            rich_help_panel=TABLES,
        ),
    ] = None,
    prompt_field: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help='The column with the prompt, or with messages. Without it "messages" or "prompt".',
            rich_help_panel=TABLES,
            show_default=False,
        ),
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="A JSON schema: each of its properties becomes a column.",
            rich_help_panel=TABLES,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only the first N rows.", rich_help_panel=TABLES)
    ] = None,
    reading: Annotated[
        Reading | None,
        typer.Option(
            "--from", metavar="FORMAT", help="jsonl, csv, tsv, parquet or text.", rich_help_panel=TABLES
        ),
    ] = None,
    writing: Annotated[
        Writing | None,
        typer.Option("--to", metavar="FORMAT", help="jsonl, csv, tsv or parquet.", rich_help_panel=TABLES),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The table's own, as cp1252: else UTF-8.", rich_help_panel=TABLES),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Write over a file that is no batch's output.", rich_help_panel=TABLES
        ),
    ] = False,
    models: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help='"auto" for what is free for you, the default; or several, as groq,gemini,ollama/llama3.2.',
            rich_help_panel=options.BACKEND,
        ),
    ] = None,
    provider: options.Provider = None,
    service: options.Service = None,
    model: options.Model = None,
    base_url: options.BaseUrl = None,
    api_key: options.ApiKey = None,
    proxy: options.Proxy = None,
    accept_terms: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="A service whose terms allow evaluation or non-commercial use only: it is asked.",
            rich_help_panel=options.BACKEND,
        ),
    ] = None,
    system: options.System = None,
    temperature: options.Temperature = None,
    max_tokens: options.MaxTokens = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", help="Wait for limits of hours and days, else end there.", rich_help_panel=RUN
        ),
    ] = False,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="When to stop: 2026-12-01, 18:00, or a length as 8h.",
            rich_help_panel=RUN,
        ),
    ] = None,
    reserve: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0.0,
            max=0.99,
            help="The share of each day's limits that is left to your other programs.",
            rich_help_panel=RUN,
        ),
    ] = 0.2,
    in_flight: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Rows asked at the same time; else by the backend.", rich_help_panel=RUN
        ),
    ] = None,
    dedupe: Annotated[
        bool | None,
        typer.Option(
            "--dedupe/--no-dedupe",
            help="Ask equal rows once; else only at temperature 0.",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    retry: Annotated[
        str | None,
        typer.Option(
            metavar="STATES",
            help="Ask rows again that are refused, poisoned or both: refused,poisoned.",
            rich_help_panel=RUN,
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Where answers are kept: a file, or redis://... for several machines.",
            rich_help_panel=RUN,
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(
            "--engine", metavar="NAME", help='"ray": the nodes of a Ray cluster ask.', rich_help_panel=RUN
        ),
    ] = "local",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress.", rich_help_panel=RUN)
    ] = False,
    verbose: Annotated[int, options.verbose(RUN)] = 0,
) -> None:
    """Ask the questions of a table, and write a table with their answers.

    Each answer is stored before its row counts as done. So the same line again goes on where it
    stopped, whether by Ctrl-C, by a limit or by a power cut, and asks nothing twice. Rows that
    cannot be asked are named; the others are done. `freeproviders batch status FILE` says how far
    it is.
    """
    from freeproviders.cli.batch_run import BatchRun, Options
    from freeproviders.cli.remarks import warnings_as_remarks

    ends = None if until is None else read_moment(until, "--until")
    states = _states(retry)
    form, plain = _form(schema)
    terminal.log(verbose)
    settings = {"temperature": temperature, "max_tokens": max_tokens, "response_format": form}
    with warnings_as_remarks(), _read(table) as source:
        usual = choosing.Usual.of(provider, service, base_url, model, system)
        backend = _backend(models, usual, api_key, proxy, named=(provider, service, base_url, model))
        batch = BatchRun(
            backend,
            Options(
                table=source,
                table_name="standard input" if str(table) == "-" else str(table.expanduser().absolute()),
                output=None if str(output) == "-" else output,
                reading=reading,
                writing=writing,
                encoding=encoding,
                template=template,
                prompt_field=prompt_field,
                schema=plain,
                system=usual.system,
                settings={name: value for name, value in settings.items() if value is not None},
                limit=limit,
                store=store,
                overwrite=overwrite,
                accepted=tuple(accept_terms or ()),
                wait=wait,
                until=ends,
                reserve=reserve,
                in_flight=in_flight,
                dedupe=dedupe,
                retry=states,
                engine=engine,
                quiet=quiet,
            ),
        )
        code = batch.run()
    if code:
        raise typer.Exit(code)


@app.command(cls=Command)
@examples("freeproviders batch status answers.csv", "freeproviders batch status answers.csv --json")
def status(
    output: Annotated[
        Path, typer.Argument(metavar="FILE", help="The output of the batch.", show_default=False)
    ],
    as_json: Annotated[bool, options.as_json()] = False,
) -> None:
    """Show how far a batch is: its rows by state, the services that answered, and when it will end.

    It may be running, have ended or have been killed. Nothing is sent to a service.
    """
    from dataclasses import asdict

    from freeproviders.batch.tables.note import RunNote, is_running

    path = str(output.expanduser().resolve())
    note = RunNote.of(path)
    if note is None:
        raise typer.BadParameter(f"No batch with the output {path} was begun here.", param_hint="FILE")
    runs = is_running(path)
    if as_json:
        terminal.show_json({**asdict(note), "left": note.left, "running": runs}, indent=2)
        return
    for line in _status(note, runs=runs):
        typer.echo(terminal.printable(line))


def _status(note: Any, *, runs: bool) -> Iterator[str]:
    from freeproviders.cli.kept import counted

    yield f"{note.source} -> {note.output}"
    states = note.states
    yield (
        f"{states.get('done', 0):,} of {counted(note.rows, 'row')} done, {note.left:,} left, "
        f"{states.get('refused', 0):,} refused, {states.get('poisoned', 0):,} given up."
    )
    if note.services:
        said = ", ".join(f"{name} {number:,}" for name, number in note.services.items())
        yield f"Answered in the latest start: {said}."
    if runs:
        yield f"It is running, as of {_shown(note.updated)}."
        if note.ends:
            yield f"It ends about {_shown(note.ends)}."
    elif note.ended and not note.left:
        yield f"It ended at {_shown(note.updated)}."
    else:
        yield f"It stopped, as of {_shown(note.updated)}. {note.why or 'It was killed.'}"
        if note.soonest:
            yield f"Questions may be asked again from {_shown(note.soonest)} on."
        yield "The same command as before goes on with it."


def _shown(moment: str) -> str:
    return shown_moment(datetime.fromisoformat(moment))


# --- options --------------------------------------------------------------------------------------


def _states(text: str | None) -> tuple[str, ...]:
    states = tuple(one.strip() for one in (text or "").split(",") if one.strip())
    for one in states:
        if one not in {"refused", "poisoned"}:
            raise typer.BadParameter(f"{one!r} is none of refused and poisoned.", param_hint="--retry")
    return states


def _form(schema: Path | None) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    if schema is None:
        return None, None
    from freeproviders.cli.schema_file import response_format

    form = response_format(schema)
    return form, form["json_schema"]["schema"]


@contextmanager
def _read(table: Path) -> Iterator[Path]:
    """Give the file of a table; standard input becomes one, which is read again and again."""
    if str(table) != "-":
        yield table.expanduser()
        return
    if terminal.is_terminal(sys.stdin) or sys.stdin is None:
        raise typer.BadParameter("Standard input is a terminal: pipe a table into it.", param_hint="TABLE")
    import shutil
    import tempfile

    # In a folder, since Windows opens no file twice that goes when it is closed.
    with tempfile.TemporaryDirectory(prefix="freeproviders-") as folder:
        path = Path(folder, "table")
        with path.open("wb") as spooled:
            shutil.copyfileobj(sys.stdin.buffer, spooled)
        yield path


def _backend(
    models: str | None,
    usual: choosing.Usual,
    api_key: str | None,
    proxy: str | None,
    *,
    named: Sequence[str | None],
) -> Backend:
    if models is not None and any(one is not None for one in named):
        raise typer.BadParameter(
            "It names what answers, and so does another option: choose one.", param_hint="--models"
        )
    members = [one.strip() for one in (models or "auto").split(",") if one.strip()]
    if models is not None:
        for option, given in (("--api-key", api_key), ("--proxy", proxy)):
            if given is not None:
                raise typer.BadParameter(
                    "It belongs to one service: name a --service or a --provider.", param_hint=option
                )
        from freeproviders.cli.routed import router

        return router(None, None, members=[] if members == ["auto"] else members)
    configuration = {
        "service": usual.service,
        "base_url": usual.base_url,
        "api_key": api_key,
        "proxy": proxy,
    }
    name = choosing.named(usual.provider, usual.service, usual.model)
    return choosing.backend(name, usual.model, None, configuration)
