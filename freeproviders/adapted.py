"""Objects that are none of our classes: whether they can be asked, and their answers made complete."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from freeproviders.abilities import Learned
from freeproviders.errors import ContextOverflowError, EmptyResponseError, UsageError
from freeproviders.stop import StopCutter
from freeproviders.types import (
    Admitted,
    Batch,
    ChatRequest,
    Finish,
    InvalidToolCall,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)
from freeproviders.usage import estimate_input_tokens, estimate_output_tokens
from freeproviders.wire.json import dumps
from freeproviders.wire.unreadable import Unmade

_WRAPPERS: Final = {
    "langchain": "langchain_freeproviders.as_backend(model)",
    "llama_index": "llama_index_freeproviders.as_backend(llm)",
}
"""What makes a backend of a framework's model, by the beginning of its module's name."""


def check_askable(given: object) -> None:
    """Raise `UsageError` for an object that cannot be asked; the error says what to pass instead."""
    if isinstance(given, type):
        raise UsageError(f"A backend is an object, not a class: pass an instance of {given.__name__}.")
    refuse_framework_model(given)
    missing = [name for name in ("name", "model", "batches") if not hasattr(given, name)]
    if missing:
        raise UsageError(
            f"A backend needs name, model and batches(request); "
            f"{type(given).__name__} has no {', '.join(missing)}.",
            advice=f"For a name pass FreeProviders({given!r:.200})." if isinstance(given, str) else "",
        )


def refuse_framework_model(given: object) -> None:
    """Raise `UsageError` for a framework's model; the error says what makes a backend of it."""
    if hasattr(given, "batches"):
        return
    for cls in type(given).__mro__:
        for framework, wrapper in _WRAPPERS.items():
            if cls.__module__.startswith(framework):
                raise UsageError(
                    f"{type(given).__name__} is a model of a framework, not a backend: pass {wrapper}."
                )


async def completed(
    stream: AsyncGenerator[Batch, None], request: ChatRequest, *, provider: str, model: str, learned: Learned
) -> AsyncGenerator[Batch, None]:
    """Stream an answer with what every backend promises: stop sequences, usage, an end, not empty."""
    if request.listener is not None:
        request.listener(Admitted(provider, model))
    cutter = StopCutter(request.stop) if request.stop else None
    chars, answered, counted = 0, False, False
    unmade = Unmade(provider, model)
    finish = Finish(reason="unknown", confirmed=False)
    try:
        async with aclosing(stream):
            async for batch in stream:
                if not isinstance(batch, list):
                    raise UsageError(
                        f"batches(request) must yield lists of parts, not {type(batch).__name__}.",
                        provider=provider,
                        model=model,
                    )
                out: Batch = []
                for part in batch:
                    match part:
                        case Finish():
                            finish = part
                            continue
                        case Usage():
                            counted = True
                        case Text() | Reasoning():
                            chars += len(part.text)
                            answered = answered or (type(part) is Text and bool(part.text))
                        case Refusal():
                            chars += len(part.text)
                            answered = True
                        case ToolCall():
                            chars += len(part.name) + len(dumps(part.arguments))
                            answered = True
                        case InvalidToolCall():
                            chars += len(part.name) + len(part.text)
                    out += unmade.take(part)
                if cutter is not None:
                    out = cutter.cut(out)
                if out:
                    yield out
                if cutter is not None and cutter.hit:
                    finish = replace(finish, reason="stop", raw_reason=None, confirmed=True)
                    counted = counted and any(type(part) is Usage for part in out)
                    break
    except ContextOverflowError as error:
        learned.tell_window(model, error.window)
        raise
    end: Batch = cutter.flush() if cutter is not None else []
    said = finish.confirmed and finish.reason == "stop"
    if not (answered or unmade.parts) and not request.may_be_empty(
        finish.reason, thought=chars > 0, said=said
    ):
        raise EmptyResponseError(
            "The answer is empty: it holds no text and no tool call.", provider=provider, model=model
        )
    if not counted:
        said_tokens = estimate_output_tokens(chars, request.messages)
        end.append(Usage(estimate_input_tokens(request.messages, model), said_tokens, estimated=True))
    end.append(replace(finish, provider=finish.provider or provider, model=finish.model or model))
    yield unmade.checked(end)
