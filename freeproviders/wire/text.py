"""Raw UTF-8 text without framing."""

from __future__ import annotations

import codecs

_Decoder = codecs.getincrementaldecoder("utf-8")


class TextDecoder:
    """Decodes UTF-8 piece by piece; a character that was cut comes out whole, a broken one as U+FFFD."""

    def __init__(self) -> None:
        self._decode = _Decoder("replace").decode

    def feed(self, data: bytes) -> str:
        """Take a read; return the characters that are complete."""
        return self._decode(data)

    def close(self) -> str:
        """End of the stream: a character that never completed comes out as U+FFFD."""
        return self._decode(b"", True)  # noqa: FBT003 - the codec's own signature
