"""The list of a service's models, `GET /models`.

Many services tell more of a model than its id. Its context window stands in `max_model_len` (vLLM,
SGLang), `context_window` (Groq, our gateway), `context_length` (OpenRouter, Together, Cohere),
`max_context_length` (Mistral), `loaded_context_length` (LM Studio, in a list of its own), in
`top_provider` (OpenRouter) or in `meta`: llama.cpp's server tells there the context that it serves
and the one that the model was trained with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

_WINDOWS: Final = (
    "max_model_len",
    "context_window",
    "context_length",
    "max_context_length",
    "loaded_context_length",
    "n_ctx",
    "n_ctx_train",
)
_INSIDE: Final = ("meta", "top_provider")


class Listed(NamedTuple):
    """One model of a list: its name, its context window in tokens, None where that is not told.

    `for_any_name` says that the server answers by this model whatever name a request has.
    """

    name: str
    window: int | None
    for_any_name: bool


def read_models(document: Any) -> list[Listed]:
    """Read a list of models, in its order.

    Raises `ValueError`, `TypeError`, `KeyError` or `AttributeError` where it is none.
    """
    rows = document if isinstance(document, list) else document.get("data", document.get("models"))
    return [
        Listed(
            row["id"] if "id" in row else row["name"],
            min(_windows(row), default=None),
            row.get("owned_by") == "llamacpp",
        )
        for row in rows
    ]


def _windows(row: Mapping[str, Any]) -> Iterator[int]:
    """Find all sizes of the window in a row; the smallest of them is the one that is served."""
    inner = [row.get(name) for name in _INSIDE]
    for source in (row, *[one for one in inner if isinstance(one, Mapping)]):
        for name in _WINDOWS:
            if type(value := source.get(name)) is int and value > 0:
                yield value
