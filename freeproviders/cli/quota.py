"""`freeproviders quota`: what is left of the limits that all programs of the user share."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from freeproviders.cli import rows, terminal

if TYPE_CHECKING:
    from freeproviders.catalogue import Service
    from freeproviders.quota.interface import Rule, Standing

_LONG_REFUSAL: Final = timedelta(hours=1)
"""A service that refuses for longer than this is not counted on today."""

app = typer.Typer(invoke_without_command=True, help="Show what is left of the services' limits.")


@app.callback()
def quota(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Show what was counted of each limit, what is left of it, and when more comes back.

    These are the limits that all programs of yours keep together. No key is shown, and nothing is
    sent to a service.
    """
    if context.invoked_subcommand is not None:
        if as_json:
            raise typer.BadParameter("--json belongs to `freeproviders quota` alone.")
        return
    standings = _counted()
    left, unlimited = _answers_left(standings)
    shown = [one for one in standings if one.rule.per or isfinite(one.left)]  # without open gates
    if as_json:
        report = {
            "answers_left_today": sum(left.values()),
            "services": left,
            "no_limit_a_day": unlimited,
            "pools": [_facts(one) for one in shown],
        }
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
        return
    typer.echo(_summary(left, unlimited))
    if not shown:
        terminal.say("Nothing was counted yet.")
        return
    several = _with_several_accounts(shown)
    terminal.show_table(
        ("Service", "Model or pool", "Limit", "Used", "Left", "More", "Said by"),
        [_line(one, marked=one.rule.service in several) for one in shown],
        narrowest=100,
    )


@app.command()
def reset(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The service, as `freeproviders quota` names it.")
    ],
    pool: Annotated[str, typer.Option("--pool", metavar="NAME", help="Only this model or pool.")] = "",
    sure: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget what was counted and learned of a service: its limits are taken to be unused."""
    import asyncio

    from freeproviders.quota.opening import open_ledger

    found = [one for one in _counted(name) if pool in {"", one.rule.pool}]
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


def _counted(service: str = "") -> list[Standing]:
    """Return the state of all pools; a ledger that is not there is not made."""
    import asyncio

    from freeproviders.quota.opening import is_begun, open_ledger

    return asyncio.run(open_ledger().standings(service)) if is_begun() else []


# --- today ----------------------------------------------------------------------------------------


def _answers_left(standings: Sequence[Standing]) -> tuple[dict[str, int], list[str]]:
    """Return how many answers are left today of each service that has a key, for its default model.

    The services of which no limit for a day is known are in the second.
    """
    from freeproviders.catalogue.words import has_free

    left: dict[str, int] = {}
    unlimited: list[str] = []
    for service in rows.services(complaining=False):
        if not rows.key_variable(service) or not has_free(service):
            continue
        amount = _left_today(service, standings)
        if amount is None:
            unlimited.append(service.id)
        else:
            left[service.id] = int(amount)
    return left, unlimited


def _left_today(service: Service, standings: Sequence[Standing]) -> float | None:
    """Return the least that is left of a service's limits of a day or longer; None without one."""
    from freeproviders.quota.rules import rules_of

    rules = rules_of(service, service.default_model, keyless=False)
    amounts: list[float] = [_left_of(rule, standings) for rule in rules if _is_for_a_day(rule)]
    if not amounts:
        return None
    pools = {rule.pool for rule in rules}
    later = datetime.now(UTC) + _LONG_REFUSAL
    for one in standings:
        shut = not one.rule.per and one.left == 0 and one.back_at is not None and one.back_at > later
        if shut and one.rule.service == service.id and one.rule.pool in pools:
            return 0
    return min(amounts)


def _is_for_a_day(rule: Rule) -> bool:
    from freeproviders.catalogue.rows import SECONDS, seconds_of

    return rule.metric == "requests" and bool(rule.per) and seconds_of(rule.per) >= SECONDS["day"]


def _left_of(rule: Rule, standings: Sequence[Standing]) -> float:
    """Return what is left of a limit: all of it where nothing was counted."""
    place = (rule.service, rule.pool, rule.metric, rule.per)
    return min(
        [
            one.left
            for one in standings
            if (one.rule.service, one.rule.pool, one.rule.metric, one.rule.per) == place
        ],
        default=rule.cap,
    )


def _summary(left: dict[str, int], unlimited: Sequence[str]) -> str:
    if not left and not unlimited:
        return "No service has a key in the environment: `freeproviders catalogue --free` lists them."
    said = []
    if left:
        each = ", ".join(f"{name} {_amount(amount)}" for name, amount in left.items())
        said.append(f"With your keys: about {_amount(sum(left.values()))} answers left today ({each}).")
    if unlimited:
        said.append(f"With a key, and without a limit a day that is known: {', '.join(unlimited)}.")
    return terminal.printable(" ".join(said))


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
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size:
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
