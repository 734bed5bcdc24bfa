"""Choice of the model to run.

In this order: the caller's file, the caller's model name, `FREEPROVIDERS_MODEL`, the best model in
the cache, the default. Choosing looks at the cache and never at the network.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from freeproviders.deadlines import on_a_loop
from freeproviders.embedded.cache import cached, cached_lately, path_of
from freeproviders.embedded.weights import DEFAULT, Weights, weights_named
from freeproviders.errors import UnknownModelError, UsageError
from freeproviders.naming import argument

ENV_MODEL: Final = "FREEPROVIDERS_MODEL"


@dataclass(frozen=True, slots=True)
class Choice:
    """A model file, which need not be there yet, and its row if it is one that can be fetched."""

    path: Path
    weights: Weights | None

    @property
    def name(self) -> str:
        """The model's name: the row's, else the file's without its ending."""
        return self.weights.name if self.weights is not None else self.path.stem


def choose(
    model: str | None = None,
    model_path: str | os.PathLike[str] | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
) -> Choice:
    """Choose by arguments, environment and cache, in this order.

    Raises `UsageError` and `UnknownModelError`.
    """
    if model_path is not None:
        if not os.fspath(model_path):
            raise UsageError(f"{argument('model_path')} is empty.")
        return _file(os.fspath(model_path))
    if model:
        return _row(weights_named(model))
    if wanted := environment.get(ENV_MODEL, "").strip():
        if looks_like_path(wanted):
            return _file(wanted)
        try:
            return _row(weights_named(wanted))
        except UnknownModelError as error:
            error.advice = f"The name came from the variable {ENV_MODEL}."
            raise
    here = cached_lately() if on_a_loop() else cached()
    return _row(here[0] if here else weights_named(DEFAULT))


def looks_like_path(text: str) -> bool:
    """Return whether a text means a file rather than a model's name."""
    return text.lower().endswith(".gguf") or "/" in text or os.sep in text


def _file(path: str) -> Choice:
    file = Path(path).expanduser()
    # Where it is clear which file is meant, none is looked at: this may be an event loop.
    return Choice(file if file.is_absolute() else file.resolve(), None)


def _row(weights: Weights) -> Choice:
    return Choice(path_of(weights).absolute(), weights)
