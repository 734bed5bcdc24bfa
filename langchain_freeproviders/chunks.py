"""Conversion of the core's parts to LangChain's chunks and messages.

Each piece of text is a quick copy of a chunk that was validated once; `freeproviders.templates`
says how and why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from freeproviders.templates import quick_or_validated, template
from freeproviders.types import Completion, Finish, InvalidToolCall, Part, Reasoning, ToolCall, Usage
from freeproviders.wire.json import dumps

REASONING: Final = "reasoning_content"
"""Where LangChain looks for a model's thinking: a key of `additional_kwargs`."""
FIRST_CALL_INDEX: Final = 100
"""The number of the first tool call.

Under output version v1 LangChain numbers text and reasoning from 0, and merges blocks of the same
number.
"""

# --- a piece of text ------------------------------------------------------------------------------


def validated_text(text: str) -> ChatGenerationChunk:
    """Make a piece of the answer the usual way."""
    return ChatGenerationChunk(message=AIMessageChunk(content=text))


def validated_reasoning(text: str) -> ChatGenerationChunk:
    """Make a piece of the model's thinking the usual way."""
    return ChatGenerationChunk(message=AIMessageChunk(content="", additional_kwargs={REASONING: text}))


def quick_text() -> Callable[[str], ChatGenerationChunk]:
    """Return the function that makes a piece of the answer as a copy of a template."""
    validated = validated_text("")
    message_values, make_message = template(validated.message)
    chunk_values, make_chunk = template(validated)
    new_message_values, new_chunk_values = message_values.copy, chunk_values.copy

    def copied(text: str) -> ChatGenerationChunk:
        message = new_message_values()
        message["content"] = text
        message["additional_kwargs"], message["response_metadata"] = {}, {}
        message["tool_calls"], message["invalid_tool_calls"], message["tool_call_chunks"] = [], [], []
        chunk = new_chunk_values()
        chunk["text"], chunk["message"] = text, make_message(message)
        return make_chunk(chunk)

    return copied


def quick_reasoning() -> Callable[[str], ChatGenerationChunk]:
    """Return the function that makes a piece of the model's thinking as a copy of a template."""
    validated = validated_reasoning("")
    message_values, make_message = template(validated.message)
    chunk_values, make_chunk = template(validated)
    new_message_values, new_chunk_values = message_values.copy, chunk_values.copy

    def copied(text: str) -> ChatGenerationChunk:
        message = new_message_values()
        message["additional_kwargs"], message["response_metadata"] = {REASONING: text}, {}
        message["tool_calls"], message["invalid_tool_calls"], message["tool_call_chunks"] = [], [], []
        chunk = new_chunk_values()
        chunk["message"] = make_message(message)
        return make_chunk(chunk)

    return copied


text_chunk: Final = quick_or_validated(quick_text, validated_text, "a piece")
reasoning_chunk: Final = quick_or_validated(quick_reasoning, validated_reasoning, "a piece")


# --- a stream -------------------------------------------------------------------------------------


class ChunkWriter:
    """Turns the parts of one stream into chunks; metadata comes once, on the last chunk."""

    text = staticmethod(text_chunk)

    def __init__(self, model_provider: str, *, shows_usage: bool = True) -> None:
        self._model_provider = model_provider
        self._shows_usage = shows_usage
        self._usage: Usage | None = None
        self._calls = 0

    def other(self, part: Part) -> ChatGenerationChunk | None:
        """Make the chunk for a part that is no text; None for usage, which the last chunk has."""
        match part:
            case Reasoning():
                return reasoning_chunk(part.text)
            case ToolCall():
                return self._call(part.id, part.name, dumps(part.arguments).decode())
            case InvalidToolCall():
                return self._call(part.id, part.name, _never_arguments(part))
            case Finish():
                return self._last(part)
            case Usage():
                self._usage = part
        return None

    def _call(self, identity: str, name: str, args: str) -> ChatGenerationChunk:
        chunk = tool_call_chunk(name=name, args=args, id=identity, index=FIRST_CALL_INDEX + self._calls)
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
    """Make LangChain's result of a whole answer."""
    message = AIMessage(
        content=completion.text,
        additional_kwargs={REASONING: completion.reasoning} if completion.reasoning else {},
        tool_calls=[
            tool_call(name=call.name, args=dict(call.arguments), id=call.id) for call in completion.tool_calls
        ],
        invalid_tool_calls=[
            invalid_tool_call(
                name=call.name,
                args=_never_arguments(call),
                id=call.id,
                error=f"{call.error} The model wrote: {call.text}",
            )
            for call in completion.invalid_tool_calls
        ],
        response_metadata=response_metadata(completion.finish, completion.usage, model_provider),
        usage_metadata=usage_metadata(completion.usage),
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


def _never_arguments(call: InvalidToolCall) -> str:
    """Write what the model gave as arguments so that nobody takes it for arguments.

    LangChain completes the JSON that the chunks of a stream add up to: `{"path": "/etc/pas` would
    become a call. What begins with these words is JSON in no reading.
    """
    return f"Not a JSON object: {call.text}"


def response_metadata(finish: Finish, usage: Usage | None, model_provider: str) -> dict[str, Any]:
    """Describe the answer: provider, model, and the reason of its end.

    What goes without saying is left out.
    """
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
    """Write token counts as LangChain has them."""
    metadata = UsageMetadata(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=usage.total_tokens
    )
    if usage.cached_tokens is not None:
        metadata["input_token_details"] = {"cache_read": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        metadata["output_token_details"] = {"reasoning": usage.reasoning_tokens}
    return metadata
