"""Detection of text that repeats itself without end."""

from __future__ import annotations

from typing import Final

MAX_PERIOD: Final = 1000
"""The longest unit whose repetition is noticed, in characters."""
SPACE_CHARS: Final = 2_000
"""Blanks in a row that are no formatting any more."""
TEXT_CHARS: Final = 10_000
"""Characters that the same words may fill: a line of dashes, a text of one letter."""
DATA_CHARS: Final = 20_000
"""Characters that equal items may fill: a table of zeros with a hundred rows and columns."""
DATA_ITEMS: Final = 100
"""And how many of them at least, however long they are: sixty equal items are honest."""
_STEP: Final = 2048
_WINDOW: Final = MAX_PERIOD * (DATA_ITEMS + 4)
_PROBE: Final = 64
_STRUCTURE: Final = frozenset('{}[],:"')


class Endless:
    """Notices that the end of a text repeats the same unit far too often.

    Time is linear in the text, wherever it is cut: the end is looked at once for each `_STEP`
    characters, by searching and comparing slices.
    """

    def __init__(self) -> None:
        self._tail = ""
        self._pieces: list[str] = []
        self._new = 0
        self.unit = ""
        """What repeats itself, once it does."""
        self.size = 0
        """How many characters the repetition fills, as far as they are looked at."""

    def feed(self, text: str) -> bool:
        """Take more of the text; return whether it repeats itself without end."""
        self._pieces.append(text)
        self._new += len(text)
        if self._new < _STEP:
            return False
        self._tail = "".join((self._tail, *self._pieces))[-_WINDOW:]
        self._pieces.clear()
        self._new = 0
        period, size = _periodic_end(self._tail)
        if not period:
            return False
        unit = self._tail[-period:]
        if size < _most(unit):
            return False
        self.unit, self.size = unit, size
        return True

    @property
    def what(self) -> str:
        """The finding, in words."""
        return f"repeats the same {len(self.unit)} character(s) without end ({self.unit[:40]!r})"


def _most(unit: str) -> int:
    if unit.isspace():
        return SPACE_CHARS
    if _STRUCTURE.isdisjoint(unit):
        return TEXT_CHARS
    return max(DATA_CHARS, DATA_ITEMS * len(unit))


def _periodic_end(text: str) -> tuple[int, int]:
    """Return the period of the longest periodic end of a text, and its size; (0, 0) without one.

    The unit found last is the one that reaches furthest back: rows of zeros repeat a zero, and
    then a row.
    """
    found, size, probe = 0, 0, _PROBE
    end = len(text)
    while probe <= MAX_PERIOD:
        at = text.rfind(text[end - probe :], max(0, end - probe - MAX_PERIOD), end - 1)
        if at < 0:
            break
        period = end - probe - at
        reach = period + _common_end(text, text[: end - period])
        if reach > size:
            found, size = period, reach
        probe = max(probe, reach) + 1
    return found, size


def _common_end(a: str, b: str) -> int:
    """Return how many characters two texts have in common at their ends."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[len(a) - middle :] == b[len(b) - middle :]:
            low = middle
        else:
            high = middle - 1
    return low
