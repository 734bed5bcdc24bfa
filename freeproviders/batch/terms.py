"""Services whose terms allow evaluation or non-commercial use only: a batch asks them when told to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from freeproviders.backend import Backend
from freeproviders.catalogue import Service, catalogue
from freeproviders.errors import UsageError
from freeproviders.naming import argument, words

RESTRICTED: Final = frozenset({"evaluation", "non-commercial"})
"""The uses of `Terms.use` for which thousands of questions need a word of the user's."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A member of a router that is not asked because of its terms."""

    service: str
    why: str


def with_terms(backend: Backend, accepted: Iterable[str] = ()) -> tuple[Backend, list[LeftOut]]:
    """Return what may be asked in a batch, and the members of a router that are left out.

    Args:
        backend: the backend that is to be asked.
        accepted: ids of services whose terms the user has read and keeps.

    Raises:
        UsageError: no service may be asked, or an accepted name is no service's.
    """
    names = {accepted} if isinstance(accepted, str) else set(accepted)
    agreed = frozenset(catalogue().service(name).id for name in names)
    unaccepted = _Unaccepted(agreed)
    left_out = [service for service in backend.services() if unaccepted(service)]
    try:
        allowed = backend.without(unaccepted)
    except UsageError as error:
        raise UsageError(" ".join([_words(one) for one in left_out]), provider=backend.name) from error
    return allowed, [LeftOut(one.id, words(_words(one))) for one in left_out]


@dataclass(frozen=True, slots=True)
class _Unaccepted:
    """Tells services whose terms the user has not accepted; a router is pickled with it."""

    agreed: frozenset[str]

    def __call__(self, service: Service) -> bool:
        return service.terms.use in RESTRICTED and service.id not in self.agreed


def _words(service: Service) -> str:
    terms = service.terms
    where = f" ({terms.address})" if terms.address else ""
    return (
        f"The terms of {service.name}{where} allow {terms.use} use only. Where that is your use, name "
        f"{service.id} in {argument('accept_terms')}."
    )
