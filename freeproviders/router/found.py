"""Members that are found: services with a key in the environment, local servers, the embedded model.

Nothing is sent and no port is tried here; an Ollama server is looked at when the first question
comes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from freeproviders.abilities import Askable
from freeproviders.backend import Backend
from freeproviders.catalogue import Service, catalogue
from freeproviders.catalogue.guard import key_variables
from freeproviders.catalogue.pins import PINS
from freeproviders.catalogue.rows import seconds_of
from freeproviders.consent import Privacy, confirmed_services
from freeproviders.deadlines import on_a_loop
from freeproviders.errors import UsageError
from freeproviders.naming import joined, marked
from freeproviders.providers import PROVIDERS, Row, find_provider, load_provider
from freeproviders.providers.openai_compatible import OpenAICompatible
from freeproviders.router.making import EMBEDDED, ROUTER, asking, made
from freeproviders.router.member import PLACES, Found, Later, Member, Skipped, answers_to
from freeproviders.router.named import named
from freeproviders.router.names import checked
from freeproviders.router.ollama import OLLAMA, ollama_later
from freeproviders.router.policy import Policy

__all__ = ["Found", "find", "in_words"]


def find(
    members: Sequence[Backend | Askable | str] = (),
    *,
    prefer: Iterable[str] = (),
    exclude: Iterable[str] = (),
    allow: Iterable[str] = (),
    confirmed: Iterable[str] = (),
    paid: bool = False,
    privacy: Privacy | None = None,
) -> Found:
    """Find the members that may be asked: those that the user names, else those that are found here.

    See `FreeProviders` for the arguments. Nothing is sent.

    Raises:
        UsageError: an unknown name, a member that must not be asked as the caller wants it, or no
            member to ask; the error says why each one is left out.
    """
    prefer, exclude, allow = checked(prefer, "prefer"), checked(exclude, "exclude"), checked(allow, "allow")
    policy = Policy(
        privacy=privacy or ("any" if members else "no-training"),
        confirmed=confirmed_services(confirmed),
        named=bool(members),
        paid=paid,
    )
    out = named(members, policy) if members else _looked_for(policy, prefer, allow)
    out.skipped = [one for one in out.skipped if not any(answers_to(one.name, "", name) for name in exclude)]
    out.later = [one for one in out.later if one.name not in exclude]
    out.arranged = partial(_in_order, prefer=prefer, exclude=exclude, named=bool(members))
    out.members = out.arranged(out.members)
    if not out.members and not out.later:
        left_out = f"exclude leaves out: {', '.join(exclude)}." if exclude else ""
        raise UsageError(
            joined("There is no backend to ask.", in_words(out.skipped), left_out),
            provider=ROUTER,
        )
    return out


def in_words(skipped: Iterable[Skipped]) -> str:
    """Write which services and models are left out and why, in a few sentences."""
    return joined(*[f"{one.name}: {marked(one.reason)}" for one in skipped])


def _looked_for(policy: Policy, prefer: Sequence[str], allow: Sequence[str]) -> Found:
    out = Found()
    shelf, allowed = catalogue(), {name.partition("/")[0] for name in allow}
    known = [name for name, pin in PINS.items() if name in allowed or _is_set(pin.variables)]
    known += [name for name in allowed if name not in PINS and shelf.has(name)]
    known += [name for name in policy.confirmed if name in PINS and name not in known]
    look = partial(_services, policy=policy, prefer=prefer, allow=allow)
    look(out, known)
    if shelf.is_listed or not on_a_loop():
        look(out, [name for name in shelf.added if name not in known])
    else:  # a loop is not kept waiting for folders
        out.later.append(Later("files of services", partial(_look_at_files, look, known)))
    for name in allow:
        provider = find_provider(name.partition("/")[0])
        if provider is not None and provider.slug != EMBEDDED and not catalogue().has(provider.slug):
            _add_protocol(out, provider, policy)
    out.later.append(ollama_later(OpenAICompatible("any", service=OLLAMA), policy))
    _add_embedded(out, policy)
    return out


async def _look_at_files(look: Callable[[Found, Sequence[str]], None], known: Sequence[str]) -> Found:
    """Look at the services of other packages and of the user, on a thread."""

    def found() -> Found:
        out = Found()
        look(out, [name for name in catalogue().added if name not in known])
        return out

    return await asyncio.to_thread(found)


def _in_order(
    members: Sequence[Member], *, prefer: Sequence[str], exclude: Sequence[str], named: bool
) -> list[Member]:
    """Order members: preferred ones by their names, services, local servers, the embedded model.

    Excluded ones are left out, those of a server that was looked at later too.
    Among services the best models of all come before the second models of any; of those, the one
    that may be asked most often a day comes first. Members that a caller named keep that order, but
    for those preferred.
    """

    def place(member: Member) -> tuple[float, ...]:
        wanted = member.wanted(prefer)
        if named:
            return (wanted,)
        return wanted, PLACES[member.place], member.rank, -_a_day(member)

    left = [member for member in members if not any(member.answers_to(name) for name in exclude)]
    return sorted(left, key=place)


def _a_day(member: Member) -> float:
    """Return the requests a day that the recorded limits allow, 0 where none are recorded."""
    limits = member.row.limit if member.row is not None else ()
    counted = [one for one in limits if one.metric == "requests" and one.per and one.counts(member.model)]
    return min((one.cap * 86_400 / seconds_of(one.per) for one in counted), default=0.0)


# --- services -------------------------------------------------------------------------------------


def _services(
    out: Found, ids: Iterable[str], *, policy: Policy, prefer: Sequence[str], allow: Sequence[str]
) -> None:
    """Add the models of those services whose key is set, or that are allowed.

    Only services that may be worth it are read: reading all would take longer than all else.
    """
    allowed = {name.partition("/")[0] for name in allow}
    for name in ids:
        try:
            row = catalogue().service(name)
        except UsageError as error:
            out.skipped.append(Skipped(name, str(error)))
            continue
        if name in allowed or _is_set(key_variables(row)):
            _add_service(out, row, policy, prefer=prefer, allow=allow)
        elif name in policy.confirmed and row.key == "required" and row.gone is None:
            why = f"It is confirmed, and has no key here: set {' or '.join(key_variables(row))}."
            out.skipped.append(Skipped(name, why, expected=True))


def _is_set(variables: Sequence[str]) -> bool:
    return any(os.environ.get(name, "").strip() for name in variables)


def _add_service(
    out: Found, row: Service, policy: Policy, *, prefer: Sequence[str], allow: Sequence[str]
) -> None:
    """Add the models of a service that may be asked, or why there are none."""
    if row.id == OLLAMA:
        return
    allowed = [name for name in allow if name.partition("/")[0] == row.id]
    if not (row.auto or allowed or row.gone is not None):
        why = f"It is asked only where it is allowed, with allow=[{row.id!r}], or named."
        out.skipped.append(Skipped(row.id, why, expected=True))
        return
    first: str | None = None
    models = _models(row, [*prefer, *allow])
    for rank, model in enumerate(models):
        try:
            member, reason = made(asking(row, model), policy, rank=rank)
        except UsageError as error:  # its address needs a variable, a model is gone ...
            reason = error.wording
        if not reason:
            out.members.append(member)
        elif reason != first:  # what holds for the whole service is said once
            first = first or reason
            out.skipped.append(Skipped(f"{row.id}/{model}" if rank else row.id, reason))


def _models(row: Service, names: Sequence[str]) -> list[str]:
    """List the models of a service that are asked, those named before its default and its fallbacks."""
    named = [model for name in names for head, _, model in [name.partition("/")] if head == row.id and model]
    return list(dict.fromkeys([*named, row.default_model, *row.fallback_models]))


def _add_protocol(out: Found, provider: Row, policy: Policy) -> None:
    """Add one of this package's own protocols, which are all of unofficial services."""
    try:
        member, reason = made(load_provider(provider)(), policy)
    except UsageError as error:
        reason = error.wording
    if reason:
        out.skipped.append(Skipped(provider.slug, reason))
    else:
        out.members.append(member)


# --- this machine ---------------------------------------------------------------------------------


def _add_embedded(out: Found, policy: Policy) -> None:
    """Add the model on this machine; its weights are fetched when it is asked, and that is announced."""
    from freeproviders.router.here import MISSING_ENGINE  # noqa: PLC0415 - its import looks at files

    if MISSING_ENGINE:
        out.skipped.append(Skipped(EMBEDDED, MISSING_ENGINE, expected=True))
        return
    row = next(row for row in PROVIDERS if row.slug == EMBEDDED)
    try:
        member, _ = made(load_provider(row)(), policy)
    except UsageError as error:  # FREEPROVIDERS_MODEL names none
        out.skipped.append(Skipped(EMBEDDED, str(error), expected=True))
    else:
        out.members.append(member)
