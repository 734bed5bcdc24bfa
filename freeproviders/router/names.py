"""Names of members: a service, a protocol of this package or "embedded", with "/model" behind it."""

from __future__ import annotations

from collections.abc import Iterable

from freeproviders.catalogue import catalogue
from freeproviders.errors import UnknownServiceError, UsageError
from freeproviders.naming import argument, joined
from freeproviders.providers import Row, find_provider


def parted(name: str) -> tuple[str | Row, str]:
    """Read a name: the id of a service, or the row of a protocol's class; and the model, "" for none.

    Raises `UnknownServiceError`.
    """
    head, _, model = name.partition("/")
    provider = find_provider(head)
    if provider is not None and not catalogue().has(head):
        return provider, model
    try:
        return catalogue().service(head).id, model
    except UnknownServiceError as error:
        error.advice = '"embedded" is the model on this machine.'
        raise


def checked(names: Iterable[str], given_as: str) -> tuple[str, ...]:
    """Return names as members have them, so that a misspelt one cannot be passed over in silence.

    Raises `UsageError`, with `given_as` as the argument that holds them.
    """
    return tuple([_checked(name, given_as) for name in listed(names, given_as)])


def listed(names: Iterable[str], given_as: str) -> tuple[str, ...]:
    """Return names as they were given. Raises `UsageError` where they are no list."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise UsageError(f'{argument(given_as)} must be a list of names, as ["groq"], not {names!r:.200}.')
    return tuple(names)


def _checked(name: object, given_as: str) -> str:
    if not isinstance(name, str) or not name:
        raise UsageError(f'{argument(given_as)} holds names, as "groq" or "embedded", not {name!r:.200}.')
    try:
        service, model = parted(name)
    except UsageError as error:
        error.advice = joined(error.advice, f"The name is in {argument(given_as)}.")
        raise
    head = service if isinstance(service, str) else service.slug
    return f"{head}/{model}" if model else head
