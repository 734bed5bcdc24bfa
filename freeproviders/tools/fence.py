"""Text from outside made unable to open or close a call, a result or a turn.

Documents, results, descriptions and what users type come from outside. The one character by which a
piece of them could act where it stands - the `<` of a tag that a reader or a template knows, the
bracket of a call to a bound tool - becomes a look-alike that a model reads as before. All else is
left as it is, and what was replaced is put back in the calls and the text that come out
(`freeproviders.wire.lookalikes`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

from freeproviders.tools.read.cursor import RawCall
from freeproviders.tools.read.dialects.registry import READERS
from freeproviders.tools.read.dialects.result import OPENERS as RESULTS
from freeproviders.tools.read.markup import markup
from freeproviders.tools.read.parser import Parser
from freeproviders.tools.read.shapes import LIST_KEYS, NAME_KEYS
from freeproviders.tools.read.thinking import CLOSERS, LEADING, THINKING
from freeproviders.tools.toolbox import Toolbox
from freeproviders.wire.lookalikes import LookAlikes, Originals, originals

_OPENERS: Final = (
    *READERS,
    *THINKING,
    *LEADING,
    *CLOSERS,
    *(f"{opener}{end}" for opener in RESULTS for end in (">", "s>")),
)
_MARKUP: Final = markup(_OPENERS)
_STRUCTURE = re.compile(r"[{\[(<:]")
_WHOLE = re.compile(r".+", re.DOTALL)
_PIECE = re.compile(r"[^`\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")
_BEGINS = re.compile(r"\s*[{\[`]")
_TAG = re.compile(r"</?[A-Za-z_][\w:.-]*")
_MAX_ROUNDS: Final = 4
_SEAM_CHARS: Final = 256
"""How near to the seam of two texts a tool is named that a call split over both would call."""
_MAX_PARTS: Final = 4
_NO_TOOLS: Final = Toolbox(())


@lru_cache(maxsize=64)
def markup_of(*templates: str) -> re.Pattern[str]:
    """The pattern of all markup, with that of a prompt's own templates."""
    tags = [f"{tag}>" for template in templates for tag in _TAG.findall(template)]
    notes = [template.partition("{")[0].strip() for template in templates]
    return markup((*_OPENERS, *tags), notes=[note for note in notes if note.endswith("]")])


class Fence:
    """The fence of one request.

    Args:
        texts: the texts from outside, in the order of the conversation. They are also read as one,
            without line breaks and backticks, since a model may repeat them so.
        box: the tools that they must not call.
        apart: more such texts, each by itself: those of tools.
        pattern: finds the first characters of markup.
    """

    def __init__(
        self,
        texts: Iterable[str] = (),
        box: Toolbox | None = None,
        *,
        apart: Iterable[str] = (),
        pattern: re.Pattern[str] = _MARKUP,
    ) -> None:
        self._box = box or _NO_TOOLS
        self._pattern = pattern
        texts, apart = [text for text in texts if text], [*apart]
        self._input = (*texts, *apart)
        self._seen = {*self._input}
        self._changed: dict[str, str] = {}
        self._take(texts)
        for text in apart:
            self._take([text])

    def __call__(self, text: str) -> str:
        """Return a text with its fence; one that is not known yet is read by itself."""
        if text not in self._seen:
            self._seen.add(text)
            self._take([text])
        return self._changed.get(text, text)

    def changes(self, texts: Iterable[str]) -> bool:
        """Return whether any of some texts was changed."""
        return bool(self._changed) and any(text in self._changed for text in texts)

    def value(self, value: Any) -> Any:
        """Put the fence into all texts of a JSON value."""
        match value:
            case str():
                return self(value)
            case Mapping():
                return {self(key): self.value(item) for key, item in value.items()}
            case list() | tuple():
                return [self.value(item) for item in value]
        return value

    @property
    def originals(self) -> Originals | None:
        """What puts the originals back; None where nothing was changed."""
        return originals(self._look_alikes.table) if self._changed else None

    @cached_property
    def _look_alikes(self) -> LookAlikes:
        return LookAlikes(self._input)

    def _take(self, texts: Sequence[str]) -> None:
        if not any(map(_STRUCTURE.search, texts)):
            return  # only such characters are ever replaced
        reading = _Reading(texts, self._box, self._pattern, self._look_alikes)
        for text, places in reading.places().items():
            self._changed[text] = self._look_alikes.put(text, places)


def fence(text: str, box: Toolbox | None = None) -> str:
    """Neutralise the markup in one text; with `box`, also what would be a call to its tools."""
    return Fence([text], box)(text)


def is_harmless(texts: tuple[str, ...], box: Toolbox, pattern: re.Pattern[str] = _MARKUP) -> bool:
    """Return whether texts need no fence, each by itself: no markup, and no call to the tools."""
    return not any(
        pattern.search(text)
        or pattern.search("".join(_PIECE.findall(text)))
        or (text not in box.names and (_BEGINS.match(text) or box.may_be_named(text)))
        for text in texts
    )


def escape(json_text: str) -> str:
    """Escape the markup in the strings of a JSON text, which decodes to what it was."""
    return _MARKUP.sub(lambda match: f"\\u{ord(match.group()):04x}", json_text)


# --- what could act -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _View:
    """One way in which a model may repeat some texts.

    `starts` are the beginnings of the pieces of which it is made, `origins` the text and the place
    from which each of them comes.
    """

    text: str
    starts: Sequence[int]
    origins: Sequence[tuple[int, int]]

    def origin(self, at: int) -> tuple[int, int]:
        """The text, and the place in it, of a place in the view."""
        piece = bisect_right(self.starts, at) - 1
        text, start = self.origins[piece]
        return text, start + at - self.starts[piece]


class _Reading:
    """Finds the places in some texts whose characters are to be replaced."""

    def __init__(
        self, texts: Sequence[str], box: Toolbox, pattern: re.Pattern[str], look_alikes: LookAlikes
    ) -> None:
        self._texts = texts
        self._now = [*texts]
        """The texts with what was found replaced, each character by one."""
        self._box = box
        self._pattern = pattern
        self._look_alikes = look_alikes
        self._places: dict[str, set[int]] = {}

    def places(self) -> dict[str, set[int]]:
        """The places in each text that holds any."""
        every = range(len(self._now))
        for index in every:
            self._mark_all(self._pattern, self._view([index]))
        bare = self._view(every, _PIECE)
        self._mark_all(self._pattern, bare)
        if self._box:
            for index in every:
                if _BEGINS.match(self._now[index]) or self._box.may_be_named(self._now[index]):
                    self._find_calls([index])
            if len(self._now) > 1 and self._box.may_be_named(bare.text):
                self._find_calls(every)
                for index in every[:-1]:
                    self._find_calls_over_seams(index)
        return self._places

    def _view(self, indexes: Iterable[int], pieces: re.Pattern[str] = _WHOLE) -> _View:
        texts, starts, origins, size = [], [], [], 0
        for index in indexes:
            for match in pieces.finditer(self._now[index]):
                texts.append(match.group())
                starts.append(size)
                origins.append((index, match.start()))
                size += match.end() - match.start()
        return _View("".join(texts), starts, origins)

    def _find_calls(self, indexes: Sequence[int]) -> None:
        """Mark what the parser would take for calls if the model repeated some texts as one."""
        view = self._view(indexes)
        self._find_calls_in(view)
        bare = self._view(indexes, _PIECE)
        if bare.text != view.text:
            self._find_calls_in(bare)

    def _find_calls_over_seams(self, first: int) -> None:
        """Mark calls that are split over a text and the next ones, and stand at a line's beginning.

        Read behind all the texts before them, `get_weather(...)` would stand within a line.
        """
        seam, following = self._now[first][-_SEAM_CHARS:], first
        for following in range(first + 1, min(first + _MAX_PARTS, len(self._now))):
            seam += self._now[following][:_SEAM_CHARS]
            if len(self._now[following]) > _SEAM_CHARS:
                break
        if self._box.may_be_named(seam):
            self._find_calls(range(first, following + 1))

    def _find_calls_in(self, view: _View) -> None:
        """Mark what the parser would take for calls in a view.

        The bracket right before a tool's name is enough nearly always. What is still a call is
        looked for a bounded number of times, with more and more characters replaced: the time is
        linear, and in the end there is no structure left that a call could have.
        """
        text = self._mark_all(_openers(self._box.names), view)
        for rounds in range(_MAX_ROUNDS):
            sources = self._calls_in(text)
            if not sources:
                return
            places = _places_in(text, sources, whole=rounds > 1) if rounds < _MAX_ROUNDS - 1 else []
            places = places or _places_in(text, [text], whole=True)
            self._mark(view, places)
            text = self._replaced(text, places)

    def _calls_in(self, text: str) -> list[str]:
        parser = Parser(self._box)
        pieces = (*parser.feed(text), *parser.close())
        return [piece.source for piece in pieces if isinstance(piece, RawCall)]

    def _mark_all(self, pattern: re.Pattern[str], view: _View) -> str:
        """Mark all matches in a view; return its text with them replaced."""
        places = [match.start(match.lastgroup or 0) for match in pattern.finditer(view.text)]
        self._mark(view, places)
        return self._replaced(view.text, places)

    def _mark(self, view: _View, places: Sequence[int]) -> None:
        found: dict[int, list[int]] = {}
        for at in places:
            index, origin = view.origin(at)
            found.setdefault(index, []).append(origin)
        for index, origins in found.items():
            self._now[index] = self._replaced(self._now[index], origins)
            self._places.setdefault(self._texts[index], set()).update(origins)

    def _replaced(self, text: str, places: Sequence[int]) -> str:
        if not places:
            return text
        chars = list(text)
        for at in places:
            chars[at] = self._look_alikes.sign(chars[at])[0]
        return "".join(chars)


def _places_in(text: str, sources: Iterable[str], *, whole: bool) -> list[int]:
    """The first character of structure in each of some parts of a text, in order; or all of them."""
    places: list[int] = []
    done = 0
    for source in sources:
        at = text.find(source, done) if source else -1
        if at >= 0:  # several calls may have one source, as in a list
            done = at + len(source)
            found = [match.start() for match in _STRUCTURE.finditer(text, at, done)]
            places += found if whole else found[:1]
    return places


@lru_cache(maxsize=64)
def _openers(names: tuple[str, ...]) -> re.Pattern[str]:
    """Compile a pattern for the bracket by which a call to one of some tools begins.

    It stands right before a name or before calls in a wrapping, or it is the one behind a name at
    the beginning of a line. Behind other keys of an object it is the colon of the name.
    """
    name = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    keys = "|".join(NAME_KEYS)
    gap = r"\s{0,32}"  # without a bound, blank lines would take quadratic time
    return re.compile(
        rf"\{{(?={gap}[\"']?(?:(?:{keys})[\"']?{gap}[:=]{gap}[\"']?{gap}(?:\w{{1,16}}[.:/])?(?:{name})\b"
        rf"|(?:{name})[\"']?{gap}:|(?:{'|'.join(LIST_KEYS)})[\"']?{gap}:{gap}[\[{{]"
        rf"|type[\"']?{gap}:{gap}[\"']?(?:function|tool)))"
        rf"|\[(?={gap}(?:\w{{1,16}}\.)?(?:{name})(?:\.call)?{gap}\()"
        rf"|,{gap}[\"']?(?:(?:{keys})[\"']?{gap}(?P<name>:){gap}[\"']?{gap}(?:\w{{1,16}}[.:/])?(?:{name})\b"
        rf"|(?:{name})[\"']?{gap}(?P<key>:){gap}\{{)"
        rf"|\bto=(?:\w{{1,16}}\.)?(?:{name})\b[^{{\n]{{0,64}}(?P<recipient>\{{)"
        r"|(?:^|`{3}\w{0,16}\s)[ \t]{0,64}"
        r"(?:(?:\w{1,64}\s{0,8}=|await\s|return\s|print\s{0,8}\()\s{0,8}){0,4}"
        rf"(?:\w{{1,16}}\.)?(?:{name})(?:\.call|:\d{{1,4}})?{gap}(?:(?P<bracket>\()|:?{gap}(?P<object>\{{))",
        re.IGNORECASE | re.MULTILINE,
    )
