"""The errors of the core as OpenAI's statuses, codes and headers."""

from __future__ import annotations

from typing import Any

import pytest

from freeproviders import errors
from freeproviders.errors import FreeProvidersError
from freeproviders.gateway.refusals import refusal_of

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, FreeProvidersError)
]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_has_a_status(cls: type[FreeProvidersError]) -> None:
    refusal = refusal_of(cls("Something happened.", provider="P", model="m"))
    assert 400 <= refusal.status < 600
    assert refusal.status != 401  # the client's key is the gateway's business
    assert refusal.document["error"]["code"]
    assert "Something happened." in refusal.document["error"]["message"]


@pytest.mark.parametrize(
    ("name", "status", "code", "again"),
    [
        ("UsageError", 400, "invalid_request", None),
        ("UnknownModelError", 404, "model_not_found", None),
        ("UnsupportedInputError", 400, "unsupported_content", None),
        ("ContextOverflowError", 400, "context_length_exceeded", None),
        ("RequestTooLargeError", 413, "request_too_large", None),
        ("ToolsNotSupportedError", 400, "invalid_request", None),
        ("ContentFilterError", 400, "content_filter", None),
        ("RetiredModelError", 404, "model_not_found", None),
        ("AuthenticationError", 502, "upstream_authentication", "false"),
        ("PermissionDeniedError", 502, "upstream_permission", "false"),
        ("NotFoundError", 502, "upstream_error", "false"),
        ("RateLimitError", 429, "rate_limit_exceeded", "true"),
        ("QuotaExceededError", 429, "insufficient_quota", "false"),
        ("QuotaSpentError", 429, "rate_limit_exceeded", "false"),
        ("OverloadedError", 503, "overloaded", "true"),
        ("ServerError", 502, "upstream_error", "true"),
        ("ProviderTimeoutError", 504, "upstream_timeout", "true"),
        ("ProviderConnectionError", 502, "upstream_error", "true"),
        ("NoProviderError", 503, "no_provider", "false"),
        ("ToolCallError", 502, "invalid_tool_call", "false"),
        ("StructuredOutputError", 502, "invalid_object", "false"),
        ("EmbeddedModelError", 500, "internal_error", "false"),
    ],
)
def test_what_each_means(name: str, status: int, code: str, again: str | None) -> None:
    refusal = refusal_of(getattr(errors, name)("No."))
    assert (refusal.status, refusal.code, refusal.headers.get("X-Should-Retry")) == (status, code, again)


def test_advice_for_python_is_left_out() -> None:
    error = errors.ProviderTimeoutError("No content came within 3 s.")
    assert "Timeout(" in str(error)
    assert refusal_of(error).message == "No content came within 3 s."


@pytest.mark.parametrize(
    ("seconds", "header", "again"), [(0.2, "1", "true"), (59.5, "60", "true"), (90, "90", "false")]
)
def test_when_to_come_back(seconds: float, header: str, again: str) -> None:
    error: Any = errors.RateLimitError("No.", retry_after=seconds)
    assert refusal_of(error).headers == {"Retry-After": header, "X-Should-Retry": again}
