"""What may be asked, by its cost for this user, the user's consents and where prompts may go.

Decided from rows of the catalogue alone. Nothing from outside proves that an account is not billed:
the user's word and the recorded limits stand for that, and `freeproviders.router.guard` looks at
the answers.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from freeproviders.catalogue import Service, facts_of
from freeproviders.catalogue.facts import row_of
from freeproviders.catalogue.rows import Cost
from freeproviders.consent import Privacy, how_to_confirm
from freeproviders.listed import is_listed_since
from freeproviders.naming import argument, joined, words

__all__ = ["Policy", "Privacy", "cost_of", "reason_against", "reason_against_unknown"]

_LIMITED_USE: Final = {
    "evaluation": "are for evaluation only",
    "non-commercial": "allow no commercial use",
}
_ANY: Final = f'Pass {argument("privacy")} "any" to ask it all the same.'
_UNSAID: Final = words(f"Nothing says that it does not train on prompts. {_ANY}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the caller allows.

    Attributes:
        privacy: where a prompt may go.
        confirmed: the ids of the services whose accounts are confirmed to be free ones.
        named: whether the caller named the member, which is consent to a service's
            allowance.
        paid: whether the members that the caller named may cost money.
        shown: why accounts must not be asked any more, as their answers have shown: one list for
            all members of an account, by service and key.
    """

    privacy: Privacy
    confirmed: AbstractSet[str] = frozenset()
    named: bool = False
    paid: bool = False
    shown: dict[tuple[str, str], list[str]] = field(default_factory=dict, compare=False, repr=False)


def cost_of(row: Service, model: str, *, has_key: bool = True) -> Cost | None:
    """Return what a model of a service costs, None where that is unknown.

    Where the free tier has ended, nothing is free any more, whatever a model's line says; and
    nothing is with a key of a service whose keys belong to accounts that pay.
    """
    if row.gone is not None or (row.key_is_billed and has_key):
        return "paid"
    return facts_of(row, model).cost


def reason_against(policy: Policy, row: Service, model: str, *, has_key: bool, here: bool) -> str:
    """Return why a model of a service must not be asked, "" where it may be.

    Args:
        policy: what the caller allows.
        row: the service.
        model: the model's name there.
        has_key: whether the request goes out with a key, and so for an account.
        here: whether the service's address is on this machine.
    """
    if gone := _gone(row, model):
        return gone
    reasons = (_too_dear(policy, row, model, has_key=has_key), _seen(policy, row, model, here=here))
    return joined(*reasons)


def _gone(row: Service, model: str) -> str:
    if row.gone is not None and row.gone.what == "service":
        return f"It is gone since {row.gone.on}: {row.gone.why}"
    retired = row.retired.get(model)
    if retired is not None and not is_listed_since(row, model, retired):
        instead = f" Name {retired.successor} in its place." if retired.successor else ""
        return f"The service has dropped the model on {retired.on}.{instead}"
    line = row_of(row, model)
    if line is not None and line.retires is not None and line.retires <= datetime.now(UTC).date():
        return f"The service was to drop the model on {line.retires}."
    return ""


def _too_dear(policy: Policy, row: Service, model: str, *, has_key: bool) -> str:
    """Return what forbids a model for its cost, or for what its service's terms allow for free."""
    cost = cost_of(row, model, has_key=has_key)
    if cost is None or cost == "paid":
        if policy.named and policy.paid:
            return ""
        what = _why_paid(row, model, has_key=has_key)
        advice = f"Pass {argument('paid', 'paid=True')} to ask it all the same."
        return joined(what, advice) if policy.named else what
    if policy.named:
        return ""
    confirmed = row.id in policy.confirmed
    if row.terms.use in _LIMITED_USE and not confirmed:
        what = f"Its terms {_LIMITED_USE[row.terms.use]}."
        return joined(what, how_to_confirm(row.id, "your use is such and your account is not billed"))
    if cost == "never":
        return ""
    if not confirmed and (has_key or row.key == "required"):  # else there is no account to be billed
        what = "It is free within an allowance only."
        return joined(what, how_to_confirm(row.id, "your account is not billed"))
    if not any(limit.counts(model) and limit.keyless in {None, not has_key} for limit in row.limit):
        return "It is free within an allowance whose limits are not recorded: name it to ask it."
    return ""


def _why_paid(row: Service, model: str, *, has_key: bool) -> str:
    if row.gone is not None:
        return f"Nothing is free there since {row.gone.on}: {row.gone.why}"
    if row.key_is_billed and has_key:
        return "It is free without a key only: what is asked with one is billed."
    if facts_of(row, model).cost == "paid":
        return "It costs money."
    return "Nothing says that it is free, so that it may cost money."


def reason_against_unknown(policy: Policy, *, here: bool) -> str:
    """Return why a backend without a row must not be asked; `here` says that it answers on this machine."""
    if policy.privacy == "any" or here:
        return ""
    return "It is not known to be on this machine." if policy.privacy == "local" else _UNSAID


def _seen(policy: Policy, row: Service, model: str, *, here: bool) -> str:
    """Return what forbids a model because of where the prompt would go."""
    if policy.privacy == "any":
        return ""
    line = row_of(row, model)
    relayed = line is not None and line.relayed
    if row.local and here and not relayed:
        return ""
    if policy.privacy == "local":
        return "Its server sends prompts on." if relayed else "It is not on this machine."
    if relayed:
        return "Its server sends prompts on, and nothing says what becomes of them there."
    if row.privacy.trains == "no":
        return ""
    if row.privacy.trains == "unknown":
        return _UNSAID
    unless = " unless the account says no" if row.privacy.trains == "opt-out" else ""
    return joined(f"It trains on prompts{unless}.", _ANY)
