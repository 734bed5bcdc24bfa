"""The commands put together, and their errors turned into lines and exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from freeproviders._version import __version__
from freeproviders.cli import (
    answers,
    batch,
    catalogue,
    chat,
    doctor,
    embed,
    embeddings,
    models,
    probe,
    providers,
    quota,
    replica,
    serve,
    services,
    terminal,
)
from freeproviders.cli.commands import Command, Root, examples, variables

USAGE_EXIT = 2
ERROR_EXIT = 1

# Plain tracebacks: the pretty ones can show local variables, and those hold keys.
app = typer.Typer(
    cls=Root,
    name="freeproviders",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(cls=Command)(chat.chat)
app.add_typer(batch.app, name="batch")
app.command(cls=Command)(providers.providers)
app.add_typer(catalogue.app, name="catalogue")
app.add_typer(models.app, name="models")
app.command(cls=Command)(replica.replica)
app.command(cls=Command)(serve.serve)
app.command(cls=Command)(doctor.doctor)
app.command(cls=Command)(probe.probe)
app.add_typer(quota.app, name="quota")
app.add_typer(services.app, name="services")
app.command(cls=Command)(embed.embed)
app.add_typer(embeddings.app, name="embeddings")
app.add_typer(answers.app, name="answers")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"freeproviders {__version__}")
        raise typer.Exit


@app.callback()
@examples('freeproviders chat "What is a waterfall?"', "freeproviders services", "freeproviders doctor")
@variables(
    FREEPROVIDERS_CACHE="The folder of what can be fetched again; FREEPROVIDERS_STATE of what was counted.",
    NO_COLOR="No colours; FORCE_COLOR: colours everywhere.",
)
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Free LLM chat: a model on this machine, and services that speak a known protocol."""


def run_app() -> None:
    """Run the command that was typed and exit with its code."""
    terminal.prepare()
    try:
        app()
    except Exception as error:
        from freeproviders.errors import FreeProvidersError, MissingDependencyError, UsageError

        if isinstance(error, OSError) and not isinstance(
            error, FreeProvidersError
        ):  # a full disk where the answer should go, a file that cannot be read
            terminal.complain(error)
            terminal.forget_output()
            sys.exit(ERROR_EXIT)
        if not isinstance(error, FreeProvidersError):
            raise
        terminal.complain(error)
        sys.exit(
            USAGE_EXIT
            if isinstance(error, UsageError) and not isinstance(error, MissingDependencyError)
            else ERROR_EXIT
        )
