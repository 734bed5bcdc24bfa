"""The embeddings, one class for each embedder of the core.

Each is a few facts over one base: `embeddings_base.BaseEmbeddings` says how to use them all. The
classes are explicit because generated ones break type checkers, pickling and tracing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, cast

from pydantic import Field, field_validator

from freeproviders.embeddings import OpenAICompatibleEmbedder, VectorCache
from freeproviders.embeddings.embedder import Embedder
from langchain_freeproviders.configured import ServiceFields
from langchain_freeproviders.embeddings_base import BaseEmbeddings
from langchain_freeproviders.fields import check_options

__all__ = ["OpenAICompatibleEmbeddings"]


class OpenAICompatibleEmbeddings(ServiceFields, BaseEmbeddings):
    """Vectors from a service that speaks the OpenAI protocol, or from one of the catalogue.

    `service` is one of the catalogue: with its key in the environment (`GEMINI_API_KEY`) nothing
    else is needed, and what it wants to be written in another way is. Otherwise `base_url`
    (`OPENAI_COMPATIBLE_API_BASE`) is where `/embeddings` begins, usually up to `/v1`, and `api_key`
    (`OPENAI_COMPATIBLE_API_KEY`) is for services that want one.

    Texts go out in requests that keep the service's caps, several at a time. What fails is asked for
    again, a text that the service refuses is named in a `BadTextsError`, and the others have their
    vectors. A `SharedQuota` as `quota` is the limits that are kept; else they are the service's own.

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
    family_name: str | None = Field(default=None, alias="family")
    """The name under which these vectors may be compared with those of others; None is the service's."""
    query_prefix: str | None = None
    """Put before each query; None is what the catalogue says of the model."""
    document_prefix: str | None = None
    """Put before each document; None is what the catalogue says of the model."""
    batch_size: int | None = Field(default=None, ge=1)
    """Texts of a request; None is the service's cap, else 96. Also `chunk_size`."""
    concurrency: int = Field(default=4, ge=1)
    """Requests at the same time."""
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Options of the service, by its own names, which go with each request."""
    cache: bool | str | Path | VectorCache = False
    """Where vectors are kept, so that no text is embedded twice: True is the user's own file.

    Also a path, or a `freeproviders.embeddings.VectorCache`. They belong to the family and the role.
    """

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
            family=self.family_name,
            query_prefix=self.query_prefix,
            document_prefix=self.document_prefix,
            batch_size=self.batch_size,
            concurrency=self.concurrency,
            options=self.model_kwargs,
            cache=self.cache,
            **cast("Any", self._configuration()),
        )

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Settings that are objects, as plain data, and an address without its login."""
        cache = self.cache.path if isinstance(self.cache, VectorCache) else self.cache
        return {**super().lc_attributes, "cache": str(cache) if isinstance(cache, Path) else cache}

    @property
    def _provider(self) -> OpenAICompatibleEmbedder:
        return cast("OpenAICompatibleEmbedder", self._embedder)
