"""Conversion of the core's parts to LlamaIndex's responses, whole and as chunks of a stream.

Each piece of text is a quick copy of a chunk that was validated once; `freeproviders.templates`
says how and why.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ContentBlock,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from freeproviders.templates import quick_or_validated, template
from freeproviders.types import (
    CALL_EXTRAS,
    Batch,
    Completion,
    Finish,
    InvalidToolCall,
    LogProbs,
    Part,
    Reasoning,
    Refusal,
    Seam,
    Text,
    ToolCall,
    Usage,
    extras_to_save,
    joined_logprobs,
)

ResponseT = TypeVar("ResponseT", ChatResponse, CompletionResponse)

LONG_TEXT: Final = 16_384
"""Characters after which the pieces of one network read go out as one chunk.

Each chunk holds all of the answer so far, and copying that for each of many small pieces would make
a long stream quadratic. Code that adds up the deltas, as chat engines and agents do, gets the same
text.
"""


# --- a piece of text ------------------------------------------------------------------------------


def validated_chat(text: str, delta: str) -> ChatResponse:
    """Make a chunk of a chat the usual way."""
    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text=text)])
    return ChatResponse(message=message, delta=delta)


def validated_last(text: str, raw: dict[str, Any], counts: dict[str, int]) -> ChatResponse:
    """Make the last chunk of a chat the usual way."""
    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text=text)])
    return ChatResponse(message=message, delta="", raw=raw, additional_kwargs=counts)


def validated_completion(text: str, delta: str) -> CompletionResponse:
    """Make a chunk of a completion the usual way."""
    return CompletionResponse(text=text, delta=delta)


def _quick(usual: ChatResponse) -> Callable[..., ChatResponse]:
    """Return the function that makes copies of a response with other text, delta and raw."""
    block_values, make_block = template(usual.message.blocks[0])
    message_values, make_message = template(usual.message)
    response_values, make_response = template(usual)
    new_block, new_message, new_response = block_values.copy, message_values.copy, response_values.copy

    def copied(text: str, delta: str, raw: Any = None, counts: Any = None) -> ChatResponse:
        block = new_block()
        block["text"] = text
        message = new_message()
        message["additional_kwargs"], message["blocks"] = {}, [make_block(block)]
        response = new_response()
        response["message"], response["delta"], response["raw"] = make_message(message), delta, raw
        response["additional_kwargs"] = {} if counts is None else counts
        return make_response(response)

    return copied


def quick_chat() -> Callable[[str, str], ChatResponse]:
    """Return the function that makes a chunk of a chat as a copy of a template."""
    return _quick(validated_chat("", ""))


def quick_last() -> Callable[[str, dict[str, Any], dict[str, int]], ChatResponse]:
    """Return the function that makes the last chunk of a chat as a copy of a template."""
    copied = _quick(validated_last("", {}, {}))
    return lambda text, raw, counts: copied(text, "", raw, counts)


def quick_completion() -> Callable[[str, str], CompletionResponse]:
    """Return the function that makes a chunk of a completion as a copy of a template."""
    values, make = template(validated_completion("", ""))
    new_values = values.copy

    def copied(text: str, delta: str) -> CompletionResponse:
        response = new_values()
        response["text"], response["delta"], response["additional_kwargs"] = text, delta, {}
        return make(response)

    return copied


chat_chunk: Final = quick_or_validated(quick_chat, validated_chat, "so far", "far")
last_chunk: Final = quick_or_validated(quick_last, validated_last, "all", {"usage": {}}, {"total_tokens": 1})
completion_chunk: Final = quick_or_validated(quick_completion, validated_completion, "so far", "far")


# --- the parts of an answer, added up -------------------------------------------------------------


class Assembler(ABC, Generic[ResponseT]):
    """Turns the parts of one answer into responses: the answer so far, what is new in `delta`."""

    def __init__(self) -> None:
        self._text = ""
        self._reasoning = ""
        self._usage: Usage | None = None
        self._refusal = ""
        self._logprobs: Mapping[str, Any] | None = None

    def chunks(self, batch: Batch) -> Iterator[ResponseT]:
        """Make the chunks for the parts of one network read, each when it is asked for.

        See `LONG_TEXT`. A list of them would hold all of the text so far once for each part.
        """
        if len(batch) > 1 and len(self._text) + len(self._reasoning) > LONG_TEXT:
            batch = _merged(batch)
        return filter(None, map(self.take, batch))

    @abstractmethod
    def take(self, part: Part | Seam) -> ResponseT | None:
        """Add a part; return the chunk to send, if the part makes one.

        A `Seam` says that a router begins anew.
        """

    def _begin_anew(self) -> None:
        """Forget what was said: a restart has made it void."""
        self._text = self._reasoning = ""
        self._logprobs = None

    @abstractmethod
    def whole(self, completion: Completion) -> ResponseT:
        """Return the response to a call that does not stream."""


class ChatAssembler(Assembler[ChatResponse]):
    """The responses of a chat; `message` is the answer so far.

    The last chunk has no new text; it repeats the whole message and carries `raw`. `names` maps the
    tool names that the model was given to the tools' own.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._calls: list[ToolCall | InvalidToolCall] = []
        self._names = names or {}
        self._plain = True
        """Nothing but text so far: the quick way."""

    def take(self, part: Part | Seam) -> ChatResponse | None:
        """Add a part; return the chunk to send, if the part makes one."""
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
            case ToolCall() | InvalidToolCall():
                self._plain = False
                self._calls.append(self._renamed(part))
                return ChatResponse(message=self._message(), delta="")
            case Usage():
                self._usage = part
                return None
            case Finish():
                return self._last(part)
            case Refusal():
                self._plain = False
                self._refusal += part.text
                self._text += part.text  # LlamaIndex has no other place that is looked at
                return ChatResponse(message=self._message(), delta=part.text)
            case LogProbs():
                self._logprobs = joined_logprobs(self._logprobs, part.values)
                return None
            case Seam(how="restart"):
                self._begin_anew()
                self._calls, self._refusal, self._plain = [], "", True
                return ChatResponse(message=self._message(), delta="", raw=raw_of_restart(part))
            case _:
                return None

    def _last(self, finish: Finish) -> ChatResponse:
        raw, counts = raw_of(finish, self._usage, self._logprobs), token_counts(self._usage)
        if self._plain and self._text and self._logprobs is None:
            return last_chunk(self._text, raw, counts)
        return ChatResponse(
            message=self._message(),
            delta="",
            raw=raw,
            additional_kwargs=counts,
            logprobs=token_logprobs(self._logprobs),
        )

    def whole(self, completion: Completion) -> ChatResponse:
        """Return the response to a call that does not stream."""
        self._text, self._reasoning, self._calls, self._usage = (
            completion.text + completion.refusal,
            completion.reasoning,
            [self._renamed(call) for call in completion.tool_calls + completion.invalid_tool_calls],
            completion.usage,
        )
        self._refusal = completion.refusal
        return ChatResponse(
            message=self._message(),
            raw=raw_of(completion.finish, completion.usage, completion.logprobs),
            additional_kwargs=token_counts(completion.usage),
            logprobs=token_logprobs(completion.logprobs),
        )

    def _renamed(self, call: ToolCall | InvalidToolCall) -> ToolCall | InvalidToolCall:
        """The call by the tool's own name, its text marked where it is no call that can be made."""
        if isinstance(call, InvalidToolCall):
            call = replace(call, text=call.no_arguments)
        name = self._names.get(call.name, call.name)
        return call if name == call.name else replace(call, name=name)

    def _message(self) -> ChatMessage:
        blocks: list[ContentBlock] = []
        if self._reasoning:
            tokens = self._usage.reasoning_tokens if self._usage else None
            blocks.append(ThinkingBlock(content=self._reasoning, num_tokens=tokens))
        if self._text:
            blocks.append(TextBlock(text=self._text))
        blocks.extend(
            [
                ToolCallBlock(
                    tool_call_id=call.id,
                    tool_name=call.name,
                    tool_kwargs=dict(call.arguments) if isinstance(call, ToolCall) else call.text,
                )
                for call in self._calls
            ]
        )
        # LlamaIndex looks here for whether there are calls. JSON only: agents' contexts are saved.
        again: dict[str, Any] = {}
        if self._calls:
            again["tool_calls"] = [call.to_openai() for call in self._calls]
            if extras := extras_to_save(self._calls):
                again[CALL_EXTRAS] = extras
        if self._refusal:
            again["refusal"] = self._refusal
        return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=again)


class CompletionAssembler(Assembler[CompletionResponse]):
    """The responses of a completion, which hold text alone.

    Thinking shows as the `thinking_delta` of a stream's chunks, and nowhere in a whole response.
    """

    def take(self, part: Part | Seam) -> CompletionResponse | None:
        """Add a part; return the chunk to send, if the part makes one."""
        match part:
            case Text():
                self._text = text = self._text + part.text
                return completion_chunk(text, part.text)
            case Reasoning():
                return CompletionResponse(
                    text=self._text, delta="", additional_kwargs={"thinking_delta": part.text}
                )
            case Refusal():
                self._text += part.text
                return CompletionResponse(text=self._text, delta=part.text)
            case LogProbs():
                self._logprobs = joined_logprobs(self._logprobs, part.values)
            case Usage():
                self._usage = part
            case Finish():
                return self._ended(self._text, part, self._usage, self._logprobs, delta="")
            case Seam(how="restart"):
                self._begin_anew()
                return CompletionResponse(text="", delta="", raw=raw_of_restart(part))
        return None

    def whole(self, completion: Completion) -> CompletionResponse:
        """Return the response to a call that does not stream."""
        return self._ended(str(completion), completion.finish, completion.usage, completion.logprobs)

    @staticmethod
    def _ended(
        text: str,
        finish: Finish,
        usage: Usage | None,
        logprobs: Mapping[str, Any] | None,
        delta: str | None = None,
    ) -> CompletionResponse:
        return CompletionResponse(
            text=text,
            delta=delta,
            raw=raw_of(finish, usage, logprobs),
            additional_kwargs=token_counts(usage),
            logprobs=token_logprobs(logprobs),
        )


def token_counts(usage: Usage | None) -> dict[str, int]:
    """Write token counts where integrations of the OpenAI family have them."""
    if usage is None:
        return {}
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }


def token_logprobs(values: Mapping[str, Any] | None) -> list[list[LogProb]] | None:
    """Write log probabilities as LlamaIndex has them: the candidates of each token, else the token."""
    tokens = (values or {}).get("content")
    if not isinstance(tokens, list):
        return None
    return [
        [
            LogProb(
                token=str(one.get("token") or ""),
                logprob=one.get("logprob") or 0.0,
                bytes=one.get("bytes") or [],
            )
            for one in token.get("top_logprobs") or [token]
        ]
        for token in tokens
        if isinstance(token, dict)
    ]


def raw_of(finish: Finish, usage: Usage | None, logprobs: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the facts of a finished answer as plain data; LlamaIndex counts tokens by `usage`."""
    raw: dict[str, Any] = {
        "provider": finish.provider,
        "model": finish.model,
        "finish_reason": finish.reason,
        "confirmed": finish.confirmed,
        "attempts": finish.attempts,
    }
    facts = {
        "id": finish.response_id,
        "system_fingerprint": finish.system_fingerprint,
        "service_tier": finish.service_tier,
        "request_id": finish.request_id,
        "cached": finish.cached or None,
        "headers": finish.headers,
        "allowances": [allowance.plain() for allowance in finish.allowances] or None,
        "quota": [left.plain() for left in finish.quota] or None,
        "logprobs": logprobs,
        "trail": [attempt.plain() for attempt in finish.trail] or None,
        "seams": [seam.plain() for seam in finish.seams] or None,
    }
    raw.update((name, fact) for name, fact in facts.items() if fact is not None)
    if usage is not None:
        raw["usage"] = {**usage.to_openai(), "estimated": usage.estimated}
        if usage.cost is not None:
            raw["usage"]["cost"] = usage.cost
    return raw


def raw_of_restart(seam: Seam) -> dict[str, Any]:
    """Return what is told with the chunk at which a router begins an answer anew."""
    return {"reset": True, "seam": seam.plain()}


def _merged(batch: Sequence[Part]) -> Batch:
    """Neighbouring pieces of text as one, and of thinking."""
    out: Batch = []
    for kind, parts in itertools.groupby(batch, type):
        if kind is Text or kind is Reasoning:
            out.append(kind("".join([part.text for part in parts if isinstance(part, Text | Reasoning)])))
        else:
            out.extend(parts)
    return out
