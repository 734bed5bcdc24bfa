"""Answers as server-sent events in bytes: the quick way for pieces of text, the writer for the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic_core import to_json

from freeproviders.types import Batch, Part, Reasoning, Text
from freeproviders.wire.json import dumps
from freeproviders.wire.openai.writer import ChunkWriter

DONE: Final = b"data: [DONE]\n\n"
KEEP_ALIVE: Final = b": keep-alive\n\n"
"""A comment, which clients pass over."""
_MARK: Final = "\0text\0"


class EventFrames:
    """Writes the parts of an answer as the events of its stream.

    Nearly all of a stream is pieces of text, and their chunks differ in nothing but the text. The
    bytes around it are taken, once, from a chunk that the writer has written; a test holds that
    both ways give the same bytes. `see` is shown each part that is no text, and returns what is
    written in its place.
    """

    def __init__(self, writer: ChunkWriter, see: Callable[[Part], Part] = lambda part: part) -> None:
        self._writer = writer
        self._see = see
        self._text = _around(writer, "content")
        self._reasoning: tuple[bytes, bytes] | None = None
        self._is_held = False

    def start(self) -> bytes:
        """Write the first event, which names the role."""
        return _event(self._writer.start())

    def of(self, batch: Batch) -> bytes:
        """Write the events of a batch; b"" where it has nothing for them."""
        head, tail = self._text
        out: list[bytes] = []
        for part in batch:
            if part.__class__ is Text and not self._is_held:
                out += (head, _quoted(part.text), tail)
            else:
                self._other(self._see(part), out)
        return b"".join(out)

    def end(self, **more: Any) -> bytes:
        """Write the last events: the reason of the end, the usage, the mark of the end."""
        return b"".join([*map(_event, self._writer.end(**more)), DONE])

    def _other(self, part: Part, out: list[bytes]) -> None:
        if part.__class__ is Reasoning and not self._is_held:
            if self._reasoning is None:
                self._reasoning = _around(self._writer, self._writer.style.reasoning_key)
            head, tail = self._reasoning
            out += (head, _quoted(part.text), tail)
            return
        out += map(_event, self._writer.part(part))
        self._is_held = self._writer.is_held


def error_event(document: Mapping[str, Any]) -> bytes:
    """Write an error inside a stream, as clients of OpenAI read it: an event with `error` alone."""
    return _event(document)


def _around(writer: ChunkWriter, key: str) -> tuple[bytes, bytes]:
    """Return the bytes of an event before and behind the text of a delta."""
    head, _, tail = _event(writer.delta({key: _MARK})).partition(_quoted(_MARK))
    return head, tail


def _quoted(text: str) -> bytes:
    try:
        return to_json(text)
    except ValueError:  # half of a surrogate pair, which only an escape can carry
        return json.dumps(text).encode()


def _event(document: Mapping[str, Any]) -> bytes:
    try:
        return b"data: %b\n\n" % dumps(document)
    except ValueError:
        return b"data: %b\n\n" % json.dumps(document).encode()
