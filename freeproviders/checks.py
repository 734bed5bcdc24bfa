"""Checks of a caller's request, before anything is sent.

Each mistake is a `UsageError` that says what was expected and repeats no secret.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from types import FrameType
from typing import Any, Final, get_args

from freeproviders.errors import UnsupportedOptionWarning, UsageError
from freeproviders.types import MAX_REPAIRS, ChatRequest, OnInvalid, ReasoningMode, Tool
from freeproviders.wire.json import dumps

SETTINGS: Final = frozenset(field.name for field in fields(ChatRequest)) - {"messages", "options", "patience"}
"""What every request has a place for; all else is an option of some service."""
_ON_INVALID: Final[tuple[str, ...]] = get_args(OnInvalid)
_REASONING: Final[tuple[str, ...]] = get_args(ReasoningMode)
_BETWEEN: Final = frozenset({"functools", "langchain_core", "llama_index", "pydantic"})
"""Packages whose code stands between the caller's line and ours."""
_SERVICES_OWN: Final = frozenset({"models"})  # those to fall back on
ALIKE: Final = 0.86  # `max_token` is like `max_tokens`, `top_k` and `min_tokens` are words of their own


def checked_stops(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    """Read stop sequences: one, or a list of them."""
    if stop is None:
        return ()
    stops = (stop,) if isinstance(stop, str) else tuple(stop) if isinstance(stop, Iterable) else ("",)
    if not all(isinstance(item, str) and item for item in stops):
        raise UsageError(f"stop must be a text or a list of texts, none empty, not {stop!r:.200}.")
    return stops


def meant(option: str) -> str | None:
    """Return the setting of which an option is most likely a misspelling."""
    if option in SETTINGS or option in _SERVICES_OWN:
        return None
    from difflib import get_close_matches  # noqa: PLC0415 - seldom needed

    return next(iter(get_close_matches(option, sorted(SETTINGS), 1, ALIKE)), None)


def caution(message: str) -> None:
    """Warn of an option at the line that gave it: the last one outside of the packages between."""
    frame, level = sys._getframe(1), 2  # noqa: SLF001 - every Python of ours has it
    while (above := frame.f_back) is not None and (
        (package := _package(frame)).endswith("freeproviders") or package in _BETWEEN
    ):
        frame, level = above, level + 1
    if _package(frame) in {"asyncio", "threading"}:  # a task of its own: nobody's line
        level = 2
    warnings.warn(message, UnsupportedOptionWarning, stacklevel=level)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def as_tools(tools: Iterable[Tool | Mapping[str, Any]] | None) -> tuple[Tool, ...]:
    """Read tools in any form that `Tool.of` takes."""
    if tools is not None and (isinstance(tools, str | Mapping) or not isinstance(tools, Iterable)):
        raise UsageError(f"tools must be a list of tools, not {type(tools).__name__}.")
    return tuple([Tool.of(tool) for tool in tools or ()])


def check_request(request: ChatRequest, accepted: frozenset[str] | None) -> None:
    """Raise `UsageError` where a request makes no sense or cannot be written.

    `accepted` are the options that will be sent, None for all.
    """
    if not request.messages:
        raise UsageError("messages is empty: pass at least one message.")
    for name in ("temperature", "top_p"):
        value = getattr(request, name)
        if value is not None and not _is_number(value):
            raise UsageError(f"{name} must be a number, not {value!r:.200}.")
    if request.tool_choice is not None and not isinstance(request.tool_choice, str | tuple):
        raise UsageError(f"tool_choice must be a text or a tuple of names, not {request.tool_choice!r:.200}.")
    if request.response_format is not None and not isinstance(request.response_format, Mapping):
        raise UsageError(f"response_format must be a mapping, not {request.response_format!r:.200}.")
    if request.max_tokens is not None:
        whole_number("max_tokens", request.max_tokens, 1)
    if request.max_repairs is not MAX_REPAIRS:
        whole_number("max_repairs", request.max_repairs, 0)
    if request.on_invalid is not None:
        one_of("on_invalid", request.on_invalid, _ON_INVALID)
    if request.reasoning is not None:
        one_of("reasoning", request.reasoning, _REASONING)
    if request.wait_up_to is not None and not (_is_number(request.wait_up_to) and request.wait_up_to >= 0):
        raise UsageError(f"wait_up_to must be seconds of at least 0, not {request.wait_up_to!r:.200}.")
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
        for value in (options, request.response_format, [tool.parameters for tool in request.tools]):
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
    except (UnicodeEncodeError, AttributeError):
        return False
    return not (request.stop or request.tool_choice or request.tools)


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
        for image in message.images:
            yield f"messages[{n}].content: the image's url", image.url
            yield f"messages[{n}].content: the image's detail", image.detail or ""
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
            f"{name} must be a whole number of at least {least}, not {value!r:.200}.", provider=provider
        )


def one_of(name: str, value: object, words: tuple[str, ...]) -> None:
    """Raise `UsageError` unless a value is one of some words."""
    if value not in words:
        raise UsageError(f"{name} must be one of {', '.join(words)} or None, not {value!r:.200}.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
