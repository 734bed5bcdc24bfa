"""The refusals of a service of the catalogue, written as the signs of its row say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import Any, Final

from freeproviders.catalogue.rows import SECONDS, Limit, Service, seconds_of
from freeproviders.testing.announce import filled
from freeproviders.testing.faults import Fault
from freeproviders.testing.meters import Standing, borders
from freeproviders.testing.services.base import JSON_TYPE, Reply, dump
from freeproviders.testing.services.completions import EVENT_STREAM, completion_renderer, odd_error
from freeproviders.types import Text
from freeproviders.wire.signs import Kind, Sign

STATUS: Final[Mapping[Kind, int]] = {
    "minute": 429,
    "hour": 429,
    "day": 429,
    "month": 429,
    "credit": 402,
    "concurrency": 429,
    "overload": 503,
    "upstream": 429,
    "down": 503,
    "not-in-plan": 403,
    "retired": 404,
    "too-large": 413,
    "key": 401,
    "region": 403,
    "permission": 403,
    "request": 400,
}
"""The status of a refusal whose sign names none."""
_WORDS: Final[Mapping[Kind, str]] = {
    "credit": "The credits of this account are used up.",
    "concurrency": "There are too many requests at the same time.",
    "overload": "The service is overloaded, try again later.",
    "upstream": "The provider of {model} has limited the rate of requests.",
    "down": "{model} does not run at present.",
    "not-in-plan": "{model} is not in the plan of this account.",
    "retired": "{model} has been retired.",
    "too-large": "The request is too large for {model}.",
    "key": "The API key is not valid.",
    "region": "The service does not serve this country.",
    "permission": "This is not allowed.",
    "request": "The request is not valid.",
}
_OF_A_LIMIT: Final = (
    "The rate limit of {model} is reached: limit {limit}, used {used}. Try again in {seconds} s."
)
_WITHOUT_NUMBERS: Final = "The rate limit of {model} is reached. Try again in {seconds} s."
_SHAPES: Final = (("message", "message"), ("detail", "detail"))


class Refusals:
    """The refusals of one row."""

    def __init__(self, row: Service) -> None:
        self._row = row
        self.shape = _shape(row)
        """The shape of an error that no sign describes, one of `ERROR_SHAPES`."""

    def sign(self, kind: Kind, limit: Limit | None = None) -> Sign | None:
        """Find the first sign of a kind; of a limit the nearest to its metric and scope."""
        signs = [sign for sign in self._row.error if sign.kind == kind]
        if limit is None:
            return signs[0] if signs else None
        signs = [sign for sign in signs if sign.metric in {"", limit.metric}]
        return max(signs, key=lambda sign: (bool(sign.metric), sign.scope == limit.scope), default=None)

    def reply(
        self,
        kind: Kind,
        sign: Sign | None,
        model: str,
        now: Fraction,
        *,
        standing: Standing | None = None,
        back_at: Fraction | None = None,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Write a refusal with further headers.

        `back_at` is the moment at which the service says that it will serve again; None where time
        does not help, for which no `Retry-After` is sent.
        """
        sign = sign or Sign(kind)
        status = sign.status or (200 if sign.text else STATUS[kind])
        headers = dict(headers or {})
        if sign.header:
            name, _, value = sign.header.partition(":")
            headers[name.strip()] = value.strip()
        if back_at is not None and kind in self._row.headers.retry_after:
            headers["Retry-After"] = str(max(0, ceil(back_at - now)))
        if sign.text:
            return replace(_text(sign.text, model, stream=stream), headers=headers)
        body = sign.body or self._made_up(kind, sign, status, standing)
        text = filled(body, model, standing, now, back_at if back_at is not None else now)
        if status == 200 and stream:
            return Reply(200, f"data: {text}\n\n".encode(), EVENT_STREAM, headers)
        return Reply(status, text.encode(), _type(text), headers)

    def _made_up(self, kind: Kind, sign: Sign, status: int, standing: Standing | None) -> str:
        """Write a body that has what the sign names."""
        words = " ".join([*sign.match, _WORDS.get(kind, _OF_A_LIMIT if standing else _WITHOUT_NUMBERS)])
        code = sign.code or ("rate_limit_exceeded" if kind not in _WORDS else None)
        body = odd_error(words, self.shape, status, code=code)
        return (body if isinstance(body, bytes) else dump(body)).decode()


def kind_of(standing: Standing) -> Kind:
    """Name the kind of a refusal by a limit."""
    if standing.limit.metric == "concurrency":
        return "concurrency"
    if not standing.limit.cap:
        return "not-in-plan"
    large = standing.too_large and standing.limit.metric != "requests"
    return "too-large" if large else kind_of_period(standing.limit)


def kind_of_period(limit: Limit) -> Kind:
    """Name the kind of a limit that is used up: a week's is a month's, without a period a credit."""
    if limit.metric == "concurrency":
        return "concurrency"
    if not limit.per:
        return "credit"
    seconds = seconds_of(limit.per)
    kinds: tuple[tuple[str, Kind], ...] = (("hour", "minute"), ("day", "hour"), ("week", "day"))
    return next((kind for period, kind in kinds if seconds < seconds_of(period)), "month")


def is_mended(sign: Sign, body: Mapping[str, Any]) -> bool:
    """Return whether a request has what a sign's `send` and `leave_out` ask for."""
    if not sign.send and not sign.leave_out:
        return False
    return all(body.get(name) == value for name, value in sign.send.items()) and not any(
        name in body for name in sign.leave_out
    )


def expected(
    limits: Iterable[Limit], kind: Kind, sign: Sign | None, model: str, now: Fraction
) -> tuple[Standing | None, Fraction | None]:
    """Make up how a limit stands that refuses with a kind, and when it is back, for a refusal on demand.

    It is one of `limits` where there is one of that kind, and is back at the next border or
    after its whole period.
    """
    for limit in limits:
        of_this = kind_of_period(limit) == kind or (kind == "too-large" and "tokens" in limit.metric)
        if limit.counts(model) and of_this and (sign is None or sign.metric in {"", limit.metric}):
            back_at = None
            if limit.per and kind != "too-large":
                fixed = limit.reset == "fixed"
                back_at = borders(now, limit)[1] if fixed else now + Fraction(seconds_of(limit.per))
            requested = limit.cap + 1 if kind == "too-large" else 1
            return Standing(limit, limit.cap, 0, requested, back_at, back_at, fits=False), back_at
    return None, now + SECONDS[kind] if kind in SECONDS else None


def waiting(fault: Fault) -> Fraction | None:
    """Return the seconds of a fault's `retry_after`, None where it has no number."""
    value = fault.retry_after
    return Fraction(str(value)) if isinstance(value, int | float) else None


def _text(text: str, model: str, *, stream: bool) -> Reply:
    """Write a refusal that is an answer's text."""
    renderer = completion_renderer(model, Fault(), stream=stream)
    frames: Iterator[bytes] = (
        frame for part in (renderer.start(), renderer.piece(Text(text)), renderer.end()) for frame in [*part]
    )
    return Reply(200, b"".join(frames), renderer.content_type)


def _type(text: str) -> str:
    start = text.lstrip()[:1]
    return JSON_TYPE if start in "{[" else "text/html" if start == "<" else "text/plain; charset=utf-8"


def _shape(row: Service) -> str:
    """Recognise the shape of a service's errors by the bodies of its signs."""
    for sign in row.error:
        try:
            body = json.loads(sign.body)
        except ValueError:
            continue
        if isinstance(body, list):
            return "array"
        if "errors" in body and "success" in body:
            return "errors"
        if body.get("object") == "error":
            return "object-error"
        if "error" in body:
            return "string" if isinstance(body["error"], str) else "object"
        if "title" in body:
            return "rfc7807"
        for key, shape in _SHAPES:
            if key in body:
                return shape
    return "object"
