"""Refusals of a gateway: OpenAI's statuses and documents for the errors of the core."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from math import ceil
from typing import Any, Final

from freeproviders.errors import (
    AuthenticationError,
    BadRequestError,
    BlockedError,
    ContentFilterError,
    ContextOverflowError,
    FamilyMismatchError,
    FreeProvidersError,
    MissingDependencyError,
    MissingKeyError,
    NoProviderError,
    OutputError,
    OverloadedError,
    PermissionDeniedError,
    ProviderError,
    ProviderTimeoutError,
    QuotaExceededError,
    RateLimitError,
    RequestTooLargeError,
    RetiredModelError,
    StructuredOutputError,
    SyncOnLoopError,
    ToolCallError,
    UnknownModelError,
    UnsupportedInputError,
    UsageError,
)
from freeproviders.wire.openai.asked import FieldError
from freeproviders.wire.openai.writer import error_document

RETRY_WORTH_SECONDS: Final = 60.0
"""A client that tries again by itself is told not to where it had to wait longer."""

_UPSTREAM: Final = "upstream_error"
_RATE: Final = "rate_limit_error"
_WRONG: Final = "invalid_request_error"
_SERVER: Final = "server_error"

_ROWS: Final[tuple[tuple[type[FreeProvidersError], int, str, str], ...]] = (
    # The first row that fits counts: the narrower error stands before the wider one.
    (UnknownModelError, 404, _WRONG, "model_not_found"),
    (MissingKeyError, 503, _SERVER, "service_key_missing"),
    (MissingDependencyError, 501, _SERVER, "not_installed"),
    (SyncOnLoopError, 500, _SERVER, "internal_error"),
    (FamilyMismatchError, 502, _UPSTREAM, "upstream_error"),
    (UnsupportedInputError, 400, _WRONG, "unsupported_content"),
    (UsageError, 400, _WRONG, "invalid_request"),
    (ContextOverflowError, 400, _WRONG, "context_length_exceeded"),
    (RequestTooLargeError, 413, _WRONG, "request_too_large"),
    (BadRequestError, 400, _WRONG, "invalid_request"),
    (ContentFilterError, 400, _WRONG, "content_filter"),
    (RetiredModelError, 404, _WRONG, "model_not_found"),
    (QuotaExceededError, 429, "insufficient_quota", "insufficient_quota"),
    (RateLimitError, 429, _RATE, "rate_limit_exceeded"),
    (NoProviderError, 503, _UPSTREAM, "no_provider"),
    (ProviderTimeoutError, 504, _UPSTREAM, "upstream_timeout"),
    (OverloadedError, 503, _UPSTREAM, "overloaded"),
    # The client's own key is right: a 401 would have it blamed.
    (AuthenticationError, 502, _UPSTREAM, "upstream_authentication"),
    (PermissionDeniedError, 502, _UPSTREAM, "upstream_permission"),
    (BlockedError, 502, _UPSTREAM, "upstream_blocked"),
    (ProviderError, 502, _UPSTREAM, "upstream_error"),
    (ToolCallError, 502, _UPSTREAM, "invalid_tool_call"),
    (StructuredOutputError, 502, _UPSTREAM, "invalid_object"),
    (OutputError, 502, _UPSTREAM, "invalid_output"),
    (FreeProvidersError, 500, _SERVER, "internal_error"),
)


class Refusal(Exception):  # noqa: N818 - an answer, not an error of the gateway's
    """A request is not answered; `status` and `document` say why.

    `retry_after` is in seconds, None where that is unknown. `again` says whether a client that tries
    again by itself should; None leaves that to its own rule for the status.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        kind: str = "",
        param: str | None = None,
        retry_after: float | None = None,
        again: bool | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.kind = kind
        self.param = param
        self.retry_after = retry_after
        self.again = again
        self.more = headers or {}

    @property
    def document(self) -> dict[str, Any]:
        """The body of the answer, or of the event where the answer has begun."""
        return error_document(self.message, self.status, self.code, kind=self.kind, param=self.param)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that tell a client when to try again, and whether."""
        out = dict(self.more)
        if self.retry_after is not None:
            out["Retry-After"] = str(max(0, ceil(self.retry_after)))
        if self.again is not None:
            out["X-Should-Retry"] = "true" if self.again else "false"
        return out


def refusal_of(error: FreeProvidersError) -> Refusal:
    """Write an error of the core as OpenAI's clients read it."""
    row = next(row for row in _ROWS if isinstance(error, row[0]))
    status, kind, code = row[1:]
    wait = _wait(error)
    if isinstance(error, NoProviderError) and wait is not None:
        status, kind, code = 429, _RATE, "rate_limit_exceeded"
    param = "model" if code == "model_not_found" else None
    if isinstance(error, FieldError):
        param, code = error.param, error.code or code
    return Refusal(
        status,
        _words(error),
        code=code,
        kind=kind,
        param=param,
        retry_after=wait,
        again=_again(error, status, wait),
    )


def _again(error: FreeProvidersError, status: int, wait: float | None) -> bool | None:
    """Return whether to try again, None where the status alone says no.

    Of output that is no good the core has asked again by itself.
    """
    if status < 429 and status not in {408, 409}:
        return None
    if isinstance(error, OutputError):
        return False
    return error.is_retryable and (wait is None or wait <= RETRY_WORTH_SECONDS)


def _wait(error: FreeProvidersError) -> float | None:
    """Return the seconds after which to ask again, None where the error does not say."""
    if not isinstance(error, ProviderError):
        return None
    if error.retry_after is not None:
        return error.retry_after
    if error.soonest is not None:
        return max(0.0, (error.soonest - datetime.now(UTC)).total_seconds())
    return None


def _words(error: FreeProvidersError) -> str:
    """Write an error without advice for Python code, which the client's user cannot follow."""
    text = str(error)
    if isinstance(error, ProviderError) and error.advice:
        text = text.removesuffix(error.advice).rstrip()
    return text
