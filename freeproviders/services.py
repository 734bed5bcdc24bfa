"""A service of the catalogue, as a provider of it uses its row."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from freeproviders.abilities import Abilities, Feature, Learned
from freeproviders.addresses import is_loopback
from freeproviders.catalogue import Facts, Service, catalogue, facts_of
from freeproviders.catalogue.guard import key_variables, variables_in
from freeproviders.configuration import origin, variable
from freeproviders.errors import (
    AuthenticationError,
    MissingKeyError,
    ProviderError,
    RetiredModelError,
    UsageError,
)
from freeproviders.listed import is_listed_since
from freeproviders.naming import argument
from freeproviders.types import ChatRequest


class Served:
    """A service that can be asked.

    `fallback` says whether the successor of a model that is gone is asked in its place. Raises
    `UnknownServiceError` where there is no service of that name, `UsageError` for one that is gone.
    """

    def __init__(self, service: str | Service, *, fallback: bool = False) -> None:
        self.row = row = service if isinstance(service, Service) else catalogue().service(service)
        self.fallback = fallback
        self.key_variables = key_variables(row)
        if row.gone is not None and row.gone.what == "service":
            raise UsageError(f"It is gone since {row.gone.on}: {row.gone.why}", provider=row.name)

    # --- where it is, and its key ---

    def address(self) -> str:
        """Return the service's address, with what it takes from the environment filled in."""
        address = self.row.base_url
        for name in variables_in(address):
            value = os.environ.get(name, "").strip()
            if not value:
                raise UsageError(
                    f"Set {name}: it is a part of the service's address.", provider=self.row.name
                )
            if not value.replace("-", "").replace("_", "").isalnum():
                raise UsageError(f"{name} must be of letters, digits and hyphens.", provider=self.row.name)
            address = address.replace(f"{{{name}}}", value)
        return address

    def is_home(self, base_url: str) -> bool:
        """Return whether an address is the service's own."""
        return origin(base_url) == origin(self.row.base_url)

    def keeps_limits_at(self, base_url: str) -> bool:
        """Return whether the row's limits count at an address: the service's, or its gateway's."""
        if not self.row.limit or is_loopback(base_url):
            return False
        return self.gets_the_key(base_url)

    def gets_the_key(self, base_url: str) -> bool:
        """Return whether the environment's key goes to an address: the service's, or its gateway's."""
        return self.is_home(base_url) or variable(self.row.id, "base_url") in os.environ

    def check_key(self, base_url: str, headers: Mapping[str, str]) -> None:
        """Raise `MissingKeyError` if requests to an address need a key; the caller has none.

        On this machine none is needed, and headers may hold a login of another kind.
        """
        row = self.row
        if row.key != "required" or is_loopback(base_url):
            return
        if any(name.lower() == "authorization" for name in headers):
            return
        if self.gets_the_key(base_url):
            raise MissingKeyError(
                "The service wants a key, and there is none.",
                provider=row.name,
                keys=self.key_variables,
                key_address=row.key_address,
            )
        raise MissingKeyError(
            f"{argument('base_url')} is not where the service is, so that its key in the environment "
            f"stays here: pass "
            f"{argument('api_key')}.",
            provider=row.name,
        )

    # --- its models ---

    def model_to_ask(self, model: str) -> str:
        """Return the model to ask: the default for "", and the successor of a gone one if allowed.

        A model that the service has listed since the row knew it as retired is asked: what a
        service announces beats the user's file, which beats the row.

        Raises:
            UsageError: the service has no default model, and is not on this machine.
            RetiredModelError: the model is gone.
        """
        row = self.row
        model = model or row.default_model
        if not model and not row.local:  # many of those have one, and want none named
            raise UsageError(
                f"The service has no default model: name one with {argument('model', 'model=')}.",
                provider=row.name,
            )
        asked, seen = model, {model}
        while (gone := row.retired.get(asked)) is not None and not is_listed_since(row, asked, gone):
            if not self.fallback or not gone.successor or gone.successor in seen:
                raise RetiredModelError(
                    "The service has dropped this model.",
                    provider=row.name,
                    model=model,
                    successor=gone.successor,
                    retired_on=gone.on,
                )
            asked = gone.successor
            seen.add(asked)
        return asked

    def abilities(self, model: str, unknown: Abilities) -> Abilities:
        """Return the abilities of a model; `unknown` are those of a model that is not known."""
        facts = facts_of(self.row, model)
        flags: Mapping[str, bool | None] = {
            name: getattr(facts, name) for name in ("schema", "images", "audio", "files", "reasoning")
        }
        known = {name: flag for name, flag in flags.items() if flag is not None}
        named = self.row.models.get(model)
        return replace(
            unknown,
            tools=self._calls_tools(facts) or False,
            window=facts.context,
            output=facts.output,
            family=(named.family or named.facts) if named is not None else "",
            **known,
        )

    def knows(self, feature: Feature, model: str) -> bool:
        """Return whether the catalogue says if a model has a feature."""
        facts = facts_of(self.row, model)
        match feature:
            case "tools":
                return self._calls_tools(facts) is not None
            case "schema":
                return facts.schema is not None
        return False

    def _calls_tools(self, facts: Facts) -> bool | None:
        """A model's calls pass through a local server only where its template has them."""
        return None if self.row.local and self.row.native_tools is None else facts.tools

    # --- a request, and what became of it ---

    def adapted(self, request: ChatRequest, learned: Learned) -> tuple[ChatRequest, str]:
        """Return a request as this service can take it, and what has changed in words, "" if nothing.

        No answer is asked to be longer than the model writes, which some services refuse.
        """
        if self.fallback and (successor := learned.successors.get(request.model or "")):
            request = replace(request, model=successor)
        wanted = request.max_tokens
        longest = facts_of(self.row, request.model or "").output if wanted is not None else None
        if wanted is None or longest is None or wanted <= longest:
            return request, ""
        words = f"is asked for max_tokens={longest}, the most that the model writes, not {wanted}."
        return replace(request, max_tokens=longest), words

    def goes_on_without(self, error: RetiredModelError, learned: Learned) -> bool:
        """Ask the successor of a model from now on, where that is allowed and there is one."""
        if not self.fallback or error.model in learned.successors:
            return False
        successor = self._successor_of(error.model)
        if successor:
            learned.successors[error.model] = successor
        return bool(successor)

    def advise(self, error: ProviderError) -> None:
        """Add what the row knows to an error: a model's successor, the page where keys are issued."""
        row = self.row
        if isinstance(error, RetiredModelError):
            gone = row.retired.get(error.model)
            error.successor = error.successor or self._successor_of(error.model)
            error.retired_on = error.retired_on or (gone.on if gone is not None else None)
        elif isinstance(error, AuthenticationError) and row.key_address and not error.advice:
            error.advice = f"Keys are issued at <{row.key_address}>."

    def _successor_of(self, model: str) -> str:
        """Return the model to use in place of one that is gone, "" where none is known.

        It is the row's successor, else the first of its default and fallback models that is
        another.
        """
        row = self.row
        gone = row.retired.get(model)
        if gone is not None and gone.successor:
            return gone.successor
        others = (name for name in (row.default_model, *row.fallback_models) if name and name != model)
        return next(others, "")
