"""`freeproviders services`: what would be asked here, and the accounts confirmed to be free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from freeproviders.cli import options, rows, terminal
from freeproviders.cli.commands import Command, Group, examples
from freeproviders.cli.lookup import completing

if TYPE_CHECKING:
    from freeproviders.catalogue import Service
    from freeproviders.router.member import Found, Member

app = typer.Typer(
    cls=Group,
    invoke_without_command=True,
    help="List the services that are asked by default; confirm that an account is a free one.",
)


@app.callback()
@examples("freeproviders services", "freeproviders services --json")
def services(
    context: typer.Context,
    privacy: Annotated[
        str,
        typer.Option(
            help="local, no-training or any: where a prompt may go.",
            autocompletion=completing(("local", "no-training", "any")),
        ),
    ] = "no-training",
    allow: Annotated[
        list[str] | None,
        typer.Option(
            help="A service that is asked only where it is allowed; may be given several times.",
            autocompletion=rows.ids,
        ),
    ] = None,
    as_json: Annotated[bool, options.as_json()] = False,
    verbose: Annotated[int, options.verbose()] = 0,
) -> None:
    """List what a router asks on this machine, in order, and what is left out and why.

    Nothing is sent anywhere, but for a GET to an Ollama server on this machine. Keys are not shown.
    """
    terminal.log(verbose)
    if context.invoked_subcommand is not None:
        if allow or as_json or privacy != "no-training":
            raise typer.BadParameter("Options of the list go without a command.")
        return
    from freeproviders.checks import one_of
    from freeproviders.consent import PRIVACY, confirmed_services, path

    one_of("privacy", privacy, PRIVACY)
    found = _found(privacy, allow or ())
    confirmed = sorted(confirmed_services())
    if as_json:
        document = {
            "asked": [_facts(member) for member in found.members],
            "skipped": [one._asdict() for one in found.skipped],
            "confirmed": confirmed,
            "file": str(path()),
            "privacy": privacy,
        }
        terminal.show_json(document, indent=2)
        return
    terminal.show_table(
        ("Asked, in this order", "Where", "Free"),
        [(member.name, _WHERE[member.place], _FREE[member.cost]) for member in found.members],
        narrowest=60,
    )
    if not found.members:
        terminal.say("None.")
    if found.skipped:
        typer.echo("\nNot asked:")
    for one in found.skipped:
        typer.echo(f"  {terminal.printable(one.name)}: {terminal.printable(terminal.told(one.reason))}")
    typer.echo(f"\nConfirmed as free accounts: {', '.join(confirmed) or 'none'}")
    terminal.say(
        "Services without a key here are listed where they are confirmed; `freeproviders catalogue --free` "
        "has the others."
    )


_WHERE: Mapping[str, str] = {
    "service": "a service",
    "given": "a service",
    "local": "a server on this machine",
    "embedded": "this machine",
}
_FREE: Mapping[str | None, str] = {
    "never": "always",
    "allowance": "within its limits",
    "paid": "no",
    None: "",
}


@app.command(cls=Command)
@examples("freeproviders services confirm groq")
def confirm(
    names: Annotated[
        list[str], typer.Argument(metavar="SERVICE", help="Its id or name.", autocompletion=rows.ids)
    ],
) -> None:
    """Confirm that your account at a service is not billed, so that it may be asked unless it is named.

    It is kept in a file of yours, for all programs that use freeproviders.
    """
    from freeproviders import consent
    from freeproviders.catalogue import catalogue

    found = [catalogue().service(name) for name in names]
    for service in found:
        _check_free(service)
    for service in found:
        consent.confirm(service.id)
        typer.echo(terminal.printable(_meaning(service)))


@app.command(cls=Command)
@examples("freeproviders services revoke groq")
def revoke(
    names: Annotated[list[str], typer.Argument(metavar="SERVICE", help="Its id or name.")],
) -> None:
    """Take a confirmation back: the service is asked again only where it is named."""
    from freeproviders import consent

    for name in names:
        kept = consent.revoke(name)
        typer.echo(f"{terminal.printable(name)}: {'revoked' if kept else 'it was not confirmed'}.")
    if outside := consent.confirmed_outside():
        terminal.say(f"{consent.ENV_CONFIRMED} still confirms {', '.join(sorted(outside))}.")


def _found(privacy: Any, allow: Any) -> Found:
    """Find the members that would be asked, the models of a local Ollama too."""
    import asyncio

    from freeproviders.router.found import find

    found = find(privacy=privacy, allow=allow)
    asyncio.run(found.complete())
    return found


def _facts(member: Member) -> dict[str, Any]:
    return {
        "name": member.name,
        "model": member.model,
        "place": member.place,
        "cost": member.cost,
        "address": member.backend.base_url,
    }


def _check_free(service: Service) -> None:
    """Refuse a service of which a confirmation would change nothing."""
    from freeproviders.catalogue.words import day

    if service.local:
        why = "It is a server on your own machine, which is asked without one"
    elif service.gone is not None:
        why = f"Nothing is free there since {day(service.gone.on)}"
    elif service.key == "none" or service.key_is_billed:
        why = "It is free without a key only"
    else:
        return
    raise typer.BadParameter(f"{service.name}: {why}: there is nothing to confirm.", param_hint="SERVICE")


def _meaning(service: Service) -> str:
    """Write what a confirmation means, with the conditions that the service's row has."""
    from freeproviders.catalogue.words import free

    said = f"{service.name}: confirmed. You say that your account there is not billed"
    if service.terms.use in {"evaluation", "non-commercial"}:
        said += f", and that your use is {service.terms.use.replace('evaluation', 'for evaluation')}"
    said += f". What is free there: {free(service, rows.today())}."
    if service.terms.address:
        said += f" Its terms: {service.terms.address}."
    return said + f" `freeproviders services revoke {service.id}` takes it back."
