"""From the core's parts to LangChain's chunks and messages.

Validating an `AIMessageChunk` and the `ChatGenerationChunk` around it costs more than everything else that happens to a token, and for a piece of text the
outcome is always the same but for the text. So it is validated once, and each piece is a copy of that with its own text and fresh containers. `_check`
compares such a copy with the validated original when the module is loaded: should LangChain ever change what these classes hold, every chunk is validated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from freeproviders.types import Batch, Completion, Finish, Reasoning, Text, ToolCall, Usage
from freeproviders.wire.json import dumps

REASONING: Final = "reasoning_content"
"""Where LangChain looks for a model's thinking: a key of `additional_kwargs`."""
FIRST_CALL_INDEX: Final = 100
"""Tool calls are numbered from here: under output version v1 LangChain numbers text and reasoning from 0, and merges blocks of the same number."""

_new, _set = object.__new__, object.__setattr__


# --- a piece of text ------------------------------------------------------------------------------


def validated_text(text: str) -> ChatGenerationChunk:
    """A piece of the answer, made the usual way."""
    return ChatGenerationChunk(message=AIMessageChunk(content=text))


def validated_reasoning(text: str) -> ChatGenerationChunk:
    """A piece of the model's thinking, made the usual way."""
    return ChatGenerationChunk(message=AIMessageChunk(content="", additional_kwargs={REASONING: text}))


_TEMPLATE: Final = validated_text("")
_MESSAGE: Final = _TEMPLATE.message.__dict__
_MESSAGE_SET: Final = _TEMPLATE.message.__pydantic_fields_set__
_CHUNK: Final = _TEMPLATE.__dict__
_CHUNK_SET: Final = _TEMPLATE.__pydantic_fields_set__


def copied_text(text: str) -> ChatGenerationChunk:
    """A piece of the answer, as a copy of a validated one."""
    values = _MESSAGE.copy()
    values["content"] = text
    values["additional_kwargs"], values["response_metadata"] = {}, {}
    values["tool_calls"], values["invalid_tool_calls"], values["tool_call_chunks"] = [], [], []
    message = _new(AIMessageChunk)
    _set(message, "__dict__", values)
    _set(message, "__pydantic_fields_set__", _MESSAGE_SET.copy())
    _set(message, "__pydantic_extra__", None)
    _set(message, "__pydantic_private__", None)
    values = _CHUNK.copy()
    values["text"], values["message"] = text, message
    chunk = _new(ChatGenerationChunk)
    _set(chunk, "__dict__", values)
    _set(chunk, "__pydantic_fields_set__", _CHUNK_SET.copy())
    _set(chunk, "__pydantic_extra__", None)
    _set(chunk, "__pydantic_private__", None)
    return chunk


def copied_reasoning(text: str) -> ChatGenerationChunk:
    """A piece of the model's thinking, as a copy of a validated one."""
    chunk = copied_text("")
    message = chunk.message
    message.__dict__["additional_kwargs"] = {REASONING: text}
    message.__pydantic_fields_set__.add("additional_kwargs")
    return chunk


def same(one: Any, other: Any) -> bool:  # noqa: ANN401 - any pydantic model
    """Whether two models cannot be told apart: values, fields set, extra and private state, and the same of the message inside."""
    if type(one) is not type(other) or one.__dict__.keys() != other.__dict__.keys():
        return False
    state = ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
    if any(getattr(one, name) != getattr(other, name) for name in state) or one != other:
        return False
    return not hasattr(one, "message") or same(one.message, other.message)


def _check(copied: Callable[[str], ChatGenerationChunk], validated: Callable[[str], ChatGenerationChunk]) -> Callable[[str], ChatGenerationChunk]:
    """The quick way, if it leads to the same place."""
    try:
        one, other = copied("a piece"), copied("a piece")
        mutable = [name for name, value in one.message.__dict__.items() if isinstance(value, dict | list | set)]
        own = all(one.message.__dict__[name] is not other.message.__dict__[name] for name in mutable)
        return copied if own and same(one, validated("a piece")) else validated
    except Exception:  # noqa: BLE001 - whatever pydantic may do in a version to come, the slow way works
        return validated


text_chunk = _check(copied_text, validated_text)
reasoning_chunk = _check(copied_reasoning, validated_reasoning)


# --- a stream -------------------------------------------------------------------------------------


class ChunkWriter:
    """Turns the batches of one stream into chunks; metadata comes once, on the last of them."""

    def __init__(self, model_provider: str) -> None:
        self._model_provider = model_provider
        self._usage: Usage | None = None
        self._calls = 0

    def write(self, batch: Batch) -> list[ChatGenerationChunk]:
        """The chunks of one batch, one for each part but usage."""
        chunks = []
        for part in batch:
            kind = part.__class__
            if kind is Text:
                chunks.append(text_chunk(part.text))  # type: ignore[union-attr]  # mypy does not follow __class__
            elif kind is Reasoning:
                chunks.append(reasoning_chunk(part.text))  # type: ignore[union-attr]
            elif isinstance(part, ToolCall):
                chunks.append(self._call(part))
            elif isinstance(part, Usage):
                self._usage = part
            elif isinstance(part, Finish):
                chunks.append(self._last(part))
        return chunks

    def _call(self, call: ToolCall) -> ChatGenerationChunk:
        chunk = tool_call_chunk(name=call.name, args=dumps(call.arguments).decode(), id=call.id, index=FIRST_CALL_INDEX + self._calls)
        self._calls += 1
        return ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[chunk]))

    def _last(self, finish: Finish) -> ChatGenerationChunk:
        usage = self._usage
        message = AIMessageChunk(
            content="",
            response_metadata=response_metadata(finish, usage, self._model_provider),
            usage_metadata=usage_metadata(usage) if usage is not None else None,
            chunk_position="last",
        )
        return ChatGenerationChunk(message=message)


# --- a whole answer -------------------------------------------------------------------------------


def result(completion: Completion, model_provider: str) -> ChatResult:
    """A whole answer as LangChain's result."""
    message = AIMessage(
        content=completion.text,
        additional_kwargs={REASONING: completion.reasoning} if completion.reasoning else {},
        tool_calls=[tool_call(name=call.name, args=dict(call.arguments), id=call.id) for call in completion.tool_calls],
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
    metadata = UsageMetadata(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=usage.total_tokens)
    if usage.cached_tokens is not None:
        metadata["input_token_details"] = {"cache_read": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        metadata["output_token_details"] = {"reasoning": usage.reasoning_tokens}
    return metadata
