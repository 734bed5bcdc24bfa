"""Checks of a caller's request, before anything is sent.

Each mistake is a `UsageError` that says what was expected and repeats no secret.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from types import FrameType
from typing import Any, Final, TypeGuard, get_args

from freeproviders.errors import UnsupportedInputError, UnsupportedOptionWarning, UsageError
from freeproviders.naming import argument
from freeproviders.types import (
    MAX_REPAIRS,
    AudioBlock,
    ChatRequest,
    FileBlock,
    ImageBlock,
    OnEmpty,
    OnInvalid,
    ReasoningMode,
    Tool,
)
from freeproviders.wire.json import dumps

SETTINGS: Final = frozenset(field.name for field in fields(ChatRequest)) - {
    "messages",
    "options",
    "patience",
    "listener",
    "keep",
}
"""What every request has a place for; all else is an option of some service."""
_ON_INVALID: Final[tuple[str, ...]] = get_args(OnInvalid)
_ON_EMPTY: Final[tuple[str, ...]] = get_args(OnEmpty)
_REASONING: Final[tuple[str, ...]] = get_args(ReasoningMode)
_NOT_AT_THE_SERVICE: Final = frozenset({"function", "object"})
_BETWEEN: Final = frozenset({"functools", "langchain_core", "llama_index", "pydantic"})
"""Packages whose code stands between the caller's line and ours."""
_MEDIA: Final[Mapping[type, tuple[str, str, str]]] = {
    ImageBlock: ("image", "pictures", "images"),
    AudioBlock: ("audio", "audio", "audio"),
    FileBlock: ("file", "files", "files"),
}
"""What a block and its kind are called, and the ability that it needs."""
_SERVICES_OWN: Final = frozenset({"models"})  # those to fall back on
ALIKE: Final = 0.85  # `max_token` is like `max_tokens`, `top_k` and `min_tokens` are words of their own


def checked_stops(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    """Read stop sequences: one, or a list of them."""
    if stop is None:
        return ()
    stops = (stop,) if isinstance(stop, str) else tuple(stop) if isinstance(stop, Iterable) else ("",)
    if not all(isinstance(item, str) and item for item in stops):
        raise UsageError(
            f"{argument('stop')} must be a text or a list of texts, none empty, not {stop!r:.200}."
        )
    return stops


def meant(option: str) -> str | None:
    """Return the setting of which an option is most likely a misspelling."""
    if option in SETTINGS or option in _SERVICES_OWN:
        return None
    return alike(option, sorted(SETTINGS))


def alike(name: str, known: Iterable[str]) -> str | None:
    """Return the name that another is most likely a misspelling of, if there is one."""
    known = list(known)
    if near := get_close_matches(name, known, 1, ALIKE):
        return near[0]
    letters = sorted(name)  # two that changed places count much in a short name: `modle`
    return next((one for one in known if sorted(one) == letters), None)


def caution(message: str, category: type[Warning] = UnsupportedOptionWarning) -> None:
    """Warn of an option at the line that gave it: the last one outside of the packages between."""
    frame, level = sys._getframe(1), 2  # noqa: SLF001 - every Python of ours has it
    while (above := frame.f_back) is not None and (
        (package := _package(frame)).endswith("freeproviders") or package in _BETWEEN
    ):
        frame, level = above, level + 1
    if _package(frame) in {"asyncio", "threading"}:  # a task of its own: there is no caller's line
        level = 2
    warnings.warn(message, category, stacklevel=level)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def as_tools(
    tools: Iterable[Tool | Mapping[str, Any]] | None,
) -> tuple[tuple[Tool, ...], tuple[Mapping[str, Any], ...]]:
    """Read tools in any form that `Tool.of` takes, and apart from them those that run at the service."""
    if tools is None:
        return (), ()
    # Of a list it is known at once that it is none of these.
    if not isinstance(tools, (list, tuple)) and (
        isinstance(tools, str | Mapping) or not isinstance(tools, Iterable)
    ):
        raise UsageError(f"{argument('tools')} must be a list of tools, not {type(tools).__name__}.")
    own: list[Tool] = []
    at_the_service: list[Mapping[str, Any]] = []
    for tool in tools:
        if runs_at_the_service(tool):
            at_the_service.append(tool)
        else:
            own.append(Tool.of(tool))
    return tuple(own), tuple(at_the_service)


def runs_at_the_service(tool: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether a tool is no function of the caller's, as `{"type": "web_search"}`."""
    return (
        tool.__class__ is not Tool
        and isinstance(tool, (dict, Mapping))
        and isinstance(kind := tool.get("type"), str)
        and kind not in _NOT_AT_THE_SERVICE
        and "function" not in tool
        and "parameters" not in tool
    )


def check_service_tools(request: ChatRequest) -> None:
    """Raise `UsageError` for tools that run at the service, where it has none of its own."""
    for tool in request.service_tools:
        raise UsageError(
            f"A tool of type {tool.get('type')!r} runs at the service, and this one has no tools of its own: "
            f"bind a function instead, or pass {argument('native_tools', 'native_tools=True')} where "
            f"it has them."
        )


def check_media(request: ChatRequest, abilities: Callable[[str | None], Any]) -> None:
    """Raise `UnsupportedInputError` where a message holds what the model does not take.

    The abilities of a model are asked for only where there is more than text.
    """
    for message in request.messages:
        if message.content.__class__ is str:
            continue
        for block in message.media:
            _, what, able = _MEDIA[block.__class__]
            if not getattr(abilities(request.model), able):
                raise UnsupportedInputError(
                    f"This backend takes no {what}: send text only, or ask a model that takes {able}."
                )


def check_prefill(request: ChatRequest, backend: Any) -> None:
    """Raise `UsageError` where a backend cannot be given the beginning of the answer."""
    if request.prefill and not backend.prefills(request.model):
        raise UsageError("This backend does not go on from the beginning of an answer: ask without prefill.")


def check_request(request: ChatRequest, accepted: frozenset[str] | None) -> None:
    """Raise `UsageError` where a request makes no sense or cannot be written.

    `accepted` are the options that will be sent, None for all.
    """
    if not request.messages:
        raise UsageError("messages is empty: pass at least one message.")
    if request.temperature is not None:
        _number("temperature", request.temperature, math.inf)  # how high is for the service to say
    if request.top_p is not None:
        _number("top_p", request.top_p, 1)
    if request.tool_choice is not None and not isinstance(request.tool_choice, str | tuple):
        raise UsageError(
            f"{argument('tool_choice')} must be a text or a tuple of names, not {request.tool_choice!r:.200}."
        )
    if request.response_format is not None and not isinstance(request.response_format, Mapping):
        raise UsageError(
            f"{argument('response_format')} must be a mapping, not {request.response_format!r:.200}."
        )
    if request.max_tokens is not None:
        whole_number("max_tokens", request.max_tokens, 1)
    if request.max_repairs is not MAX_REPAIRS:
        whole_number("max_repairs", request.max_repairs, 0)
    if request.allow_repeats is not None and not isinstance(request.allow_repeats, bool):
        raise UsageError(
            f"{argument('allow_repeats')} must be True, False or None, not {request.allow_repeats!r:.200}."
        )
    if request.on_invalid is not None:
        one_of("on_invalid", request.on_invalid, _ON_INVALID, or_none=True)
    if request.reasoning is not None:
        one_of("reasoning", request.reasoning, _REASONING, or_none=True)
    if request.on_empty is not None:
        one_of("on_empty", request.on_empty, _ON_EMPTY, or_none=True)
    if request.n != 1:
        whole_number("n", request.n, 1)
        if request.stream:
            raise UsageError(
                f"{argument('n')} must be 1 when the answer is streamed: a stream holds one answer."
            )
    if request.wait_up_to is not None:
        seconds("wait_up_to", request.wait_up_to)
    if request.keep and not (_is_number(request.keep) and 0 <= request.keep < 1):
        raise UsageError(f"keep must be a share of at least 0 and below 1, not {request.keep!r:.200}.")
    options = (
        request.options
        if accepted is None
        else {name: value for name, value in request.options.items() if name in accepted}
    )
    if not _can_all_be_written(request):
        for place, text in _texts(request):
            _check_text(place, text)
    try:
        for message in request.messages:
            for call in message.tool_calls:
                dumps(call.arguments)
        for value in (
            options,
            request.response_format,
            [tool.parameters for tool in request.tools],
            request.service_tools,
        ):
            if value:
                dumps(value)
    except ValueError as error:
        raise UsageError(f"The request cannot be written: {error}.") from error


def _can_all_be_written(request: ChatRequest) -> bool:
    """Return whether all texts of a request can be sent: the usual case, without their places."""
    try:
        if request.model is not None:
            request.model.encode()
        for message in request.messages:
            content = message.content
            if content.__class__ is not str or message.name or message.tool_call_id or message.tool_calls:
                return False  # look at each
            content.encode()
        for tool in request.tools:
            tool.name.encode()
            tool.description.encode()
    except (UnicodeEncodeError, AttributeError):
        return False
    return not (request.stop or request.tool_choice)


def _check_text(place: str, text: object) -> None:
    if not isinstance(text, str):
        raise UsageError(f"{place} must be text, not {type(text).__name__}.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{place} holds half of a character (a lone surrogate), which cannot be sent: pass whole ones."
        ) from None


def _texts(request: ChatRequest) -> Iterator[tuple[str, object]]:
    """Yield each text that is sent as it is, with the place where the caller wrote it."""
    yield "model", request.model or ""
    yield from (("stop", stop) for stop in request.stop)
    choice = request.tool_choice or ()
    yield from (("tool_choice", name) for name in ((choice,) if isinstance(choice, str) else choice))
    for n, message in enumerate(request.messages):
        yield f"messages[{n}].content", message.text
        for name in ("name", "tool_call_id"):
            yield f"messages[{n}].{name}", getattr(message, name) or ""
        for block in message.media:
            place = f"messages[{n}].content: the {_MEDIA[block.__class__][0]}'s"
            for name in getattr(block, "__slots__", ()):
                yield f"{place} {name}", getattr(block, name) or ""
        for call in message.tool_calls:
            yield f"messages[{n}].tool_calls: the id", call.id
            yield f"messages[{n}].tool_calls: the name", call.name
    for n, tool in enumerate(request.tools):
        yield f"tools[{n}].name", tool.name
        yield f"tools[{n}].description", tool.description


def whole_number(name: str, value: object, least: int, *, provider: str = "") -> None:
    """Raise `UsageError` unless a value is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(
            f"{argument(name)} must be a whole number of at least {least}, not {value!r:.200}.",
            provider=provider,
        )


def one_of(name: str, value: object, words: tuple[str, ...], *, or_none: bool = False) -> None:
    """Raise `UsageError` unless a value is one of some words; `or_none` tells that None is taken too."""
    if not isinstance(value, str) or value not in words:
        raise UsageError(
            f"{argument(name)} must be one of {', '.join(words)}{' or None' if or_none else ''}, not "
            f"{value!r:.200}."
        )


def seconds(name: str, value: object) -> None:
    """Raise `UsageError` unless a value is a number of seconds."""
    if not isinstance(value, int | float) or not _is_number(value) or value < 0:
        raise UsageError(f"{argument(name)} must be seconds of at least 0, not {value!r:.200}.")


def _number(name: str, value: object, most: float) -> None:
    """Raise `UsageError` unless a value is a number from 0 to `most`."""
    if not isinstance(value, int | float) or not _is_number(value) or not 0 <= value <= most:
        span = "of at least 0" if most == math.inf else f"from 0 to {most:g}"
        raise UsageError(f"{argument(name)} must be a number {span}, not {value!r:.200}.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
