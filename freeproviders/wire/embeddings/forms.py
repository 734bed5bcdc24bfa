"""The forms in which services answer: where the vectors are in a document, and in which order."""

from __future__ import annotations

from typing import Any, Final

from freeproviders.wire.embeddings.decoder import Found

_MISSING: Final = object()


def read_openai(document: Any) -> Found | None:
    """Read `{"data": [{"index": 0, "embedding": ...}], "model": ..., "usage": {...}}`."""
    rows = document.get("data") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        return None
    if not all(isinstance(row, dict) and "embedding" in row for row in rows):
        raise ValueError("The answer holds something else than vectors among its data")
    usage = document.get("usage")
    tokens = None
    if isinstance(usage, dict):
        tokens = usage.get("prompt_tokens")
        tokens = usage.get("total_tokens") if tokens is None else tokens
    return Found(in_order(rows), tokens, document.get("model"), document.get("id"))


def in_order(rows: list[dict[str, Any]]) -> list[Any]:
    """Put the vectors of rows in the order of their indices.

    Rows without any index are in order. One row without an index is the first one: there are
    services that leave out what is 0. Raises `ValueError` on anything else.
    """
    indices = [row.get("index") for row in rows]
    missing = sum(index is None for index in indices)
    if missing == len(rows):
        return [row["embedding"] for row in rows]
    if missing == 1:
        indices = [0 if index is None else index for index in indices]
    values: list[Any] = [_MISSING] * len(rows)
    for index, row in zip(indices, rows, strict=True):
        if type(index) is not int or not 0 <= index < len(rows):
            raise ValueError(f"A vector among {len(rows)} has the index {index!r}")
        if values[index] is not _MISSING:
            raise ValueError(f"Two vectors have the index {index}")
        values[index] = row["embedding"]
    return values
