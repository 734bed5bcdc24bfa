"""What services add to their tool calls, kept for the clients that send the calls back without it.

Gemini signs its calls and refuses a conversation in which a call has lost its signature; others
want the thinking before a call. Clients of OpenAI know neither.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from freeproviders.types import CallExtra, ChatRequest, Message, ToolCall
from freeproviders.wire.json import dumps

MAX_BYTES: Final = 8 * 2**20
"""All that is kept; the oldest is forgotten first."""


class CallMemory:
    """The last calls by their ids, with what belongs to them."""

    def __init__(self, most: int = MAX_BYTES) -> None:
        self._kept: OrderedDict[str, tuple[CallExtra | None, str, int]] = OrderedDict()
        self._left = most

    def keep(self, calls: Iterable[ToolCall], reasoning: str) -> None:
        """Keep the calls of an answer; its thinking belongs to the first of them."""
        for call in calls:
            if call.extra is not None or reasoning:
                size = len(reasoning) + len(call.id) + _size(call.extra)
                if (before := self._kept.pop(call.id, None)) is not None:
                    self._left += before[2]
                self._kept[call.id] = (call.extra, reasoning, size)
                self._left -= size
            reasoning = ""
        while self._left < 0:
            _, (_, _, size) = self._kept.popitem(last=False)
            self._left += size

    def restored(self, request: ChatRequest) -> ChatRequest:
        """Return a request whose calls have again what belongs to them."""
        if not self._kept or not any(message.tool_calls for message in request.messages):
            return request
        return replace(request, messages=tuple([self._restored(message) for message in request.messages]))

    def _restored(self, message: Message) -> Message:
        known = [self._kept.get(call.id) for call in message.tool_calls]
        if not any(known):
            return message
        calls = [
            call if one is None or call.extra is not None else replace(call, extra=one[0])
            for call, one in zip(message.tool_calls, known, strict=True)
        ]
        reasoning = message.reasoning or (known[0][1] if known[0] is not None else "")
        return replace(message, tool_calls=tuple(calls), reasoning=reasoning)


def _size(extra: CallExtra | None) -> int:
    return 0 if extra is None else len(dumps(extra.to_dict()))
