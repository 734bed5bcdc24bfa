"""LlamaIndex's cache of vectors, a store of keys and values, kept to one family and each role.

LlamaIndex keeps a vector by its text alone, so that a store that two models share gives the vectors
of one for those of the other. Here the family stands beside the vectors and is checked, and queries
have a collection of their own where their vectors differ from those of documents.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

from llama_index.core.base.embeddings.base import Embedding
from llama_index.core.storage.kvstore.types import BaseKVStore

from freeproviders.embeddings.family import Family
from freeproviders.errors import FamilyMismatchError
from freeproviders.wire.embeddings.request import Role

_VECTORS: Final = "embeddings"
_QUERIES: Final = "query_embeddings"
_WHERE: Final = "embeddings_cache"
_FAMILY: Final = {"key": "fingerprint", "collection": "embeddings_family"}

Kept = Mapping[str, Any] | None


class Store:
    """A store of LlamaIndex for the vectors of one family and role.

    Args:
        store: LlamaIndex's own.
        role: what the texts are for.
        family: tells the family, whose size may be known only when vectors have come.
    """

    def __init__(self, store: BaseKVStore, role: Role, family: Callable[[], Family]) -> None:
        self._store = store
        self._family = family
        self._collection = _QUERIES if role == "query" and family().rules else _VECTORS
        self._stored: str | None = None

    @classmethod
    def of(cls, store: BaseKVStore | None, role: Role, family: Callable[[], Family]) -> Self | None:
        """Return a store for LlamaIndex's own, None for none."""
        return None if store is None else cls(store, role, family)

    def found(self, texts: Sequence[str]) -> list[Embedding | None]:
        """Return the vectors of texts, None where there is none.

        Raises `FamilyMismatchError` where they are of another or an unknown family.
        """
        self._check(self._store.get(**_FAMILY))
        return self._vectors([self._store.get(text, collection=self._collection) for text in texts])

    async def afound(self, texts: Sequence[str]) -> list[Embedding | None]:
        """Do as `found`, on the event loop."""
        self._check(await self._store.aget(**_FAMILY))
        return self._vectors([await self._store.aget(text, collection=self._collection) for text in texts])

    def keep(self, made: Sequence[tuple[str, Embedding]]) -> None:
        """Keep vectors with their texts."""
        if made and (stamp := self._stamp()):
            self._store.put(val=stamp, **_FAMILY)
        for text, vector in made:
            self._store.put(text, {str(uuid.uuid4()): vector}, collection=self._collection)

    async def akeep(self, made: Sequence[tuple[str, Embedding]]) -> None:
        """Do as `keep`, on the event loop."""
        if made and (stamp := self._stamp()):
            await self._store.aput(val=stamp, **_FAMILY)
        for text, vector in made:
            await self._store.aput(text, {str(uuid.uuid4()): vector}, collection=self._collection)

    def _check(self, kept: Kept) -> None:
        """Note the family of what is kept; one whose size is not known yet is checked again later."""
        if kept is None:
            return
        self._stored = stored = str(kept["fingerprint"])
        family = self._family()
        size = stored.partition(";")[2].partition(";")[0]
        if family.size is None and size.isdecimal():
            family = family.with_size(int(size))
        family.check(stored, where=_WHERE)

    def _stamp(self) -> dict[str, str]:
        """Return the family to be kept beside the first vectors; nothing where it is."""
        family = self._family()
        if self._stored is not None:
            family.check(self._stored, where=_WHERE)
            return {}
        self._stored = family.fingerprint
        return {"fingerprint": family.fingerprint}

    def _vectors(self, kept: Sequence[Kept]) -> list[Embedding | None]:
        found = [None if one is None else next(iter(one.values())) for one in kept]
        if self._stored is None and any(one is not None for one in found):
            own = self._family().fingerprint
            raise FamilyMismatchError(
                f"{_WHERE} holds vectors without a family, and these are of {own!r}: "
                "whether they can be compared is not known.",
                own=own,
                advice="Give each model a store of its own.",
            )
        return found
