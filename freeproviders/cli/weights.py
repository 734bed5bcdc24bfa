"""The embedded model's file: fetched with a progress bar where it is not here yet."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from freeproviders import Embedded
from freeproviders.cli.terminal import is_terminal, say
from freeproviders.embedded.cache import is_cached
from freeproviders.embedded.choice import choose, looks_like_path
from freeproviders.embedded.fetch import fetch
from freeproviders.embedded.server import engine_folder
from freeproviders.embedded.weights import Weights


def embedded(model: str | None, given: dict[str, Any]) -> Embedded:
    """The embedded provider with its weights in the cache. `model` is a name or a file."""
    path = model if model and looks_like_path(model) else None
    choice = choose(None if path else model, path)
    if choice.weights is None:
        return Embedded(model_path=choice.path, **given)
    if not is_cached(choice.weights):
        engine_folder()  # raises if the engine is missing: then the weights are no use
        pull(choice.weights)
    return Embedded(choice.weights.name, **given)


def pull(weights: Weights) -> Path:
    """Fetch a model's file and say so; return where it is."""
    say(f"Fetching the model {weights.name} ({weights.megabytes} MB, {weights.license}); this happens once.")
    if not is_terminal(sys.stderr):
        return asyncio.run(fetch(weights))
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    with Progress(
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bars:
        task = bars.add_task(weights.name, total=weights.size)

        def show(there: int, total: int) -> None:
            # A part counts while it is on its way and again while it is unpacked: between the two the number falls back, the bar does not.
            bars.update(task, completed=max(there, bars.tasks[0].completed), total=total)

        return asyncio.run(fetch(weights, progress=show))
