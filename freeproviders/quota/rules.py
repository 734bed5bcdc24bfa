"""Rules for the requests of one model, out of the lines of a service's row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Final

from freeproviders.catalogue.rows import Limit, Service
from freeproviders.quota.interface import Claim, Rule, Source
from freeproviders.wire.limits import Metric

_ONE_EACH: Final = ("requests", "concurrency")


def rules_of(service: Service, model: str, *, keyless: bool) -> tuple[Rule, ...]:
    """Return the rules that a request to a model has to keep, and a gate for its refusals.

    A limit of which sources contradict each other (confidence D) is no rule, unless the user's own
    file has it: the service's refusals tell more.
    """
    limits = [one for one in service.limit if service.file or (one.confidence or service.confidence) != "D"]
    source: Source = "user" if service.file else "row"
    return rules_for(service.id, limits, model, keyless=keyless, source=source)


def rules_for(
    name: str, limits: Iterable[Limit], model: str, *, keyless: bool = False, source: Source = "caller"
) -> tuple[Rule, ...]:
    """Return the rules of those limits that are about a model, and a gate for its refusals.

    `name` is the service's id, or any other name for what counts. Among lines of the same pool,
    metric and period the smallest cap is the rule.
    """
    rules: dict[tuple[str, str, str, str], Rule] = {}
    for limit in limits:
        if not limit.counts(model) or limit.keyless not in {None, keyless}:
            continue
        rule = Rule(
            service=name,
            pool=model if limit.scope == "model" else limit.scope,
            metric=limit.metric,
            per=limit.per,
            cap=limit.cap,
            reset=limit.reset,
            zone=limit.zone,
            counted="admission" if limit.metric in _ONE_EACH else limit.counted or "end",
            by=limit.by,
            source=source,
        )
        place = (rule.pool, rule.metric, rule.per, rule.by)
        if place not in rules or rules[place].cap > rule.cap:
            rules[place] = rule
    gate = Rule(service=name, pool=model, metric="requests", per="", cap=inf, source=source)
    return (*rules.values(), gate)


def claims_of(rules: Iterable[Rule], amounts: Mapping[Metric, float]) -> tuple[Claim, ...]:
    """Return what one request claims of its rules.

    `amounts` are upper estimates: "input tokens" and "output tokens", whose sum is "tokens" unless
    that is named too; one request and one place of concurrency need no mention. Rules of any other
    metric for which there is no amount (as "neurons" or "usd") are left out.
    """
    amounts = spent_of(amounts)
    return tuple(
        Claim(rule, amount)
        for rule in rules
        if (amount := amounts.get(rule.metric, 1.0 if rule.metric in _ONE_EACH else None)) is not None
    )


def spent_of(amounts: Mapping[Metric, float]) -> dict[Metric, float]:
    """Return amounts with "tokens", the sum of those in and out, where only these are named."""
    spent = dict(amounts)
    if "tokens" not in spent and "input tokens" in spent and "output tokens" in spent:
        spent["tokens"] = spent["input tokens"] + spent["output tokens"]
    return spent
