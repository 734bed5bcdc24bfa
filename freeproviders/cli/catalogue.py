"""`freeproviders catalogue`: the services of the catalogue, filtered."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from freeproviders.cli import check, options, rows, show, terminal
from freeproviders.cli.commands import Command, Group, examples

if TYPE_CHECKING:
    from freeproviders.catalogue import Service


_OLD: Final = " *"
"""Behind what was so when it was last checked, too long ago."""


class _ShowsByName(Group):
    """A group in which whatever is no command is the id of a service to show."""

    usual = "show"

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # Any: typer may bring its own click
        known = not args or args[0] in self.commands or args[0].startswith("-")
        return super().resolve_command(ctx, args if known else [self.usual, *args])


app = typer.Typer(
    cls=_ShowsByName,
    invoke_without_command=True,
    subcommand_metavar="[SERVICE | COMMAND]",
    help="List the services that speak the OpenAI protocol, show one of them, or check files of your own.",
)
app.command(cls=Command)(show.show)
app.command(cls=Command)(check.check)


@app.callback()
@examples("freeproviders catalogue --free --tools --window 100000", "freeproviders catalogue groq")
def catalogue(
    context: typer.Context,
    free: Annotated[bool, typer.Option("--free", help="Those with a model that is free.")] = False,
    tools: Annotated[bool, typer.Option("--tools", help="Those with a model that calls tools.")] = False,
    window: Annotated[
        int | None,
        typer.Option(metavar="TOKENS", min=1, help="Those with a model of at least such a context window."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Those that say they do not train on prompts.")
    ] = False,
    local: Annotated[bool, typer.Option("--local", help="Servers on this machine.")] = False,
    as_json: Annotated[bool, options.as_json("Print a JSON list.")] = False,
) -> None:
    """List the services of the catalogue: what is free, what becomes of prompts, which have a key.

    `freeproviders catalogue groq` shows one, with the age of each fact. Of several filters one
    model must fit them all. A fact that was not checked for 90 days is marked; filters go by what
    it was.
    """
    narrowed = free or tools or window is not None
    if context.invoked_subcommand is not None:
        if narrowed or private or local or as_json:
            raise typer.BadParameter(
                "These options are the list's: name no service, or name it before --json."
            )
        return
    from freeproviders.catalogue.rows import STALE_DAYS

    listed: list[tuple[Service, list[str]]] = []
    gone: list[str] = []
    for service in rows.services():
        if service.gone is not None and service.gone.what == "service":
            gone.append(service.id)
            continue
        fitting = _fitting(service, free=free, tools=tools, window=window or 0)
        if (
            (fitting or not narrowed)
            and (not private or service.privacy.trains == "no")
            and (not local or service.local)
        ):
            listed.append((service, fitting))
    if as_json:
        typer.echo(json.dumps([_facts(service, fitting) for service, fitting in listed], indent=2))
        return
    if listed:
        lines = [_line(service, fitting) for service, fitting in listed]
        terminal.show_table(
            ("Service", "Models", "Tools", "What is free", "Prompts", "Key", "Age"),
            lines,
            narrowest=120,
        )
        if any(cell.endswith(_OLD) for line in lines for cell in line):
            typer.echo(f"\n*: so it was when it was checked, more than {STALE_DAYS} days ago; unknown now.")
    else:
        terminal.say("No service is like that.")
    if gone and not (narrowed or private or local):
        terminal.say(f"Gone: {', '.join(gone)}. `freeproviders catalogue NAME` says when and why.")


def _fitting(service: Service, *, free: bool, tools: bool, window: int) -> list[str]:
    """List a service's models that fit the filters."""
    from freeproviders.catalogue import facts_of

    found = []
    for name in service.models:
        facts = facts_of(service, name)
        if (
            (not free or (service.gone is None and facts.cost in {"never", "allowance"}))
            and (not tools or facts.tools)
            and (facts.context or 0) >= window
        ):
            found.append(name)
    return found


def _line(service: Service, fitting: list[str]) -> tuple[str, ...]:
    from freeproviders.catalogue.check import age
    from freeproviders.catalogue.rows import Known
    from freeproviders.catalogue.words import free_within, is_old, oldest, privacy_in_short

    today = rows.today()
    days = age(Known(oldest(service)), today)
    (free, limit), said = free_within(service), privacy_in_short(service.privacy)
    return (
        service.id,
        _count(service, fitting),
        rows.yes_or_no(_tools(service)),
        _marked(free, is_old=limit is not None and is_old(limit, today)),
        _marked(said, is_old=said != "not known" and not service.local and is_old(service, today)),
        rows.key_state(service, every_name=False),
        "?" if days is None else f"{days} day{'s' if days != 1 else ''}",
    )


def _marked(what: str, *, is_old: bool) -> str:
    return f"was {what}{_OLD}" if is_old else what


def _facts(service: Service, fitting: list[str]) -> dict[str, Any]:
    from freeproviders.catalogue.guard import key_variables
    from freeproviders.catalogue.words import free, has_free, oldest

    checked = oldest(service)
    return {
        "id": service.id,
        "name": service.name,
        "base_url": service.base_url,
        "local": service.local,
        "default_model": service.default_model,
        "models": fitting,
        "tools": _tools(service),
        "free": has_free(service),
        "free_note": free(service),
        "trains": service.privacy.trains,
        "logs": service.privacy.logs,
        "key": service.key,
        "key_variables": list(key_variables(service)),
        "key_set": rows.key_variable(service),
        "oldest_fact": None if checked is None else checked.isoformat(),
    }


def _count(service: Service, fitting: list[str]) -> str:
    if not _named(fitting):
        return "any" if fitting else "?"
    several, of_all = len(_named(fitting)), len(_named(service.models))
    return str(several) if several == of_all else f"{several} of {of_all}"


def _named(models: Iterable[str]) -> list[str]:
    """Leave out patterns."""
    return [name for name in models if "*" not in name]


def _tools(service: Service) -> bool | None:
    """Whether one of the models calls tools; None where that is unknown."""
    from freeproviders.catalogue import facts_of

    known = {facts_of(service, name).tools for name in service.models}
    return True if True in known else None if None in known or not known else False
