"""The embeddings, one class for each embedder of the core.

Each is a few facts over one base: `embeddings_base.BaseEmbeddings` says how to use them all. The
classes are explicit because generated ones break type checkers, pickling and tracing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from pydantic import Field, field_validator

from freeproviders import embeddings as core  # whose engine has many modules, loaded when they are used
from freeproviders.embeddings import Embedder, OpenAICompatibleEmbedder
from langchain_freeproviders.configured import RequestFields, ServiceFields
from langchain_freeproviders.embeddings_base import BaseEmbeddings, KeptEmbeddings, ModelEmbeddings
from langchain_freeproviders.fields import check_options

__all__ = [
    "EmbeddedEmbeddings",
    "FreeProvidersEmbeddings",
    "OfflineEmbeddings",
    "OpenAICompatibleEmbeddings",
]


class OfflineEmbeddings(BaseEmbeddings):
    """Static vectors of 256 numbers whose weights are inside a package: no service, key or network.

    They find what means the same in other words, but better keywords than sentences:
    `OfflineRetriever` fuses them with search by words. Needs the extra `rag`. docs/embeddings.md
    says how good they are.

        ```python
        from langchain_freeproviders import OfflineEmbeddings

        embeddings = OfflineEmbeddings()
        ```
    """

    def _made_embedder(self) -> Embedder:
        return self._of_one_model(core.OfflineEmbedder())


class OpenAICompatibleEmbeddings(ServiceFields, ModelEmbeddings):
    """Vectors from a service that speaks the OpenAI protocol, or from one of the catalogue.

    `service` is one of the catalogue: with its key in the environment (`GEMINI_API_KEY`) nothing
    else is needed, and requests are written as it wants them. Otherwise `base_url`
    (`OPENAI_COMPATIBLE_API_BASE`) is where `/embeddings` begins, usually up to `/v1`, and `api_key`
    (`OPENAI_COMPATIBLE_API_KEY`) is for services that want one.

    Texts go out in requests that keep the service's caps, several at a time. What fails is asked for
    again, a text that the service refuses is named in a `BadTextsError`, and the others have their
    vectors. A `SharedQuota` as `quota` has the limits that are kept; else they are the service's.

        ```python
        from langchain_freeproviders import OpenAICompatibleEmbeddings

        embeddings = OpenAICompatibleEmbeddings(model="my-model")
        ```
    """

    provider_class: ClassVar[type[OpenAICompatibleEmbedder]] = OpenAICompatibleEmbedder
    place_of_options: ClassVar[str] = "model_kwargs"

    size: int | None = Field(default=None, ge=1)
    """How many numbers a vector shall have, where the model has several sizes; also `dimensions`."""
    normalised: bool = True
    """Whether vectors are brought to length 1. False leaves them as they come."""
    concurrency: int = Field(default=4, ge=1)
    """Requests at the same time."""
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Options of the service, by its own names, which go with each request."""

    @field_validator("model_kwargs")
    @classmethod
    def _check_options(cls, value: dict[str, Any]) -> dict[str, Any]:
        check_options(cls, value)
        return value

    def _made_embedder(self) -> Embedder:
        return self.provider_class(
            self.model_name or None,
            service=self.service,
            size=self.size,
            normalised=self.normalised,
            concurrency=self.concurrency,
            options=self.model_kwargs,
            **self._of_the_model(),
            **cast("Any", self._configuration()),
        )

    @property
    def _provider(self) -> OpenAICompatibleEmbedder:
        return cast("OpenAICompatibleEmbedder", self._embedder)


class EmbeddedEmbeddings(RequestFields, ModelEmbeddings):
    """Vectors from an embedding model on this machine, run by llama.cpp from a GGUF file of your own.

    Needs the extra `embedded`. Nothing is downloaded: `model_path` is the file, or
    `FREEPROVIDERS_EMBEDDING_MODEL` of the environment. The file says its pooling and its window, and
    its digest is part of the family. All objects with the same settings share one engine, which the
    first text starts.

        ```python
        from langchain_freeproviders import EmbeddedEmbeddings

        embeddings = EmbeddedEmbeddings()
        ```
    """

    model_path: str | Path | None = None
    """The GGUF file; None is the one in `FREEPROVIDERS_EMBEDDING_MODEL`."""
    pooling: Literal["mean", "cls", "last"] | None = None
    """How the vectors of a text's tokens become one, where the file does not say it right."""
    window: int | None = Field(default=None, ge=1)
    """The most tokens of a text; None is the model's own number, at most 2048."""
    slots: int | None = Field(default=None, ge=1)
    """Texts that the engine works on at the same time."""
    threads: int | None = Field(default=None, ge=1)
    """Cores to use; None is all but one."""

    def _made_embedder(self) -> Embedder:
        given = {"slots": self.slots, **self._of_the_model()}
        return self._of_one_model(
            core.EmbeddedEmbedder(
                self.model_path,
                pooling=self.pooling,
                window=self.window,
                threads=self.threads,
                headers=self.headers,
                timeout=self.timeout,
                retry=self.max_retries,
                **{name: value for name, value in given.items() if value is not None},
            )
        )

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Settings that are objects, as plain data."""
        path = {"model_path": str(self.model_path)} if isinstance(self.model_path, Path) else {}
        return {**super().lc_attributes, **path}


class FreeProvidersEmbeddings(KeptEmbeddings):
    """Vectors of one family from several services: the next one where one fails or has no room.

    `members` are services by name, "gemini" or "nvidia/baai/bge-m3", "offline", or other embeddings
    of this package; all must be of one family, which is checked before anything is sent. `family`
    in their place is one of the catalogue: local servers that have it, then services with a key in
    the environment. With neither it is the offline floor: an index must not change its family with
    the environment.

        ```python
        from langchain_freeproviders import FreeProvidersEmbeddings

        embeddings = FreeProvidersEmbeddings()
        ```
    """

    members: Sequence[str | BaseEmbeddings | Embedder] = ()
    """What is asked, in this order: services by name, our embeddings, embedders of the core."""
    family_name: str | None = Field(default=None, alias="family")
    """A family of the catalogue, as "bge-m3", in place of members."""
    confirmed: Sequence[str] = ()
    """Services whose accounts are confirmed to be free, beside those confirmed before."""
    privacy: Literal["local", "no-training", "any"] = "no-training"
    """For `family`: "no-training" leaves out services that train on texts, "local" all but this machine."""

    def _made_embedder(self) -> Embedder:
        members = [one._embedder if isinstance(one, BaseEmbeddings) else one for one in self.members]  # noqa: SLF001
        return self._of_one_model(
            core.FreeProvidersEmbedder(
                *members,
                family=self.family_name,
                confirmed=self.confirmed,
                privacy=self.privacy,
                cache=self.cache,
            )
        )
