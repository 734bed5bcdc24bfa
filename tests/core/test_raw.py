"""Errors in the place of raw text: what a server says about itself, and what a model may say all the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders import errors
from freeproviders.wire.raw import error_in_text, may_be_error

SERVERS = [
    "<center><h1>404 Not Found</h1></center>", "<hr><center>nginx</center>",
    "<address>Apache/2.4 Server at x Port 80</address>",
    "<div class='cf-error-details'>", "<a href='/cdn-cgi/l/email-protection'>",
    "<div class='wp-die-message'>x</div>",
    "<link href='https://x.example/wp-content/a.css'>", "<script src='/wp-includes/b.js'>",
    "<script src='/_next/static/c.js'>",
    "<script src=/_nuxt/d.js>", '<link href="/_astro/e.css">',
    '<script type="module" src="/assets/index-f.js">',
    "<link href=/static/g.css>", "<title>Just a moment...</title>",
]  # fmt: skip


@pytest.mark.parametrize("sign", SERVERS)
@pytest.mark.parametrize("whole", [True, False])
def test_signs_of_a_server(sign, whole):
    """A page with one of them was not written by a model."""
    page = f"<!DOCTYPE html><html><body>{sign}".encode()
    assert type(error_in_text(page, whole=whole)) is errors.BlockedError
    assert may_be_error(page)
    assert error_in_text(b"Here is it: " + page, whole=whole) is None


@pytest.mark.parametrize("title", ["<title>502 Bad Gateway", "<title>404", "<title>\n Error 503: x"])
def test_small_pages_with_the_title_of_an_error(title):
    """So small a page is a server's; one that a model wrote to look like it is longer."""
    page = f"<html>{title}</title>".encode()
    assert type(error_in_text(page, whole=True)) is errors.BlockedError
    assert error_in_text(page, whole=False) is None
    assert error_in_text(page + b"x" * 1024, whole=True) is None
    assert error_in_text(page.replace(b"title", b"h2"), whole=True) is None


SAID = [
    "Quota exceeded", "rate limit reached", "Ratelimit", "Too many requests", "Unauthorized", "unauthorised",
    "Forbidden",
    "wrong API key", "no apikey", "Internal Server Error", "internal error", "Bad Gateway", "Gateway Timeout",
    "gateway time-out",
    "Service Unavailable", "the service is temporarily unavailable", "overloaded", "upstream failed",
    "Invalid signature",
    "wrong sign", "missing sign", "bad sign", "please try again later",
]  # fmt: skip


@pytest.mark.parametrize("said", SAID)
def test_envelopes_with_the_words_of_a_service(said):
    """A document that holds an error and nothing else, and speaks of the service, is one."""
    for body in (
        f'{{"error": "{said}"}}',
        f'{{"success": false, "message": "{said}"}}',
        f'{{"detail":"{said}"}}\n',
    ):
        assert isinstance(error_in_text(body.encode(), whole=True), errors.ProviderError)
        assert may_be_error(body.encode())
        assert error_in_text(body.encode(), whole=False) is None
    assert error_in_text(f'{{"error": "{said}", "answer": 5}}'.encode(), whole=True) is None
    assert error_in_text(f'{{"error": "{said}"}} hm'.encode(), whole=True) is None


def test_envelopes_with_a_status():
    """A status of 400 to 599 says enough."""
    assert (
        type(error_in_text(b'{"error": {"message": "x", "code": 404}}', whole=True)) is errors.NotFoundError
    )
    assert type(error_in_text(b'{"message": "x", "status": 500}', whole=True)) is errors.ServerError
    for status in (200, 399, 600):
        assert error_in_text(b'{"message": "x", "status": %d}' % status, whole=True) is None


PROXIES = [b"upstream connect error or disconnect/reset before headers", b"no healthy upstream",
           b"no healthy upstream.",
           b"error code: 502", b"error code: 1015"]  # fmt: skip


@pytest.mark.parametrize("said", PROXIES)
def test_proxies(said):
    """Their sentences count as a whole only."""
    assert type(error_in_text(b"\n" + said + b"\n", whole=True)) is errors.ServerError
    assert may_be_error(said)
    assert error_in_text(said, whole=False) is None
    assert error_in_text(b"It says: " + said, whole=True) is None
    if not said.startswith(b"upstream"):
        assert error_in_text(said + b" means that", whole=True) is None


bodies = st.sampled_from(
    [
        b"<!DOCTYPE html><hr><center>", b'<?xml version="1.0"?>\n<html>', b'{ "error" : "quota exceeded"}',
        b'{"statusCode": 500, "message": "x"}',
        b"{\n", b"no healthy upstream", b"error code: 1", b"<head>", b"<body", b"Hello", b'{"errors',
        b'{"er x', b'{"a', b"<!-- x", b"{}",
    ]
)  # fmt: skip


@given(bodies, st.binary(max_size=6), st.sampled_from([b"", b" ", b"\n\t"]))
def test_a_longer_beginning_rules_out_and_never_in(body, tail, before):
    """What cannot be an error after n bytes cannot be one after more, so that a cut changes nothing."""
    whole = before + body + tail
    verdicts = [may_be_error(whole[:size]) for size in range(len(whole) + 1)]
    assert verdicts == sorted(verdicts, reverse=True)
    assert error_in_text(whole, whole=True) is None or all(verdicts)
