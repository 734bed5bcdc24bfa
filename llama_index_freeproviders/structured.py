"""Objects instead of text: LlamaIndex's four `*structured_predict` methods over the core's schemas, extraction, validation and repair.

Everything else in LlamaIndex that wants an object - `as_structured_llm`, an agent's `output_cls`, synthesizers, rerankers, extractors - calls one of the four.
A call is one LLM event, one rate limiter's turn and one span, however often the model had to be asked again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, cast

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, TextBlock
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictInProgressEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import Model, PydanticProgramMode
from llama_index_instrumentation import get_dispatcher
from pydantic import ValidationError

from freeproviders import bridge
from freeproviders.provider import Provider
from freeproviders.types import ChatRequest
from freeproviders.wire.json import dumps
from llama_index_freeproviders.callbacks import ChatCall
from llama_index_freeproviders.responses import raw_of

dispatcher = get_dispatcher("llama_index.core.llms.llm")

if TYPE_CHECKING:
    from freeproviders.tools import Draft, Structured

    Step: TypeAlias = Draft | Structured

_OF_TOOLS: Final = frozenset(
    {
        "tools",
        "tool_choice",
        "tool_required",
        "allow_parallel_tool_calls",
        "parallel_tool_calls",
        "response_format",
    }
)
"""What callers pass for LlamaIndex's own programs, which call a tool; no tool is needed here."""


class StructuredPrediction(FunctionCallingLLM):
    """The four methods. With another `pydantic_program_mode` than the default, LlamaIndex's own programs are used."""

    # Not an abstract method: LlamaIndex would make a span of each call.
    def _chat_request(
        self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any], *, stream: bool
    ) -> tuple[Provider, ChatRequest]:
        """Who is asked, and what."""
        raise NotImplementedError

    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Answer a prompt with an object; raises `StructuredOutputError`, a `ValueError`, when none that fits comes after asking again."""
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            return cast("Model", super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args))
        asking = _Asking(self, output_cls, prompt, prompt_args, llm_kwargs)
        with asking.call as call:
            call.wait_for_turn()
            return asking.ended(bridge.run(asking.answer()))

    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Answer a prompt with an object; raises `StructuredOutputError`, a `ValueError`, when none that fits comes after asking again."""
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            return cast(
                "Model", await super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            )
        asking = _Asking(self, output_cls, prompt, prompt_args, llm_kwargs)
        with asking.call as call:
            await call.wait_for_turn_async()
            return asking.ended(await asking.answer())

    def stream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Model | FlexibleModel, None, None]:
        """Answer a prompt with an object that grows: partial ones first, the valid one last."""
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            yield from super().stream_structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            return
        asking = _Asking(self, output_cls, prompt, prompt_args, llm_kwargs)
        with asking.call as call:
            call.wait_for_turn()
            steps = asking.steps()
        try:
            with closing(cast("Generator[Step, None, None]", bridge.iterate(steps))) as received:
                for step in received:
                    if (shown := asking.shown(step)) is not None:
                        yield shown
        except BaseException as error:
            asking.failed(error)
            raise

    async def astream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Model | FlexibleModel, None]:
        """Answer a prompt with an object that grows: partial ones first, the valid one last."""
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            return await super().astream_structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
        asking = _Asking(self, output_cls, prompt, prompt_args, llm_kwargs)
        with asking.call as call:
            await call.wait_for_turn_async()
            return _astream(asking, asking.steps())


async def _astream(
    asking: _Asking[Model], steps: AsyncGenerator[Step, None]
) -> AsyncGenerator[Model | FlexibleModel, None]:
    try:
        async with aclosing(steps):
            async for step in steps:
                if (shown := asking.shown(step)) is not None:
                    yield shown
    except BaseException as error:
        asking.failed(error)
        raise


class _Asking(Generic[Model]):
    """One question for an object, with what LlamaIndex is told about it."""

    def __init__(
        self,
        llm: StructuredPrediction,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        prompt_args: dict[str, Any],
        llm_kwargs: Mapping[str, Any] | None,
    ) -> None:
        dispatcher.event(
            LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args)
        )
        self._llm = llm
        self._output_cls = output_cls
        self._partial_cls: type[FlexibleModel] = create_flexible_model(output_cls)
        self._kwargs = {name: value for name, value in (llm_kwargs or {}).items() if name not in _OF_TOOLS}
        self._messages = llm._extend_messages(prompt.format_messages(llm=llm, **prompt_args))  # noqa: SLF001 - LlamaIndex's own programs call it
        self.call = ChatCall(llm, self._messages, self._kwargs)

    async def answer(self) -> Structured:
        """Ask for the whole object."""
        from freeproviders.tools import complete_structured  # noqa: PLC0415 - plain chat needs none of it

        return await complete_structured(
            *self._llm._chat_request(self._messages, self._kwargs, stream=False),  # noqa: SLF001
            self._output_cls,
        )

    def steps(self) -> AsyncGenerator[Step, None]:
        """Ask for the object as it grows."""
        from freeproviders.tools import stream_structured  # noqa: PLC0415

        return stream_structured(
            *self._llm._chat_request(self._messages, self._kwargs, stream=True),  # noqa: SLF001
            self._output_cls,
        )

    def shown(self, step: Step) -> Model | FlexibleModel | None:
        """The object to show for a step of the stream; the last step ends the call."""
        from freeproviders.tools import Structured  # noqa: PLC0415

        if isinstance(step, Structured):
            dispatcher.event(LLMStructuredPredictInProgressEvent(output=step.value))
            return self.ended(step)
        partial = self._partial(step.data)
        if partial is not None:
            dispatcher.event(LLMStructuredPredictInProgressEvent(output=partial))
        return partial

    def ended(self, answer: Structured) -> Model:
        """Say that the answer is there, and return its object."""
        message = ChatMessage(
            role=MessageRole.ASSISTANT, blocks=[TextBlock(text=dumps(answer.data).decode())]
        )
        self.call.ended(ChatResponse(message=message, raw=raw_of(answer.finish, answer.usage)))
        dispatcher.event(LLMStructuredPredictEndEvent(output=answer.value))
        return cast("Model", answer.value)

    def failed(self, error: BaseException) -> None:
        """Say that a stream broke off."""
        self.call.failed(error)

    def _partial(self, data: Any) -> Model | FlexibleModel | None:
        """What there is so far: an instance as soon as it is one, else a model that takes any fields; None for what no model can show."""
        for cls in (self._output_cls, self._partial_cls):
            try:
                return cls.model_validate(data)
            except ValidationError:
                continue
        return None
