"""A look into a GGUF file before anything is started with it: is it one, is it whole, how long is its context.

The engine's own complaint about a bad file is one generic line, so the checks are made here. Only the head of the file is read; every
length in it is data of a stranger and is held against what is left.

Layout: magic "GGUF", version (u32), tensor count and key count (u64), then the keys (name, type, value), then the tensors (name,
dimensions, type, offset), then the tensors' data. All numbers are little-endian; a string is its length (u64) and its bytes.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from freeproviders.errors import EmbeddedModelError

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
MAX_HEAD_BYTES: Final = 256 << 20  # the largest vocabularies known need some 20 MB
MAX_KEYS: Final = 100_000
MAX_TENSORS: Final = 1_000_000
MAX_DIMENSIONS: Final = 8
_STEP_BYTES: Final = 4 << 20

_STRING: Final = 8
_ARRAY: Final = 9
_SCALARS: Final = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What the file says of itself.

    `context_length` is in tokens, None where the file does not say; `name` may be "".
    """

    path: Path
    architecture: str
    name: str
    context_length: int | None
    has_chat_template: bool


def read_model_file(path: Path) -> ModelFile:
    """Check a model file and read its description. Blocks for some tens of milliseconds, once for each file; raises `EmbeddedModelError`."""
    try:
        found = path.stat()
        return _read(path, found.st_size, found.st_mtime_ns)
    except FileNotFoundError as error:
        msg = f"There is no model file at {path}."
        raise EmbeddedModelError(msg, advice="Check model_path and FREEPROVIDERS_MODEL.") from error
    except OSError as error:
        msg = f"The model file {path} cannot be read: {error.strerror or error}."
        raise EmbeddedModelError(msg) from error


@functools.lru_cache(maxsize=32)
def _read(path: Path, size: int, changed: int) -> ModelFile:
    """Read the file as it was at the time `changed`, which only serves to tell it from later ones."""
    del changed
    if not path.is_file():
        raise _broken(path, "is not a file")
    with path.open("rb") as file:
        values = _read_head(path, file, size)
    architecture = str(values.get("general.architecture", ""))
    if not architecture:
        raise _broken(path, "does not say what kind of model it holds")
    context_length = values.get(f"{architecture}.context_length")
    return ModelFile(
        path=path,
        architecture=architecture,
        name=str(values.get("general.name", "")),
        context_length=context_length if isinstance(context_length, int) and context_length > 0 else None,
        has_chat_template="tokenizer.chat_template" in values,
    )


def _broken(path: Path, what: str) -> EmbeddedModelError:
    return EmbeddedModelError(
        f"The model file {path} {what}.", advice="It must be a complete GGUF file: fetch it again."
    )


def _read_head(path: Path, file: BinaryIO, size: int) -> dict[str, Value]:
    head = _Head(file)
    try:
        magic = head.take(4)
        if magic != MAGIC:
            raise _broken(path, f"is not a GGUF file: it begins with {magic!r}")
        version = head.number("<I")
        if version not in VERSIONS:
            raise _broken(path, f"has GGUF version {version}, which is not one of {VERSIONS}")
        tensors, keys = head.number("<Q"), head.number("<Q")
        if keys > MAX_KEYS or tensors > MAX_TENSORS:
            raise _broken(path, f"is damaged: it claims {keys:,} keys and {tensors:,} tensors")
        values: dict[str, Value] = {}
        for _ in range(keys):
            key = head.string()
            value = head.value(head.number("<I"))
            if value is not None:
                values[key] = value
        last = _last_offset(head, tensors)
    except _EndError as error:
        raise _broken(
            path, f"is cut off or damaged: its description does not end within its {size:,} bytes"
        ) from error
    except _DamagedError as error:
        raise _broken(path, f"is damaged: {error}") from error
    if tensors == 0:
        raise _broken(path, "holds no model: it has a description but no tensors")
    if head.position + last >= size:
        raise _broken(
            path,
            f"is cut off: its last tensor begins after byte {head.position + last:,}, and it has {size:,}",
        )
    return values


def _last_offset(head: _Head, tensors: int) -> int:
    """Where the last tensor begins, in bytes after the head."""
    last = 0
    for _ in range(tensors):
        head.skip(head.number("<Q"))
        dimensions = head.number("<I")
        if dimensions > MAX_DIMENSIONS:
            msg = f"it claims a tensor of {dimensions:,} dimensions"
            raise _DamagedError(msg)
        head.skip(8 * dimensions + 4)
        last = max(last, head.number("<Q"))
    return last


class _EndError(Exception):
    """The file ends too early, or a length in it is nonsense."""


class _DamagedError(Exception):
    """What was read cannot be meant."""


class _Head:
    """A cursor over the beginning of a file, which is read as far as it is needed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._data = bytearray()
        self.position = 0

    def take(self, count: int) -> bytes:
        self._need(count)
        start, self.position = self.position, self.position + count
        return bytes(self._data[start : self.position])

    def skip(self, count: int) -> None:
        self._need(count)
        self.position += count

    def number(self, code: str) -> int:
        return int(struct.unpack(code, self.take(struct.calcsize(code)))[0])

    def string(self) -> str:
        return self.take(self.number("<Q")).decode("utf-8", "replace")

    def value(self, kind: int) -> Value | None:
        """Read one value; None for an array, which is skipped."""
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            self._skip_array()
            return None
        code = _SCALARS.get(kind)
        if code is None:
            msg = f"it has a value of unknown type {kind}"
            raise _DamagedError(msg)
        value: int | float | bool = struct.unpack(code, self.take(struct.calcsize(code)))[0]
        return value

    def _skip_array(self) -> None:
        kind, count = self.number("<I"), self.number("<Q")
        if kind == _STRING:  # a vocabulary: hundreds of thousands of strings, hence the plain loop
            unpack = struct.Struct("<Q").unpack_from
            position = self.position
            for _ in range(count):
                if position + 8 > len(self._data):
                    self._need(position + 8 - self.position)
                position += 8 + unpack(self._data, position)[0]
            self.skip(position - self.position)
            return
        code = _SCALARS.get(kind)
        if code is None:  # arrays of arrays are allowed by the format and used by nobody
            msg = f"it has an array of type {kind}"
            raise _DamagedError(msg)
        self.skip(count * struct.calcsize(code))

    def _need(self, count: int) -> None:
        wanted = self.position + count
        if wanted <= len(self._data):
            return
        if wanted > MAX_HEAD_BYTES:
            raise _EndError
        while len(self._data) < wanted:
            data = self._file.read(max(_STEP_BYTES, wanted - len(self._data)))
            if not data:
                raise _EndError
            self._data += data
