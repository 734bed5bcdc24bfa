"""Keys that a function gives: asked for once for each request, and kept nowhere."""

import asyncio
import functools
import pickle
import threading

import pytest

from freeproviders import OpenAICompatible, Quota
from freeproviders.errors import AuthenticationError, RateLimitError, UsageError
from freeproviders.testing import replica

KEY = "sk-made-for-1-request"


def fixed():
    return KEY


class Source:
    """Gives a new key each time."""

    def __init__(self):
        self.given = []
        self.threads = []

    def __call__(self):
        self.threads.append(threading.current_thread())
        self.given.append(f"sk-made-for-{len(self.given) + 1}-request")
        return self.given[-1]

    async def later(self):
        await asyncio.sleep(0)
        return self()


def sent(server):
    return [request.headers["Authorization"] for request in server.requests]


@pytest.mark.parametrize("way", ["sync", "async", "awaitable", "object"])
async def test_it_is_asked_once_for_each_request(way):
    source = Source()

    class Asynchronous:
        async def __call__(self):
            return source()

    function = {
        "sync": source,
        "async": source.later,
        "awaitable": functools.partial(source.later),
        "object": Asynchronous(),
    }[way]
    with replica(OpenAICompatible, answer="Hi") as server:
        provider = OpenAICompatible("m", base_url=server.base_url, api_key=function)
        assert source.given == []
        await provider.complete("a")
        async for _ in provider.stream("b"):
            pass
        await provider.list_models()
        assert sent(server) == [f"Bearer {key}" for key in source.given]
        assert len(source.given) == 3
        assert provider.api_key is None
        if way == "sync":  # it may do what blocks
            assert threading.current_thread() not in source.threads


def test_from_code_without_an_event_loop():
    """A function that is `async` too."""
    source = Source()
    with replica(OpenAICompatible, answer="Hi") as server:
        for function in (source, source.later):
            assert (
                OpenAICompatible("m", base_url=server.base_url, api_key=function).complete_sync("a").text
                == "Hi"
            )
        assert sent(server) == [f"Bearer {key}" for key in source.given]


async def test_retries_have_the_same_key():
    source = Source()
    with replica(OpenAICompatible, answer="Hi", faults=[{"status": 503, "retry_after": 0}]) as server:
        provider = OpenAICompatible("m", base_url=server.base_url, api_key=source, retry=2)
        await provider.complete("a")
        assert sent(server) == ["Bearer sk-made-for-1-request"] * 2


async def test_what_the_service_repeats_of_it_is_taken_out():
    with replica(OpenAICompatible, answer="Hi", faults={"status": 401, "body": f"bad key {KEY}"}) as server:
        provider = OpenAICompatible("m", base_url=server.base_url, api_key=fixed)
        with pytest.raises(AuthenticationError) as caught:
            await provider.complete("a")
        assert KEY not in f"{caught.value} {caught.value.body} {vars(provider)}"


def test_the_function_is_pickled_as_a_name_and_the_key_is_not():
    with replica(OpenAICompatible, answer="Hi") as server:
        provider = OpenAICompatible("m", base_url=server.base_url, api_key=fixed)
        provider.complete_sync("a")
        data = pickle.dumps(provider)
        assert KEY.encode() not in data
        assert pickle.loads(data).complete_sync("b").text == "Hi"
        assert sent(server) == [f"Bearer {KEY}"] * 2


async def test_limits_are_those_of_one_account(tmp_path):
    """Whatever key it has at the moment."""
    source = Source()
    with replica(OpenAICompatible, answer="Hi") as server:
        quota = Quota([{"metric": "requests", "per": "day", "cap": 2}], ledger=tmp_path / "ledger.db")
        provider = OpenAICompatible("m", base_url=server.base_url, api_key=source, quota=quota, retry=0)
        await provider.complete("a")
        way = provider._metered
        await provider.complete("b")
        assert provider._metered is way
        with pytest.raises(RateLimitError):
            await provider.complete("c")
        assert len(sent(server)) == 2


@pytest.mark.parametrize("value", ["", None, 7, b"sk", "two\nlines"])
async def test_what_is_no_key(value):
    with replica(OpenAICompatible, answer="Hi") as server:
        provider = OpenAICompatible("m", base_url=server.base_url, api_key=lambda: value)
        with pytest.raises(UsageError, match="api_key"):
            await provider.complete("a")
        assert not server.requests


async def test_a_function_that_fails():
    def failing():
        raise LookupError(KEY)

    async def endless():
        await asyncio.Event().wait()

    with replica(OpenAICompatible, answer="Hi") as server:
        for function, words in ((failing, "raised LookupError"), (endless, "did not answer in time")):
            provider = OpenAICompatible("m", base_url=server.base_url, api_key=function, timeout=0.05)
            with pytest.raises(AuthenticationError, match=words) as caught:
                await provider.complete("a")
            assert KEY not in str(caught.value)
            assert caught.value.provider == "OpenAICompatible"
        assert not server.requests


async def test_it_stays_with_the_host_that_it_is_for():
    with replica(OpenAICompatible, answer="Hi") as server, replica(OpenAICompatible, answer="Hi") as other:
        provider = OpenAICompatible("m", base_url=server.base_url, api_key=fixed)
        await provider.configured(base_url=other.base_url).complete("a")
        assert "Authorization" not in other.requests[0].headers
        await provider.configured(base_url=other.base_url, api_key=fixed).complete("a")
        await provider.configured(api_key="sk-another").complete("a")
        assert other.requests[1].headers["Authorization"] == f"Bearer {KEY}"
        assert sent(server) == ["Bearer sk-another"]


def test_a_login_takes_the_place_of_a_key():
    with pytest.raises(UsageError, match="not both"):
        OpenAICompatible("m", base_url="http://a:b@localhost:1/v1", api_key=fixed)


def test_a_service_of_the_catalogue_needs_no_other_key():
    assert OpenAICompatible(service="groq", api_key=functools.partial(fixed)).key_source is not None
