"""Refusals of a store as errors of the tree."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf

from freeproviders.errors import QuotaSpentError, QuotaTooSmallError
from freeproviders.quota.interface import Rule
from freeproviders.quota.steps import Refused, TooSmall


def spent(refusal: Refused) -> QuotaSpentError:
    """Return the error of a request for which there is no room yet."""
    rule = refusal.claim.rule
    what = "The service has refused a short while ago" if rule.cap == inf else "Nothing is left for now"
    error = QuotaSpentError(f"{what}: {_words(rule)}. Nothing was sent.", soonest=moment(refusal.after))
    error.scope, error.metric = rule.pool, rule.metric
    error.earliest = moment(refusal.early)
    return error


def too_small(refusal: TooSmall) -> QuotaTooSmallError:
    """Return the error of a request that is larger than a whole limit."""
    rule = refusal.claim.rule
    error = QuotaTooSmallError(
        f"The request needs {refusal.claim.amount:g} {_words(rule)}, and the whole limit for it is "
        f"{refusal.cap:g}. Nothing was sent.",
        metric=rule.metric,
        amount=refusal.claim.amount,
        cap=refusal.cap,
    )
    error.scope = rule.pool
    return error


def moment(after: float) -> datetime | None:
    """Return the time (UTC) in so many seconds, None where no calendar has it."""
    if after > timedelta.max.total_seconds() / 1000:
        return None
    return datetime.now(UTC) + timedelta(seconds=after)


def _words(rule: Rule) -> str:
    per = f" a {rule.per}" if rule.per and rule.per[0].isalpha() else f" in {rule.per}" if rule.per else ""
    return f"{rule.metric}{per} of {rule.service} ({rule.pool})"
