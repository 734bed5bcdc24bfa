"""A service of the catalogue, as a provider is configured with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from freeproviders.abilities import Abilities, Feature
from freeproviders.catalogue import Facts, Service, catalogue, facts_of
from freeproviders.catalogue.guard import key_variables, variables_in
from freeproviders.errors import (
    AuthenticationError,
    MissingKeyError,
    ProviderError,
    RetiredModelError,
    UsageError,
)
from freeproviders.listed import is_listed_since


def service_named(service: str | Service) -> Service:
    """Return a service that can be asked.

    Raises `UnknownServiceError` where there is none of that name, `UsageError` for one that is
    gone.
    """
    row = service if isinstance(service, Service) else catalogue().service(service)
    if row.gone is not None and row.gone.what == "service":
        raise UsageError(f"It is gone since {row.gone.on}: {row.gone.why}", provider=row.name)
    return row


def address_of(row: Service) -> str:
    """Return the address of a service, with what it takes from the environment filled in."""
    address = row.base_url
    for name in variables_in(address):
        value = os.environ.get(name, "").strip()
        if not value:
            raise UsageError(f"Set {name}: it is a part of the service's address.", provider=row.name)
        if not value.replace("-", "").replace("_", "").isalnum():
            raise UsageError(f"{name} must be of letters, digits and hyphens.", provider=row.name)
        address = address.replace(f"{{{name}}}", value)
    return address


def missing_key(row: Service, *, at_home: bool) -> MissingKeyError:
    """Return the error for a service that wants a key and has none."""
    if at_home:
        return MissingKeyError(
            "The service wants a key, and there is none.",
            provider=row.name,
            keys=key_variables(row),
            key_address=row.key_address,
        )
    return MissingKeyError(
        "base_url is not where the service is, so that its key in the environment stays here: pass api_key.",
        provider=row.name,
    )


def advise(error: ProviderError, row: Service) -> None:
    """Add what the row knows to an error: a model's successor, the page where keys are issued."""
    if isinstance(error, RetiredModelError) and (gone := row.retired.get(error.model)) is not None:
        error.successor = error.successor or gone.successor
        error.retired_on = error.retired_on or gone.on
    elif isinstance(error, AuthenticationError) and row.key_address and not error.advice:
        error.advice = f"Keys are issued at <{row.key_address}>."


def model_named(row: Service, model: str, *, fallback: bool) -> str:
    """Return the model to ask: the default for "", and the successor of a retired one if allowed.

    A model that the service has listed since the row knew it as retired is asked: what a service
    announces beats the user's file, which beats the row.

    Raises:
        UsageError: the service has no default model, and is not on this machine.
        RetiredModelError: the model is gone.
    """
    model = model or row.default_model
    if not model and not row.local:  # many of those have one, and want none named
        raise UsageError("The service has no default model: name one.", provider=row.name)
    gone = row.retired.get(model)
    if gone is None or is_listed_since(row, model, gone):
        return model
    if fallback and gone.successor:
        return model_named(row, gone.successor, fallback=True) if gone.successor != model else model
    raise RetiredModelError(
        "The service has dropped this model.",
        provider=row.name,
        model=model,
        successor=gone.successor,
        retired_on=gone.on,
    )


def abilities_of(row: Service, model: str, unknown: Abilities) -> Abilities:
    """Return the abilities of a model there; `unknown` are those of a model that is not known."""
    facts = facts_of(row, model)
    flags: Mapping[str, bool | None] = {
        name: getattr(facts, name) for name in ("schema", "images", "audio", "files", "reasoning")
    }
    known = {name: flag for name, flag in flags.items() if flag is not None}
    named = row.models.get(model)
    return replace(
        unknown,
        tools=_calls_tools(row, facts) or False,
        window=facts.context,
        output=facts.output,
        family=(named.family or named.facts) if named is not None else "",
        **known,
    )


def is_known(row: Service, model: str, feature: Feature) -> bool:
    """Return whether the catalogue says if a model there has a feature."""
    facts = facts_of(row, model)
    match feature:
        case "tools":
            return _calls_tools(row, facts) is not None
        case "schema":
            return facts.schema is not None
    return False


def _calls_tools(row: Service, facts: Facts) -> bool | None:
    """A model's calls pass through a local server only where its template has them."""
    return None if row.local and row.native_tools is None else facts.tools
