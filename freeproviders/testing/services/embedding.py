"""Answers to requests for vectors, as the OpenAI protocol writes them, and what faults do to them."""

from __future__ import annotations

import base64
from array import array
from collections.abc import Callable, Sequence
from sys import byteorder
from typing import Final

from freeproviders.testing.faults import Fault
from freeproviders.testing.services.base import Reply, dump

Entry = tuple[int, list[float] | None]
"""The number of a text in its request, and its vector."""
NUMBERED: Final = frozenset({"shuffled", "twice"})
"""The faults of an answer that tells which vector is whose."""


def spoiled(entries: list[Entry], how: str | None) -> list[Entry]:
    """Do to the vectors of an answer what the fault `vectors` says."""
    if not entries:
        return entries
    (first, _), (last, vector) = entries[0], entries[-1]
    numbers = vector or []
    match how:
        case "missing":
            return entries[1:]
        case "more":
            return [*entries, (last + 1, vector)]
        case "null":
            return [*entries[:-1], (last, None)]
        case "size":
            return [*entries[:-1], (last, numbers[:-1])]
        case "sizes":
            return [(n, (one or [])[:-1]) for n, one in entries]
        case "nan":
            return [*entries[:-1], (last, [float("nan"), *numbers[1:]])]
        case "twice":
            return [*entries[:-1], (first, vector)]
        case "shuffled":
            return entries[1::2][::-1] + entries[::2]
        case _:
            return entries


def with_faults(
    write: Callable[[Sequence[Entry]], object], *, numbered: bool = False
) -> Callable[[Sequence[list[float]], Fault], Reply]:
    """Make a writer of answers that have what a fault does to their vectors.

    `numbered` says that an answer tells of each vector which text it belongs to.
    """

    def reply(vectors: Sequence[list[float]], fault: Fault) -> Reply:
        if fault.vectors in NUMBERED and not numbered:
            raise ValueError(f"These answers number no vectors: the fault {fault.vectors!r} has no place.")
        entries = [] if fault.empty else spoiled(list(enumerate(vectors)), fault.vectors)
        return Reply(200, dump(write(entries)))

    return reply


def openai_answer(model: str, tokens: int, encoding: str = "float") -> Callable[[Sequence[Entry]], object]:
    """Make the writer of an answer of the OpenAI protocol."""

    def write(entries: Sequence[Entry]) -> object:
        data = [
            {
                "object": "embedding",
                "index": n,
                "embedding": in_base64(numbers) if encoding == "base64" and numbers is not None else numbers,
            }
            for n, numbers in entries
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": model, "usage": usage}

    return write


def in_base64(numbers: Sequence[float]) -> str:
    """Write a vector as services do: 32-bit floats, the least significant byte first, in base64."""
    packed = array("f", numbers)
    if byteorder == "big":
        packed.byteswap()
    return base64.b64encode(packed).decode()
