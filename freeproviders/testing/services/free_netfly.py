"""FreeNetfly: the OpenAI chat completions protocol behind a web page's headers."""

# ruff: noqa: D102 - the methods are described where they are declared, in `services.base`

from __future__ import annotations

from typing import Any, ClassVar, Final

from freeproviders.testing.faults import COMPLETION_FAULTS, EVERYWHERE, Fault
from freeproviders.testing.record import RecordedRequest
from freeproviders.testing.services.base import (
    Renderer,
    Reply,
    Service,
    Turn,
    check_headers,
    check_keys,
    expect,
    is_number,
    read_json,
    refuse,
)
from freeproviders.testing.services.completions import (
    completion_renderer,
    count_tokens,
    error_reply,
)
from freeproviders.wire.openai.writer import AnswerStyle

SITE: Final = "https://free.netfly.top"
MODELS: Final = ("gpt-3.5-turbo", "gpt-4")
HEADERS: Final = {
    "Accept": "application/json, text/event-stream",
    "Accept-Language": "en-US,en;q=0.9",
    "Content-Type": "application/json",
    "Origin": SITE,
    "Referer": f"{SITE}/",
    "User-Agent": None,
}
NUMBERS: Final = ("temperature", "presence_penalty", "frequency_penalty", "top_p")
SETTINGS: Final = ("max_tokens", "stop", "seed", "n", "user", "logit_bias")
"""Settings that the page does not send and its back end takes."""


class FreeNetflyService(Service):
    """The OpenAI protocol with the headers of a web page; no options."""

    name: ClassVar[str] = "FreeNetfly"
    slug: ClassVar[str] = "free-netfly"
    routes: ClassVar = {("POST", "/api/openai/v1/chat/completions"): "answer"}
    fault_names = EVERYWHERE | COMPLETION_FAULTS

    def turn(self, request: RecordedRequest) -> Turn:
        check_headers(request, HEADERS)
        body = read_json(request)
        check_keys(body, ("messages", "stream", "model", *NUMBERS), SETTINGS)
        expect(body["stream"] is True, "stream must be true.")
        expect(
            body["model"] in MODELS,
            f"The model {body['model']!r} does not exist.",
            status=404,
            code="model_not_found",
        )
        for key in NUMBERS:
            expect(is_number(body[key]), f"{key} must be a number, not {body[key]!r}.")
        messages = body["messages"]
        expect(
            isinstance(messages, list) and bool(messages), "messages must be a list of at least one message."
        )
        for n, message in enumerate(messages):
            _check_message(message, f"messages[{n}]")

        def render(fault: Fault) -> Renderer:
            style = AnswerStyle(role_content=False)
            return completion_renderer(body["model"], fault, style, prompt_tokens=count_tokens(messages))

        return Turn(messages, render, _settings(body))

    def complaint(self, status: int, message: str, fault: Fault, code: str | None = None) -> Reply:
        return error_reply(status, message, fault, code)


def _check_message(message: Any, where: str) -> None:
    if not isinstance(message, dict):
        refuse(f"{where} must be an object.")
    expect(
        message.get("role") in {"system", "user", "assistant"},
        f"{where}.role must be system, user or assistant, not {message.get('role')!r}.",
    )
    expect(isinstance(message.get("content"), str), f"{where}.content must be a string.")
    unknown = set(message) - {"role", "content", "name"}
    expect(not unknown, f"{where} has unknown key(s): {', '.join(sorted(unknown))}.")


def _settings(body: dict[str, Any]) -> dict[str, Any]:
    """Write the settings that differ from the page's defaults, for `Backend.request`."""
    asked = {key: body[key] for key, default in (("temperature", 0.5), ("top_p", 1)) if body[key] != default}
    return asked | {key: body[key] for key in ("max_tokens", "stop") if body.get(key) is not None}
