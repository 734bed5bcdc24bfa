"""Find where a JSON value ends, while it arrives, and notice early that it is no tool call.

The scanner is as lenient as the decoder behind it: single quotes, bare words, comments, missing
brackets. It only counts brackets outside of strings; what stands inside is told to a `Probe`, which
may rule the value out at any key or name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, Protocol

from freeproviders.tools.read.cursor import Cursor, Waiting, more, peek, skip, until
from freeproviders.wire.json import loads

MAX_DEPTH: Final = 64
MAX_WORD_CHARS: Final = 128
"""No key or name that matters is longer."""

_STRUCTURE = re.compile(r"[\"'{}\[\],:<#/\s]")
_STRING_END: Final = {'"': re.compile(r'["\\]'), "'": re.compile(r"['\\]")}
_AFTER_STRING = frozenset(",:]}")
_WHOLE_WORD = re.compile(r"-?\d[\d.eE+\-]*|true|false|null|True|False|None")
"""A bare word that is a value, and not the beginning of one."""


class End(Enum):
    """The way in which a value ended."""

    CLOSED = auto()
    RULED_OUT = auto()
    TAG = auto()
    """As `OPEN`, at a `<` outside of any string, which is not read."""
    OPEN = auto()
    """The text ended, and only brackets are missing."""
    CUT = auto()
    """The text ended inside a string or a word or before a value, or is nested too deeply to go on."""


class Probe(Protocol):
    """The listener to the scanner's levels that may matter; False rules the value out."""

    @property
    def watching(self) -> bool:
        """Whether the container at hand matters."""

    def open(self, bracket: str) -> bool:
        """A container begins."""

    def close(self) -> bool:
        """The container ends."""

    def doubled(self, bracket: str) -> bool:
        """Return whether a container may begin where a key is due."""

    def key(self, key: str) -> bool:
        """A key of an object."""

    def key_begins(self, prefix: str) -> bool:
        """A part of a key."""

    def scalar(self, value: str, *, quoted: bool) -> bool:
        """A value that is no container."""

    def scalar_begins(self, prefix: str) -> bool:
        """A part of a string."""


class Unwatched:
    """A probe that lets everything pass."""

    watching = False

    def open(self, bracket: str) -> bool:
        """Pass."""
        del bracket
        return True

    def doubled(self, bracket: str) -> bool:
        """Pass."""
        del bracket
        return True

    def close(self) -> bool:
        """Pass."""
        return True

    def key(self, key: str) -> bool:
        """Pass."""
        del key
        return True

    key_begins = scalar_begins = key

    def scalar(self, value: str, *, quoted: bool) -> bool:
        """Pass."""
        del value, quoted
        return True


_UNWATCHED: Final[Probe] = Unwatched()


def scan_json(c: Cursor, probe: Probe = _UNWATCHED, opened: str = "") -> Waiting:
    """Read one object or list, whose bracket comes next or is `opened`; return its `End`."""
    return (yield from _Scan(c, probe).run(opened))


class _Scan:
    """The state between two tokens: the open brackets, and what may come next."""

    def __init__(self, c: Cursor, probe: Probe) -> None:
        self.c = c
        self.probe = probe
        self.stack: list[str] = []
        self.at_key = False  # the next string is a key
        self.fresh = True  # a value or a key may begin here
        self.colon_due = False
        self.word = ""  # a bare word, as far as it matters
        self.in_word = False  # the last character belongs to it
        self.stray = False  # something stands where a comma or a bracket was due

    def run(self, opened: str) -> Waiting:
        c = self.c
        if opened and not self._open(opened):
            return End.RULED_OUT
        while True:
            match = _STRUCTURE.search(c.text, c.pos)
            at = match.start() if match else len(c.text)
            if at > c.pos:
                start, c.pos = c.pos, at
                if fatal := self._bare(c.text[start:at]):
                    c.pos = start + fatal - 1  # what ruled it out may begin something itself
                    return End.RULED_OUT
            if match is None:
                if not (yield from more(c)):
                    return self._unclosed(End.OPEN)
                continue
            end = yield from self._token(match.group())
            if end is not None:
                return end

    def _token(self, char: str) -> Waiting:
        c = self.c
        if char in "#/":
            return (yield from self._comment(char))
        if char == ":" and not self.at_key:
            c.pos += 1  # in a bare word, as a URL's
            return None
        self.in_word = False
        if char in "\"'":
            return (yield from self._quote(char))
        if char == "<":
            return End.RULED_OUT if self.probe.watching else self._unclosed(End.TAG)
        c.pos += 1
        if char.isspace():
            return None
        if char in "{[":
            if len(self.stack) >= MAX_DEPTH:
                return End.CUT
            if self._open(char):
                return None
            c.pos -= 1
            return End.RULED_OUT
        if char in "}]":
            return self._close(char)
        return None if self._separator(char) else End.RULED_OUT

    def _unclosed(self, end: End) -> End:
        """Tell missing brackets from a cut: a value or a key that is due or has begun is not known."""
        open_word = bool(self.word) and _WHOLE_WORD.fullmatch(self.word) is None
        return End.CUT if self.fresh or self.at_key or open_word or self.stray else end

    # --- brackets and separators ---

    def _open(self, bracket: str) -> bool:
        odd = self.probe.watching and bool(self.stack) and (self.at_key or not self.fresh)
        if odd and not (self.fresh and self.probe.doubled(bracket)):
            return False  # no bracket can be a key
        if not self.probe.open(bracket):
            return False
        self.stray = self.stray or (bool(self.stack) and not self.fresh)
        self.stack.append(bracket)
        self.at_key = bracket == "{"
        self.fresh, self.word, self.colon_due = True, "", False
        return True

    def _close(self, bracket: str) -> End | None:
        wanted = "{" if bracket == "}" else "["
        if wanted not in self.stack[-2:]:
            return None  # one too many
        if not self._end_word():
            return End.RULED_OUT
        while True:  # twice where the inner bracket was forgotten
            if not self.probe.close():
                return End.RULED_OUT
            if self.stack.pop() == wanted:
                break
        self.at_key = self.fresh = self.colon_due = False
        return None if self.stack else End.CLOSED

    def _separator(self, char: str) -> bool:
        if char == ":":
            word, self.word = self.word, ""
            if word and not self.probe.key(word):
                return False
            self.at_key, self.fresh, self.colon_due = False, True, False
            return True
        if not self._end_word():
            return False
        self.at_key = bool(self.stack) and self.stack[-1] == "{"
        self.fresh = True
        return True

    # --- words, strings, comments ---

    def _bare(self, text: str) -> int:
        """Take a piece of a bare word; return the characters after which it is ruled out, or 0."""
        watching = self.probe.watching
        if not self.in_word and not self.fresh:
            self.stray = True
            return int(
                watching and (self.at_key or self.colon_due)
            )  # a second word where a colon or a comma was due
        known = len(self.word) if self.in_word else 0
        self.word = self.word[:known] + text[: MAX_WORD_CHARS - known]
        self.in_word, self.fresh = True, False
        fault = _first_fault(self.probe.key_begins, self.word, known) if watching and self.at_key else 0
        return fault - known if fault else 0

    def _end_word(self) -> bool:
        """End a bare word at a comma or a bracket, where it is a value."""
        word, self.word = self.word, ""
        if not self.probe.watching:
            return True
        if self.at_key and (word or self.colon_due):
            return False  # a key without a value
        return not word or self.probe.scalar(word, quoted=False)

    def _quote(self, quote: str) -> Waiting:
        self.c.pos += 1
        if not self.fresh:
            self.stray = True
            return None  # an apostrophe, or an unescaped quote inside a string
        self.fresh = False
        watching, at_key = self.probe.watching, self.at_key
        text = yield from self._string(
            quote, (self.probe.key_begins if at_key else self.probe.scalar_begins) if watching else None
        )
        if isinstance(text, End):
            return text
        self.colon_due = at_key
        if not watching:
            return None
        return (
            None
            if (self.probe.key(text) if at_key else self.probe.scalar(text, quoted=True))
            else End.RULED_OUT
        )

    def _string(self, quote: str, begins: Callable[[str], bool] | None) -> Waiting:
        """Read to the end of a string; return its text as far as it matters, or an `End`."""
        c, end, value, size = self.c, _STRING_END[quote], "", 0
        while True:
            match = end.search(c.text, c.pos)
            at = match.start() if match else len(c.text)
            if size <= MAX_WORD_CHARS:
                value += c.text[c.pos : min(at, c.pos + MAX_WORD_CHARS)]
                if begins is not None and "\\" not in value and (fatal := _first_fault(begins, value, size)):
                    c.pos += fatal - size - 1
                    return End.RULED_OUT
            size += at - c.pos
            c.pos = at
            if match is None:
                if not (yield from more(c)):
                    return End.CUT
                continue
            c.pos += 1
            if match.group() == "\\":
                if not (yield from more(c)):
                    return End.CUT
                value += "\\" + c.text[c.pos] if size <= MAX_WORD_CHARS else ""
                size += 2
                c.pos += 1
            elif quote == '"' or (yield from self._closes_single()):
                return _unescaped(value) if "\\" in value else value
            else:
                value += quote
                size += 1

    def _closes_single(self) -> Waiting:
        """Return whether a single quote ends its string or is an apostrophe: what follows tells."""
        following = yield from skip(self.c)
        return not following or following in _AFTER_STRING

    def _comment(self, char: str) -> Waiting:
        """Read over a comment, or over a character that begins none."""
        c = self.c
        c.pos += 1
        if self.in_word:
            return None
        if char == "/":
            following = yield from peek(c)
            if following not in {"*", "/"}:
                return End.RULED_OUT if self._bare(char) else None
            c.pos += 1
            char = following
        yield from until(c, ("*/",) if char == "*" else ("\n",))
        return None


def _first_fault(begins: Callable[[str], bool], text: str, known: int) -> int:
    """Find the length of the shortest beginning that is refused, 0 if there is none.

    Where the pieces were cut must not matter.
    """
    if begins(text):
        return 0
    return next((size for size in range(known + 1, len(text)) if not begins(text[:size])), len(text))


def _unescaped(text: str) -> str:
    try:
        return str(loads(f'"{text}"'))
    except ValueError:
        return text
