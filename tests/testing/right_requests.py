"""Right requests to each service, written by hand, and the place of the text in the answers.

Nothing here comes from the package, so that neither the replicas nor the providers can agree with
themselves alone.
"""

import copy
import hashlib
import io
import json
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

UA = "Mozilla/5.0 (X11; Linux x86_64)"


@dataclass
class Request:
    """A request that can be made wrong before it is sent."""

    path: str
    headers: dict[str, str]
    body: Any
    encoding: str = "json"
    method: str = "POST"
    cookies: dict[str, str] = field(default_factory=dict)

    def changed(self, *, headers: dict[str, str | None] | None = None, **body: Any) -> "Request":
        """A copy with other headers (None takes one away) and other keys in the body (... takes one away)."""
        other = copy.deepcopy(self)
        for name, value in (headers or {}).items():
            other.headers = {k: v for k, v in other.headers.items() if k.lower() != name.lower()}
            if value is not None:
                other.headers[name] = value
        for key, value in body.items():
            other.body.pop(key, None)
            if value is not ...:
                other.body[key] = value
        return other

    def bytes(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        if self.encoding == "form":
            return aiohttp.FormData(self.body)()._value
        return json.dumps(self.body).encode()


@asynccontextmanager
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain client that adds no headers of its own choosing."""
    async with aiohttp.ClientSession(
        skip_auto_headers=("User-Agent", "Accept", "Content-Type"), cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield session


def send(session: aiohttp.ClientSession, replica: Any, request: Request) -> Any:
    url, body = replica.base_url.removesuffix("/v1") + request.path, request.bytes()
    data = io.BytesIO(body) if len(body) > 2**20 else body or None  # aiohttp warns about large bytes
    return session.request(
        request.method,
        url,
        headers=request.headers,
        data=data,
        cookies=request.cookies,
        allow_redirects=False,
    )


async def ask(replica: Any, request: Request) -> tuple[int, bytes]:
    """Status and body of one request on a connection of its own."""
    async with client() as session, send(session, replica, request) as response:
        return response.status, await response.read()


# --- the services ---------------------------------------------------------------------------------


def free_netfly(text: str = "Hi") -> Request:
    headers = {
        "Accept": "application/json, text/event-stream",
        "Accept-Language": "en-US,en;q=0.9",
        "Content-Type": "application/json",
        "Origin": "https://free.netfly.top",
        "Referer": "https://free.netfly.top/",
        "User-Agent": UA,
    }
    body = {
        "messages": [{"role": "user", "content": text}],
        "stream": True,
        "model": "gpt-3.5-turbo",
        "temperature": 0.5,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "top_p": 1,
    }
    return Request("/api/openai/v1/chat/completions", headers, body)


def flow_gpt(text: str = "Hi", *, timestamp: int | None = None, nonce: str | None = None) -> Request:
    timestamp, nonce = timestamp or int(time.time()), nonce or secrets.token_hex(16)
    headers = {
        "Accept": "*/*",
        "Accept-Language": "en-US;q=0.7,en;q=0.3",
        "Content-Type": "application/json",
        "Origin": "https://flowgpt.com",
        "Referer": "https://flowgpt.com/",
        "User-Agent": UA,
        "Authorization": "Bearer null",
        "x-flow-device-id": "f-0123456789abcdefghi",
        "x-nonce": nonce,
        "x-timestamp": str(timestamp),
        # the protocol's
        "x-signature": hashlib.md5(f"{timestamp}-{nonce}-Bearer null".encode()).hexdigest(),  # noqa: S324
    }
    body = {
        "model": "gpt-3.5-turbo",
        "nsfw": False,
        "question": text,
        "history": [{"role": "assistant", "content": "Hello, how can I help you today?"}],
        "system": "You are helpful assistant. Follow the user's instructions carefully.",
        "temperature": 0.7,
        "promptId": "model-gpt-3.5-turbo",
        "documentIds": [],
        "chatFileDocumentIds": [],
        "generateImage": False,
        "generateAudio": False,
    }
    return Request("/v3/chat-anonymous", headers, body)


def ai_chat_free(text: str = "Hi", *, at: int | None = None, secret: str = "") -> Request:
    at = at or int(time.time() * 1000)
    headers = {
        "Accept": "*/*",
        "Accept-Language": "en-US,en;q=0.5",
        "Content-Type": "text/plain;charset=UTF-8",
        "Origin": "https://aichatfree.info",
        "Referer": "https://aichatfree.info/",
        "User-Agent": UA,
    }
    body = {
        "messages": [{"role": "user", "parts": [{"text": text}]}],
        "time": at,
        "pass": None,
        "sign": hashlib.sha256(f"{at}:{text}:{secret}".encode()).hexdigest(),
    }
    return Request("/api/generate", headers, body)


def openai(text: str = "Hi", **more: Any) -> Request:
    body = {"model": "any", "messages": [{"role": "user", "content": text}], "stream": True, **more}
    return Request("/v1/chat/completions", {"Content-Type": "application/json"}, body)


async def chatgpt_free(replica: Any, text: str = "Hi", cookies: dict[str, str] | None = None) -> Request:
    """Step 1 is done here."""
    page = Request("/", {"User-Agent": UA}, b"", method="GET", cookies=cookies or {})
    async with client() as session, send(session, replica, page) as response:
        html = await response.text()
        cookies = (cookies or {}) | {name: morsel.value for name, morsel in response.cookies.items()}
    headers = {
        "Accept": "*/*",
        "Accept-Language": "en-US,en;q=0.5",
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": "https://chatgptfree.ai",
        "Referer": "https://chatgptfree.ai/chat/",
        "User-Agent": UA,
    }
    body = {
        "_wpnonce": re.search(r'data-nonce="(.*?)"', html)[1],
        "post_id": re.search(r'data-post-id="([0-9]+)"', html)[1],
        "url": "https://chatgptfree.ai",
        "action": "wpaicg_chat_shortcode_message",
        "message": text,
        "bot_id": "0",
    }
    return Request("/wp-admin/admin-ajax.php", headers, body, encoding="form", cookies=cookies)


SLUGS = ("free-netfly", "chatgpt-free", "flow-gpt", "ai-chat-free", "openai-compatible")


async def right_request(replica: Any, slug: str, text: str = "Hi") -> Request:
    if slug == "chatgpt-free":
        return await chatgpt_free(replica, text)
    return {
        "free-netfly": free_netfly,
        "flow-gpt": flow_gpt,
        "ai-chat-free": ai_chat_free,
        "openai-compatible": openai,
    }[slug](text)


def events(body: bytes) -> list[Any]:
    """The JSON documents of a well-formed event stream, and "[DONE]" as a string."""
    out = []
    for frame in body.decode().split("\n\n"):
        if frame and not frame.startswith(":"):
            data = frame.removeprefix("data: ")
            out.append(data if data == "[DONE]" else json.loads(data))
    return out


def said(slug: str, body: bytes) -> str:
    """The text of a well-formed answer."""
    if slug == "ai-chat-free":
        return body.decode()
    if slug == "flow-gpt":
        documents = [json.loads(line) for line in body.decode().split("\n") if line]
        return "".join(d["data"] for d in documents if d.get("event") == "text")
    return "".join(
        e["choices"][0]["delta"].get("content") or "" for e in events(body) if e != "[DONE]" and e["choices"]
    )
