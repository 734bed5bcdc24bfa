"""The LlamaIndex embedding models over services."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from freeproviders.configuration import CONFIGURATION
from freeproviders.embeddings.openai_compatible import OpenAICompatibleEmbedder
from llama_index_freeproviders.embeddings.base import CoreEmbedding
from llama_index_freeproviders.embeddings.model_fields import ModelFields
from llama_index_freeproviders.fields import ServiceFields, with_plain_key


class OpenAICompatibleEmbedding(ServiceFields, ModelFields, CoreEmbedding):
    """Vectors from any service or local server with the OpenAI protocol, or one of the catalogue.

    `service` is one of the catalogue by its id, as "gemini": with its key in the environment
    nothing else is needed, and its limits are kept. Otherwise `base_url` says where the service is.

    Examples:
        ```python
        from freeproviders.testing import replica
        from llama_index.core import Document, VectorStoreIndex
        from llama_index.embeddings.freeproviders import OpenAICompatibleEmbedding

        with replica(service="gemini", api_key="gm-1") as server:  # or the service, with a key of yours
            embed_model = OpenAICompatibleEmbedding(
                service="gemini", api_key="gm-1", base_url=server.base_url
            )
            index = VectorStoreIndex.from_documents([Document(text="A cat.")], embed_model=embed_model)
            print(index.as_retriever().retrieve("A cat.")[0].text, embed_model.fingerprint)
        ```
    """

    service: str | None = Field(
        default=None,
        description=(
            "A service of the catalogue by its id: its address, key variables, models, limits and the way "
            "requests are written are then the model's."
        ),
    )
    dimensions: int | None = Field(
        default=None, ge=1, description="Numbers of a vector, where the model has several sizes."
    )
    normalised: bool = Field(default=True, description="Whether vectors are brought to length 1.")
    additional_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Options of the service, by its own names."
    )

    def __init__(self, model_name: str | None = None, **fields: Any) -> None:
        super().__init__(**self._read({**fields, "model_name": model_name}))

    @classmethod
    def class_name(cls) -> str:
        """The name under which the class is saved and found again."""
        return "freeproviders_openai_compatible_embedding"

    def _made_embedder(self) -> OpenAICompatibleEmbedder:
        return OpenAICompatibleEmbedder(
            self.model_name or None,
            service=self.service,
            size=self.dimensions,
            normalised=self.normalised,
            family=self.family,
            query_prefix=self.query_prefix,
            document_prefix=self.document_prefix,
            options=self.additional_kwargs,
            **with_plain_key({name: getattr(self, name) for name in CONFIGURATION}),
        )
