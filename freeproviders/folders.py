"""The user's folders: for what can be fetched again, and for what cannot."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

ENV_CACHE: Final = "FREEPROVIDERS_CACHE"
ENV_STATE: Final = "FREEPROVIDERS_STATE"


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


def state_dir() -> Path:
    """Return the folder of what was counted and learned, which need not exist.

    It is `FREEPROVIDERS_STATE`, else the platform's place for the state of programs.
    """
    if chosen := os.environ.get(ENV_STATE):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return (
            Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
            / "freeproviders"
            / "State"
        )
    if xdg := os.environ.get("XDG_STATE_HOME"):
        return Path(xdg) / "freeproviders"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "freeproviders"
    return Path.home() / ".local" / "state" / "freeproviders"
