"""The answer's text, piece by piece, becomes text, reasoning and calls. No I/O.

Text that cannot begin a call is given out in the same feed; what may be one is held until that is
known. Where the pieces are cut does not matter. Time is linear in the text: ordinary text is
searched by one regular expression, and nothing that was held is read twice (but for a bounded
number of calls whose end was forgotten).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from freeproviders.tools.read.cursor import CUT_OFF, MAX_HELD_CHARS, After, Cursor, RawCall, Recogniser
from freeproviders.tools.read.dialects.bare import NO_KEY, closing
from freeproviders.tools.read.dialects.opening import (
    BEGINNINGS,
    BEHIND_OPENER,
    OPENER,
    THINK_OPENER,
    Place,
    inside,
    opening,
    sample,
    words_may_open,
)
from freeproviders.tools.read.dialects.registry import READERS
from freeproviders.tools.read.doubt import ANNOUNCED, CERTAIN, names_tool
from freeproviders.tools.read.shown import CONTEXT_CHARS, announces_example, goes_on
from freeproviders.tools.read.thinking import THINKING
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import Reasoning, Text, Tool

Piece = Text | Reasoning | RawCall

_MARKS: Final = tuple(READERS)
"""What calls begin with, but for those in JSON, Python and plain words."""
_NESTED = re.compile(r"[\"']\s*:\s*\[?\s*\Z")
_LINE_START = re.compile(r"(?:\A|\n)[ \t]*\Z")
_SPACE = re.compile(r"\s*")
_SEPARATORS = re.compile(r"[\s,;]*")


class Parser:
    """Reads one answer.

    Args:
        tools: the bound tools; without any, only reasoning is told from text.
        thinking: the answer begins inside the reasoning, as with models whose template opens it:
            everything up to `</think>` is reasoning. Without it, a `</think>` that nothing opened
            stays in the text: a stream does not show beforehand that one will come.
        keep_thinking: reasoning stays in the text, tags and all; a call in it is none.
        doubts: the text is an answer, of which it matters what is meant. One that begins as a call
            does, in no form that is known, comes as one call with a fault, in place of its text; it
            is held until its end. A call that prose only shows is text. Without it, everything that
            could be a call somewhere is one.
    """

    def __init__(
        self,
        tools: Toolbox | Iterable[Tool] = (),
        *,
        thinking: bool = False,
        keep_thinking: bool = False,
        doubts: bool = False,
    ) -> None:
        self._box = tools if isinstance(tools, Toolbox) else Toolbox(tools)
        calls = bool(self._box)
        self._opener = OPENER if calls else THINK_OPENER
        self._cursor = Cursor()
        self._beginnings = BEGINNINGS[calls]
        self._reading: Recogniser | None = inside(self._cursor) if thinking and not keep_thinking else None
        self._keep_thinking = keep_thinking
        self._thinking = ""
        """Everything is reasoning up to this, or up to one of these."""
        self._thinking_ends: tuple[str, ...] = ()
        self._closer = THINKING["<think>"] if thinking and keep_thinking else ""
        """Everything is text up to this."""
        self._inline = False  # or to the end of the line
        self._seen = ""  # the end of the last piece, which may be the closer's beginning
        self._swallow = 0  # the number of backticks of a fence to drop
        self._gap: re.Pattern[str] | None = _SPACE  # held at the beginning, and after calls
        self._dropping = False  # and dropped after reasoning
        self._recent: list[str] = []  # the text since the last call, of which only the end matters
        self._shown = False  # the call at hand is only shown
        self._shows = False  # a call was only shown, and nothing was said since
        self._words: list[str] = []
        self._out: list[Piece] = []
        self._plain = False  # nothing is held and nothing special is going on
        self._fresh = not thinking  # nothing has come
        self._called = False
        self._doubts = doubts and calls
        self._doubt = ""  # why what is said is held
        self.inside = thinking
        """Whether the answer has begun inside the reasoning, and nothing has shown yet that it did."""
        self.said = False
        """Whether there has been any text."""
        self.stopped = False
        """Whether the answer has ended before its end: the model went on with a result or a turn."""

    def feed(self, text: str) -> list[Piece]:
        """Take the next piece of the answer; return what is known now."""
        if not text:
            return []
        return [Text(text)] if self.passes(text) else self._drive(text)

    def passes(self, text: str) -> bool:
        """Take a piece if it is ordinary text, to go out as it is; False leaves it to `feed`."""
        begins = self._fresh and text[:1].isalpha() and not words_may_open(text, 0, self._box)
        if not (self._plain or begins) or self._opener.search(text) is not None:
            return False
        if begins:
            self._fresh, self._plain, self.said, self._gap = False, True, True, None
        self._recent.append(text)
        return True

    def close(self, *, truncated: bool = False) -> list[Piece]:
        """Take the end of the answer, `truncated` by a limit or not; return what was held."""
        if self.stopped or self._plain:
            return []
        self._cursor.ended = True
        self._cursor.truncated = truncated
        opened = self._open_call() if truncated and self._doubts else ""
        out = self._drive("")
        if opened and out == [Text(opened)]:
            return [RawCall("", source=opened, fault=CUT_OFF)]
        held = self._cursor.held() + self._cursor.text[self._cursor.pos :]
        self._cursor.commit()
        if self._doubt:
            self._words.append(held)
            self._settle()
            return [*out, *self._out]
        if held and self._thinking:
            out.append(Reasoning(held))
        elif held and not self.said and not out and self._gap is _SPACE:
            out.append(Text(held))
        return out

    def _open_call(self) -> str:
        """Return the text that is held since it has begun as a call that is meant; "" for any other."""
        if self._reading is None or self._doubt:
            return ""
        held = self._cursor.held() + self._cursor.text[self._cursor.pos :]
        return held if held.startswith(_MARKS) and not self._only_shows() else ""

    def _drive(self, text: str) -> list[Piece]:
        if self.stopped:
            return []
        c = self._cursor
        c.feed(text)
        self._fresh = False
        while not self.stopped and self._advance(c):
            pass
        self._flush()
        out, self._out = self._out, []
        self._plain = not (
            self._reading
            or self._thinking
            or self._closer
            or self._gap
            or self._swallow
            or self._doubt
            or self.stopped
        )
        return out

    def _advance(self, c: Cursor) -> bool:
        """Do the next thing; False if there is nothing to do with the text at hand."""
        if self._reading is not None:
            return self._read(c, self._reading)
        if c.pos >= len(c.text):
            return False
        if self._thinking:
            return self._think(c)
        if self._closer:
            return self._skip_to_closer(c)
        return self._search(c)

    # --- where a call may begin ---

    def _search(self, c: Cursor) -> bool:
        if self._gap is not None:
            match = self._gap.match(c.text, c.pos)
            c.pos = match.end() if match else c.pos
            if self._dropping:
                c.commit()
            if c.pos >= len(c.text):
                return False
            char = c.text[c.pos]
            closes = char == "`" and self._swallow
            behind = self._called and self._gap is _SEPARATORS
            if not closes and (behind or self._may_open(c, char)):
                place = Place(not self.said, line_start=True, called=self._called, behind=behind)
                self._reading = opening(c, self._box, place)
                return True
        match = self._opener.search(c.text, c.pos)
        while match is not None and self._is_data(c, match.start()):
            match = self._opener.search(c.text, match.end())
        if match is None:
            c.pos = len(c.text)
            self._say(c)
            return False
        if match.start() > c.pos:
            c.pos = match.start()
            self._say(c)
        char = match.group()[0]
        tail = self._before()
        if char == "`" and self._swallow:
            self._reading = closing(c, self._swallow)
        elif char not in "`\nA" and tail.endswith("`"):
            self._reading = sample(c, self._opener, len(tail) - len(tail.rstrip("`")))
        elif char in "{[" and _NESTED.search(tail):
            c.pos += 1  # a part of a larger document
            self._say(c)
        else:
            line_start = _LINE_START.search(tail) is not None
            inline = self._doubts and self.said and not line_start
            place = Place(not self.said, line_start, self._called, inline=inline)
            self._reading = opening(c, self._box, place)
        return True

    def _may_open(self, c: Cursor, char: str) -> bool:
        """Return whether something may begin where no text has been said yet, or none since a call."""
        if self._box and not self.said and char.isalpha():
            return words_may_open(c.text, c.pos, self._box)
        return char in self._beginnings

    def _is_data(self, c: Cursor, at: int) -> bool:
        """Return whether an object that is no call begins here, or a sample behind a backtick."""
        before = c.text[at - 1] if at > c.pos else self._recent[-1][-1:] if self._recent else ""
        return before != "`" and NO_KEY.match(c.text, at) is not None

    def _before(self) -> str:
        """Return the end of the text since the last call."""
        text = "".join(self._recent)[-CONTEXT_CHARS:]
        self._recent[:] = [text] if text else []
        return text

    def _only_shows(self) -> bool:
        """Return whether the call that was read is only shown by the text before it."""
        if not self._doubts:
            return False
        text = self._before()
        if self._shows and (not text.strip() or goes_on(text)):
            return True
        self._shows = False
        return announces_example(text)

    def _read(self, c: Cursor, reading: Recogniser) -> bool:
        try:
            step = next(reading)
        except StopIteration as stop:
            self._reading = None
            after = stop.value
            if not self._shown:
                self._go_on(c, after)
                return True
            self._shown, self._shows = False, True
            self._go_on(c, replace(after, text=True))
            self._recent.clear()
            return True
        if step is None:
            return False
        if self._shown or self._only_shows():
            self._shown = True
            return True
        self._doubt = "" if self._doubt == ANNOUNCED else self._doubt
        self._settle()
        self._out.append(step)
        c.commit()
        self._called, self._opener = True, BEHIND_OPENER
        return True

    def _go_on(self, c: Cursor, after: After) -> None:
        if after.ends:
            self.stopped = True
            c.commit()
            return
        if after.thinking and self._keep_thinking:
            after = After(text=True, until=after.thinking)
        if after.text:
            self._seen = (
                c.held()[1 - len(after.until) :] if after.until else ""
            )  # what ruled the call out may have been inside the closer
            self._doubt = after.doubt if self._doubts and not self.said else self._doubt
            self._say(c)
            self._closer, self._inline = after.until or "`" * after.fence, after.inline
            return
        c.commit()
        self._recent.clear()
        self.inside = self.inside and bool(after.closers)  # else the model has opened it itself
        self._thinking = after.thinking
        self._thinking_ends = after.closers or (after.thinking,)
        self._gap, self._dropping = _SEPARATORS, False
        self._swallow = 0 if after.closes else after.fence or self._swallow

    # --- where none begins ---

    def _think(self, c: Cursor) -> bool:
        found = [(at, mark) for mark in self._thinking_ends if (at := c.text.find(mark, c.pos)) >= 0]
        at, mark = min(found, default=(-1, ""))
        end = at if found else len(c.text) - max(_overlap(c.text, mark) for mark in self._thinking_ends)
        if end > c.pos:
            self._flush()
            self._out.append(Reasoning(c.text[c.pos : end]))
            c.pos = end
        if at >= 0:
            c.pos += len(mark)
            self._thinking, self.inside = "", False
            self._gap, self._dropping = _SPACE, True
        c.commit()
        return at >= 0

    def _skip_to_closer(self, c: Cursor) -> bool:
        """Give out text up to the closer.

        The closer may have begun in an earlier piece; that part of it has been given out already.
        """
        start, known = c.pos, len(self._seen)
        reach = len(self._closer) - 1
        seam = self._seen + c.text[start : start + reach]
        at = seam.find(self._closer)
        end = (
            at - known + len(self._closer) + start
            if at >= 0
            else c.text.find(self._closer, start) + len(self._closer)
        )
        found = at >= 0 or end >= len(self._closer)
        if self._inline and (line_end := c.text.find("\n", start, end if found else len(c.text))) >= 0:
            end, found = line_end, True
        c.pos = end if found else len(c.text)
        self._seen = "" if found else (self._seen + c.text[max(start, len(c.text) - reach) :])[-reach:]
        if found:
            self._closer, self.inside = "", False
        self._say(c)
        return found

    # --- out ---

    def _say(self, c: Cursor) -> None:
        """Give out what is held as text."""
        text = c.held()
        c.commit()
        if text:
            self._words.append(text)
            self._recent.append(text)
            self.said = True
            self._gap, self._dropping = None, False

    def _flush(self) -> None:
        if self._words and not self._doubt:
            self._out.append(Text("".join(self._words)))
            self._words.clear()

    def _settle(self) -> None:
        """Give out all words; those that seem to be meant as a call are a call that cannot be read."""
        doubt, self._doubt = self._doubt, ""
        text = "".join(self._words)
        if doubt and len(text) <= MAX_HELD_CHARS and (doubt in CERTAIN or names_tool(text, self._box)):
            self._words.clear()
            self._out.append(RawCall("", source=text, fault=doubt, doubtful=True))
        self._flush()


def _overlap(text: str, closer: str) -> int:
    """The length of the longest end of the text with which the closer begins."""
    return next(
        (size for size in range(min(len(closer) - 1, len(text)), 0, -1) if closer.startswith(text[-size:])), 0
    )
