"""`freeproviders models`: the embedded models, or those of a service."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from freeproviders.cli import options, rows, terminal
from freeproviders.cli.commands import Command, Group, examples

app = typer.Typer(
    cls=Group,
    invoke_without_command=True,
    help="List the models of a service, or the embedded ones; fetch and check one.",
)


@app.callback()
@examples(
    "freeproviders models",
    "freeproviders models --service groq",
    "freeproviders models --service groq --refresh",
)
def models(
    context: typer.Context,
    service: Annotated[
        str | None,
        typer.Option(help="The models of a service of the catalogue, as groq.", autocompletion=rows.ids),
    ] = None,
    refresh: Annotated[
        bool,
        typer.Option(
            "--refresh",
            help="Ask the service for its list, with your key; the list is kept, with its date.",
        ),
    ] = False,
    as_json: Annotated[bool, options.as_json("Print JSON.")] = False,
    verbose: Annotated[int, options.verbose()] = 0,
) -> None:
    """List the embedded models that can be fetched, and which of them are on this machine.

    With --service, list those of a service and what differs between the catalogue and the service's
    own list.
    """
    terminal.log(verbose)
    if context.invoked_subcommand is not None:
        if service is not None or refresh:
            raise typer.BadParameter("It goes without a command.", param_hint="--service")
        return
    if service is not None:
        from freeproviders.cli.commands import INTERRUPTED_EXIT
        from freeproviders.cli.offers import offers

        try:
            offers(service, refresh=refresh, as_json=as_json)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED_EXIT) from None
        return
    if refresh:
        raise typer.BadParameter("It needs a --service.", param_hint="--refresh")
    from freeproviders.embedded.cache import is_cached, path_of
    from freeproviders.embedded.weights import DEFAULT, WEIGHTS

    if as_json:
        found = [
            {
                "name": row.name,
                "default": row.name == DEFAULT,
                "size": row.size,
                "license": row.license,
                "cached": is_cached(row),
                "path": str(path_of(row)),
                "note": row.note,
            }
            for row in WEIGHTS
        ]
        typer.echo(json.dumps(found, indent=2))
        return
    lines = [
        (
            f"{row.name} (default)" if row.name == DEFAULT else row.name,
            f"{row.megabytes} MB",
            row.license,
            "yes" if is_cached(row) else "no",
            row.note,
        )
        for row in WEIGHTS
    ]
    terminal.show_table(("Name", "Size", "Licence", "Here", "About"), lines, narrowest=76)


@app.command(cls=Command)
@examples("freeproviders models pull", "freeproviders models pull smollm2-135m")
def pull(
    name: Annotated[
        str | None, typer.Argument(help="One of the listed names; the default model if left out.")
    ] = None,
) -> None:
    """Fetch a model into the cache, or check and repair it there; print the file's path.

    An interrupted download goes on where it stopped.
    """
    from freeproviders.cli.commands import INTERRUPTED_EXIT
    from freeproviders.cli.weights import pull as fetch
    from freeproviders.embedded.weights import DEFAULT, weights_named
    from freeproviders.errors import UnknownModelError

    try:
        weights = weights_named(name or DEFAULT)
    except UnknownModelError:
        raise typer.BadParameter(
            f"There is no embedded model {name!r}: `freeproviders models` lists them.", param_hint="NAME"
        ) from None
    try:
        path = fetch(weights)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED_EXIT) from None
    typer.echo(str(path))
