"""Members made of backends: their names, their rows, where they answer, why they must not be asked."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Final

from freeproviders.addresses import host_of, is_loopback
from freeproviders.backend import Backend
from freeproviders.catalogue import Service, catalogue
from freeproviders.catalogue.facts import row_of
from freeproviders.catalogue.pins import PINS
from freeproviders.configuration import is_credential
from freeproviders.errors import RetiredModelError, UsageError
from freeproviders.providers.openai_compatible import OpenAICompatible
from freeproviders.router.guard import Guarded
from freeproviders.router.member import Key, Member, Place
from freeproviders.router.policy import Policy, cost_of, reason_against, reason_against_unknown

ROUTER: Final = "FreeProviders"
"""The name of the router, for errors."""
EMBEDDED: Final = "embedded"


def asking(row: Service, model: str) -> OpenAICompatible:
    """Return a backend for a model of a service, "" for its default.

    Raises `UsageError` where there is none: no key, no address, a model that is gone.
    """
    try:
        return OpenAICompatible(model or None, service=row)
    except RetiredModelError as error:
        instead = f" Use {error.successor} in its place." if error.successor else ""
        raise UsageError(
            f"The service has dropped this model on {error.retired_on}.{instead}",
            provider=row.name,
            model=model,
        ) from None


def made(backend: Backend, policy: Policy, *, rank: int = 0, name: str = "") -> tuple[Member, str]:
    """Make a member of a backend; return it with the reason why it must not be asked, "" where it may.

    `name` is what it is called, where that is not its service and model.
    """
    row, model = row_at(backend), backend.model
    here = is_loopback(backend.base_url)
    guarded: Guarded | None = None
    if row is None:
        place, cost = _place(backend, here=here), None
        reason = reason_against_unknown(policy, here=place in {"local", "embedded"})
    else:
        has_key = has_a_key(backend)
        line = row_of(row, model)
        local = row.local and here and not (line is not None and line.relayed)
        place, cost = "local" if local else "service", cost_of(row, model, has_key=has_key)
        reason = reason_against(policy, row, model, has_key=has_key, here=here)
        if cost in {"never", "allowance"} and not local and not (policy.named and policy.paid):
            guarded = Guarded(row, model, cost, has_key)
            if isinstance(backend, OpenAICompatible):
                account = (f"{row.id} {backend.base_url}", backend.api_key or "")
                backend = backend.free_only(guarded, policy.shown.setdefault(account, []))
    member = Member(
        backend=backend,
        name=name or name_of(backend, row),
        key=_key(backend, row, guarded=guarded is not None or row is None),
        rank=rank,
        place=place,
        row=row,
        cost=cost,
        named=policy.named,
        paid=policy.named and policy.paid,
        guarded=guarded,
    )
    return member, reason


def row_at(backend: Backend) -> Service | None:
    """Return the row of the service that a backend asks, also where only its address tells which."""
    own = getattr(backend, "service", None)
    if isinstance(own, Service):
        return own
    host = host_of(backend.base_url)
    found = next((name for name, pin in PINS.items() if host in pin.hosts), "") if host else ""
    return catalogue().service(found) if found else None


def has_a_key(backend: Backend) -> bool:
    """Return whether requests go out with a key or a login, and so for an account."""
    headers: Iterable[tuple[str, str]] = getattr(backend, "headers", {}).items()
    return bool(
        getattr(backend, "api_key", None)
        or getattr(backend, "login", None)
        or any(is_credential(name, value) for name, value in headers)
    )


def name_of(backend: Backend, row: Service | None) -> str:
    """Return how a user would name a backend."""
    head = row.id if row is not None else backend.slug or backend.name
    if is_embedded(backend):
        return EMBEDDED
    return f"{head}/{backend.model}" if backend.model else head


def is_embedded(backend: Backend) -> bool:
    """Return whether a backend is the model on this machine; its module is not loaded for that."""
    module = sys.modules.get("freeproviders.providers.embedded")
    return module is not None and isinstance(backend, module.Embedded)


def _place(backend: Backend, *, here: bool) -> Place:
    if is_embedded(backend):
        return "embedded"
    if here:
        return "local"
    return "service" if backend.base_url else "given"


def _key(backend: Backend, row: Service | None, *, guarded: bool) -> Key:
    """Return what a member's health is kept under.

    Members that may cost money are kept apart, since an account that looks paid is shut for the
    others only.
    """
    account = getattr(backend, "api_key", None) or getattr(backend, "login", None) or ""
    url = backend.base_url
    if row is None:
        return Key(f"{backend.name} {url}".strip(), backend.model, account)
    home = getattr(backend, "default_base_url", row.base_url)
    where = row.id if url == home else f"{row.id} {url}"
    return Key(where if guarded or row.local else f"{where} (paid)", backend.model, account)
