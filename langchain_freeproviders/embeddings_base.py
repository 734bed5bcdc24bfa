"""The base of all embeddings: LangChain's four methods over an embedder of the core."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from langchain_core.embeddings import Embeddings
from pydantic import Field, model_validator

from freeproviders import bridge
from freeproviders.embeddings.cache import VectorCache
from freeproviders.embeddings.embedder import WAIT_SECONDS, Embedder
from freeproviders.embeddings.family import Family
from freeproviders.embeddings.lists import EmbeddedLists, embedded_lists
from freeproviders.embeddings.texts import warn_of_cut
from freeproviders.errors import UnknownModelError
from freeproviders.wire.embeddings.request import Role
from langchain_freeproviders.errors import translating
from langchain_freeproviders.fields import Fields
from langchain_freeproviders.keywords import NAMES_OF_EMBEDDINGS, OTHER_WAYS_OF_EMBEDDINGS
from langchain_freeproviders.progress import ShownProgress


class BaseEmbeddings(Fields, Embeddings):
    """Embeddings over an embedder of the core; the classes to use are in `embeddings`.

    Documents and queries have the roles of the same name, so that the prefixes and input types of a
    model are right. Async runs on the caller's loop; sync goes through `freeproviders.bridge`.

    Embed:
        ```python
        vectors = embeddings.embed_documents(["A cat sat on the mat.", "Rates were raised."])
        len(vectors), len(vectors[0]) == len(embeddings.embed_query("Where is the cat?"))  # -> (2, True)
        ```

    Async:
        ```python
        vector = await embeddings.aembed_query("Where is the cat?")
        vectors = await embeddings.aembed_documents(["A cat sat on the mat.", "Rates were raised."])
        ```

    Vector store:
        ```python
        from langchain_core.vectorstores import InMemoryVectorStore

        store = InMemoryVectorStore.from_texts(["A cat sat on the mat."], embeddings)
        store.similarity_search("Where is the cat?")[0].page_content  # -> 'A cat sat on the mat.'
        ```

    Family:
        Only vectors of one family may be compared: store the fingerprint beside an index.

        ```python
        embeddings.fingerprint.split(";")[2]  # -> 'unit'
        ```
    """

    truncate: bool = False
    """Whether a text that is longer than the model's window is cut, with a warning; else it is refused."""
    wait_up_to: float | None = Field(default=WAIT_SECONDS, ge=0)
    """Seconds that each request may wait for room in a limit, or for a service that says when to come back.

    None is the rule of `max_retries`.
    """
    show_progress: bool = False
    """Whether the texts that are done are shown: as a bar of tqdm where it is installed, else as a line."""
    progress: Callable[[int, int], Any] | None = Field(default=None, exclude=True, repr=False)
    """Called with the texts done and the texts in all."""

    second_names: ClassVar[Mapping[str, str]] = NAMES_OF_EMBEDDINGS
    other_ways: ClassVar[Mapping[str, str]] = OTHER_WAYS_OF_EMBEDDINGS
    derived: ClassVar[tuple[str, ...]] = ("_embedder", "_serialized")
    answers: ClassVar[str] = "_embedder"

    @model_validator(mode="after")
    def _check_by_making_the_embedder(self) -> Self:
        self._embedder  # noqa: B018 - raises on what cannot work
        return self

    @cached_property
    def _embedder(self) -> Embedder:
        with translating:
            embedder = self._made_embedder()
        first: Embedder = self.__dict__.setdefault("_embedder", embedder)  # on which threads agree
        return first

    def _made_embedder(self) -> Embedder:
        raise NotImplementedError(f"{type(self).__name__} has no embedder: use one of its subclasses.")

    def _of_one_model(self, embedder: Embedder) -> Embedder:
        """Return an embedder that has one model; raises `UnknownModelError` where another is named."""
        if self.model_name not in {"", embedder.model}:
            raise UnknownModelError(
                f"{type(self).__name__} makes vectors with {embedder.model!r}: leave model out."
            )
        return embedder

    # --- LangChain's four methods ---

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Make the vectors of texts that are to be found, in their order.

        Raises:
            UsageError: an argument cannot work; nothing was sent.
            BadTextsError: single texts got no vector; the error has the vectors of the others.
            ProviderError: the service failed, or refuses every text.
        """
        with translating:
            return self._told(bridge.run(self._embedded(texts, "document")))

    def embed_query(self, text: str) -> list[float]:
        """Make the vector of a text that finds; raises as `embed_documents`."""
        with translating:
            return self._told(bridge.run(self._embedded([text], "query")))[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Do as `embed_documents`, on the caller's event loop."""
        with translating:
            return self._told(await self._embedded(texts, "document"))

    async def aembed_query(self, text: str) -> list[float]:
        """Do as `embed_query`, on the caller's event loop."""
        with translating:
            return self._told(await self._embedded([text], "query"))[0]

    async def _embedded(self, texts: list[str], role: Role) -> EmbeddedLists:
        shows = self.show_progress and role == "document"
        with ShownProgress(self.progress) if shows else nullcontext(self.progress) as progress:
            return await embedded_lists(
                self._embedder,
                texts,
                role=role,
                truncate=self.truncate,
                wait_up_to=self.wait_up_to,
                progress=progress,
            )

    def _told(self, found: EmbeddedLists) -> list[list[float]]:
        """Return the vectors; warn where they are of the beginnings of their texts only."""
        warn_of_cut(found.truncated, len(found.rows), stacklevel=4)
        return found.rows

    # --- what they are ---

    @property
    def model(self) -> str:
        """The model that makes the vectors."""
        return self.model_name or self._embedder.model

    @property
    def family(self) -> Family:
        """What the vectors may be compared with; its size may be unknown until the first have come."""
        return self._embedder.family

    @property
    def fingerprint(self) -> str:
        """The family in one line of text, to be stored beside an index, or as a cache's namespace."""
        return self.family.fingerprint

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Saved as its settings, without secrets."""
        return True


class KeptEmbeddings(BaseEmbeddings):
    """Embeddings whose vectors may be kept on disk."""

    cache: bool | str | Path | VectorCache = False
    """Where vectors are kept, so that no text is embedded twice: True is the user's own file.

    Also a path, or a `freeproviders.embeddings.VectorCache`. They belong to the family and the role.
    """

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Settings that are objects, as plain data."""
        path = self.cache.path if isinstance(self.cache, VectorCache) else self.cache
        return {**super().lc_attributes, **({"cache": str(path)} if isinstance(path, Path) else {})}


class ModelEmbeddings(KeptEmbeddings):
    """Embeddings of any model, whose family and prefixes the caller may know better."""

    family_name: str | None = Field(default=None, alias="family")
    """The name under which vectors may be compared with those of others; None is the model's own."""
    query_prefix: str | None = None
    """Put before each query; None is what is known of the model."""
    document_prefix: str | None = None
    """Put before each document; None is what is known of the model."""
    batch_size: int | None = Field(default=None, ge=1)
    """Texts of a request; None is as many as the embedder takes. Also `chunk_size`."""

    def _of_the_model(self) -> dict[str, Any]:
        return {
            "family": self.family_name,
            "query_prefix": self.query_prefix,
            "document_prefix": self.document_prefix,
            "batch_size": self.batch_size,
            "cache": self.cache,
        }
