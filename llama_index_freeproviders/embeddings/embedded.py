"""The LlamaIndex embedding model over a GGUF file of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_serializer

from freeproviders.embeddings.embedded import EmbeddedEmbedder, Pooling
from freeproviders.errors import UnknownModelError
from llama_index_freeproviders.embeddings.base import CoreEmbedding
from llama_index_freeproviders.embeddings.model_fields import ModelFields
from llama_index_freeproviders.fields import RequestFields


class EmbeddedEmbedding(RequestFields, ModelFields, CoreEmbedding):
    """Vectors from an embedding model that llama.cpp runs on this machine, from a file of your own.

    Nothing is downloaded. Its family is the name in the file with a digest of the weights. Needs
    the extra `embedded`.

    Examples:
        ```python
        from pathlib import Path

        from llama_index.embeddings.freeproviders import EmbeddedEmbedding

        path = Path("nomic-embed-text-v1.5.Q8_0.gguf")  # a file of yours
        if path.exists():
            print(len(EmbeddedEmbedding(model_path=path).get_query_embedding("Where is the cat?")))
        ```
    """

    model_path: str | Path | None = Field(
        default=None, description="The GGUF file; None is the one in FREEPROVIDERS_EMBEDDING_MODEL."
    )
    pooling: Pooling | None = Field(
        default=None,
        description="How the vectors of a text's tokens become one, where the file is silent or wrong.",
    )
    window: int | None = Field(
        default=None, ge=1, description="The most tokens of a text; None is the model's own, at most 2048."
    )
    slots: int | None = Field(default=None, ge=1, description="Texts that are worked on at the same time.")
    threads: int | None = Field(default=None, ge=1, description="Cores to use; None is all but one.")

    def __init__(self, model_name: str | None = None, **fields: Any) -> None:
        super().__init__(**self._read({**fields, "model_name": model_name}))

    @classmethod
    def class_name(cls) -> str:
        """The name under which the class is saved and found again."""
        return "freeproviders_embedded_embedding"

    @field_serializer("model_path")
    def _saved_model_path(self, path: str | Path | None) -> str | None:
        """A path is saved as text, as JSON has nothing else for it."""
        return None if path is None else str(path)

    def _made_embedder(self) -> EmbeddedEmbedder:
        own = ("slots", "window", "threads", "pooling")
        embedder = EmbeddedEmbedder(
            self.model_path,
            family=self.family,
            query_prefix=self.query_prefix,
            document_prefix=self.document_prefix,
            headers=self.headers,
            timeout=self.timeout,
            retry=self.retry,
            **{name: value for name in own if (value := getattr(self, name)) is not None},
        )
        if self.model_name not in {"", embedder.model}:
            raise UnknownModelError(
                f"The file has the model {embedder.model!r}, and not {self.model_name!r}.",
                provider=embedder.name,
            )
        return embedder
