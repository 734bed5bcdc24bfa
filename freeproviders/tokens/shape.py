"""Counting the characters of a text by script, in one quick pass, for likely estimates."""

from __future__ import annotations

from typing import Final

_SMALL: Final = bytes(range(ord("a"), ord("z") + 1))
_CAPITALS: Final = bytes(range(ord("A"), ord("Z") + 1))
_DIGITS: Final = b"0123456789"
_BLANKS: Final = b" \t\r\n\x0b\x0c"
_NOT_FIRST: Final = bytes([*range(0x80), *range(0x80, 0xC0)])
# The first byte of a character in UTF-8 tells its script, but for the Indic ones and Thai.
_SCRIPTS: Final = {
    "latin": range(0xC0, 0xCE),
    "greek": range(0xCE, 0xD0),
    "cyrillic": range(0xD0, 0xD5),
    "hebrew": range(0xD6, 0xD8),
    "arabic": range(0xD8, 0xDC),
    "two": (0xD5, *range(0xDC, 0xE0)),
    "indic": range(0xE0, 0xE1),
    "three": (0xE1, 0xEE, 0xEF),
    "symbols": range(0xE2, 0xE3),
    "kana": range(0xE3, 0xE4),
    "han": range(0xE4, 0xEA),
    "hangul": range(0xEA, 0xEE),
    "four": range(0xF0, 0x100),
}
_NUMBER_OF: Final = bytes.maketrans(
    bytes([byte for first in _SCRIPTS.values() for byte in first]),
    bytes([number for number, first in enumerate(_SCRIPTS.values()) for _ in first]),
)
_SENTENCE: Final = 40
_LONGEST_WORD: Final = 25
"""Without a blank in so many characters, letters are no words: base64, hexadecimal numbers."""
CLASSES: Final = ("small", "dense", "capitals", "digits", "blanks", "signs", *_SCRIPTS, "devanagari", "thai")


def shape_of(text: str) -> dict[str, int]:
    """Count the characters of a text by their class; classes without any may be missing."""
    data = text.encode("utf-8", "replace")
    out: dict[str, int] = {}
    if not text.isascii():
        firsts = data.translate(_NUMBER_OF, _NOT_FIRST)
        for number, script in enumerate(_SCRIPTS):
            if count := firsts.count(number):
                out[script] = count
        if indic := out.get("indic"):
            out["devanagari"] = data.count(b"\xe0\xa4") + data.count(b"\xe0\xa5")
            out["thai"] = data.count(b"\xe0\xb8") + data.count(b"\xe0\xb9")
            out["indic"] = indic - out["devanagari"] - out["thai"]
        data = text.encode("ascii", "ignore")
    rest = len(data)
    for name, chars in (("small", _SMALL), ("blanks", _BLANKS), ("capitals", _CAPITALS), ("digits", _DIGITS)):
        data = data.translate(None, chars)
        out[name], rest = rest - len(data), len(data)
    out["signs"] = rest
    size = sum([out[name] for name in ("small", "blanks", "capitals", "digits", "signs")])
    if size > _SENTENCE and out["blanks"] * _LONGEST_WORD < size:
        out["dense"] = out.pop("small")
    return out
