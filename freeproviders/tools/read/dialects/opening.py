"""The openers of calls, and the reader for each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from freeproviders.tools.read.cursor import (
    TEXT,
    After,
    Cursor,
    RawCall,
    Recogniser,
    Waiting,
    literal,
    peek,
    skip,
    word,
)
from freeproviders.tools.read.dialects import bare, code, ending, families, minimax, react, result, words
from freeproviders.tools.read.dialects.pythonic import NAME_START
from freeproviders.tools.read.dialects.registry import READERS
from freeproviders.tools.read.dialects.turns import TURNS, dropped, harmony, leaked
from freeproviders.tools.read.doubt import (
    ANNOUNCED,
    INVENTED,
    MARKED,
    SPECIAL,
    SQUARE,
    SQUARE_BEGINS,
    TAG,
    UNREADABLE,
)
from freeproviders.tools.read.thinking import CLOSERS, LEADING, TEMPLATE, THINKING
from freeproviders.tools.toolbox import Toolbox

_WORDS: Final[Mapping[str, Callable[[Cursor, Toolbox, str], Recogniser]]] = {
    words.OPENER: words.functools,
    "to=": harmony,
    "commentary to=": harmony,
    "analysis": leaked,
    "assistantfinal": leaked,
}
"""Words that open a call or the header of a message, at the very beginning of an answer."""
_HEAD: Final = 3
_HEADS: Final = frozenset(word[:_HEAD] for word in (*_WORDS, react.OPENER))
"""What those and the words of ReAct begin with."""
_TOOL_READERS: Final = {
    **READERS,
    **dict.fromkeys(result.OPENERS, result.result),
    **dict.fromkeys(minimax.OPENERS, minimax.minimax),
}
_LEADING: Final = dict.fromkeys(families.LEADING, dropped)
_READERS: Final = {**_TOOL_READERS, **TURNS, **_LEADING}


def _by_bracket(*tables: Iterable[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the texts of some tables by their first character, a bracket, and their second."""
    found: dict[str, dict[str, tuple[str, ...]]] = {bracket: {} for bracket in "<[]"}
    for text in dict.fromkeys(text for table in tables for text in table):
        if text[0] in found:
            same = found[text[0]]
            same[text[1]] = (*same.get(text[1], ()), text)
    return found


_MARKS: Final = {
    (tools, at_start): _by_bracket(
        _TOOL_READERS if tools else (),
        TURNS,
        THINKING,
        *((LEADING, _LEADING, CLOSERS) if at_start else ()),
    )
    for tools in (False, True)
    for at_start in (False, True)
}
"""The literal marks, with and without tools, at the beginning of an answer and elsewhere."""


def _openings(marks: Mapping[str, tuple[str, ...]]) -> str:
    """Return a pattern for the two characters behind the bracket of some marks, or as many as came."""
    thirds = {second: {text[2] for text in texts} for second, texts in marks.items()}
    return "|".join(
        rf"{re.escape(second)}(?:[{re.escape(''.join(sorted(third)))}]|\Z)"
        for second, third in sorted(thirds.items())
    )


def _beginning(text: str) -> str:
    """Return a pattern for a text, or for as much of it as has come."""
    return text if len(text) == 1 else rf"{text[0]}(?:\Z|{_beginning(text[1:])})"


_LOOKED_AT: Final = 2
"""How many characters behind a bracket the patterns look at."""
_TICKS: Final = r"`(?:``|`?\Z)"
"""Three backticks, or the first of them. Its first letter is one, which makes the search fast."""

OPENER: Final = re.compile(
    rf"<(?={_openings(_MARKS[True, False]['<'])}|\Z)"
    rf"|\{{(?=\s*(?:{bare.KEY_START.pattern}|\Z))"
    rf"|\[(?=\s*(?:\{{|{NAME_START.pattern}|\Z))"
    rf"|\](?=<|\Z)|A(?=\Z|{_beginning(react.OPENER[1:])})|{_TICKS}"
)
"""Finds where a call, reasoning or a block of code may begin; everything before it is text."""
THINK_OPENER: Final = re.compile(
    rf"<(?={_openings(_MARKS[False, False]['<'])}|\Z)"
    rf"|\[(?={_openings(_MARKS[False, False]['['])}|\Z)|{_TICKS}"
)
"""The same where no tools are bound."""
BEHIND_OPENER: Final = re.compile(
    rf"{OPENER.pattern}|<(?=[A-Za-z|\uff5c])|\[(?=[A-Z]|\Z)|\n(?={ending.BEFORE_LABEL}(?:[A-Za-z]|\Z))"
)
"""The same behind a call, where a result or a turn may begin as well."""
BEGINNINGS: Final = {False: "<[`act", True: "<[`{acft"}
"""The characters with which something may begin right at the start, without and with tools."""

_MAX_INSIDE: Final = 200
_INSIDE = re.compile(r"[^<>\n]*")
_SQUARE_INSIDE = re.compile(r"[A-Z_ ]*")
_BLANKS = re.compile(r"[ \t]*")
_WORD = re.compile(r"[ \t]*\w")
_NEXT_WORD = re.compile(r"[ \t]+[a-z]")
"""What goes on with a sentence in which markup stands: a word without a blank before it does not."""
_SPECIAL = re.compile(r"\[[A-Z]|</?[|\uff5c]|\]")
_PYTHON = re.compile(r"\[\s*[\w.]+\s*\(")


@dataclass(frozen=True, slots=True)
class Place:
    """The place of an opener in the answer.

    `at_start`: no text has been said before it, or none since a call; `line_start`: only white
    space stands before it on its line. `called`: there has been a call, `behind`: right before it.
    `inline`: prose stands before it on its line, and a call within a line of prose is only shown.
    """

    at_start: bool
    line_start: bool
    called: bool
    behind: bool = False
    inline: bool = False


def opening(c: Cursor, box: Toolbox, place: Place) -> Recogniser:
    """Read on at an opener."""
    char = c.text[c.pos]
    if char == "{":
        return (yield from (_objects(c, box) if place.inline else bare.bare(c, box, at_start=place.at_start)))
    if char in "<[]":
        return (yield from markup(c, box, place))
    if char == "A" and place.line_start and (yield from literal(c, (react.OPENER,))):
        return _doubted((yield from react.react(c, box)), ANNOUNCED, place)
    if place.at_start and (opener := (yield from literal(c, tuple(_WORDS)))):
        return _doubted((yield from _WORDS[opener](c, box, opener)), UNREADABLE, place)
    if place.at_start and box and char.isalpha() and not place.behind:
        return (yield from bare.lines(c, box))
    if char == "`":
        inner = markup(c, box, replace(place, called=False))
        return (
            yield from bare.fenced(c, box, at_start=place.at_start, line_start=place.line_start, markup=inner)
        )
    if place.called and char != "A":
        return (yield from ending.label(c))
    c.pos += 1
    return TEXT


def words_may_open(text: str, at: int, box: Toolbox) -> bool:
    """Return whether the words with which an answer begins may open a call, as far as they have come."""
    head = text[at : at + _HEAD]
    return len(head) < _HEAD or not head.isalnum() or head in _HEADS or code.may_begin(head, box)


def sample(c: Cursor, opener: re.Pattern[str], ticks: int) -> Recogniser:
    """Read on at an opener right behind backticks: a sample of code in a line, which is text."""
    char = c.text[c.pos]
    c.pos += 1
    if char == "{" or (char == "[" and opener is not THINK_OPENER):
        following = yield from skip(c)
    else:
        size = len(react.OPENER) - 1 if char == react.OPENER[0] else _LOOKED_AT
        while len(c.text) - c.pos < size and not c.exhausted:
            yield None
        following = c.text[c.pos : c.pos + size]
    # The search may have stopped here just because nothing had followed yet.
    begins = following and opener.match(char + following)
    return After(text=True, fence=ticks, inline=True) if begins else TEXT


def inside(c: Cursor) -> Recogniser:
    """Read the beginning of an answer whose reasoning the model's template has opened.

    Some models open it once more themselves.
    """
    yield from skip(c)
    opener = yield from literal(c, tuple(THINKING))
    if opener:
        return After(text=False, thinking=THINKING[opener])
    c.rewind(c.held())
    return After(text=False, thinking=THINKING["<think>"], closers=TEMPLATE)


def markup(c: Cursor, box: Toolbox, place: Place) -> Recogniser:
    """Read on at a bracket."""
    bracket = c.text[c.pos]
    while c.pos + 1 >= len(c.text) and not c.exhausted:
        yield None
    marks = _MARKS[bool(box), place.at_start][bracket].get(c.text[c.pos + 1 : c.pos + 2], ())
    if place.called and bracket == "[":
        marks = (*marks, *ending.SQUARES)
    mark = (yield from literal(c, marks)) if marks else ""
    if mark in THINKING or mark in LEADING:
        return After(text=False, thinking=THINKING.get(mark) or LEADING[mark])
    if mark in CLOSERS:
        c.rewind(mark)
        return After(text=False, thinking=mark)
    if mark in families.ENDS and (place.behind or place.at_start):
        return ending.DROPPED
    if mark in _READERS:
        reading = _READERS[mark](c, box, mark)
        inline = place.inline and not _SPECIAL.match(mark)
        after = yield from (_unless_it_goes_on(c, reading, _NEXT_WORD) if inline else reading)
        if mark in result.OPENERS:
            invents = after.text and place.called
            return ending.ENDS if invents else _doubted(after, INVENTED, place)
        return _doubted(after, UNREADABLE if mark in families.WEAK else MARKED, place)
    if mark:
        return ending.square(mark, directly=place.behind)
    if place.called and bracket == "<":
        return (yield from ending.tag(c, directly=place.behind))
    start = c.tell()
    c.pos += 1
    if not box:
        return TEXT
    if bracket == "[":
        reading = bare.square(c, box, at_start=place.at_start)
        after = yield from (_unless_it_goes_on(c, reading, _WORD) if place.inline else reading)
        if after.text and place.at_start and not after.doubt:
            return (yield from _odd_square(c, start))
        return after
    return (yield from _odd_tag(c, box)) if bracket == "<" and place.at_start else TEXT


def _objects(c: Cursor, box: Toolbox) -> Recogniser:
    """Read objects within a line of prose; where it goes on behind them, they are only shown."""
    after: After
    calls: list[RawCall]
    found: list[RawCall] = []
    while True:
        after, calls = yield from _collected(bare.bare(c, box, at_start=False))
        if not calls or after.text:
            return TEXT
        found += calls
        following = yield from skip(c, _BLANKS)
        if following == ",":
            c.pos += 1
            following = yield from skip(c, _BLANKS)
        if following != "{":
            break
    if _WORD.match(following) or c.truncated:
        return TEXT
    yield from found
    return after


def _unless_it_goes_on(c: Cursor, reading: Recogniser, goes_on: re.Pattern[str]) -> Recogniser:
    """Read a call within a line of prose; where the line goes on behind it, it is only shown."""
    after: After
    calls: list[RawCall]
    after, calls = yield from _collected(reading)
    if not calls or after.text:
        return after
    end = c.tell()
    following = yield from skip(c, _BLANKS)
    if goes_on.match(f"{c.since(end)}{following}") or (c.truncated and not calls[-1].fault):
        return TEXT  # of one that is not whole itself, nobody asks how its line goes on
    yield from calls
    return after


def _collected(reading: Recogniser) -> Waiting:
    """Run a recogniser; return how it goes on, and the calls that it found."""
    calls: list[RawCall] = []
    while True:
        try:
            step = next(reading)
        except StopIteration as stop:
            return stop.value, calls
        if step is None:
            yield None
        else:
            calls.append(step)


def _doubted(after: After, why: str, place: Place) -> After:
    return replace(after, doubt=why) if after.text and place.at_start else after


def _odd_tag(c: Cursor, box: Toolbox) -> Recogniser:
    """Read on behind a `<` with which the answer begins, and which opens nothing that is known."""
    inside = yield from word(c, _INSIDE, _MAX_INSIDE)
    if not inside or (yield from peek(c)) != ">":
        return TEXT
    if SPECIAL.match(inside):
        return After(text=True, doubt=MARKED)
    if TAG.match(inside) or box.match(inside.split()[0]) is not None:
        return After(text=True, doubt=UNREADABLE)
    return TEXT


def _odd_square(c: Cursor, start: int) -> Recogniser:
    """Read on behind a `[` with which the answer begins, and which opens nothing that is known."""
    if _PYTHON.match(c.since(start)):
        return After(text=True, doubt=UNREADABLE)
    if not SQUARE_BEGINS.fullmatch(c.since(start)):
        return TEXT
    yield from word(c, _SQUARE_INSIDE, _MAX_INSIDE)
    if (yield from peek(c)) == "]":
        c.pos += 1
    return After(text=True, doubt=MARKED) if SQUARE.fullmatch(c.since(start)) else TEXT
