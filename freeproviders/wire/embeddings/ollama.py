"""Ollama's own way: its OpenAI form cuts texts that are too long without a word.

Source: docs.ollama.com/api/embed.
"""

from __future__ import annotations

from typing import Any

from freeproviders.wire.embeddings.decoder import Found
from freeproviders.wire.embeddings.dialect import Dialect
from freeproviders.wire.embeddings.facts import Facts
from freeproviders.wire.embeddings.request import EmbeddingRequest


def read_ollama(document: Any) -> Found | None:
    """Read `{"model": ..., "embeddings": [[...]], "prompt_eval_count": 3}`."""
    values = document.get("embeddings") if isinstance(document, dict) else None
    if not isinstance(values, list):
        return None
    return Found(values, document.get("prompt_eval_count"), document.get("model"))


class Ollama(Dialect):
    """Ollama's `/api/embed`."""

    name = "ollama"
    form = staticmethod(read_ollama)
    truncation = "asked"
    below = "/v1"

    def written(self, request: EmbeddingRequest, facts: Facts | None = None) -> tuple[str, dict[str, Any]]:
        """Write a request; see `Dialect.written`."""
        del facts  # the roles have no words here
        body: dict[str, Any] = {
            "model": request.model,
            "input": list(request.texts),
            "truncate": request.truncate,
        }
        if request.size is not None:
            body["dimensions"] = request.size
        return "/api/embed", {**body, **request.options}
