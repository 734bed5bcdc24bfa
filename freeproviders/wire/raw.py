"""Errors in place of an answer, for a protocol without framing: the body is the answer.

A model may be asked for a web page, for JSON or for the text of an error, so how a body begins
proves nothing. Only what no model says is taken for an error: a page that carries the marks of a
server or of a site, a JSON envelope that holds nothing but an error and says a status or words of a
service about itself, and the sentences that proxies write when the server behind them does not
answer. All else stays text.
"""

from __future__ import annotations

import re
from typing import Final

from freeproviders.errors import ProviderError
from freeproviders.wire.failure import (
    ReportedError,
    blocked,
    classify,
    error_in_success,
    excerpt,
    is_challenge,
    looks_like_html,
)
from freeproviders.wire.json import loads

MAX_HELD_BYTES: Final = 4096
"""The most bytes of a body that are held back until it is known whether it is an error."""

_PAGE: Final = (b"<!doctype html", b"<html", b"<head", b"<body", b"<?xml")
_PROXY: Final = (
    b"upstream connect error or disconnect/reset before headers",  # Envoy
    b"no healthy upstream",  # Envoy
    b"error code: ",  # Cloudflare
)
_BLANK: Final = b" \t\r\n"
_PROXY_SAID: Final = re.compile(
    rb"(?s)upstream connect error or disconnect/reset before headers.*|"
    rb"no healthy upstream\.?|error code: \d{3,4}"
)
_FIRST_KEY: Final = re.compile(rb'\{[ \t\r\n]*(?:"([A-Za-z_]*)("?))?')
_ENVELOPE: Final = frozenset(
    {
        "error", "errors", "message", "msg", "detail", "code", "status", "statusCode", "success", "type",
        "title", "timestamp", "path", "param", "request_id", "requestId", "result", "data",
    }
)  # fmt: skip
"""The keys of documents that hold an error and nothing else."""
_OF_A_SERVICE: Final = re.compile(
    r"(?i)quota|rate.?limit|too many requests|unauthori[sz]ed|forbidden|api.?key|internal (?:server )?error"
    r"|bad gateway|gateway time-?out|service (?:is )?(?:temporarily )?unavailable|overloaded|upstream"
    r"|(?:invalid|wrong|missing|bad) sign|try again later"
)
_OF_A_SERVER: Final = re.compile(
    rb"(?i)<center><h1>[45]\d\d |<hr><center>|<address>apache|cf-error|/cdn-cgi/|wp-die-message"
    rb"|/wp-(?:content|includes)/"
    rb"|(?:src|href)=[\"']?/(?:_next|_nuxt|_astro|assets|static)/"
)
_ERROR_TITLE: Final = re.compile(rb"(?i)<title>\s{0,20}(?:error )?[45]\d\d\b")
_SMALL_PAGE: Final = 1024
"""A page with an error's title is a server's up to this size; a model's page is longer."""


def may_be_error(head: bytes) -> bool:
    """Return whether a body that begins so has the shape of an error in the place of an answer."""
    head = head.lstrip(_BLANK)
    lower = head[:64].lower()
    if any(lower.startswith(sign) or sign.startswith(lower) for sign in (*_PAGE, *_PROXY)):
        return True
    key = _FIRST_KEY.match(head)
    if key is None:
        return False
    name, end = key[1], key[2]
    if end:
        return name.decode() in _ENVELOPE
    known = (name or b"").decode()
    return key.end() == len(head) and any(word.startswith(known) for word in _ENVELOPE)


def error_in_text(head: bytes, *, whole: bool) -> ProviderError | None:
    """Read the beginning of a body as an error; None where it may be an answer.

    `whole` says that the body has nothing more.
    """
    head = head.strip(_BLANK)
    if looks_like_html(head):
        small = whole and len(head) <= _SMALL_PAGE
        if is_challenge(head) or _OF_A_SERVER.search(head) or (small and _ERROR_TITLE.search(head)):
            return blocked(head)
        return None
    if not whole:
        return None
    if _PROXY_SAID.fullmatch(head):
        return classify(None, ReportedError(excerpt(head)))
    if not head.startswith(b"{"):
        return None
    try:
        document = loads(head)
    except ValueError:
        return None
    reported = error_in_success(document)
    if reported is None or not document.keys() <= _ENVELOPE:
        return None
    said = f"{reported.code or ''} {reported.message}"
    return classify(None, reported) if reported.status or _OF_A_SERVICE.search(said) else None
