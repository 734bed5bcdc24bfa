"""Raw UTF-8 text without framing, and halves of characters that were cut before encoding."""

from __future__ import annotations

import codecs
from typing import Any, Final

MAX_DEPTH: Final = 200
"""How deep JSON may be nested: as deep as the strict decoder takes it."""

BOM: Final = b"\xef\xbb\xbf"
"""A byte order mark in UTF-8, which some servers put before what they send, once or more than once."""

_Decoder = codecs.getincrementaldecoder("utf-8")


class TextDecoder:
    """Decodes UTF-8 piece by piece; a cut character comes out whole, a broken one as U+FFFD."""

    def __init__(self) -> None:
        self._decode = _Decoder("replace").decode

    def feed(self, data: bytes) -> str:
        """Take a read; return the characters that are complete."""
        return self._decode(data)

    def close(self) -> str:
        """End the stream; a character that never completed comes out as U+FFFD."""
        return self._decode(b"", True)  # noqa: FBT003 - the codec's own signature


def mended(text: str) -> str:
    """Join the halves of surrogate pairs in a text; a half without its other one becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def mended_json(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Mend every text in a JSON value. Raises `ValueError` where it is deeper than `depth`."""
    if isinstance(value, str):
        return mended(value)
    if not isinstance(value, dict | list):
        return value
    if not depth:
        raise ValueError("nested too deeply")
    if isinstance(value, list):
        return [mended_json(item, depth - 1) for item in value]
    return {mended(key): mended_json(item, depth - 1) for key, item in value.items()}


def split_half(text: str) -> tuple[str, str]:
    """Return a text, mended, and the first half of a surrogate pair at its end, "" where there is none.

    Services that slice their text by UTF-16 units cut an emoji into two pieces.
    """
    if "\ud800" <= text[-1:] <= "\udbff":
        return mended(text[:-1]), text[-1]
    return mended(text), ""
