"""Reading an answer of the chat completions protocol.

Many services speak it and each a little differently, so the reading is tolerant of what is unknown,
missing, null or out of order, and strict only about whether there is an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from freeproviders.errors import (
    ContentFilterError,
    MalformedResponseError,
    ResponseTooLargeError,
    ServerError,
    TruncatedResponseError,
)
from freeproviders.types import Batch, FinishReason, Text, Usage
from freeproviders.wire.failure import ReportedError, classify, error_in_success, excerpt, looks_like_html
from freeproviders.wire.json import from_json, loads
from freeproviders.wire.openai.calls import CallAssembler
from freeproviders.wire.parts import PartDecoder
from freeproviders.wire.sse import Event, SSEDecoder

_HEAD_BYTES: Final = 512
MAX_DOCUMENT_BYTES: Final = 64 * 2**20
REASONS: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}

_BLANK: Final = b"\xef\xbb\xbf \t\r\n"
_PLAIN_KEYS: Final = frozenset({"role", "content"})


class ChatDecoder(PartDecoder):
    """Reads an answer: server-sent events, or one JSON document where the service does not stream, whatever was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._sse = SSEDecoder()
        self._document: list[bytes] | None = None
        self._head = b""
        self._started = False
        self._calls = CallAssembler()

    def decode(self, data: bytes, batch: Batch) -> None:
        """Decode one network read into the batch."""
        if self.done:
            return
        if not self._started:
            head = data.lstrip(_BLANK)
            if not head:
                self._sse.feed(data)  # nothing but blank lines, in either form
                return
            self._started = True
            self._head = head[:_HEAD_BYTES]
            if head[:1] in {b"{", b"["}:
                self._document = []
                self._size = 0
                data = head
        elif not self.progress and len(self._head) < _HEAD_BYTES:
            self._head += data[:_HEAD_BYTES]
        if self._document is not None:
            self._document.append(data)
            self._size += len(data)
            if self._size > MAX_DOCUMENT_BYTES:
                raise ResponseTooLargeError(f"the answer is longer than {MAX_DOCUMENT_BYTES} bytes.")
            return
        self._events(self._sse.feed(data), batch)

    def finish(self, batch: Batch) -> None:
        """Decode what is left at the end of the body into the batch."""
        if self._document is not None:
            self._whole(b"".join(self._document), batch)
            return
        self._events(self._sse.close(), batch, at_end=True)
        if self.done:
            return
        if self._calls.open and self.raw_reason is None:
            raise TruncatedResponseError("the answer ended inside a tool call.")
        if not self.progress and self._head:
            self._not_the_protocol()
        self._complete(batch)
        self.confirmed = self.raw_reason is not None

    def _events(self, events: list[Event], batch: Batch, *, at_end: bool = False) -> None:
        """Decode events. The loop's body is the hot path: a frame that holds a piece of text and nothing else takes no call but the decoder's."""
        append, chars, known = batch.append, 0, self.model is not None
        try:
            for _, payload in events:
                try:
                    frame = from_json(payload)
                except ValueError as error:
                    if payload == b"[DONE]":
                        self._complete(batch)
                        break  # what follows in the same read counts as little as in the next one
                    cls = TruncatedResponseError if at_end else MalformedResponseError
                    raise cls(f"an event holds no JSON: {error}.", body=excerpt(payload)) from error
                try:
                    choice = frame["choices"][0]
                    delta = choice["delta"]
                    content = delta["content"]
                except (KeyError, IndexError, TypeError):
                    content = None
                if (
                    content.__class__ is str
                    and content
                    and (len(delta) == 1 or (len(delta) == 2 and "role" in delta))
                    and choice.get("finish_reason") is None
                    and frame.get("usage") is None
                    and known
                ):
                    append(Text(content))
                    chars += len(content)
                else:
                    self._frame(frame, batch)
                    known = self.model is not None
        finally:
            if chars:
                self.output_chars += chars
                self.progress += 1
                self.answered = True

    def _frame(self, frame: Any, batch: Batch) -> None:
        """Decode a frame of any content."""
        if not isinstance(frame, dict):
            self._refuse(frame)
            return
        if self.model is None:
            self._identify(frame)
        choices = frame.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if isinstance(choice, dict):
            message = choice.get("delta") or choice.get(
                "message"
            )  # some services send whole messages as events
            if isinstance(message, dict):
                self._message(message, batch)
            reason = choice.get("finish_reason")
            if reason is not None:
                self._reason(reason, frame)
            if frame.get("error"):
                self._refuse(frame)
        elif "error" in frame or (choices is None and "usage" not in frame):
            self._refuse(frame)
        usage = frame.get("usage")
        if usage is not None:
            self.usage = _usage(usage) or self.usage
        elif isinstance(frame.get("x_groq"), dict):
            self.usage = _usage(frame["x_groq"].get("usage")) or self.usage

    def _whole(self, body: bytes, batch: Batch) -> None:
        """A JSON document instead of a stream."""
        try:
            document = loads(body)
        except ValueError as error:
            raise TruncatedResponseError(f"the answer is not complete JSON: {error}.") from error
        choices = document.get("choices") if isinstance(document, dict) else None
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            self._refuse(document)
            raise MalformedResponseError("the answer holds no choices.")
        self._identify(document)
        self.usage = _usage(document.get("usage"))
        message = choice.get("message") or choice.get("delta")
        if isinstance(message, dict):
            self._message(message, batch)
        if isinstance(choice.get("text"), str) and choice["text"]:
            self.text(choice["text"], batch)
        if choice.get("finish_reason") is not None:
            self._reason(choice["finish_reason"], document)
        if document.get("error"):
            self._refuse(document)
        self._complete(batch)

    def _message(self, message: Mapping[str, Any], batch: Batch) -> None:
        for key, value in message.items():
            if value and key not in _PLAIN_KEYS:
                self._others(message, batch)
                break
        content = message.get("content")
        if not isinstance(content, str):
            self._odd_content(content, batch)
        elif content:
            self.text(content, batch)

    def _others(self, delta: Mapping[str, Any], batch: Batch) -> None:
        """What a delta may hold beside its content."""
        for key in ("reasoning_content", "reasoning"):
            reasoning = delta.get(key)
            if isinstance(reasoning, str) and reasoning:
                self.reasoning(reasoning, batch)
                break  # some say it under both names
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            for call in calls:
                if isinstance(call, dict):
                    self._calls.add(call)
                    self.progress += 1
        call = delta.get("function_call")
        if isinstance(call, dict):  # the protocol of 2023, which some services still speak
            self._calls.add({"index": 0, "function": call})
            self.progress += 1
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self.text(refusal, batch)

    def _odd_content(self, content: object, batch: Batch) -> None:
        """Content as a list of chunks, as thinking models of one service have it."""
        if not isinstance(content, list):
            return
        for chunk in content:
            if not isinstance(chunk, dict):
                continue
            if isinstance(chunk.get("text"), str) and chunk["text"]:
                self.text(chunk["text"], batch)
            thinking = chunk.get("thinking")
            if isinstance(thinking, list):
                thinking = "".join(
                    piece["text"]
                    for piece in thinking
                    if isinstance(piece, dict) and isinstance(piece.get("text"), str)
                )
            if isinstance(thinking, str) and thinking:
                self.reasoning(thinking, batch)

    def _reason(self, reason: object, frame: Mapping[str, Any]) -> None:
        self.raw_reason = str(reason)
        if self.raw_reason == "error":
            self._refuse(frame)
            raise ServerError("the service ended the answer with an error.")
        self.reason = REASONS.get(self.raw_reason, "unknown")
        if self.reason == "content_filter" and not self.progress:
            raise ContentFilterError("the service's content filter stopped the answer.")

    def _complete(self, batch: Batch) -> None:
        """The answer is whole: now tool calls are, too."""
        self.done = True
        calls = self._calls.complete(truncated=self.reason == "length")
        if calls:
            batch.extend(calls)
            self.answered = True
            self.reason = "tool_calls"  # one service says "stop"

    def _identify(self, frame: Mapping[str, Any]) -> None:
        model, identity = frame.get("model"), frame.get("id")
        self.model = (
            model if isinstance(model, str) and model else None
        )  # one service's first frame names neither
        self.response_id = identity if isinstance(identity, str) and identity else self.response_id

    def _refuse(self, frame: object) -> None:
        """Raise if the frame is an error in disguise; an unknown frame is let through."""
        reported = error_in_success(frame)
        if reported is not None:
            raise classify(None, reported)

    def _not_the_protocol(self) -> None:
        """There was a body, but no event: an error page, or an error as plain text."""
        if looks_like_html(self._head) or self._head.startswith(
            (b"data:", b":", b"event:", b"id:", b"retry:")
        ):
            return  # the exchange knows what to say of a page and of an empty stream
        text = excerpt(self._head)
        error = classify(None, ReportedError(text))
        raise (
            error
            if not isinstance(error, ServerError)
            else MalformedResponseError("the answer holds no events.")
        )


def _usage(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(prompt, int) and not isinstance(completion, int):
        return None
    return Usage(
        _count(prompt) or 0,
        _count(completion) or 0,
        reasoning_tokens=_detail(usage, "completion_tokens_details", "reasoning_tokens"),
        cached_tokens=_detail(usage, "prompt_tokens_details", "cached_tokens"),
    )


def _detail(usage: Mapping[str, Any], group: str, key: str) -> int | None:
    details = usage.get(group)
    return _count(details.get(key)) if isinstance(details, dict) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
