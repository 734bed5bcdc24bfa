"""Every error of the core is LangChain's as well, says the same, and travels."""

import asyncio
import pickle

import aiohttp
import pytest
from langchain_core import exceptions as langchain
from langchain_core.callbacks import BaseCallbackHandler

from freeproviders import OpenAICompatible
from freeproviders import errors as core
from freeproviders.catalogue import catalogue
from freeproviders.errors import FreeProvidersError
from freeproviders.testing import replica
from langchain_freeproviders import (
    ChatAIChatFree,
    ChatBackend,
    ChatEmbedded,
    ChatOpenAICompatible,
    EmbeddedLLM,
    errors,
)
from langchain_freeproviders.errors import TWINS, translated
from tests.langchain.services import FLOW, OPENAI


def subclasses(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from subclasses(sub)


CORE = [cls for cls in {*subclasses(FreeProvidersError)} if cls.__module__ == "freeproviders.errors"]


def test_every_error_of_the_core_has_a_twin():
    assert set(CORE) == set(TWINS)


@pytest.mark.parametrize("cls", sorted(TWINS, key=lambda cls: cls.__name__), ids=lambda cls: cls.__name__)
def test_a_twin_is_both_and_says_the_same(cls):
    error = cls("went wrong").about("FlowGpt", "m-1")
    if isinstance(error, core.ProviderError):
        error.status, error.body, error.retry_after, error.attempts = 429, '{"error": "x"}', 7.0, 3
    if isinstance(error, core.OutputError):
        error.said = "Once upon"
    error.__cause__ = OSError("below")
    twin = translated(error)
    assert isinstance(twin, cls)
    assert isinstance(twin, langchain.ModelError)
    assert type(twin) is getattr(errors, cls.__name__)
    assert str(twin) == str(error)
    assert twin.is_retryable is cls.is_retryable
    assert twin.__cause__ is error.__cause__
    assert translated(twin) is twin
    again = pickle.loads(pickle.dumps(twin))
    assert type(again) is type(twin)
    assert str(again) == str(twin)
    # A parent in the core is a parent here.
    for parent in cls.__mro__:
        if parent in TWINS:
            assert isinstance(twin, TWINS[parent])
    if isinstance(error, core.ProviderError):
        assert twin.response.status_code == 429
        assert twin.response.headers == {"retry-after": "7"}
        assert twin.response.json() == {"error": "x"}
        assert again.retry_after == 7.0
    if isinstance(error, core.OutputError):
        assert isinstance(twin, langchain.OutputParserException)
        assert twin.llm_output == again.said == "Once upon"


REFUSED = [
    ("minute", errors.RateLimitError, langchain.ModelRateLimitError, True),
    ("too-large", errors.RequestTooLargeError, langchain.ContextOverflowError, False),
    ("retired", errors.RetiredModelError, langchain.ModelNotFoundError, False),
]


@pytest.mark.parametrize(
    ("kind", "ours", "langchains", "retryable"), REFUSED, ids=[row[0] for row in REFUSED]
)
def test_a_refusal_of_a_service_of_the_catalogue(kind, ours, langchains, retryable):
    """Kind, scope, limits and time go with LangChain's error, and through a pickle."""
    number = next(n for n, sign in enumerate(catalogue().service("groq").error) if sign.kind == kind)
    with replica(service="groq", faults={"sign": number}) as r:
        model = ChatOpenAICompatible(service="groq", base_url=r.base_url, api_key="k", max_retries=0)
        with pytest.raises(langchains) as raised:
            model.invoke("Hi")
    error = raised.value
    again = pickle.loads(pickle.dumps(error))
    assert type(error) is type(again) is ours
    assert error.is_retryable is retryable
    assert (error.kind, error.scope, error.provider) == (kind, "model", "Groq")
    assert again.__dict__ == error.__dict__
    assert str(again) == str(error)
    assert [(one.metric, one.per) for one in error.allowances] == [("requests", "day"), ("tokens", "minute")]
    assert (error.soonest is not None) is retryable


def test_no_key_is_langchains_error_of_authentication(monkeypatch):
    """It says where the key goes and where one is issued, before anything is sent."""
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    with pytest.raises(langchain.ModelAuthenticationError, match="Set GROQ_API_KEY") as raised:
        ChatOpenAICompatible(service="groq").invoke("Hi")
    assert type(raised.value) is errors.MissingKeyError
    assert raised.value.keys == ("GROQ_API_KEY",)
    assert raised.value.key_address.startswith("https://")


def test_an_error_that_only_one_provider_knows_becomes_the_nearest():
    class OddError(core.RateLimitError):
        pass

    assert type(translated(OddError("odd"))) is errors.RateLimitError

    class OwnError(core.FreeProvidersError):
        pass

    own = OwnError("own")
    assert translated(own) is own


HTTP = [
    (400, None, langchain.ModelInvalidRequestError, False),
    (401, None, langchain.ModelAuthenticationError, False),
    (403, None, langchain.ModelPermissionDeniedError, False),
    (404, None, langchain.ModelNotFoundError, False),
    (429, 7, langchain.ModelRateLimitError, True),
    (500, None, langchain.ModelAPIError, True),
    (503, None, langchain.ModelAPIError, True),
]


@pytest.mark.parametrize(
    ("status", "retry_after", "cls", "retryable"), HTTP, ids=[str(row[0]) for row in HTTP]
)
async def test_what_a_status_becomes(status, retry_after, cls, retryable):
    fault = {"status": status, **({"retry_after": retry_after} if retry_after else {})}
    with OPENAI.replica("never", faults=[fault] * 4) as r:
        model = OPENAI.model(r)

        def stream():
            return list(model.stream("Hi"))

        async def astream():
            return [chunk async for chunk in model.astream("Hi")]

        caught = []
        for way in (lambda: model.invoke("Hi"), stream):
            with pytest.raises(cls) as info:
                await asyncio.to_thread(way)
            caught.append(info.value)
        for way in (lambda: model.ainvoke("Hi"), astream):
            with pytest.raises(cls) as info:
                await way()
            caught.append(info.value)
    for error in caught:
        assert isinstance(error, core.ProviderError)
        assert isinstance(error, aiohttp.ClientError)
        assert error.is_retryable is retryable
        assert error.retry_after == retry_after
        assert error.response.status_code == error.status == status
        assert error.provider == "OpenAICompatible"


NO_ANSWERS = [
    ({"html": True}, errors.BlockedError, langchain.ModelPermissionDeniedError),
    ({"challenge": True}, errors.BlockedError, langchain.ModelPermissionDeniedError),
    ({"empty": True}, errors.EmptyResponseError, langchain.ModelAPIError),
    ({"error": "model overloaded, try again"}, errors.ProviderError, langchain.ModelError),
    ({"drop": True}, errors.ProviderConnectionError, langchain.ModelConnectionError),
    ({"cut": 300}, errors.TruncatedResponseError, langchain.ModelAPIError),
    ({"delay_first": 20}, errors.ProviderTimeoutError, langchain.ModelTimeoutError),
]


@pytest.mark.parametrize(
    ("fault", "ours", "langchains"), NO_ANSWERS, ids=[next(iter(row[0])) for row in NO_ANSWERS]
)
async def test_what_is_no_answer(service, fault, ours, langchains):
    """A page, silence, an error inside a 200, a broken transfer.

    LangChain never sees an empty message, and never its own "no generation chunks".
    """
    if "error" in fault and service.chat is ChatAIChatFree:
        pytest.skip("its answers are raw text: an error among them is text as well")
    with service.replica("one two three four five six seven eight nine ten" * 20, faults=fault) as r:
        model = service.model(r, timeout=0.3 if "delay_first" in fault else 60, on_empty="error")
        for way in (
            lambda: model.ainvoke("Hi"),
            lambda: asyncio.to_thread(model.invoke, "Hi"),
            lambda: asyncio.to_thread(lambda: list(model.stream("Hi"))),
        ):
            with pytest.raises(ours) as info:
                await way()
            assert isinstance(info.value, langchains)
        with pytest.raises(ours):
            _ = [chunk async for chunk in model.astream("Hi")]


class Seen(BaseCallbackHandler):
    def __init__(self):
        self.responses = []

    def on_llm_error(self, error, *, response, **kwargs):
        self.responses.append(response)


def test_what_a_trace_sees_of_a_failure():
    """LangChain reads `response`, synchronously."""
    with OPENAI.replica("never", faults=[{"status": 429, "retry_after": 7}] * 2) as r:
        seen = Seen()
        with pytest.raises(errors.RateLimitError):
            OPENAI.model(r).invoke("Hi", {"callbacks": [seen]})
        with pytest.raises(errors.RateLimitError):
            list(OPENAI.model(r).stream("Hi", {"callbacks": [seen]}))
    for response in seen.responses:
        metadata = response.generations[-1][0].message.response_metadata
        assert metadata["status_code"] == 429
        assert metadata["headers"] == {"retry-after": "7"}
        assert metadata["body"]


def test_no_answer_at_all():
    with FLOW.replica("never") as r:
        url = r.base_url
    with pytest.raises(langchain.ModelConnectionError) as info:
        FLOW.chat(base_url=url, max_retries=0).invoke("Hi")
    assert info.value.response is None


def test_the_callers_mistake_is_found_before_anything_is_sent():
    with FLOW.replica("never") as r:
        model = FLOW.model(r)
        for mistake in (
            lambda: model.invoke([]),
            lambda: model.invoke("Hi", model="no-such-model"),
            lambda: model.invoke("Hi", stop=[""]),
            lambda: next(model.stream("Hi", n=2)),
            lambda: model.invoke("Hi", max_tokens=0),
            lambda: model.bind_tools([]).invoke("Hi", tool_choice="weather"),
            lambda: model.bind_tools([{"type": "web_search"}]).invoke("Hi"),
            lambda: model.bind_tools([], tool_choice="weather"),
        ):
            with pytest.raises(core.UsageError) as info:
                mistake()
            assert isinstance(info.value, langchain.ModelInvalidRequestError)
        assert not r.requests
    with pytest.raises(ValueError, match="no-such-model"):
        FLOW.chat(model="no-such-model")
    with pytest.raises(ValueError, match="base_url"):
        OPENAI.chat()


async def test_a_conversation_certainly_too_long_is_not_sent():
    """So that a summarising middleware can do its work."""
    with FLOW.replica("fine") as r:
        model = FLOW.model(r, profile={"max_input_tokens": 100})
        assert model.invoke("Hi").content == "fine"
        for call in (lambda: model.invoke("word " * 400), lambda: list(model.stream("word " * 400))):
            with pytest.raises(langchain.ContextOverflowError) as info:
                await asyncio.to_thread(call)
            assert isinstance(info.value, core.ContextOverflowError)
        assert len(r.requests) == 1
        # Another model may have another window.
        assert model.invoke("word " * 400, model="gpt-4-turbo").content == "fine"


@pytest.mark.parametrize("cls", [ChatEmbedded, EmbeddedLLM], ids=lambda cls: cls.__name__)
def test_what_the_provider_knows_of_its_window_counts(cls):
    with pytest.raises(langchain.ContextOverflowError, match="window of 64"):
        cls(context_window=64).invoke("word " * 400)


LONG = {"error": {"message": "This model's maximum context length is 100 tokens."}}


@pytest.mark.parametrize("streamed", [False, True])
def test_a_profile_has_the_window_that_the_service_told(streamed):
    """So that a summarising middleware plans with it, and what is certainly too long is not sent."""
    with OPENAI.replica("fine", faults=[{"status": 400, "body": LONG}]) as r:
        model = OPENAI.model(r, model="gpt-4")
        assert model.profile["max_input_tokens"] == 8192
        for sent in (1, 1):
            with pytest.raises(langchain.ContextOverflowError) as info:
                _ = list(model.stream("word " * 400)) if streamed else model.invoke("word " * 400)
            assert (info.value.window, len(r.requests)) == (100, sent)
            assert model.profile["max_input_tokens"] == 100
        assert model.invoke("Hi").content == "fine"


def test_a_profile_of_the_users_stays():
    with OPENAI.replica("fine", faults=[{"status": 400, "body": LONG}]) as r:
        model = OPENAI.model(r, profile={"max_input_tokens": 9000})
        with pytest.raises(langchain.ContextOverflowError):
            model.invoke("word " * 400)
        assert model.profile == {"max_input_tokens": 9000}
        assert model.invoke("word " * 400).content == "fine"


def test_a_profile_sees_the_list_of_models():
    """What the backend was told of its models counts from the next question on."""
    with OPENAI.replica("fine") as r:
        backend = OpenAICompatible("gpt-4", base_url=r.base_url)
        model = ChatBackend(backend=backend)
        backend.learned.windows["gpt-4"] = 2000
        assert model.invoke("Hi").content == "fine"
        assert model.profile["max_input_tokens"] == 2000


async def test_a_window_known_by_the_models_name_only_refuses_nothing():
    """The service may have another model behind the name, and says so itself."""
    with FLOW.replica("fine") as r:
        model = FLOW.model(r)
        assert model.profile["max_input_tokens"] == 16_385
        assert (await model.ainvoke("word " * 20_000)).content == "fine"
