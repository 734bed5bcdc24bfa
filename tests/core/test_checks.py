"""Mistakes of the caller: found at the call, before anything is sent, and said without repeating a secret."""

import asyncio
import datetime as dt
import inspect
import math
import pickle
import warnings
from contextlib import suppress

import pytest
from aiohttp import web

from freeproviders import (
    AIChatFree,
    ChatgptFree,
    Embedded,
    FlowGpt,
    FreeNetfly,
    FreeProviders,
    OpenAICompatible,
    Retry,
    Timeout,
    errors,
)
from freeproviders.testing import replica
from freeproviders.types import ChatRequest, Message, Tool, as_messages
from tests.core.servers import serve
from tests.core.services import text_of

HERE = "http://127.0.0.1:9/v1"


def provider_of(**configuration):
    return OpenAICompatible("m", **{"base_url": HERE, "retry": 0, **configuration})


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "http://",
            "ftp://x",
            "http:///v1",
            "http://h:99999/v1",
            "http://h:0",
            "http://[::1/v1",
            "http://h/a b",
            "http://h/v1?version=1",
        ),
        *("http://h/v1#f", "http://u:s3cret@h:99999/v1", "http://u:s3cret/@h/v1", "//h/v1", 5, b"http://h"),
    ],
)
def test_base_url(url):
    """An address that cannot be one is refused, and its password not repeated."""
    for call in (lambda: provider_of(base_url=url), lambda: provider_of().configured(base_url=url or "x")):
        with pytest.raises(errors.UsageError, match="base_url") as caught:
            call()
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["u:s3cret@h/v1", "http://h/v1?key=s3cret", "//u:s3cret@h", "h?k=s3cret#s3cret"]
)
def test_no_secret_of_a_wrong_base_url_is_shown(url):
    with pytest.raises(errors.UsageError, match="base_url") as caught:
        provider_of(base_url=url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", ["timeout", "api_key", "headers", "max_retries"])
def test_configuration_is_no_part_of_a_request(name):
    """It would be sent in the body."""
    with pytest.raises(errors.UsageError, match="belongs to no request"):
        provider_of().request("Hi", **{name: "s3cret"})


async def test_keywords_of_a_constructor():
    """On a class they go to the constructor, on an instance they are refused."""
    with replica(OpenAICompatible, answer="ok", native_tools=True) as r:
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        pieces = OpenAICompatible.create_async_generator(
            "m", "Hi", base_url=r.base_url, native_tools=True, tools=[tool]
        )
        assert [piece async for piece in pieces] == ["ok"]
        assert "native_tools" not in r.requests[-1].json
        assert "tools" in r.requests[-1].json
    for name in ("native_tools", "json_schema", "fallback", "service"):
        for ask in (
            provider_of().stream,
            provider_of().complete_sync,
            provider_of().request,
            lambda *args, **option: provider_of().create_async_generator("m", *args, **option),
            FreeProviders("embedded").complete_sync,
        ):
            with pytest.raises(errors.UsageError, match=f"{name} belongs to the constructor"):
                ask("Hi", **{name: True})


async def test_an_option_of_a_constructors_name_goes_into_the_extra_body():
    with replica(OpenAICompatible, answer="ok") as r:
        with pytest.raises(errors.BadRequestError, match="supplied: fallback, service"):
            await provider_of(base_url=r.base_url).complete(
                "Hi", extra_body={"fallback": [1], "service": "x"}
            )
        assert (r.requests[-1].json["fallback"], r.requests[-1].json["service"]) == ([1], "x")


async def test_the_second_name_of_a_setting():
    with replica(OpenAICompatible, answer="ok") as r:
        provider = provider_of(base_url=r.base_url)
        await provider.complete("Hi", max_completion_tokens=5, max_tokens=None)
        assert r.requests[-1].json["max_tokens"] == 5
        assert provider.request("Hi", max_completion_tokens=5).max_tokens == 5
        for ask in (provider.stream, provider.request):
            with pytest.raises(errors.UsageError, match="max_completion_tokens and max_tokens are two names"):
                ask("Hi", max_tokens=4, max_completion_tokens=5)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("max_retries", "retry"),
        ("request_timeout", "timeout"),
        ("api_base", "base_url"),
        ("openai_api_key", "api_key"),
    ],
)
def test_a_constructor_knows_the_second_names(name, first):
    with pytest.raises(errors.UsageError, match=rf"Unknown argument '{name}'. Did you mean {first}\?"):
        provider_of(**{name: 1})


@pytest.mark.parametrize("wrong", [{"allow_repeats": "y"}, {"reasoning": "y"}, {"on_invalid": "y"}])
def test_an_error_about_a_setting_names_the_provider(wrong):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    for more in ({}, {"tools": [tool]}):
        with pytest.raises(errors.UsageError, match=rf"^\[OpenAICompatible.*{next(iter(wrong))} must be"):
            provider_of().complete_sync("Hi", **wrong, **more)


async def test_secrets_in_every_field_of_an_error():
    """Whatever repeats them: the code, the model's words, and secrets of the request's own options."""

    async def handle(request, served):
        text = "no sk-secret-key and no hidden-value here"
        error = {"message": text, "code": text, "failed_generation": text}
        return web.json_response({"error": error}, status=400)

    with serve(handle) as served:
        provider = provider_of(base_url=served.url, api_key="sk-secret-key")
        with pytest.raises(errors.BadRequestError) as caught:
            await provider.complete("Hi", extra_body={"session_id": "hidden-value"})
    error = caught.value
    for text in (error.message, error.code, error.failed_generation, error.body, str(error)):
        assert "secret-key" not in text
        assert "hidden-value" not in text
    said = errors.OutputError("No sk-secret-key.", said="It is sk-secret-key.").without(["sk-secret-key"])
    assert (said.message, said.said) == ("No ***.", "It is ***.")


@pytest.mark.parametrize(
    "url",
    [
        "http://h/v1",
        " http://h/v1/\n",
        "HTTPS://h:8443/a//",
        "http://[::1]:80/v1",
        "http://bücher.example/@cf/v1",
    ],
)
def test_base_url_that_is_right(url):
    """Blanks around it and slashes at its end do not matter."""
    assert provider_of(base_url=url).base_url == url.strip().rstrip("/")


async def test_login_in_the_base_url():
    """A user and password go into the header and are nowhere to be read; a key beside them has no place."""
    with replica(OpenAICompatible, answer="ok") as r:
        provider = OpenAICompatible("m", base_url=r.base_url.replace("//", "//us%40er:p%3Aw@"))
        assert provider.base_url == r.base_url
        assert await text_of(provider) == "ok"
        assert r.requests[-1].headers["Authorization"] == "Basic dXNAZXI6cDp3"
        assert await text_of(provider.configured(base_url=r.base_url)) == "ok"
        assert "Authorization" not in r.requests[-1].headers
    with pytest.raises(errors.UsageError, match="not both"):
        provider.configured(api_key="k")
    with pytest.raises(errors.UsageError, match="not both"):
        provider_of().configured(api_key="k", base_url="http://u:p@h")


async def test_a_login_of_a_call_takes_the_place_of_the_key(monkeypatch):
    """Whether the key was configured or came from the environment."""
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", "of-the-environment")
    with replica(OpenAICompatible, answer="ok") as r:
        with_login = r.base_url.replace("//", "//user:password@")
        for given in ({"api_key": "configured"}, {}):
            provider = OpenAICompatible("m", base_url=r.base_url, **given)
            await provider.complete("Hi", base_url=with_login)
            assert r.requests[-1].headers["Authorization"].startswith("Basic ")


async def test_credentials_stay_with_the_host_that_they_were_given_for():
    """Another base_url gets what is given with it, and only harmless headers of the old one."""
    secret = {"api_key": "key-of-old", "cookies": {"session": "old"}, "headers": {"X-Api-Key": "old"}}
    with replica(OpenAICompatible, answer="ok") as r:
        provider = provider_of(**{**secret, "headers": {**secret["headers"], "X-Team": "blue"}})
        await provider.complete("Hi", base_url=r.base_url)
        sent = r.requests[-1].headers
        assert sent["X-Team"] == "blue"
        assert not {"authorization", "cookie", "x-api-key"} & {name.lower() for name in sent}
        await provider.complete("Hi", base_url=r.base_url, **secret)
        sent = r.requests[-1].headers
        assert sent["Authorization"] == "Bearer key-of-old"
        assert (sent["Cookie"], sent["X-Api-Key"]) == ("session=old", "old")
        await provider_of(base_url="http://u:p@127.0.0.1:1").complete("Hi", base_url=r.base_url)
        assert "Authorization" not in r.requests[-1].headers
        here = OpenAICompatible("m", base_url=f"{r.base_url}/elsewhere", **secret)
        await here.complete("Hi", base_url=r.base_url)
        assert r.requests[-1].headers["Authorization"] == "Bearer key-of-old"


@pytest.mark.parametrize(
    "wrong",
    [
        *({"api_key": b"s3cret"}, {"api_key": 5}, {"api_key": "s3\ncret"}),
        *(
            {"headers": {"a b": "s3cret"}},
            {"headers": {"": "s3cret"}},
            {"headers": {"a:": "x"}},
            {"headers": {"a": 5}},
            {"headers": ["x"]},
        ),
        *(
            {"cookies": {"a": "s3cret; b=1"}},
            {"cookies": {"a": "s3cret\r\nb: 1"}},
            {"cookies": {"a=": "1"}},
            {"cookies": {"a": None}},
            {"cookies": [1]},
        ),
        *(
            {"proxy": 5},
            {"proxy": "http://u:s3cret@h:99999"},
            {"proxy": "u:s3cret@h:1"},
            {"proxy": "socks5://u:s3cret@h:1"},
        ),
        *(
            {"timeout": math.nan},
            {"timeout": "5"},
            {"timeout": True},
            {"retry": math.nan},
            {"retry": 1.5},
            {"connector": 5},
        ),
    ],
    ids=str,
)
def test_configuration(wrong):
    """Each is refused by `__init__`, by `configured` and by a call alike."""
    for call in (
        lambda: provider_of(**wrong),
        lambda: provider_of().configured(**wrong),
        lambda: provider_of().create_async_generator(messages="hi", **wrong),
        lambda: OpenAICompatible.create_async_generator("m", "hi", **{"base_url": HERE, **wrong}),
    ):
        with pytest.raises(errors.UsageError) as caught:
            call()
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "make", [FlowGpt, OpenAICompatible, Embedded, FlowGpt().configured, Embedded().configured]
)
def test_what_is_no_configuration(make):
    """A request's setting among the configuration is told where it belongs, any other word what there is."""
    with pytest.raises(
        errors.UsageError,
        match=(
            r"Unknown argument 'max_tokens'. max_tokens is a setting of a request: pass it with the "
            r"question"
        ),
    ):
        make(max_tokens=5)
    with pytest.raises(errors.UsageError, match=r"Unknown argument 'base_ur'. Did you mean base_url\?"):
        make(base_ur="http://h")


@pytest.mark.parametrize("cls", [FlowGpt, OpenAICompatible])
def test_letters_that_changed_places_are_the_same_word(cls):
    with pytest.raises(errors.UsageError, match=r"Unknown argument 'modle'. Did you mean model\?"):
        cls(modle="m")


def test_letters_that_changed_places_in_an_option_are_told():
    said = "'modle' meant to be 'model'"
    with replica(FlowGpt) as r, pytest.warns(errors.UnsupportedOptionWarning, match=said):
        FlowGpt(base_url=r.base_url).complete_sync("hi", modle="m")


def test_every_way_to_ask_shows_what_it_takes():
    """Editors and `help` see the settings, and a whole answer may be asked for in so many words."""
    settings = list(inspect.signature(FlowGpt.request).parameters.values())
    for ask in (FlowGpt.stream, FlowGpt.complete, FlowGpt.stream_sync, FlowGpt.complete_sync):
        assert list(inspect.signature(ask).parameters.values()) == settings
    with replica(OpenAICompatible, answer="ok") as r:
        assert OpenAICompatible("m", base_url=r.base_url).complete_sync("hi", stream=True).text == "ok"
        assert r.requests[-1].json["stream"] is False


def test_a_misspelt_setting_is_doubted():
    """It is so whether the service takes any option or few; options that only look a little alike are not."""
    with pytest.warns(
        errors.UnsupportedOptionWarning,
        match=r"^OpenAICompatible gets options as they are\. Is 'max_token' meant to be 'max_tokens'\?$",
    ):
        provider_of().stream("hi", max_token=5)
    with pytest.warns(
        errors.UnsupportedOptionWarning,
        match=r"left out of the request\. Is 'temprature' meant to be 'temperature'\?$",
    ):
        FlowGpt().stream("hi", temprature=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        provider_of().stream(
            "hi",
            top_k=1,
            min_p=0.1,
            min_tokens=1,
            max_completion_tokens=5,
            models=["m"],
            stream_options={},
            seed=1,
        )


async def test_a_warning_is_about_the_callers_line():
    """Whichever way was taken through our code."""
    flow = FlowGpt(base_url=HERE, retry=0)

    async def ask(way, **options):
        with suppress(errors.ProviderConnectionError):
            answer = way("hi", **options)
            return await answer if inspect.isawaitable(answer) else answer

    for option, way in (
        ("a", flow.complete_sync),
        ("b", flow.stream),
        ("c", flow.stream_sync),
        ("d", flow.complete),
    ):
        with pytest.warns(errors.UnsupportedOptionWarning, match=f"cannot take {option}") as caught:
            await ask(way, **{option: 1})
        assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(errors.UnsupportedOptionWarning, match="proxy has no effect") as caught:
        Embedded(proxy="http://h:1")
    assert [warning.filename for warning in caught] == [__file__]


async def test_configuration_for_one_call():
    """Every way to ask takes it, and the provider stays as it is."""
    with replica(OpenAICompatible, answer="ok", faults={"delay_first": 30}) as r:
        provider = OpenAICompatible("m", base_url=r.base_url)
        asks = (
            lambda: provider.complete("hi", timeout=0.2, retry=0, headers={"X-A": "1"}),
            lambda: anext(provider.stream("hi", timeout=0.2, retry=0, headers={"X-A": "1"})),
            lambda: asyncio.to_thread(
                provider.complete_sync, "hi", timeout=0.2, retry=0, headers={"X-A": "1"}
            ),
            lambda: asyncio.to_thread(
                list, provider.stream_sync("hi", timeout=0.2, retry=0, headers={"X-A": "1"})
            ),
        )
        for number, ask in enumerate(asks, 1):
            with pytest.raises(errors.ProviderTimeoutError, match=r"0\.2 s"):
                await ask()
            assert len(r.requests) == number
            assert r.requests[-1].headers["X-A"] == "1"
            assert not {"timeout", "retry", "headers"} & r.requests[-1].json.keys()
        assert provider.headers == {}
        with pytest.raises(errors.UsageError, match="base_url"):
            provider.complete_sync("hi", base_url="nowhere")


def test_a_key_from_a_file():
    """The line break at its end is not part of it, and a number may be a cookie."""
    assert provider_of(api_key=" k\n").api_key == "k"
    assert provider_of(cookies={"a": 5}).http_headers()["Cookie"] == "a=5"


@pytest.mark.parametrize(
    "name", ["attempts", "first", "factor", "longest", "jitter", "retry_after_cap", "budget"]
)
@pytest.mark.parametrize("value", [math.nan, "1", None, -1])
def test_retry(name, value):
    """A retry with a number that is none is refused when it is made, not when it is needed."""
    with pytest.raises(errors.UsageError, match="retry"):
        Retry(**{name: value})


def test_no_wait_is_too_many():
    """A wait that grows beyond all numbers is the longest one."""
    assert Retry(attempts=10**6, jitter=0).delay(errors.ServerError("x"), 10**5) == 30


async def test_no_limit_may_be_written_as_infinity():
    """It is None by another name."""
    limit = Timeout(math.inf, math.inf, math.inf, math.inf)
    with replica(OpenAICompatible, answer="ok") as r:
        assert await text_of(OpenAICompatible("m", base_url=r.base_url, timeout=limit)) == "ok"


@pytest.mark.parametrize(
    "wrong",
    [
        *({"temperature": "hot"}, {"temperature": math.nan}, {"temperature": True}, {"top_p": [1]}),
        *({"temperature": -1}, {"top_p": -0.1}, {"top_p": 1.5}, {"temperature": math.inf}),
        *(
            {"max_tokens": "5"},
            {"max_tokens": 1.5},
            {"max_tokens": True},
            {"stop": 5},
            {"stop": b"x"},
            {"n": 0},
            {"model": 5},
        ),
        *(
            {"tools": 5},
            {"tools": [5]},
            {"tools": {"name": "f"}},
            {"tool_choice": 5},
            {"response_format": "json"},
        ),
        *(
            {"seed": object()},
            {"metadata": {"a": b"\xff"}},
            {"user": "\ud800"},
            {"when": {"a": lambda: 1}},
            {"response_format": {"a": object()}},
        ),
        *(
            {"messages": messages}
            for messages in (
                None,
                5,
                b"x",
                {"role": "user", "content": "x"},
                [{"role": "user", "content": "\ud800"}],
            )
        ),
        *(
            {"messages": [message]}
            for message in (
                {"content": "x"},
                {"role": ["user"]},
                {"role": "user", "content": [{"type": ["a"]}]},
            )
        ),
        {"messages": [{"role": "assistant", "tool_calls": 5}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"a": object()}}]}]},
    ],
)
def test_request(wrong):
    """What makes no sense or cannot be written is refused at the call, in all the ways to ask."""
    provider = provider_of()
    for ask in (
        lambda **options: provider.create_async_generator(messages=options.pop("messages"), **options),
        lambda **options: provider.stream(options.pop("messages"), **options),
        lambda **options: provider.stream_sync(options.pop("messages"), **options),
        lambda **options: provider.complete_sync(options.pop("messages"), **options),
    ):
        with pytest.raises(errors.UsageError):
            ask(**{"messages": "hi", **wrong})


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ({"role": "user", "content": "hi"}, "text or a list of mappings .*, not dict"),
        ([{"content": "hi"}], "A message has no 'role': use one of system, user"),
        ([{"role": "usr", "content": "hi"}], "Unknown message role 'usr': use one of system, user"),
        ([{"role": "user", "text": "hi"}], "A message of the role 'user' has no 'content'"),
        ([{"role": "tool", "tool_call_id": "1"}], "A message of the role 'tool' has no 'content'"),
    ],
    ids=str,
)
def test_messages_that_are_none(messages, said):
    with pytest.raises(errors.UsageError, match=said):
        as_messages(messages)


def test_an_assistants_message_with_calls_needs_no_content():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    for rest in ({}, {"content": None}):
        [message] = as_messages([{"role": "assistant", "tool_calls": [call], **rest}])
        assert message.content == ""
        assert message.tool_calls[0].name == "f"


HALF = "a\ud83d"


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"model": HALF}, "model"),
        ({"stop": ["x", HALF]}, "stop"),
        ({"messages": [{"role": "user", "content": HALF}]}, r"messages\[0\].content"),
        ({"messages": ["hi", HALF]}, "A message must be"),
        ({"messages": [{"role": "user", "content": "hi", "name": HALF}]}, r"messages\[0\].name"),
        ({"messages": [{"role": "user", "content": "hi", "name": 5}]}, r"messages\[0\].name must be text"),
        (
            {"messages": [{"role": "tool", "content": "hi", "tool_call_id": HALF}]},
            r"messages\[0\].tool_call_id",
        ),
        *(
            (
                {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": image}]}]},
                "image's",
            )
            for image in ({"url": HALF}, {"url": "data:,", "detail": HALF})
        ),
        *(
            ({"messages": [{"role": "assistant", "tool_calls": [call]}]}, "tool_calls|cannot be written")
            for call in (
                {"id": HALF, "name": "f"},
                {"id": "c", "name": HALF},
                {"id": "c", "name": "f", "arguments": {"x": HALF}},
                {"id": "c", "name": "f", "arguments": {HALF: 1}},
            )
        ),
        *(
            ({"tools": [{"name": "f", **tool}]}, r"tools\[0\]|cannot be written")
            for tool in (
                {"name": HALF},
                {"description": HALF},
                {"parameters": {"type": "object", "properties": {HALF: {}}}},
            )
        ),
        ({"tools": [{"name": "f"}], "tool_choice": HALF}, "tool_choice"),
        ({"tools": [{"name": "f"}], "tool_choice": ("f", HALF)}, "tool_choice"),
        ({"response_format": {"type": HALF}}, "cannot be written"),
        ({"user": HALF}, "cannot be written"),
    ],
)
def test_halves_of_characters(wrong, place):
    """A lone surrogate is refused wherever the caller wrote it, and the error itself can be printed."""
    provider = provider_of(native_tools=True)
    with pytest.raises(errors.UsageError, match=place) as caught:
        request = provider.request(
            wrong.get("messages", "hi"), **{k: v for k, v in wrong.items() if k != "messages"}
        )
        provider.batches(request)
    str(caught.value).encode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"headers": {"X-A": HALF}},
        {"headers": {HALF: "x"}},
        {"cookies": {"a": HALF}},
        {"api_key": HALF},
        {"base_url": f"http://127.0.0.1:9/{HALF}"},
    ],
)
def test_halves_of_characters_in_a_configuration(wrong):
    """Neither headers nor addresses can hold them."""
    with pytest.raises(errors.UsageError) as caught:
        provider_of(**wrong)
    str(caught.value).encode()


def test_half_a_character_in_the_models_name():
    """The provider's own model is looked at as well, also in a request made by hand."""
    provider = OpenAICompatible(HALF, base_url="http://127.0.0.1:9/v1")
    with pytest.raises(errors.UsageError, match="model holds half"):
        provider.batches(ChatRequest(messages=(Message("user", "hi"),)))


def test_what_can_be_written():
    """Sets and dates are written as JSON has them; what is not sent need not be writable."""
    provider_of().stream("hi", a={1}, b=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), temperature=1, n=1)
    with pytest.warns(errors.UnsupportedOptionWarning):
        FlowGpt().stream("hi", callback=object())


@pytest.mark.parametrize("cls", [FlowGpt, AIChatFree, ChatgptFree, FreeNetfly])
def test_a_request_without_messages(cls):
    """A request made by hand is checked as well."""
    with pytest.raises(errors.UsageError, match="empty"):
        cls().batches(ChatRequest(messages=()))


async def test_on_the_class():
    """The class makes its instance for the call and from the call's configuration.

    Looking at the method makes none.
    """
    assert callable(OpenAICompatible.create_async_generator)
    with replica(OpenAICompatible, answer="ok") as r:
        assert await text_of(OpenAICompatible, base_url=r.base_url, model="m") == "ok"
        assert r.requests[-1].json["model"] == "m"
    with pytest.raises(errors.UsageError, match=r"base_url is required.* or a service"):
        OpenAICompatible.create_async_generator("m", "hi")


def test_the_key_travels_with_a_pickle_and_nowhere_else():
    """A provider in another process needs its key; its repr does not show it."""
    provider = pickle.loads(pickle.dumps(provider_of(api_key="s3cret-key")))
    assert provider.api_key == "s3cret-key"
    assert "s3cret" not in repr(provider)


@pytest.mark.parametrize("parameters", ["oops", ["city"], 3])
def test_parameters_of_a_tool_are_a_mapping(parameters):
    with pytest.raises(errors.UsageError, match="parameters of tool 'f' must be a JSON schema"):
        Tool.of({"name": "f", "parameters": parameters})


async def test_any_text_is_no_setting_to_warn_of():
    """`{"type": "text"}` asks for what a service without response formats gives anyway."""
    with replica(FlowGpt, answer="ok") as r, warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = await FlowGpt(base_url=r.base_url).complete("Hi", response_format={"type": "text"})
    assert answer.text == "ok"
