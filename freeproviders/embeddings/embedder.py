"""Whoever makes vectors of texts, and all the ways to ask."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from freeproviders.embeddings.family import Family
from freeproviders.wire.embeddings.request import EmbeddingAnswer, EmbeddingRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """The most that one request may have; None is no known limit.

    Attributes:
        texts: texts of a request.
        tokens: tokens of all its texts together.
        window: tokens of one text; what is longer is refused, or cut where that is asked for.
        concurrency: requests at the same time.
    """

    texts: int | None = None
    tokens: int | None = None
    window: int | None = None
    concurrency: int = 4


class Embedder(ABC):
    """A source of vectors of one family.

    A subclass has a `name`, a `model`, `family`, `caps` and `ask`; everything else is here.
    """

    name: str
    slug: str = ""
    model: str = ""
    caps: Caps = Caps()

    @property
    @abstractmethod
    def family(self) -> Family:
        """The family of the vectors; its size may be unknown until the first have come."""

    @abstractmethod
    async def ask(self, request: EmbeddingRequest) -> EmbeddingAnswer:
        """Make one request, again where that may help; its vectors are as the service gives them.

        The texts are within `caps`. Raises errors of the tree.
        """
