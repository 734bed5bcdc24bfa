"""Services whose terms allow evaluation or non-commercial use only: a batch asks them when told to."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from freeproviders.backend import Backend
from freeproviders.catalogue import Service, catalogue
from freeproviders.errors import UsageError
from freeproviders.naming import argument, words

if TYPE_CHECKING:
    from freeproviders.router.member import Member
    from freeproviders.router.router import FreeProviders

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
    agreed = frozenset(catalogue().service(name).id for name in names)
    left_out: list[LeftOut] = []

    def keeping_them(asked: Backend) -> Backend:
        router = sys.modules.get("freeproviders.router.router")
        if router is not None and isinstance(asked, router.FreeProviders):
            return _router(asked, agreed, left_out)
        service = getattr(asked, "service", None)
        if isinstance(service, Service) and _is_restricted(service, agreed):
            raise UsageError(_words(service), provider=asked.name)
        return asked

    return backend.with_asked(keeping_them), left_out


@dataclass(frozen=True, slots=True)
class _Unaccepted:
    """Tells members of a router whose terms the user has not accepted."""

    agreed: frozenset[str]

    def __call__(self, member: Member) -> bool:
        return member.row is not None and _is_restricted(member.row, self.agreed)


def _router(backend: FreeProviders, agreed: frozenset[str], left_out: list[LeftOut]) -> FreeProviders:
    unaccepted = _Unaccepted(agreed)
    present = {one.row.id: one.row for one in backend.members if one.row is not None and unaccepted(one)}
    left_out += [LeftOut(name, words(_words(service))) for name, service in present.items()]
    try:
        return backend.without(unaccepted)
    except UsageError as error:
        raise UsageError(" ".join([one.why for one in left_out]), provider=backend.name) from error


def _is_restricted(service: Service, agreed: frozenset[str]) -> bool:
    return service.terms.use in RESTRICTED and service.id not in agreed


def _words(service: Service) -> str:
    terms = service.terms
    where = f" ({terms.address})" if terms.address else ""
    return (
        f"The terms of {service.name}{where} allow {terms.use} use only. Where that is your use, name "
        f"{service.id} in {argument('accept_terms')}."
    )
