"""The user's folders: for what can be fetched again, for what cannot, and for the user's own files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

ENV_CACHE: Final = "FREEPROVIDERS_CACHE"
ENV_STATE: Final = "FREEPROVIDERS_STATE"
_WINDOWS: Final = {"LOCALAPPDATA": "Local", "APPDATA": "Roaming"}


def cache_dir() -> Path:
    """Return the cache folder, which need not exist.

    It is `FREEPROVIDERS_CACHE`, else the platform's place for caches.
    """
    return _chosen(ENV_CACHE) or _place(
        "XDG_CACHE_HOME", ".cache", mac="Caches", windows="LOCALAPPDATA", below="Cache"
    )


def state_dir() -> Path:
    """Return the folder of what was counted and learned, which need not exist.

    It is `FREEPROVIDERS_STATE`, else the platform's place for the state of programs.
    """
    return _chosen(ENV_STATE) or _place(
        "XDG_STATE_HOME", ".local/state", mac="Application Support", windows="LOCALAPPDATA", below="State"
    )


def config_dir() -> Path:
    """Return the folder of the user's own files, which need not exist: the platform's for settings."""
    return _place("XDG_CONFIG_HOME", ".config", mac="Application Support", windows="APPDATA")


def _chosen(variable: str) -> Path | None:
    chosen = os.environ.get(variable)
    return Path(chosen).expanduser() if chosen else None


def _place(xdg: str, plain: str, *, mac: str, windows: str, below: str = "") -> Path:
    """Return the platform's own place; `below` is the folder in ours on Windows, where several share one."""
    if sys.platform == "win32":
        usual = Path.home() / "AppData" / _WINDOWS[windows]
        return Path(os.environ.get(windows) or usual) / "freeproviders" / below
    if given := os.environ.get(xdg):
        return Path(given) / "freeproviders"
    if sys.platform == "darwin":
        return Path.home() / "Library" / mac / "freeproviders"
    return Path.home() / plain / "freeproviders"
