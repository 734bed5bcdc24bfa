"""Answers to any request from any backend: tools, a response format, thinking set apart."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from freeproviders.abilities import Answering
from freeproviders.checks import check_service_tools
from freeproviders.errors import UsageError
from freeproviders.tools.calls import CallQuestion
from freeproviders.tools.fence import Fence
from freeproviders.tools.fold import fence_of, fold, has_tool_turns
from freeproviders.tools.native import mended, names_of
from freeproviders.tools.plain import PlainQuestion, WordsQuestion
from freeproviders.tools.plan import plan_of
from freeproviders.tools.prompt import DEFAULT_PROMPT, ToolPrompt, chosen_dialect
from freeproviders.tools.quirks import quirks_for
from freeproviders.tools.structured import TextObject
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import Batch, ChatRequest, Tool


def answer(
    backend: Answering, request: ChatRequest, *, prompt: ToolPrompt = DEFAULT_PROMPT
) -> AsyncGenerator[Batch, None]:
    """Stream the answer to any request, whatever the service knows of tools and response formats.

    Calls come whole, with the tools' own names and with arguments that fit; nothing goes out twice.
    `Usage` is the sum of all requests. The fields of `ChatRequest` that say how are obeyed:
    `max_repairs`, `allow_repeats`, `on_invalid`, `reasoning`, `wait_up_to`. A request that needs
    none of this goes to the backend as it is.

    Raises:
        UsageError: at the call itself: a choice that names no tool of the request, or a schema that
            is broken.
        ToolCallError: while iterating: no call came, although one is required; a valid one did not
            come where the choice names a tool; or what came is a call that nobody can make.
        StructuredOutputError: while iterating: no object came that fits the response format.
        ProviderError: while iterating: the service failed.
    """
    model = request.model
    if request.service_tools and not (backend.abilities(model).tools or backend.finds_out("tools")):
        try:
            check_service_tools(request)
        except UsageError as error:
            raise error.about(backend.name, model or backend.model)  # noqa: B904 - the same error
    plan = plan_of(request)
    if request.stream_tool_arguments and request.stream and backend.abilities(model).tools:
        request = replace(request, messages=mended(request.messages))
        return backend.batches(request)  # shown as they come, calls can be neither judged nor mended
    if plan.box:
        return CallQuestion(backend, request, plan, prompt).rounds()
    known = Toolbox.of(request.tools or (() if backend.abilities(model).tools else _called(request)))
    request, fence = _without_tools(backend, request, prompt, known)
    if plan.target is not None:
        return TextObject(backend, request, plan.target, prompt, fence).rounds()
    if known:
        return WordsQuestion(backend, request, prompt, known, fence).rounds()
    if request.reasoning == "keep" and fence is None:
        return backend.batches(request)
    return PlainQuestion(backend, request, prompt, fence=fence).rounds()


def split_answer(
    backend: Answering, request: ChatRequest, first: Batch, rest: AsyncGenerator[Batch, None]
) -> AsyncGenerator[Batch, None]:
    """Stream an answer that has begun with thinking, and set the thinking apart."""
    return PlainQuestion(backend, request, DEFAULT_PROMPT, begun=_begun(first, rest)).rounds()


async def _begun(first: Batch, rest: AsyncGenerator[Batch, None]) -> AsyncGenerator[Batch, None]:
    async with aclosing(rest):
        yield first
        async for batch in rest:
            yield batch


def _without_tools(
    backend: Answering, request: ChatRequest, prompt: ToolPrompt, known: Toolbox
) -> tuple[ChatRequest, Fence | None]:
    """Write a request that offers no tools, with earlier calls in a form that the service reads.

    Returns the fence as well, where the texts have one.
    """
    fence = None
    native = backend.abilities(request.model).tools
    told = has_tool_turns(request.messages)
    if request.tools and not (native and told):  # else they are needed to read the conversation
        request = replace(request, tools=(), tool_choice=None, parallel_tool_calls=None)
    if told and native:
        names = names_of(request)
        messages = names.messages(mended(request.messages))
        return replace(request, messages=messages, tools=names.tools(request.tools)), None
    if told:
        dialect = chosen_dialect(prompt, quirks_for(backend, request.model).dialect)
        fence = fence_of(request.messages, prompt, known)
        request = replace(request, messages=fold(request.messages, prompt, dialect, fence))
    return request, fence


def _called(request: ChatRequest) -> list[Tool]:
    """The tools that were called in a conversation, which a model goes on to call."""
    calls = [call for message in request.messages for call in message.tool_calls]
    return [Tool(name) for name in dict.fromkeys(call.name for call in calls)] if calls else []
