"""Check of a GGUF file before the engine gets it: its form, its length, what it says of its model.

The engine's own complaint about a bad file is one generic line, hence these checks. Only the head
of the file is read. Every length and count in it may be a lie: each is held against the bytes
that are left, and the number of items is limited, so that time and memory are bounded for any file.

Layout: magic "GGUF", version (u32), tensor count and key count (u64), then the keys (name, type,
value), then the tensors (name, dimensions, type, offset), then the tensors' data. All numbers are
little-endian; a string is its length (u64) and its bytes.
"""

from __future__ import annotations

import functools
import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from freeproviders.errors import EmbeddedModelError
from freeproviders.naming import argument

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
# Far above any known model: the largest have about 100 keys, 3,000 tensors, and vocabularies of
# 300,000 strings beside as many merges.
MAX_KEYS: Final = 10_000
MAX_TENSORS: Final = 100_000
MAX_STRINGS: Final = 2_000_000
MAX_NAME_BYTES: Final = 65_535
MAX_DIMENSIONS: Final = 8
_WINDOW_BYTES: Final = 1 << 20
_SHOWN_BYTES: Final = 1000
"""A model's name and architecture are cut here."""

_STRING: Final = 8
_ARRAY: Final = 9
_SCALARS: Final = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32: Final = _SCALARS[4]
_U64: Final = _SCALARS[10]

_ARCHITECTURE: Final = "general.architecture"
_NAME: Final = "general.name"
_CONTEXT_LENGTH: Final = ".context_length"
_VECTOR_SIZE: Final = ".embedding_length"
_VECTOR_SIZE_OUT: Final = ".embedding_length_out"
_POOLING: Final = ".pooling_type"
_ALIGNMENT: Final = "general.alignment"
_POOLINGS: Final = ("none", "mean", "cls", "last", "rank")
_NUMBERS: Final = (_CONTEXT_LENGTH, _VECTOR_SIZE, _VECTOR_SIZE_OUT, _POOLING, _ALIGNMENT)
"""The ends of the keys whose whole numbers are read."""
_USUAL_ALIGNMENT: Final = 32


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The description inside a model file.

    Attributes:
        path: the file.
        architecture: the kind of model, as "llama" or "bert".
        name: the model's name, may be "".
        context_length: the tokens that it reads at most, None where the file does not say.
        vector_size: the numbers of the vector that it makes of a token.
        pooling: how it makes one vector of those of all tokens: "mean", "cls" or "last"; "none" or
            None where it does not, "rank" where it judges pairs of texts.
        tensors: where the data of each tensor begins in the file.
    """

    path: Path
    architecture: str
    name: str
    context_length: int | None
    vector_size: int | None
    pooling: str | None
    tensors: Sequence[int] = field(repr=False, compare=False)


def read_model_file(path: Path) -> ModelFile:
    """Check a model file and read its description; raises `EmbeddedModelError`.

    Blocks for some tens of milliseconds, once for each file.
    """
    try:
        found = path.stat()
        return _read(path, found.st_size, found.st_mtime_ns)
    except FileNotFoundError as error:
        raise EmbeddedModelError(
            f"There is no model file at {path}.",
            advice=(
                f"Check {argument('model_path')} and FREEPROVIDERS_MODEL, for vectors "
                "FREEPROVIDERS_EMBEDDING_MODEL."
            ),
        ) from error
    except OSError as error:
        raise EmbeddedModelError(
            f"The model file {path} cannot be read: {error.strerror or error}."
        ) from error


@functools.lru_cache(maxsize=32)
def _read(path: Path, size: int, changed: int) -> ModelFile:
    """Read the file as of the time `changed`, which only tells this version from later ones."""
    del changed
    if not path.is_file():
        raise EmbeddedModelError(f"The model file {path} is not a file.")
    try:
        with path.open("rb", buffering=0) as file:
            values, tensors = _read_head(_Head(file, size))
    except _EndError as error:
        raise _broken(
            path, f"is cut off or damaged: its description does not end within its {size:,} bytes"
        ) from error
    except _BadFileError as error:
        raise _broken(path, str(error)) from error
    architecture = values.get(_ARCHITECTURE)
    if not isinstance(architecture, str) or not architecture:
        raise _broken(path, "does not say what kind of model it holds")
    name = values.get(_NAME, "")
    number = functools.partial(_positive, values, architecture)
    pooling = values.get(architecture + _POOLING)
    return ModelFile(
        path=path,
        architecture=architecture,
        name=name if isinstance(name, str) else "",
        context_length=number(_CONTEXT_LENGTH),
        vector_size=number(_VECTOR_SIZE_OUT) or number(_VECTOR_SIZE),
        pooling=_POOLINGS[pooling] if isinstance(pooling, int) and 0 <= pooling < len(_POOLINGS) else None,
        tensors=tensors,
    )


def _positive(values: Mapping[str, str | int], architecture: str, key: str) -> int | None:
    value = values.get(architecture + key)
    return value if isinstance(value, int) and value > 0 else None


def _broken(path: Path, what: str) -> EmbeddedModelError:
    return EmbeddedModelError(
        f"The model file {path} {what}.",
        advice="A complete GGUF file is needed: delete this one and download it again.",
    )


def _read_head(head: _Head) -> tuple[dict[str, str | int], array[int]]:
    """Read the wanted values, and where the data of each tensor begins, which is within the file."""
    magic = head.take(4)
    if magic != MAGIC:
        raise _BadFileError(f"is not a GGUF file: it begins with {magic!r}")
    version = head.number(_U32)
    if version not in VERSIONS:
        raise _BadFileError(f"has GGUF version {version}; supported are {VERSIONS[0]} and {VERSIONS[1]}")
    tensors, keys = head.number(_U64), head.number(_U64)
    if keys > MAX_KEYS or tensors > MAX_TENSORS:
        raise _BadFileError(f"is damaged: it claims {keys:,} keys and {tensors:,} tensors")
    values: dict[str, str | int] = {}
    for _ in range(keys):
        key = head.name()
        value = head.value(head.number(_U32), wanted=key in {_ARCHITECTURE, _NAME})
        if isinstance(value, str) or (type(value) is int and key.endswith(_NUMBERS)):
            values[key] = value
    offsets = _offsets(head, tensors)
    if tensors == 0:
        raise _BadFileError("holds no model: it has a description but no tensors")
    last = max(offsets)
    if head.position + last >= head.size:
        raise _BadFileError(
            f"is cut off: its last tensor begins after byte {head.position + last:,}, "
            f"and the file has {head.size:,} bytes"
        )
    alignment = values.get(_ALIGNMENT)
    unit = alignment if isinstance(alignment, int) and alignment > 0 else _USUAL_ALIGNMENT
    start = -(-head.position // unit) * unit
    if start > head.size:
        raise _EndError
    return values, array("Q", (start + offset for offset in offsets))


def _offsets(head: _Head, tensors: int) -> array[int]:
    """Return where the data of each tensor begins, in bytes after the head."""
    offsets = array("Q")
    for _ in range(tensors):
        head.name()
        dimensions = head.number(_U32)
        if dimensions > MAX_DIMENSIONS:
            raise _BadFileError(f"is damaged: it claims a tensor of {dimensions:,} dimensions")
        head.skip(8 * dimensions + 4)
        offsets.append(head.number(_U64))
    return offsets


class _BadFileError(Exception):
    """The file is no usable model file; the text continues "The model file PATH ..."."""


class _EndError(Exception):
    """The file ends too early, or a length in it is nonsense."""


class _Head:
    """A cursor over the beginning of a file, of which one window at a time is in memory."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._window = b""
        self._at = 0
        self._start = 0
        self._strings_left = MAX_STRINGS
        self.size = size

    @property
    def position(self) -> int:
        """Bytes of the file that have been passed."""
        return self._start + self._at

    def take(self, count: int) -> bytes:
        """Return the next bytes; no more than a window holds."""
        if self._at + count > len(self._window):
            self._move_window(count)
        start, self._at = self._at, self._at + count
        return self._window[start : self._at]

    def skip(self, count: int) -> None:
        """Pass over bytes without reading them."""
        if count > self.size - self.position:
            raise _EndError
        self._at += count

    def number(self, form: struct.Struct) -> int:
        """Read a whole number."""
        if self._at + form.size > len(self._window):
            self._move_window(form.size)
        value: int = form.unpack_from(self._window, self._at)[0]
        self._at += form.size
        return value

    def name(self) -> str:
        """Read the name of a key or tensor."""
        length = self.number(_U64)
        if length > self.size - self.position:
            raise _EndError
        if length > MAX_NAME_BYTES:
            raise _BadFileError(f"is damaged: it has a name of {length:,} bytes")
        return self.take(length).decode("utf-8", "replace")

    def value(self, kind: int, *, wanted: bool) -> str | float | None:
        """Read one value; None for an array, or for a text that is not wanted: both are skipped."""
        if kind == _STRING:
            length = self.number(_U64)
            shown = min(length, _SHOWN_BYTES) if wanted else 0
            text = self.take(shown).decode("utf-8", "replace") if wanted else None
            self.skip(length - shown)
            return text
        if kind == _ARRAY:
            self._skip_array()
            return None
        form = _SCALARS.get(kind)
        if form is None:
            raise _BadFileError(f"is damaged: it has a value of unknown type {kind}")
        return self.number(form)

    def _skip_array(self) -> None:
        kind, count = self.number(_U32), self.number(_U64)
        if kind == _STRING:
            self._skip_strings(count)
            return
        form = _SCALARS.get(kind)
        if form is None:  # arrays of arrays are allowed by the format and not in use
            raise _BadFileError(f"is damaged: it has an array of type {kind}")
        self.skip(count * form.size)

    def _skip_strings(self, count: int) -> None:
        """Pass over a vocabulary: the one loop that runs hundreds of thousands of times."""
        if count > (self.size - self.position) // _U64.size:  # each has a length at least
            raise _EndError
        if count > self._strings_left:
            raise _BadFileError(f"is damaged: it has lists of more than {MAX_STRINGS:,} texts")
        self._strings_left -= count
        unpack, step = _U64.unpack_from, _U64.size
        window, at = self._window, self._at
        for _ in range(count):
            if at + step > len(window):
                self._at = at
                self._move_window(step)
                window, at = self._window, self._at
            at += step + unpack(window, at)[0]
        self._at = at
        self.skip(0)  # is the end of the last one within the file?

    def _move_window(self, count: int) -> None:
        """Read a window that begins here and holds `count` bytes."""
        position = self.position
        if count > self.size - position:
            raise _EndError
        self._file.seek(position)
        window = self._file.read(max(_WINDOW_BYTES, count))
        self._window, self._start, self._at = window, position, 0
        if len(window) < count:  # the file has shrunk meanwhile
            raise _EndError
