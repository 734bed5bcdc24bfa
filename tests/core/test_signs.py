"""Refusals by the signs of a row: which sign fits, what error it is, and when to come back."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from freeproviders import errors
from freeproviders.types import Text
from freeproviders.wire.failure import ReportedError, classify, read_failure
from freeproviders.wire.limits import LONGEST_RESET_SECONDS, Allowance, AllowanceHeaders
from freeproviders.wire.openai.answer import ChatDecoder
from freeproviders.wire.openai.disguise import DisguiseDecoder
from freeproviders.wire.signs import Kind, Sign, find_sign
from tests.core.chunks import delta, sse

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
REFUSAL = {
    "statuses": {429},
    "said": '{"error":{"message":"Rate limit: free-models-per-day"}}',
    "codes": ("RESOURCE_EXHAUSTED", "1300"),
    "headers": CIMultiDict({"X-Limit": "0", "X-Name": "Some Value"}),
}


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({}, False),  # what names nothing would fit everything
        ({"status": 429}, True),
        ({"status": 402}, False),
        ({"match": ("per-day",)}, True),
        ({"match": ("PER-DAY", "rate LIMIT")}, True),
        ({"match": ("per-day", "per-minute")}, False),
        ({"match": ("free.models",)}, False),  # text, no pattern
        ({"match": ("(",)}, False),
        ({"code": "1300"}, True),
        ({"code": "resource_exhausted"}, True),
        ({"code": "130"}, False),
        ({"header": "x-limit: 0"}, True),
        ({"header": "x-limit:0"}, True),
        ({"header": "x-limit: 00"}, False),
        ({"header": "x-name: some value"}, True),
        ({"header": "x-limit"}, True),
        ({"header": "x-other: 0"}, False),
        ({"status": 429, "match": ("per-day",), "code": "1300", "header": "x-limit: 0"}, True),
        ({"status": 402, "match": ("per-day",), "code": "1300", "header": "x-limit: 0"}, False),
        ({"status": 429, "match": ("per-day",), "code": "1301", "header": "x-limit: 0"}, False),
        ({"status": 429, "match": ("per-day",), "code": "1300", "header": "x-limit: 1"}, False),
        ({"status": 429, "text": "Rate limit"}, False),  # it is a whole answer, no error
    ],
)
def test_all_that_a_sign_names_must_be_there(fields, fits):
    """A sign fits where each of its conditions holds, in any case of letters."""
    sign = Sign("day", **fields)

    assert find_sign([sign], **REFUSAL) is (sign if fits else None)


def test_the_first_sign_that_fits_counts():
    """A row's order is its own: what is special stands before what is general."""
    special, general = Sign("day", status=429, match=("per-day",)), Sign("minute", status=429)

    assert find_sign([special, general], **REFUSAL) is special
    assert find_sign([general, special], **REFUSAL) is general


CLASSES = {
    "minute": (errors.RateLimitError, True),
    "hour": (errors.RateLimitError, True),
    "concurrency": (errors.RateLimitError, True),
    "upstream": (errors.RateLimitError, True),
    "day": (errors.QuotaExceededError, False),
    "month": (errors.QuotaExceededError, False),
    "credit": (errors.QuotaExceededError, False),
    "overload": (errors.OverloadedError, True),
    "down": (errors.ServerError, True),
    "not-in-plan": (errors.NotInPlanError, False),
    "retired": (errors.RetiredModelError, False),
    "too-large": (errors.RequestTooLargeError, False),
    "key": (errors.AuthenticationError, False),
    "region": (errors.PermissionDeniedError, False),
    "permission": (errors.PermissionDeniedError, False),
    "request": (errors.BadRequestError, False),
}


@pytest.mark.parametrize("kind", get_args(Kind))
def test_what_each_kind_is(kind):
    """A kind is one class of the tree, whatever the status, and may be worth another try or not."""
    cls, retryable = CLASSES[kind]
    sign = Sign(kind, match=("no",), scope="model", metric="tokens", advice="Do this.")

    error = read_failure(418, {}, b'{"error": {"message": "No!"}}', signs=[sign])

    assert type(error) is cls
    assert error.is_retryable is retryable
    assert (error.kind, error.scope, error.metric, error.sign) == (kind, "model", "tokens", sign)
    assert "HTTP 418: No!" in str(error)
    assert "Do this." in str(error)


def test_without_a_sign_nothing_changes():
    """A refusal that no sign knows is what its status and words say, and has no kind."""
    body = b'{"error": {"message": "Slow down", "code": "x"}}'
    signs = [Sign("day", status=402)]

    error, plain = read_failure(429, {}, body, signs=signs), read_failure(429, {}, body)

    assert type(error) is type(plain) is errors.RateLimitError
    assert (error.kind, error.scope, error.metric, error.sign) == ("", "", "", None)
    assert str(error) == str(plain)


def test_a_refusal_of_tools_is_one_whatever_else_it_could_be():
    """Tools are asked for in another way then, so a sign for models that are gone must not hide it."""
    body = b'{"error": {"message": "No endpoints found that support tool use", "code": 404}}'
    gone = Sign("retired", status=404, match=("No endpoints found",))
    mended = Sign("request", status=404, match=("tool use",), leave_out=("tools",))

    assert type(read_failure(404, {}, body, signs=[gone])) is errors.ToolsNotSupportedError
    assert type(read_failure(404, {}, body, signs=[mended])) is errors.BadRequestError


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"object": "error", "message": "m", "type": "rate_limited", "code": 1300}, "1300"),
        ({"object": "error", "message": "m", "type": "rate_limited", "code": 1300}, "rate_limited"),
        ({"success": False, "errors": [{"code": 4006, "message": "m"}]}, "4006"),
        ([{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}], "RESOURCE_EXHAUSTED"),
        ({"error": {"code": "1302", "message": "m"}}, "1302"),
        ({"error": "too_many", "message": "m", "code": "E7"}, "too_many"),
        ({"error": "too_many", "message": "m", "code": "E7"}, "E7"),
        ({"error": "m", "code": "E7"}, "E7"),
    ],
)
def test_whatever_an_error_calls_its_code(document, code):
    """Code, type and status all count, as numbers too."""
    signs = [Sign("concurrency", code=code)]

    assert read_failure(429, {}, json.dumps(document).encode(), signs=signs).kind == "concurrency"


# --- when to come back ----------------------------------------------------------------------------

MINUTE = Sign("minute", status=429, match=("minute",))
DAY = Sign("day", status=429, match=("day",))
BOTH = [
    AllowanceHeaders("requests", "day", limit="ld", remaining="rd", reset="td", reset_form="seconds"),
    AllowanceHeaders("tokens", "minute", limit="lm", remaining="rm", reset="tm", reset_form="seconds"),
]


def failure(said, headers=(), status=429, signs=(MINUTE, DAY), announces=BOTH, **more):
    document = {"error": {"message": said, **more}}
    return read_failure(
        status,
        CIMultiDict(headers),
        json.dumps(document).encode(),
        signs=signs,
        announces=announces,
        now=NOW,
    )


@pytest.mark.parametrize(
    ("said", "headers", "seconds"),
    [
        ("a minute's", {}, None),
        ("a minute's. Try again in 5.289s.", {}, 5.289),
        ("a minute's. Try again in 2m59.56s.", {}, 179.56),
        ("a minute's. Try again in 5.289s.", {"Retry-After": "6"}, 5.289),  # rounded up there
        ("a minute's. Try again in 5.289s.", {"Retry-After": "7"}, 7),
        ("a minute's. Try again in 5.289s.", {"Retry-After": "3"}, 3),
        ("a minute's", {"Retry-After": "17", "rm": "0", "tm": "40"}, 17),
        ("a minute's", {"Retry-After": "Fri, 20 Nov 2026 12:00:40 GMT"}, 40),
        ("a minute's. Try again in 5s.", {"rm": "0", "tm": "40"}, 5),
        ("a minute's", {"rm": "0", "tm": "40"}, 40),
        ("a minute's", {"rm": "12", "tm": "40"}, None),  # that one is not used up
        ("a minute's", {"rm": "0"}, None),
        ("a minute's", {"rm": "0", "tm": "40", "rd": "0", "td": "4000"}, 4000),  # both are
        ("a day's", {"rm": "0", "tm": "40"}, None),  # a minute is no help
        ("a day's", {"rm": "0", "tm": "40", "rd": "0", "td": "4000"}, 4000),
        ("a day's", {}, None),
        ("nothing that is known", {"rd": "0", "td": "4000"}, 4000),
        ("a minute's", {"rm": "0", "tm": "99999999999"}, LONGEST_RESET_SECONDS),
    ],
)
def test_when_to_come_back(said, headers, seconds):
    """The header counts first, then the words, then the reset of what is used up."""
    error = failure(said, headers)

    assert error.retry_after == (None if seconds is None else pytest.approx(seconds))
    assert error.soonest == (None if seconds is None else NOW + timedelta(seconds=error.retry_after))


@pytest.mark.parametrize(
    "kind", ["not-in-plan", "credit", "too-large", "key", "region", "request", "retired"]
)
def test_what_waiting_does_not_mend_has_no_time(kind):
    """One service says "retry in 33 s" of a limit of zero."""
    error = failure(
        "limit: 0. Please retry in 33s.",
        {"Retry-After": "33", "rm": "0", "tm": "40"},
        signs=[Sign(kind, match=("limit: 0",))],
    )

    assert (error.retry_after, error.soonest) == (None, None)
    assert error.allowances


@pytest.mark.parametrize("kind", ["concurrency", "upstream"])
def test_a_limit_of_others_does_not_come_back_with_ours(kind):
    """How long others take is not announced; what the refusal itself says counts."""
    sign, used_up = Sign(kind, match=("busy",)), {"rm": "0", "tm": "40"}

    assert failure("busy", used_up, signs=[sign]).soonest is None
    assert failure("busy", {**used_up, "Retry-After": "2"}, signs=[sign]).retry_after == 2


def test_details_of_an_error_say_when():
    """Google's `RetryInfo` is a duration among the details; the longer of two hints counts."""
    details = [{"@type": "x", "links": []}, 7, {"retryDelay": 3}, {"@type": "RetryInfo", "retryDelay": "33s"}]

    assert failure("a minute's", details=details).retry_after == 33
    assert failure("a minute's. Please retry in 33.9s.", details=details).retry_after == 33.9
    assert failure("a minute's", details={"retryDelay": "33s"}).retry_after is None


def test_headers_that_a_body_repeats():
    """They count where the answer itself has none, under names in any case and as numbers too."""
    announces = [
        AllowanceHeaders(
            "requests",
            "",
            limit="X-RateLimit-Limit",
            remaining="X-RateLimit-Remaining",
            reset="X-RateLimit-Reset",
            reset_form="epoch_ms",
        )
    ]
    reset = int((NOW.timestamp() + 30) * 1000)
    metadata = {
        "headers": {"x-ratelimit-LIMIT": "20", "X-RateLimit-Remaining": 0, "X-RateLimit-Reset": reset}
    }
    sign = Sign("minute", match=("minute",), scope="free")

    error = failure("a minute's", announces=announces, signs=[sign], metadata=metadata)
    sent = failure(
        "a minute's", {"x-ratelimit-limit": "50"}, announces=announces, signs=[sign], metadata=metadata
    )

    # The one set of headers serves all periods: which one it is, the refusal says.
    assert error.allowances == (
        Allowance("requests", "minute", 20, 0, NOW + timedelta(seconds=30), scope="free"),
    )
    assert error.retry_after == 30
    assert sent.allowances[0].cap == 50


bodies = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "errors",
                    "message",
                    "code",
                    "details",
                    "retryDelay",
                    "metadata",
                    "headers",
                    "x",
                    "status",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.sampled_from([None, 200, 400, 404, 429, 503]),
    bodies,
    st.builds(
        Sign,
        st.sampled_from(get_args(Kind)),
        status=st.sampled_from([None, 200, 429]),
        match=st.lists(st.text(max_size=4), max_size=2).map(tuple),
        code=st.text(max_size=3),
        header=st.sampled_from(["", "x", "x: 1", ":", " : "]),
    ),
    st.dictionaries(st.sampled_from(["x", "retry-after", "rm", "tm"]), st.text(max_size=12)),
)
def test_no_refusal_breaks_the_reading(status, document, sign, headers):
    """Whatever a service sends and a row holds, there is an error of the tree with a sensible time."""
    body = json.dumps(document).encode()
    error = (
        classify(None, ReportedError("no"), signs=[sign], announces=BOTH, body=body)
        if status in {None, 200}
        else read_failure(status, CIMultiDict(headers), body, signs=[sign], announces=BOTH, now=NOW)
    )

    assert isinstance(error, errors.ProviderError)
    assert (error.soonest is None) == (error.retry_after is None)
    assert error.retry_after is None or 0 <= error.retry_after <= LONGEST_RESET_SECONDS


# --- inside answers -------------------------------------------------------------------------------


def failed(body, signs):
    """The error that a decoder finds, and the text that it gave out before."""
    decoder = ChatDecoder()
    decoder.signs = signs
    parts = decoder.feed(body)
    if decoder.failure is None:
        parts += decoder.close()
    return decoder.failure, "".join(part.text for part in parts if isinstance(part, Text))


DAILY = Sign("day", status=200, match=("per-day",), scope="free")
FRAME = {"error": {"message": "Rate limit exceeded: free-models-per-day", "code": 429}}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(FRAME).encode(),
        json.dumps({"choices": None, **FRAME}).encode(),
        sse(FRAME),
        b"event: error\n" + sse(FRAME),
        sse(delta("error", content="") | FRAME),
        b"error: " + json.dumps(FRAME).encode() + b"\n\n",
        b"event: error\ndata: limit of free-models-per-day\n\n",
        json.dumps(FRAME).encode() + b"\n",
    ],
)
def test_an_error_inside_a_200(body):
    """Wherever it stands: a document, an event, an event named so, a line that is no event."""
    error, text = failed(body, [DAILY])

    assert type(error) is errors.QuotaExceededError
    assert (error.kind, error.scope, text) == ("day", "free", "")


def test_an_error_inside_a_200_has_the_status_that_it_names():
    """A sign for the HTTP status knows the same refusal inside an answer."""
    by_status = Sign("day", status=429, match=("per-day",))

    assert failed(sse(FRAME), [by_status])[0].kind == "day"
    assert failed(sse({"error": {"message": "per-day"}}), [by_status])[0].kind == ""


def test_an_error_after_text():
    """What was said is given out, then comes the error."""
    error, text = failed(sse(delta(content="The capital"), FRAME), [DAILY])

    assert (error.kind, text) == ("day", "The capital")


def test_a_document_that_only_a_sign_knows_as_an_error():
    """A shape that may be anything is an error where the row says so, and only there."""
    body = sse(
        {"status": "449", "msg": "You exceeded your current rate limit"}, delta(content="Hi"), delta("stop")
    )
    sign = Sign("minute", status=200, code="449")

    assert failed(body, [sign])[0].kind == "minute"
    assert failed(body, [DAILY]) == (None, "Hi")
    assert failed(body, []) == (None, "Hi")


# --- in the place of an answer --------------------------------------------------------------------

MASKS = (
    Sign("minute", text="Ratelimit Exceeded!\n", scope="account", advice="Wait a minute."),
    Sign("overload", text="Rate the model: busy 🙂"),
)


def unmasked(body, cuts=()):
    """What a decoder gives out of a body cut into pieces, and the error that it finds."""
    decoder, parts = DisguiseDecoder(MASKS), []
    edges = [0, *sorted(cuts), len(body)]
    for start, end in pairwise(edges):
        parts += decoder.feed(body[start:end])
    if not decoder.done and decoder.failure is None:
        parts += decoder.close()
    return decoder.failure, "".join(part.text for part in parts if isinstance(part, Text)), decoder


def spoken(text, *, ends=True):
    """A stream in which each character is a frame."""
    return sse(*[delta(content=char) for char in text], *[delta("stop")] * ends, done=ends)


@given(
    st.sampled_from([*(sign.text for sign in MASKS), " Ratelimit Exceeded!  "]),
    st.booleans(),
    st.lists(st.integers(0, 1500), max_size=6),
)
def test_a_refusal_in_the_place_of_an_answer(text, ends, cuts):
    """However the bytes were cut, nothing of it is shown, and it costs nothing."""
    body = spoken(text, ends=ends)

    error, shown, decoder = unmasked(body, [min(cut, len(body)) for cut in cuts])

    assert shown == ""
    assert isinstance(error, errors.RateLimitError | errors.OverloadedError)
    assert error.sign in MASKS
    assert not decoder.answered
    assert decoder.output_chars == 0


@given(
    st.sampled_from(
        ["Ratelimit Exceeded", "Ratelimit Exceeded!!", "R", "Rate", "ratelimit exceeded!", "Hello", ""]
    )
    | st.text(max_size=12),
    st.lists(st.integers(0, 1500), max_size=6),
)
def test_any_other_answer_is_whole(text, cuts):
    """What only begins like a refusal is text, all of it."""
    body = spoken(text)

    error, shown, _ = unmasked(body, [min(cut, len(body)) for cut in cuts])

    if text.strip() not in {sign.text.strip() for sign in MASKS}:
        assert (error, shown) == (None, text)


def test_text_is_held_no_longer_than_needed():
    """It goes out with the first character that no refusal has, and at once from then on."""
    decoder = DisguiseDecoder(MASKS)

    assert decoder.feed(sse(delta(content="Rate"), done=False)) == []
    assert decoder.feed(sse(delta(content=" limiting"), done=False)) == [Text("Rate"), Text(" limiting")]
    assert decoder.feed(sse(delta(content="Ratelimit Exceeded!"), done=False)) == [
        Text("Ratelimit Exceeded!")
    ]


def test_a_cut_gives_out_what_was_held():
    """An error behind a possible beginning of a refusal does not swallow it."""
    decoder = DisguiseDecoder(MASKS)

    assert decoder.feed(sse(delta(content="Rate"), {"error": {"message": "broken"}})) == [Text("Rate")]
    assert type(decoder.failure) is errors.ServerError


def test_what_such_a_refusal_says():
    """The error has its words and the row's."""
    error, _, _ = unmasked(spoken("Ratelimit Exceeded!"))

    assert type(error) is errors.RateLimitError
    assert (error.kind, error.scope) == ("minute", "account")
    assert str(error) == "Ratelimit Exceeded! Wait a minute."
