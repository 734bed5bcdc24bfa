"""`freeproviders quota`: what is left of the limits that all programs of the user share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any

import typer

from freeproviders.cli import options, terminal, today
from freeproviders.cli.commands import Command, Group, examples

if TYPE_CHECKING:
    from freeproviders.quota.interface import Rule, Standing

app = typer.Typer(cls=Group, invoke_without_command=True, help="Show what is left of the services' limits.")


@app.callback()
@examples("freeproviders quota", "freeproviders quota --json")
def quota(
    context: typer.Context,
    as_json: Annotated[bool, options.as_json()] = False,
) -> None:
    """Show what was counted of each limit, what is left of it, and when more comes back.

    These are the limits that all programs of yours keep together. No key is shown, and nothing is
    sent to a service.
    """
    if context.invoked_subcommand is not None:
        if as_json:
            raise typer.BadParameter("--json belongs to `freeproviders quota` alone.")
        return
    standings = today.counted()
    found = today.report(standings)
    shown = [one for one in standings if one.rule.per or isfinite(one.left)]  # without open gates
    if as_json:
        found["pools"] = [_facts(one) for one in shown]
        terminal.show_json(found, indent=2)
        return
    typer.echo(today.summary(found))
    if not shown:
        terminal.say("Nothing was counted yet.")
        return
    several = _with_several_accounts(shown)
    terminal.show_table(
        ("Service", "Model or pool", "Limit", "Used", "Left", "More", "Said by"),
        [_line(one, marked=one.rule.service in several) for one in shown],
        narrowest=100,
    )


@app.command(cls=Command)
@examples("freeproviders quota reset groq --yes")
def reset(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The service, as `freeproviders quota` names it.")
    ],
    pool: Annotated[str, typer.Option("--pool", metavar="NAME", help="Only this model or pool.")] = "",
    sure: options.Yes = False,
) -> None:
    """Forget what was counted and learned of a service: its limits are taken to be unused."""
    import asyncio

    from freeproviders.quota.opening import open_ledger

    found = [one for one in today.counted(name) if pool in {"", one.rule.pool}]
    if not found:
        what = f"{pool!r} of {name!r}" if pool else repr(name)
        raise typer.BadParameter(f"Nothing was counted of {what}.", param_hint="NAME")
    if not sure:
        if not terminal.is_terminal(sys.stdin):
            raise typer.BadParameter(
                "It forgets what was counted: confirm it with --yes.", param_hint="--yes"
            )
        what = f"{pool} of {name}" if pool else name
        terminal.say(
            f"What was counted of {what} is forgotten: until its periods are over, more may be asked of the "
            "service than it allows."
        )
        if not typer.confirm("Forget it?", err=True):
            raise typer.Exit
    number = asyncio.run(open_ledger().reset(name, pool=pool))
    typer.echo(f"Forgotten: {number} limit{'s' if number != 1 else ''} of {terminal.printable(name)}.")


# --- pools ----------------------------------------------------------------------------------------


def _with_several_accounts(standings: Sequence[Standing]) -> set[str]:
    """Return the services that are asked with several keys, or with one and without."""
    seen: dict[str, set[str]] = {}
    for one in standings:
        if one.rule.by == "account":
            seen.setdefault(one.rule.service, set()).add(one.account)
    return {service for service, accounts in seen.items() if len(accounts) > 1}


def _line(one: Standing, *, marked: bool) -> tuple[str, ...]:
    rule = one.rule
    is_gate = not isfinite(rule.cap)
    service = f"{rule.service} ({one.account})" if marked and one.account else rule.service
    return (
        service,
        rule.pool,
        "it refuses for now" if is_gate else _limit(rule),
        "" if is_gate else _amount(one.used),
        _amount(one.left),
        _until(one.back_at) if one.back_at is not None else "",
        _source(one),
    )


def _limit(rule: Rule) -> str:
    from freeproviders.catalogue.rows import Limit
    from freeproviders.catalogue.words import shown

    return shown(Limit(metric=rule.metric, cap=rule.cap, per=rule.per))


def _amount(number: float) -> str:
    from freeproviders.catalogue.words import amount

    return amount(round(number, 2))


def _source(one: Standing) -> str:
    if one.learned_at is not None:
        return f"the service, {_ago(one.learned_at)}"
    return {"row": "the catalogue", "user": "your file", "caller": "a program"}.get(
        one.rule.source, "the service"
    )


def _until(moment: datetime) -> str:
    seconds = (moment - datetime.now(UTC)).total_seconds()
    return f"in {_length(seconds)}" if seconds > 0 else "now"


def _ago(moment: datetime) -> str:
    return f"{_length((datetime.now(UTC) - moment).total_seconds())} ago"


def _length(seconds: float) -> str:
    for size, smaller, unit in (
        (86_400, 3600, "day"),
        (3600, 60, "hour"),
        (60, 1, "minute"),
        (1, 0, "second"),
    ):
        if seconds >= size - smaller / 2:  # 23 hours and 59 minutes are a day
            number = round(seconds / size)
            return f"{number} {unit}{'s' if number != 1 else ''}"
    return "a second"


def _facts(one: Standing) -> dict[str, Any]:
    rule = one.rule
    return {
        "service": rule.service,
        "pool": rule.pool,
        "metric": rule.metric,
        "per": rule.per,
        "cap": _number(rule.cap),
        "used": _number(one.used),
        "running": _number(one.running),
        "left": _number(one.left),
        "back_at": None if one.back_at is None else one.back_at.isoformat(timespec="seconds"),
        "source": rule.source,
        "learned_at": None if one.learned_at is None else one.learned_at.isoformat(timespec="seconds"),
        "by": rule.by,
        "account": one.account,
    }


def _number(amount: float) -> float | int | None:
    if not isfinite(amount):
        return None
    return int(amount) if amount == round(amount) else amount
