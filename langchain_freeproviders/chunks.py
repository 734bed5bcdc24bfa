"""Conversion of the core's parts to LangChain's chunks and messages.

Each piece of text is a quick copy of a chunk that was validated once; `freeproviders.templates`
says how and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self, cast

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from freeproviders.templates import quick_or_validated, template
from freeproviders.types import (
    CALL_EXTRAS,
    Completion,
    Draft,
    Finish,
    InvalidToolCall,
    LogProbs,
    Part,
    Reasoning,
    Refusal,
    Seam,
    ToolCall,
    ToolCallDelta,
    Usage,
    extras_to_save,
)
from freeproviders.wire.json import dumps

if TYPE_CHECKING:
    from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails

REASONING: Final = "reasoning_content"
REFUSAL: Final = "refusal"
"""Where LangChain looks for a model's thinking: a key of `additional_kwargs`."""
FIRST_CALL_INDEX: Final = 100
"""The number of the first tool call.

Under output version v1 LangChain numbers text and reasoning from 0, and merges blocks of the same
number.
"""

INPUT_DETAILS: Final[Mapping[str, str]] = {
    "cache_read": "cached_tokens",
    "cache_creation": "cache_write_tokens",
    "audio": "input_audio_tokens",
}
OUTPUT_DETAILS: Final[Mapping[str, str]] = {"reasoning": "reasoning_tokens", "audio": "output_audio_tokens"}
"""LangChain's names of the details of a `Usage`."""

RESET: Final[Mapping[str, Any]] = {"reset": True, "keep": 0}
"""The metadata of a chunk that says: the answer begins anew, of what came before nothing is kept."""

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


def _info(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what handlers look for beside the message, as ChatOpenAI has it there."""
    return {name: metadata[name] for name in ("finish_reason", "logprobs") if name in metadata}


def validated_last(metadata: dict[str, Any], usage: UsageMetadata | None) -> ChatGenerationChunk:
    """Make the chunk with which a stream ends the usual way."""
    message = AIMessageChunk(
        content="", response_metadata=metadata, usage_metadata=usage, chunk_position="last"
    )
    return ChatGenerationChunk(message=message, generation_info=_info(metadata))


def quick_last() -> Callable[[dict[str, Any], UsageMetadata | None], ChatGenerationChunk]:
    """Return the function that makes the chunk with which a stream ends as a copy of a template.

    It keeps the mappings it is given.
    """
    validated = validated_last({}, None)
    message_values, make_message = template(validated.message)
    chunk_values, make_chunk = template(validated)

    def copied(metadata: dict[str, Any], usage: UsageMetadata | None) -> ChatGenerationChunk:
        message = message_values.copy()
        message["additional_kwargs"], message["response_metadata"] = {}, metadata
        message["tool_calls"], message["invalid_tool_calls"], message["tool_call_chunks"] = [], [], []
        message["usage_metadata"] = usage
        chunk = chunk_values.copy()
        chunk["message"], chunk["generation_info"] = make_message(message), _info(metadata)
        return make_chunk(chunk)

    return copied


_USAGE: Final = UsageMetadata(input_tokens=1, output_tokens=1, total_tokens=2)
text_chunk: Final = quick_or_validated(quick_text, validated_text, "a piece")
reasoning_chunk: Final = quick_or_validated(quick_reasoning, validated_reasoning, "a piece")
last_chunk: Final = quick_or_validated(quick_last, validated_last, {"finish_reason": "stop"}, _USAGE)


class DraftChunk(AIMessageChunk):
    """A chunk without text, with the object so far beside it for the parser of a typed answer."""

    _draft: Any = PrivateAttr(default=None)

    @classmethod
    def of(cls, draft: Draft) -> Self:
        """Make the chunk of a draft."""
        chunk = cls(content="")
        chunk._draft = draft.data
        return chunk

    def __add__(self, other: Any) -> BaseMessageChunk:  # type: ignore[override]  # as the base class has it
        """Add up to an ordinary chunk: the message that comes of it is no draft."""
        total: BaseMessageChunk = AIMessageChunk.model_construct(**dict(self)) + other
        return total

    @property
    def draft(self) -> Any:
        """The object so far, as plain data."""
        return self._draft


# --- a stream -------------------------------------------------------------------------------------


class ChunkWriter:
    """Turns the parts of one stream into chunks; metadata comes once, on the last chunk."""

    text = staticmethod(text_chunk)

    def __init__(self, model_provider: str, *, shows_usage: bool = True) -> None:
        self._model_provider = model_provider
        self._shows_usage = shows_usage
        self._usage: Usage | None = None
        self._calls = 0
        self._streamed: set[str] = set()
        """The ids of the calls that have come in pieces."""

    def other(self, part: Part | Draft | Seam) -> ChatGenerationChunk | None:
        """Make the chunk for a part that is no text; None for usage, which the last chunk has."""
        match part:
            case Reasoning():
                return reasoning_chunk(part.text)
            case ToolCall() if part.id in self._streamed:
                return self._extra_of(part)
            case ToolCall():
                return self._call(
                    part.id, part.name, dumps(part.arguments).decode(), beside=_beside_calls((part,))
                )
            case InvalidToolCall():
                return self._call(part.id, part.name, part.no_arguments)
            case Finish():
                return self._last(part)
            case Draft():
                return ChatGenerationChunk(message=DraftChunk.of(part))
            case Usage():
                self._usage = part
            case Refusal():
                message = AIMessageChunk(content="", additional_kwargs={REFUSAL: part.text})
                return ChatGenerationChunk(message=message)
            case LogProbs():
                metadata = {"logprobs": dict(part.values)}
                return ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata=metadata))
            case ToolCallDelta():
                return self._piece_of_a_call(part)
            case Seam(how="restart"):
                return ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata=dict(RESET)))
        return None

    def _piece_of_a_call(self, piece: ToolCallDelta) -> ChatGenerationChunk:
        if piece.id:
            self._streamed.add(piece.id)
            self._calls += 1
        chunk = tool_call_chunk(
            name=piece.name or None,
            args=piece.arguments,
            id=piece.id or None,
            index=FIRST_CALL_INDEX + piece.index,
        )
        return ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[chunk]))

    def _call(
        self, identity: str, name: str, args: str, *, beside: dict[str, Any] | None = None
    ) -> ChatGenerationChunk:
        chunk = tool_call_chunk(name=name, args=args, id=identity, index=FIRST_CALL_INDEX + self._calls)
        self._calls += 1
        message = AIMessageChunk(content="", tool_call_chunks=[chunk], additional_kwargs=beside or {})
        return ChatGenerationChunk(message=message)

    def _extra_of(self, call: ToolCall) -> ChatGenerationChunk | None:
        """Make the chunk for what the service added to a call that has come in pieces."""
        beside = _beside_calls((call,))
        if not beside:
            return None
        return ChatGenerationChunk(message=AIMessageChunk(content="", additional_kwargs=beside))

    def _last(self, finish: Finish) -> ChatGenerationChunk:
        usage = self._usage
        metadata = response_metadata(finish, usage, self._model_provider)
        counts = usage_metadata(usage) if usage is not None and self._shows_usage else None
        return last_chunk(metadata, counts)


# --- a whole answer -------------------------------------------------------------------------------


def validated_words(
    text: str, beside: dict[str, Any], metadata: dict[str, Any], usage: UsageMetadata
) -> ChatGeneration:
    """Make an answer that calls nothing the usual way."""
    message = AIMessage(
        content=text,
        additional_kwargs=beside,
        tool_calls=[],
        invalid_tool_calls=[],
        response_metadata=metadata,
        usage_metadata=usage,
    )
    return ChatGeneration(message=message, generation_info=_info(metadata))


def quick_words() -> Callable[[str, dict[str, Any], dict[str, Any], UsageMetadata], ChatGeneration]:
    """Return the function that makes an answer that calls nothing as a copy of a template.

    It keeps the mappings it is given.
    """
    validated = validated_words("", {}, {}, _USAGE)
    message_values, make_message = template(validated.message)
    generation_values, make_generation = template(validated)

    def copied(
        text: str, beside: dict[str, Any], metadata: dict[str, Any], usage: UsageMetadata
    ) -> ChatGeneration:
        message = message_values.copy()
        message["content"], message["additional_kwargs"] = text, beside
        message["response_metadata"], message["usage_metadata"] = metadata, usage
        message["tool_calls"], message["invalid_tool_calls"] = [], []
        generation = generation_values.copy()
        generation["text"], generation["message"] = text, make_message(message)
        generation["generation_info"] = _info(metadata)
        return make_generation(generation)

    return copied


words_generation: Final = quick_or_validated(
    quick_words, validated_words, "an answer", {REFUSAL: "no"}, {"finish_reason": "stop"}, _USAGE
)


def result(completion: Completion, model_provider: str) -> ChatResult:
    """Make LangChain's result of a whole answer."""
    usage = completion.usage
    finish = completion.finish
    output = {
        "token_usage": usage.to_openai(),
        "model_name": finish.model,
        "model_provider": model_provider,
        **_origin(finish),
    }
    answers = (completion, *completion.others)
    return ChatResult(
        generations=[_generation(answer, finish, usage, model_provider) for answer in answers],
        llm_output=output,
    )


def _generation(completion: Completion, finish: Finish, usage: Usage, model_provider: str) -> ChatGeneration:
    """Make the generation of one answer; `finish` and `usage` are those of the request."""
    own = completion.finish
    if own is not finish:
        finish = replace(finish, reason=own.reason, raw_reason=own.raw_reason)
    metadata = response_metadata(finish, usage, model_provider)
    if completion.logprobs is not None:
        metadata["logprobs"] = completion.logprobs
    texts = {REASONING: completion.reasoning, REFUSAL: completion.refusal}
    beside = {name: text for name, text in texts.items() if text}
    if not completion.tool_calls and not completion.invalid_tool_calls:
        return words_generation(completion.text, beside, metadata, usage_metadata(usage))
    message = AIMessage(
        content=completion.text,
        additional_kwargs={**beside, **_beside_calls(completion.tool_calls)},
        tool_calls=[
            tool_call(name=call.name, args=dict(call.arguments), id=call.id) for call in completion.tool_calls
        ],
        invalid_tool_calls=[
            invalid_tool_call(
                name=call.name,
                args=call.no_arguments,
                id=call.id,
                error=call.explanation,
            )
            for call in completion.invalid_tool_calls
        ],
        response_metadata=metadata,
        usage_metadata=usage_metadata(usage),
    )
    return ChatGeneration(message=message, generation_info=_info(metadata))


def without_void(outcome: ChatResult) -> ChatResult:
    """Take out of a streamed answer what a restart made void, where its pieces were added up."""
    for generation in outcome.generations:
        message = generation.message
        seams = message.response_metadata.get("seams") or ()
        begins = [seam["offset"] for seam in seams if seam["how"] == "restart"]
        if begins:
            message.content = _behind(message.content, max(begins))
            generation.text = str(message.text)
            for name in RESET:
                message.response_metadata.pop(name, None)
    return outcome


def _behind(content: str | list[Any], offset: int) -> str | list[Any]:
    """Return a message's content without so many characters of its text."""
    if isinstance(content, str):
        return content[offset:]
    out = []
    for block in content:
        if isinstance(block, dict) and block.get("type") == "text":
            text = block["text"]
            block = {**block, "text": text[offset:]}  # noqa: PLW2901 - the same block, as it is kept
            offset = max(0, offset - len(text))
            if not block["text"]:
                continue
        out.append(block)
    return out


def _beside_calls(calls: Iterable[ToolCall]) -> dict[str, Any]:
    """Write what services added to calls as LangChain's messages keep it."""
    extras = extras_to_save(calls)
    return {CALL_EXTRAS: extras} if extras else {}


def combined_outputs(outputs: Iterable[Mapping[str, Any] | None], model: str) -> dict[str, Any]:
    """Add up the `llm_output` of several questions, as handlers written for `ChatOpenAI` expect it."""
    tokens: dict[str, Any] = {}
    combined: dict[str, Any] = {"token_usage": tokens, "model_name": model}
    for output in outputs:
        if output is None:
            continue  # from the cache
        for name, count in output.get("token_usage", {}).items():
            if isinstance(count, Mapping):
                before = tokens.get(name, {})
                tokens[name] = {**before, **{key: before.get(key, 0) + n for key, n in count.items()}}
            else:
                tokens[name] = tokens.get(name, 0) + count
        if "system_fingerprint" in output:
            combined.setdefault("system_fingerprint", output["system_fingerprint"])
    return combined


def _origin(finish: Finish) -> dict[str, Any]:
    """Name the machine and the answer as the service names them, where it does."""
    facts = {
        "id": finish.response_id,
        "system_fingerprint": finish.system_fingerprint,
        "service_tier": finish.service_tier,
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


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
    if finish.cached:
        metadata["cached"] = True
    metadata.update(_origin(finish))
    if finish.request_id is not None:
        metadata["request_id"] = finish.request_id
    if finish.headers is not None:
        metadata["headers"] = dict(finish.headers)
    if finish.allowances:
        metadata["allowances"] = [allowance.plain() for allowance in finish.allowances]
    if finish.quota:
        metadata["quota"] = [left.plain() for left in finish.quota]
    if finish.trail:
        metadata["trail"] = [attempt.plain() for attempt in finish.trail]
    if finish.seams:
        metadata["seams"] = [seam.plain() for seam in finish.seams]
    if usage is not None and usage.estimated:
        metadata["usage_estimated"] = True
    return metadata


def usage_metadata(usage: Usage) -> UsageMetadata:
    """Write token counts as LangChain has them."""
    metadata = UsageMetadata(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=usage.total_tokens
    )
    if into := _details(usage, INPUT_DETAILS):
        metadata["input_token_details"] = cast("InputTokenDetails", into)
    if out := _details(usage, OUTPUT_DETAILS):
        metadata["output_token_details"] = cast("OutputTokenDetails", out)
    return metadata


def _details(usage: Usage, names: Mapping[str, str]) -> dict[str, int]:
    return {key: count for key, name in names.items() if (count := getattr(usage, name)) is not None}
