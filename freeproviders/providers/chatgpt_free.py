"""ChatgptFree: a WordPress page with a chat plugin, whose nonce each question must carry."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import re
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, Unpack
from urllib.parse import urlencode

from freeproviders.backend import text_stream
from freeproviders.configuration import Configuration, cookie_header
from freeproviders.deadlines import Timeout
from freeproviders.errors import (
    MalformedResponseError,
    MissingPageDataError,
    PermissionDeniedError,
    ProviderError,
    ResponseTooLargeError,
    TruncatedResponseError,
)
from freeproviders.methods import hybridmethod
from freeproviders.naming import argument
from freeproviders.provider import AsyncGeneratorProvider
from freeproviders.streams import TextStream
from freeproviders.transport import Fetch, HttpRequest
from freeproviders.types import ROLES, Batch, ChatRequest, Message
from freeproviders.wire.failure import (
    ReportedError,
    blocked,
    classify,
    excerpt,
    looks_like_html,
)
from freeproviders.wire.lines import LineDecoder
from freeproviders.wire.lookalikes import LookAlikes, Originals, originals
from freeproviders.wire.openai.answer import HEARTBEATS, MAX_STRAY_BYTES, ChunkReader
from freeproviders.wire.parts import PartDecoder
from freeproviders.wire.sse import Event
from freeproviders.wire.text import BOM, mended

NONCE_SECONDS: Final = 12 * 3600.0
"""WordPress nonces live 12 to 24 hours."""
MAX_PAGE_BYTES: Final = 4 * 2**20
MAX_KEPT_BYTES: Final = 32 * 2**20
"""Of an answer in one JSON body; a line counts with `LINE_OVERHEAD`, what Python needs to hold it."""
LINE_OVERHEAD: Final = 64
MAX_PAGES: Final = 64
"""Pages that one configuration and its copies keep; the one that was longest unused goes first."""
SECONDS: Final = float("120")
"""How long the old client waited for an answer."""

_POST_ID = re.compile(rb'data-post-id="([0-9]+)"')
_NONCE = re.compile(rb'data-nonce="([^"]+)"')
_EXPIRED_PAGE = re.compile(rb"(?i)link you followed has expired|wp-die-message|id=[\"']error-page")
"""WordPress' own page, which tells of an expired nonce in the site's language."""

_LABEL = re.compile(rf"(?<=[\n\r\x0b\x0c\x85\u2028\u2029])(?:{'|'.join(map(str.capitalize, ROLES))}):")
"""A line that begins as a turn of the folded conversation does."""

_Sender: TypeAlias = tuple[
    str, str | None, str | None, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]
]
"""Address, login, proxy, cookies and headers."""


@dataclass(frozen=True, slots=True)
class _Page:
    """The values that the site's page holds for the next request."""

    post_id: str
    nonce: str
    cookies: Mapping[str, str]
    expires: float


class ChatgptFree(AsyncGeneratorProvider):
    """`chatgptfree.ai`; last answered a public client on 2024-11-05, then had a bot check."""

    name = "ChatgptFree"
    slug = "chatgpt-free"
    url = "https://chatgptfree.ai"
    default_base_url = url
    api_endpoint = "/wp-admin/admin-ajax.php"
    protocol = "WordPress form with a nonce; events or one JSON"
    working = False
    status_note = "last public client 2024-11-05, then behind a bot check"
    supports_message_history = False

    default_model = "gpt-4o-mini-2024-07-18"
    models = (default_model,)
    model_aliases = {"gpt-4o-mini": default_model}  # noqa: RUF012 - never written to
    default_timeout = Timeout(total=SECONDS)

    def __init__(self, model: str | None = None, **configuration: Unpack[Configuration]) -> None:
        super().__init__(model, **configuration)
        self._pages = _Pages()

    @hybridmethod
    def create_async_generator(
        self,
        /,
        model: str | None = None,
        messages: Iterable[Message | Mapping[str, Any]] | str | None = None,
        proxy: str | None = None,
        timeout: Timeout | float | None = SECONDS,
        cookies: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> TextStream:
        """Stream the text of an answer; see `Backend.create_async_generator`.

        `timeout` and `cookies` stand where the old client had them; what is left out is as
        configured.
        """
        # The very object of the signature: no caller passed a limit, and the instance may have
        # another.
        if timeout is SECONDS:
            timeout = None
        return text_stream(
            self, model, messages, {"proxy": proxy, "timeout": timeout, "cookies": cookies, **kwargs}
        )

    @property
    def _nonce(self) -> str | None:
        """The nonce that the next request will carry; None before the page was read."""
        page = self._pages.known(self._sender)
        return page.nonce if page is not None else None

    @property
    def _post_id(self) -> str | None:
        """The post id that the next request will carry; None before the page was read."""
        page = self._pages.known(self._sender)
        return page.post_id if page is not None else None

    @property
    def _sender(self) -> _Sender:
        """What the service sees of the request for a page; another sender gets a page of its own."""
        return (
            self.base_url,
            self.login,
            self.route.proxy,
            tuple(sorted(self.cookies.items())),
            tuple(sorted(self.headers.items())),
        )

    async def ready(self, request: ChatRequest, fetch: Fetch) -> None:
        """Make sure of a page with a nonce, fetched once for all calls that wait for it."""
        del request
        await self._pages.get(self._sender, lambda: self._load(fetch))

    def encode(self, request: ChatRequest) -> HttpRequest:
        """Write the request as the service wants it."""
        page = self._pages.held(self._sender)
        form = {
            "_wpnonce": page.nonce,
            "post_id": page.post_id,
            "url": self.url,
            "action": "wpaicg_chat_shortcode_message",
            "message": _turns_as_prompt(request.messages)[0],
            "bot_id": "0",
        }
        headers = self._headers() | {"Content-Type": "application/x-www-form-urlencoded"}
        if page.cookies:
            own = next((name for name in headers if name.lower() == "cookie" and name in self.headers), None)
            if own is None:
                headers["Cookie"] = cookie_header({**self.cookies, **page.cookies})
            else:
                headers[own] += "; " + cookie_header(page.cookies)
        return HttpRequest("POST", self.base_url + self.api_endpoint, headers, urlencode(form).encode())

    def decoder(self, request: ChatRequest) -> PartDecoder:
        """Return a new decoder for one answer, in which labels of the user's texts are put back."""
        return _AjaxDecoder(originals(_turns_as_prompt(request.messages)[1]))

    def recover(self, error: ProviderError) -> bool:
        """Fetch an expired nonce again, once for each call that it failed."""
        if not isinstance(error, NonceExpiredError):
            return False
        self._pages.drop(self._sender)
        return True

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Read an answer with an error status; an expired nonce is WordPress's own 403."""
        error = super().failure(status, headers, body)
        if isinstance(error, PermissionDeniedError) and (
            not looks_like_html(body) or _EXPIRED_PAGE.search(body)
        ):
            return NonceExpiredError(error.message, status=status, body=error.body)
        return error

    def _headers(self) -> dict[str, str]:
        return self.http_headers(
            **{
                "Accept": "*/*",
                "Accept-Language": "en-US,en;q=0.5",
                "Origin": self.url,
                "Referer": f"{self.url}/chat/",
            },
        )

    async def _load(self, fetch: Fetch) -> _Page:
        page = await fetch(HttpRequest("GET", f"{self.base_url}/", self._headers()), MAX_PAGE_BYTES)
        return _Page(
            _found(_POST_ID, "post id", page.body),
            _found(_NONCE, "nonce", page.body),
            page.cookies,
            time.monotonic() + NONCE_SECONDS,
        )


class NonceExpiredError(PermissionDeniedError):
    """The service no longer takes the page's nonce."""

    advice = ""


class _Pages:
    """The pages of one provider instance and its copies, by the sender of the request for each.

    A page belongs to the sender that asked for it: its nonce and its cookies are never another
    sender's. Each is fetched once at a time, across event loops and threads alike.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pages: dict[_Sender, _Page] = {}  # the longest unused first
        self._loading: dict[tuple[int, _Sender], concurrent.futures.Future[None]] = {}
        """By the process as well: in the child of a fork its parent's never end."""

    def __getstate__(self) -> dict[str, object]:
        """Pickle nothing: a copy in another process fetches its own pages."""
        return {}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__()  # type: ignore[misc]

    def held(self, sender: _Sender) -> _Page:
        """Return the page that `get` has fetched."""
        with self._lock:
            return self._pages[sender]

    def known(self, sender: _Sender) -> _Page | None:
        """Return the page of a sender; None before the first fetch and after it expired."""
        with self._lock:
            page = self._pages.get(sender)
        return page if page is not None and page.expires > time.monotonic() else None

    def drop(self, sender: _Sender) -> None:
        """Make the next `get` fetch a page anew.

        A call between its own `get` and `held` on another thread still finds the old page.
        """
        with self._lock:
            page = self._pages.get(sender)
            if page is not None:
                self._pages[sender] = replace(page, expires=0.0)

    async def get(self, sender: _Sender, load: Callable[[], Awaitable[_Page]]) -> None:
        """Fetch a page unless one is there that has not expired."""
        here = (os.getpid(), sender)
        while True:
            with self._lock:
                page = self._pages.get(sender)
                if page is not None and page.expires > time.monotonic():
                    self._keep(sender, page)
                    return
                other = self._loading.get(here)
                if other is None:
                    mine: concurrent.futures.Future[None] = concurrent.futures.Future()
                    self._loading[here] = mine
            if other is None:
                break
            # The failure of that fetch is its own: each call that waits tries next. A call that
            # gives up waiting must not cancel the fetch for the others.
            await asyncio.shield(asyncio.wrap_future(other))
        try:
            page = await load()
            with self._lock:
                self._keep(sender, page)
        finally:
            with self._lock:
                del self._loading[here]
            mine.set_result(None)

    def _keep(self, sender: _Sender, page: _Page) -> None:
        """Keep a page as the last used one; the lock is held."""
        self._pages.pop(sender, None)
        self._pages[sender] = page
        if len(self._pages) > MAX_PAGES:
            del self._pages[next(iter(self._pages))]


def _found(pattern: re.Pattern[bytes], what: str, body: bytes) -> str:
    match = pattern.search(body)
    if match is None:
        raise MissingPageDataError(
            f"The page holds no {what}, so no question can be sent.",
            body=excerpt(body),
            advice="The site has changed or shows a bot check: use another provider or "
            f"{argument('base_url')}.",
        )
    return match[1].decode("utf-8", "replace")


class _AjaxDecoder(ChunkReader):
    """Reads `data:` lines of chunks until `data: [DONE]`, or one JSON body, also over many lines.

    The plugin passes the chunks of OpenAI's protocol on, with or without blank lines between them.
    """

    def __init__(self, originals: Originals | None = None) -> None:
        super().__init__()
        self._originals = originals
        self._lines = LineDecoder(keep_blank=True)
        self._name = b""  # of the event that the next data lines belong to
        self._data: list[bytes] = []  # data lines that are no JSON each by itself, until their event ends
        self._strays: list[bytes] = []  # lines that belong to no event: a JSON body, or an error
        self._size = 0  # of both

    def feed(self, data: bytes) -> Batch:
        """Decode one network read."""
        batch = super().feed(data)
        return batch if self._originals is None else self._put_back(self._originals, batch)

    def close(self) -> Batch:
        """Decode the end of the body."""
        batch = super().close()
        return batch if self._originals is None else self._put_back(self._originals, batch, ended=True)

    def _put_back(self, back: Originals, batch: Batch, *, ended: bool = False) -> Batch:
        out = back.parts(batch)
        return [*out, *back.flush()] if ended or self.done or self.failure is not None else out

    def decode(self, data: bytes, batch: Batch) -> None:
        """Decode one network read into the batch."""
        events: list[Event] = []
        for line in self._lines.feed(data):
            if self.done:
                return
            if line.startswith(b"data: {") and line.endswith(b"}") and not self._data and not self._name:
                events.append(("message", line[6:]))  # a whole event on one line, as nearly all are
            elif line or self._data or self._name:
                self.events(events, batch)
                events.clear()
                self._line(line, batch)
        if events:
            self.events(events, batch)

    def finish(self, batch: Batch) -> None:
        """Decode what is left at the end of the body into the batch."""
        for line in self._lines.close():
            if not self.done:
                self._line(line, batch)
        if self.done:
            return
        self._end_event(batch, at_end=True)
        streamed = self.progress > 0
        self._end_strays(batch)
        if self._calls.open and self.raw_reason is None:
            raise TruncatedResponseError("The answer ended inside a tool call.")
        self.end(batch)
        if streamed:
            self.confirmed = self.raw_reason is not None
        else:
            self.reason = self.reason or "stop"

    def _line(self, line: bytes, batch: Batch) -> None:
        while line.startswith(BOM):
            line = line[len(BOM) :].lstrip()
        if line.startswith(b"data:"):
            self._data_line(line[5:].strip(), batch)
        elif line.startswith(b"event:"):
            self._name = line[6:].strip()
        elif not line:
            self._end_event(batch)
        elif line.startswith(b"error:"):
            self._end_event(batch)
            raise self.reported(None, line[6:])
        elif not line.startswith((b":", b"id:", b"retry:")):  # which keep a connection alive and say nothing
            self._end_event(batch)
            if self.progress and self._size > MAX_STRAY_BYTES:
                return  # enough to say what went wrong after the text
            self._keep(self._strays, line)

    def _data_line(self, payload: bytes, batch: Batch) -> None:
        if payload.startswith(b"[DONE]"):
            self._end_event(batch)
            if not self.progress:
                self._end_strays(batch)
            self.complete(batch)
            self.reason = self.reason or "stop"
            return
        if payload in HEARTBEATS:
            return
        try:
            frame = self.read_json(payload)
        except ValueError:
            self._keep(self._data, payload)  # a line of an event over several lines, or broken
            return
        if self._data and not (isinstance(frame, dict) and "choices" in frame):
            self._keep(self._data, payload)
            return
        if self._data:
            self._end_event(batch)
        if self._name == b"error":
            raise self.reported(frame, payload)
        self.chunk(frame, batch)

    def _end_event(self, batch: Batch, *, at_end: bool = False) -> None:
        """Read an event that has more than one line of data, or that is no JSON."""
        name, self._name = self._name, b""
        if not self._data:
            return
        payload = b"\n".join(self._data)
        self._data.clear()
        try:
            frame = self.read_json(payload)
        except ValueError as error:
            if name == b"error":
                raise self.reported(None, payload) from None
            cls = TruncatedResponseError if at_end else MalformedResponseError
            raise cls(f"An event holds no JSON: {error}.", body=excerpt(payload)) from error
        if name == b"error":
            raise self.reported(frame, payload)
        self.chunk(frame, batch)

    def _end_strays(self, batch: Batch) -> None:
        """Read the lines that belong to no event: the answer as one JSON body, or an error."""
        body = b"\n".join(self._strays)
        self._strays.clear()
        if body.strip() in {b"-1", b"0"}:  # how WordPress says that a nonce is not valid
            raise NonceExpiredError("The service no longer takes the nonce.", body=excerpt(body))
        if self.progress and looks_like_html(body):
            raise blocked(body)
        try:
            document = self.read_json(body)
        except ValueError as error:
            if body.startswith(b"{") and not self.progress:
                raise TruncatedResponseError(
                    f"The answer is not complete JSON: {error}.", body=excerpt(body)
                ) from error
            return
        if not isinstance(document, dict):
            return
        data = document.get("data")
        if document.get("status") == "success" and isinstance(data, str) and not document.get("error"):
            if data and not self.progress:
                self.text(data, batch)
            return
        self._refuse(document)
        if not self.progress:
            raise MalformedResponseError(
                "The answer is neither a stream nor the plugin's JSON.", body=excerpt(body)
            )

    def _keep(self, lines: list[bytes], line: bytes) -> None:
        self._size += len(line) + LINE_OVERHEAD
        if self._size > MAX_KEPT_BYTES:
            raise ResponseTooLargeError(f"The answer is longer than {MAX_KEPT_BYTES} bytes in one piece.")
        lines.append(line)

    def _refuse(self, frame: object) -> None:
        """Raise if a frame is an error of the plugin, of WordPress or of the service behind."""
        if isinstance(frame, dict) and (frame.get("status") == "error" or frame.get("success") is False):
            said = str(
                frame.get("msg")
                or frame.get("message")
                or frame.get("data")
                or "The service reported an error"
            )
            if "nonce" in said.lower():
                raise NonceExpiredError(mended(said))
            raise classify(None, ReportedError(said))
        super()._refuse(frame)


def _turns_as_prompt(messages: Sequence[Message]) -> tuple[str, dict[str, str]]:
    """Fold a conversation into one prompt, for a protocol that takes a single text.

    One message is its text; several become lines `Role: text` and a last `Assistant:` for the model
    to go on from. A line of a text that begins as such a line does would be one more turn: its
    colon becomes a look-alike.

    Returns:
        The prompt, and what was replaced in it, as `Originals` takes it.
    """
    texts = [message.text for message in messages]
    if len(texts) == 1:
        return texts[0], {}
    look_alikes = LookAlikes(texts)
    turns = []
    for message, text in zip(messages, texts, strict=True):
        labels = [match.end() - 1 for match in _LABEL.finditer(text)]
        turns.append(f"{message.role.capitalize()}: {look_alikes.put(text, labels) if labels else text}")
    return "\n".join((*turns, "Assistant:")), look_alikes.table
