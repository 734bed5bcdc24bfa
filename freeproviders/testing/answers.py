"""The answers of a replica.

`answer=` is one of

* None: the last user message comes back (an echo);
* a string, sent word by word;
* a list of pieces, each sent as one;
* a backend: a provider instance, or any object with `name`, `model` and `batches(request)`. The
  replica asks it with the request's tools and response format, and sends its parts on as they come;
* a callable over the decoded messages that returns any of these, an (async) iterator of pieces, or
  an awaitable of one of them. A callable with a second parameter also gets the whole
  `RecordedRequest`.

A piece is a `str` or `Text`. The protocols that have a place for them (FreeNetfly, OpenAI) also
take all other parts but `ToolCallDelta`. On each protocol a mapping is sent as a raw
frame, and `bytes` are sent as they are.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any, cast

from freeproviders.abilities import Askable
from freeproviders.backend import Backend
from freeproviders.errors import FreeProvidersError, ProviderError
from freeproviders.testing.record import RecordedRequest
from freeproviders.types import Batch, Part, Text

Piece = Part | bytes | Mapping[str, Any]
MAX_WORDS = 64
"""A string is cut into at most so many pieces."""


Scripted = str | Sequence[Any] | Iterator[Any] | AsyncIterator[Any] | Askable
Answer = str | Sequence[Any] | Callable[..., Scripted | Awaitable[Scripted]] | Askable | None


class AnswerError(Exception):
    """The answering backend failed; `status` is the HTTP status of the replica's error."""

    def __init__(self, error: FreeProvidersError) -> None:
        super().__init__(str(error))
        self.status = (error.status if isinstance(error, ProviderError) else None) or 502


class Script:
    """Turns an `answer` into the pieces for one request."""

    def __init__(self, answer: Answer) -> None:
        if isinstance(answer, type) and hasattr(answer, "batches"):
            raise TypeError(f"answer={answer.__name__} is a class: pass an instance, {answer.__name__}().")
        self._answer = answer = _backend(answer)
        fixed = answer is None or isinstance(answer, str | list | tuple | Backend)
        if not fixed and not callable(answer):
            raise TypeError(
                "answer must be a string, a list of pieces, a callable or a backend, "
                f"not {type(answer).__name__}."
            )
        self._wants_request = not fixed and _wants_request(cast("Callable[..., Any]", answer))

    async def open(
        self, request: RecordedRequest, settings: Mapping[str, Any], stack: AsyncExitStack
    ) -> AsyncGenerator[Piece, None]:
        """Start the answer.

        A backend's first parts are waited for, so that its failure can still become an error
        status. The answer is closed with the stack. Raises `AnswerError` when the backend fails,
        and whatever a callable raises.
        """
        answer: Any = self._answer
        if answer is None:
            answer = echo(request.messages)
        elif callable(answer) and not isinstance(answer, Backend):
            answer = answer(request.messages, request) if self._wants_request else answer(request.messages)
            if inspect.isawaitable(answer):
                answer = await answer
            answer = _backend(answer)
        if isinstance(answer, Backend):
            return await _ask(answer, request.messages, settings, stack)
        return await stack.enter_async_context(aclosing(_pieces(answer)))


def _backend(answer: Any) -> Any:
    """Make a `Backend` of an object that can be asked; leave all else as it is."""
    return Backend.of(answer) if hasattr(answer, "batches") else answer


def echo(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of the last user message, or of the last message."""
    spoken = [message for message in messages if message.get("role") == "user"] or messages
    content = spoken[-1].get("content") if spoken else ""
    if isinstance(content, str):
        return content
    return "\n".join(str(block.get("text", "")) for block in content or () if isinstance(block, Mapping))


def words(text: str) -> list[str]:
    """Cut a text at the beginnings of words, into at most `MAX_WORDS` pieces that add up to it."""
    starts = [match.start() for match in re.finditer(r"(?<=\S)(?=\s)", text)]
    if len(starts) >= MAX_WORDS:
        starts = starts[:: len(starts) // MAX_WORDS + 1]
    cuts = [0, *starts, len(text)]
    return [text[a:b] for a, b in itertools.pairwise(cuts) if a < b]


def _wants_request(answer: Callable[..., Any]) -> bool:
    """Whether a second parameter has no default or is called `request`."""
    parameters = [
        p
        for p in inspect.signature(answer).parameters.values()
        if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}
    ]
    return len(parameters) > 1 and (
        parameters[1].default is inspect.Parameter.empty or parameters[1].name == "request"
    )


async def _pieces(answer: Any) -> AsyncGenerator[Piece, None]:
    if isinstance(answer, str):
        answer = words(answer)
    if isinstance(answer, AsyncIterator) or hasattr(answer, "__aiter__"):
        if isinstance(answer, AsyncGenerator):
            async with aclosing(answer):
                async for item in answer:
                    yield _piece(item)
        else:
            async for item in answer:
                yield _piece(item)
        return
    if isinstance(answer, bytes | Mapping) or not hasattr(answer, "__iter__"):
        answer = [answer]
    for item in answer:
        yield _piece(item)


def _piece(item: object) -> Piece:
    if isinstance(item, str):
        return Text(item)
    if isinstance(item, Part | bytes | Mapping):
        return item
    raise TypeError(f"An answer is made of str, parts, bytes or mappings, not {type(item).__name__}.")


async def _ask(
    backend: Backend,
    messages: list[dict[str, Any]],
    settings: Mapping[str, Any],
    stack: AsyncExitStack,
) -> AsyncGenerator[Piece, None]:
    try:
        batches = await stack.enter_async_context(
            aclosing(backend.answer(backend.request(messages, **settings)))
        )
        first: Batch = await anext(batches, [])
    except FreeProvidersError as error:
        raise AnswerError(error) from error
    return _forward(first, batches)


async def _forward(first: Batch, batches: AsyncGenerator[Batch, None]) -> AsyncGenerator[Piece, None]:
    for part in first:
        yield part
    try:
        async for batch in batches:
            for part in batch:
                yield part
    except FreeProvidersError as error:
        raise AnswerError(error) from error
