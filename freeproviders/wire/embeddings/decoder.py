"""The decoder of an answer with vectors: bytes in, one `EmbeddingAnswer` at the end."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from freeproviders.errors import (
    MalformedResponseError,
    MalformedVectorError,
    ProviderError,
    ResponseTooLargeError,
    TruncatedResponseError,
)
from freeproviders.types import Batch, Usage
from freeproviders.wire.embeddings.numbers import Numbers, all_finite, read_rest
from freeproviders.wire.embeddings.request import EmbeddingAnswer, EmbeddingRequest
from freeproviders.wire.embeddings.vectors import Vectors
from freeproviders.wire.failure import (
    blocked,
    classify,
    error_in_success,
    looks_like_html,
    read_reported_error,
)
from freeproviders.wire.json import dumps
from freeproviders.wire.limits import AllowanceHeaders
from freeproviders.wire.parts import PartDecoder
from freeproviders.wire.signs import Sign
from freeproviders.wire.text import mended

MAX_SIZE: Final = 32_768
"""More numbers than the vectors of any known model have."""
_BYTES_OF_A_NUMBER: Final = 32
_BYTES_BESIDE: Final = 2**20


@dataclass(frozen=True, slots=True)
class Found:
    """What a form of answers holds: values that are vectors, in the order of the texts, and facts."""

    values: Sequence[Any]
    tokens: object = None
    model: object = None
    identity: object = None


Form = Callable[[Any], Found | None]
"""Finds the vectors in a document; None where it is no answer of the form.

Raises `ValueError` where it is one, and a wrong one.
"""


class VectorDecoder(PartDecoder):
    """Decodes an answer to a request for vectors; `answer` is there after a good end.

    `signs` and `announces` are the service's, as in `ChunkReader`.

    Args:
        request: what was asked for.
        form: where the vectors are in the document.
    """

    signs: Sequence[Sign] = ()
    announces: Sequence[AllowanceHeaders] = ()
    answer: EmbeddingAnswer

    def __init__(self, request: EmbeddingRequest, form: Form) -> None:
        super().__init__()
        self._request = request
        self._form = form
        self._numbers = Numbers()
        self._most = _BYTES_BESIDE + len(request.texts) * MAX_SIZE * _BYTES_OF_A_NUMBER

    def decode(self, data: bytes, batch: Batch) -> None:
        """Read what is complete of the numbers; the rest is read at the end."""
        del batch
        self.progress += len(data)
        if self.progress > self._most:
            self._numbers = Numbers()
            raise ResponseTooLargeError(
                f"The answer to {len(self._request.texts)} texts is longer than {self._most} bytes."
            )
        self._numbers.feed(data)

    def finish(self, batch: Batch) -> None:
        """Read the whole answer."""
        del batch
        numbers, self._numbers = self._numbers, Numbers()
        if looks_like_html(rest := numbers.rest()):
            raise blocked(rest)
        try:
            document = read_rest(rest)
        except ValueError as error:
            raise TruncatedResponseError(f"The answer is not complete JSON: {error}.") from error
        if isinstance(document, Mapping) and document.get("error"):
            self._refuse(document)
        try:
            found = self._form(document)
        except ValueError as error:
            raise MalformedResponseError(f"{error}.") from error
        if found is None:
            self._refuse(document)
            raise MalformedResponseError("The answer holds no vectors.")
        tokens = found.tokens if type(found.tokens) is int and found.tokens >= 0 else None
        self.model = mended(found.model) if isinstance(found.model, str) and found.model else None
        self.response_id = mended(found.identity) if isinstance(found.identity, str) else None
        if tokens is not None:
            self.usage = Usage(tokens, 0)
        vectors = self._vectors(numbers, found.values)
        self.answer = EmbeddingAnswer(vectors=vectors, tokens=tokens, model=self.model or "")
        self.answered = self.done = True

    def _vectors(self, numbers: Numbers, values: Sequence[Any]) -> Vectors:
        """Read all values one behind the other."""
        texts, asked = len(self._request.texts), self._request.size
        if len(values) != texts:
            raise MalformedResponseError(f"The answer holds {len(values)} vectors for {texts} texts.")
        data: array[float] = array("f")
        size = 0
        for place, value in enumerate(values):
            if _is_nested(value):
                error = MalformedResponseError(
                    "The answer holds one vector for each token of a text, none for the text as a whole.",
                    advice="Ask a model that pools its tokens, or set a pooling at the server.",
                )
                error.is_retryable = False
                raise error
            try:
                vector = numbers.vector(value)
            except ValueError as wrong:
                raise MalformedVectorError(f"The vector of text {place} {wrong}.", place=place) from wrong
            size = size or len(vector)
            if len(vector) != size:
                raise MalformedResponseError(
                    f"The vector of text {place} has {len(vector)} numbers, those before it {size}."
                )
            if size > MAX_SIZE:
                raise ResponseTooLargeError(f"A vector has {size} numbers, more than {MAX_SIZE}.")
            data.extend(vector)
        if not all_finite(data):
            at = next(at for at, number in enumerate(data) if not isfinite(number))
            place, number = divmod(at, size)
            raise MalformedVectorError(
                f"The vector of text {place} has {data[at]} as number {number}.", place=place
            )
        if asked is not None and size and size != asked:
            error = MalformedResponseError(
                f"The vectors have {size} numbers, and {asked} were asked for.",
                advice="Name a size that the model has, or none.",
            )
            error.is_retryable = False
            raise error
        return Vectors(data, size)

    def _refuse(self, document: object) -> None:
        """Raise if an answer is an error in disguise."""
        reported = error_in_success(document)
        if reported is None and self.signs and (reported := read_reported_error(document)) is not None:
            error = self._classified(reported, document)
            if error.sign is None:
                return
            raise error
        if reported is not None:
            raise self._classified(reported, document)

    def _classified(self, reported: Any, document: object) -> ProviderError:
        if not self.signs:
            return classify(None, reported)
        return classify(None, reported, signs=self.signs, announces=self.announces, body=dumps(document))


def _is_nested(value: object) -> bool:
    """Return whether a value is a list of lists."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], list)
