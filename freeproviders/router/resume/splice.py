"""Deciding, without I/O, whether a new stream goes on from what was said, and where.

A `Match` takes the pieces of a new stream as they come. Nothing of it is given out until all that
was said, or what stands for it, has come again; at the first difference it is refused, and then
nothing was given out. How the pieces are cut does not matter.

What proves that a stream goes on:

- An answer to the *same question* (replay, trim) must begin with all that was said, character by
  character. What is then shown is, from its first character to its last, the answer that one model
  gave in one run. That holds for a short text, a repetitive one and another model alike, so that no
  least length is needed; it is also why nothing is folded, neither blanks nor case.
- A service that was given the *beginning of the answer* (prefill) may pass the beginning over and
  answer anew. So it is given all but a `tail` of what was said, and must write that tail first by
  itself. A tail is a proof where a new answer would hardly begin with it: it has at least
  `LEAST_TAIL_BYTES` of words that stand nowhere else in what was said (other words count a quarter),
  it stands nowhere else itself, and it does not begin again right behind itself. Repetitive and blank
  texts have no such tail, and are not gone on with in this way.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Final

LEAST_TAIL_BYTES: Final = 16
"""Bytes of words that stand nowhere else, in UTF-8, that a tail has at least; six CJK signs have them."""
LEAST_BEGUN: Final = 12
"""Characters that are given before a tail, at least: nearer to the beginning it proves less."""
REPEATED: Final = 4
"""How many bytes of words that stand elsewhere too count as one of those."""
MOST_TAIL_CHARS: Final = 240
"""Characters that a tail has at most: a longer one is hardly ever written again."""
_CJK: Final = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_WORD: Final = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_JOINERS: Final = frozenset("\u200c\u200d\ufe0e\ufe0f")


class Match:
    """The search for the place behind which a stream goes on.

    Args:
        beginnings: texts of which the stream must begin with one, each with a text that must not
            follow it at once, blanks aside ("" for none). None begins with another.

    `refused` says that the stream is another text, `joined` that it goes on. `feed` then returns what
    it is given.
    """

    def __init__(self, beginnings: Mapping[str, str]) -> None:
        self._open = dict.fromkeys(beginnings, 0)
        """How much of each beginning that is still possible has come."""
        self._not_again = beginnings
        self._found = ""
        self._held = ""
        self.refused = False
        self.joined = "" in beginnings

    @property
    def missing(self) -> str:
        """What of the longest beginning that is still possible has not come yet."""
        return max((text[at:] for text, at in self._open.items()), key=len, default="")

    def feed(self, piece: str) -> str:
        """Take a piece; return what goes out of it."""
        if self.joined:
            return piece
        if self.refused or not piece:
            return ""
        rest = self._behind(piece) if not self._found else piece
        return "" if self.refused or not self._found else self._beware(rest)

    def close(self) -> str:
        """Take the end of the stream; return what was still held back."""
        if self.joined:
            return ""
        self.refused = not self._found
        if self.refused:
            return ""
        self.joined, held = True, self._held
        return held

    def _behind(self, piece: str) -> str:
        """Compare a piece with the beginnings; return what follows the one that has come whole."""
        for text, at in list(self._open.items()):
            wanted = text[at : at + len(piece)]
            if not piece.startswith(wanted):
                del self._open[text]
            elif at + len(wanted) == len(text):
                self._found = text
                return piece[len(wanted) :]
            else:
                self._open[text] = at + len(wanted)
        self.refused = not self._open
        return ""

    def _beware(self, rest: str) -> str:
        """Hold back what follows until it is not the same once more."""
        self._held += rest
        follows, again = self._held.lstrip(), self._not_again[self._found].strip()
        if again and follows.startswith(again):
            self.refused = True
            return ""
        if again and again.startswith(follows):
            return ""
        held, self._held = self._held, ""
        self.joined = True
        return held


def tail_of(said: str) -> str:
    """Return the end of a text that proves that an answer goes on behind it; "" where there is none.

    It begins at the border of a word where there are words, and never inside a character that is
    made of several code points.
    """
    words = _words(said)
    counts = Counter([word.lower() for _, word in words])
    if words:  # the last word may be the beginning of one that was said before
        at, written = words[-1]
        last = written.lower()
        counts[last] += at + len(written) == len(said) and any(
            word != last and word.startswith(last) for word in counts
        )
    weight = 0
    for start in range(len(said) - 1, max(0, len(said) - 1 - MOST_TAIL_CHARS), -1):
        while words and words[-1][0] >= start:
            _, word = words.pop()
            own = REPEATED if counts[word.lower()] == 1 else 1
            weight += len(word.encode("utf-8", "surrogatepass")) * own
        if weight < LEAST_TAIL_BYTES * REPEATED or not _is_border(said, start):
            continue
        tail = said[start:]
        if said.find(tail.strip()) >= start and len(said[:start].strip()) >= LEAST_BEGUN:
            return tail
    return ""


def _words(text: str) -> list[tuple[int, str]]:
    """List the words of a text and where they begin; each CJK sign is one."""
    return [(match.start(), match[0]) for match in _WORD.finditer(text)]


def _is_border(text: str, at: int) -> bool:
    """Return whether a text may be cut before a place: at a blank, or between signs without blanks."""
    char, before = text[at], text[at - 1]
    if before.isspace():
        return False  # templates take blanks away from the end of what was begun
    if char.isspace():
        return True
    if unicodedata.combining(char) or char in _JOINERS or before in _JOINERS:
        return False
    return _is_wide(char) and _is_wide(before)


def _is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF"
