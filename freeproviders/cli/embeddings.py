"""`freeproviders embeddings`: the vectors that are kept on disk, listed and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from freeproviders.cli import kept, options, terminal
from freeproviders.cli.commands import Command, Group, examples

if TYPE_CHECKING:
    from freeproviders.embeddings.cache import VectorCache
    from freeproviders.embeddings.cache_file import StoredFamily

app = typer.Typer(cls=Group, no_args_is_help=True, help="List and delete the vectors that are kept on disk.")

_File = Annotated[
    str, typer.Option("--file", metavar="PATH", help="A file of your own, as it was passed as cache=.")
]


@app.command("list", cls=Command)
@examples("freeproviders embeddings list", "freeproviders embeddings list --json")
def list_(
    file: _File = "",
    as_json: Annotated[bool, options.as_json()] = False,
) -> None:
    """List the families of vectors that are kept: how many, how large, and from when."""
    cache = _cache(file)
    families = cache.families()
    if as_json:
        report = {
            "file": str(cache.path),
            "bytes": cache.size,
            "families": [_facts(one) for one in families],
        }
        terminal.show_json(report, indent=2)
        return
    if not families:
        terminal.say(f"Nothing is kept in {cache.path}.")
        return
    terminal.say(f"{cache.path}: {kept.amount(cache.size)}")
    terminal.show_table(
        ("Family", "Documents", "Queries", "Size", "First", "Latest"),
        [_line(one) for one in families],
        narrowest=90,
    )


@app.command(cls=Command)
@examples("freeproviders embeddings delete --all --yes")
def delete(
    family: Annotated[
        str,
        typer.Argument(metavar="[FAMILY]", help="The family, as `freeproviders embeddings list` names it."),
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="Delete the vectors of all families.")] = False,
    file: _File = "",
    sure: options.Yes = False,
) -> None:
    """Delete the vectors of a family, or of all: their texts are embedded again when they are needed."""
    if everything == bool(family):
        raise typer.BadParameter("Name a family, or pass --all.", param_hint="FAMILY")
    cache = _cache(file)
    damaged, count = _count(cache, family)
    if damaged and not everything:
        raise typer.BadParameter(f"{damaged} `--all` deletes the file.", param_hint="FAMILY")
    if not count and not damaged:
        what = f"of the family {family!r}" if family else "at all"
        raise typer.BadParameter(f"Nothing is kept {what} in {cache.path}.", param_hint="FAMILY")
    if not sure:
        kept.confirm(damaged or f"{_vectors(count)} in {cache.path} {'are' if count != 1 else 'is'} deleted.")
    if damaged:
        cache.remove()
        typer.echo(f"Deleted: {cache.path}.")
    else:
        typer.echo(f"Deleted: {_vectors(cache.delete(family or None))}.")
    cache.close()


def _cache(file: str) -> VectorCache:
    from freeproviders.embeddings.cache import VectorCache

    return VectorCache(file)


def _count(cache: VectorCache, family: str) -> tuple[str, int]:
    """Return what is wrong with the user's own file, "" for nothing, and the vectors of a family or all.

    Raises `VectorCacheError` for a file that was named, since it may be anything.
    """
    from freeproviders.embeddings.cache import VectorCache
    from freeproviders.errors import VectorCacheError

    try:
        found = cache.families()
    except VectorCacheError as error:
        if cache != VectorCache():
            raise
        return str(error), 0
    return "", sum(one.documents + one.queries for one in found if family in {"", one.fingerprint})


def _line(one: StoredFamily) -> tuple[str, ...]:
    return (
        one.fingerprint,
        str(one.documents),
        str(one.queries),
        kept.amount(one.bytes),
        kept.day(one.made),
        kept.day(one.written),
    )


def _facts(one: StoredFamily) -> dict[str, Any]:
    return {
        "family": one.fingerprint,
        "documents": one.documents,
        "queries": one.queries,
        "bytes": one.bytes,
        "first": kept.written(one.made),
        "latest": kept.written(one.written),
    }


def _vectors(count: int) -> str:
    return kept.counted(count, "vector")
