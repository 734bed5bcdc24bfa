"""The base of a replica's service: it judges requests and writes answers as the real one does."""

from __future__ import annotations

import html
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar, Final, NoReturn, Protocol

from freeproviders.testing.answers import Piece
from freeproviders.testing.faults import EVERYWHERE, Fault
from freeproviders.testing.limits import Counts
from freeproviders.testing.record import RecordedRequest

JSON_TYPE: Final = "application/json"
DAY_IS_OVER: Final = "You have reached the daily limit of free requests for today. Please come back tomorrow."


class Refusal(Exception):  # noqa: N818 - an answer, not an error of the replica's
    """A wrong request is refused with a `status` and a reason."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        reply: Reply | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}
        self.reply = reply
        """The answer, where it has another form than the service's other refusals."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer in one piece."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)


class Renderer(Protocol):
    """Writes the pieces of one answer in the service's protocol."""

    content_type: str

    def start(self) -> Iterable[bytes]:
        """Write the bytes before the first piece."""

    def piece(self, piece: Piece) -> Iterable[bytes]:
        """Write a piece. Raises `TypeError` when the protocol has no place for it."""

    def keepalive(self) -> bytes:
        """Write bytes that carry nothing."""

    def error(self, message: str, *, first: bool) -> Iterable[bytes]:
        """Write an error; `first` when nothing at all was sent before."""

    def end(self) -> Iterable[bytes]:
        """Write the bytes after the last piece."""


def nothing() -> None:
    """Do nothing."""


def no_complaint(status: int, message: str) -> None:
    """Leave an error to the service."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A chat request that was accepted.

    `messages` are its role/content mappings, `settings` are passed to an answering backend beside
    them.
    """

    messages: list[dict[str, Any]]
    render: Callable[[Fault], Renderer]
    settings: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers of the answer."""
    close: Callable[[], object] = nothing
    """Called when the request is over, however it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """A request for vectors that was accepted.

    `texts` are what was sent and `read` what the model reads of them. `input_type` is the service's
    word for what they are for.
    """

    texts: list[str]
    read: list[str]
    tokens: int
    model: str
    size: int
    write: Callable[[Sequence[list[float]], Fault], Reply]
    """Writes the answer with the vectors of `read`."""
    input_type: str = ""
    normalised: bool = True
    """Whether the vectors have length 1."""
    requests: int = 1
    """How many requests the service counts it for."""
    close: Callable[[], object] = nothing
    """Called when the request is over, however it ended."""
    complaint: Callable[[int, str], Reply | None] = no_complaint
    """Writes an error with a status; None leaves that to the service."""

    def tell(self, request: RecordedRequest) -> None:
        """Write down what a request asks for."""
        request.texts, request.model = self.texts, self.model
        request.input_type, request.size = self.input_type, self.size


class Service(ABC):
    """One service; an instance keeps the state that the real one has between requests."""

    name: ClassVar[str]
    slug: ClassVar[str]
    base_path: ClassVar[str] = ""
    places: ClassVar[tuple[str, ...]] = ("answer",)
    line_ends: ClassVar[tuple[str, ...]] = ("\n", "\r\n", "\r")
    routes: ClassVar[Mapping[tuple[str, str], str]]
    """(method, path) -> place."""

    fault_names: frozenset[str] = EVERYWHERE
    signs: ClassVar[int] = 0
    """How many ways of saying no its row has."""

    def place(self, request: RecordedRequest) -> str:
        """Find the place that a request is for. Raises `Refusal` 404 or 405."""
        place = self.routes.get((request.method, request.path))
        if place is not None:
            return place
        methods = sorted(method for method, path in self.routes if path == request.path)
        if methods:
            raise Refusal(
                405, f"{request.method} is not allowed here.", headers={"Allow": ", ".join(methods)}
            )
        raise Refusal(404, f"There is nothing at {request.path}.")

    @abstractmethod
    def turn(self, request: RecordedRequest) -> Turn:
        """Judge a chat request. Raises `Refusal`."""

    def embedding(self, request: RecordedRequest) -> Embedding:  # noqa: ARG002
        """Judge a request for vectors. Raises `Refusal`."""
        raise AssertionError(self.slug)

    async def vectors(self, asked: Embedding, request: RecordedRequest) -> list[list[float]]:
        """Make the vectors of a request. Raises whatever the caller's function raises."""
        raise AssertionError(asked, request)

    def page(self, place: str, request: RecordedRequest, fault: Fault) -> Reply:  # noqa: ARG002
        """Answer a request to one of the other places. Raises `Refusal`."""
        raise AssertionError(place)

    def expired(self, request: RecordedRequest, fault: Fault) -> Reply:  # noqa: ARG002
        """Write the service's answer to an expired nonce."""
        raise AssertionError(self.slug)

    @abstractmethod
    def complaint(self, status: int, message: str, fault: Fault, code: str | None = None) -> Reply:
        """Write an error as the service does."""

    def said_no(self, request: RecordedRequest, fault: Fault) -> Reply | None:
        """Write the refusal of a fault's `kind` or `sign`; None where the request is not refused."""
        raise AssertionError(request, fault)

    def counts(self) -> Counts:
        """Tell what the service's limits have counted."""
        raise TypeError(f"The replica of {self.name} counts no limits: use replica(service=...).")

    def quota(self, fault: Fault) -> Reply:
        """Write the answer to a request above the day's allowance."""
        return self.complaint(429, DAY_IS_OVER, fault)


# --- judging --------------------------------------------------------------------------------------


def refuse(message: str, *, status: int = 400, code: str | None = None) -> NoReturn:
    """Raise `Refusal`."""
    raise Refusal(status, message, code=code)


def expect(holds: bool, message: str, *, status: int = 400, code: str | None = None) -> None:
    """Refuse a request for which a condition does not hold."""
    if not holds:
        raise Refusal(status, message, code=code)


def check_headers(request: RecordedRequest, wanted: Mapping[str, str | None]) -> None:
    """Refuse with 403 a request that lacks or repeats a header or has another value.

    None stands for any value.
    """
    for name, value in wanted.items():
        given = request.headers.getall(name, [])
        expect(bool(given), f"Header {name} is missing.", status=403)
        expect(len(given) == 1, f"Header {name} must be there once, not {len(given)} times.", status=403)
        expect(bool(given[0].strip()), f"Header {name} is empty.", status=403)
        expect(
            value is None or given[0] == value,
            f"Header {name} must be {value!r}, not {given[0]!r}.",
            status=403,
        )


def bearer(request: RecordedRequest) -> str:
    """Read the bearer token of a request, "" where there is none."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme == "Bearer" else ""


def check_keys(body: Mapping[str, Any], required: Collection[str], optional: Collection[str] = ()) -> None:
    """Refuse a body that lacks a key or has one that the service does not know."""
    missing = [key for key in required if key not in body]
    expect(not missing, f"Missing key(s) in the body: {', '.join(missing)}.")
    unknown = [key for key in body if key not in required and key not in optional]
    expect(not unknown, f"Unrecognized request argument(s) supplied: {', '.join(unknown)}.")


def read_json(request: RecordedRequest) -> dict[str, Any]:
    """Read the body, which must be a JSON object."""
    try:
        body = json.loads(request.body, parse_constant=_no_constant)
    except ValueError as error:
        refuse(f"The body is not JSON: {error}.")
    if not isinstance(body, dict):
        refuse("The body must be a JSON object.")
    return body


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def is_number(value: object) -> bool:
    """Whether a JSON value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


# --- answering ------------------------------------------------------------------------------------


def dump(value: object) -> bytes:
    """Write JSON as services do: compact, UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can carry
        return json.dumps(value, separators=(",", ":")).encode()


def status_phrase(status: int) -> str:
    """Return the standard phrase of a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def html_page(title: str, text: str) -> bytes:
    """Write a page of HTML."""
    head = f'<!DOCTYPE html>\n<html lang="en"><head><title>{html.escape(title)}</title></head>'
    return f"{head}<body><h1>{html.escape(text)}</h1></body></html>\n".encode()


def challenge_reply() -> Reply:
    """Write a bot check in the manner of the big content networks."""
    page = (
        b'<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title>'
        b'<meta name="robots" content="noindex,nofollow"></head>'
        b"<body><noscript>Enable JavaScript and cookies to continue</noscript>"
        b"<script>(function(){window._cf_chl_opt={cType: 'managed'};}());</script></body></html>\n"
    )
    return Reply(403, page, "text/html; charset=UTF-8", {"Server": "cloudflare", "cf-mitigated": "challenge"})
