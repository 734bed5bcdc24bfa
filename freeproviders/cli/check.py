"""`freeproviders catalogue check`: files of services, checked for their authors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from freeproviders.cli import rows, terminal
from freeproviders.cli.commands import examples

if TYPE_CHECKING:
    from freeproviders.catalogue.places import Source

MISTAKES_EXIT = 2


@examples("freeproviders catalogue check", "freeproviders catalogue check --stale 60")
def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            exists=True,
            help="Files of services, or folders of them; all of your own if left out.",
            show_default=False,
        ),
    ] = None,
    stale: Annotated[
        int | None,
        typer.Option(
            metavar="DAYS", min=0, help="List instead the facts that were checked longer ago than this."
        ),
    ] = None,
) -> None:
    """Check files of services: every mistake with its line, and what each file changes of our rows.

    The exit code is 2 where there is a mistake.
    """
    if stale is not None:
        if files:
            raise typer.BadParameter("It looks at every service, and takes no FILE.", param_hint="--stale")
        _show_ages(stale)
        return
    from freeproviders.catalogue.check import mistakes, sources_in
    from freeproviders.catalogue.places import ENV_SERVICES, user_files, user_folder

    sources = list(user_files()) if not files else sources_in(files)
    if not sources:
        terminal.say(
            f"There are no files of services: yours go to {user_folder()}, or where {ENV_SERVICES} says."
        )
    sound: list[Source] = []
    for source in sources:
        found = mistakes(source, sound)
        for mistake in found:
            terminal.complain(mistake)
        if not found:
            sound.append(source)
            _show_effects(source)
    if len(sound) < len(sources):
        raise typer.Exit(MISTAKES_EXIT)


def _show_effects(source: Source) -> None:
    """Print what a file without mistakes does."""
    from freeproviders.catalogue.check import effects, readdressed
    from freeproviders.catalogue.places import own_files

    path = terminal.printable(str(source.path))
    if source.id not in own_files():
        typer.echo(f"{path}: adds the service {source.id}.")
        return
    changes = effects(source)
    typer.echo(
        f"{path}: {'changes' if changes else 'changes nothing of'} {source.id}{':' if changes else '.'}"
    )
    if (moved := readdressed(source)) is not None:
        typer.echo(f"  It readdresses the service, from {moved.before} to {moved.after}.")
    for change in changes:
        typer.echo(terminal.printable(f"  {change.field}: {_value(change.before)} -> {_value(change.after)}"))


def _value(value: Any) -> str:
    """Write a value as its file has it, in one line."""
    from freeproviders.catalogue.writing import written

    return "nothing" if value is None else written(value)


def _show_ages(days: int) -> None:
    from freeproviders.catalogue.check import age, dated_facts

    found = [
        (age(one.known, rows.today()), one) for service in rows.services() for one in dated_facts(service)
    ]
    old = [(known, one) for known, one in found if known is None or known > days]
    if not old:
        terminal.say(f"No fact is older than {days} days.")
        return
    old.sort(key=lambda pair: (-(pair[0] if pair[0] is not None else 10**6), pair[1].service))
    terminal.show_table(
        ("Service", "Days", "Fact", "Source"),
        [
            (one.service, "?" if known is None else str(known), one.fact, one.known.source)
            for known, one in old
        ],
        narrowest=76,
    )
