"""A lock between processes, held on a file; the system frees it when its owner dies."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from freeproviders.embedded.files import open_lock_file
from freeproviders.embedded.threads import in_thread

POLL_SECONDS: Final = 0.1
_BUSY: Final = frozenset({errno.EACCES, errno.EAGAIN, errno.EDEADLK})

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@asynccontextmanager
async def file_lock(path: Path, on_wait: Callable[[], None]) -> AsyncGenerator[None, None]:
    """Hold the lock at `path`; wait for it without blocking the loop, after one call of `on_wait`.

    The lock holds between processes and between tasks of one process alike. The file stays behind,
    empty: deleting it would be a race. Raises `OSError` where the file system cannot lock.
    """
    descriptors: list[int] = []
    try:
        # Also when this is cancelled meanwhile, the thread has ended here and its file can be closed.
        await in_thread(threading.Event(), lambda: descriptors.append(open_lock_file(path)))
        waited = False
        while not try_lock(descriptors[0]):
            if not waited:
                waited = True
                on_wait()
            await asyncio.sleep(POLL_SECONDS)
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)  # closing is what unlocks


def try_lock(descriptor: int) -> bool:
    """Lock an open file, unless another process has; closing it unlocks it."""
    try:
        _lock(descriptor)
    except OSError as error:
        if error.errno in _BUSY:
            return False
        raise
    return True
