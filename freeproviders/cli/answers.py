"""`freeproviders answers`: stored answers, listed by run and deleted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from freeproviders.cli import kept, options, terminal
from freeproviders.cli.commands import Command, Group, examples, variables

if TYPE_CHECKING:
    from freeproviders.answers.store import AnswerStore, Kept

_UNITS: Final = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
_AGE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([mhdw])")
_OF_NO_RUN: Final = "(no run)"
_VARIABLES: Final = {"FREEPROVIDERS_ANSWERS": "where answers are kept, in place of the usual file"}

app = typer.Typer(cls=Group, no_args_is_help=True, help="List and delete stored answers.")

_Store = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="PLACE",
        help="A file, or redis://..., as it was passed as cache= or store=.",
    ),
]


@app.command("list", cls=Command)
@variables(**_VARIABLES)
@examples("freeproviders answers list", "freeproviders answers list --json")
def list_(
    store: _Store = "",
    as_json: Annotated[bool, options.as_json()] = False,
) -> None:
    """List the runs whose answers are kept: what became of their rows, how large, and from when.

    Of questions a hash is kept alone. What `cache=` keeps belongs to no run.
    """
    opened, found = _found(store)
    if as_json:
        report = {"store": opened.place, "runs": [_facts(one) for one in found]}
        terminal.show_json(report, indent=2)
        return
    if not found:
        terminal.say(f"Nothing is kept in {opened.place}.")
        return
    terminal.say(f"{opened.place}: {kept.amount(sum(one.bytes for one in found))}")
    terminal.show_table(
        ("Run", "Rows", "Kept", "Size", "First", "Latest"), [_line(one) for one in found], narrowest=90
    )


@app.command(cls=Command)
@variables(**_VARIABLES)
@examples(
    "freeproviders answers delete --older-than 30d --yes",
    "freeproviders answers delete --all --yes",
)
def delete(
    run: Annotated[
        str, typer.Argument(metavar="[RUN]", help="The run, as `freeproviders answers list` names it.")
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="Delete all answers.")] = False,
    of_no_run: Annotated[
        bool, typer.Option("--cache", help="Delete what belongs to no run: what cache= has kept.")
    ] = False,
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than", metavar="AGE", help="Only what is older: 30d, 12h, 90m, 2w. Alone: of all runs."
        ),
    ] = "",
    store: _Store = "",
    sure: options.Yes = False,
) -> None:
    """Delete the answers of a run, or all: their questions are asked again when they are needed.

    An answer belongs to the run that has asked for it, also where others have found it later. On a
    server, which others may share, nothing is deleted unless `--store` names it.
    """
    from freeproviders.errors import AnswerStoreError

    if bool(run) + everything + of_no_run > 1 or not (run or everything or of_no_run or older_than):
        raise typer.BadParameter("Name a run, or pass --all, --cache or --older-than.", param_hint="RUN")
    age = _seconds(older_than) if older_than else None
    _refuse_what_is_shared(store)
    try:
        opened, found = _found(store)
    except AnswerStoreError as error:
        if _removed(store, str(error), everything=everything and age is None, sure=sure):
            return
        raise
    name = _named(run, found) if run else "" if of_no_run else None
    chosen = [one for one in found if name in {None, one.run.name} and _is_older(one, age)]
    if run and name not in {one.run.name for one in found}:
        raise typer.BadParameter(f"No run {run!r} is kept in {opened.place}.", param_hint="RUN")
    if not chosen:
        terminal.say(f"Nothing of that is kept in {opened.place}.")
        return
    if not sure:
        runs = kept.counted(len(chosen), "run") if name is None else chosen[0].run.name or _OF_NO_RUN
        which = f"What is older than {older_than}, of {runs}" if older_than else f"What is kept of {runs}"
        entries = "" if older_than else f" ({_entries(sum(sum(one.states.values()) for one in chosen))})"
        kept.confirm(f"{which}, in {opened.place}{entries}, is deleted.")
    number = opened.delete(name, older_than=age).result()
    opened.close()
    if name and not number:
        typer.echo("Deleted: the run, which has no answers of its own.")
    else:
        typer.echo(f"Deleted: {_entries(number)}.")
    if name and age is None and number < (chosen[0].run.rows or 0):
        terminal.say(
            "An answer belongs to the run that has asked for it. Answers that this run has found belong to "
            "others, or to no run: `freeproviders answers list` names them."
        )


def _found(store: str) -> tuple[AnswerStore, list[Kept]]:
    """Return a store and what it keeps; a file that does not exist is not made."""
    from freeproviders.answers.opening import is_begun, open_store

    opened = open_store(store or None)
    return opened, opened.kept().result() if is_begun(store or None) else []


def _refuse_what_is_shared(store: str) -> None:
    from freeproviders.answers.opening import is_on_a_server, open_store

    if not store and is_on_a_server():
        raise typer.BadParameter(
            f"The answers at {open_store().place} may be others' too: name the place to delete some there.",
            param_hint="--store",
        )


def _removed(store: str, damage: str, *, everything: bool, sure: bool) -> bool:
    """Delete the user's own file where it is damaged and all is to go; return whether that was so.

    A file that was named may be anything.
    """
    from freeproviders.answers.opening import default_path, open_store
    from freeproviders.errors import AnswerStoreError
    from freeproviders.private_file import FileError
    from freeproviders.sqlite_file import remove

    opened = open_store(store or None)
    if opened.place != str(default_path().absolute()):
        return False
    if not everything:
        raise typer.BadParameter(f"{damage} `--all` deletes the file.", param_hint="RUN")
    if not sure:
        kept.confirm(damage)
    opened.close()
    try:
        remove(default_path())
    except FileError as error:
        raise AnswerStoreError(str(error)) from error
    typer.echo(f"Deleted: {default_path().absolute()}.")
    return True


def _named(run: str, found: list[Kept]) -> str:
    """Return the name of a run: as it was given, or as the path of its output."""
    from pathlib import Path

    names = {one.run.name for one in found}
    return next((name for name in (run, str(Path(run).expanduser().absolute())) if name in names), run)


def _is_older(one: Kept, age: float | None) -> bool:
    import time

    return age is None or one.first <= time.time() - age


def _seconds(text: str) -> float:
    match = _AGE.fullmatch(text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no age: write 30d, 12h, 90m or 2w.", param_hint="--older-than")
    return float(match[1]) * _UNITS[match[2]]


def _line(one: Kept) -> tuple[str, ...]:
    run = one.run
    return (
        run.name or _OF_NO_RUN,
        "" if run.rows is None else str(run.rows),
        _in_words(one.states),
        kept.amount(one.bytes),
        kept.day(one.first),
        kept.day(one.latest),
    )


def _in_words(states: Mapping[str, int]) -> str:
    return ", ".join([f"{states[state]} {state}" for state in sorted(states, key=_usual_first)])


def _usual_first(state: str) -> tuple[bool, str]:
    return state != "done", state


def _facts(one: Kept) -> dict[str, Any]:
    return {
        "run": one.run.name,
        "source": one.run.source,
        "rows": one.run.rows,
        "began": kept.written(one.run.began) if one.run.began else None,
        "states": dict(one.states),
        "bytes": one.bytes,
        "first": kept.written(one.first),
        "latest": kept.written(one.latest),
    }


def _entries(number: int) -> str:
    return kept.counted(number, "entry", "entries")
