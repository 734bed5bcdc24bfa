"""The user's folder for what can be fetched again."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

ENV_CACHE: Final = "FREEPROVIDERS_CACHE"


def cache_dir() -> Path:
    """Return the cache folder, which need not exist.

    It is `FREEPROVIDERS_CACHE`, else the platform's place for caches.
    """
    if chosen := os.environ.get(ENV_CACHE):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return (
            Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
            / "freeproviders"
            / "Cache"
        )
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "freeproviders"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "freeproviders"
    return Path.home() / ".cache" / "freeproviders"
