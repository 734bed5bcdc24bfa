"""The texts of one call and a cache: what is there is not asked for, what comes is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from freeproviders.embeddings.cache import VectorCache
from freeproviders.embeddings.family import Family
from freeproviders.embeddings.result import Collected
from freeproviders.wire.embeddings.request import Role
from freeproviders.wire.embeddings.vectors import Vectors

_AT_ONCE: Final = 1000
"""Texts of a look-up: the vectors of so many are in memory twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A cache, and what all texts of a call have in common there."""

    cache: VectorCache
    family: Family
    role: Role
    truncate: bool
    options: Mapping[str, Any]

    async def look_up(
        self, texts: Sequence[str], whole: Collected
    ) -> tuple[dict[str, list[int]], int | None]:
        """Put the vectors that are there into `whole`.

        Returns the other texts, each with its places, and the size of the family, None where that
        is not known. Raises `VectorCacheError` where the file is of another program.
        """
        missing: dict[str, list[int]] = {}
        size = self.family.size
        for at in range(0, len(texts), _AT_ONCE):
            some = texts[at : at + _AT_ONCE]
            found = await asyncio.to_thread(
                self.cache.get, self.family, self.role, some, truncate=self.truncate, options=self.options
            )
            whole.fill([at + place for place in found.places], found.vectors)
            whole.truncated += [at + place for place in found.cut]
            size = found.family.size
            there = set(found.places)
            for place, text in enumerate(some):
                if place not in there:
                    missing.setdefault(text, []).append(at + place)
        return missing, size

    async def keep(self, texts: Sequence[str], vectors: Vectors, cut: Collection[int]) -> None:
        """Keep the vectors of texts; `cut` has the places of those that were cut.

        Raises `FamilyMismatchError` where they are of another size than what is kept already.
        """
        await asyncio.to_thread(
            self.cache.put,
            self.family,
            self.role,
            texts,
            vectors,
            truncate=self.truncate,
            options=self.options,
            cut=cut,
        )
