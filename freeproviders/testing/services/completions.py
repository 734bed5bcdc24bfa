"""Answers of the OpenAI chat completions protocol, with faults where they are asked for."""

# ruff: noqa: D102 - the methods are described where they are declared, in `services.base`

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from freeproviders.testing.answers import Piece
from freeproviders.testing.faults import Fault
from freeproviders.testing.services.base import JSON_TYPE, Renderer, Reply, dump
from freeproviders.testing.services.events import EventWriter
from freeproviders.types import Alternative, Finish, FinishReason, LogProbs, Part, Text, Usage, collect
from freeproviders.wire.openai.writer import (
    AnswerStyle,
    AnswerWriter,
    ChunkWriter,
    DocumentWriter,
    error_document,
)

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"


def completion_renderer(
    model: str,
    fault: Fault,
    style: AnswerStyle | None = None,
    *,
    prompt_tokens: int = 0,
    stream: bool = True,
    include_usage: bool = False,
    top_logprobs: int | None = None,
    n: int = 1,
    **facts: Any,
) -> Renderer:
    """Make the renderer of one answer, as a stream or in one document.

    `top_logprobs` None sends no log probabilities; `n` answers of a document are all the same.
    `facts` are those of `AnswerWriter`.
    """
    if stream and not fault.no_stream:
        chunks = ChunkWriter(model, style, include_usage=include_usage, **facts)
        return CompletionStream(chunks, fault, prompt_tokens, top_logprobs)
    return CompletionDocument(DocumentWriter(model, style, **facts), fault, prompt_tokens, top_logprobs, n)


class CompletionStream:
    """Chunks over server-sent events."""

    content_type = EVENT_STREAM

    def __init__(
        self, writer: ChunkWriter, fault: Fault, prompt_tokens: int = 0, top_logprobs: int | None = None
    ) -> None:
        self._writer = writer
        self._top_logprobs = top_logprobs
        self._fault = fault
        self._prompt_tokens = prompt_tokens
        self._events = EventWriter(fault)

    def start(self) -> Iterable[bytes]:
        yield self._event(self._writer.start())

    def piece(self, piece: Piece) -> Iterable[bytes]:
        if isinstance(piece, bytes | Mapping):
            yield from map(self._event, self._writer.flush())
            yield piece if isinstance(piece, bytes) else self._event(piece)
        else:
            if self._top_logprobs is not None and isinstance(piece, Text):
                self._writer.part(made_up_logprobs(piece.text, self._top_logprobs))
            yield from map(self._event, self._writer.part(piece))

    def keepalive(self) -> bytes:
        return self._events.comment()

    def error(self, message: str, *, first: bool) -> Iterable[bytes]:
        document = odd_error(message, self._fault.error_shape, writer=self._writer)
        if isinstance(document, bytes):
            yield document if first else self._events.event(document)
        else:
            yield self._event(document)

    def end(self) -> Iterable[bytes]:
        writer = self._writer
        _count(writer, self._prompt_tokens)
        yield from map(self._event, writer.flush())
        if not self._fault.no_finish:
            yield self._event(writer.finish())
        yield from map(self._event, writer.usage_chunks())
        if not self._fault.no_done:
            yield self._events.event(b"[DONE]")

    def _event(self, document: Mapping[str, Any]) -> bytes:
        return self._events.event(dump(document))


class CompletionDocument:
    """The whole answer in one JSON document."""

    content_type = JSON_TYPE

    def __init__(
        self,
        writer: DocumentWriter,
        fault: Fault,
        prompt_tokens: int = 0,
        top_logprobs: int | None = None,
        n: int = 1,
    ) -> None:
        self._writer = writer
        self._top_logprobs = top_logprobs
        self._n = n
        self._parts: list[Part] = []
        self._fault = fault
        self._prompt_tokens = prompt_tokens
        self._raw: list[bytes] = []

    def start(self) -> Iterable[bytes]:
        return ()

    def piece(self, piece: Piece) -> Iterable[bytes]:
        if isinstance(piece, bytes | Mapping):
            self._raw.append(piece if isinstance(piece, bytes) else dump(piece))
        else:
            if self._top_logprobs is not None and isinstance(piece, Text):
                self.piece(made_up_logprobs(piece.text, self._top_logprobs))
            self._writer.part(piece)
            self._parts.append(piece)
        return ()

    def keepalive(self) -> bytes:
        return b"\n"

    def error(self, message: str, *, first: bool) -> Iterable[bytes]:  # noqa: ARG002 - no middle
        document = odd_error(message, self._fault.error_shape, writer=self._writer)
        return [document if isinstance(document, bytes) else dump(document)]

    def end(self) -> Iterable[bytes]:
        if self._raw:
            return [b"".join(self._raw)]
        _count(self._writer, self._prompt_tokens)
        for _ in range(self._n - 1):
            again = Finish(cast("FinishReason", self._writer.finish_reason))
            self._writer.part(Alternative(collect([*self._parts, again])))
        return [dump(self._writer.end(finish=not self._fault.no_finish))]


def odd_error(
    message: str,
    shape: str,
    status: int | None = None,
    *,
    code: str | None = None,
    writer: AnswerWriter | None = None,
) -> Any:
    """Write an error in one of the `ERROR_SHAPES`; `bytes` for the one that is not JSON.

    `status` None is an error inside a 200, which two of the shapes write into a chunk of `writer`.
    """
    number = status or 500
    kind = "invalid_request_error" if number < 500 else "server_error"
    match shape:
        case "string":
            return {"error": message}
        case "object-error":
            return {"object": "error", "message": message, "type": kind, "param": None, "code": number}
        case "array":
            word = "INVALID_ARGUMENT" if number < 500 else "INTERNAL"
            return [{"error": {"code": number, "message": message, "status": word}}]
        case "errors":
            errors = [{"code": 10000 + number, "message": message}]
            return {"success": False, "errors": errors, "messages": [], "result": None}
        case "rfc7807":
            return {"type": "about:blank", "title": "Error", "status": number, "detail": message}
        case "message" | "detail":
            return {shape: message}
        case "choices-null" if writer is not None:
            document = error_document(message, number, code)
            return {**writer.document([]), "object": ChunkWriter.kind, "choices": None, **document}
        case "finish-reason" if writer is not None:
            choice = {
                "index": 0,
                "delta": {"content": ""},
                "finish_reason": "error",
                "native_finish_reason": "error",
            }
            error = {"code": number, "message": message}
            return {**writer.document([choice], error=error), "object": ChunkWriter.kind}
        case "text":
            return message.encode()
        case _:
            return error_document(message, number, code)


def error_reply(status: int, message: str, fault: Fault, code: str | None) -> Reply:
    """Write an error answer of the protocol."""
    document = odd_error(message, fault.error_shape, status, code=code)
    return (
        Reply(status, document, "text/plain; charset=utf-8")
        if isinstance(document, bytes)
        else Reply(status, dump(document))
    )


def made_up_logprobs(text: str, top: int) -> LogProbs:
    """Make log probabilities of a piece as if it were one token, with `top` candidates."""
    token = {"token": text, "logprob": -0.25, "bytes": list(text.encode())}
    return LogProbs(
        {
            "content": [{**token, "top_logprobs": [{**token, "logprob": -0.25 - n} for n in range(top)]}],
            "refusal": None,
        }
    )


def count_tokens(messages: Iterable[Mapping[str, Any]]) -> int:
    """Count a prompt's tokens, one for each word, so that tests know the number."""
    return sum(len(str(message.get("content") or "").split()) for message in messages)


def _count(writer: AnswerWriter, prompt_tokens: int) -> None:
    """Count one token for each part where the answer's script gives no usage."""
    writer.usage = writer.usage or Usage(prompt_tokens, writer.parts)
