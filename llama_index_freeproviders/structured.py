"""Objects instead of text: LlamaIndex's `*structured_predict` over the core's schemas and repair.

Everything else in LlamaIndex that wants an object - `as_structured_llm`, an agent's `output_cls`,
synthesizers, rerankers, extractors - calls one of the four. A call is one LLM event, one rate
limiter's turn and one span, however often the model had to be asked again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeAlias, cast

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, TextBlock
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictInProgressEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import Model
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, ValidationError

from freeproviders import bridge
from freeproviders.errors import UsageError
from freeproviders.tools.loading import loaded
from freeproviders.wire.json import dumps
from llama_index_freeproviders.callbacks import ChatCall, Observed
from llama_index_freeproviders.question import Question
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
"""Keywords for LlamaIndex's own programs, which call a tool; no tool is needed here."""


class Predicting(Observed, Protocol):
    """An LLM as far as asking it for an object needs it."""

    def question(
        self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any], *, stream: bool
    ) -> Question:
        """Return the backend and the request."""

    def prompted(self, prompt: BasePromptTemplate, values: Mapping[str, Any]) -> list[ChatMessage]:
        """Write a prompt as messages."""


def predict(
    llm: Predicting,
    output_cls: type[Model],
    prompt: BasePromptTemplate,
    llm_kwargs: Mapping[str, Any] | None,
    prompt_args: Mapping[str, Any],
) -> Model:
    """Answer a prompt with an object."""
    asking = _Asking(llm, output_cls, prompt, llm_kwargs, prompt_args)
    with asking.call as call:
        call.wait_for_turn()
        return asking.ended(bridge.run(asking.answer()))


async def apredict(
    llm: Predicting,
    output_cls: type[Model],
    prompt: BasePromptTemplate,
    llm_kwargs: Mapping[str, Any] | None,
    prompt_args: Mapping[str, Any],
) -> Model:
    """Answer a prompt with an object."""
    asking = _Asking(llm, output_cls, prompt, llm_kwargs, prompt_args)
    with asking.call as call:
        await call.wait_for_turn_async()
        return asking.ended(await asking.answer())


def stream_predict(
    llm: Predicting,
    output_cls: type[Model],
    prompt: BasePromptTemplate,
    llm_kwargs: Mapping[str, Any] | None,
    prompt_args: Mapping[str, Any],
) -> Generator[Model | FlexibleModel, None, None]:
    """Answer a prompt with an object that grows: partial ones first, the valid one last."""
    asking = _Asking(llm, output_cls, prompt, llm_kwargs, prompt_args)
    with asking.call as call:
        call.wait_for_turn()
        steps = asking.steps()
    try:
        with closing(cast("Generator[Step, None, None]", bridge.iterate(steps))) as received:
            for step in received:
                if (shown := asking.shown(step)) is not None:
                    yield shown
    except BaseException as error:
        asking.call.failed(error)
        raise


async def astream_predict(
    llm: Predicting,
    output_cls: type[Model],
    prompt: BasePromptTemplate,
    llm_kwargs: Mapping[str, Any] | None,
    prompt_args: Mapping[str, Any],
) -> AsyncGenerator[Model | FlexibleModel, None]:
    """Answer a prompt with an object that grows: partial ones first, the valid one last."""
    asking = _Asking(llm, output_cls, prompt, llm_kwargs, prompt_args)
    with asking.call as call:
        await call.wait_for_turn_async()
        await loaded()
        return _shown(asking, asking.steps())


async def _shown(
    asking: _Asking[Model], steps: AsyncGenerator[Step, None]
) -> AsyncGenerator[Model | FlexibleModel, None]:
    try:
        async with aclosing(steps):
            async for step in steps:
                if (shown := asking.shown(step)) is not None:
                    yield shown
    except BaseException as error:
        asking.call.failed(error)
        raise


class _Asking(Generic[Model]):
    """A question for an object, and its reports to LlamaIndex."""

    def __init__(
        self,
        llm: Predicting,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: Mapping[str, Any] | None,
        prompt_args: Mapping[str, Any],
    ) -> None:
        if not (isinstance(output_cls, type) and issubclass(output_cls, BaseModel)):
            raise UsageError(
                f"output_cls must be a pydantic class, not {output_cls!r:.200}. "
                "A list is a field of such a class."
            )
        if not isinstance(prompt, BasePromptTemplate):
            raise UsageError(
                f"prompt must be a prompt template, not {prompt!r:.200}: use PromptTemplate(text)."
            )
        dispatcher.event(
            LLMStructuredPredictStartEvent(
                output_cls=output_cls, template=prompt, template_args=dict(prompt_args)
            )
        )
        self._llm = llm
        self._output_cls = output_cls
        self._partial_cls: type[FlexibleModel] = create_flexible_model(output_cls)
        self._kwargs = {name: value for name, value in (llm_kwargs or {}).items() if name not in _OF_TOOLS}
        self._messages = llm.prompted(prompt, prompt_args)
        self.call = ChatCall(llm, self._messages, self._kwargs)

    async def answer(self) -> Structured:
        """Ask for the whole object."""
        await loaded()
        from freeproviders.tools import complete_structured  # noqa: PLC0415 - plain chat needs none of it

        question = self.call.heard(self._llm.question(self._messages, self._kwargs, stream=False))
        return await complete_structured(*question, self._output_cls)

    def steps(self) -> AsyncGenerator[Step, None]:
        """Ask for the object as it grows."""
        from freeproviders.tools import stream_structured  # noqa: PLC0415 - as above

        question = self.call.heard(self._llm.question(self._messages, self._kwargs, stream=True))
        return stream_structured(*question, self._output_cls)

    def shown(self, step: Step) -> Model | FlexibleModel | None:
        """The object to show for a step of the stream; the last step ends the call."""
        from freeproviders.tools import Structured  # noqa: PLC0415 - as above

        if isinstance(step, Structured):
            dispatcher.event(LLMStructuredPredictInProgressEvent(output=step.value))
            return self.ended(step)
        partial = self._partial(step.data)
        if partial is not None:
            dispatcher.event(LLMStructuredPredictInProgressEvent(output=partial))
        return partial

    def ended(self, answer: Structured) -> Model:
        """Report the end of the answer, and return its object."""
        message = ChatMessage(
            role=MessageRole.ASSISTANT, blocks=[TextBlock(text=dumps(answer.data).decode())]
        )
        self.call.ended(ChatResponse(message=message, raw=raw_of(answer.finish, answer.usage)))
        dispatcher.event(LLMStructuredPredictEndEvent(output=answer.value))
        return cast("Model", answer.value)

    def _partial(self, data: Any) -> Model | FlexibleModel | None:
        """The object so far: an instance as soon as it is one, else a model that takes any fields.

        None is for what no model can show.
        """
        for cls in (self._output_cls, self._partial_cls):
            try:
                return cls.model_validate(data)
            except ValidationError:
                continue
        return None
