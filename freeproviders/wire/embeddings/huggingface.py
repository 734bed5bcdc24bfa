"""Hugging Face's own way: its router has no OpenAI form for vectors.

Source: huggingface.co/docs/inference-providers/tasks/feature-extraction.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from freeproviders.wire.embeddings.decoder import Found
from freeproviders.wire.embeddings.dialect import Dialect
from freeproviders.wire.embeddings.facts import Facts
from freeproviders.wire.embeddings.request import EmbeddingRequest


def read_huggingface(document: Any) -> Found | None:
    """Read a bare list of vectors."""
    if isinstance(document, list) and all(isinstance(value, list) for value in document):
        return Found(document)
    return None


class HuggingFace(Dialect):
    """Hugging Face's task `feature-extraction`, at its own service for inference."""

    name = "huggingface"
    form = staticmethod(read_huggingface)
    truncation = "asked"
    below = "/v1"

    def written(self, request: EmbeddingRequest, facts: Facts | None = None) -> tuple[str, dict[str, Any]]:
        """Write a request; see `Dialect.written`."""
        del facts  # the roles have no words here
        path = f"/hf-inference/models/{quote(request.model or '')}/pipeline/feature-extraction"
        body = {"inputs": list(request.texts), "normalize": True, "truncate": request.truncate}
        return path, {**body, **request.options}
