"""Files in a folder that others may be able to write to: opened without following links."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

_NO_LINKS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_WAIT: Final = getattr(os, "O_NONBLOCK", 0)  # a named pipe put there must not hold us up
_LINK_ERRORS: Final = frozenset({errno.ELOOP, errno.EMLINK})


FOR_ALL: Final = 0o644
"""The mode of what all users of a shared cache may read."""
OWN: Final = 0o600


def create_new(path: Path, mode: int = FOR_ALL) -> int:
    """Create a file in place of whatever is there, following no link; return its descriptor."""
    path.unlink(missing_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINKS, mode)


def open_own(path: Path) -> int:
    """Open or create a file that only this user may read and write; return its descriptor.

    What is not a plain file of this user with this one name (a link, a file of another user) is
    deleted first: what it leads to stays as it is.
    """
    with suppress(OSError):
        if not path.is_symlink():  # for systems that have no O_NOFOLLOW
            descriptor = os.open(path, os.O_RDWR | _NO_LINKS | _NO_WAIT)
            if _is_own(os.fstat(descriptor)):
                path.chmod(OWN)
                return descriptor
            os.close(descriptor)
    return create_new(path, OWN)


def open_lock_file(path: Path) -> int:
    """Open or create a file that serves as a lock and is never written to; return its descriptor.

    It may belong to another user: users may share a cache. Raises `OSError` for a link.
    """
    try:
        if not path.is_symlink():
            return os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINKS | _NO_WAIT, 0o644)
    except OSError as error:
        if error.errno not in _LINK_ERRORS:
            raise
    raise OSError(errno.ELOOP, f"the lock file {path} is a link, which is not followed: delete it")


def _is_own(found: os.stat_result) -> bool:
    mine = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
    return mine and stat.S_ISREG(found.st_mode) and found.st_nlink == 1
