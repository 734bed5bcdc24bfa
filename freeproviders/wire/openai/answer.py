"""Reading an answer of the chat completions protocol.

Many services speak it and each a little differently, so the reading is tolerant of what is unknown,
missing, null or out of order, and strict only about whether there is an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, Final

from freeproviders.errors import (
    ContentFilterError,
    FreeProvidersError,
    MalformedResponseError,
    ProviderError,
    ResponseTooLargeError,
    ServerError,
    TruncatedResponseError,
)
from freeproviders.types import (
    Alternative,
    Batch,
    Completion,
    Finish,
    FinishReason,
    LogProbs,
    Refusal,
    Text,
    Usage,
    collect,
)
from freeproviders.types.parts import USAGE_DETAILS
from freeproviders.wire.failure import (
    ReportedError,
    blocked,
    classify,
    error_in_success,
    excerpt,
    looks_like_html,
    read_reported_error,
)
from freeproviders.wire.json import dumps, from_json
from freeproviders.wire.limits import AllowanceHeaders
from freeproviders.wire.openai.alike import AlikeEvents
from freeproviders.wire.openai.calls import CallAssembler
from freeproviders.wire.parts import PartDecoder
from freeproviders.wire.signs import Sign
from freeproviders.wire.sse import UNFRAMED, Event, SSEDecoder
from freeproviders.wire.text import BOM, mended, mended_json

MAX_DOCUMENT_BYTES: Final = 64 * 2**20
MAX_STRAY_BYTES: Final = 2048
"""The bytes that are kept of lines outside of events, enough for the text of an error."""
MAX_EVENTS_IN_ONE: Final = 10_000
"""The most events that are told apart where the blank lines between them are missing."""
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

_BLANK: Final = BOM + b" \t\r\n"
_END: Final = b"[DONE]"
HEARTBEATS: Final = frozenset({b"", b"ping", b"heartbeat", b"keepalive", b"keep-alive"})
_COSTS: Final = ("cost", "cost_usd_total", "estimated_cost")
_PLAIN_KEYS: Final = frozenset({"role", "content"})


class ChunkReader(PartDecoder):
    """Reads the documents of the protocol, however a service frames them.

    `signs` tell the service's refusals apart, which come inside answers too, and `announces` how it
    repeats its limits in them.
    """

    signs: Sequence[Sign] = ()
    announces: Sequence[AllowanceHeaders] = ()

    def __init__(self, *, logprobs: bool = False, deltas: bool = False, origin: str = "") -> None:
        """Make a reader.

        Args:
            logprobs: whether log probabilities are expected in a stream.
            deltas: whether pieces of tool calls go out as they come.
            origin: the service, whose additions to tool calls are kept by this name.
        """
        super().__init__()
        self._calls = CallAssembler(origin)
        self._alike = AlikeEvents()
        self._logprobs = logprobs
        self.shows_calls = deltas

    @property
    def _plain(self) -> bool:
        """Whether the fields beside a frame's text can be passed over."""
        return self.model is not None and not self.half and not self._logprobs

    def events(self, events: list[Event], batch: Batch, *, at_end: bool = False) -> None:
        """Decode events.

        The loop's body is the hot path: a frame that holds a piece of text and nothing else takes
        no call but the decoder's. Frames of halves of surrogate pairs never do, since the strict
        decoder refuses them; while one is held, no frame does.
        """
        append, chars, known, plain = batch.append, 0, self._plain, None
        try:
            for name, payload in events:
                try:
                    frame = from_json(payload)
                except ValueError as error:
                    if chars:
                        chars = self._said(chars)
                    self.odd_event(name, payload, batch, error, at_end=at_end)
                    if self.done:
                        break  # what follows in the same read counts as little as in the next one
                    known = self._plain
                    continue
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
                    and "error" not in choice
                    and "error" not in frame
                    and known
                ):
                    append(Text(content))
                    chars += len(content)
                    plain = payload, frame
                else:
                    if chars:
                        chars = self._said(chars)
                    if name == "error":
                        raise self.reported(frame, payload)
                    self.chunk(frame, batch)
                    known = self._plain
        finally:
            if chars:
                self._said(chars)
        if plain is not None:
            self._alike.learn(len(events), *plain)

    def _said(self, chars: int) -> int:
        """Count characters of text, and set their number to zero."""
        self.output_chars += chars
        self.progress += 1
        self.answered = True
        return 0

    def odd_event(self, name: str, payload: bytes, batch: Batch, error: ValueError, *, at_end: bool) -> None:
        """Read an event that is not JSON; `error` says why."""
        del name
        try:
            frame = self.read_json(payload)
        except ValueError:
            cls = TruncatedResponseError if at_end else MalformedResponseError
            raise cls(f"An event holds no JSON: {error}.", body=excerpt(payload)) from error
        self.chunk(frame, batch)

    def chunk(self, frame: Any, batch: Batch) -> None:
        """Read one chunk of a stream, or whatever else came in its place."""
        if not isinstance(frame, dict):
            self._refuse(frame)
            return
        if self.model is None:
            self._identify(frame)
        choices = frame.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if isinstance(choice, dict):
            for said in (frame, choice):  # one service writes its error into the choice
                if said.get("error"):
                    self._refuse(said)  # whatever it says beside that: content may be a blank
            # some services send whole messages as events
            message = choice.get("delta") or choice.get("message")
            if self._logprobs:
                self._probable(choice, batch)
            if isinstance(message, dict):
                self._message(message, batch)
            reason = choice.get("finish_reason")
            if reason is not None:
                self._reason(reason, frame)
                self._origin(frame)
        elif "error" in frame or (choices is None and "usage" not in frame):
            self._refuse(frame)
        usage = frame.get("usage")
        if usage is not None:
            self.usage = _usage(usage) or self.usage
            self._origin(frame)
        elif isinstance(frame.get("x_groq"), dict):
            self.usage = _usage(frame["x_groq"].get("usage")) or self.usage

    def document(self, body: bytes, batch: Batch) -> None:
        """Read the whole answer as one document."""
        try:
            document = self.read_json(body)
        except ValueError as error:
            raise TruncatedResponseError(f"The answer is not complete JSON: {error}.") from error
        choices = document.get("choices") if isinstance(document, dict) else None
        choices = choices if isinstance(choices, list) else []
        choice = choices[0] if choices else None
        if not isinstance(choice, dict):
            self._refuse(document)
            raise MalformedResponseError("The answer holds no choices.")
        if document.get("error"):
            self._refuse(document)
        self._identify(document)
        self.usage = _usage(document.get("usage"))
        self.choice(choice, document, batch)
        self.complete(batch)
        for other in choices[1:]:
            if isinstance(other, dict):
                batch.append(Alternative(self._other(other, document)))

    def choice(self, choice: Mapping[str, Any], document: Mapping[str, Any], batch: Batch) -> None:
        """Read a choice of a whole answer."""
        if choice.get("error"):
            self._refuse(choice)
        self._probable(choice, batch)
        message = choice.get("message") or choice.get("delta")
        if isinstance(message, dict):
            self._message(message, batch)
        if isinstance(choice.get("text"), str) and choice["text"]:
            self.text(choice["text"], batch)
        if choice.get("finish_reason") is not None:
            self._reason(choice["finish_reason"], document)

    def _other(self, choice: Mapping[str, Any], document: Mapping[str, Any]) -> Completion:
        """Read a further choice of a whole answer, which counts as an answer of its own."""
        reader, batch = ChatDecoder(origin=self._calls.origin), Batch()
        reader.lenient = self.lenient
        reader.choice(choice, document, batch)
        reader.complete(batch)
        self.output_chars += reader.output_chars
        finish = Finish(reader.reason or "unknown", model=self.model or "", raw_reason=reader.raw_reason)
        return collect([*batch, Usage(0, 0), finish])  # the first answer's usage is that of all

    def complete(self, batch: Batch) -> None:
        """Note that the service has confirmed the end of the answer."""
        self.done = True
        self.end(batch)

    def end(self, batch: Batch) -> None:
        """End text and tool calls, since nothing more comes."""
        if self.half:
            self.end_text(batch)
        batch.extend(self._calls.halves())
        calls = self._calls.complete(truncated=self.reason == "length")
        if calls:
            batch.extend(calls)
            self.answered = True
            self.reason = "tool_calls"  # one service says "stop"

    def reported(self, frame: object, payload: bytes) -> FreeProvidersError:
        """Return the error of an event or line that is named an error."""
        if frame is None:
            try:
                frame = self.read_json(payload)
            except ValueError:
                frame = None
        return self._refused(
            error_in_success(frame) or ReportedError(excerpt(payload) or "The service failed"), payload
        )

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
        """Read what a delta may hold beside its content."""
        for key in ("reasoning_content", "reasoning"):
            reasoning = delta.get(key)
            if isinstance(reasoning, str) and reasoning:
                self.reasoning(reasoning, batch)
                break  # some say it under both names
        details = delta.get("reasoning_details")
        if isinstance(details, list):
            self._calls.beside(details)
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            for call in calls:
                if isinstance(call, dict):
                    self._call(call, batch)
        call = delta.get("function_call")
        if isinstance(call, dict):  # the protocol of 2023, which some services still speak
            self._call({"index": 0, "function": call}, batch)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._refusal(refusal, batch)

    def _call(self, delta: Mapping[str, Any], batch: Batch) -> None:
        """Read a piece of a tool call."""
        self.output_chars += self._calls.add(delta, batch if self.shows_calls else None)
        self.progress += 1

    def _refusal(self, text: str, batch: Batch) -> None:
        """Append a piece of the words with which the model refuses."""
        batch.append(Refusal(mended(text) if self.lenient else text))
        self.answered = True
        self.progress += 1
        self.output_chars += len(text)

    def _probable(self, choice: Mapping[str, Any], batch: Batch) -> None:
        """Append the log probabilities of a choice, if it has any."""
        values = choice.get("logprobs")
        if isinstance(values, dict) and any(values.values()):
            batch.append(LogProbs(mended_json(values) if self.lenient else values))

    def _odd_content(self, content: object, batch: Batch) -> None:
        """Read content as a list of chunks, as thinking models of one service have it."""
        if not isinstance(content, list):
            return
        for chunk in content:
            if isinstance(chunk, str) and chunk:
                self.text(chunk, batch)
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
        self.raw_reason = mended(str(reason))
        if self.raw_reason == "error":
            self._refuse(frame)
            raise ServerError("The service ended the answer with an error.")
        self.reason = REASONS.get(self.raw_reason, "unknown")
        if self.reason == "content_filter" and not self.progress:
            raise ContentFilterError("The service's content filter stopped the answer.")

    def _identify(self, frame: Mapping[str, Any]) -> None:
        model, identity = frame.get("model"), frame.get("id")
        if isinstance(model, str) and model:  # one service's first frame names neither
            self.model = mended(model)
        if isinstance(identity, str) and identity:
            self.response_id = mended(identity)
        self._origin(frame)

    def _origin(self, frame: Mapping[str, Any]) -> None:
        """Note what a frame tells of the machine that answers, which may come first or last."""
        fingerprint, tier = frame.get("system_fingerprint"), frame.get("service_tier")
        if isinstance(fingerprint, str) and fingerprint:
            self.system_fingerprint = mended(fingerprint)
        if isinstance(tier, str) and tier:
            self.service_tier = mended(tier)

    def _refuse(self, frame: object) -> None:
        """Raise if a frame is an error in disguise; an unknown frame is let through."""
        reported = error_in_success(frame)
        if reported is not None:
            raise self._refused(reported, frame)
        if self.signs and (reported := read_reported_error(frame)) is not None:
            error = self._refused(reported, frame)
            if error.sign is not None:
                raise error

    def _refused(self, reported: ReportedError, source: object) -> ProviderError:
        """Return the error for what a part of an answer reported; `source` is that part."""
        if not self.signs:
            return classify(None, reported)
        body = source if isinstance(source, bytes) else dumps(source)
        return classify(None, reported, signs=self.signs, announces=self.announces, body=body)


class ChatDecoder(ChunkReader):
    """Reads an answer: server-sent events, or one JSON document where nothing is streamed."""

    def __init__(self, *, logprobs: bool = False, deltas: bool = False, origin: str = "") -> None:
        super().__init__(logprobs=logprobs, deltas=deltas, origin=origin)
        self._sse = SSEDecoder(keep_unframed=True)
        self._document: list[bytes] | None = None
        self._size = 0
        self._started = False
        self._stray: list[bytes] = []  # the first lines that belong to no event
        self._stray_size = 0

    def decode(self, data: bytes, batch: Batch) -> None:
        """Decode one network read into the batch."""
        if self.done:
            return
        if not self._started:
            blank, data = len(data), data.lstrip(_BLANK)  # which means nothing in either form
            self._count(blank - len(data))
            if not data:
                return
            self._started = True
            if data[:1] in {b"{", b"["}:
                self._document = []
        if self._document is not None:
            self._document.append(data)
            self._count(len(data))
            return
        if not self._alike.is_known:
            beginning = self._alike.sample(data)
            self.events(self._sse.feed(beginning), batch)
            data = data[len(beginning) :]
            if not data or self.done:
                return
        if self._alike.is_known and self._plain and (whole := self._sse.resume(data)):
            size, chars = self._alike.take(whole, batch)
            if chars:
                self._said(chars)
            data = whole[size:]
            if not data:
                return
        self.events(self._sse.feed(data), batch)

    def finish(self, batch: Batch) -> None:
        """Decode what is left at the end of the body into the batch."""
        if self._document is not None:
            self.document(b"".join(self._document), batch)
            return
        self.events(self._sse.close(), batch, at_end=True)
        if self.done:
            return
        if self.raw_reason is None:
            if self._stray:
                raise self._stray_error()
            if self._calls.open:
                raise TruncatedResponseError("The answer ended inside a tool call.")
        self.end(batch)
        self.confirmed = self.raw_reason is not None

    def _count(self, size: int) -> None:
        """Count bytes that are kept until the end, or that say nothing."""
        self._size += size
        if self._size > MAX_DOCUMENT_BYTES:
            raise ResponseTooLargeError(f"The answer is longer than {MAX_DOCUMENT_BYTES} bytes.")

    def odd_event(self, name: str, payload: bytes, batch: Batch, error: ValueError, *, at_end: bool) -> None:
        """Read an event that is not JSON: the end, a heartbeat, a stray line, an error."""
        text = payload.strip(_BLANK)
        if text.startswith(_END):
            if self._stray and not self.answered:
                raise self._stray_error()
            self.complete(batch)
        elif text in HEARTBEATS:
            return
        elif name == UNFRAMED:
            self._unframed(text, batch, error)
        elif name == "error":
            raise self._refused(ReportedError(excerpt(payload)), payload)
        elif b"\n" in payload:
            self._odd_lines(name, payload, batch, error, at_end=at_end)
        else:
            super().odd_event(name, payload, batch, error, at_end=at_end)

    def _odd_lines(self, name: str, payload: bytes, batch: Batch, error: ValueError, *, at_end: bool) -> None:
        """Read data of several lines: one event, or events without the blank line between them."""
        try:
            frame = self.read_json(payload)
        except ValueError:
            lines = payload.split(b"\n")
            if len(lines) > MAX_EVENTS_IN_ONE:
                raise MalformedResponseError(
                    f"An event holds no JSON: {error}.", body=excerpt(payload)
                ) from error
            self.events([(name, line) for line in lines], batch, at_end=at_end)
        else:
            self.chunk(frame, batch)

    def _unframed(self, line: bytes, batch: Batch, error: ValueError) -> None:
        """Keep a line that belongs to no event; after a byte order mark it may be data."""
        if line.startswith(b"data:"):
            self.odd_event("message", line[5:], batch, error, at_end=False)
        elif line.startswith(b"error:"):
            raise self.reported(None, line[6:])
        elif self._stray_size < MAX_STRAY_BYTES:
            self._stray.append(line[:MAX_STRAY_BYTES])
            self._stray_size += len(line)

    def _stray_error(self) -> FreeProvidersError:
        """Return the error for an answer of lines without events: a page, or an error as text."""
        body = b"\n".join(self._stray)
        if looks_like_html(body):
            return blocked(body)
        try:
            reported = error_in_success(self.read_json(body))
        except ValueError:
            reported = None
        if reported is not None:
            return self._refused(reported, body)
        error = self._refused(ReportedError(excerpt(body)), body)
        if error.sign is not None or not isinstance(error, ServerError):
            return error
        what = (
            "The answer ended in lines that are no events."
            if self.progress
            else "The answer holds no events."
        )
        return MalformedResponseError(what, body=excerpt(body))


def _usage(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(prompt, int) and not isinstance(completion, int):
        return None
    details: dict[str, Any] = {}
    for group, names in USAGE_DETAILS.items():
        given = usage.get(group)
        if isinstance(given, dict):
            for name, key in names.items():
                if (count := given.get(key)).__class__ is int:  # and no bool
                    details[name] = count
    return Usage(_count(prompt) or 0, _count(completion) or 0, cost=_cost(usage), **details)


def _cost(usage: Mapping[str, Any]) -> float | None:
    """Read what a service says that the answer has cost, None where it says nothing.

    OpenRouter has `cost`, and for a key of the user's own at another service what that one takes
    beside it; LLM Gateway `cost_usd_total`, DeepInfra `estimated_cost`, Perplexity an object.
    """
    cost = None
    for name in _COSTS:
        if (cost := usage.get(name)) is not None:
            break
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    found = None if cost is None else _money(cost)
    details = usage.get("cost_details")
    if usage.get("is_byok") is True and isinstance(details, dict):
        upstream = _money(details.get("upstream_inference_cost"))
        found = upstream if found is None else found + (upstream or 0.0)
    return found


def _money(value: object) -> float | None:
    """Read an amount that is a number or a text of one; nothing below zero, and nothing endless."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = float(value)
    except (ValueError, OverflowError):
        return None
    return amount if 0 <= amount < inf else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
