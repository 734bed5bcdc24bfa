"""Cutting a text into pieces and counting their kinds, of which an upper estimate is made.

The pieces are what most tokenizers cut a text into before anything else: words, numbers, runs of
signs and of blanks. A word is then cut into the fragments of `fragments.txt`, the longest first.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Final

_CAPITALS: Final = "A-Z\xc0-\xd6\xd8-\xde"
_SMALL: Final = "a-z\xdf-\xf6\xf8-\xff\u0101-\u024f\u1e00-\u1eff"
_PIECE: Final = re.compile(
    rf" ?(?:[{_CAPITALS}]?[{_SMALL}]{{1,40}}"
    rf"|[{_CAPITALS}]{{1,40}}(?![{_SMALL}])|[{_CAPITALS}]"
    r"|[0-9]+"
    r"|[!-/:-@\[-`{-~]+"
    r"|[\u0400-\u052f]{1,40}|[\u0600-\u06ff\u0750-\u077f]{1,40}|[\u0900-\u097f]{1,40}"
    r"|[\uac00-\ud7af]+|[\u0e00-\u0e7f]+|[\u0980-\u0dff]+|[\u0590-\u05ff]+|[\u0370-\u03ff]+"
    r"|[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f\u200d]+)"
    r"|[\u3400-\u9fff]+|[\u3040-\u30ff]+"
    r"|[\u2010-\u2027\u3000-\u303f\uff01-\uff5e\xa0-\xbf]+"
    r"|\s+(?!\S)|\s|.",
    re.DOTALL,
)
_LONG_WORD: Final = 24
"""A longer run of letters is no word: it counts by its characters."""
_LONGEST_FRAGMENT: Final = 13
_OFTEN: Final = 8
_REPEATED: Final = 1.8
"""What a word counts for that is there more than 8 times, and as more than an eighth of all."""
_USUAL_SIGNS: Final = frozenset("，。、：；！？（）“”‘’—–…·«»「」《》\xa0")  # noqa: RUF001 - these are meant
# Script, first and last character, and the usual letters of what is cut into fragments.
_SPELLED: Final = (
    ("cyrillic", "\u0400", "\u052f", re.compile(r"[а-яёіїєґ]")),  # noqa: RUF001 - the letters are meant
    (
        "arabic",
        "\u0600",
        "\u077f",
        re.compile(r"[\u0621-\u063a\u0641-\u064a\u060c\u061f\u067e\u0686\u06a9\u06af\u06cc]"),
    ),
    (
        "devanagari",
        "\u0900",
        "\u097f",
        re.compile(
            r"[\u0901-\u0903\u0905-\u090b\u090f-\u0911\u0913-\u0928\u092a-\u0930\u0932\u0935-\u0939\u093c"
            r"\u093e-\u0943\u0945\u0947-\u0949\u094b-\u094d\u0964]"
        ),
    ),
)
_COUNTED: Final = (
    ("kana", "\u3040", "\u30ff"),
    ("hangul", "\uac00", "\ud7af"),
    ("thai", "\u0e00", "\u0e7f"),
    ("bengali", "\u0980", "\u09ff"),
    ("tamil", "\u0b80", "\u0bff"),
    ("indic", "\u0a00", "\u0dff"),
    ("hebrew", "\u0590", "\u05ff"),
    ("greek", "\u0370", "\u03ff"),
)

Kinds = tuple[tuple[str, int], ...]


@cache
def fragments() -> dict[str, frozenset[str]]:
    """Read the fragments, by script; one that begins with a blank begins a word."""
    out: dict[str, set[str]] = {}
    text = (files(__package__) / "fragments.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line and not line.startswith("# "):
            name, form, *found = line.split(" ")
            blank = "" if form in {"inner", "characters"} else " "
            entries = found[0] if form == "characters" else [blank + entry for entry in found]
            out.setdefault(name, set()).update(entries)
            if form == "title":
                out.setdefault("title", set()).update(entries)
    return {name: frozenset(entries) for name, entries in out.items()}


def kinds_of(text: str) -> dict[str, float]:
    """Count the kinds of pieces of a text.

    A word that makes up much of a text counts for more: what it costs is not evened out by others.
    """
    out: dict[str, float] = {}
    pieces = _PIECE.findall(text)
    often = max(_OFTEN, len(pieces) // _OFTEN)
    for piece, number in Counter(pieces).items():
        times = number if number <= often or not piece.strip().isalpha() else _REPEATED * number
        for kind, count in _kinds(piece) if len(piece) > _LONG_WORD else _kinds_of_word(piece):
            out[kind] = out.get(kind, 0) + count * times
    return out


@lru_cache(8192)
def _kinds_of_word(piece: str) -> Kinds:
    """Return the kinds of a short piece: most words of a text are in others too."""
    return _kinds(piece)


def _kinds(piece: str) -> Kinds:
    """Return the kinds of one piece, and how many there are of each."""
    after_blank = piece[0] == " " and len(piece) > 1
    word = piece[1:] if after_blank else piece
    first, size = word[0], len(word)
    if word.isspace():
        return _blanks(word)
    if first < "\x80":
        if "0" <= first <= "9":
            return (
                ("digits", 1),
                ("digits.threes", -(-size // 3)),
                ("digits.each", size),
                ("digits.after-blank", after_blank),
            )
        if not first.isalpha():
            return _signs(piece, word)
    if first.isascii() or "\xc0" <= first < "\u0250" or "\u1e00" <= first < "\u1f00":
        return _latin(word, after_blank=after_blank)
    for script, low, high, usual in _SPELLED:
        if low <= first <= high:
            return _spelled(script, word, usual, after_blank=after_blank)
    if "\u3400" <= first <= "\u9fff":
        return _han(word)
    for script, low, high in _COUNTED:
        if low <= first <= high:
            rare = sum([not char.isprintable() for char in word])  # not assigned, so in no text of old
            return ((script, 1), (f"{script}.each", size), (f"{script}.rare", rare))
    if "\U0001f000" <= first <= "\U0001faff" or "\u2600" <= first <= "\u27bf" or first in "\ufe0f\u200d":
        found = Counter(map(_emoji, word))
        found["emoji.after-blank"] += after_blank
        return tuple(found.items())
    if (
        size > 1
        or "\u2010" <= first <= "\u2027"
        or "\u3000" <= first <= "\uff5e"
        or "\xa0" <= first <= "\xbf"
    ):
        common = sum([sign in _USUAL_SIGNS for sign in word])
        return (("signs.usual", common), ("signs.rare", size - common))
    return ((f"bytes.{len(first.encode('utf-8', 'replace'))}", 1),)


def _blanks(word: str) -> Kinds:
    if word == " ":
        return (("blank", 1),)
    return (
        ("blanks", 1),
        ("blanks.more", len(word) - 1),
        ("blanks.changes", sum([a != b for a, b in pairwise(word)])),
        ("blanks.rare", sum([char not in " \n\t\r" for char in word])),
    )


def _signs(piece: str, word: str) -> Kinds:
    if piece in fragments()["signs"]:
        return (("signs.known", 1),)
    changes = sum([a != b for a, b in pairwise(word)])
    return (
        ("signs", 1),
        ("signs.changes", changes),
        ("signs.same", len(word) - 1 - changes),
        ("signs.long", max(0, len(word) - 16)),
    )


def _latin(word: str, *, after_blank: bool) -> Kinds:
    low, size = word.lower(), len(word)
    case = "upper" if size > 1 and word.isupper() else "title" if word[0].isupper() else "lower"
    if size > _LONG_WORD:
        return ((f"{case}.long", size),)
    known = fragments()
    if after_blank:
        low = " " + low
    if low in known["title" if case == "title" else "latin"]:
        if case == "upper":
            return (("upper.known" if after_blank else "upper.glued", 1), ("upper.each", size))
        if case == "title" or after_blank:
            return ((f"{case}.known", 1),)
        return (("lower.glued", 1),)
    found = _spell(low, known["latin"], case if after_blank else f"{case}-glued")
    if not word.isascii():
        found["accents"] = sum([char > "\x7f" for char in word])
        found["accents.rare"] = sum([char > "\xff" for char in word])
    return tuple(found.items())


def _spelled(script: str, word: str, usual: re.Pattern[str], *, after_blank: bool) -> Kinds:
    size, low = len(word), word.lower()
    rare = len(usual.sub("", low))
    if size > _LONG_WORD:
        return ((f"{script}.long", size), (f"{script}.rare", rare))
    if low != word and size > 1 and word.isupper():
        return ((f"{script}.upper", size), (f"{script}.rare", rare))
    if after_blank:
        low = " " + low
    form = script if after_blank else f"{script}-glued"
    known = fragments()[script]
    found = Counter({f"{form}.known": 1}) if low in known else _spell(low, known, form)
    if low[-size:] != word:
        found[f"{script}.title"] = 1
    if rare:
        found[f"{script}.rare"] = rare
    return tuple(found.items())


def _spell(word: str, known: frozenset[str], form: str) -> Counter[str]:
    """Cut a word into known fragments and single letters, and count them by their lengths."""
    found = Counter({form: 1, f"{form}.each": len(word) - (word[0] == " ")})
    start, size, least = 0, len(word), 2 if word[0] == " " else 1
    while start < size:
        for end in range(min(size, start + _LONGEST_FRAGMENT), start + least, -1):
            if word[start:end] in known:
                break
        else:
            end = start + least
        found[f"{form}.{min(4, end - start - least + 1)}"] += 1
        start, least = end, 1
    return found


def _han(word: str) -> Kinds:
    found, known, at = Counter({"han": 1}), fragments(), 0
    pairs, common, newer, qwen = known["han"], known["han-common"], known["han-newer"], known["han-rarer"]
    while at < len(word):
        if word[at : at + 2] in pairs:
            found["han.pair"] += 1
            at += 2
            continue
        char = word[at]
        found[
            "han.common"
            if char in common
            else "han.newer"
            if char in newer
            else "han.rarer"
            if char in qwen
            else "han.rare"
        ] += 1
        at += 1
    return tuple(found.items())


def _emoji(char: str) -> str:
    if char < "\U00010000":
        return f"emoji.{ord(char) >> 8:x}" if char < "\u2800" and char >= "\u2600" else "emoji.joiner"
    block = ord(char) >> 8
    return f"emoji.{block:x}" if block in {0x1F3, 0x1F4, 0x1F5, 0x1F6, 0x1F9} else "emoji.rare"
