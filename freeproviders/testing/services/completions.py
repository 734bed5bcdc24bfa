"""The answers of the OpenAI chat completions protocol, as a stream of chunks and in one document; and its errors."""

# ruff: noqa: D102 - what the methods do is told where they are declared, in `services.base`

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from freeproviders.testing.answers import Piece
from freeproviders.testing.faults import Fault
from freeproviders.testing.services.base import JSON_TYPE, Reply, dump
from freeproviders.testing.services.events import EventWriter
from freeproviders.types import Finish, Reasoning, Text, ToolCall, Usage

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
ARGUMENT_CHARS: Final = 7
"""How much of a tool call's arguments one delta carries: little enough to cut inside words, escapes and numbers."""

_ids = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionStyle:
    """How a service writes its completions.

    `tool_deltas` is "split" (a call's arguments over many deltas), "whole" (one delta for each call), "merged" (consecutive calls in one delta)
    or "interleaved" (the deltas of consecutive calls take turns, the last call first).
    """

    tool_deltas: str = "split"
    tool_index: bool = True
    reasoning_key: str = "reasoning_content"
    role_content: bool = True

    def __post_init__(self) -> None:
        if self.tool_deltas not in {"split", "whole", "merged", "interleaved"}:
            msg = (
                f'tool_deltas must be "split", "whole", "merged" or "interleaved", not {self.tool_deltas!r}.'
            )
            raise ValueError(msg)


@dataclass(slots=True, kw_only=True)
class Completion:
    """What one answer's frames have in common."""

    model: str
    prompt_tokens: int
    style: CompletionStyle
    fault: Fault
    include_usage: bool = False
    usage: Usage | None = None
    finish_reason: str = "stop"
    said: int = 0
    id: str = field(default_factory=lambda: f"chatcmpl-{next(_ids):08d}")
    created: int = field(default_factory=lambda: int(time.time()))

    def note(self, piece: Piece) -> bool:
        """Remember what a piece says about the answer as a whole; True when it said only that."""
        match piece:
            case Usage():
                self.usage = piece
                return True
            case Finish():
                self.finish_reason = "stop" if piece.reason == "unknown" else piece.reason
                return True
            case ToolCall():
                self.finish_reason = "tool_calls"
                self.said += 1
            case Text() | Reasoning():
                self.said += 1
        return False

    def usage_document(self) -> dict[str, Any]:
        """The `usage` of the answer: as given, or one token for each piece."""
        usage = self.usage or Usage(self.prompt_tokens, self.said)
        document: dict[str, Any] = {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
        }
        if usage.cached_tokens is not None:
            document["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
        if usage.reasoning_tokens is not None:
            document["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
        return document

    def document(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """A document of the protocol."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": None,
            "choices": choices,
            **more,
        }


class CompletionStream:
    """Chunks over server-sent events."""

    content_type = EVENT_STREAM

    def __init__(self, completion: Completion) -> None:
        self._c = completion
        self._events = EventWriter(completion.fault)
        self._calls: list[ToolCall] = []  # consecutive ones, where they are to be mixed
        self._call_count = 0

    def start(self) -> Iterable[bytes]:
        yield self._delta(
            {"role": "assistant", "content": ""} if self._c.style.role_content else {"role": "assistant"}
        )

    def piece(self, piece: Piece) -> Iterable[bytes]:
        if self._c.note(piece):
            return
        if isinstance(piece, ToolCall):
            self._calls.append(piece)
            if self._c.style.tool_deltas in {"split", "whole"}:
                yield from self._flush()
            return
        yield from self._flush()
        match piece:
            case Text(text):
                yield self._delta({"content": text})
            case Reasoning(text):
                yield self._delta({self._c.style.reasoning_key: text})
            case bytes():
                yield piece
            case Mapping():
                yield self._events.event(dump(piece))

    def keepalive(self) -> bytes:
        return self._events.comment()

    def error(self, message: str, *, first: bool) -> Iterable[bytes]:
        fault = self._c.fault
        document = error_document(message, fault.error_shape, None, completion=self._c)
        if isinstance(document, bytes):
            yield document if first else self._events.event(document)
        else:
            yield self._events.event(dump(document))

    def end(self) -> Iterable[bytes]:
        yield from self._flush()
        if not self._c.fault.no_finish:
            yield self._delta({}, finish_reason=self._c.finish_reason)
        if self._c.include_usage:
            yield self._events.event(
                dump(self._c.document("chat.completion.chunk", [], usage=self._c.usage_document()))
            )
        if not self._c.fault.no_done:
            yield self._events.event(b"[DONE]")

    def _delta(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        more = {"usage": None} if self._c.include_usage else {}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._events.event(dump(self._c.document("chat.completion.chunk", [choice], **more)))

    def _flush(self) -> Iterable[bytes]:
        calls, self._calls = self._calls, []
        if not calls:
            return
        style, at = self._c.style, self._call_count
        self._call_count += len(calls)
        numbered = [
            (at + n, call, json.dumps(call.arguments, ensure_ascii=False)) for n, call in enumerate(calls)
        ]
        if style.tool_deltas in {"whole", "merged"}:
            deltas = [self._opening(index, call, arguments) for index, call, arguments in numbered]
            yield from (
                [self._delta({"tool_calls": deltas})]
                if style.tool_deltas == "merged"
                else [self._delta({"tool_calls": [d]}) for d in deltas]
            )
            return
        turns = [
            [
                self._opening(index, call, ""),
                *(
                    self._more(index, arguments[a : a + ARGUMENT_CHARS])
                    for a in range(0, len(arguments), ARGUMENT_CHARS)
                ),
            ]
            for index, call, arguments in reversed(numbered)
        ]
        for turn in itertools.zip_longest(*turns):
            for delta in turn:
                if delta is not None:
                    yield self._delta({"tool_calls": [delta]})

    def _opening(self, index: int, call: ToolCall, arguments: str) -> dict[str, Any]:
        return self._indexed(
            index,
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}},
        )

    def _more(self, index: int, arguments: str) -> dict[str, Any]:
        return self._indexed(index, {"function": {"arguments": arguments}})

    def _indexed(self, index: int, delta: dict[str, Any]) -> dict[str, Any]:
        return {"index": index, **delta} if self._c.style.tool_index else delta


class CompletionDocument:
    """The whole answer in one JSON document."""

    content_type = JSON_TYPE

    def __init__(self, completion: Completion) -> None:
        self._c = completion
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[ToolCall] = []
        self._raw: list[bytes] = []

    def start(self) -> Iterable[bytes]:
        return ()

    def piece(self, piece: Piece) -> Iterable[bytes]:
        self._c.note(piece)
        match piece:
            case Text(text):
                self._text.append(text)
            case Reasoning(text):
                self._reasoning.append(text)
            case ToolCall():
                self._calls.append(piece)
            case bytes():
                self._raw.append(piece)
            case Mapping():
                self._raw.append(dump(piece))
        return ()

    def keepalive(self) -> bytes:
        return b"\n"

    def error(self, message: str, *, first: bool) -> Iterable[bytes]:  # noqa: ARG002 - a document has no middle
        document = error_document(message, self._c.fault.error_shape, None, completion=self._c)
        return [document if isinstance(document, bytes) else dump(document)]

    def end(self) -> Iterable[bytes]:
        if self._raw:
            return [b"".join(self._raw)]
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(self._text) if self._text or not self._calls else None,
            "refusal": None,
        }
        if self._reasoning:
            message[self._c.style.reasoning_key] = "".join(self._reasoning)
        if self._calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {
                        "name": call.name,
                        "arguments": json.dumps(call.arguments, ensure_ascii=False),
                    },
                }
                for call in self._calls
            ]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": None if self._c.fault.no_finish else self._c.finish_reason,
        }
        return [dump(self._c.document("chat.completion", [choice], usage=self._c.usage_document()))]


def error_document(
    message: str,
    shape: str,
    status: int | None,
    *,
    code: str | None = None,
    completion: Completion | None = None,
) -> Any:
    """An error in one of the `ERROR_SHAPES`; `bytes` for the one that is not JSON. `status` None is an error inside a 200."""
    number = status or 500
    kind = "invalid_request_error" if number < 500 else "server_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    match shape:
        case "string":
            return {"error": message}
        case "object-error":
            return {"object": "error", "message": message, "type": kind, "param": None, "code": number}
        case "array":
            return [
                {
                    "error": {
                        "code": number,
                        "message": message,
                        "status": "INVALID_ARGUMENT" if number < 500 else "INTERNAL",
                    }
                }
            ]
        case "errors":
            return {
                "success": False,
                "errors": [{"code": 10000 + number, "message": message}],
                "messages": [],
                "result": None,
            }
        case "rfc7807":
            return {"type": "about:blank", "title": "Error", "status": number, "detail": message}
        case "message" | "detail":
            return {shape: message}
        case "choices-null" if completion is not None:
            return {**completion.document("chat.completion.chunk", []), "choices": None, "error": error}
        case "finish-reason" if completion is not None:
            choice = {
                "index": 0,
                "delta": {"content": ""},
                "finish_reason": "error",
                "native_finish_reason": "error",
            }
            return completion.document(
                "chat.completion.chunk", [choice], error={"code": number, "message": message}
            )
        case "text":
            return message.encode()
        case _:
            return {"error": error}


def completion_complaint(status: int, message: str, fault: Fault, code: str | None) -> Reply:
    """An error answer of the protocol."""
    document = error_document(message, fault.error_shape, status, code=code)
    return (
        Reply(status, document, "text/plain; charset=utf-8")
        if isinstance(document, bytes)
        else Reply(status, dump(document))
    )


def count_tokens(messages: Iterable[Mapping[str, Any]]) -> int:
    """A prompt's tokens, one for each word: enough to be told from nothing, and known to the test."""
    return sum(len(str(message.get("content") or "").split()) for message in messages)
