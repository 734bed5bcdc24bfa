"""What services add to their tool calls, kept for the clients that send the calls back without it.

Gemini signs its calls and refuses a conversation in which a call has lost its signature; others
want the thinking before a call. Clients of OpenAI know neither.

Many services number their calls ("call_0"), so that an id alone is a call of many conversations.
What is kept belongs to a call in its conversation: no client gets what another client's model
has thought.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Final

from freeproviders.types import CallExtra, ChatRequest, Message, ToolCall
from freeproviders.wire.json import dumps

MAX_BYTES: Final = 8 * 2**20
"""All that is kept; the oldest is forgotten first."""


class CallMemory:
    """The last calls, with what belongs to them."""

    def __init__(self, most: int = MAX_BYTES) -> None:
        self._kept: OrderedDict[bytes, tuple[CallExtra | None, str, int]] = OrderedDict()
        self._left = most

    def keep(self, messages: Sequence[Message], calls: Iterable[ToolCall], reasoning: str) -> None:
        """Keep the calls of the answer to `messages`; its thinking belongs to the first of them."""
        asked: bytes | None = None
        for call in calls:
            if call.extra is not None or reasoning:
                if asked is None:
                    asked = _Asked(messages).so_far
                key = _key(asked, call)
                size = len(reasoning) + len(key) + _size(call.extra)
                if (before := self._kept.pop(key, None)) is not None:
                    self._left += before[2]
                self._kept[key] = (call.extra, reasoning, size)
                self._left -= size
            reasoning = ""
        while self._left < 0:
            _, (_, _, size) = self._kept.popitem(last=False)
            self._left += size

    def restored(self, request: ChatRequest) -> ChatRequest:
        """Return a request whose calls have again what belongs to them."""
        if not self._kept or not any(message.tool_calls for message in request.messages):
            return request
        asked = _Asked()
        return replace(
            request, messages=tuple([self._restored(message, asked) for message in request.messages])
        )

    def _restored(self, message: Message, asked: _Asked) -> Message:
        asked.add(message)
        if not message.tool_calls:
            return message
        known = [self._kept.get(_key(asked.so_far, call)) for call in message.tool_calls]
        if not any(known):
            return message
        calls = [
            call if one is None or call.extra is not None else replace(call, extra=one[0])
            for call, one in zip(message.tool_calls, known, strict=True)
        ]
        reasoning = message.reasoning or (known[0][1] if known[0] is not None else "")
        return replace(message, tool_calls=tuple(calls), reasoning=reasoning)


class _Asked:
    """A digest of what the user has said up to a place of a conversation.

    Clients send that back as it was. Instructions and answers they may change.
    """

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self._digest = blake2b(digest_size=16)
        for message in messages:
            self.add(message)

    def add(self, message: Message) -> None:
        """Go on with the next message."""
        if message.role == "user":
            self._digest.update(repr(message.content).encode("utf-8", "backslashreplace") + b"\0")

    @property
    def so_far(self) -> bytes:
        """The digest up to here."""
        return self._digest.digest()


def _key(asked: bytes, call: ToolCall) -> bytes:
    """Return what tells a call from all others: its conversation, its id, and what is called."""
    told = json.dumps([call.id, call.name, call.arguments], sort_keys=True, default=str)
    return blake2b(asked + told.encode(), digest_size=16).digest()


def _size(extra: CallExtra | None) -> int:
    return 0 if extra is None else len(dumps(extra.to_dict()))
