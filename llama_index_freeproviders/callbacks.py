"""Reports of a call to LlamaIndex: events, spans, callback manager, rate limiter.

LlamaIndex's own decorators make an event for every chunk, which validates the whole conversation
anew, whether a handler listens or not; that costs more than all the rest of the chunk. Here an event
is made when some dispatcher on the way to the root has a handler. With one, it sees what the
decorators would have sent, in the same order; the callback manager and the rate limiter are always
served, exactly once for each call. Spans likewise: entering one takes longer than asking a local
service.

The configuration of a call (`api_key`, `headers` ...) and its `extra_body` may hold credentials, and
handlers write down what they see: both are in no event, and in spans they are `Hidden`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, Self, TypeVar, cast

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatInProgressEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionInProgressEvent,
    LLMCompletionStartEvent,
)
from llama_index.core.instrumentation.span import active_span_id
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import DISPATCHER_SPAN_DECORATED_ATTR
from llama_index_instrumentation.event_handlers import NullEventHandler
from llama_index_instrumentation.span_handlers import NullSpanHandler

from freeproviders.configuration import CONFIGURATION, SECOND_NAMES, credential_in
from llama_index_freeproviders.events import teller
from llama_index_freeproviders.question import Hearing, Question
from llama_index_freeproviders.responses import ResponseT

if TYPE_CHECKING:
    from llama_index_instrumentation.dispatcher import Dispatcher

MethodT = TypeVar("MethodT", bound=Callable[..., Any])

dispatcher: Final = get_dispatcher("llama_index.core.llms.callbacks")
"""The dispatcher of LlamaIndex's decorators: handlers put there hear these events as well."""

_HIDDEN: Final = "configuration"
_SECRET: Final = frozenset({*CONFIGURATION, *SECOND_NAMES, "extra_body"})


def anybody_listens(at: Dispatcher | None = dispatcher) -> bool:
    """Tell whether an event would reach a handler; the root's own handler does nothing."""
    while at is not None:
        for handler in at.event_handlers:
            if type(handler) is not NullEventHandler:
                return True
        at = at.parent if at.propagate else None
    return False


def anybody_watches(at: Dispatcher | None) -> bool:
    """Tell whether a span would reach a handler."""
    while at is not None:
        for handler in at.span_handlers:
            if type(handler) is not NullSpanHandler:
                return True
        at = at.parent if at.propagate else None
    return False


class Hidden:
    """The secret keywords of a call, as a value that shows nothing but their names."""

    __slots__ = ("items",)

    def __init__(self, items: Mapping[str, Any]) -> None:
        self.items = items

    def __repr__(self) -> str:
        return f"<{', '.join(self.items)}>"


def hidden(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Hide the secret ones among a call's keywords, also those in `llm_kwargs`.

    `opened` undoes it.
    """
    if isinstance(inner := kwargs.get("llm_kwargs"), Mapping):
        kwargs = {**kwargs, "llm_kwargs": hidden(inner)}
    found = {name: value for name, value in kwargs.items() if _is_secret(name, value)}
    return {**_without(kwargs), _HIDDEN: Hidden({**_inside(kwargs), **found})} if found else kwargs


def opened(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a call's keywords with those that were hidden."""
    return {**_without(kwargs, secret=False), **inside} if (inside := _inside(kwargs)) else kwargs


def _is_secret(name: str, value: object) -> bool:
    return name in _SECRET or credential_in(name, value) is not None


def _inside(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    value = kwargs.get(_HIDDEN)
    return value.items if isinstance(value, Hidden) else {}


def _without(kwargs: Mapping[str, Any], *, secret: bool = True) -> dict[str, Any]:
    """The keywords without what is hidden, and without those that are secret."""
    return {
        name: value
        for name, value in kwargs.items()
        if not isinstance(value, Hidden) and not (secret and _is_secret(name, value))
    }


def spanned(method: MethodT) -> MethodT:
    """Put LlamaIndex's span around a method where a handler would see it.

    That is a span's handler, or an event's, since events name their span.
    """
    of_module = get_dispatcher(method.__module__)
    within_span = of_module.span(method)

    def seen(self: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        shown = [hidden(arg) if isinstance(arg, Mapping) else arg for arg in args]
        return within_span.__get__(self, type(self))(*shown, **hidden(kwargs))

    @functools.wraps(method)
    def in_a_span_if_seen(self: object, *args: Any, **kwargs: Any) -> Any:
        if anybody_watches(of_module) or anybody_listens():
            return seen(self, args, kwargs)
        return method(self, *args, **kwargs)

    @functools.wraps(method)
    async def in_a_span_if_seen_async(self: object, *args: Any, **kwargs: Any) -> Any:
        if anybody_watches(of_module) or anybody_listens():
            return await seen(self, args, kwargs)
        return await method(self, *args, **kwargs)

    wrapper = in_a_span_if_seen_async if inspect.iscoroutinefunction(method) else in_a_span_if_seen
    setattr(wrapper, DISPATCHER_SPAN_DECORATED_ATTR, True)  # LlamaIndex decorates methods without it
    return cast("MethodT", wrapper)


class Observed(Protocol):
    """An LLM as far as the reports of its calls need it."""

    callback_manager: Any
    rate_limiter: Any

    def to_payload(self) -> dict[str, Any]:
        """Describe the model, without secrets."""


class Call(Generic[ResponseT]):
    """One call of one model, as a context manager.

    Entering says that the call has begun, an exception within that it has failed. A call that does
    not stream says `ended` inside. One that streams leaves the context when its generator is
    returned, as LlamaIndex's decorators do, and the generator says `progressed`, then `ended` or
    `failed`.
    """

    trace: str
    asked: EventPayload
    answered: EventPayload

    def __init__(self, llm: Observed, given: Any, kwargs: Mapping[str, Any]) -> None:
        if not isinstance(llm.callback_manager, CallbackManager):
            llm.callback_manager = CallbackManager()
        self._llm = llm
        self._given = given
        self._kwargs = _without(kwargs)
        self._manager: CallbackManager = llm.callback_manager
        self._trace: AbstractContextManager[None] = self._manager.as_trace(self.trace)
        self._event_id = ""
        self._span_id: str | None = None
        self._over = False
        self._hearing: Hearing | None = None

    def __enter__(self) -> Self:
        self._trace.__enter__()
        self._span_id = active_span_id.get()
        listens = anybody_listens()
        payload: dict[str, Any] | None = None
        if listens or self._manager.handlers:
            about = self._llm.to_payload()
            if listens:
                dispatcher.event(self._start_event(about))
            payload = {
                self.asked: self._given,
                EventPayload.ADDITIONAL_KWARGS: self._kwargs,
                EventPayload.SERIALIZED: about,
            }
        self._event_id = self._manager.on_event_start(CBEventType.LLM, payload=payload)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.tell()
        if error is not None and not self._over:
            self._over = True
            self._manager.on_event_end(
                CBEventType.LLM, payload={EventPayload.EXCEPTION: error}, event_id=self._event_id
            )
        self._trace.__exit__(kind, error, traceback)

    def wait_for_turn(self) -> None:
        """Ask the rate limiter, if there is one."""
        if self._llm.rate_limiter is not None:
            self._llm.rate_limiter.acquire()

    async def wait_for_turn_async(self) -> None:
        """Ask the rate limiter, if there is one, without blocking the loop."""
        if self._llm.rate_limiter is not None:
            await self._llm.rate_limiter.async_acquire()

    def heard(self, question: Question) -> Question:
        """Return the question with a listener for what a router does, where one is asked."""
        listens = question.is_a_routers and anybody_listens()
        if not (listens or (question.is_a_routers and question.request.stream)):
            return question
        self._hearing = Hearing(teller(self._span_id, dispatcher.event) if listens else None)
        return question.heard_by(self._hearing)

    def tell(self) -> None:
        """Tell of what a router did on another thread."""
        if self._hearing is not None:
            self._hearing.tell_all()

    def progressed(self, response: ResponseT) -> None:
        """Tell of a chunk; call it only when `anybody_listens`."""
        dispatcher.event(self._progress_event(response))

    def ended(self, response: ResponseT) -> ResponseT:
        """Tell that the answer is complete."""
        self.tell()
        self._over = True
        self._manager.on_event_end(
            CBEventType.LLM,
            payload={self.asked: self._given, self.answered: response},
            event_id=self._event_id,
        )
        if anybody_listens():
            dispatcher.event(self._end_event(response))
        return response

    def failed(self, error: BaseException) -> None:
        """Tell that a stream broke off, by an error or because its reader left."""
        if self._over:
            return
        self.tell()
        self._over = True
        self._manager.on_event_end(
            CBEventType.LLM, payload={EventPayload.EXCEPTION: error}, event_id=self._event_id
        )
        if anybody_listens():
            dispatcher.event(ExceptionEvent(exception=error, span_id=self._span_id))

    def _start_event(self, about: dict[str, Any]) -> Any:
        raise NotImplementedError

    def _progress_event(self, response: ResponseT) -> Any:
        raise NotImplementedError

    def _end_event(self, response: ResponseT) -> Any:
        raise NotImplementedError


class ChatCall(Call[ChatResponse]):
    """A call of one of the chat methods."""

    trace = "chat"
    asked = EventPayload.MESSAGES
    answered = EventPayload.RESPONSE

    def __init__(self, llm: Observed, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> None:
        super().__init__(llm, messages, kwargs)

    def _start_event(self, about: dict[str, Any]) -> LLMChatStartEvent:
        return LLMChatStartEvent(
            model_dict=about, messages=self._given, additional_kwargs=self._kwargs, span_id=self._span_id
        )

    def _progress_event(self, response: ChatResponse) -> LLMChatInProgressEvent:
        return LLMChatInProgressEvent(messages=self._given, response=response, span_id=self._span_id)

    def _end_event(self, response: ChatResponse) -> LLMChatEndEvent:
        return LLMChatEndEvent(messages=self._given, response=response, span_id=self._span_id)


class CompletionCall(Call[CompletionResponse]):
    """A call of one of the completion methods."""

    trace = "completion"
    asked = EventPayload.PROMPT
    answered = EventPayload.COMPLETION

    def __init__(self, llm: Observed, prompt: str, kwargs: Mapping[str, Any]) -> None:
        super().__init__(llm, prompt, kwargs)

    def _start_event(self, about: dict[str, Any]) -> LLMCompletionStartEvent:
        return LLMCompletionStartEvent(
            model_dict=about, prompt=self._given, additional_kwargs=self._kwargs, span_id=self._span_id
        )

    def _progress_event(self, response: CompletionResponse) -> LLMCompletionInProgressEvent:
        return LLMCompletionInProgressEvent(prompt=self._given, response=response, span_id=self._span_id)

    def _end_event(self, response: CompletionResponse) -> LLMCompletionEndEvent:
        return LLMCompletionEndEvent(prompt=self._given, response=response, span_id=self._span_id)
