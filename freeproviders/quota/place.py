"""Where the ledger of a machine is kept: a file that is the user's alone, on a disk of this machine."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from freeproviders.folders import state_dir
from freeproviders.quota.steps import StoreError

FILE: Final = "quota.db"
_NETWORK: Final = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "beegfs", "gpfs", "ncpfs", "davfs",
    "glusterfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.davfs",
})  # fmt: skip
"""File systems that several machines share, and whose locks or clocks do not hold."""


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
    folder = path.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(folder, folder.lstat(), stat.S_ISDIR, 0o700)
        if kind := network_of(folder):
            raise StoreError(
                f"{folder} is on a network file system ({kind}), where locks cannot be relied on."
            )
        if path.is_symlink():  # where the system cannot refuse to follow it
            raise StoreError(f"{path} is a link: move it away.")
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from error
    try:
        _check(path, os.fstat(descriptor), stat.S_ISREG, 0o600)
    finally:
        os.close(descriptor)


def network_of(folder: Path) -> str:
    """Return the kind of the network file system that a folder is on, "" for a disk or unknown."""
    if not sys.platform.startswith("linux"):
        return ""
    try:
        number = folder.stat().st_dev
        device = f"{os.major(number)}:{os.minor(number)}"
        return next((kind for found, kind in _mounts() if found == device and kind in _NETWORK), "")
    except OSError:
        return ""


def _mounts() -> Iterator[tuple[str, str]]:
    """Yield device and kind of each mounted file system."""
    with Path("/proc/self/mountinfo").open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            left, _, right = line.partition(" - ")
            yield left.split()[2], right.split()[0]


def _check(path: Path, found: os.stat_result, is_kind: object, mode: int) -> None:
    """Take the rights of others away from what is the user's; refuse what is not."""
    if not callable(is_kind) or not is_kind(found.st_mode):
        raise StoreError(f"{path} is a link or no file of the ledger: move it away.")
    if not hasattr(os, "getuid"):
        return
    if found.st_uid != os.getuid():
        raise StoreError(f"{path} belongs to another user.")
    if stat.S_IMODE(found.st_mode) & 0o077 and (path.name == FILE or path.name.startswith("freeproviders")):
        path.chmod(mode)
