"""Numbers out of an answer: long lists of them are cut out of the document as it comes.

Read as one document, an answer would be six times as large in memory: each number is an object
there. So lists are read one by one into 32-bit floats, as soon as they are complete; that spreads
the work over the reads of the network, and others get their turn between them. The decoder of
pydantic reads numbers four times as fast as NumPy does.
"""

from __future__ import annotations

import binascii
import sys
from array import array
from math import isfinite
from typing import Any, Final, Literal

from freeproviders.wire.json import from_json, loads_leniently
from freeproviders.wire.text import BOM

_BLANK: Final = BOM + b" \t\r\n"
MIN_CUT_BYTES: Final = 64
"""A shorter list stays in the document: there, what is odd about it is found."""
_STAND_IN: Final = b"[true,%d]"
"""Stands for a list that was cut out: no quotes, so that it does no harm inside a text."""
_SIZE: Final = 4
_NO_LAST_BITS: Final = bytes(3)
_TOP_BITS: Final = bytes(byte & 0x1F for byte in range(256))
_LEAST_BYTES: Final = 512
"""Of a shorter vector the bits say too little."""


class Numbers:
    """A JSON document with its long lists of numbers cut out.

    `feed` takes it piece by piece, `rest` is what was left of it, with a stand-in for each list,
    which `vector` takes in its place.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._lists: list[array[float] | ValueError] = []
        self._tail = bytearray()
        self._after = 0
        """The place in the tail behind its last closing bracket."""

    def feed(self, data: bytes) -> None:
        """Take a piece, and read the lists that are complete now.

        Those are cut out that hold no other list and no text, and no `true` or `false`.
        """
        tail = self._tail
        at, kept, after = len(tail), 0, self._after
        tail += data
        while (close := tail.find(b"]", at)) >= 0:
            start = tail.rfind(b"[", after, close)
            at = after = close + 1
            if (
                start >= 0
                and at - start >= MIN_CUT_BYTES
                and tail.find(b'"', start, close) < 0
                and tail.find(b"r", start, close) < 0
                and tail.find(b"s", start, close) < 0
            ):
                self._pieces += bytes(tail[kept:start]), _STAND_IN % len(self._lists)
                self._lists.append(_from_text(bytes(tail[start:at])))
                kept = at
        del tail[:kept]
        self._after = after - kept

    def rest(self) -> bytes:
        """End the document; return it without its lists, and without what means nothing before it."""
        rest = b"".join([*self._pieces, self._tail])
        self._pieces, self._tail = [], bytearray()
        return rest.lstrip(_BLANK)

    def vector(self, value: object) -> array[float]:
        """Read a value of the document as a vector: a list of numbers, its stand-in, or base64.

        What is too large for 32 bits is infinite, see `all_finite`. Raises `ValueError`, with words
        that go on from "The vector", where it is none.
        """
        if isinstance(value, str):
            return _from_base64(value)
        if not isinstance(value, list):
            raise ValueError(f"is {_named(value)}, neither a list of numbers nor base64")  # noqa: TRY004 - data
        if len(value) == 2 and value[0] is True and value[1] in range(len(self._lists)):
            numbers = self._lists[value[1]]
            if isinstance(numbers, ValueError):
                raise numbers
            return numbers
        if not all(type(number) in _NUMBERS for number in value):
            raise ValueError(_odd(value))
        return _unless_empty(_in_32_bits(value))


def read_rest(rest: bytes) -> Any:
    """Read a document without its lists. Raises `ValueError` where it is not JSON."""
    try:
        return from_json(rest)
    except ValueError:
        return loads_leniently(rest)


def _from_text(text: bytes) -> array[float] | ValueError:
    """Read a list of numbers; return the error where it is none, for the caller to raise."""
    try:
        listed = from_json(text)
    except ValueError as error:
        return ValueError(f"is not JSON: {error}")
    try:
        return _in_32_bits(listed)
    except ValueError as error:
        return error


def _in_32_bits(listed: list[Any]) -> array[float]:
    try:
        return array("f", listed)
    except (TypeError, OverflowError) as error:
        raise ValueError(_odd(listed)) from error


_NUMBERS: Final = frozenset({int, float})


def _from_base64(text: str) -> array[float]:
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:  # binascii.Error is one; so is what is not ASCII
        raise ValueError(f"is a text, and no base64: {error}") from error
    if len(data) % _SIZE:
        raise ValueError(f"has {len(data)} bytes, which are no 32-bit floats")
    if _has_64_bits(data):
        return array("f", _unpacked("d", data))
    return _unless_empty(_unpacked("f", data))


def _unpacked(code: Literal["f", "d"], data: bytes) -> array[float]:
    """Read numbers whose least significant byte comes first."""
    numbers = array(code, data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _has_64_bits(data: bytes) -> bool:
    """Return whether bytes are numbers of 64 bits that were made of such of 32.

    Early versions of vLLM pack them so (vllm-project/vllm issue 6744). Read as 32 bits they would be
    a vector of twice the size, whose numbers in even places lack their last 29 bits; no vector of a
    model is like that. One with a single number, as tests have them, is none of these.
    """
    if data[:3] != _NO_LAST_BITS or len(data) % 8 or len(data) < _LEAST_BYTES:
        return False
    words = memoryview(data).cast("B")
    lows = {bytes(words[at::8]) for at in range(3)} | {bytes(words[3::8].tobytes().translate(_TOP_BITS))}
    return lows == {bytes(len(data) // 8)} and sum(map(bool, words[7::8])) > len(data) // 16


def _unless_empty(numbers: array[float]) -> array[float]:
    if not numbers:
        raise ValueError("is empty")
    return numbers


def all_finite(numbers: array[float]) -> bool:
    """Return whether no number is infinite or NaN.

    NumPy is used where it is loaded already. The sum of 32-bit floats, as a 64-bit one, cannot
    overflow.
    """
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        return not numbers or bool(numpy.isfinite(numpy.frombuffer(numbers, numpy.float32)).all())
    return isfinite(sum(numbers))


def _odd(values: list[Any]) -> str:
    """Say where a list has something else than numbers."""
    for at, value in enumerate(values):
        if type(value) not in _NUMBERS:
            return f"has {_named(value)} in place of number {at}"
    return "has a number of more than 64 bits"


def _named(value: object) -> str:
    """Name a value of a document by its kind, as JSON calls it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object"
