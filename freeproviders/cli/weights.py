"""The embedded model's file: fetched with a progress bar where it is missing or damaged."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from freeproviders import Embedded
from freeproviders.cli.terminal import say
from freeproviders.embedded.cache import is_cached, path_of
from freeproviders.embedded.choice import choose, looks_like_path
from freeproviders.embedded.fetch import fetch, repair
from freeproviders.embedded.server import engine_folder
from freeproviders.embedded.weights import Weights


def embedded(model: str | None, given: dict[str, Any]) -> Embedded:
    """Return the embedded provider with its weights in the cache. `model` is a name or a file."""
    path = model if model and looks_like_path(model) else None
    choice = choose(None if path else model, path)
    if choice.weights is None:
        return Embedded(model_path=choice.path, **given)
    engine_folder()  # raises if the engine is missing: then the weights are no use
    asyncio.run(fetch(choice.weights))
    return Embedded(choice.weights.name, **given)


def pull(weights: Weights) -> Path:
    """Fetch a model's file, or check each byte of the one that is there; return its path."""
    if not is_cached(weights):
        return asyncio.run(fetch(weights))
    if not asyncio.run(repair(weights)):
        say(f"The model {weights.name} is already here and intact: its SHA-256 was checked.")
    return path_of(weights)
