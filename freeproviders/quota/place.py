"""Where the ledger of a machine is kept: a file that is the user's alone, on a disk of this machine."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from freeproviders.folders import state_dir
from freeproviders.private_file import FileError, make_file, make_folder, network_of
from freeproviders.quota.steps import StoreError

FILE: Final = "quota.db"


def default_path() -> Path:
    """Return the path of the user's ledger, which need not exist."""
    return state_dir() / FILE


def spare_path() -> Path:
    """Return where the ledger is kept when the user's folder cannot hold it: until the next start."""
    folder = os.environ.get("XDG_RUNTIME_DIR")
    user = os.getuid() if hasattr(os, "getuid") else "user"
    if folder:
        return Path(folder) / "freeproviders" / FILE
    return Path(tempfile.gettempdir()) / f"freeproviders-{user}" / FILE


def prepare(path: Path) -> None:
    """Make the file and its folder, for the user alone, and follow no link to them.

    Raises `StoreError` where the file cannot be had or lies on a network file system.
    """
    try:
        make_folder(path.parent, own=_is_ours(path.parent))
        if kind := network_of(path.parent):
            raise StoreError(
                f"{path.parent} is on a network file system ({kind}), where locks cannot be relied on."
            )
        make_file(path, own=_is_ours(path))
    except FileError as error:
        raise StoreError(str(error)) from error


def _is_ours(path: Path) -> bool:
    return path.name == FILE or path.name.startswith("freeproviders")
