"""From the core's parts to LangChain's chunks and messages.

Validating an `AIMessageChunk` and the `ChatGenerationChunk` around it costs more than everything else that happens to a token, and for a piece of text the
outcome is always the same but for the text. So it is validated once, and each piece is a copy of that with its own text and fresh containers. `_makers`
compares such copies with validated ones when the module is loaded: should LangChain or pydantic change what these classes hold, every chunk is validated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import BaseModel

from freeproviders.types import Completion, Finish, Part, Reasoning, Text, ToolCall, Usage
from freeproviders.wire.json import dumps

REASONING: Final = "reasoning_content"
"""Where LangChain looks for a model's thinking: a key of `additional_kwargs`."""
FIRST_CALL_INDEX: Final = 100
"""Tool calls are numbered from here: under output version v1 LangChain numbers text and reasoning from 0, and merges blocks of the same number."""

# --- a piece of text ------------------------------------------------------------------------------


def validated_text(text: str) -> ChatGenerationChunk:
    """A piece of the answer, made the usual way."""
    return ChatGenerationChunk(message=AIMessageChunk(content=text))


def validated_reasoning(text: str) -> ChatGenerationChunk:
    """A piece of the model's thinking, made the usual way."""
    return ChatGenerationChunk(message=AIMessageChunk(content="", additional_kwargs={REASONING: text}))


class Copier:
    """Makes pieces as copies of a validated one."""

    def __init__(self, template: ChatGenerationChunk) -> None:
        message = template.message
        self._chunk, self._chunk_set = template.__dict__.copy(), template.__pydantic_fields_set__.copy()
        self._message, self._message_set = message.__dict__.copy(), message.__pydantic_fields_set__.copy()
        self.text = self._make(
            None if message.__pydantic_extra__ is None else {},
            None if template.__pydantic_extra__ is None else {},
        )

    def _make(
        self, message_extra: dict[str, Any] | None, chunk_extra: dict[str, Any] | None
    ) -> Callable[[str], ChatGenerationChunk]:
        # All names are locals of a closure and each slot is set through its own descriptor: this runs once for every token.
        make_message, make_chunk = (
            partial(object.__new__, AIMessageChunk),
            partial(object.__new__, ChatGenerationChunk),
        )
        message_values, message_set, chunk_values, chunk_set = (
            self._message,
            self._message_set,
            self._chunk,
            self._chunk_set,
        )
        slots = BaseModel.__dict__
        set_dict, set_fields = slots["__dict__"].__set__, slots["__pydantic_fields_set__"].__set__
        set_extra, set_private = slots["__pydantic_extra__"].__set__, slots["__pydantic_private__"].__set__

        def copied(text: str) -> ChatGenerationChunk:
            values = message_values.copy()
            values["content"] = text
            values["additional_kwargs"], values["response_metadata"] = {}, {}
            values["tool_calls"], values["invalid_tool_calls"], values["tool_call_chunks"] = [], [], []
            message = make_message()
            set_dict(message, values)
            set_fields(message, message_set.copy())
            set_extra(message, message_extra if message_extra is None else {})
            set_private(message, None)
            values = chunk_values.copy()
            values["text"], values["message"] = text, message
            chunk = make_chunk()
            set_dict(chunk, values)
            set_fields(chunk, chunk_set.copy())
            set_extra(chunk, chunk_extra if chunk_extra is None else {})
            set_private(chunk, None)
            return chunk

        return copied

    def reasoning(self, text: str) -> ChatGenerationChunk:
        """A piece of the model's thinking."""
        chunk = self.text("")
        message = chunk.message
        message.__dict__["additional_kwargs"] = {REASONING: text}
        message.__pydantic_fields_set__.add("additional_kwargs")
        return chunk


def same(one: BaseModel, other: BaseModel) -> bool:
    """Whether two models cannot be told apart: values, fields set, extra and private state, and the same of a message inside."""
    state = ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
    if type(one) is not type(other) or one != other or one.__dict__.keys() != other.__dict__.keys():
        return False
    if any(getattr(one, name) != getattr(other, name) for name in state):
        return False
    return not isinstance(one, ChatGenerationChunk) or same(one.message, other.__dict__["message"])


def own(one: BaseModel, other: BaseModel) -> bool:
    """Whether two models share nothing that can change."""
    shared = [
        value
        for name, value in one.__dict__.items()
        if isinstance(value, dict | list | set | BaseModel) and value is other.__dict__[name]
    ]
    return not shared and one.__pydantic_fields_set__ is not other.__pydantic_fields_set__


def _makers() -> tuple[Callable[[str], ChatGenerationChunk], Callable[[str], ChatGenerationChunk]]:
    """The quick ways to make text and reasoning, if they lead to the same place as the usual ones."""
    try:
        copier = Copier(validated_text(""))
        for copied, validated in ((copier.text, validated_text), (copier.reasoning, validated_reasoning)):
            one, other = copied("a piece"), copied("a piece")
            if not (same(one, validated("a piece")) and own(one, other) and own(one.message, other.message)):
                return validated_text, validated_reasoning
    except Exception:  # noqa: BLE001 - whatever pydantic may do in a version to come, the usual way works
        return validated_text, validated_reasoning
    return copier.text, copier.reasoning


text_chunk, reasoning_chunk = _makers()


# --- a stream -------------------------------------------------------------------------------------


class ChunkWriter:
    """Turns the parts of one stream into chunks; metadata comes once, on the last of them."""

    def __init__(self, model_provider: str, *, shows_usage: bool = True) -> None:
        self._model_provider = model_provider
        self._shows_usage = shows_usage
        self._usage: Usage | None = None
        self._calls = 0

    def write(self, part: Part) -> ChatGenerationChunk | None:
        """The chunk for one part; None for usage, which goes with the last chunk."""
        match part:
            case Text():
                return text_chunk(part.text)
            case Reasoning():
                return reasoning_chunk(part.text)
            case ToolCall():
                return self._call(part)
            case Finish():
                return self._last(part)
            case Usage():
                self._usage = part
        return None

    def _call(self, call: ToolCall) -> ChatGenerationChunk:
        chunk = tool_call_chunk(
            name=call.name,
            args=dumps(call.arguments).decode(),
            id=call.id,
            index=FIRST_CALL_INDEX + self._calls,
        )
        self._calls += 1
        return ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[chunk]))

    def _last(self, finish: Finish) -> ChatGenerationChunk:
        usage = self._usage
        message = AIMessageChunk(
            content="",
            response_metadata=response_metadata(finish, usage, self._model_provider),
            usage_metadata=usage_metadata(usage) if usage is not None and self._shows_usage else None,
            chunk_position="last",
        )
        return ChatGenerationChunk(message=message)


# --- a whole answer -------------------------------------------------------------------------------


def result(completion: Completion, model_provider: str) -> ChatResult:
    """A whole answer as LangChain's result."""
    message = AIMessage(
        content=completion.text,
        additional_kwargs={REASONING: completion.reasoning} if completion.reasoning else {},
        tool_calls=[
            tool_call(name=call.name, args=dict(call.arguments), id=call.id) for call in completion.tool_calls
        ],
        response_metadata=response_metadata(completion.finish, completion.usage, model_provider),
        usage_metadata=usage_metadata(completion.usage),
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


def response_metadata(finish: Finish, usage: Usage | None, model_provider: str) -> dict[str, Any]:
    """Who answered, with which model, and how it ended; what goes without saying is left out."""
    metadata: dict[str, Any] = {
        "model_name": finish.model,
        "model_provider": model_provider,
        "finish_reason": finish.reason,
        "provider": finish.provider,
        "attempts": finish.attempts,
    }
    if finish.raw_reason is not None and finish.raw_reason != finish.reason:
        metadata["raw_finish_reason"] = finish.raw_reason
    if not finish.confirmed:
        metadata["confirmed"] = False
    if finish.response_id is not None:
        metadata["id"] = finish.response_id
    if usage is not None and usage.estimated:
        metadata["usage_estimated"] = True
    return metadata


def usage_metadata(usage: Usage) -> UsageMetadata:
    """Tokens as LangChain counts them."""
    metadata = UsageMetadata(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=usage.total_tokens
    )
    if usage.cached_tokens is not None:
        metadata["input_token_details"] = {"cache_read": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        metadata["output_token_details"] = {"reasoning": usage.reasoning_tokens}
    return metadata
