"""LlamaIndex's responses as parts of the core, from any package's LLM.

What a service said of its answer is in `raw`, in the service's own form; it is looked for under the
names that the common ones have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ThinkingBlock, ToolCallBlock

from freeproviders.foreign import finish_reason, reading
from freeproviders.types import Batch, Finish, FinishReason, Reasoning, Text, Usage
from freeproviders.types.parts import USAGE_DETAILS
from freeproviders.wire.openai.calls import CallAssembler
from llama_index_freeproviders.messages import legacy_call

_INPUT: Final = ("prompt_tokens", "input_tokens", "prompt_token_count", "prompt_eval_count")
_OUTPUT: Final = ("completion_tokens", "output_tokens", "candidates_token_count", "eval_count")
_REASONS: Final[Sequence[tuple[str | int, ...]]] = (
    ("choices", 0, "finish_reason"),
    ("candidates", 0, "finish_reason"),
    ("finish_reason",),
    ("stop_reason",),
    ("done_reason",),
    ("delta", "stop_reason"),
    ("stopReason",),
)


class AnswerReader:
    """Reads the responses to one call: the chunks of a stream, or the only one.

    `calls_of` reads the calls of a response where its message does not hold them.
    """

    def __init__(self, provider: str, model: str, calls_of: Callable[[ChatResponse], Sequence[Any]]) -> None:
        self.begun = False
        """Whether anything of the answer has come."""
        self._finish = Finish(reason="unknown", provider=provider, model=model, confirmed=False)
        self._calls_of = calls_of
        self._text = ""
        self._thought = ""
        self._thinking_comes_in_pieces = False
        self._last: ChatResponse | None = None
        self._holding_calls: ChatMessage | None = None
        self._reason: object = None
        self._model = self._id = ""
        self._usage: Usage | None = None

    def take(self, response: ChatResponse) -> Batch:
        """Read a response: what is new in it."""
        batch: Batch = [part for part in (self._new_thought(response), self._new_text(response)) if part]
        message = response.message
        if any(map(_is_call, message.blocks)) or message.additional_kwargs.get("tool_calls"):
            self._holding_calls = message
        self._last = response
        self._look_at(response)
        self.begun = self.begun or bool(batch) or self._holding_calls is not None
        return batch

    def end(self) -> Batch:
        """Return the last parts: calls, usage where it is told, and the end."""
        whole = self._last is not None and self._last.delta is None  # in one piece, and so not cut
        reason = finish_reason(self._reason)
        calls = self._calls(truncated=reason == "length")
        batch: Batch = [*calls]
        if self._usage is not None:
            batch.append(self._usage)
        ended: FinishReason = "tool_calls" if calls else reason or ("stop" if whole else "unknown")
        batch.append(
            Finish(
                ended,
                provider=self._finish.provider,
                model=self._model or self._finish.model,
                raw_reason=None if reason is None else str(getattr(self._reason, "name", self._reason)),
                confirmed=whole or bool(calls) or reason is not None,
                response_id=self._id or None,
            )
        )
        return batch

    def _new_text(self, response: ChatResponse) -> Text | None:
        delta = response.delta
        if delta is None:  # a whole response, or a chunk of an LLM that only says all so far
            said = response.message.content or ""
            delta = said.removeprefix(self._text)
        self._text += delta
        return Text(delta) if delta else None

    def _new_thought(self, response: ChatResponse) -> Reasoning | None:
        delta = response.additional_kwargs.get("thinking_delta")
        if isinstance(delta, str):
            self._thinking_comes_in_pieces = True
        elif self._thinking_comes_in_pieces:
            return None
        else:
            thoughts = [
                block.content or "" for block in response.message.blocks if isinstance(block, ThinkingBlock)
            ]
            thought = "".join(thoughts)
            delta = thought[len(self._thought) :] if thought.startswith(self._thought) else ""
        self._thought += delta
        return Reasoning(delta) if delta else None

    def _look_at(self, response: ChatResponse) -> None:
        """Note what a response tells of the answer as a whole."""
        raw, beside = response.raw, response.additional_kwargs
        for path in _REASONS:
            found = reading(raw, *path) or reading(beside, *path)
            if found is not None:
                self._reason = found
                break
        self._usage = _usage(raw, beside) or self._usage
        for name, value in (("_model", reading(raw, "model")), ("_id", reading(raw, "id"))):
            if isinstance(value, str) and value:
                setattr(self, name, value)

    def _calls(self, *, truncated: bool) -> list[Any]:
        assembler = CallAssembler()
        for at, (identity, name, arguments) in enumerate(self._found_calls()):
            function = {"name": name, "arguments": arguments}
            assembler.add({"index": at, "id": identity, "function": function})
        return assembler.complete(truncated=truncated)

    def _found_calls(self) -> Iterator[tuple[str | None, str, Any]]:
        message = self._holding_calls
        if message is None:
            if self._last is not None:
                for one in self._calls_of(self._last):
                    yield one.tool_id or None, one.tool_name, one.tool_kwargs
            return
        blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
        for block in blocks:
            yield block.tool_call_id, block.tool_name, block.tool_kwargs
        if not blocks:
            for raw in message.additional_kwargs["tool_calls"]:
                if (call := legacy_call(raw)) is not None:
                    yield call


def _usage(raw: object, beside: object) -> Usage | None:
    """The tokens of an answer by any of the common names, None where nothing tells them."""
    for owner in (reading(raw, "usage"), reading(raw, "usage_metadata"), raw, beside):
        sent, said = _count(owner, _INPUT), _count(owner, _OUTPUT)
        if sent is not None or said is not None:
            details: dict[str, Any] = {
                name: _count(reading(owner, group), (key,))
                for group, names in USAGE_DETAILS.items()
                for name, key in names.items()
            }
            return Usage(sent or 0, said or 0, **details)
    return None


def _count(owner: object, names: Sequence[str]) -> int | None:
    for name in names:
        value = reading(owner, name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def _is_call(block: object) -> bool:
    return type(block) is ToolCallBlock
