"""ChatgptFree: a WordPress page whose chat plugin answers forms with the page's nonce."""

# ruff: noqa: D102 - the methods are described where they are declared, in `services.base`

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from freeproviders.testing.answers import Piece
from freeproviders.testing.faults import EVERYWHERE, PAGE_FAULTS, SSE_FAULTS, Fault
from freeproviders.testing.record import RecordedRequest
from freeproviders.testing.services.base import (
    Renderer,
    Reply,
    Service,
    Turn,
    check_headers,
    check_keys,
    dump,
    expect,
    refuse,
)
from freeproviders.testing.services.completions import CompletionStream
from freeproviders.types import Text
from freeproviders.wire.openai.writer import ChunkWriter

SITE: Final = "https://chatgptfree.ai"
MODEL: Final = "gpt-4o-mini-2024-07-18"
HEADERS: Final = {
    "Accept": "*/*",
    "Accept-Language": None,
    "Origin": SITE,
    "Referer": f"{SITE}/chat/",
    "User-Agent": None,
}
FORM_TYPE: Final = "application/x-www-form-urlencoded"
FIELDS: Final = ("_wpnonce", "post_id", "url", "action", "message", "bot_id")
COOKIE: Final = "wpaicg_chat_client_id"
HTML_TYPE: Final = "text/html; charset=UTF-8"
EXPIRED: Final = "Nonce verification failed"
STYLES: Final = ("sse", "json", "json-pretty")


class ChatgptFreeService(Service):
    """A page with a nonce, and the plugin's answers.

    `style` is the form of the answers: "sse", "json" (one document) or "json-pretty" (one document
    over several lines).
    """

    name: ClassVar[str] = "ChatgptFree"
    slug: ClassVar[str] = "chatgpt-free"
    places: ClassVar = ("answer", "page")
    line_ends: ClassVar = ("\n", "\r\n")  # its lines are no event stream
    routes: ClassVar = {("GET", "/"): "page", ("POST", "/wp-admin/admin-ajax.php"): "answer"}

    def __init__(self, style: str = "sse") -> None:
        if style not in STYLES:
            raise ValueError(f"style must be one of {', '.join(STYLES)}, not {style!r}.")
        self._style = style
        self._post_id = str(1000 + secrets.randbelow(9000))
        self._sessions: dict[str, set[str]] = {}  # cookie -> the nonces that came with it
        self.fault_names = EVERYWHERE | PAGE_FAULTS | (SSE_FAULTS if style == "sse" else {"keepalive"})

    def page(self, place: str, request: RecordedRequest, fault: Fault) -> Reply:  # noqa: ARG002
        """Answer step 1: the page with a fresh nonce, bound to the visitor's cookie."""
        check_headers(request, {"User-Agent": None})
        nonce, session = secrets.token_hex(5), request.cookies.get(COOKIE, "")
        headers: dict[str, str] = {}
        if session not in self._sessions:
            session = secrets.token_hex(16)
            self._sessions[session] = set()
            headers["Set-Cookie"] = f"{COOKIE}={session}; Path=/; HttpOnly; SameSite=Lax"
        self._sessions[session].add(nonce)
        body = _page(
            None if fault.page == "no-post-id" else self._post_id, None if fault.page == "no-nonce" else nonce
        )
        if fault.page not in {None, "no-post-id", "no-nonce"}:
            body = str(fault.page)
        return Reply(200, body.encode(), HTML_TYPE, headers)

    def turn(self, request: RecordedRequest) -> Turn:
        """Judge the plugin's form, step 2; raises `Refusal`."""
        check_headers(request, HEADERS)
        given = request.headers.get("Content-Type", "")
        expect(
            given.partition(";")[0].strip().lower() == FORM_TYPE,
            f"Header Content-Type must be {FORM_TYPE}, not {given!r}.",
            status=403,
        )
        try:
            form = request.form
        except ValueError as error:
            refuse(f"The body is not an HTML form: {error}.")
        check_keys(form, FIELDS)
        session, nonce = request.cookies.get(COOKIE), form["_wpnonce"]
        expect(session is not None, f"The cookie {COOKIE} that the page set did not come back.", status=403)
        expect(session in self._sessions, f"The cookie {COOKIE} was not set by this page.", status=403)
        expect(
            nonce in self._sessions[str(session)],
            f"{EXPIRED}: _wpnonce {nonce!r} is not valid for this visitor.",
            status=403,
        )
        for name, value in (
            ("action", "wpaicg_chat_shortcode_message"),
            ("post_id", self._post_id),
            ("url", SITE),
            ("bot_id", "0"),
        ):
            expect(form[name] == value, f"{name} must be {value!r}, not {form[name]!r}.")
        expect(bool(form["message"]), "message is empty.")
        return Turn([{"role": "user", "content": form["message"]}], self._renderer)

    def expired(self, request: RecordedRequest, fault: Fault) -> Reply:
        """Let the nonce expire, and return the answer that reports it."""
        self._sessions[request.cookies[COOKIE]].discard(request.form["_wpnonce"])
        if fault.nonce_expired == "json":
            return Reply(200, dump({"status": "error", "msg": EXPIRED}))
        return Reply(403 if fault.nonce_expired == "403" else 200, b"-1", HTML_TYPE)

    def complaint(self, status: int, message: str, fault: Fault, code: str | None = None) -> Reply:  # noqa: ARG002
        return Reply(status, dump({"status": "error", "msg": message}))

    def _renderer(self, fault: Fault) -> Renderer:
        if self._style == "sse":
            return _Stream(ChunkWriter(MODEL), fault)
        return _Document(pretty=self._style == "json-pretty")


class _Stream(CompletionStream):
    """Chunks as OpenAI writes them, with the plugin's own errors."""

    def error(self, message: str, *, first: bool) -> Iterable[bytes]:
        document = dump({"status": "error", "msg": message})
        return [document if first else self._events.event(document)]


class _Document:
    content_type = "application/json; charset=UTF-8"

    def __init__(self, *, pretty: bool) -> None:
        self._pretty = pretty
        self._said: list[str] = []
        self._raw: list[bytes] = []

    def start(self) -> Iterable[bytes]:
        return ()

    def piece(self, piece: Piece) -> Iterable[bytes]:
        match piece:
            case Text(text):
                self._said.append(text)
            case bytes():
                self._raw.append(piece)
            case Mapping():
                self._raw.append(dump(piece))
        return ()

    def keepalive(self) -> bytes:
        return b"\n"

    def error(self, message: str, *, first: bool) -> Iterable[bytes]:  # noqa: ARG002 - no middle
        return [self._dump({"status": "error", "msg": message})]

    def end(self) -> Iterable[bytes]:
        return [
            b"".join(self._raw)
            if self._raw
            else self._dump({"status": "success", "data": "".join(self._said)})
        ]

    def _dump(self, document: dict[str, str]) -> bytes:
        return json.dumps(document, ensure_ascii=True, indent=4).encode() if self._pretty else dump(document)


_page_views = itertools.count(1)


def _page(post_id: str | None, nonce: str | None) -> str:
    facts = [f'data-post-id="{post_id}"'] if post_id else []
    facts += [f'data-nonce="{nonce}"'] if nonce else []
    return f"""<!DOCTYPE html>
<html lang="en-US">
<head><meta charset="UTF-8"><title>ChatGPT Free</title><!-- view {next(_page_views)} --></head>
<body class="home page">
<div class="wpaicg-chat-shortcode" data-user-bg-color="#000" data-ai-name="AI" {" ".join(facts)}
     data-url="{SITE}" data-bot-id="0" data-width="100%">
  <textarea class="wpaicg-chat-shortcode-typing" placeholder="Type a message"></textarea>
</div>
</body>
</html>
"""
