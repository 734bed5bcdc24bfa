"""One LlamaIndex embedding model over the core, for any embedder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final, cast

from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from pydantic import Field, field_serializer

from freeproviders import bridge
from freeproviders.embeddings.block import Turn
from freeproviders.embeddings.cache import VectorCache
from freeproviders.embeddings.embedder import WAIT_SECONDS, Embedder
from freeproviders.embeddings.result import EmbeddedBatch
from freeproviders.embeddings.texts import checked, warn_of_cut
from freeproviders.wire.embeddings.request import Role
from llama_index_freeproviders.callbacks import spanned
from llama_index_freeproviders.embeddings.batches import Batches, blocking_turn, progress_bars
from llama_index_freeproviders.embeddings.store import Store
from llama_index_freeproviders.fields import CoreFields
from llama_index_freeproviders.names import EMBEDDING_NAMES, Names

LARGEST_BATCH: Final = 2048
"""The largest `embed_batch_size` that LlamaIndex allows."""
DEFAULT_BATCH: Final = 96
"""Texts of a request where it is unknown how many a service takes."""


class CoreEmbedding(CoreFields, BaseEmbedding):
    """The settings of a request for vectors and LlamaIndex's methods; a subclass says what is asked.

    All texts of a call go to the core at once, which makes requests of `embed_batch_size` texts, up
    to `num_workers` of them at the same time, sync or async. One object serves any number of event
    loops, threads and calls at once, and need not be closed.

    Errors are those of `freeproviders.errors`: a `BadTextsError` names single texts that got no
    vector; a `ProviderError` says what went wrong at the service or on the way.
    """

    model_name: str = Field(default="", description="The model asked; empty is the embedder's default.")
    embed_batch_size: int = Field(
        default=DEFAULT_BATCH,
        gt=0,
        le=LARGEST_BATCH,
        description="Texts of a request at most; unless given, as many as the service takes, else 96.",
    )
    num_workers: int | None = Field(
        default=None, ge=1, description="Requests at the same time; None is the embedder's own number."
    )
    truncate: bool = Field(
        default=False,
        description="Whether a text longer than the model's window is cut, with a warning, or refused.",
    )
    wait_up_to: float | None = Field(
        default=WAIT_SECONDS,
        ge=0,
        description=(
            "Seconds that a request may wait for room in a limit, or for a service that says when to come "
            "back; None is the rule of `Retry`."
        ),
    )

    cache: bool | str | Path | VectorCache = Field(
        default=False,
        description=(
            "Where vectors are kept, so that no text is embedded twice: True for the user's cache folder, a "
            "path for a file of your own."
        ),
    )

    names: ClassVar[Names] = EMBEDDING_NAMES
    not_options: ClassVar[frozenset[str]] = frozenset({"dimensions", "input", "model"})

    def __init__(self, model_name: str | None = None, **fields: Any) -> None:
        fields = self._named({**fields, **({"model_name": model_name} if model_name is not None else {})})
        super().__init__(**{**fields, "model_name": fields.get("model_name") or ""})
        self._note_facts()

    def _note_facts(self) -> None:
        """Show the embedder's own name of its model, and its size of a batch."""
        core = self.core
        self.__dict__["model_name"] = core.model
        if "embed_batch_size" not in self.model_fields_set:
            self.__dict__["embed_batch_size"] = min(core.caps.texts or DEFAULT_BATCH, LARGEST_BATCH)

    @field_serializer("cache")
    def _saved_cache(self, cache: bool | str | Path | VectorCache) -> bool | str:
        """A file is saved as its path."""
        if isinstance(cache, bool):
            return cache
        return str(cache.path if isinstance(cache, VectorCache) else cache)

    # --- the embedder -----------------------------------------------------------------------------

    @classmethod
    def _makes_core(cls, name: str) -> bool:
        """Whether the embedder depends on a field: all but those that only LlamaIndex knows."""
        return name in cls.model_fields and (
            name in {"model_name", "embed_batch_size", "num_workers"}
            or name not in CoreEmbedding.model_fields
        )

    def _made_embedder(self) -> Embedder:
        """Make the embedder that the fields describe."""
        raise NotImplementedError

    def _made_core(self) -> Embedder:
        """Make the embedder, with the caller's size of a batch, number of requests and cache."""
        embedder = self._made_embedder()
        caps = embedder.caps
        if "embed_batch_size" in self.model_fields_set:
            caps = replace(caps, texts=min(self.embed_batch_size, caps.texts or LARGEST_BATCH))
        if self.num_workers is not None:
            caps = replace(caps, concurrency=self.num_workers)
        embedder.caps = caps
        embedder.cache = VectorCache.of(self.cache)
        return embedder

    @property
    def core(self) -> Embedder:
        """The embedder that is asked; made again when a field that it depends on has changed."""
        embedder = self._core
        return cast("Embedder", self._fresh_core() if embedder is None else embedder)

    @property
    def fingerprint(self) -> str:
        """The family of the vectors in one line of text: only those of one family may be compared.

        The size in it is "?" where neither the catalogue nor a vector has said it yet.
        """
        return self.core.family.fingerprint

    def to_payload(self) -> dict[str, Any]:
        """The model's description for observability tools, without secrets."""
        return {
            "class_name": self.class_name(),
            "model_name": self.core.model or "unknown",
            "embed_batch_size": self.embed_batch_size,
            "provider": self.core.name,
            "fingerprint": self.fingerprint,
        }

    # --- vectors ----------------------------------------------------------------------------------

    @spanned
    def get_query_embedding(self, query: str) -> Embedding:
        """Make the vector of a text that finds others."""
        return self._vectors(checked([query]), "query")[0]

    @spanned
    async def aget_query_embedding(self, query: str) -> Embedding:
        """Make the vector of a text that finds others."""
        return (await self._avectors(checked([query]), "query"))[0]

    @spanned
    def get_text_embedding(self, text: str) -> Embedding:
        """Make the vector of a text that is to be found."""
        return self._vectors(checked([text]), "document")[0]

    @spanned
    async def aget_text_embedding(self, text: str) -> Embedding:
        """Make the vector of a text that is to be found."""
        return (await self._avectors(checked([text]), "document"))[0]

    @spanned
    def get_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[Embedding]:
        """Make the vectors of texts that are to be found, in their order.

        Vectors that are there before an error stay in `embeddings_cache`, where there is one.
        """
        del kwargs  # LlamaIndex passes on what it was given for other transformations
        return self._vectors(checked(texts), "document", show_progress=show_progress)

    @spanned
    async def aget_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[Embedding]:
        """Make the vectors of texts that are to be found, in their order.

        Vectors that are there before an error stay in `embeddings_cache`, where there is one.
        """
        del kwargs
        return await self._avectors(checked(texts), "document", show_progress=show_progress)

    def _vectors(self, texts: Sequence[str], role: Role, *, show_progress: bool = False) -> list[Embedding]:
        with Batches(self, texts, show_progress=show_progress) as call:
            store = Store.of(self.embeddings_cache, role, call.family)
            if store is not None:
                call.take_known(store.found(texts))
            turn = None if self.rate_limiter is None else blocking_turn(self.rate_limiter)
            with closing(bridge.iterate(self._blocks(call.missing, role, turn))) as blocks:
                for block in cast("Iterator[EmbeddedBatch]", blocks):
                    made = call.take(block)
                    if store is not None:
                        store.keep(made)
            return call.whole()

    async def _avectors(
        self, texts: Sequence[str], role: Role, *, show_progress: bool = False
    ) -> list[Embedding]:
        if show_progress:
            await asyncio.to_thread(progress_bars)
        with Batches(self, texts, show_progress=show_progress) as call:
            store = Store.of(self.embeddings_cache, role, call.family)
            if store is not None:
                call.take_known(await store.afound(texts))
            turn = None if self.rate_limiter is None else self.rate_limiter.async_acquire
            async with aclosing(self._blocks(call.missing, role, turn)) as blocks:
                async for block in blocks:
                    made = call.take(block)
                    if store is not None:
                        await store.akeep(made)
            return call.whole()

    def _blocks(
        self, texts: Sequence[str], role: Role, turn: Turn | None
    ) -> AsyncGenerator[EmbeddedBatch, None]:
        return self.core.stream(
            texts, role=role, truncate=self.truncate, wait_up_to=self.wait_up_to, turn=turn
        )

    # --- what subclasses of LlamaIndex's class are asked for; there are no events and no cache here --

    @spanned
    def _get_query_embedding(self, query: str) -> Embedding:
        return bridge.run(self._asked([query], "query"))[0]

    @spanned
    async def _aget_query_embedding(self, query: str) -> Embedding:
        return (await self._asked([query], "query"))[0]

    @spanned
    def _get_text_embedding(self, text: str) -> Embedding:
        return bridge.run(self._asked([text], "document"))[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return (await self._asked([text], "document"))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return bridge.run(self._asked(texts, "document"))

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await self._asked(texts, "document")

    async def _asked(self, texts: list[str], role: Role) -> list[Embedding]:
        made = await self.core.embed(texts, role=role, truncate=self.truncate, wait_up_to=self.wait_up_to)
        warn_of_cut(made.truncated, len(made), stacklevel=5)
        return made.vectors.lists()
