"""Vectors of one family, from the members of it that can be asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Final

from freeproviders.checks import one_of
from freeproviders.consent import PRIVACY, Privacy, confirmed_services
from freeproviders.embeddings.cache import VectorCache
from freeproviders.embeddings.caps import Caps
from freeproviders.embeddings.embedder import Embedder
from freeproviders.embeddings.family import Family
from freeproviders.embeddings.members import CHOSEN, named, of_family
from freeproviders.errors import (
    BadRequestError,
    FamilyMismatchError,
    FreeProvidersError,
    ProviderError,
    UsageError,
)
from freeproviders.naming import joined
from freeproviders.retry import SHORTEST_INVITED_WAIT, Patience, Retry
from freeproviders.wire.embeddings.request import EmbeddingAnswer, EmbeddingRequest, Role
from freeproviders.wire.embeddings.vectors import Vectors

_ONCE: Final = Retry(attempts=1)
"""A member that fails is left for the next one; there is time for retries when all have failed."""
_AFTER: Final = 0.05
"""Seconds after the time that a limit names, so that no request is early by a clock's difference."""
_SHORTEST_REST: Final = 5.0
_LONGEST_REST: Final = 300.0


@dataclass(slots=True, eq=False)
class _Member:
    """An embedder, and how it did last (times are of the monotonic clock).

    `shut_until` is when its limits let it be asked again, `rests_until` when it is worth another
    try; `error` is what it said last.
    """

    embedder: Embedder
    failures: int = 0
    rests_until: float = 0.0
    shut_until: float = 0.0
    error: FreeProvidersError | None = None

    @property
    def shut_for(self) -> float:
        """The seconds for which its limits keep it shut, 0 where they do not."""
        left = self.shut_until - time.monotonic()
        return left + _AFTER if left > 0 else 0.0

    def failed(self, error: FreeProvidersError) -> None:
        """Leave it alone for as long as its limits say, else for longer each time."""
        self.failures += 1
        self.error = error
        said = _said_rest(error)
        if said is not None:
            self.shut_until = time.monotonic() + max(said, SHORTEST_INVITED_WAIT)
        else:
            rest = min(_LONGEST_REST, _SHORTEST_REST * 2 ** (self.failures - 1))
            self.rests_until, self.shut_until = time.monotonic() + rest, 0.0

    def answered(self) -> None:
        """Note that it answers again."""
        self.failures, self.rests_until, self.shut_until, self.error = 0, 0.0, 0.0, None


def _said_rest(error: FreeProvidersError) -> float | None:
    """Return the seconds after which a service or its limits said to come back, None if not said."""
    if not isinstance(error, ProviderError):
        return None
    if error.soonest is not None:
        return max(0.0, (error.soonest - datetime.now(UTC)).total_seconds())
    return error.retry_after


class FreeProvidersEmbedder(Embedder):
    """Embedders of one family, asked in order: the next one where one fails or has no room.

    Without arguments it is the offline floor, since an index must not change its family with the
    environment.

    Args:
        members: embedders of one family, or services by name: "gemini", "nvidia/baai/bge-m3",
            "offline". Naming a service is consent to ask it.
        family: a family of the catalogue by name, as "bge-m3", in place of members: local servers
            that may have it, then services with a key in the environment. It asks those where the
            model never costs anything, and those with an allowance if they are confirmed.
        confirmed: services whose accounts the user has confirmed to be free ones, beside those in
            `FREEPROVIDERS_CONFIRMED`, by commas, and those of `freeproviders services confirm`.
        privacy: for services found by `family`: "no-training" leaves out those that train on
            texts, "local" all that are not on this machine.
        cache: where vectors of all members are kept; see `OpenAICompatibleEmbedder`. Caches of
            the members are not used.

    Raises:
        FamilyMismatchError: two members are of different families; both fingerprints are named.
        UsageError: no member is left; the error says why each service was left out.
    """

    name = CHOSEN
    slug = "free-providers"

    def __init__(
        self,
        *members: Embedder | str,
        family: str | None = None,
        confirmed: Iterable[str] = (),
        privacy: Privacy = "no-training",
        cache: bool | str | Path | VectorCache = False,
    ) -> None:
        if members and family is not None:
            raise UsageError("Pass members or family, not both.", provider=self.name)
        one_of("privacy", privacy, PRIVACY)
        if family is not None:
            found = of_family(family, confirmed_services(confirmed), privacy)
        else:
            found = [named(member) for member in members or ("offline",)]
        self._members = [_Member(embedder) for embedder in found]
        first = found[0]
        for other in found[1:]:
            _check_same(first, other)
        self.model = first.model
        self.caps = _least(member.caps for member in found)
        self.cache = VectorCache.of(cache)
        if any(member.options for member in found):  # what is kept was made with one of these
            self.options = {f"{member!r}": dict(member.options) for member in found}
        self.takes_any_text = all(member.takes_any_text for member in found)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(repr(member.embedder) for member in self._members)})"

    @property
    def members(self) -> list[Embedder]:
        """The embedders, in the order in which they are asked."""
        return [member.embedder for member in self._members]

    @property
    def family(self) -> Family:
        """The family of all members, with the size that one of them knows."""
        families = [member.embedder.family for member in self._members]
        return next((family for family in families if family.size is not None), families[0])

    def prefix(self, role: Role) -> str:
        """Return what the model wants before each text of a role: the same for all members."""
        return self._members[0].embedder.prefix(role)

    def normalised(self, vectors: Vectors) -> Vectors:
        """Return vectors as they are: the member that made them has brought them to the family."""
        return vectors

    async def cut(self, text: str, window: int) -> str:
        """Cut a text as the first member does."""
        return await self._members[0].embedder.cut(text, window)

    async def ask(self, request: EmbeddingRequest) -> EmbeddingAnswer:
        """Ask the members in order until one answers; see `Embedder.ask`.

        Where none does, the one that can be asked first is waited for. A refusal of a text is
        raised where no member took it; else the first error, with the other attempts in its advice.
        """
        patience = Patience.of(request, self.retry)
        longest = self.retry.retry_after_cap if request.wait_up_to is None else request.wait_up_to
        while True:
            shut = [member for member in self._members if member.shut_for]
            attempts = [member.error for member in shut if member.error is not None]
            for member in self._in_order(shut):
                try:
                    answer = await member.embedder.ask(_once(request, member.embedder))
                except FamilyMismatchError:
                    raise
                except FreeProvidersError as error:
                    attempts.append(error)
                    if not isinstance(error, BadRequestError):
                        member.failed(error)
                else:
                    member.answered()
                    return self._taken(member.embedder, answer)
            refusal = next((error for error in attempts if isinstance(error, BadRequestError)), None)
            if refusal is not None:
                raise refusal
            delay = self._delay(attempts, patience)
            if delay is None:
                waits = [member.shut_for for member in self._members if member.shut_until]
                delay = min(waits, default=inf)
                longest -= delay
            if longest < 0:
                raise _with_attempts(attempts)
            await asyncio.sleep(delay)

    @staticmethod
    def _delay(attempts: Sequence[FreeProvidersError], patience: Patience) -> float | None:
        """Return the seconds until a member that just failed may be tried again, None where none may."""
        failed = next((error for error in attempts if _said_rest(error) is None), None)
        return patience.delay(failed) if isinstance(failed, ProviderError) else None

    def _in_order(self, shut: Sequence[_Member]) -> list[_Member]:
        """Return the members to try: all that are not shut, and last those that just failed."""
        now = time.monotonic()
        free = [member for member in self._members if member not in shut]
        return sorted(free, key=lambda member: member.rests_until > now)

    def _taken(self, embedder: Embedder, answer: EmbeddingAnswer) -> EmbeddingAnswer:
        """Return the answer with vectors of the family; another size is another family's."""
        self.check_size(answer.vectors.size)  # before the member takes it for the family's size
        embedder.check_size(answer.vectors.size)
        return replace(answer, vectors=embedder.normalised(answer.vectors))


def _once(request: EmbeddingRequest, embedder: Embedder) -> EmbeddingRequest:
    """Write a request for a member, which neither waits nor tries again."""
    return replace(
        request,
        model=embedder.model,
        size=embedder.size,
        options=embedder.options,
        wait_up_to=0.0,
        patience=Patience(_ONCE, 0.0),
    )


def _with_attempts(attempts: Sequence[FreeProvidersError]) -> FreeProvidersError:
    """Return the first error, with what the other members said.

    It is a copy: what a member that is shut has said is told to others, too.
    """
    error, others = copy(attempts[0]), attempts[1:]
    if others:
        error.advice = joined(error.advice, "The others:", *(one.wording for one in others))
    return error


def _check_same(first: Embedder, other: Embedder) -> None:
    """Raise `FamilyMismatchError` unless two embedders are of one family, as far as it is known."""
    one, two = first.family, other.family
    if one.size is None or two.size is None:
        one, two = replace(one, size=None), replace(two, size=None)
    if one != two:
        raise FamilyMismatchError(
            f"{first!r} makes vectors of the family {first.family.fingerprint!r}, and {other!r} of "
            f"{other.family.fingerprint!r}: they cannot be compared.",
            provider=CHOSEN,
            stored=first.family.fingerprint,
            own=other.family.fingerprint,
        )


def _least(caps: Iterable[Caps]) -> Caps:
    """Return the caps that a request keeps with every member."""
    found = list(caps)

    def least(name: str) -> int | None:
        return min((value for one in found if (value := getattr(one, name)) is not None), default=None)

    return Caps(
        texts=least("texts"),
        tokens=least("tokens"),
        window=least("window"),
        concurrency=max(one.concurrency for one in found),
    )
