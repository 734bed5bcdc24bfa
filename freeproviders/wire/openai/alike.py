"""Events of one stream that differ in nothing but their text, read without a decoder of JSON.

Most services write each piece of an answer into the same frame. OpenAI and others add a padding of
random length at its end, so that the size of encrypted data does not give words away.
"""

from __future__ import annotations

import re
from typing import Any, Final

from freeproviders.types import Batch, Text
from freeproviders.wire.json import from_json

LEARN_AFTER: Final = 16
"""The frames before the first one that is learned; in a shorter answer learning would not pay."""
SAMPLED_BYTES: Final = 2**12
"""The size from which on a read may hold so many more events that a few of them are decoded first."""
CHANCES: Final = 4
"""The most frames that are learned; a stream whose frames still differ is left to the decoder."""
_KEYS: Final = (b'"content":"', b'"content": "')
_PROBE: Final = "probe"
_PLAIN: Final = re.compile(rb'([^"\\\x00-\x1f]*+)"').match
"""The rest of a JSON string without escapes, with the quote at its end."""
_ESCAPED: Final = re.compile(rb'((?:[^"\\\x00-\x1f]|\\.)*+)"').match
_FIELD: Final = b"data: "
_END: Final = b"\n\n"


class AlikeEvents:
    """The bytes that the events of a stream have in common, around their text and their padding.

    A decoder would make the same document of an event with these bytes as of the one that was
    learned, but for the text and the padding, since nothing else can end what stands in quotes.
    """

    __slots__ = ("_behind", "_chances", "_head", "_middle", "_seen", "is_known")

    def __init__(self) -> None:
        self.is_known = False
        """Whether there is anything to look for."""
        self._head = b""  # up to the text, with the quote
        self._middle = b""  # between the quotes of text and padding; b"" without a padding
        self._behind = b""  # behind the last of these quotes
        self._seen = 0
        self._chances = CHANCES

    def take(self, data: bytes, batch: Batch) -> tuple[int, int]:
        """Read events like the learned one into the batch, up to the first that is not.

        Returns the bytes that were read, and the characters of text in them.
        """
        head, middle, behind = self._head, self._middle, self._behind
        start, at, chars, append = len(head), 0, 0, batch.append
        while data.startswith(head, at):
            try:
                if quoted := _PLAIN(data, at + start):
                    text = quoted[1].decode()
                elif quoted := _ESCAPED(data, at + start):
                    text = from_json(b'"%b"' % quoted[1])
                else:
                    break
            except ValueError:
                break
            end = quoted.end()
            if middle:
                if not data.startswith(middle, end) or not (quoted := _PLAIN(data, end + len(middle))):
                    break
                end = quoted.end()
            if not text or not data.startswith(behind, end):
                break
            append(Text(text))
            chars += len(text)
            at = end + len(behind)
        return at, chars

    def sample(self, data: bytes) -> bytes:
        """Return the part of a read that is to be decoded first: a few events of very many, else all."""
        if len(data) < SAMPLED_BYTES or not self._chances:
            return data
        rest = data.split(_END, LEARN_AFTER)[-1]
        return data[: len(data) - len(rest)]

    def learn(self, count: int, payload: bytes, frame: dict[str, Any]) -> None:
        """Note that so many events were decoded, and take one that holds a piece of text alone."""
        self._seen += count
        if self._seen < LEARN_AFTER or not self._chances or b"\n" in payload:
            return
        self._seen = 0
        self._chances -= 1
        delta = frame["choices"][0]["delta"]
        text, delta["content"] = delta["content"].encode(), _PROBE
        for key in _KEYS:
            before, found, rest = payload.partition(b'%b%b"' % (key, text))
            # The same bytes may stand elsewhere in the frame: the decoder tells.
            if found and _reads(frame, before + key, b'"' + rest):
                self.is_known = True
                self._head, self._middle, self._behind = _FIELD + before + key, b"", rest + _END
                self._learn_padding(before + key, rest, frame)
                return

    def _learn_padding(self, head: bytes, rest: bytes, frame: dict[str, Any]) -> None:
        """Tell the padding apart from the rest: the last value of the frame, where it is a text."""
        name, padding = next(reversed(frame.items()))
        behind = b'%b"}' % str(padding).encode()
        if isinstance(padding, str) and rest.endswith(b'"' + behind):
            middle = rest.removesuffix(behind)
            frame[name] = _PROBE
            if _reads(frame, head, b'"' + middle, b'"}'):
                self._middle, self._behind = middle, b"}" + _END


def _reads(frame: dict[str, Any], *around: bytes) -> bool:
    """Return whether the decoder reads these bytes, with the probe between them, as a frame."""
    try:
        return bool(from_json(_PROBE.encode().join(around)) == frame)
    except ValueError:
        return False
