"""FreeNetfly: an OpenAI-style API without a key."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from freeproviders.deadlines import Timeout
from freeproviders.provider import AsyncGeneratorProvider
from freeproviders.retry import Retry
from freeproviders.transport import HttpRequest
from freeproviders.types import ChatRequest, Text
from freeproviders.wire.json import dumps
from freeproviders.wire.openai.answer import ChatDecoder
from freeproviders.wire.openai.request import plain_messages
from freeproviders.wire.parts import PartDecoder


class FreeNetfly(AsyncGeneratorProvider):
    """`free.netfly.top`; last answered a public client on 2024-11-06."""

    name = "FreeNetfly"
    slug = "free-netfly"
    url = "https://free.netfly.top"
    default_base_url = url
    api_endpoint = "/api/openai/v1/chat/completions"
    protocol = "OpenAI; server-sent events"
    working = False
    status_note = "last public client 2024-11-06"

    default_model = "gpt-3.5-turbo"
    models = (default_model, "gpt-4")
    accepted_options = frozenset(
        {"temperature", "top_p", "max_tokens", "presence_penalty", "frequency_penalty"}
    )

    default_timeout = Timeout(first_content=60.0, total=60.0)
    default_retry = Retry(attempts=5, first=2.0, factor=2.0, jitter=0.0)

    def encode(self, request: ChatRequest) -> HttpRequest:
        """Write the request as the service wants it."""
        body = {
            "messages": plain_messages(request.messages),
            "stream": True,
            "model": request.model,
            "temperature": 0.5 if request.temperature is None else request.temperature,
            "presence_penalty": request.options.get("presence_penalty", 0),
            "frequency_penalty": request.options.get("frequency_penalty", 0),
            "top_p": 1 if request.top_p is None else request.top_p,
        }
        if request.max_tokens is not None:
            body["max_tokens"] = request.max_tokens
        headers = {
            "Accept": "application/json, text/event-stream",
            "Accept-Language": "en-US,en;q=0.9",
            "Content-Type": "application/json",
            "Origin": self.url,
            "Referer": f"{self.url}/",
        }
        return HttpRequest(
            "POST", self.base_url + self.api_endpoint, self.http_headers(**headers), dumps(body)
        )

    async def _process_response(self, response: Any) -> AsyncGenerator[str, None]:
        """Stream the text of an answer that was fetched elsewhere, an `aiohttp.ClientResponse`.

        The old client had this method; questions do not need it. Raises errors of the tree.
        """
        decoder = ChatDecoder()
        async for data in response.content.iter_any():
            for part in decoder.feed(data):
                if isinstance(part, Text):
                    yield part.text
            if decoder.failure is not None:
                raise decoder.failure
        for part in decoder.close():
            if isinstance(part, Text):
                yield part.text
        if decoder.failure is not None:
            raise decoder.failure

    def decoder(self, request: ChatRequest) -> PartDecoder:
        """Return a new decoder for one answer."""
        del request
        return ChatDecoder()
