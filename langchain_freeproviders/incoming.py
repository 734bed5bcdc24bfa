"""Conversion of the chunks of LangChain's chat models of any package to the core's parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import add_ai_message_chunks

from freeproviders.foreign import finish_reason
from freeproviders.types import (
    Batch,
    CallExtra,
    Finish,
    InvalidToolCall,
    LogProbs,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
    new_call_id,
)
from freeproviders.wire.json import dumps
from freeproviders.wire.openai.calls import CallAssembler
from langchain_freeproviders.chunks import INPUT_DETAILS, OUTPUT_DETAILS
from langchain_freeproviders.outgoing import BESIDE, CONTENT

_REASONS: Final = ("finish_reason", "stop_reason", "done_reason")
_THOUGHTS: Final[Mapping[str, str]] = {"reasoning": "reasoning", "thinking": "thinking"}
"""Types of blocks with a model's thinking, each with the key of its text."""
_SHOWN_BESIDE: Final = frozenset(
    {"reasoning_content", "reasoning", "refusal", "tool_calls", "function_call", "audio", "parsed"}
)
"""What is read out of `additional_kwargs`, or says again what the message says."""


class MessageReader:
    """Reads the messages of one answer, whole or in chunks; a tool call comes once it is whole.

    `origin` names the model to which what it added to its calls goes back.
    """

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._calls = CallAssembler()
        self._whole: list[ToolCall | InvalidToolCall] = []
        self._metadata: dict[str, Any] = {}
        self._usage: Usage | None = None
        self._read: list[AIMessage] = []
        self._keeps = False
        self.began = False
        """Whether any of the answer has come."""

    def read(self, message: BaseMessage) -> Batch:
        """Read a chunk, or a whole message; return what can be shown of it."""
        out: Batch = []
        self._content(message.content, out)
        self._beside(message.additional_kwargs, out)
        if isinstance(message, AIMessageChunk):
            for chunk in message.tool_call_chunks:
                function = {"name": chunk["name"], "arguments": chunk["args"]}
                self._calls.add({"index": chunk["index"], "id": chunk["id"], "function": function})
        elif isinstance(message, AIMessage):
            self._calls_of(message)
        if isinstance(message, AIMessage):
            if message.usage_metadata is not None:
                usage = _usage(message.usage_metadata)
                self._usage = usage if self._usage is None else self._usage + usage
            self._described(message.response_metadata, out)
            self._read.append(message)
        self.began = self.began or bool(out) or self._calls.open or bool(self._whole)
        return out

    def end(self) -> Batch:
        """Return what comes last: the calls, the tokens, why the answer ended, and which model gave it."""
        metadata = self._metadata
        word = next((metadata[key] for key in _REASONS if metadata.get(key)), None)
        reason = finish_reason(word)
        calls = [*self._whole, *self._calls.complete(truncated=reason == "length")]
        out: Batch = [*self._with_what_came_along(calls)]
        if self._usage is not None:
            out.append(self._usage)
        headers = metadata.get("headers")
        finish = Finish(
            reason=reason or ("tool_calls" if calls else "unknown"),
            model=_text(metadata.get("model_name")) or _text(metadata.get("model")),
            raw_reason=_text(word) or None,
            confirmed=reason is not None,
            response_id=_text(metadata.get("id")) or None,
            system_fingerprint=_text(metadata.get("system_fingerprint")) or None,
            service_tier=_text(metadata.get("service_tier")) or None,
            headers={str(name): str(value) for name, value in headers.items()}
            if isinstance(headers, Mapping)
            else None,
        )
        return [*out, finish]

    # --- what a message holds ---

    def _content(self, content: str | list[Any], out: Batch) -> None:
        if isinstance(content, str):
            if content:
                out.append(Text(content))
            return
        for block in content:
            if (part := _part(block)) is not None:
                out.append(part)
            self._keeps = self._keeps or _is_kept(block)

    def _beside(self, beside: Mapping[str, Any], out: Batch) -> None:
        if not beside:
            return
        for key in ("reasoning_content", "reasoning"):
            if thought := _text(beside.get(key)):
                out.insert(0, Reasoning(thought))
                break
        if refusal := _text(beside.get("refusal")):
            out.append(Refusal(refusal))
        self._keeps = self._keeps or any(key not in _SHOWN_BESIDE for key in beside)

    def _calls_of(self, message: AIMessage) -> None:
        for call in message.tool_calls:
            self._whole.append(ToolCall(call["id"] or new_call_id(), call["name"], call["args"]))
        for bad in message.invalid_tool_calls:
            name, text = bad["name"] or "", bad["args"] or ""
            error = bad["error"] or f"The tool call {name!r} has arguments that are no JSON object."
            self._whole.append(InvalidToolCall(bad["id"] or new_call_id(), name, text, error))

    def _described(self, metadata: Mapping[str, Any], out: Batch) -> None:
        if not metadata:
            return
        logprobs = metadata.get("logprobs")
        if isinstance(logprobs, Mapping) and logprobs:
            out.append(LogProbs(dict(logprobs)))
        self._metadata.update({key: value for key, value in metadata.items() if value})

    # --- what goes back with the calls ---

    def _with_what_came_along(
        self, calls: list[ToolCall | InvalidToolCall]
    ) -> Iterable[ToolCall | InvalidToolCall]:
        first = next((n for n, call in enumerate(calls) if isinstance(call, ToolCall)), None)
        if first is None or not self._keeps:
            return calls
        message = _added_up(self._read)
        beside = {key: value for key, value in message.additional_kwargs.items() if key not in _SHOWN_BESIDE}
        kept: dict[str, Any] = {BESIDE: beside} if beside else {}
        if isinstance(message.content, list) and any(_is_kept(block) for block in message.content):
            kept[CONTENT] = message.content
        try:
            dumps(kept)
        except ValueError:
            return calls  # what is no plain data cannot be saved with a conversation
        call = calls[first]
        if isinstance(call, ToolCall):
            calls[first] = replace(call, extra=CallExtra(self._origin, beside=kept))
        return calls


def _added_up(messages: list[AIMessage]) -> AIMessage:
    """Add up what came along in LangChain's way; metadata, which may not add up, is left out."""
    total, *others = [
        message
        if not isinstance(message, AIMessageChunk)
        else AIMessageChunk(content=message.content, additional_kwargs=message.additional_kwargs)
        for message in messages
    ]
    if others and isinstance(total, AIMessageChunk):
        return add_ai_message_chunks(total, *[one for one in others if isinstance(one, AIMessageChunk)])
    return total


def _part(block: object) -> Part | None:
    """Read a block of a message's content; None for what is no words of the model."""
    if isinstance(block, str):
        return Text(block) if block else None
    if not isinstance(block, Mapping):
        return None
    kind = block.get("type")
    if kind in {"text", "output_text", None} and (text := _text(block.get("text"))):
        return Text(text)
    if (key := _THOUGHTS.get(str(kind))) and (thought := _text(block.get(key))):
        return Reasoning(thought)
    if kind == "refusal" and (refusal := _text(block.get("refusal"))):
        return Refusal(refusal)
    return None


def _is_kept(block: object) -> bool:
    """Return whether a block is a model's thinking or has more to it than words."""
    if not isinstance(block, Mapping):
        return False
    kind = block.get("type")
    return kind in {"thinking", "redacted_thinking", "reasoning"} or "signature" in block or "extras" in block


def _usage(counts: Mapping[str, Any]) -> Usage:
    into, out = counts.get("input_token_details") or {}, counts.get("output_token_details") or {}
    details: dict[str, Any] = {name: into.get(key) for key, name in INPUT_DETAILS.items()}
    details |= {name: out.get(key) for key, name in OUTPUT_DETAILS.items()}
    return Usage(int(counts.get("input_tokens") or 0), int(counts.get("output_tokens") or 0), **details)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
