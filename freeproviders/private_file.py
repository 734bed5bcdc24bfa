"""Files that are one user's alone: made with no rights for others, and never through a link."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

_NETWORK: Final = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "beegfs", "gpfs", "ncpfs", "davfs",
    "glusterfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.davfs",
})  # fmt: skip
"""File systems that several machines share, and whose locks or clocks do not hold."""


class FileError(Exception):
    """A file cannot be used; the text says why, and what to do."""


def make_folder(folder: Path, *, own: bool) -> None:
    """Make a folder for the user alone where there is none.

    `own` says that its name is ours: others then lose what rights they have in it. Raises
    `FileError` where it cannot be had, is a link or belongs to another user.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(folder, folder.lstat(), stat.S_ISDIR, 0o700 if own else 0)
    except OSError as error:
        raise FileError(f"{folder} cannot be written: {error.strerror or error}.") from error


def make_file(path: Path, *, own: bool) -> None:
    """Make an empty file for the user alone where there is none; `own` as for `make_folder`.

    A file that is there is not opened: closing it would end the locks that other connections of
    this process hold on it.
    """
    try:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
            os.close(os.open(path, flags, 0o600))
        except FileExistsError:
            found = path.lstat()
            _check(path, found, stat.S_ISREG, 0o600 if own or not found.st_size else 0)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}.") from error


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


def _check(path: Path, found: os.stat_result, is_kind: Callable[[int], bool], mode: int) -> None:
    """Refuse what is not the user's; give the user alone the rights of `mode`, where it is not 0."""
    if not is_kind(found.st_mode):
        raise FileError(f"{path} is a link or of another kind: move it away.")
    if not hasattr(os, "getuid"):
        return
    if found.st_uid != os.getuid():
        raise FileError(f"{path} belongs to another user.")
    if mode and stat.S_IMODE(found.st_mode) & 0o077:
        path.chmod(mode)
