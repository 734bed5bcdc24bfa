"""Error answers: eight shapes, statuses, hints when to come back, and no secrets."""

import json
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders import errors
from freeproviders.wire.failure import (
    EXCERPT_CHARS,
    ReportedError,
    classify,
    error_in_success,
    excerpt,
    looks_like_html,
    read_failure,
    read_reported_error,
    redact,
    retry_after,
    shortened,
)

SHAPES = [
    b'{"error": {"message": "model is gone", "code": "x"}}',
    b'{"error": "model is gone"}',
    b'{"object": "error", "message": "model is gone", "type": "t"}',
    b'[{"error": {"code": 404, "message": "model is gone", "status": "NOT_FOUND"}}]',
    b'{"success": false, "errors": [{"code": 7003, "message": "model is gone"}]}',
    b'{"status": 404, "title": "Not Found", "detail": "model is gone"}',
    b'{"message": "model is gone"}',
    b'{"statusCode": 404, "message": "model is gone", "error": "Not Found"}',
    b'{"detail": "model is gone"}',
    b"model is gone",
]


@pytest.mark.parametrize("body", SHAPES)
def test_shapes(body):
    """Whatever the shape, the message is found and the status decides."""
    error = read_failure(404, {}, body)

    assert type(error) is errors.NotFoundError
    assert "model is gone" in str(error)
    assert "404" in str(error)
    assert error.status == 404
    assert error.body


@pytest.mark.parametrize(
    ("status", "body", "cls", "retryable"),
    [
        (400, b'{"error": {"message": "bad"}}', errors.BadRequestError, False),
        (
            400,
            (
                b'{"error": {"code": "context_length_exceeded", "message": "This model\'s maximum '
                b'context length is 8192 tokens"}}'
            ),
            errors.ContextOverflowError,
            False,
        ),
        (
            400,
            b'{"error": {"code": 400, "type": "exceed_context_size_error", "message": "x"}}',
            errors.ContextOverflowError,
            False,
        ),
        (
            400,
            b'{"error": {"message": "registry/model does not support tools"}}',
            errors.ToolsNotSupportedError,
            False,
        ),
        (
            404,
            b'{"error": {"message": "No endpoints found that support tool use"}}',
            errors.ToolsNotSupportedError,
            False,
        ),
        (
            400,
            b'{"error": {"code": "content_filter", "message": "filtered"}}',
            errors.ContentFilterError,
            False,
        ),
        (401, b"{}", errors.AuthenticationError, False),
        (402, b"{}", errors.QuotaExceededError, False),
        (403, b'{"error": "no"}', errors.PermissionDeniedError, False),
        (403, b"<!DOCTYPE html><title>Just a moment...</title>", errors.BlockedError, False),
        (503, b"  <html><body>challenge</body></html>", errors.BlockedError, False),
        (503, b"<html><title>503 Service Unavailable</title></html>", errors.ServerError, True),
        (404, b"<html><body>challenge, captcha</body></html>", errors.NotFoundError, False),
        (404, b"<html><script>_cf_chl_opt</script></html>", errors.BlockedError, False),
        (408, b"{}", errors.ServerError, True),
        (409, b"{}", errors.ServerError, True),
        (425, b"{}", errors.RateLimitError, True),
        (404, b"{}", errors.NotFoundError, False),
        (451, b"{}", errors.BadRequestError, False),
        (
            410,
            b'{"error": {"code": "github_models_retirement_brownout", "message": "retired"}}',
            errors.NotFoundError,
            False,
        ),
        (413, b"{}", errors.BadRequestError, False),
        (422, b'{"detail": [{"loc": ["body", "x"], "msg": "extra"}]}', errors.BadRequestError, False),
        (429, b'{"error": {"message": "slow down"}}', errors.RateLimitError, True),
        (
            429,
            b'{"error": {"message": "Rate limit exceeded: free-models-per-day"}}',
            errors.QuotaExceededError,
            False,
        ),
        (
            429,
            (
                b'[{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota '
                b'exceeded, limit: 0"}}]'
            ),
            errors.QuotaExceededError,
            False,
        ),
        (500, b"{}", errors.ServerError, True),
        (529, b"", errors.ServerError, True),
    ],
)
def test_status_map(status, body, cls, retryable):
    """Each status and body gives its class, and whether to try again."""
    error = read_failure(status, {}, body)

    assert type(error) is cls
    assert error.is_retryable is retryable


@pytest.mark.parametrize(
    ("said", "cls"),
    [
        ("Rate limit reached", errors.RateLimitError),
        ("Too many requests", errors.RateLimitError),
        ("Quota exceeded", errors.RateLimitError),
        ("You exceeded your current quota", errors.RateLimitError),
        ("insufficient_quota", errors.QuotaExceededError),
        ("Rate limit: 50 per day", errors.QuotaExceededError),
        ("context_length_exceeded", errors.ContextOverflowError),
        ("m does not support tools", errors.ToolsNotSupportedError),
        ("moderation", errors.ContentFilterError),
        ("it broke", errors.ServerError),
    ],
)
def test_words_inside_a_success(said, cls):
    """Where there is no status, the words decide."""
    assert type(classify(None, ReportedError(said))) is cls


WORDS = {
    errors.ContextOverflowError: [
        "context_length_exceeded", "exceed_context_size_error", "the context length is 5",
        "the context window is 5",
        "the context size is 5", "too many tokens", "too many input tokens", "Prompt is too long",
        "a maximum of 5 tokens",
    ],
    errors.ToolsNotSupportedError: [
        "m does not support tools", "m doesn't support tool use", "we do not support function calls",
        "No endpoints found that support tool use", "tools are not supported", "tool is not supported",
    ],
    errors.ContentFilterError: [
        "content_filter", "content_policy_violation", "content management policy", "flagged by moderation",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("cls", "said"), [(cls, said) for cls, words in WORDS.items() for said in words])
def test_words_beside_a_status(cls, said):
    """A 400 with one of these words is what the words say, in the code as well as in the message."""
    assert type(classify(400, ReportedError(said))) is cls
    assert type(classify(400, ReportedError("no", code=said))) is cls
    assert type(classify(None, ReportedError(said))) is cls


def test_a_long_context_is_no_reason_for_a_500():
    """A server's own fault that talks of the context window is tried again."""
    assert type(classify(500, ReportedError("context window"))) is errors.ServerError
    assert type(classify(400, ReportedError("context window"))) is errors.ContextOverflowError
    assert type(classify(499, ReportedError("context window"))) is errors.ContextOverflowError


@pytest.mark.parametrize(
    "said",
    ["insufficient_quota", "per day", "per-day", "free-per_day", "perday", "per month", "daily limit",
     "monthly limit",
     "out of credit", "billing", "limit: 0", "payment needed"],
)  # fmt: skip
def test_allowances_that_are_used_up(said):
    """A 429 with one of these words is not tried again."""
    assert type(classify(429, ReportedError(said))) is errors.QuotaExceededError
    assert type(classify(429, ReportedError("limit: 01"))) is errors.RateLimitError


@pytest.mark.parametrize(
    ("said", "cls", "seconds"),
    [
        (
            (
                "Rate limit reached for model `m` on tokens per minute (TPM). Please try again in "
                "5.3s. Need more tokens? Upgrade today at https://console.groq.com/settings/billing"
            ),
            errors.RateLimitError,
            5.3,
        ),
        (
            (
                "Rate limit reached for m on requests per min. Limit: 3 / min. Please try again in 20s. You "
                "can add a payment method to your account to increase your rate limit."
            ),
            errors.RateLimitError,
            20,
        ),
        ("Too many requests: see /billing. Please retry in 500 milliseconds.", errors.RateLimitError, 0.5),
        (
            "Rate limit reached on tokens per day. Please try again in 7m12s. Upgrade: /settings/billing",
            errors.QuotaExceededError,
            432,
        ),
        ("You exceeded your current quota: check your billing details.", errors.QuotaExceededError, None),
    ],
)
def test_talk_of_money_beside_a_limit(said, cls, seconds):
    """A minute's limit is waited for, also where its message sells a larger one."""
    for status in (429, None):
        error = classify(status, ReportedError(said, code="rate_limit_exceeded"))
        assert (type(error), error.retry_after) == (cls, seconds)
    assert type(classify(429, ReportedError("Try again in 5s.", code="insufficient_quota"))) is (
        errors.QuotaExceededError
    )


MARKS = [
    "_cf_chl_opt", "cf-chl-widget", "/cdn-cgi/challenge-platform/", "<title>Just a moment...",
    "Attention Required! | Cloudflare",
    "Sorry, you have been blocked", "Checking your browser before accessing", "Verify you are human",
    "verifying that you are a human",
    "_Incapsula_Resource", "DDoS-Guard", "Pardon Our Interruption", "datadome",
]  # fmt: skip


@pytest.mark.parametrize("mark", MARKS)
def test_marks_of_a_bot_check(mark):
    """They tell a bot check at any status, on a page and only there."""
    page = f"<html><body>{mark}</body></html>".encode()
    for status in (200, 403, 404, 500):
        error = read_failure(status, {}, page)
        assert type(error) is errors.BlockedError
        assert "A bot check" in error.message
    assert type(read_failure(500, {}, mark.removeprefix("<title>").encode())) is errors.ServerError
    assert type(read_failure(500, {"cf-mitigated": "challenge"}, b"")) is errors.BlockedError


@pytest.mark.parametrize("status", [403, 405, 429, 503], ids=str)
def test_captchas(status):
    """The bare word counts where bot checks are answered with, and not on a site's own pages."""
    for word in (b"hCaptcha", b"challenge"):
        page = b"<html><body>" + word
        assert type(read_failure(status, {}, page)) is errors.BlockedError
        assert type(read_failure(404, {}, page)) is errors.NotFoundError


@pytest.mark.parametrize("secret", ["Bearer ", "sk-", "gsk_", "nvapi-", "xai-", "hf_", "key-", "AIza"])
def test_what_looks_like_a_credential(secret):
    """Each form is taken out of messages, whatever the case of its prefix."""
    for word in (secret, secret.upper(), secret.lower()):
        assert redact(f"your {word}0123456789abc is wrong") == f"your {word}*** is wrong"
    assert redact(f"your {secret}01234") == f"your {secret}01234"


@pytest.mark.parametrize(
    "begin",
    [
        b"<!--",
        b"<!DOCTYPE html>",
        b"<html lang=en>",
        b"<HEAD>",
        b"<body>",
        b"\xef\xbb\xbf\n <html>",
        b'<?xml version="1.0"?>\n<html>',
    ],
)
def test_what_begins_like_a_page(begin):
    """Blanks, byte order marks and an XML declaration may come first."""
    assert looks_like_html(begin)
    assert not looks_like_html(b"x" + begin)


@pytest.mark.parametrize("text", [b"<think>", b"<?xml version='1.0'?><feed>", b"<", b"{}", b"", b"<svg>"])
def test_what_does_not(text):
    """Markup of another kind is no page."""
    assert not looks_like_html(text)


def test_halves_of_characters_in_what_a_service_reports():
    """An error can be printed whatever the service said."""
    error = classify(400, ReportedError("no \ud83d", code="\ud83d"))
    assert (error.message, error.code) == ("no \ufffd", "\ufffd")


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (b"<html><title>502 Bad Gateway</title>", "Bad Gateway"),
        (b"<html><TITLE>\n 504: Gateway &amp; more \n</TITLE>", "Gateway & more"),
        (b"<html><title>404</title>", "404"),
        (b"<html><title></title>", "HTML page"),
        (b"<html>no title", "HTML page"),
        (b"\xef\xbb\xbf <!DOCTYPE html><title>500 | Oops</title>", "Oops"),
    ],
)
def test_what_a_page_says(page, said):
    """Its title, without the status that is said anyway."""
    error = read_failure(500, {"Retry-After": "3"}, page)
    assert type(error) is errors.ServerError
    assert said in error.message
    assert error.retry_after == 3
    assert error.body


def test_error_inside_a_success():
    """Only what cannot be an answer is an error."""
    assert error_in_success({"choices": None, "error": {"message": "upstream", "code": 502}}).status == 502
    assert error_in_success({"object": "error", "message": "boom"}).message == "boom"
    assert error_in_success({"detail": "x"}).message == "x"
    assert error_in_success({"choices": [{"message": {"content": "x"}}]}) is None
    assert error_in_success({"choices": []}) is None
    assert error_in_success("text") is None
    assert type(classify(None, read_reported_error({"error": "Rate limit reached"}))) is errors.RateLimitError
    assert (
        type(classify(None, read_reported_error({"error": {"message": "upstream", "code": 502}})))
        is errors.ServerError
    )


def test_retry_after():
    """Seconds, milliseconds and dates are understood; nonsense is no hint."""
    assert retry_after({"Retry-After": "7"}) == 7
    assert retry_after({"Retry-After": "1.5"}) == 1.5
    assert retry_after({"Retry-After-Ms": "250", "Retry-After": "9"}) == 0.25
    assert 3500 < retry_after({"Retry-After": formatdate(time.time() + 3600, usegmt=True)}) < 3610
    assert retry_after({"Retry-After": formatdate(time.time() - 3600, usegmt=True)}) == 0
    assert retry_after({"Retry-After": "-3"}) == 0
    assert retry_after({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}) == 31 * 86400
    assert retry_after({"Retry-After": "soon"}) is None
    assert retry_after({"Retry-After": "nan"}) is None
    assert retry_after({}) is None


def test_retry_hint_in_the_body():
    """Some services say it only in words."""
    assert (
        read_failure(429, {}, b'{"error": {"message": "Please try again in 5.289s."}}').retry_after == 5.289
    )
    assert read_failure(
        429, {}, b'{"error": {"message": "try again in 2m59.56s"}}'
    ).retry_after == pytest.approx(179.56)
    assert read_failure(
        429, {}, b'{"error": {"message": "try again in 120ms"}}'
    ).retry_after == pytest.approx(0.12)
    for words, seconds in (
        *(
            ("try again in 1h12m34.5s", 4354.5),
            ("Please retry after 20 seconds.", 20),
            ("retry in 2 minutes", 120),
            ("try again in 1 hour", 3600),
        ),
        *(
            ("try again in 6m0s", 360),
            ("try again in a while", None),
            ('"retryDelay": "34s"', 34),
            ("try again in 5 min", 300),
        ),
    ):
        assert (
            read_failure(429, {}, json.dumps({"error": {"message": words}}).encode()).retry_after == seconds
        )
    assert (
        read_failure(429, {"Retry-After": "3"}, b'{"error": {"message": "try again in 5s"}}').retry_after == 3
    )


def test_no_secret_in_an_excerpt():
    """What looks like a credential is not repeated."""
    body = (
        b'{"error": {"message": "Incorrect API key: sk-abcdefghijklmnop. '
        b'Header was Bearer abcdefghijk12345"}}'
    )
    for text in (str(read_failure(401, {}, body)), excerpt(body)):
        assert "abcdefgh" not in text
        assert "***" in text


@given(st.binary(max_size=200), st.integers(400, 599))
def test_any_body(body, status):
    """Hostile bodies are data: any body gives an error of the tree."""
    assert isinstance(read_failure(status, {}, body), errors.ProviderError)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda x: (
        st.lists(x, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "errors",
                    "message",
                    "detail",
                    "code",
                    "status",
                    "choices",
                    "object",
                    "success",
                    "msg",
                ]
            ),
            x,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(json_values)
def test_any_document(document):
    """Any JSON is read without a fault."""
    read_reported_error(document)
    error_in_success(document)


@given(
    st.text(
        alphabet=st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufdd0\\"),
        min_size=20,
    ),
    st.booleans(),
    st.booleans(),
)
def test_a_reported_message_is_told_once(message, ascii_only, padded):
    """However JSON writes its characters, and however long it is."""
    message = "Something is wrong: " + " ".join(message.split()) * (5 if padded else 1)
    body = json.dumps({"error": {"message": message, "type": "bad"}}, ensure_ascii=ascii_only)
    assert "The answer began" not in str(read_failure(400, {}, body.encode()))


@given(st.lists(st.text(alphabet="abcdefgh", min_size=1, max_size=12), min_size=1, max_size=80))
def test_what_is_shortened_ends_with_a_word(words):
    text = " ".join(words)
    short = shortened(text)
    assert len(short) <= EXCERPT_CHARS
    if short != text:
        kept = short.removesuffix(" ...").split(" ")
        assert kept == words[: len(kept)]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("no such thing", "no such thing"),
        ('{"error": {"message": "too odd"}}', "too odd"),
        ('{"error": {"message": "odd", "metadata": {"raw": "deeper"}}}', "odd: deeper"),
    ],
)
def test_what_a_service_behind_the_service_has_said(raw, said):
    """As OpenRouter passes it on, whose own words say nothing."""
    inner = {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw}}
    error = read_failure(400, {}, json.dumps({"error": inner}).encode())
    assert error.message == f"Provider returned error: {said}"
    assert str(error).count(said) == 1
