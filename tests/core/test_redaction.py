"""Secrets that a service repeats: none stays in an error."""

import base64
import pickle

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from freeproviders import ChatgptFree, OpenAICompatible, errors
from freeproviders.redaction import MORE, secrets_of, without_secrets
from freeproviders.wire.failure import EXCERPT_CHARS
from tests.core.servers import serve
from tests.core.services import SERVICES, text_of

ENDS_AT = EXCERPT_CHARS - len(MORE)
PASSWORD = "p4ss:w/rd-long"  # with what is quoted in an address
QUOTED = "p4ss%3Aw%2Frd-long"
BASIC = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
SECRETS = {
    "api_key": ({"api_key": "abcdefgh12345678"}, ["abcdefgh12345678"]),
    "login": ({"login": True}, [BASIC, PASSWORD]),
    "bearer": ({"headers": {"Authorization": "Bearer tok3n-of-mine"}}, ["tok3n-of-mine"]),
    "basic": ({"headers": {"authorization": f"Basic {BASIC}"}}, [BASIC, PASSWORD]),
    "x-api-key": ({"headers": {"X-API-Key": "onlyletters"}}, ["onlyletters"]),
    "a name of one's own": ({"headers": {"X-Team": "a1b2c3d4e5f6a7b8c9"}}, ["a1b2c3d4e5f6a7b8c9"]),
    "cookies": ({"cookies": {"sid": "cookie-value"}}, ["cookie-value"]),
    "cookie header": ({"headers": {"Cookie": "a=1; sid=cookie-value"}}, ["cookie-value"]),
    "proxy": ({"proxy": True}, [BASIC, PASSWORD, QUOTED]),
}


def said_by(request):
    """All that a request says of its sender, in every form that a service might repeat."""
    sent = "; ".join(f"{name}: {value}" for name, value in request.headers.items())
    return f"{sent}; {PASSWORD}; {QUOTED}; user:{PASSWORD}"


@pytest.mark.parametrize("where", ["message", "text", "cut"])
@pytest.mark.parametrize(("given", "secrets"), SECRETS.values(), ids=SECRETS)
async def test_a_service_that_repeats_the_request(given, secrets, where):
    """No error holds a secret of the configuration, nor the beginning of one.

    Neither its message nor its body nor its pickle.
    """

    async def handle(request, served):
        said = said_by(request)
        if where == "cut":  # our own excerpt ends inside the secret
            secret = next(secret for secret in secrets if secret in said)
            return web.Response(status=500, text="x" * (ENDS_AT - len(secret) + 1) + secret + "x" * 9)
        if where == "text":
            return web.Response(status=500, text=said)
        return web.json_response({"error": {"message": said}}, status=400)

    with serve(handle) as served:
        options = dict(given)
        url = served.url
        if options.pop("login", None):
            url = url.replace("//", f"//user:{QUOTED}@")
        if options.pop("proxy", None):
            options["proxy"] = url.replace("//", f"//user:{QUOTED}@")
        provider = OpenAICompatible("m", base_url=f"{url}/v1", retry=0, **options)
        for call in (text_of(provider), provider.list_models()):
            with pytest.raises(errors.ProviderError) as caught:
                await call
            shown = f"{caught.value!s} {caught.value!r} {caught.value.body} {pickle.dumps(caught.value)!r}"
            assert "***" in shown
            for secret in secrets:
                assert secret not in shown
                assert secret[:8] not in shown


@pytest.mark.parametrize("service", SERVICES, ids=str)
async def test_every_service(service):
    """It holds for each of them, also where a page is asked for first."""

    async def handle(request, served):
        if service.cls is ChatgptFree and request.method == "GET" and len(served.requests) % 2:
            return web.Response(text='<div data-post-id="1" data-nonce="abc">', content_type="text/html")
        return web.Response(status=500, text=said_by(request))

    with serve(handle) as served:
        for _ in range(2):  # the page once with and once without an error
            with pytest.raises(errors.ProviderError) as caught:
                await text_of(
                    service.cls(
                        base_url=served.url, retry=0, cookies={"sid": "cookie-value"}, **service.options
                    )
                )
            assert "cookie-value" not in f"{caught.value!s} {caught.value.body}"


def test_what_is_no_secret():
    """Names of programs, kinds of content and short words stay, so that messages can be read."""
    headers = {
        "User-Agent": "my-program/1.0",
        "Accept": "application/json",
        "X-Title": "An example of mine",
        "X-Api-Key": "short",
    }
    assert secrets_of(None, None, headers, {"lang": "en"}, "http://127.0.0.1:8080") == []
    assert secrets_of("abc", None, {}, {}, None) == []


WORDS = st.characters(exclude_characters="*")


@given(
    st.text(WORDS, min_size=8, max_size=40),
    st.text(WORDS, max_size=60),
    st.text(WORDS, max_size=60),
    st.integers(0, 120),
)
def test_no_secret_survives(secret, before, after, cut):
    """However a text that holds a secret was cut, the secret is not in it."""
    text = without_secrets(f"{before}{secret}{after}"[:cut], [secret])
    assert secret not in text
