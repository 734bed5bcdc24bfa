"""A LlamaIndex LLM as a backend: asked with its own methods, its answers and errors read as ours."""

from __future__ import annotations

import copy
import re
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Final

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM

from freeproviders import bridge
from freeproviders.abilities import Abilities
from freeproviders.backend import Backend
from freeproviders.checks import caution, whole_number
from freeproviders.deadlines import Timeout
from freeproviders.errors import FreeProvidersError, UsageError
from freeproviders.foreign import of_another_loop, translated
from freeproviders.retry import Retry
from freeproviders.types import Batch, ChatRequest
from llama_index_freeproviders.base import SETTINGS_OF_A_CALL, CoreLLM
from llama_index_freeproviders.members import threads
from llama_index_freeproviders.members.answers import AnswerReader
from llama_index_freeproviders.members.written import WrittenTool, chat_messages

_SETTINGS: Final = ("temperature", "top_p", "max_tokens")
_NOT_TAKEN: Final = re.compile(r"unexpected keyword argument '(\w+)'")
_STREAMING: Final[tuple[str, ...]] = ("astream_chat", "achat", "stream_chat", "chat")
_WHOLE: Final[tuple[str, ...]] = ("achat", "chat")
"""The methods to ask with, the best first: an LLM need not have all of them."""
_TIMEOUTS: Final = ("timeout", "request_timeout")
_RETRIES: Final = ("max_retries", "num_retries")
_MOST_LOOPS: Final = 2


def as_backend(llm: LLM) -> Backend:
    """Make a backend of any LlamaIndex LLM.

    It has the LLM's model; its abilities and its window are those of the LLM's `metadata`, as far
    as these are known. The LLM's own settings hold where a request has none. An LLM of
    freeproviders lends its backend, which has no settings.

    Raises `UsageError` for what is no LLM, and for an LLM of freeproviders with settings.

    Examples:
        ```python
        from llama_index.core.llms import MockLLM
        from llama_index_freeproviders import as_backend

        print(as_backend(MockLLM(max_tokens=3)).complete_sync("Hi").text)
        ```
    """
    if isinstance(llm, CoreLLM):
        return _lent(llm)
    if not isinstance(llm, LLM):
        raise UsageError(f"A LlamaIndex LLM is due, not {type(llm).__name__}.")
    return Backend.of(LLMBackend(llm))


def _lent(llm: CoreLLM) -> Backend:
    """The backend of an LLM of ours: what it is by itself, as a router asks each in its own way."""
    names = (*SETTINGS_OF_A_CALL, "additional_kwargs")
    given = [name for name in names if getattr(llm, name) not in (None, {})]
    if given:
        raise UsageError(
            f"{', '.join(given)} goes with a request, and this LLM only lends its backend: leave it out "
            "here, and pass it to the LLM that asks.",
            provider=llm.core.name,
        )
    window = llm.context_window
    return llm.core if window is None else llm.core.with_abilities(window=window)


class LLMBackend:
    """An LLM with the members that `Backend.of` asks for."""

    retry = 0
    """An LLM has retries of its own."""

    def __init__(self, llm: LLM) -> None:
        self.llm = llm
        self.name = type(llm).__name__
        self.slug = llm.class_name()
        self.base_url = _text_of(llm, "api_base", "base_url")
        self.model = _text_of(llm, "model", "model_name") or _named_model(llm)
        self._left_out: set[str] = set()
        """Settings that the LLM turned out not to take."""

    def abilities(self, model: str | None = None) -> Abilities:
        """What the LLM's own fields say, and else its metadata: that of some asks the service."""
        del model
        llm = self.llm
        tools = isinstance(llm, FunctionCallingLLM) and bool(_said(llm, "is_function_calling_model"))
        chats = not isinstance(llm, CustomLLM) and _said(llm, "is_chat_model") is not False
        window = _said(llm, "context_window")
        known = isinstance(window, int) and window > 0 and window != DEFAULT_CONTEXT_WINDOW
        return Abilities(
            tools=tools,
            images=chats,  # what a model cannot see is for the service to refuse
            audio=chats,
            files=chats,
            window=window if known else None,
        )

    def configured(self, **changes: Any) -> LLMBackend:
        """Return a copy with other time-outs or retries, as far as the LLM has fields for them."""
        if others := changes.keys() - {"timeout", "retry"}:
            raise UsageError(
                f"{', '.join(sorted(others))} belongs to the LLM: pass it to {self.name}(...).",
                provider=self.name,
            )
        fields = type(self.llm).model_fields
        update: dict[str, Any] = {}
        if (limit := changes.get("timeout")) is not None:
            seconds = limit.total if isinstance(limit, Timeout) else float(limit)
            update.update({name: seconds for name in _TIMEOUTS if name in fields and seconds is not None})
        if (retry := changes.get("retry")) is not None:
            retries = Retry.of(retry, Retry()).attempts - 1
            whole_number("retry", retries, 0)
            update.update({name: retries for name in _RETRIES if name in fields})
        other = copy.copy(self)
        other.llm = _with_fields(self.llm, update)
        return other

    def batches(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Stream the parts of an answer."""
        if request.model and request.model != self.model:
            raise UsageError(
                f"This LLM asks {self.model or 'its own model'!r} only: make another for {request.model!r}."
            )
        if request.service_tools:
            kinds = ", ".join(repr(tool.get("type")) for tool in request.service_tools)
            raise UsageError(f"A tool of type {kinds} runs at the service: give it to the LLM itself.")
        answer = self._answer(request, chat_messages(request.messages))
        return answer if _only_blocks(self.llm) else bridge.hosted(answer)

    async def _answer(self, request: ChatRequest, messages: list[ChatMessage]) -> AsyncGenerator[Batch, None]:
        reader = AnswerReader(self.name, self.model, self._calls_of)
        failed = 0
        while True:
            try:
                async with aclosing(self._responses(request, messages)) as responses:
                    async for response in responses:
                        if batch := reader.take(response):
                            yield batch
                yield reader.end()
            except Exception as error:
                if not reader.begun and self._may_try_again(error, request, failed):
                    failed += 1
                    continue
                if isinstance(error, FreeProvidersError):
                    raise
                raise translated(error, begun=reader.begun).about(self.name, self.model) from error
            return

    def _may_try_again(self, error: Exception, request: ChatRequest, failed: int) -> bool:
        """Return whether the cause of an error is gone now.

        A setting that the LLM does not take is left out, and a connection of another event loop has
        been dropped by its client.
        """
        if isinstance(error, TypeError) and (found := _NOT_TAKEN.search(str(error))):
            name = found[1]
            if name in self._left_out or name not in self._settings(request):
                return False
            self._left_out.add(name)
            caution(f"[{self.name}] cannot take {name}: left out of the request.")
            return True
        return failed < _MOST_LOOPS and of_another_loop(error)

    def _settings(self, request: ChatRequest) -> dict[str, Any]:
        """The keywords of a call for what the request says; the rest is the LLM's own."""
        own = {name: value for name in _SETTINGS if (value := getattr(request, name)) is not None}
        if request.stop:
            own["stop"] = list(request.stop)
        return {
            name: value for name, value in {**own, **request.options}.items() if name not in self._left_out
        }

    async def _responses(
        self, request: ChatRequest, messages: list[ChatMessage]
    ) -> AsyncGenerator[ChatResponse, None]:
        """Ask by the first of the LLM's methods that there is."""
        keywords, behind = self._settings(request), ""
        given: dict[str, Any] = {"messages": messages}
        if request.tools:
            behind, given = "_with_tools", _with_tools(request, messages)
        names = _STREAMING if request.stream else _WHOLE
        if _only_blocks(self.llm):
            names = tuple([name for name in names if not name.startswith("a")])
        for name in names:
            begun = False
            ask = partial(getattr(self.llm, name + behind), **given, **keywords)
            try:
                async with aclosing(_asked(ask, name)) as responses:
                    async for response in responses:
                        begun = True
                        yield response
            except NotImplementedError:
                if begun or name == names[-1]:
                    raise
            else:
                return

    def _calls_of(self, response: ChatResponse) -> Sequence[Any]:
        """The calls of a response in a form that only its LLM reads."""
        if not isinstance(self.llm, FunctionCallingLLM):
            return ()
        try:
            return self.llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        except NotImplementedError:
            return ()


async def _asked(ask: Any, name: str) -> AsyncGenerator[ChatResponse, None]:
    """Ask by one method, and stream its only response or all of them."""
    match name:
        case "achat":
            yield await ask()
        case "chat":
            yield await threads.called(ask)
        case "astream_chat":
            stream = await ask()
            try:
                async for response in stream:
                    yield response
            finally:
                if hasattr(stream, "aclose"):
                    await stream.aclose()
        case _:
            steps: AsyncGenerator[ChatResponse, None] = threads.iterated(lambda: iter(ask()))
            async with aclosing(steps):
                async for response in steps:
                    yield response


def _with_tools(request: ChatRequest, messages: list[ChatMessage]) -> dict[str, Any]:
    """The keywords of a call with tools, as LlamaIndex's agents have them."""
    choice = request.tool_choice
    must = choice not in {None, "auto", "none"}
    given: dict[str, Any] = {
        "tools": [WrittenTool(tool) for tool in request.tools],
        "chat_history": messages,
        "allow_parallel_tool_calls": request.parallel_tool_calls is not False,
    }
    if must:
        given["tool_required"] = True
    if isinstance(choice, str) and choice not in {"auto", "required"}:
        given["tool_choice"] = choice
    return given


def _only_blocks(llm: LLM) -> bool:
    """Return whether the LLM's async methods are those that call the sync ones on the event loop."""
    return next(cls for cls in type(llm).__mro__ if "astream_chat" in cls.__dict__) is CustomLLM


def _with_fields(llm: LLM, update: Mapping[str, Any]) -> LLM:
    """A copy with other fields; clients that it holds already get the number of retries as well."""
    if not update:
        return llm
    other = llm.model_copy(update=update)
    retries = next((update[name] for name in _RETRIES if name in update), None)
    private = other.__pydantic_private__ or {}
    for name, client in private.items():
        if retries is not None and callable(with_options := getattr(client, "with_options", None)):
            private[name] = with_options(max_retries=retries)
    return other


def _said(llm: LLM, name: str) -> Any:
    """What a field of the LLM says, and else its metadata; None where nothing does."""
    if name in type(llm).model_fields:
        return getattr(llm, name)
    return _metadata(llm, name)


def _metadata(llm: LLM, name: str) -> Any:
    """A fact of the LLM's metadata, None where it cannot be read: some know few models."""
    try:
        return getattr(llm.metadata, name)
    except Exception:  # noqa: BLE001 - a property of another package's class
        return None


def _named_model(llm: LLM) -> str:
    """The model by the LLM's metadata, "" where it names none."""
    name = _metadata(llm, "model_name")
    return "" if name in (None, LLMMetadata.model_fields["model_name"].default) else str(name)


def _text_of(llm: LLM, *names: str) -> str:
    values: Iterator[object] = (getattr(llm, name, None) for name in names)
    return next((value for value in values if isinstance(value, str) and value), "")
