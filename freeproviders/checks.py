"""What a caller passed, checked before anything is sent: each mistake is a `UsageError` that says what was expected and repeats no secret."""

from __future__ import annotations

import math
import re
import sys
import warnings
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from types import FrameType
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from freeproviders.errors import UnsupportedOptionWarning, UsageError
from freeproviders.types import ChatRequest, Tool
from freeproviders.wire.json import dumps

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_NOT_IN_A_HEADER: Final = re.compile(r"[\r\n\0]")
_NOT_IN_A_COOKIE: Final = re.compile(r"[\r\n\0;]")
_NOT_IN_A_URL: Final = re.compile(r"[\s\0]")


SETTINGS: Final = frozenset(field.name for field in fields(ChatRequest)) - {"messages", "options"}
"""What every request has a place for; all else is an option of some service."""
_SERVICES_OWN: Final = frozenset({"models"})  # those to fall back on
_ALIKE: Final = 0.86  # `max_token` is like `max_tokens`, `top_k` and `min_tokens` are words of their own


# --- the configuration ----------------------------------------------------------------------------


def read_base_url(url: object, provider: str) -> tuple[str, str | None]:
    """Read an address, `https://user:password@host:port/path`.

    Returns:
        The address without what is secret in it and without a slash at its end, and the `Authorization` header that says the secret.
    """
    if not url:
        raise UsageError("base_url is missing: say where the service is.", provider=provider)
    if not isinstance(url, str):
        raise UsageError(f"base_url must be text, not {type(url).__name__}.", provider=provider)
    url = url.strip()
    shown = re.sub(r"//.*@", "//", url)[:100]
    try:
        parts = urlsplit(url)
        right = (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.port != 0
            and _NOT_IN_A_URL.search(url) is None
        )
    except ValueError:  # a port or a bracket
        right = False
    if not right:
        raise UsageError(f"base_url must look like https://host:port/path, not {shown!r}.", provider=provider)
    if "?" in url or "#" in url:
        raise UsageError(
            f"base_url must end with its path, since the endpoint is added to it: {shown!r}.",
            provider=provider,
        )
    login, at, host = parts.netloc.rpartition("@")
    if not at:
        return url.rstrip("/"), None
    user, _, password = login.partition(":")
    secret = b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    return parts._replace(netloc=host).geturl().rstrip("/"), f"Basic {secret}"


def checked_key(key: object, provider: str, login: str | None = None) -> str | None:
    """An API key; the line break that files and environments leave at its end is taken off. It cannot go with a `login`, since both take the same header."""
    if key is None:
        return None
    if not isinstance(key, str):
        raise UsageError(f"api_key must be text, not {type(key).__name__}.", provider=provider)
    key = key.strip()
    if _NOT_IN_A_HEADER.search(key):
        raise UsageError("api_key must be one line.", provider=provider)
    if key and login:
        raise UsageError(
            "pass api_key or a user and password in base_url, not both: a request has one Authorization header.",
            provider=provider,
        )
    return key


def checked_headers(headers: Mapping[str, str], provider: str) -> dict[str, str]:
    """Headers that can be sent as they are."""
    for name, value in _items(headers, "headers", provider):
        if (
            not isinstance(name, str)
            or not isinstance(value, str)
            or not _TOKEN.fullmatch(name)
            or _NOT_IN_A_HEADER.search(value)
        ):
            raise UsageError(
                f"header {name!r} must be a name and text without line breaks.", provider=provider
            )
    return dict(headers)


def checked_cookies(cookies: Mapping[str, str], provider: str) -> dict[str, str]:
    """Cookies that can be sent as they are; numbers are written as text."""
    out = {}
    for name, value in _items(cookies, "cookies", provider):
        text = str(value) if isinstance(value, str | int) else ""
        if (
            not isinstance(name, str)
            or not isinstance(value, str | int)
            or not _TOKEN.fullmatch(name)
            or _NOT_IN_A_COOKIE.search(text)
        ):
            raise UsageError(
                f"cookie {name!r} must be a name and text without semicolons and line breaks.",
                provider=provider,
            )
        out[name] = text
    return out


def _items(mapping: object, what: str, provider: str) -> Iterable[tuple[object, object]]:
    if not isinstance(mapping, Mapping):
        raise UsageError(
            f"{what} must be a mapping of names to texts, not {type(mapping).__name__}.", provider=provider
        )
    return mapping.items()


def not_configuration(given: Iterable[str], known: Iterable[str], provider: str) -> UsageError:
    """The error for keywords that configure no provider; most often they are a request's."""
    wrong = sorted(given)
    setting = next((name for name in wrong if name in SETTINGS), None)
    advice = (
        f"pass it with the question, complete_sync('Hi', {setting}=...)"
        if setting
        else f"it takes {', '.join(known)}"
    )
    return UsageError(f"it cannot be configured with {', '.join(wrong)}: {advice}.", provider=provider)


# --- the request ----------------------------------------------------------------------------------


def checked_stops(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    """Stop sequences, from one or a list of them."""
    if stop is None:
        return ()
    stops = (stop,) if isinstance(stop, str) else tuple(stop) if isinstance(stop, Iterable) else ("",)
    if not all(isinstance(item, str) and item for item in stops):
        raise UsageError(f"stop must be a text or a list of texts, none empty, not {stop!r:.200}.")
    return stops


def meant(option: str) -> str | None:
    """The setting that an option is most likely a misspelling of."""
    if option in SETTINGS or option in _SERVICES_OWN:
        return None
    from difflib import get_close_matches  # noqa: PLC0415 - seldom needed

    return next(iter(get_close_matches(option, sorted(SETTINGS), 1, _ALIKE)), None)


def caution(message: str) -> None:
    """Warn of an option at the line that gave it: the last one outside of our packages."""
    frame, level = sys._getframe(1), 2  # noqa: SLF001 - every Python of ours has it
    while (above := frame.f_back) is not None and _package(frame).endswith("freeproviders"):
        frame, level = above, level + 1
    if _package(frame) in {"asyncio", "threading"}:  # a task of its own: nobody's line
        level = 2
    warnings.warn(message, UnsupportedOptionWarning, stacklevel=level)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def as_tools(tools: Iterable[Tool | Mapping[str, Any]] | None) -> tuple[Tool, ...]:
    """Tools in any form that `Tool.of` reads."""
    if tools is not None and (isinstance(tools, str | Mapping) or not isinstance(tools, Iterable)):
        raise UsageError(f"tools must be a list of tools, not {type(tools).__name__}.")
    return tuple([Tool.of(tool) for tool in tools or ()])


def check_request(request: ChatRequest, accepted: frozenset[str] | None) -> None:
    """Raise `UsageError` where a request makes no sense or cannot be written; `accepted` are the options that will be sent, None for all."""
    if not request.messages:
        raise UsageError("messages is empty: pass at least one message.")
    for name in ("temperature", "top_p"):
        value = getattr(request, name)
        if value is not None and not (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        ):
            raise UsageError(f"{name} must be a number, not {value!r:.200}.")
    if request.tool_choice is not None and not isinstance(request.tool_choice, str | tuple):
        raise UsageError(f"tool_choice must be a text or a tuple of names, not {request.tool_choice!r:.200}.")
    if request.response_format is not None and not isinstance(request.response_format, Mapping):
        raise UsageError(f"response_format must be a mapping, not {request.response_format!r:.200}.")
    most = request.max_tokens
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise UsageError(f"max_tokens must be a whole number of at least 1, not {most!r:.200}.")
    options = (
        request.options
        if accepted is None
        else {name: value for name, value in request.options.items() if name in accepted}
    )
    try:
        for message in request.messages:
            message.text.encode()
            for call in message.tool_calls:
                dumps(call.arguments)
        for value in (options, request.response_format, [tool.parameters for tool in request.tools]):
            if value:
                dumps(value)
    except ValueError as error:
        raise UsageError(f"the request cannot be written: {error}.") from error
