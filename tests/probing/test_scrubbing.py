"""What is private does not survive, wherever a service writes it, and what tells refusals apart does."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from freeproviders.catalogue import catalogue
from freeproviders.probing.scrubbing import Scrubber
from freeproviders.wire.failure import read_failure

MODEL = "openai/gpt-oss-120b"
unhurried = settings(deadline=None)  # other programs may have the processor
LETTERS = string.ascii_letters + string.digits


def mixed(least: int = 12) -> st.SearchStrategy[str]:
    """Ids of letters and digits, at least one digit and no duration among them."""
    return st.builds("{}x7Q{}".format, *[st.text(LETTERS, min_size=least // 2, max_size=24)] * 2)


IDS = st.one_of(
    st.builds("{}{}".format, st.sampled_from(["sk-", "xai-", "csk-", "org-", "user-", "AIza"]), mixed()),
    st.builds("x{}Q7".format, mixed()),
    st.uuids().map(str),
    st.uuids().map(lambda one: one.hex),
    st.integers(10**11, 10**12 - 1).map(str),
)
SHAPED = st.one_of(
    IDS,
    st.builds("{}{}".format, st.sampled_from(["gsk_", "hf_", "nvapi-", "org_", "user_", "req_"]), mixed(6)),
    st.emails(domains=st.just("mail.example.org")),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6, network="2001:db8::/32").map(lambda one: one.exploded),
    st.builds("eyJhbGciOiJI.{}.{}".format, mixed(), mixed()),
)
KNOWN = st.text(min_size=8, max_size=60).filter(lambda text: text.strip() == text and len(set(text)) > 4)
PLACES = [
    ("error", "message"),
    ("error", "code"),
    ("error", "type"),
    ("error", "metadata", "raw"),
    ("error", "metadata", "user_id"),
    ("error", "details", 0, "quotaId"),
    ("error", "details", 0, "quotaDimensions", "project"),
    ("error", "param"),
    ("error", "failed_generation"),
    ("request_id",),
    ("user",),
    ("detail",),
    ("message",),
]
ANSWER_PLACES = [
    ("id",),
    ("model",),
    ("system_fingerprint",),
    ("provider",),
    ("x_groq", "id"),
    ("choices", 0, "message", "content"),
    ("choices", 0, "message", "reasoning"),
    ("choices", 0, "message", "tool_calls", 0, "id"),
    ("choices", 0, "message", "tool_calls", 0, "function", "name"),
    ("choices", 0, "message", "tool_calls", 0, "function", "arguments"),
    ("choices", 0, "message", "tool_calls", 0, "extra_content", "google", "thought_signature"),
    ("choices", 0, "finish_reason"),
    ("usage", "account"),
]


def planted(value: object, place: tuple[object, ...]) -> object:
    """A document with a value at a place."""
    for part in reversed(place):
        value = [value] if isinstance(part, int) else {part: value}
    return value


def texts_in(document: object) -> list[str]:
    """Every text and every key of a document."""
    if isinstance(document, dict):
        return [text for key, one in document.items() for text in [key, *texts_in(one)]]
    if isinstance(document, list):
        return [text for one in document for text in texts_in(one)]
    return [str(document)]


SENTENCES = (
    "{}",
    "Incorrect API key provided: {}.",
    "Rate limit reached in organization `{}` on tokens per minute (TPM): Limit 8000.",
    'no such user "{}", see https://example.org/help?user={}',
    "[{}] ({})",
)


def survives(secret: str, text: str) -> bool:
    """Whether a secret is in a JSON text, as it is or in what the text means."""
    return secret in text or any(secret in one for one in texts_in(json.loads(text)))


def stream_of(document: object) -> bytes:
    """A stream of one event, behind a comment and an id with the same."""
    written = json.dumps(document)
    return f": {written}\nid: {written}\ndata: {written}\n\ndata: [DONE]\n\n".encode()


def cleaned(scrubber: Scrubber, document: object, form: str) -> str:
    """A document without what is private, as JSON; of a stream the list of its events."""
    if form == "stream":
        text = scrubber.body(stream_of(document), error=False)
        return f"[{','.join(line[6:] for line in text.splitlines() if line.startswith('data: {'))}]"
    return scrubber.body(json.dumps(document).encode(), error=form == "error")


forms = st.sampled_from(["answer", "error", "stream"])
places = st.sampled_from(PLACES + ANSWER_PLACES)


@unhurried
@given(KNOWN, places, st.sampled_from(SENTENCES), forms)
def test_no_known_secret_survives_in_a_document(secret, place, words, form):
    """Of whatever characters it is, at each place of answers, errors and streams."""
    scrubber = Scrubber([secret], [MODEL])
    assume(not survives(secret, cleaned(Scrubber(), planted(words.replace("{}", ""), place), form)))
    assert not survives(secret, cleaned(scrubber, planted(words.replace("{}", secret), place), form))


@unhurried
@given(SHAPED, places, st.sampled_from(SENTENCES), forms)
def test_nothing_that_looks_private_survives_in_a_document(secret, place, words, form):
    """Keys, accounts, addresses and ids of which nobody has told the scrubber."""
    assert not survives(
        secret, cleaned(Scrubber(models=[MODEL]), planted(words.replace("{}", secret), place), form)
    )


@unhurried
@given(SHAPED, st.sampled_from(SENTENCES))
def test_nothing_that_looks_private_survives_in_a_text(secret, words):
    """Bodies that are no JSON, as pages and plain texts are."""
    assert secret not in Scrubber().body(words.replace("{}", secret).encode(), error=True)


HEADERS = st.sampled_from(
    [
        "set-cookie", "x-request-id", "openai-organization", "cf-ray", "server", "date", "x-groq-region",
        "authorization", "x-ratelimit-limit-requests", "x-ratelimit-reset-tokens", "ratelimit-policy",
        "content-type", "retry-after", "location", "via", "x-quota-owner", "x-account-remaining",
    ]
)  # fmt: skip


@unhurried
@given(st.one_of(SHAPED, KNOWN), HEADERS, st.sampled_from(["{}", "id={}; Path=/", '"default";q=100;pk=:{}:']))
def test_no_secret_survives_in_headers(secret, name, words):
    """In a header's value, whichever header it is."""
    kept = Scrubber([secret]).headers({name: words.replace("{}", secret)})
    assert secret not in json.dumps(kept, ensure_ascii=False)


@unhurried
@given(IDS | st.just("alice"))
def test_no_secret_survives_in_the_name_of_a_header(secret):
    """Some services name the account there."""
    kept = Scrubber().headers({f"x-ratelimit-remaining-{secret}": "12"})
    assert secret.lower() not in json.dumps(kept)


def test_headers_that_tell_of_limits_are_kept():
    """Numbers, durations, pairs and dates, under the names of the row and those that look like it."""
    given_headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Retry-After": "7",
        "X-RateLimit-Limit-Requests": "1000",
        "x-ratelimit-reset-requests": "2m59.56s",
        "x-ratelimit-reset": "Sun, 22 Nov 2026 00:00:00 GMT",
        "Provider-Pair": "12/200",
        "x-ratelimit-limit-tokens-1d": "50000",
        "Server": "cloudflare",
        "Set-Cookie": "__cf_bm=abc; HttpOnly",
    }
    assert Scrubber().headers(given_headers, ["provider-pair"]) == {
        "content-type": "application/json",
        "retry-after": "7",
        "x-ratelimit-limit-requests": "1000",
        "x-ratelimit-reset-requests": "2m59.56s",
        "x-ratelimit-reset": "Sun, 22 Nov 2026 00:00:00 GMT",
        "provider-pair": "12/200",
        "x-ratelimit-limit-tokens-1d": "50000",
    }


SIGNS = [
    pytest.param(row, sign, id=f"{row.id}-{n}-{sign.kind}")
    for row in catalogue()
    for n, sign in enumerate(row.error)
    if sign.body and not sign.header and sign.status not in {None, 200}
]


@pytest.mark.parametrize(("row", "sign"), SIGNS)
def test_a_refusal_is_still_recognised(row, sign):
    """What is taken out of a refusal is not what it is told apart by."""
    scrubber = Scrubber(models=[MODEL], words=[text for text in (*sign.match, sign.code) if text])
    body = sign.body.replace("{model}", MODEL).replace("{duration}", "2m59.56s").replace("{limit}", "8000")
    clean = scrubber.body(body.encode(), error=True)
    error = read_failure(sign.status, {}, clean.encode(), signs=row.error)
    assert error.sign == read_failure(sign.status, {}, body.encode(), signs=row.error).sign == sign


@example("a" * 2**16)
@example("user '" * 2**13)
@example("account" + " " * 2**16)
@example("a?" * 2**15)
@example("@" * 2**16)
@example("sk-" * 2**14)
@example("a:" * 2**15)
@example("bearer " * 2**13)
@example("eyJ" * 2**14)
@unhurried
@given(st.text(max_size=300))
def test_any_text_is_cleaned(text):
    """Twice is as once, and nothing is an error."""
    scrubber = Scrubber(["a-secret-of-mine"])
    once = scrubber.text(text)
    assert scrubber.text(once) == once
    assert isinstance(scrubber.body(text.encode("utf-8", "replace"), error=True), str)


def test_addresses_are_left_without_their_paths():
    """A page of the account's own has its name there."""
    said = "See https://console.example.org/orgs/alice-corp/limits. Or (https://example.org/docs)."
    assert Scrubber().text(said) == "See https://console.example.org Or (https://example.org"
    assert Scrubber(words=["example.org/docs"]).text(said).endswith("(https://example.org/docs).")


def test_a_document_that_is_too_deep_goes():
    """A body of thousands of brackets is neither an error here nor kept."""
    body = b'{"error":' * 3000 + b'"gsk_abcdefghijkl1234"' + b"}" * 3000
    for error in (True, False):
        assert "abcdefghijkl1234" not in Scrubber().body(body, error=error)
