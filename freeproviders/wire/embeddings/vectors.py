"""Vectors in one block of memory: 4 bytes a number, and no Python object for each."""

from __future__ import annotations

import importlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from math import sqrt
from operator import mul
from typing import TYPE_CHECKING, Any, cast, overload

if TYPE_CHECKING:
    import numpy as np


class Vectors(Sequence["memoryview[float]"]):
    """Vectors of one size, one behind the other, as 32-bit floats of this machine.

    An item is a `memoryview` of one vector's numbers without a copy of them; `numpy()` shows all
    without a copy, `lists()` makes Python's numbers of them.

    Args:
        data: the numbers of all vectors, an `array("f")`.
        size: numbers of a vector; 0 only where there are none.
    """

    __slots__ = ("data", "size")

    def __init__(self, data: array[float], size: int) -> None:
        if size < 0 or (len(data) % size if size else len(data)):
            raise ValueError(f"{len(data)} numbers are no whole vectors of {size}.")
        self.data = data
        self.size = size

    @classmethod
    def of(cls, rows: Iterable[Iterable[float]]) -> Vectors:
        """Make vectors of rows of numbers. Raises `ValueError` where they differ in length."""
        data: array[float] = array("f")
        size = 0
        for count, row in enumerate(rows):
            data.extend(row)
            size = size or len(data)
            if len(data) != (count + 1) * size:
                raise ValueError(f"Vector {count} has another length than those before it.")
        return cls(data, size)

    def __len__(self) -> int:
        return len(self.data) // self.size if self.size else 0

    @overload
    def __getitem__(self, at: int) -> memoryview[float]: ...

    @overload
    def __getitem__(self, at: slice) -> Vectors: ...

    def __getitem__(self, at: int | slice) -> memoryview[float] | Vectors:
        """Return one vector as a view, or some of them as a copy."""
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            if step == 1:
                return Vectors(self.data[start * self.size : max(start, stop) * self.size], self.size)
            data: array[float] = array("f")
            for one in range(start, stop, step):
                data.frombytes(self[one])
            return Vectors(data, self.size)
        count = len(self)
        if not -count <= at < count:
            raise IndexError(f"There is no vector {at} among {count}.")
        at %= count
        numbers = memoryview(self.data)[at * self.size : (at + 1) * self.size]
        return cast("memoryview[float]", numbers)

    def __iter__(self) -> Iterator[memoryview[float]]:
        return (self[at] for at in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vectors):
            return NotImplemented
        return self.size == other.size and self.data == other.data

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def __repr__(self) -> str:
        return f"<{len(self)} vectors of {self.size}>"

    def lists(self) -> list[list[float]]:
        """Return the vectors as lists of Python's numbers, which take six times the memory."""
        return cast("list[list[float]]", [vector.tolist() for vector in self])

    def numpy(self) -> np.ndarray:
        """Return all as a NumPy array of `len(self)` rows, which shares the memory."""
        import numpy as np  # noqa: PLC0415 - the core does without

        return np.frombuffer(self.data, dtype=np.float32).reshape(len(self), self.size)


@cache
def numpy_if_there() -> Any:
    """Import NumPy where it is installed, else return None.

    The first call reads files: make it before a loop runs.
    """
    try:
        return importlib.import_module("numpy")
    except ImportError:
        return None


def to_unit_length(vectors: Vectors) -> Vectors:
    """Bring vectors to length 1, in place; one of zeros has no direction and stays. Returns them."""
    np = numpy_if_there()
    if np is not None:
        rows = vectors.numpy()
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        lengths[lengths == 0] = 1.0
        rows /= lengths[:, None]
        return vectors
    data = vectors.data
    for at in range(0, len(data), vectors.size or 1):
        row = data[at : at + vectors.size]
        if length := sqrt(sum(map(mul, row, row))):
            data[at : at + vectors.size] = array("f", [number / length for number in row])
    return vectors
