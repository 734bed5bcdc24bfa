"""Writing answers in the chat completions protocol: chunks, one document, errors.

All functions return dictionaries, which a server then encodes and frames. `answer` reads such
answers.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from freeproviders.types import (
    Alternative,
    Completion,
    Finish,
    InvalidToolCall,
    LogProbs,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolCallDelta,
    Usage,
    joined_logprobs,
)

ARGUMENT_CHARS: Final = 7
"""How much of a call's arguments a "split" delta carries: little enough to cut words and escapes."""
DELTA_STYLES: Final = ("split", "whole", "merged", "interleaved")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerStyle:
    """The form of a service's answers, where services differ.

    `tool_deltas` is "split" (a call's arguments over many deltas), "whole" (one delta for each
    call), "merged" (consecutive calls in one delta) or "interleaved" (the deltas of consecutive
    calls take turns, the last call first). `tool_index` False leaves the index of calls out.
    `reasoning_key` names thinking. `call_extra` writes what the service adds to a tool call, as
    Gemini its signature. `role_content` says whether the first chunk has an empty text
    beside the role.
    """

    tool_deltas: str = "split"
    tool_index: bool = True
    reasoning_key: str = "reasoning_content"
    role_content: bool = True
    call_extra: Callable[[ToolCall | InvalidToolCall], Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        if self.tool_deltas not in DELTA_STYLES:
            raise ValueError(
                f'tool_deltas must be "split", "whole", "merged" or "interleaved", not {self.tool_deltas!r}.'
            )


class AnswerWriter:
    """The common part of chunks and whole documents: names, the reason of the end, usage."""

    kind = "chat.completion"

    def __init__(
        self,
        model: str,
        style: AnswerStyle | None = None,
        *,
        answer_id: str | None = None,
        created: int | None = None,
        system_fingerprint: str | None = None,
        service_tier: str | None = None,
    ) -> None:
        self.model = model
        self.system_fingerprint = system_fingerprint
        self.service_tier = service_tier
        self.style = style or AnswerStyle()
        self.id = answer_id or f"chatcmpl-{secrets.token_hex(12)}"
        self.created = int(time.time()) if created is None else created
        self.finish_reason = "stop"
        self.usage: Usage | None = None
        self.parts = 0
        """Parts of content so far: text, reasoning and calls."""

    def note(self, part: Part) -> bool:
        """Keep what a part tells about the whole answer; return whether it is content."""
        match part:
            case Usage():
                self.usage = part
                return False
            case Finish():
                self.finish_reason = "stop" if part.reason == "unknown" else part.reason
                self.system_fingerprint = part.system_fingerprint or self.system_fingerprint
                self.service_tier = part.service_tier or self.service_tier
                return False
            case LogProbs() | ToolCallDelta() | Alternative():
                return False  # about content, or a piece of what comes whole
            case ToolCall() | InvalidToolCall():
                self.finish_reason = "tool_calls"
        self.parts += 1
        return True

    def written(self, call: ToolCall | InvalidToolCall) -> dict[str, Any]:
        """Write a tool call, with what the service adds to it."""
        extra = self.style.call_extra
        return call.to_openai() if extra is None else {**call.to_openai(), **extra(call)}

    def document(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """A document of the protocol with these choices."""
        return {
            "id": self.id,
            "object": self.kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.system_fingerprint,
            **({} if self.service_tier is None else {"service_tier": self.service_tier}),
            "choices": choices,
            **more,
        }


class ChunkWriter(AnswerWriter):
    """Writes an answer as the chunks of a stream.

    `include_usage` is the request's `stream_options.include_usage`. Frame each chunk as an event,
    and send the event `[DONE]` after those of `end`.
    """

    kind = "chat.completion.chunk"

    def __init__(
        self, model: str, style: AnswerStyle | None = None, *, include_usage: bool = False, **names: Any
    ) -> None:
        super().__init__(model, style, **names)
        self._include_usage = include_usage
        self._calls: list[ToolCall | InvalidToolCall] = []  # consecutive ones, where they are to be mixed
        self._call_count = 0
        self._logprobs: Mapping[str, Any] | None = None  # those of the next piece

    def start(self) -> dict[str, Any]:
        """The first chunk, which names the role."""
        role = {"role": "assistant"}
        return self.delta({**role, "content": ""} if self.style.role_content else role)

    def part(self, part: Part) -> list[dict[str, Any]]:
        """Return the chunks of one part; none for usage and finish, which come at the end."""
        if isinstance(part, LogProbs):
            self._logprobs = part.values
        if not self.note(part):
            return []
        if isinstance(part, ToolCall | InvalidToolCall):
            self._calls.append(part)
            return self.flush() if self.style.tool_deltas in {"split", "whole"} else []
        chunks = self.flush()
        match part:
            case Text(text):
                chunks.append(self.delta({"content": text}))
            case Reasoning(text):
                chunks.append(self.delta({self.style.reasoning_key: text}))
            case Refusal(text):
                chunks.append(self.delta({"refusal": text}))
        return chunks

    def end(self, **more: Any) -> list[dict[str, Any]]:
        """Return the last chunks: the reason of the end and, where asked for, the usage."""
        return [*self.flush(), self.finish(**more), *self.usage_chunks()]

    def finish(self, **more: Any) -> dict[str, Any]:
        """Return the chunk with the reason of the end; `more` are further fields of it."""
        return self.delta({}, finish_reason=self.finish_reason, **more)

    def usage_chunks(self) -> list[dict[str, Any]]:
        """The chunk of the usage, where the request asked for one."""
        if not self._include_usage:
            return []
        return [self.document([], usage=(self.usage or Usage(0, 0)).to_openai())]

    @property
    def is_held(self) -> bool:
        """Whether something waits for the next chunk: a call, or log probabilities."""
        return bool(self._calls) or self._logprobs is not None

    def delta(self, delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
        """A chunk of one delta; `more` are further fields of it."""
        logprobs, self._logprobs = self._logprobs, None
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return self.document([choice], **({"usage": None} if self._include_usage else {}), **more)

    def flush(self) -> list[dict[str, Any]]:
        """The chunks of calls that were held so that their deltas could be mixed."""
        calls, self._calls = self._calls, []
        if not calls:
            return []
        at = self._call_count
        self._call_count += len(calls)
        numbered = [(at + n, self.written(call)) for n, call in enumerate(calls)]
        if self.style.tool_deltas == "whole":
            return [self._call_deltas([self._indexed(index, call)]) for index, call in numbered]
        if self.style.tool_deltas == "merged":
            return [self._call_deltas([self._indexed(index, call) for index, call in numbered])]
        turns = itertools.zip_longest(*(self._split(index, call) for index, call in reversed(numbered)))
        return [self._call_deltas([delta]) for turn in turns for delta in turn if delta is not None]

    def _split(self, index: int, call: dict[str, Any]) -> list[dict[str, Any]]:
        """Write a call as many deltas: its name alone, then its arguments in small pieces."""
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        pieces = [arguments[at : at + ARGUMENT_CHARS] for at in range(0, len(arguments), ARGUMENT_CHARS)]
        return [
            self._indexed(index, {**call, "function": {"name": name, "arguments": ""}}),
            *(self._indexed(index, {"function": {"arguments": piece}}) for piece in pieces),
        ]

    def _call_deltas(self, deltas: list[dict[str, Any]]) -> dict[str, Any]:
        return self.delta({"tool_calls": deltas})

    def _indexed(self, index: int, delta: dict[str, Any]) -> dict[str, Any]:
        return {"index": index, **delta} if self.style.tool_index else delta


class DocumentWriter(AnswerWriter):
    """Writes an answer as one document."""

    def __init__(self, model: str, style: AnswerStyle | None = None, **names: Any) -> None:
        super().__init__(model, style, **names)
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[ToolCall | InvalidToolCall] = []
        self._refusal: list[str] = []
        self._logprobs: dict[str, Any] | None = None
        self._others: list[Completion] = []

    def part(self, part: Part) -> None:
        """Take one part."""
        self.note(part)
        match part:
            case Text(text):
                self._text.append(text)
            case Reasoning(text):
                self._reasoning.append(text)
            case ToolCall() | InvalidToolCall():
                self._calls.append(part)
            case Refusal(text):
                self._refusal.append(text)
            case LogProbs(values):
                self._logprobs = joined_logprobs(self._logprobs, values)
            case Alternative(completion):
                self._others.append(completion)

    def end(self, *, finish: bool = True) -> dict[str, Any]:
        """Return the document; `finish` False leaves out the reason of the end."""
        return self._written(self._collected(), finish=finish)

    def whole(self, answer: Completion, **more: Any) -> dict[str, Any]:
        """Return the document of an answer that was collected; `more` are further fields of it."""
        self.usage = answer.usage
        if answer.tool_calls or answer.invalid_tool_calls:
            self.finish_reason = "tool_calls"
        self.note(answer.finish)
        return self._written(answer, **more)

    def _collected(self) -> Completion:
        return Completion(
            "".join(self._text),
            "".join(self._reasoning),
            tuple([call for call in self._calls if isinstance(call, ToolCall)]),
            self.usage or Usage(0, 0),
            Finish(),
            refusal="".join(self._refusal),
            logprobs=self._logprobs,
            others=tuple(self._others),
            invalid_tool_calls=tuple([call for call in self._calls if isinstance(call, InvalidToolCall)]),
        )

    def _written(self, first: Completion, *, finish: bool = True, **more: Any) -> dict[str, Any]:
        choices = [self._choice(n, answer) for n, answer in enumerate([first, *first.others])]
        choices[0]["finish_reason"] = self.finish_reason if finish else None
        return self.document(choices, usage=first.usage.to_openai(), **more)

    def _choice(self, index: int, answer: Completion) -> dict[str, Any]:
        calls = answer.tool_calls + answer.invalid_tool_calls
        without_text = calls or answer.refusal
        message: dict[str, Any] = {
            "role": "assistant",
            "content": answer.text if answer.text or not without_text else None,
            "refusal": answer.refusal or None,
        }
        if answer.reasoning:
            message[self.style.reasoning_key] = answer.reasoning
        if calls:
            message["tool_calls"] = [self.written(call) for call in calls]
        return {
            "index": index,
            "message": message,
            "logprobs": answer.logprobs,
            "finish_reason": answer.finish.reason,
        }


def error_document(
    message: str,
    status: int = 500,
    code: str | int | None = None,
    *,
    kind: str = "",
    param: str | None = None,
) -> dict[str, Any]:
    """An error, as the body of an answer with that status or as an event inside a stream.

    `kind` is OpenAI's `type`, "" for the usual one of the status; `param` names the field that is
    to blame.
    """
    kind = kind or ("invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
