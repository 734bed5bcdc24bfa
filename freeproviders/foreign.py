"""Other libraries' exceptions and words, read by what they have and not by their classes.

Clients of services differ in names only: an exception has a status, the headers and the body of an
answer, or it is one of a connection or a time-out. None of the libraries is imported.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPException
from typing import Any, Final

from multidict import CIMultiDict

from freeproviders.errors import (
    FreeProvidersError,
    MalformedResponseError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    TruncatedResponseError,
)
from freeproviders.types import FinishReason
from freeproviders.wire.failure import (
    EXCERPT_CHARS,
    ReportedError,
    classify,
    read_failure,
    read_reported_error,
    redact,
)
from freeproviders.wire.json import dumps, loads
from freeproviders.wire.limits import AllowanceHeaders
from freeproviders.wire.openai.answer import REASONS
from freeproviders.wire.signs import Sign
from freeproviders.wire.text import mended

_MOST_CAUSES: Final = 10
_STATUS_NAMES: Final = ("status_code", "status", "http_status", "code")
_CONNECTION: Final = (
    "APIConnectionError",
    "ChunkedEncodingError",
    "ClientConnectionError",
    "ClientPayloadError",
    "EndpointConnectionError",
    "NetworkError",
    "ProtocolError",
    "TransportError",
)
"""Names of classes for a connection that failed or broke."""
_UNREADABLE: Final = (
    "APIResponseValidationError",
    "DecodeError",
    "DecodingError",
    "JSONDecodeError",
    "ValidationError",
)
"""Names of classes for an answer that a client could not read."""
_OTHER_LOOP: Final = ("Event loop is closed", "different loop", "different event loop")
_REASONS: Final[Mapping[str, FinishReason]] = {
    **REASONS,
    "blocklist": "content_filter",
    "complete": "stop",
    "completed": "stop",
    "eos_token": "stop",
    "guardrail_intervened": "content_filter",
    "incomplete": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "prohibited_content": "content_filter",
    "recitation": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
    "stop_sequence": "stop",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
}


def translated(
    error: Exception,
    *,
    begun: bool = False,
    signs: Sequence[Sign] = (),
    announces: Sequence[AllowanceHeaders] = (),
) -> FreeProvidersError:
    """Read another library's exception as an error of the tree, to be raised `from` it.

    Args:
        error: the exception. One of the tree, also as its cause, is returned as it is.
        begun: whether some of the answer has come.
        signs: the signs of the service's row, where it has one.
        announces: how the service announces its limits.
    """
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, FreeProvidersError):
            return one
    for one in chain:
        if (status := _status(one)) is not None:
            return read_failure(status, _headers(one), _body(one), signs=signs, announces=announces)
        if _is_of_connection(one):
            break  # aiohttp gives a broken transfer a cause with a status of its own
    said = _said(error)
    if any(isinstance(one, TimeoutError | asyncio.TimeoutError) or _named(one, "Timeout") for one in chain):
        phase = "connect" if any(_named(one, "Connect") for one in chain) else "total"
        return ProviderTimeoutError(f"The client gave up waiting: {said}", phase=phase)
    if any(_is_of_connection(one) for one in chain):
        if begun:
            return TruncatedResponseError(f"The transfer was cut off: {said}")
        broken = ProviderConnectionError(f"Connection failed: {said}")
        if any(isinstance(one, ssl.SSLCertVerificationError) for one in chain):
            broken.is_retryable = False
        return broken
    if (reported := _reported(error)) is not None:
        return classify(None, reported, signs=signs, announces=announces, body=_body(error))
    if any(isinstance(one, EOFError) or _has_name(one, _UNREADABLE) for one in chain) or _stumbled(error):
        return MalformedResponseError(f"The client could not read the answer: {said}")
    return ProviderError(said)


def of_another_loop(error: BaseException) -> bool:
    """Return whether a client failed since its connections belong to another event loop.

    Clients that are kept drop such a connection then, and another try gets a new one.
    """
    return any(
        isinstance(one, RuntimeError) and any(words in str(one) for words in _OTHER_LOOP)
        for one in _chain(error)
    )


def finish_reason(word: object) -> FinishReason | None:
    """Read another library's word for why an answer ended; None where there is none."""
    word = getattr(word, "name", word)  # of an enumeration
    if not isinstance(word, str) or not word:
        return None
    return _REASONS.get(word.rpartition(".")[2].lower(), "unknown")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and its causes; the last try's behind that of a loop of retries.

    What was merely handled at the time is another call's affair.
    """
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and len(seen) < _MOST_CAUSES and one not in seen:
        seen.append(one)
        yield one
        one = one.__cause__ or _last_try(one)


def _last_try(error: BaseException) -> BaseException | None:
    """The exception of the last try, as tenacity's `RetryError` has it."""
    attempt = getattr(error, "last_attempt", None)
    try:
        found = attempt.exception() if attempt is not None else None
    except Exception:  # noqa: BLE001 - an object of another library
        return None
    return found if isinstance(found, BaseException) else None


def _status(error: BaseException) -> int | None:
    """The HTTP status of the answer that an exception is about, if it is an error's."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):  # as the clients of AWS have it
        about = response.get("ResponseMetadata")
        return _number(about.get("HTTPStatusCode")) if isinstance(about, Mapping) else None
    for owner in (error, response):
        for name in _STATUS_NAMES:
            if (status := _number(getattr(owner, name, None))) is not None:
                return status
    return None


def _number(value: object) -> int | None:
    if isinstance(value, str) and len(value) == 3 and value.isdecimal():
        value = int(value)
    return int(value) if isinstance(value, int) and 400 <= value < 600 else None


def _headers(error: BaseException) -> CIMultiDict[str]:
    """The headers of the answer that an exception is about, whatever the case of their names."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        about = response.get("ResponseMetadata")
        found = about.get("HTTPHeaders") if isinstance(about, Mapping) else None
    else:
        found = getattr(response, "headers", None) or getattr(error, "headers", None)
    out: CIMultiDict[str] = CIMultiDict()
    try:
        for name, value in found.items() if found is not None else ():
            out.add(str(name), str(value))
    except Exception:  # noqa: BLE001 - an object of another library
        return CIMultiDict()
    return out


def _body(error: BaseException) -> bytes:
    """The body of the answer that an exception is about, as far as it was read; else its words."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        reported = response.get("Error")
        if isinstance(reported, Mapping):
            return dumps({"message": str(reported.get("Message")), "code": str(reported.get("Code"))})
    elif response is not None and getattr(response, "_content_consumed", True):
        try:
            content = getattr(response, "content", None)
        except Exception:  # noqa: BLE001 - httpx raises where the body was not read
            content = None
        if isinstance(content, bytes) and content:
            return content
    for found in (getattr(error, "body", None), getattr(error, "details", None)):
        if isinstance(found, bytes) and found:
            return found
        if isinstance(found, str) and found:
            return found.encode("utf-8", "replace")
        if isinstance(found, Mapping) and found:
            try:
                return dumps(dict(found))
            except (ValueError, TypeError):
                continue
    return _said(error).encode("utf-8", "replace")


def _reported(error: Exception) -> ReportedError | None:
    """The error that came inside an answer of status 200, which a client read as one."""
    body = getattr(error, "body", None)
    if body is None and error.args and isinstance(error.args[0], Mapping):
        body = error.args[0]  # a client that raises with what it found under "error"
    if isinstance(body, str | bytes):
        try:
            body = loads(body)
        except ValueError:
            body = None
    return read_reported_error(dict(body)) if isinstance(body, Mapping) and body else None


def _is_of_connection(error: BaseException) -> bool:
    if isinstance(error, OSError | HTTPException):
        return True
    return _has_name(error, _CONNECTION)


def _stumbled(error: Exception) -> bool:
    """Return whether a client stumbled over what it read: one that finds no answer where it looks."""
    if isinstance(error, TypeError):
        return "argument" not in str(error)
    return isinstance(error, AttributeError | LookupError)


def _has_name(error: BaseException, names: Sequence[str]) -> bool:
    return any(cls.__name__ in names for cls in type(error).__mro__)


def _named(error: BaseException, word: str) -> bool:
    return any(word in cls.__name__ for cls in type(error).__mro__)


def _said(error: BaseException) -> str:
    """The exception in one line, without credentials: its class and its words."""
    try:
        words = " ".join(mended(str(error)).split())
    except Exception:  # noqa: BLE001 - an object of another library
        words = ""
    said = redact(f"{type(error).__name__}: {words}" if words else type(error).__name__)[:EXCERPT_CHARS]
    return said if said.endswith((".", "!", "?")) else f"{said}."


def reading(value: Any, *names: str | int) -> Any:
    """Follow names through mappings, attributes and lists; None where one is missing."""
    for name in names:
        if isinstance(name, int):
            value = value[name] if isinstance(value, Sequence) and len(value) > name else None
        elif isinstance(value, Mapping):
            value = value.get(name)
        else:
            value = getattr(value, name, None)
        if value is None:
            return None
    return value
