"""What is left today of the services' limits, with the keys that are in the environment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from freeproviders.cli import rows, terminal

if TYPE_CHECKING:
    from freeproviders.catalogue import Service
    from freeproviders.quota.interface import Rule, Standing

_LONG_REFUSAL: Final = timedelta(hours=1)
"""A service that refuses for longer than this is not counted on today."""


def counted(service: str = "") -> list[Standing]:
    """Return the state of all pools; a ledger that is not there is not made."""
    import asyncio

    from freeproviders.quota.opening import is_begun, open_ledger

    return asyncio.run(open_ledger().standings(service)) if is_begun() else []


def report(standings: Sequence[Standing]) -> dict[str, Any]:
    """Return how many answers are left today, in all and of each service, as JSON can hold it.

    "no_limit_a_day" names the services of which no limit for a day is known.
    """
    left, unlimited = _answers_left(standings)
    return {"answers_left_today": sum(left.values()), "services": left, "no_limit_a_day": unlimited}


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


def summary(found: dict[str, Any]) -> str:
    """Write a report in words."""
    left, unlimited = found["services"], found["no_limit_a_day"]
    if not left and not unlimited:
        return "No service has a key in the environment: `freeproviders catalogue --free` lists them."
    said = []
    if left:
        from freeproviders.catalogue.words import amount

        each = ", ".join(f"{name} {amount(number)}" for name, number in left.items())
        said.append(f"With your keys: about {amount(sum(left.values()))} answers left today ({each}).")
    if unlimited:
        said.append(f"With a key, and without a limit a day that is known: {', '.join(unlimited)}.")
    return terminal.printable(" ".join(said))
