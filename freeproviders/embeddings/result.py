"""What comes of texts: vectors, and what was noticed on the way."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from freeproviders.embeddings.family import Family
from freeproviders.errors import BadTextsError, FreeProvidersError
from freeproviders.types import Usage
from freeproviders.wire.embeddings.vectors import Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedBatch:
    """The vectors of some texts that stand one behind the other in the caller's list.

    Attributes:
        start: the place of the first text in the list.
        count: how many texts these are.
        vectors: one for each text; of a text in `bad`, zeros. None where all are bad.
        usage: tokens of the requests that were made for them.
        truncated: places of texts that were cut, or that the service may have cut.
        bad: why texts got no vector, by their places.
    """

    start: int
    count: int
    vectors: Vectors
    usage: Usage
    truncated: tuple[int, ...] = ()
    bad: Mapping[int, FreeProvidersError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """The vectors of all texts of a call, in their order.

    Attributes:
        vectors: one for each text.
        family: what they may be compared with.
        usage: tokens of all requests.
        truncated: places of texts that were cut, or that the service may have cut.
    """

    vectors: Vectors
    family: Family
    usage: Usage
    truncated: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.vectors)


class Collected:
    """The batches of a call, put into one block of memory that is taken once.

    Args:
        count: how many texts there are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._data: array[float] = array("f")
        self._size = 0
        self._usage = Usage(0, 0)
        self._bad: dict[int, FreeProvidersError] = {}
        self.truncated: list[int] = []
        self.done = 0

    def add(self, batch: EmbeddedBatch) -> None:
        """Put a batch in its place."""
        vectors = batch.vectors
        if vectors.size and not self._size:
            self._size = vectors.size
            self._data = vectors.data if len(vectors) == self._count else self._room()
        if self._data is not vectors.data and vectors.size:
            at = batch.start * self._size
            memoryview(self._data)[at : at + len(vectors.data)] = memoryview(vectors.data)
        self._usage += batch.usage
        self.truncated += batch.truncated
        self._bad.update(batch.bad)
        self.done += batch.count

    def scatter(self, batch: EmbeddedBatch, places: Sequence[Sequence[int]]) -> None:
        """Put a batch in its texts' places, each of which may stand in several."""
        cut = set(batch.truncated)
        for at in range(batch.start, batch.start + batch.count):
            if (error := batch.bad.get(at)) is not None:
                self._bad.update(dict.fromkeys(places[at], error))
            if at in cut:
                self.truncated += places[at]
        if batch.vectors.size:
            here = places[batch.start : batch.start + batch.count]
            for vector, several in enumerate(here):
                self._put(several, batch.vectors, vector)
        self._usage += batch.usage
        self.done += sum(map(len, places[batch.start : batch.start + batch.count]))

    def fill(self, places: Sequence[int], vectors: Vectors) -> None:
        """Put vectors into places, which ascend."""
        if len(vectors) == self._count:
            self._data, self._size = vectors.data, vectors.size
        else:
            for at, place in enumerate(places):
                self._put((place,), vectors, at)
        self.done += len(places)

    def _put(self, places: Iterable[int], vectors: Vectors, at: int) -> None:
        if not self._size:
            self._size = vectors.size
            self._data = self._room()
        size, room, vector = self._size, memoryview(self._data), vectors[at]
        for place in places:
            room[place * size : (place + 1) * size] = vector

    def _room(self) -> array[float]:
        return array("f", (0.0,)) * (self._count * self._size)

    def batch(self, start: int, first: int, end: int) -> EmbeddedBatch:
        """Return some of the texts as a batch of a longer list, in which these begin at `start`.

        They are those from `first` to before `end`. Its usage is what has come since the last one.
        """
        usage, self._usage = self._usage, Usage(0, 0)
        return EmbeddedBatch(
            start=start + first,
            count=end - first,
            vectors=Vectors(self._data, self._size)[first:end],
            usage=usage,
            truncated=tuple(sorted(start + place for place in self.truncated if first <= place < end)),
            bad={start + place: error for place, error in self._bad.items() if first <= place < end},
        )

    def result(self, family: Family) -> Embeddings:
        """Return the whole. Raises `BadTextsError` where a text got no vector."""
        whole = Embeddings(
            vectors=Vectors(self._data, self._size),
            family=family,
            usage=self._usage,
            truncated=tuple(sorted(self.truncated)),
        )
        if not self._bad:
            return whole
        raise bad_texts(self._bad, whole, self._count)


def bad_texts(bad: Mapping[int, FreeProvidersError], embeddings: Embeddings, count: int) -> BadTextsError:
    """Make the error for texts that got no vector, by their places among `count` texts."""
    places = sorted(bad)
    shown = ", ".join(str(place) for place in places[:10]) + (", ..." if len(places) > 10 else "")
    return BadTextsError(
        f"{len(places)} of {count} texts got no vector: {shown}. The first says: {bad[places[0]]}",
        errors=bad,
        embeddings=embeddings,
        advice="The others have theirs, in the error's `embeddings`.",
    )
