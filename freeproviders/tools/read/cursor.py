"""A place in a text that is still arriving.

Recognisers are generators: they read from a `Cursor`, `yield None` when they need more, yield a
`RawCall` when they have one, and return what comes next (`After`). Sequential code, and no I/O.

What was read since the last call is *held*: it is given out as text if it proves to be no call. A
hold is limited: past `MAX_HELD_CHARS` the recogniser is told that the text has ended.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final

from freeproviders.types import CallExtra

MAX_HELD_CHARS: Final = 2**20
"""A call that is longer than this is none."""
MAX_REWINDS: Final = 8
"""How often held text may be read again: a bound that keeps the whole linear."""

CUT_OFF: Final = "the call was cut off before its end"

_SPACE = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class RawCall:
    """A call as the model wrote it: neither the name nor the arguments have been judged.

    `arguments` is what the JSON (or Python, or XML) held: mostly a mapping, but also text, a list
    or None. `source` is the text itself. `fault` says why it cannot be read as a call; name and
    arguments are then guesses.
    """

    name: str
    arguments: Any = None
    source: str = ""
    fault: str = ""
    plain: bool = False
    """Whether its dialect writes a bare text for the only parameter of a tool."""
    doubtful: bool = False
    """Whether it may have been meant as words: `source` is then the whole answer."""
    extra: CallExtra | None = None
    """What the service added to a call that it has separated from the text itself."""


@dataclass(frozen=True, slots=True)
class After:
    """Result of a recogniser: whether the held characters are text, and how the parser goes on.

    `fence` is the number of backticks that close the block of code which begins here; inside it
    everything is text (or, after calls, the closing is dropped; `closes` says that this was done).
    `inline` fences end with the line. `until` is a tag up to which everything is text, `thinking`
    one up to which everything is reasoning; `closers` are all that end it, where they are several.
    `ends`: the answer ends before the held characters.
    `doubt` says why the text, with which the answer begins, seems to be meant as a call all the same.
    """

    text: bool
    fence: int = 0
    inline: bool = False
    closes: bool = False
    until: str = ""
    thinking: str = ""
    closers: tuple[str, ...] = ()
    ends: bool = False
    doubt: str = ""


CALLS: Final = After(text=False)
TEXT: Final = After(text=True)

Waiting = Generator[None, None, Any]
Recogniser = Generator[RawCall | None, None, After]


class Cursor:
    """The text at hand, the place in it, and what is held before that place."""

    __slots__ = ("_before", "_before_size", "_mark", "ended", "pos", "rewinds", "text", "truncated")

    def __init__(self) -> None:
        self.text = ""
        self.pos = 0
        self.ended = False
        self.truncated = False
        self.rewinds = 0
        self._mark = 0
        self._before: list[str] = []
        self._before_size = 0

    def feed(self, piece: str) -> None:
        """Go on with the next piece; what was looked at but not read is read again with it."""
        rest = self.text[self.pos :] if self.pos < len(self.text) else ""
        if self._mark < self.pos:
            self._before.append(self.text[self._mark : self.pos])
            self._before_size += self.pos - self._mark
        self.text = rest + piece if rest else piece
        self.pos = self._mark = 0

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will come, or nothing more is wanted."""
        return self.ended or self.tell() > MAX_HELD_CHARS

    @property
    def broken(self) -> bool:
        """Whether what is open now was cut off, not forgotten."""
        return self.truncated or not self.ended

    @property
    def cut_here(self) -> bool:
        """Whether the text was cut off at this place, or inside of a mark that begins here."""
        if not (self.exhausted and self.broken):
            return False
        rest = self.text[self.pos :]
        return not rest or (rest[0] == "<" and ">" not in rest)

    def tell(self) -> int:
        """The number of held characters."""
        return self._before_size + self.pos - self._mark

    def since(self, start: int) -> str:
        """The held text from an earlier `tell()` on."""
        missing = self._before_size - start
        here = self.text[max(self._mark, self._mark - missing) : self.pos]
        if missing <= 0:
            return here
        pieces = [here]
        for piece in reversed(self._before):
            if missing <= 0:
                break
            pieces.append(piece[-missing:] if missing < len(piece) else piece)
            missing -= len(piece)
        return "".join(reversed(pieces))

    def held(self) -> str:
        """All that is held."""
        return self.since(0)

    def commit(self) -> None:
        """Hold nothing: what was read has been dealt with."""
        self._before.clear()
        self._before_size = 0
        self._mark = self.pos

    def rewind(self, text: str) -> None:
        """Read the end of what is held again; what stands before it stays held."""
        self.rewinds += 1
        kept = self.held()[: -len(text) or None]
        self.text = text + self.text[self.pos :]
        self.commit()
        self.pos = self._mark = 0
        self._before, self._before_size = ([kept] if kept else []), len(kept)


def more(c: Cursor) -> Waiting:
    """Wait until there is something to read; False at the end."""
    while c.pos >= len(c.text):
        if c.exhausted:
            return False
        yield None
    return True


def peek(c: Cursor) -> Waiting:
    """The next character, "" at the end."""
    return c.text[c.pos] if c.pos < len(c.text) or (yield from more(c)) else ""


def skip(c: Cursor, pattern: re.Pattern[str] = _SPACE) -> Waiting:
    """Read over white space, or the pattern; return the character that follows, "" at the end."""
    while True:
        match = pattern.match(c.text, c.pos)
        c.pos = match.end() if match else c.pos
        if c.pos < len(c.text):
            return c.text[c.pos]
        if not (yield from more(c)):
            return ""


def literal(c: Cursor, options: tuple[str, ...]) -> Waiting:
    """Read one of some texts, none of which begins another.

    Returns the text, or "" as soon as it can be none of them.
    """
    longest = max(map(len, options))
    while True:
        head = c.text[c.pos : c.pos + longest]  # the whole rest would take quadratic time
        for option in options:
            if head.startswith(option):
                c.pos += len(option)
                return option
        if c.exhausted or not any(option.startswith(head) for option in options):
            return ""
        yield None


def word(c: Cursor, pattern: re.Pattern[str], limit: int) -> Waiting:
    """Read all characters that the pattern matches singly; "" if they are more than the limit."""
    start = c.tell()
    yield from skip(c, pattern)
    return c.since(start) if c.tell() - start <= limit else ""


def find(c: Cursor, pattern: re.Pattern[str]) -> Waiting:
    """Read up to and over the character that the pattern matches; return it, "" at the end."""
    while True:
        match = pattern.search(c.text, c.pos)
        if match is not None:
            c.pos = match.end()
            return match.group()
        c.pos = len(c.text)
        if not (yield from more(c)):
            return ""


def until(c: Cursor, closers: tuple[str, ...]) -> Waiting:
    """Read up to and over the first of some texts, which begin with the same character.

    Returns the text that was found, "" at the end.
    """
    first = closers[0][0]
    while True:
        at = c.text.find(first, c.pos)
        if at < 0:
            c.pos = len(c.text)
            if not (yield from more(c)):
                return ""
            continue
        c.pos = at
        if found := (yield from literal(c, closers)):
            return found
        c.pos += 1
