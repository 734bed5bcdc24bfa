"""The embedded model's file: fetched with a progress bar where it is missing or damaged."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from freeproviders import Embedded
from freeproviders.cli.terminal import say
from freeproviders.embedded.cache import is_cached, path_of
from freeproviders.embedded.choice import looks_like_path
from freeproviders.embedded.fetch import fetch, repair
from freeproviders.embedded.server import engine_folder
from freeproviders.embedded.weights import Weights


def embedded(model: str | None, given: dict[str, Any]) -> Embedded:
    """Return the embedded provider. `model` is a name or a file."""
    path = model if model and looks_like_path(model) else None
    return Embedded(None if path else model, model_path=path, **given)


def fetch_weights(model: Embedded) -> None:
    """Fetch the weights of the embedded provider, unless they are in the cache or are the user's file."""
    if model.weights is not None:
        engine_folder()  # raises if the engine is missing: then the weights are no use
        asyncio.run(fetch(model.weights))


def pull(weights: Weights) -> Path:
    """Fetch a model's file, or check each byte of the one that is there; return its path."""
    if not is_cached(weights):
        return asyncio.run(fetch(weights))
    if not asyncio.run(repair(weights)):
        say(f"The model {weights.name} is already here and intact: its SHA-256 was checked.")
    return path_of(weights)
