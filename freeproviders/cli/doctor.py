"""`freeproviders doctor`: what freeproviders finds on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from freeproviders.cli import options, terminal
from freeproviders.cli.commands import examples
from freeproviders.installing import with_extra


@examples("freeproviders doctor", "freeproviders doctor --probe-local")
def doctor(
    probe_local: Annotated[
        bool,
        typer.Option("--probe-local", help="Ask the servers on this machine whether they are there."),
    ] = False,
    as_json: Annotated[bool, options.as_json()] = False,
    verbose: Annotated[int, options.verbose()] = 0,
) -> None:
    """Tell what is found here, what would answer, what is wrong and what to do about it.

    Nothing is sent anywhere; --probe-local asks addresses of this machine alone. Keys are not
    shown. The exit code is 1 where something is wrong.
    """
    from freeproviders.cli import findings

    terminal.log(verbose)
    found = findings.collect()
    if probe_local:
        findings.probe(found["local_servers"])
    found["wrong"] = findings.wrong(found)
    if as_json:
        terminal.show_json(found, indent=2)
    else:
        _show(found, probe_local)
    if found["wrong"]:
        raise typer.Exit(1)


def _show(found: dict[str, Any], probed: bool) -> None:
    for title, lines in (
        ("Asked by default, in this order", _members(found)),
        ("Keys in the environment", _keys(found)),
        ("Limits", _limits(found)),
        ("Addresses in the environment", _addresses(found)),
        ("Your files of services", _files(found)),
        ("Services of other packages", _packages(found)),
        ("The model on this machine", _embedded(found)),
        (f"Local servers{'' if probed else ' (not asked: --probe-local)'}", _servers(found)),
        ("Wrong", found["wrong"] or ["nothing"]),
    ):
        typer.echo(f"{title}:")
        for line in lines:
            typer.echo(f"  {terminal.printable(line)}")
    typer.echo(f"freeproviders {found['version']}, Python {found['python']}, {sys.platform}")


def _members(found: dict[str, Any]) -> Iterator[str]:
    for one in found["router"]["members"]:
        yield f"{one['name']}{_fares(one['health'])}"
    if not found["router"]["members"]:
        yield "none"
    for one in found["router"]["skipped"]:
        yield f"not {one['name']}: {terminal.told(one['reason'])}"


def _fares(health: dict[str, Any] | None) -> str:
    """Write how a member fares, "" where nothing is known of it."""
    if health is None or not health["counts"]:
        return ""
    asked, answered = health["counts"].get("asked", 0), health["counts"].get("answered", 0)
    words = f": {answered} of {asked} answered"
    if health["first_p50"] is not None:
        words += f", the first words after {health['first_p50']:.1f} s"
    if health["state"] != "closed":
        until = f" until {health['until'][:16].replace('T', ' ')} UTC" if health["until"] else ""
        words += f"; {health['state']}{until}: {health['reason']}"
    return words


def _keys(found: dict[str, Any]) -> Iterator[str]:
    for one in found["keys"]:
        yield f"{one['service']}: {one['variable']} is set; free: {one['free']}"
    if not found["keys"]:
        yield (
            "none; `freeproviders catalogue --free` lists services, and a service's page, as "
            "`freeproviders catalogue groq`, says where its key is issued"
        )


def _limits(found: dict[str, Any]) -> Iterator[str]:
    from freeproviders.cli import today

    if found["quota"] is None:
        yield "counted on a server, which is not asked; `freeproviders quota` asks it"
    else:
        yield today.summary(found["quota"])


def _addresses(found: dict[str, Any]) -> Iterator[str]:
    for one in found["addresses"]:
        yield one["wrong"] or f"{one['service']} and its key are led to {one['base_url']}"
    if not found["addresses"]:
        yield "none"


def _files(found: dict[str, Any]) -> Iterator[str]:
    for one in found["files"]:
        yield _effect(one)
    if not found["files"]:
        yield f"none; they go to {found['folder']}"


def _effect(one: dict[str, Any]) -> str:
    """Write what a file does; its mistakes name the file themselves."""
    if one["mistakes"]:
        more = f" And {len(one['mistakes']) - 1} more." if len(one["mistakes"]) > 1 else ""
        return f"refused: {one['mistakes'][0]}{more}"
    if one["readdresses"]:
        moved = one["readdresses"]
        return f"{one['path']}: leads {one['service']} from {moved['from']} to {moved['to']}"
    return f"{one['path']}: {'adds' if one['new'] else 'changes'} {one['service']}"


def _packages(found: dict[str, Any]) -> Iterator[str]:
    for package in found["packages"]:
        if package["wrong"]:
            yield f"{package['package']}: refused: {package['wrong']}"
        for one in package["files"]:
            yield f"{package['package']}: {_effect(one)}"
    if not found["packages"]:
        yield "none"


def _embedded(found: dict[str, Any]) -> Iterator[str]:
    engine = found["embedded"]
    yield "engine: here" if engine["engine"] else f"engine: not here. {with_extra('embedded')}"
    here = ", ".join(engine["weights"])
    yield f"weights: {here or 'not here, `freeproviders models pull` fetches them'}"
    yield f"asked unless another is named: {engine['model']}"


def _servers(found: dict[str, Any]) -> Iterator[str]:
    said = {None: "", True: ": it answers", False: ": no answer"}
    for one in found["local_servers"]:
        where = f"{one['service']}, {one['base_url']}"
        yield where + (said[one["answers"]] if one["on_this_machine"] else ": not on this machine")
