"""Single characters of a text replaced by look-alikes, and put back in what comes out of it.

A character that means something where the text will stand - the `<` of a tag, the colon of a turn's
label - becomes a sign that means nothing and reads alike. The sign is one that stands nowhere in
the input, so that putting back is exact: only what was replaced comes back, character for
character, and look-alikes that were in the input stay what they are.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterable
from itertools import count, product
from typing import Any, Final

from freeproviders.types import Batch, Reasoning, Text

LOOK_ALIKES: Final = {
    "<": "‹＜⟨〈﹤❮ᐸ˂",  # noqa: RUF001 - look-alikes on purpose, also below
    "[": "⟦［〔❲⦋【⁅⌊",  # noqa: RUF001
    "{": "｛❴⦃﹛⎨❰⟅⦗",  # noqa: RUF001
    "(": "（❨﹙⦅⟮❪⸨⦇",  # noqa: RUF001
    ":": "∶꞉：﹕ː˸׃܃",  # noqa: RUF001
}
"""The look-alikes of each character that can be replaced; no two have one in common."""

_BEHIND = re.compile(r"\W{0,3}\w{0,16}")
_BEFORE = re.compile(r"\w{0,16}[ \t]?\Z")
_BEFORE_CHARS: Final = 17
_ESCAPED_IN_JSON = re.compile(r'["\\\x00-\x1f]')


class LookAlikes:
    """The replacements in the texts of one request.

    `texts` is everything that goes in. `table` holds what was replaced, each with the word beside
    it, so that a look-alike which the model writes by itself is not taken for one: the changed
    string, and what it was.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts: Iterable[str] = texts
        self._input: str | None = None
        self._signs: dict[str, str] = {}
        self.table: dict[str, str] = {}

    def sign(self, char: str) -> str:
        """Return what stands for a character in this request."""
        sign = self._signs.get(char)
        if sign is None:
            if self._input is None:
                self._input = "\n".join(self._texts)
            sign = self._signs[char] = _absent(LOOK_ALIKES[char], self._input)
        return sign

    def put(self, text: str, places: Iterable[int]) -> str:
        """Replace the characters at some places of a text."""
        marks = [(at - len(word), word, at) for at in sorted(places) for word in [_word_before(text, at)]]
        out: list[str] = []
        done = 0
        for number, (_, word, at) in enumerate(marks):
            limit = marks[number + 1][0] if number + 1 < len(marks) else len(text)
            found = None if word else _BEHIND.match(text, at + 1, max(at + 1, limit))
            after = found.group() if found else ""
            sign = self.sign(text[at])
            self._note(word + sign + after, word + text[at] + after)
            out += text[done:at], sign
            done = at + 1
        return "".join((*out, text[done:]))

    def _note(self, changed: str, original: str) -> None:
        if changed in self.table:
            return
        self.table[changed] = original
        if _ESCAPED_IN_JSON.search(changed):  # as it stands inside a string of JSON
            self.table[_in_json(changed)] = _in_json(original)


class Originals:
    """Puts the originals back, in whole values and in a stream of text.

    Of a stream, what may be the beginning of a changed string is held back until that is known.
    """

    def __init__(self, table: dict[str, str]) -> None:
        self._table = dict(table)
        self._sorted = sorted(table)
        self._sizes = sorted({len(changed) for changed in table})
        self._first = re.compile(f"[{re.escape(''.join({changed[0] for changed in table}))}]")
        self._held = ""
        self._kind: type[Text | Reasoning] = Text

    def text(self, text: str) -> str:
        """Put the originals back into a whole text."""
        return self._mapped(text, ended=True)[0]

    def value(self, value: Any) -> Any:
        """Put them back into all texts of a JSON value."""
        match value:
            case str():
                return self.text(value)
            case list():
                return [self.value(item) for item in value]
            case dict():
                return {self.text(key): self.value(item) for key, item in value.items()}
        return value

    def parts(self, batch: Batch) -> Batch:
        """Put them back into a stream's next parts; return what can go out."""
        out: Batch = []
        for part in batch:
            if isinstance(part, Text | Reasoning):
                out += self.piece(part)
            else:
                out += (*self.flush(), part)
        return out

    def piece(self, part: Text | Reasoning) -> list[Text | Reasoning]:
        """Put them back into a stream's next piece; return what can go out."""
        out = self.flush() if type(part) is not self._kind else []
        self._kind = type(part)
        text, self._held = self._mapped(self._held + part.text, ended=False)
        return [*out, self._kind(text)] if text else out

    def flush(self) -> list[Text | Reasoning]:
        """Return what was held back: with another part or the end it is nothing else."""
        held, self._held = self._held, ""
        return [self._kind(held)] if held else []

    def _mapped(self, text: str, *, ended: bool) -> tuple[str, str]:
        """Return a text with the originals, and its end that may yet become a changed string."""
        out: list[str] = []
        done = 0
        match = self._first.search(text)
        while match is not None:
            at = match.start()
            changed = self._found(text, at)
            if changed:
                out += text[done:at], self._table[changed]
                done = at + len(changed)
            elif not ended and self._may_begin(text, at):
                return "".join((*out, text[done:at])), text[at:]
            match = self._first.search(text, done if changed else at + 1)
        return "".join((*out, text[done:])), ""

    def _found(self, text: str, at: int) -> str:
        """The shortest changed string that stands at a place; "" is none."""
        for size in self._sizes:
            if (changed := text[at : at + size]) in self._table:
                return changed
        return ""

    def _may_begin(self, text: str, at: int) -> bool:
        if len(text) - at >= self._sizes[-1]:
            return False
        end = text[at:]
        place = bisect_left(self._sorted, end)
        return place < len(self._sorted) and self._sorted[place].startswith(end)


def originals(table: dict[str, str]) -> Originals | None:
    """Make what puts the originals back; None where nothing was replaced."""
    return Originals(table) if table else None


def _word_before(text: str, at: int) -> str:
    """The word that a colon belongs to; the other characters belong to what follows them."""
    found = _BEFORE.search(text, max(0, at - _BEFORE_CHARS), at) if text[at] == ":" else None
    return found.group() if found else ""


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]  # which takes halves of characters too


def _absent(alphabet: str, text: str) -> str:
    """Find the shortest row of an alphabet's characters that stands nowhere in a text.

    No row begins as it ends, so that no two can overlap: behind a character of the input it cannot
    be seen one place too early. The time is linear in the text, which cannot hold all rows.
    """
    runs: list[str] = re.findall(f"[{alphabet}]+", text)
    for size in count(1):
        taken = {run[at : at + size] for run in runs for at in range(len(run) - size + 1)}
        for letters in product(alphabet, repeat=size):
            row = "".join(letters)
            if row not in taken and not any(row[:end] == row[-end:] for end in range(1, size)):
                return row
    raise AssertionError(text)  # the count has no end
