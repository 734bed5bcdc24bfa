"""Members of what a caller names: backends, services, models, the model on this machine."""

from __future__ import annotations

from collections.abc import Iterable

from freeproviders.abilities import Askable
from freeproviders.adapted import refuse_framework_model
from freeproviders.backend import Backend
from freeproviders.catalogue import Service, catalogue
from freeproviders.errors import MissingDependencyError, UsageError
from freeproviders.naming import argument, joined
from freeproviders.providers import Row, load_provider
from freeproviders.providers.openai_compatible import OpenAICompatible
from freeproviders.router.making import EMBEDDED, ROUTER, asking, is_embedded, made
from freeproviders.router.member import Found, Member, Skipped
from freeproviders.router.names import parted
from freeproviders.router.ollama import OLLAMA, ollama_later
from freeproviders.router.policy import Policy


def named(values: Iterable[Backend | Askable | str], policy: Policy) -> Found:
    """Make the members of what a caller names, in the caller's order.

    A service's name stands for its best model, and for its fallback models behind it, as far as
    they may be asked. Nothing is sent.

    Raises:
        UsageError: one that is no member, that lacks its key, or that must not be asked as the
            caller wants it; the error names it and says what to do.
    """
    found = Found()
    for value in values:
        try:
            _add(found, value, policy)
        except UsageError as error:
            if isinstance(value, str):
                error.advice = joined(error.advice, f"It is the member {value!r:.200}.")
            raise error.about(ROUTER, "")  # noqa: B904 - the same error
    return found


def _add(found: Found, value: object, policy: Policy) -> None:
    if isinstance(value, str):
        if not value:
            raise UsageError("A member's name is empty.")
        if "://" in value:
            instead = argument("base_url", "OpenAICompatible(model, base_url=...)")
            raise UsageError(f"An address is no member: pass {instead}.")
        service, model = parted(value)
        if isinstance(service, str):
            _add_service(found, catalogue().service(service), model, policy)
        else:
            found.members.append(_allowed(_protocol(service, model), policy))
        return
    refuse_framework_model(value)
    if not hasattr(value, "name"):
        raise UsageError(
            'A member is a backend, or a name as "groq", "groq/openai/gpt-oss-120b" or "embedded", not '
            f"{value!r:.200}."
        )
    backend = Backend.of(value)  # type: ignore[arg-type]  # or a UsageError that says what it lacks
    found.members.append(_allowed(backend, policy))


def _add_service(found: Found, row: Service, model: str, policy: Policy) -> None:
    """Add a model of a service, or its best and its fallback models."""
    if row.id == OLLAMA and not model:
        found.later.append(ollama_later(OpenAICompatible("any", service=row), policy))
        return
    backend = asking(row, model)
    found.members.append(_allowed(backend, policy))
    if model:
        return
    for rank, other in enumerate(row.fallback_models, 1):
        member, reason = made(asking(row, other), policy, rank=rank)
        if reason:
            found.skipped.append(Skipped(member.name, reason))
        else:
            found.members.append(member)


def _protocol(row: Row, model: str) -> Backend:
    backend = load_provider(row)(model or None)
    if row.slug == EMBEDDED:
        from freeproviders.router.here import MISSING_ENGINE  # noqa: PLC0415 - its import looks at files

        if MISSING_ENGINE:
            raise MissingDependencyError(MISSING_ENGINE)
    return backend


def _allowed(backend: Backend, policy: Policy) -> Member:
    """Make a member of a backend. Raises `UsageError` where it must not be asked."""
    member, reason = made(backend, policy)
    if reason:
        raise UsageError(reason, provider=backend.name, model="" if is_embedded(backend) else backend.model)
    return member
