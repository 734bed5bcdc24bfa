"""LlamaIndex responses from core parts: whole ones, and the chunks of a stream.

Validating a `ChatResponse` with its message and block costs several times what decoding the chunk did, so a chunk is a copy of one that was validated once:
its `__dict__` and containers are new, nothing is shared. `fast_copies_are_exact` compares the copies with validated objects; if a future pydantic or
LlamaIndex makes them differ, chunks are validated one by one instead.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ContentBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from pydantic import BaseModel

from freeproviders.types import Batch, Completion, Finish, Part, Reasoning, Text, ToolCall, Usage
from freeproviders.wire.json import dumps

ModelT = TypeVar("ModelT", bound=BaseModel)

LONG_TEXT: Final = 16_384
"""Characters of text or thinking after which the pieces of one network read go out as one chunk: each chunk holds all of it so far, and copying that for
each of many small pieces would make a long stream quadratic. Whoever adds up the deltas, as chat engines and agents do, gets the same text."""

_new = object.__new__
_set = object.__setattr__


class _Template:
    """A validated object to be copied; the containers in it must be replaced by whoever copies."""

    def __init__(self, model: BaseModel) -> None:
        self._cls = type(model)
        self._fields = dict(model.__dict__)
        self._fields_set = set(model.model_fields_set)

    def copy(self) -> tuple[Any, dict[str, Any]]:
        """A new object and its `__dict__`."""
        model, fields = _new(self._cls), self._fields.copy()
        _set(model, "__dict__", fields)
        _set(model, "__pydantic_fields_set__", self._fields_set.copy())
        _set(model, "__pydantic_extra__", None)
        _set(model, "__pydantic_private__", None)
        return model, fields


_BLOCK: Final = _Template(TextBlock(text=""))
_MESSAGE: Final = _Template(ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text="")]))
_CHAT: Final = _Template(
    ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text="")]), delta="")
)
_LAST: Final = _Template(
    ChatResponse(
        message=ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text="")]), delta="", raw={}
    )
)
_COMPLETION: Final = _Template(CompletionResponse(text="", delta=""))


def _fast_message(text: str) -> ChatMessage:
    block, fields = _BLOCK.copy()
    fields["text"] = text
    message, fields = _MESSAGE.copy()
    fields["additional_kwargs"] = {}
    fields["blocks"] = [block]
    return message  # type: ignore[no-any-return]  # what a template copies has no static type


def _fast_chat_chunk(text: str, delta: str) -> ChatResponse:
    response, fields = _CHAT.copy()
    fields["message"] = _fast_message(text)
    fields["delta"] = delta
    fields["additional_kwargs"] = {}
    return response  # type: ignore[no-any-return]  # as above


def _fast_last_chunk(text: str, raw: dict[str, Any]) -> ChatResponse:
    response, fields = _LAST.copy()
    fields["message"] = _fast_message(text)
    fields["raw"] = raw
    fields["additional_kwargs"] = {}
    return response  # type: ignore[no-any-return]  # as above


def _validated_chat_chunk(text: str, delta: str) -> ChatResponse:
    return ChatResponse(
        message=ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text=text)]), delta=delta
    )


def _validated_last_chunk(text: str, raw: dict[str, Any]) -> ChatResponse:
    return ChatResponse(
        message=ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text=text)]), delta="", raw=raw
    )


def _fast_completion_chunk(text: str, delta: str) -> CompletionResponse:
    response, fields = _COMPLETION.copy()
    fields["text"] = text
    fields["delta"] = delta
    fields["additional_kwargs"] = {}
    return response  # type: ignore[no-any-return]  # as above


def _validated_completion_chunk(text: str, delta: str) -> CompletionResponse:
    return CompletionResponse(text=text, delta=delta)


def identical(a: BaseModel, b: BaseModel) -> bool:
    """Whether two objects cannot be told apart, down to which fields count as set, here and in the models they hold."""
    if (
        type(a) is not type(b)
        or a != b
        or a.model_fields_set != b.model_fields_set
        or a.model_dump() != b.model_dump()
    ):
        return False
    if a.__pydantic_private__ != b.__pydantic_private__ or a.__pydantic_extra__ != b.__pydantic_extra__:
        return False
    pairs = zip(_models_in(a), _models_in(b), strict=True)
    return all(identical(one, other) for one, other in pairs)


def _models_in(model: BaseModel) -> list[BaseModel]:
    found: list[BaseModel] = []
    for value in model.__dict__.values():
        items = value if isinstance(value, list) else [value]
        found.extend(item for item in items if isinstance(item, BaseModel))
    return found


def fast_copies_are_exact() -> bool:
    """Whether copied chunks equal validated ones with the installed versions."""
    try:
        return (
            identical(_fast_chat_chunk("so far", "far"), _validated_chat_chunk("so far", "far"))
            and identical(_fast_last_chunk("all", {"usage": {}}), _validated_last_chunk("all", {"usage": {}}))
            and identical(
                _fast_completion_chunk("so far", "far"), _validated_completion_chunk("so far", "far")
            )
        )
    except (AttributeError, TypeError, ValueError):
        return False


_exact: Final = fast_copies_are_exact()
chat_chunk: Final = _fast_chat_chunk if _exact else _validated_chat_chunk
last_chunk: Final = _fast_last_chunk if _exact else _validated_last_chunk
completion_chunk: Final = _fast_completion_chunk if _exact else _validated_completion_chunk


# --- the parts of an answer, added up -------------------------------------------------------------


class ChatAssembler:
    """Turns the parts of one answer into chunks whose `message` is the answer so far and whose `delta` is what is new.

    The last chunk has no new text; it repeats the whole message and carries `raw`. `names` maps the tool names that the model was given
    to the tools' own.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self._text = ""
        self._reasoning = ""
        self._calls: list[ToolCall] = []
        self._usage: Usage | None = None
        self._names = names or {}
        self._plain = True
        """Nothing but text so far: the quick way."""

    def prepared(self, batch: Batch) -> Batch:
        """The batch as it should be taken: see `LONG_TEXT`."""
        return (
            _merged(batch) if len(self._text) + len(self._reasoning) > LONG_TEXT and len(batch) > 1 else batch
        )

    def take(self, part: Part) -> ChatResponse | None:
        """Add a part; the chunk to send, if the part makes one."""
        if type(part) is Text and self._plain:
            self._text = text = self._text + part.text
            return chat_chunk(text, part.text)
        match part:
            case Text():
                self._text += part.text
                return ChatResponse(message=self._message(), delta=part.text)
            case Reasoning():
                self._plain = False
                self._reasoning += part.text
                return ChatResponse(
                    message=self._message(), delta="", additional_kwargs={"thinking_delta": part.text}
                )
            case ToolCall():
                self._plain = False
                self._calls.append(part)
                return ChatResponse(message=self._message(), delta="")
            case Usage():
                self._usage = part
                return None
            case Finish():
                if self._plain and self._text:
                    return last_chunk(self._text, raw_of(part, self._usage))
                return ChatResponse(message=self._message(), delta="", raw=raw_of(part, self._usage))

    def whole(self, completion: Completion) -> ChatResponse:
        """The response to a call that does not stream."""
        self._text, self._reasoning, self._calls, self._usage = (
            completion.text,
            completion.reasoning,
            list(completion.tool_calls),
            completion.usage,
        )
        return ChatResponse(message=self._message(), raw=raw_of(completion.finish, completion.usage))

    def _message(self) -> ChatMessage:
        blocks: list[ContentBlock] = []
        if self._reasoning:
            blocks.append(
                ThinkingBlock(
                    content=self._reasoning, num_tokens=self._usage.reasoning_tokens if self._usage else None
                )
            )
        if self._text:
            blocks.append(TextBlock(text=self._text))
        blocks.extend(
            [
                ToolCallBlock(
                    tool_call_id=call.id,
                    tool_name=self._names.get(call.name, call.name),
                    tool_kwargs=dict(call.arguments),
                )
                for call in self._calls
            ]
        )
        return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=self._legacy_calls())

    def _legacy_calls(self) -> dict[str, Any]:
        """The calls once more, as the OpenAI protocol writes them: LlamaIndex looks here for whether there are any. JSON only, so that agents' contexts can be saved."""
        if not self._calls:
            return {}
        return {
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {
                        "name": self._names.get(call.name, call.name),
                        "arguments": dumps(call.arguments).decode(),
                    },
                }
                for call in self._calls
            ]
        }


class CompletionAssembler:
    """The same for completions, which hold text alone: thinking shows as the `thinking_delta` of a stream's chunks, and nowhere in a whole response."""

    def __init__(self) -> None:
        self._text = ""
        self._usage: Usage | None = None

    def prepared(self, batch: Batch) -> Batch:
        """The batch as it should be taken: see `LONG_TEXT`."""
        return _merged(batch) if len(self._text) > LONG_TEXT and len(batch) > 1 else batch

    def take(self, part: Part) -> CompletionResponse | None:
        """Add a part; the chunk to send, if the part makes one."""
        match part:
            case Text():
                self._text = text = self._text + part.text
                return completion_chunk(text, part.text)
            case Reasoning():
                return CompletionResponse(
                    text=self._text, delta="", additional_kwargs={"thinking_delta": part.text}
                )
            case Usage():
                self._usage = part
            case Finish():
                return CompletionResponse(text=self._text, delta="", raw=raw_of(part, self._usage))
        return None

    def whole(self, completion: Completion) -> CompletionResponse:
        """The response to a call that does not stream."""
        return CompletionResponse(text=completion.text, raw=raw_of(completion.finish, completion.usage))


def raw_of(finish: Finish, usage: Usage | None) -> dict[str, Any]:
    """What is known about a finished answer, as plain data: LlamaIndex's token counter reads `usage` in it."""
    raw: dict[str, Any] = {
        "provider": finish.provider,
        "model": finish.model,
        "finish_reason": finish.reason,
        "confirmed": finish.confirmed,
        "attempts": finish.attempts,
    }
    if finish.response_id is not None:
        raw["id"] = finish.response_id
    if usage is not None:
        raw["usage"] = usage_dict(usage)
    return raw


def usage_dict(usage: Usage) -> dict[str, Any]:
    """Token counts by the names that LlamaIndex and the OpenAI protocol have for them."""
    counts: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "estimated": usage.estimated,
    }
    if usage.reasoning_tokens is not None:
        counts["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    if usage.cached_tokens is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    return counts


def _merged(batch: Sequence[Part]) -> Batch:
    """Neighbouring pieces of text as one, and of thinking."""
    out: Batch = []
    for kind, parts in itertools.groupby(batch, type):
        if kind is Text or kind is Reasoning:
            out.append(kind("".join([part.text for part in parts if isinstance(part, Text | Reasoning)])))
        else:
            out.extend(parts)
    return out
