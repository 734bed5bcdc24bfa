"""Facts of a row in words, for the command line and for the pages that are made of the catalogue."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from freeproviders.catalogue.rows import STALE_DAYS, Known, seconds_of

if TYPE_CHECKING:
    from freeproviders.catalogue.rows import Limit, Privacy, Service, Terms, Told

_Fact = TypeVar("_Fact", bound=Known)

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNITS: Final = {"usd": "USD"}
_TRAINS: Final[dict[Told, str]] = {
    "yes": "trains on prompts",
    "no": "does not train on prompts",
    "opt-out": "trains on prompts unless the account says no",
    "unknown": "",
}
_LOGS: Final[dict[Told, str]] = {
    "yes": "keeps them",
    "no": "does not keep them",
    "opt-out": "keeps them unless the account says no",
    "unknown": "",
}


_TRAINS_IN_SHORT: Final[dict[Told, str]] = {
    "yes": "trains",
    "no": "does not train",
    "opt-out": "trains unless told not to",
    "unknown": "",
}
_LOGS_IN_SHORT: Final[dict[Told, str]] = {
    "yes": "keeps",
    "no": "does not keep",
    "opt-out": "keeps unless told not to",
    "unknown": "",
}


def amount(number: float) -> str:
    """Write a number with narrow groups, as "1 000 000" or "0.5"."""
    whole = int(number)
    return f"{whole:,}".replace(",", " ") if whole == number else f"{number:g}"


def day(when: date) -> str:
    """Write a day the same in every language setting, as "17 Oct 2026"."""
    return f"{when.day} {_MONTHS[when.month - 1]} {when.year}"


def shown(limit: Limit) -> str:
    """Write a limit in a few words, as "30 requests a minute for each model"."""
    what = f"{amount(limit.cap)} {_UNITS.get(limit.metric, limit.metric)}"
    if limit.metric == "concurrency":
        what = f"{amount(limit.cap)} request{'s' if limit.cap != 1 else ''}"
    elif limit.cap == 1:
        what = what.removesuffix("s")
    article = "an" if limit.per == "hour" else "a"
    period = f" in {limit.per}" if limit.per[:1].isdigit() else f" {article} {limit.per}"
    whose = " for each model" if limit.scope == "model" else ""
    return f"{what}{period if limit.per else ' at the same time'}{whose}"


def conditions(limit: Limit) -> str:
    """Write for which accounts and models a limit counts, "" where it is for all."""
    said = [", ".join(limit.models)] if limit.models else []
    if limit.keyless is not None:
        said.append("without a key" if limit.keyless else "with a key")
    if limit.by == "ip":
        said.append("for each internet address")
    return "; ".join(said)


def dated(service: Service, fact: _Fact) -> _Fact:
    """Return a fact with the date, source and confidence of its service where it has none."""
    return replace(
        fact,
        checked=fact.checked or service.checked,
        source=fact.source or service.source,
        confidence=fact.confidence or service.confidence,
    )


def is_stale(fact: Known, today: date) -> bool:
    """Return whether a fact was checked too long ago to count, or never."""
    return fact.checked is None or today - fact.checked > timedelta(days=STALE_DAYS)


def seen(what: str, fact: Known, today: date) -> str:
    """Write a fact with its age: "..., seen 17 Oct 2026 (source), confidence A", or "unknown, was ..."."""
    if fact.checked is None:
        return f"{what}, no date was recorded"
    if is_stale(fact, today):
        return f"unknown, was {what} ({day(fact.checked)})"
    sure = f", confidence {fact.confidence}" if fact.confidence else ""
    return f"{what}, seen {day(fact.checked)} ({fact.source}){sure}"


def is_old(fact: Known, today: date) -> bool:
    """Return whether a fact was checked too long ago to count."""
    return fact.checked is not None and is_stale(fact, today)


def aged(what: str, fact: Known, today: date) -> str:
    """Write a fact as it is while it is fresh, as "unknown, was ..." afterwards."""
    if not is_old(fact, today) or fact.checked is None:
        return what
    return f"unknown, was {what} ({day(fact.checked)})"


def has_free(service: Service) -> bool:
    """Return whether something of a service is free: for ever, or within an allowance."""
    return service.gone is None and any(row.cost in {"never", "allowance"} for row in service.models.values())


def free(service: Service, today: date | None = None) -> str:
    """Write what is free at a service, in a few words; as of `today` where a day is given."""
    what, limit = free_within(service)
    return what if today is None or limit is None else aged(what, limit, today)


def free_within(service: Service) -> tuple[str, Limit | None]:
    """Write the same, and return the limit that it is about, with its date; None where it is about none."""
    if service.gone is not None:
        return f"nothing since {day(service.gone.on)}", None
    if service.local:
        return "everything: it runs on this machine", None
    if not has_free(service):
        return "nothing that is known", None
    limit = main_limit(service)
    if limit is None:
        return "some models, the limits are not known", None
    return f"{shown(limit)}{', without a key' if limit.keyless else ''}", dated(service, limit)


def main_limit(service: Service) -> Limit | None:
    """Return the limit that says most of what is free: of the default model, over the longest time."""
    known = [limit for limit in service.limit if limit.keyless is not False]
    known = [limit for limit in known if limit.counts(service.default_model)] or known

    def says(limit: Limit) -> tuple[float, bool]:
        return (seconds_of(limit.per) if limit.per else 0.0, limit.metric == "requests")

    return max(known, key=says, default=None)


def privacy(said: Privacy) -> str:
    """Write what becomes of prompts, in a few words."""
    if said.trains == said.logs == "opt-out":
        return "trains on prompts and keeps them, unless the account says no"
    if said.trains == "unknown" != said.logs:
        return f"{_LOGS[said.logs].replace('them', 'prompts')}, not known whether it trains on them"
    return " and ".join(filter(None, (_TRAINS[said.trains], _LOGS[said.logs]))) or "not known"


def privacy_in_short(said: Privacy) -> str:
    """Write the same for a cell of a table."""
    if said.trains == said.logs == "opt-out":
        return "trains and keeps, unless told not to"
    return ", ".join(filter(None, (_TRAINS_IN_SHORT[said.trains], _LOGS_IN_SHORT[said.logs]))) or "not known"


def terms(said: Terms) -> str:
    """Write what the terms allow, in a few words; "" where nothing is known."""
    pieces = (
        f"{said.use} use" if said.use else "",
        f"from {said.age} years" if said.age else "",
        said.region,
        said.note.removesuffix("."),
    )
    return "; ".join(filter(None, pieces))


def oldest(service: Service) -> date | None:
    """Return the day of the oldest check among a service's limits and its own."""
    days = [dated(service, fact).checked for fact in (*service.limit, service)]
    return min((one for one in days if one is not None), default=None)
