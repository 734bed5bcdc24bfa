"""The embedded model's file: fetched with a progress bar where it is missing or damaged."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from freeproviders import Embedded
from freeproviders.cli.terminal import is_terminal, say
from freeproviders.embedded.cache import is_cached, path_of
from freeproviders.embedded.choice import choose, looks_like_path
from freeproviders.embedded.fetch import fetch, repair
from freeproviders.embedded.server import engine_folder
from freeproviders.embedded.weights import Weights

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def embedded(model: str | None, given: dict[str, Any]) -> Embedded:
    """Return the embedded provider with its weights in the cache. `model` is a name or a file."""
    path = model if model and looks_like_path(model) else None
    choice = choose(None if path else model, path)
    if choice.weights is None:
        return Embedded(model_path=choice.path, **given)
    engine_folder()  # raises if the engine is missing: then the weights are no use
    with _Bar(choice.weights) as bar:
        asyncio.run(fetch(choice.weights, progress=bar.show, announce=say))
    return Embedded(choice.weights.name, **given)


def pull(weights: Weights) -> Path:
    """Fetch a model's file, or check each byte of the one that is there; return its path."""
    with _Bar(weights) as bar:
        if not is_cached(weights):
            return asyncio.run(fetch(weights, progress=bar.show, announce=say))
        if not asyncio.run(repair(weights, progress=bar.show, announce=say)):
            say(f"The model {weights.name} is already here and intact: its SHA-256 was checked.")
    return path_of(weights)


class _Bar:
    """A progress bar that appears with the first bytes, if a terminal shows it."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._shown = ExitStack()
        self._bars: Progress | None = None
        self._task: TaskID

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.close()

    def show(self, there: int, total: int) -> None:
        """Draw the bar for `there` bytes of `total`."""
        if self._bars is None:
            if not is_terminal(sys.stderr):
                return
            self._bars = self._shown.enter_context(_bars())
            self._task = self._bars.add_task(self._weights.name, total=total)
        self._bars.update(self._task, completed=there)


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    return Progress(
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
