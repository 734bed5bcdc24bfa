"""Cohere's own way: its OpenAI form knows no type of input for the roles.

Source: docs.cohere.com/reference/embed.
"""

from __future__ import annotations

from typing import Any, Final

from freeproviders.wire.embeddings.decoder import Found
from freeproviders.wire.embeddings.dialect import Dialect
from freeproviders.wire.embeddings.facts import Facts, input_type_of
from freeproviders.wire.embeddings.request import EmbeddingRequest

_FORMS: Final = ("float", "base64")


def read_cohere(document: Any) -> Found | None:
    """Read `{"id": ..., "embeddings": {"float": [[...]]}, "meta": {"billed_units": {...}}}`."""
    by_form = document.get("embeddings") if isinstance(document, dict) else None
    if not isinstance(by_form, dict):
        return None
    values = next((by_form[form] for form in _FORMS if isinstance(by_form.get(form), list)), None)
    if values is None:
        raise ValueError(f"The answer has vectors as {', '.join(by_form) or 'nothing'} only")
    meta = document.get("meta")
    units = meta.get("billed_units") if isinstance(meta, dict) else None
    return Found(
        values, units.get("input_tokens") if isinstance(units, dict) else None, None, document.get("id")
    )


class Cohere(Dialect):
    """Cohere's `/v2/embed`."""

    name = "cohere"
    form = staticmethod(read_cohere)
    truncation = "asked"
    below = "/compatibility/v1"

    def written(self, request: EmbeddingRequest, facts: Facts | None = None) -> tuple[str, dict[str, Any]]:
        """Write a request; see `Dialect.written`."""
        body: dict[str, Any] = {
            "model": request.model,
            "texts": list(request.texts),
            "input_type": input_type_of(request.role, facts) or f"search_{request.role}",
            "embedding_types": ["base64" if self.takes_base64(facts) else "float"],
            "truncate": "END" if request.truncate else "NONE",
        }
        if request.size is not None:
            body["output_dimension"] = request.size
        return "/v2/embed", {**body, **request.options}
