"""`/v1/chat/completions`: a question of a client, asked of the backend, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, Final

from freeproviders.gateway.incoming import Incoming
from freeproviders.gateway.memory import CallMemory
from freeproviders.gateway.refusals import Refusal
from freeproviders.gateway.served import Served
from freeproviders.gateway.streaming import EventStream
from freeproviders.streams import whole
from freeproviders.types import (
    Asking,
    ChatRequest,
    Completion,
    Event,
    Finish,
    InvalidToolCall,
    Part,
    Reasoning,
    ToolCall,
    Usage,
)
from freeproviders.wire.openai.asked import ChatAsked
from freeproviders.wire.openai.events import EventFrames
from freeproviders.wire.openai.writer import AnswerStyle, ChunkWriter, DocumentWriter

STYLE: Final = AnswerStyle(tool_deltas="whole")
"""Calls come whole and checked, so they go out whole."""


class ChatQuestion:
    """One question and its answer, with what the answer shows beside its text."""

    def __init__(self, served: Served, memory: CallMemory, incoming: Incoming, asked: ChatAsked) -> None:
        self._backend = served.backend
        self._memory = memory
        self._incoming = incoming
        self._asked = asked
        self._asking = Asking(served.backend.name, served.backend.model, "")
        self._calls: list[ToolCall] = []
        self._reasoning: list[str] = []
        self._usage: Usage | None = None
        self._finish = Finish()

    def request(self, model: str | None) -> ChatRequest:
        """Write the question as the backend reads it. Raises `UsageError`."""
        asked = self._asked
        request = self._backend.request(
            asked.messages, model=model, stream=asked.stream, extra_body=asked.options, **asked.settings
        )
        return replace(self._memory.restored(request), listener=self._listen)

    async def document(self, request: ChatRequest) -> dict[str, Any]:
        """Wait for the whole answer."""
        answer = await whole(self._backend.answer(request))
        self._finish, self._usage = answer.finish, answer.usage
        self._memory.keep(request.messages, answer.tool_calls, answer.reasoning)
        answer = _with_marked_calls(answer)
        document = DocumentWriter(self._model, STYLE).whole(answer, freeproviders=self._metadata())
        self._incoming.ended(answer.finish, answer.usage)
        return document

    async def send(self, request: ChatRequest, stream: EventStream) -> None:
        """Send the answer piece by piece."""
        async with aclosing(self._backend.answer(request)) as batches:
            await stream.send(batches, self._frames, partial(self._last, request))

    def _frames(self) -> EventFrames:
        writer = ChunkWriter(self._model, STYLE, include_usage=self._asked.include_usage)
        return EventFrames(writer, self._see)

    def _last(self, request: ChatRequest, frames: EventFrames) -> bytes:
        self._memory.keep(request.messages, self._calls, "".join(self._reasoning))
        self._incoming.ended(self._finish, self._usage)
        if any(seam.how == "restart" for seam in self._finish.seams):
            raise Refusal(
                502,
                "The answer broke off and began anew; what was sent before cannot be taken back.",
                code="answer_restarted",
                kind="upstream_error",
            )
        return frames.end(freeproviders=self._metadata())

    def _see(self, part: Part) -> Part:
        """Keep what a part tells that is no text; return the part as it is sent."""
        match part:
            case Reasoning():
                self._reasoning.append(part.text)
            case ToolCall():
                self._calls.append(part)
            case InvalidToolCall():
                return _marked(part)
            case Usage():
                self._usage = part
            case Finish():
                self._finish = part
        return part

    def _listen(self, what: Event) -> None:
        if isinstance(what, Asking):
            self._asking = what

    @property
    def _model(self) -> str:
        """The model that answers: the service's name for it, as far as it is known."""
        return self._finish.model or self._asking.model or self._asked.model or self._backend.name

    def _metadata(self) -> dict[str, Any]:
        """Write what OpenAI's protocol has no place for; its clients pass over it."""
        finish, usage = self._finish, self._usage
        out: dict[str, Any] = {
            "provider": finish.provider,
            "model": finish.model,
            "attempts": finish.attempts,
            "confirmed": finish.confirmed,
            "usage_estimated": usage is None or usage.estimated,
        }
        if finish.cached:
            out["cached"] = True
        lists: Mapping[str, Any] = {"trail": finish.trail, "seams": finish.seams, "quota": finish.quota}
        out |= {name: [one.plain() for one in some] for name, some in lists.items() if some}
        if self._asked.ignored:
            out["ignored"] = list(self._asked.ignored)
        return out


def _marked(call: InvalidToolCall) -> InvalidToolCall:
    """Mark the arguments of a call that cannot be made: clients complete JSON that was cut off."""
    return replace(call, text=call.no_arguments)


def _with_marked_calls(answer: Completion) -> Completion:
    if not answer.invalid_tool_calls:
        return answer
    return replace(answer, invalid_tool_calls=tuple([_marked(call) for call in answer.invalid_tool_calls]))
