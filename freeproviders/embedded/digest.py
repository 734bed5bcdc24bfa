"""A short digest of a model file, which tells one set of weights from another."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Final

from freeproviders.embedded.gguf import ModelFile

_TENSOR_BYTES: Final = 4096
_STEP_BYTES: Final = 1 << 20
_DIGITS: Final = 12


def digest(file: ModelFile) -> str:
    """Return 12 hexadecimal digits that depend on all that makes one model's vectors another's.

    They are of the file's size, its whole description (settings, vocabulary, names and types of
    tensors) and the first 4 KB of each tensor, of which reading takes some milliseconds. Another
    model, training, vocabulary or quantisation has other digits. That each byte of the weights is
    whole is not proved: training changes every tensor, a fault of the disk one byte.

    Blocks, once for each file. Raises `OSError`.
    """
    found = file.path.stat()
    return _digest(file.path, tuple(file.tensors), found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=32)
def _digest(path: Path, tensors: tuple[int, ...], size: int, changed: int) -> str:
    """Read the file as of the time `changed`, which only tells this version from later ones."""
    del changed
    sha = hashlib.sha256(str(size).encode())
    with path.open("rb", buffering=0) as file:
        left = min(tensors)
        while left and (data := file.read(min(left, _STEP_BYTES))):
            sha.update(data)
            left -= len(data)
        for start in sorted(set(tensors)):
            file.seek(start)
            sha.update(file.read(_TENSOR_BYTES))
    return sha.hexdigest()[:_DIGITS]
