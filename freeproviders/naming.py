"""Names of arguments in the words of errors, which other programs write in their own way.

An error about `base_url` is read by users of Python, who pass `base_url=`, and by users of the command
line, who write `--base-url`. So the names are marked where the error is raised, and `Words` keeps the
marks beside the text, in which they are not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Self

from freeproviders.patterns import pattern

# Characters that no text may hold: Unicode keeps them free for use inside of programs.
_MARKED: Final = pattern("\ufdd0(\\w+)\ufdd1([^\ufdd1\ufdd2]*)\ufdd2")


def argument(name: str, notation: str = "") -> str:
    """Mark the name of an argument in a text that becomes `Words`.

    `notation` is how it is shown where a caller of Python reads it, as `timeout=Timeout(...)`; the
    name alone if left out. What is no name of an argument stays as it is.
    """
    return f"\ufdd0{name}\ufdd1{notation or name}\ufdd2" if name.isidentifier() else notation or name


class Words(str):
    """A text in Python's notation that knows which of its words are names of arguments."""

    __slots__ = ("marked",)
    marked: str

    def __new__(cls, marked: str) -> Self:
        """Read a text with marks."""
        self = super().__new__(cls, _MARKED.sub(r"\2", marked))
        self.marked = marked
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Words, (self.marked,)

    def renamed(self, name: Callable[[str], str | None]) -> str:
        """Write each argument by another name; None leaves it in Python's notation."""
        return _MARKED.sub(lambda found: name(found[1]) or found[2], self.marked)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of the arguments, in the order of the text."""
        return tuple([found[1] for found in _MARKED.finditer(self.marked)])


def words(text: str) -> str:
    """Return a text as `Words` where names of arguments are marked in it, else as it is."""
    return Words(text) if "\ufdd0" in text else text


def joined(*texts: str) -> str:
    """Join sentences, with their marks; an empty one is left out."""
    return words(" ".join([marked(text) for text in texts if text]))


def marked(text: str) -> str:
    """Return a text with the marks that it has, to be put into another."""
    return text.marked if isinstance(text, Words) else text
