"""A source of vectors: what it is, one request of it, and what it knows about its texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from freeproviders.embeddings.cache import VectorCache
from freeproviders.embeddings.caps import Caps
from freeproviders.embeddings.family import Family
from freeproviders.embeddings.texts import cut
from freeproviders.errors import FamilyMismatchError
from freeproviders.retry import Retry
from freeproviders.wire.embeddings.request import EmbeddingAnswer, EmbeddingRequest, Role
from freeproviders.wire.embeddings.vectors import Vectors, to_unit_length


class VectorSource(ABC):
    """What an embedder is made of: its facts, and `ask` for one request."""

    name: str
    slug: str = ""
    model: str = ""
    caps: Caps = Caps()
    size: int | None = None
    """The numbers that a vector is asked to have, None for the model's own number."""
    options: Mapping[str, Any] = MappingProxyType({})
    """Options of the service that go with each request, by its own names."""
    retry: Retry = Retry()
    patient_retry: Retry = Retry(attempts=12, budget=600.0)
    """The retries of a service that has answered before: a job of hours is not lost to a bad minute."""
    cache: VectorCache | None = None
    """Where vectors are kept, None where they are not."""
    takes_any_text: bool = False
    """Whether a text of white space alone, or with half of a character, has a vector too."""
    cuts_itself: bool = False
    """Whether the service cuts texts that are too long, where that is asked for."""
    cuts_unasked: bool = False
    """Whether the service may cut texts that are too long without a word."""

    @property
    @abstractmethod
    def family(self) -> Family:
        """The family of the vectors; its size may be unknown until the first have come."""

    @abstractmethod
    async def ask(self, request: EmbeddingRequest) -> EmbeddingAnswer:
        """Make one request, again where that may help; its vectors are as the service gives them.

        The texts are within `caps` and have their prefixes. Raises errors of the tree.
        """

    # --- what subclasses may know better ---

    def prefix(self, role: Role) -> str:
        """Return what the model wants before each text of a role, "" for nothing."""
        del role
        return ""

    async def cut(self, text: str, window: int) -> str:
        """Cut a text that may be longer than a window of so many tokens."""
        return cut(text, window, self.model)

    def normalised(self, vectors: Vectors) -> Vectors:
        """Bring vectors as the service gives them to what the family says; may change them in place."""
        return to_unit_length(vectors) if self.family.normalised else vectors

    def check_size(self, size: int) -> None:
        """Raise `FamilyMismatchError` where a vector has not as many numbers as the family says."""
        family = self.family
        if family.size is not None and size != family.size:
            raise FamilyMismatchError(
                f"The answer has vectors of {size} numbers, which are of the family "
                f"{replace(family, size=size).fingerprint!r}, and not of {family.fingerprint!r}.",
                provider=self.name,
                model=self.model,
                stored=family.fingerprint,
                own=replace(family, size=size).fingerprint,
            )
