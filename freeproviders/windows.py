"""Context windows by the names of models, for plans made before a service is asked."""

from __future__ import annotations

from functools import lru_cache

from freeproviders.model_names import tail
from freeproviders.model_windows import WINDOWS


@lru_cache(maxsize=1024)
def context_window(model: str) -> int | None:
    """Look up the context window of a model by its name alone, in tokens; None where it is not known.

    A name with a date or a size behind a known one has the window of that one.
    """
    name = tail(model)
    while name:
        if (window := WINDOWS.get(name)) is not None:
            return window
        name = name.rpartition("-")[0]
    return None
