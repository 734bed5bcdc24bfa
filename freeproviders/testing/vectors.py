"""The vectors of a replica: checksums of their texts, or whatever a function of the caller makes.

A checksum vector is made of the text, the model and the input type and of nothing else, so that a
test can say of any text which vector is its own. `vectors=` takes a function of the texts, or of
the texts and the `RecordedRequest`, that returns a vector for each; it may be async.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import math
from array import array
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from freeproviders.testing.record import RecordedRequest

Rows = Iterable[Iterable[float]]
MakesVectors = Callable[..., Rows | Awaitable[Rows]]
"""The type of `vectors=`."""
_BYTES: Final = 4
_HALF: Final = 2**31


def checksum_vector(
    text: str, size: int, model: str = "", input_type: str = "", *, normalised: bool = True
) -> list[float]:
    """Return the vector that a replica makes of a text.

    Its numbers are 32-bit floats, the same whether they are sent as text or as bytes. A shorter
    vector is the beginning of a longer one, brought to length 1 again.

    Args:
        text: the text as it was sent, with its prefix; of tokens their list as JSON, "[1, 2]".
        size: how many numbers the vector has.
        model: the name of the model in the request.
        input_type: the word by which the request said what the text is for, as "search_query"; ""
            where it did not.
        normalised: whether the vector has length 1, as most models' have.
    """
    seed = f"{model}\0{input_type}\0{text}".encode("utf-8", "surrogatepass")
    whole = array("i", hashlib.shake_256(seed).digest(_BYTES * size))
    length = math.sqrt(sum(number * number for number in whole)) if normalised else _HALF
    return array("f", [number / (length or 1) for number in whole]).tolist()


class VectorMaker:
    """What makes the vectors of a replica's answers."""

    def __init__(self, vectors: MakesVectors | None) -> None:
        if vectors is not None and not callable(vectors):
            raise TypeError(
                "vectors must be a function of a list of texts that returns a vector for each, "
                f"not {type(vectors).__name__}."
            )
        self._vectors = vectors
        self._wants_request = vectors is not None and _parameters(vectors) > 1

    async def make(
        self, texts: Sequence[str], request: RecordedRequest, *, normalised: bool
    ) -> list[list[float]]:
        """Make a vector of each text. Raises whatever the function raises."""
        if self._vectors is None:
            size, model, purpose = request.size, request.model, request.input_type
            return [checksum_vector(text, size, model, purpose, normalised=normalised) for text in texts]
        given: tuple[Any, ...] = (list(texts), request) if self._wants_request else (list(texts),)
        # A function may take its time, in which other requests are answered.
        made = await asyncio.to_thread(self._vectors, *given)
        rows = await made if inspect.isawaitable(made) else made
        return [array("f", row).tolist() for row in rows]


def _parameters(function: Callable[..., Any]) -> int:
    """Count the parameters that have no default and can be given by position."""
    kinds = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return sum(
        one.kind in kinds and one.default is one.empty
        for one in inspect.signature(function).parameters.values()
    )
