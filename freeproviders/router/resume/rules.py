"""When an answer that broke off is not gone on with, and when it is complete already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from freeproviders.errors import ContentFilterError, FreeProvidersError, ResponseTooLargeError
from freeproviders.router.resume.broken import Said
from freeproviders.types import (
    Alternative,
    ChatRequest,
    Finish,
    InvalidToolCall,
    LogProbs,
    Refusal,
    ToolCall,
    ToolCallDelta,
)
from freeproviders.usage import estimate_tokens

LEAST_TOKENS: Final = 16
"""Tokens that must be left of `max_tokens`: what was said is known by an estimate only."""
LIMIT_OPTIONS: Final = ("max_completion_tokens", "max_tokens", "n_predict", "num_predict")
"""Names under which services take the limit of an answer as an option."""
_SHAPING_OPTIONS: Final = ("response_format", "grammar", "json_schema", "guided_json", "guided_regex")
_CALLS: Final = frozenset({ToolCall, ToolCallDelta, InvalidToolCall})


def why_not(
    request: ChatRequest, said: Said, error: FreeProvidersError | None = None, model: str = ""
) -> str:
    """Say why an answer is not gone on with, "" where it may be.

    What holds for `replay`, `prefill` and `trim` holds for "restart" too, but for the tools that
    might be called and for the room that is left: see `why_no_restart`.
    """
    if reason := why_no_restart(request, said, error):
        return reason
    if (request.tools and request.tool_choice != "none") or request.service_tools:
        return "tools are bound, and the rest of the answer might have been a call"
    left = tokens_left(request, said, model)
    if left is not None and left < LEAST_TOKENS:
        return f"fewer than {LEAST_TOKENS} tokens of max_tokens are left"
    return ""


def why_no_restart(request: ChatRequest, said: Said, error: FreeProvidersError | None = None) -> str:
    """Say why an answer is not even begun anew, "" where it may be."""
    if said.kinds & _CALLS:
        return "a tool call had been shown, or begun"
    if Refusal in said.kinds:
        return "the model had begun to refuse"
    filtered = said.finish is not None and said.finish.reason == "content_filter"
    if filtered or isinstance(error, ContentFilterError):
        return "the service's content filter ended the answer"
    if isinstance(error, ResponseTooLargeError):
        return "the answer passed the size cap"
    if _is_shaped(request.response_format) or any(name in request.options for name in _SHAPING_OPTIONS):
        return "a structured answer was asked for"
    if request.n != 1 or Alternative in said.kinds:
        return "several answers were asked for"
    if LogProbs in said.kinds or any(request.options.get(name) for name in ("logprobs", "top_logprobs")):
        return "log probabilities were asked for"
    return ""


def finished(request: ChatRequest, said: Said) -> Finish | None:
    """Return how an answer has ended that was complete when it broke off, None where it was not."""
    if said.finish is not None:
        return said.finish
    limit, text = limit_of(request), said.text
    if any(stop in text for stop in request.stop):
        return Finish("stop")
    if limit is not None and said.usage is not None and not said.usage.estimated:
        return Finish("length") if said.usage.output_tokens >= limit else None
    return None


def limit_of(request: ChatRequest) -> int | None:
    """Return the tokens that the caller allows an answer, None where there is no such limit."""
    named = [request.max_tokens, *[request.options.get(name) for name in LIMIT_OPTIONS]]
    limits = [limit for limit in named if isinstance(limit, int) and limit > 0]
    return min(limits, default=None)


def tokens_left(request: ChatRequest, said: Said, model: str = "") -> int | None:
    """Estimate how many tokens of the caller's limit are left, None where there is no limit."""
    limit = limit_of(request)
    if limit is None:
        return None
    return limit - estimate_tokens("".join(said.reasoning) + said.text, model)


def _is_shaped(form: Mapping[str, Any] | None) -> bool:
    return form is not None and form.get("type") != "text"
