"""Equal questions told apart: which of them one is, counted by their common key."""

from __future__ import annotations

from typing import Final

_MARK_BYTES: Final = 16
"""Half of a key tells questions apart well enough, and takes half of the memory."""


class Occurrences:
    """Counts equal questions; most of them come once."""

    __slots__ = ("_often", "_once")

    def __init__(self) -> None:
        self._once: set[bytes] = set()
        self._often: dict[bytes, int] = {}

    def number_of(self, key: bytes) -> int:
        """Count a question; return how many equal ones came before it."""
        mark = key[:_MARK_BYTES]
        if mark not in self._once:
            self._once.add(mark)
            return 0
        number = self._often[mark] = self._often.get(mark, 0) + 1
        return number
