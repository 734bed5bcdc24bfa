"""One way to ask any provider anything: through the tools engine where a request has something for it, else straight."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from freeproviders.provider import AsyncGeneratorProvider, whole
from freeproviders.types import Batch, ChatRequest

__all__ = ["ask", "whole"]


def ask(provider: AsyncGeneratorProvider, request: ChatRequest) -> AsyncGenerator[Batch, None]:
    """Stream the answer to a request, which may have tools, a response format and a history of calls, whatever the service knows of them.

    Raises `UsageError` at the call itself.
    """
    if (
        request.tools
        or request.response_format is not None
        or any(message.tool_calls or message.role == "tool" for message in request.messages)
    ):
        from freeproviders.tools import stream  # noqa: PLC0415 - schemas and parsers, for those who use tools

        return stream(provider, request)
    return provider.batches(request)
