"""Gemini's own way: its OpenAI form has no place for the task, which changes vectors.

Source: ai.google.dev/api/embeddings. `autoTruncate` is Vertex AI's only, so that nothing says here
what becomes of a text that is too long (googleapis.github.io/js-genai, EmbedContentConfig).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from freeproviders.wire.embeddings.decoder import Found
from freeproviders.wire.embeddings.dialect import Dialect
from freeproviders.wire.embeddings.facts import Facts, input_type_of
from freeproviders.wire.embeddings.request import EmbeddingRequest


def read_gemini(document: Any) -> Found | None:
    """Read `{"embeddings": [{"values": [...]}], "usageMetadata": {"promptTokenCount": 3}}`."""
    rows = document.get("embeddings") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        return None
    if not all(isinstance(row, dict) and "values" in row for row in rows):
        raise ValueError("The answer holds something else than vectors among its embeddings")
    usage = document.get("usageMetadata")
    tokens = usage.get("promptTokenCount") if isinstance(usage, dict) else None
    return Found([row["values"] for row in rows], tokens)


class Gemini(Dialect):
    """Gemini's `batchEmbedContents`. What the caller's options say goes with each text."""

    name = "gemini"
    form = staticmethod(read_gemini)
    below = "/openai"
    key_header = "x-goog-api-key"

    def written(self, request: EmbeddingRequest, facts: Facts | None = None) -> tuple[str, dict[str, Any]]:
        """Write a request; see `Dialect.written`."""
        model = (request.model or "").removeprefix("models/")
        settings: dict[str, Any] = {}
        if task := input_type_of(request.role, facts):
            settings["taskType"] = task
        if request.size is not None:
            settings["outputDimensionality"] = request.size
        requests = [
            {
                "model": f"models/{model}",
                "content": {"parts": [{"text": text}]},
                **settings,
                **request.options,
            }
            for text in request.texts
        ]
        return f"/models/{quote(model)}:batchEmbedContents", {"requests": requests}
