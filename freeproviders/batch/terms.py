"""Services whose terms allow evaluation or non-commercial use only: a batch asks them when told to."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from freeproviders.backend import Backend
from freeproviders.catalogue import Service, catalogue
from freeproviders.errors import CatalogueError, UsageError
from freeproviders.naming import argument, words

RESTRICTED: Final = frozenset({"evaluation", "non-commercial"})
"""The uses of `Terms.use` for which thousands of questions need a word of the user's."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A member of a router that is not asked because of its terms."""

    service: str
    why: str


def with_terms(backend: Backend, accepted: Iterable[str] = ()) -> tuple[Backend, list[LeftOut]]:
    """Return who may be asked in a batch, and the members of a router that are left out.

    Args:
        backend: who is to be asked.
        accepted: ids of services whose terms the user has read and keeps.

    Raises:
        UsageError: nobody may be asked, or an accepted name is no service's.
    """
    names = {accepted} if isinstance(accepted, str) else set(accepted)
    agreed = {catalogue().service(name).id for name in names}
    router = sys.modules.get("freeproviders.router.router")
    if router is not None and isinstance(backend, router.FreeProviders):
        return _router(backend, agreed)
    service = getattr(backend, "service", None)
    if isinstance(service, Service) and _is_restricted(service, agreed):
        raise UsageError(_words(service), provider=backend.name)
    return backend, []


def _router(backend: Backend, agreed: set[str]) -> tuple[Backend, list[LeftOut]]:
    present = {
        member.row.id: member.row
        for member in backend.members  # type: ignore[attr-defined]
        if member.row is not None and _is_restricted(member.row, agreed)
    }
    others = [name for name in _restricted() if name not in agreed]
    left_out = [LeftOut(name, words(_words(service))) for name, service in present.items()]
    if not present and not others:
        return backend, []
    try:
        # Those that are not there yet may be found with the first question.
        return backend.without([*present, *others]), left_out  # type: ignore[attr-defined]
    except UsageError as error:
        if not left_out:
            raise
        raise UsageError(" ".join([one.why for one in left_out]), provider=backend.name) from error


def _restricted() -> list[str]:
    found = []
    for name in catalogue().ids:
        try:
            service = catalogue().service(name)
        except CatalogueError:  # said by whoever asks that service
            continue
        if service.terms.use in RESTRICTED:
            found.append(name)
    return found


def _is_restricted(service: Service, agreed: set[str]) -> bool:
    return service.terms.use in RESTRICTED and service.id not in agreed


def _words(service: Service) -> str:
    terms = service.terms
    where = f" ({terms.address})" if terms.address else ""
    return (
        f"The terms of {service.name}{where} allow {terms.use} use only. Where that is your use, name "
        f"{service.id} in {argument('accept_terms')}."
    )
