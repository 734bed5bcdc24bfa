"""What a call says for itself.

Configuration means the same as in the core, and never reaches the body.
"""

import asyncio
import pickle
import socket

import pytest
from aiohttp import TCPConnector
from langchain.chat_models import init_chat_model
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumps
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import ConfigurableField
from pydantic import SecretStr

from freeproviders import Retry
from freeproviders.errors import UnsupportedOptionWarning
from freeproviders.types import Finish, Text, Usage
from langchain_freeproviders import BackendLLM, ChatBackend, ChatEmbedded, register
from langchain_freeproviders.errors import (
    ProviderConnectionError,
    ToolCallError,
    TruncatedResponseError,
    UsageError,
)
from tests.embedded.test_client import address_of, engines, model  # noqa: F401 - fixtures
from tests.langchain.services import FLOW, OPENAI, SERVICES

NOWHERE = "http://127.0.0.1:9"
FAST = Retry(attempts=3, first=0.01, jitter=0)
NOT_SENT = (
    "sk-call",
    "timeout",
    "retr",
    "X-Mine",
    "cookies",
    "api_",
    "base_url",
    "proxy",
    "connector",
    "trust",
)

NAMES = [
    {"timeout": 7, "max_retries": 0, "headers": {"X-Mine": "1"}, "api_key": "sk-call"},
    {"request_timeout": 7, "retry": 0, "default_headers": {"X-Mine": "1"}, "api_key": SecretStr("sk-call")},
    {"timeout": 7, "max_retries": 0, "extra_headers": {"X-Mine": "1"}, "openai_api_key": "sk-call"},
]


def ways_to_pass(asked, keywords):
    """A model that gets keywords with the call, bound, and bound under a configuration."""
    yield asked.invoke, keywords
    yield asked.bind(**keywords).invoke, {}
    yield asked.bind(**keywords).with_config(tags=["a"]).invoke, {}


@pytest.mark.parametrize("kind", ["chat", "llm"])
@pytest.mark.parametrize("names", NAMES, ids=lambda names: next(iter(names)))
def test_configuration_never_reaches_the_body(service, kind, names):
    cls = getattr(service, kind)
    with service.replica("ok") as r:
        keywords = {"base_url": r.base_url, "cookies": {"mine": "1"}, "trust_env": False, **names}
        for invoke, more in ways_to_pass(cls(base_url=NOWHERE, max_retries=0, **service.options), keywords):
            invoke("Hi", **more)
            request = r.requests[-1]
            assert request.headers["X-Mine"] == "1"
            assert request.cookies["mine"] == "1"
            sent = request.body.decode()
            assert not [word for word in NOT_SENT if word in sent]
            if service is OPENAI:
                assert request.headers["Authorization"] == "Bearer sk-call"


@pytest.mark.parametrize("kind", ["chat", "llm"])
async def test_timeout_retries_proxy_and_connector_of_a_call(kind):
    """The rest shows in what happens: a limit ends, a retry comes, proxy and connector are used."""
    cls = getattr(OPENAI, kind)
    with OPENAI.replica("ok", faults=[{"delay_first": 30}, {"status": 503}]) as r:
        model = cls(base_url=r.base_url, max_retries=0, model="m")
        with pytest.raises(TimeoutError):
            await model.ainvoke("Hi", timeout=0.2)
        await model.ainvoke("Hi", retry=FAST)  # the 503 is tried again
        assert len(r.requests) == 3
        with pytest.raises(ProviderConnectionError):
            await model.ainvoke("Hi", proxy=NOWHERE)
        assert len(r.requests) == 3
        async with TCPConnector(limit=1, family=socket.AF_INET) as connector:
            await model.ainvoke("Hi", connector=connector)
            assert len(connector._conns) == 1  # kept for the next request
        assert len(r.requests) == 4


def test_configurable_fields_are_configuration_too():
    with OPENAI.replica("one") as one, OPENAI.replica("two") as two:
        model = OPENAI.model(one).configurable_fields(
            base_url=ConfigurableField(id="address"),
            headers=ConfigurableField(id="headers"),
            max_repairs=ConfigurableField(id="repairs"),
        )
        config = {"configurable": {"address": two.base_url, "headers": {"X-Mine": "1"}, "repairs": 0}}
        assert model.invoke("Hi", config).content == "two"
        assert model.with_config(config).invoke("Hi").content == "two"
        assert model.invoke("Hi").content == "one"
        assert two.requests[-1].headers["X-Mine"] == "1"
        assert two.requests[-1].json.keys() == {"messages", "model", "stream"}


@pytest.mark.usefixtures("langchains_list")
def test_a_configurable_model_by_name():
    """LangChain's own function, with every field open, also by the names of `ChatOpenAI`."""
    register()
    with OPENAI.replica("ok") as r:
        model = init_chat_model(
            "openai_compatible:m", configurable_fields="any", base_url=NOWHERE, max_retries=0
        )
        config = {"configurable": {"base_url": r.base_url, "timeout": 5, "openai_api_key": "sk-call"}}
        assert model.invoke("Hi", config).content == "ok"
        assert model.bind(temperature=0.5).invoke("Hi", config).content == "ok"
        request = r.requests[-1]
        assert request.headers["Authorization"] == "Bearer sk-call"
        assert request.json.keys() == {"messages", "model", "stream", "temperature"}
        with pytest.raises(ValueError, match="Did you mean temperature"):
            model.invoke("Hi", {"configurable": {"base_url": r.base_url, "temperatur": 1}})


@pytest.mark.parametrize("name", ["hf_api_key", "Authorization", "access_token"])
def test_a_credential_by_another_name_is_refused(name):
    with OPENAI.replica("ok") as r, pytest.raises(UsageError, match=f"{name} looks like a credential"):
        OPENAI.model(r).invoke("Hi", **{name: "sk-call"})
    assert not r.requests


def warns_at_each_call(service_replica):
    ChatEmbedded(base_url=NOWHERE)
    FLOW.model(service_replica).invoke("Hi", top_k=3)
    FLOW.string_model(service_replica).invoke("Hi", top_k=3)
    list(FLOW.model(service_replica, top_p=0.5).stream("Hi"))


def test_a_warning_points_to_the_callers_line():
    """Not into LangChain, pydantic or our own code."""
    with FLOW.replica("ok") as r, pytest.warns(UnsupportedOptionWarning) as warned:
        warns_at_each_call(r)
    assert len(warned) == 4
    assert {warning.filename for warning in warned} == {__file__}


def test_options_of_a_call():
    with OPENAI.replica("ok") as r:
        model = OPENAI.model(
            r, model_kwargs={"seed": 1, "user": "ann"}, extra_body={"presence_penalty": 0.5, "logit_bias": {}}
        )
        model.invoke("Hi")
        model.invoke("Hi", seed=2, model_kwargs={"user": "bob"}, extra_body={"presence_penalty": 1})
    first, second = [request.json for request in r.requests]
    assert (first["seed"], first["user"], first["presence_penalty"]) == (1, "ann", 0.5)
    assert (second["seed"], second["user"], second["presence_penalty"]) == (2, "bob", 1)
    assert "logit_bias" in first
    assert not {"logit_bias", "extra_body", "model_kwargs"} & second.keys()


@pytest.mark.parametrize("kind", ["model", "string_model"])
def test_none_leaves_things_as_the_model_has_them(kind):
    """As in the core and in LlamaIndex; traces and caches see no difference either."""
    cache = InMemoryCache()
    with OPENAI.replica("ok") as r:
        model = getattr(OPENAI, kind)(
            r, cache=cache, temperature=0.5, max_tokens=7, stop=["END"], model_kwargs={"seed": 1}
        )
        nothing = dict.fromkeys(["temperature", "max_tokens", "model", "stop", "seed", "headers", "n"])
        model.invoke("Hi", **nothing)
        model.invoke("Hi")
        assert len(r.requests) == len(cache._cache) == 1
        model.invoke("Ho", **nothing, model_kwargs={"seed": 2, "user": None})
        first, second = (request.json for request in r.requests)
    for sent, seed in ((first, 1), (second, 2)):
        asked = {name: sent[name] for name in ("temperature", "max_tokens", "stop", "seed", "model")}
        assert asked == {
            "temperature": 0.5,
            "max_tokens": 7,
            "stop": ["END"],
            "seed": seed,
            "model": "some-model",
        }
    assert "user" not in second
    assert model._get_ls_params(temperature=None)["ls_temperature"] == 0.5


class Seen(BaseCallbackHandler):
    def __init__(self):
        self.params = []

    def on_chat_model_start(self, serialized, messages, *, invocation_params=None, **kwargs):
        self.params.append(str(invocation_params) + str(serialized))


def test_secrets_of_a_call_are_in_no_trace_and_no_cache():
    cache, seen = InMemoryCache(), Seen()
    with OPENAI.replica("ok") as r:
        model = OPENAI.model(r, cache=cache, extra_body={"user": "sk-secret-1"})
        address = r.base_url.replace("://", "://ann:sk-secret-2@")
        secrets = {"cookies": {"c": "sk-secret-3"}, "headers": {"X": "sk-secret-4"}}
        for extra in ({}, {"api_key": SecretStr("sk-secret-5")}, {"base_url": address}):
            model.invoke("Hi", {"callbacks": [seen]}, **secrets, **extra)
        assert "sk-secret" not in str(seen.params) + str(cache._cache)
        assert "sk-secret" not in repr(model) + model.model_dump_json()
        OPENAI.model(r, cache=cache, extra_body={"user": "another"}).invoke("Hi", **secrets)
        assert len(r.requests) == 2  # a key and a login change no answer, another option may


class SeenByStringModels(BaseCallbackHandler):
    def __init__(self):
        self.seen = []

    def on_llm_start(self, serialized, prompts, **kwargs):
        self.seen.append(str(serialized) + str(kwargs))


LOGIN = "YW5uOnNrLXNlY3JldA=="  # ann and the secret in base64
SECRETS_OF_A_CALL = [
    {"headers": {"Authorization": "Bearer sk-secret"}},
    {"extra_headers": {"Authorization": "Bearer sk-secret"}},
    {"cookies": {"session": "sk-secret"}},
    {"extra_body": {"user": "sk-secret"}},
    {"api_key": "sk-secret"},
    {"openai_api_key": "sk-secret"},
    {"base_url": "http://ann:sk-secret@"},
    {"model_kwargs": {"api_key": "sk-secret"}},
]


def at(address, secrets):
    """The secrets of a call, the address of the replica among them."""
    if "base_url" not in secrets:
        return secrets
    return {"base_url": address.replace("http://", secrets["base_url"])}


@pytest.mark.parametrize("secrets", SECRETS_OF_A_CALL, ids=lambda secrets: next(iter(secrets)))
async def test_a_string_models_secrets_of_a_call_are_in_no_trace(secrets):
    """LangChain hands the keywords of `stream` and `astream` to callbacks as they are."""
    seen = SeenByStringModels()
    with OPENAI.replica("ok") as r:
        model, given = OPENAI.string_model(r), at(r.base_url, secrets)
        config = {"callbacks": [seen]}
        _ = await asyncio.to_thread(lambda: list(model.stream("Hi", config, **given)))
        _ = [piece async for piece in model.astream("Hi", config, **given)]
        await model.ainvoke("Hi", config, **given)
        sent = [str(request.headers) + request.body.decode() for request in r.requests]
    assert ["sk-secret" in each or LOGIN in each for each in sent] == [True] * 3
    assert len(seen.seen) == 3
    assert "sk-secret" not in str(seen.seen)


@pytest.mark.parametrize("kind", ["model", "string_model"])
@pytest.mark.parametrize("secrets", SECRETS_OF_A_CALL, ids=lambda secrets: next(iter(secrets)))
def test_bound_secrets_are_used_and_neither_shown_nor_saved(secrets, kind):
    with OPENAI.replica("ok") as r:
        model = getattr(OPENAI, kind)(r)
        bound = model.bind(**at(r.base_url, secrets), temperature=0.5)
        later = model.bind(temperature=0.5).with_config(tags=["b"]).bind(**at(r.base_url, secrets))
        chain = PromptTemplate.from_template("{x}") | bound
        for each in (bound, pickle.loads(pickle.dumps(bound)), bound.with_config(tags=["a"]), later):
            each.invoke("Hi")
        _ = list(chain.stream({"x": "Hi"}))
        sent = [str(request.headers) + request.body.decode() for request in r.requests]
    assert ["sk-secret" in each or LOGIN in each for each in sent] == [True] * 5
    for text in (repr(bound), str(chain), dumps(bound), dumps(chain), repr(later), dumps(later)):
        assert "sk-secret" not in text
        assert next(iter(secrets)) in text  # the name may be seen


@pytest.mark.parametrize("kind", ["model", "string_model"])
def test_secrets_of_a_config_are_neither_shown_nor_saved(kind):
    """Whoever reads them from the config gets a `Secret`; what is none stays as it is."""
    values = {"api_key": "sk-secret", "groq_key": "sk-secret", "session": "seven", "n": None}
    with OPENAI.replica("ok") as r:
        model = getattr(OPENAI, kind)(r)
        for bound in (
            model.with_config(configurable=values),
            model.with_config({"tags": ["a"], "configurable": values}),
            model.bind(temperature=0.5).with_config(configurable=values).bind(stop=["x"]),
        ):
            bound.invoke("Hi")
            assert "sk-secret" not in repr(bound) + dumps(bound) + bound.model_dump_json()
            kept = bound.config["configurable"]
            assert kept["api_key"].get_secret_value() == kept["groq_key"].get_secret_value() == "sk-secret"
            assert (kept["session"], kept["n"]) == ("seven", None)


# --- the settings that `answer` obeys -------------------------------------------------------------


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


BAD = '<tool_call>{"name": "add", "arguments": {"a": "three"}}</tool_call>'


@pytest.mark.parametrize("repairs", [0, 1])
def test_max_repairs(repairs):
    with FLOW.replica(BAD) as r:
        for model in (
            FLOW.model(r, max_repairs=repairs).bind_tools([add], tool_choice="add"),
            FLOW.model(r).bind_tools([add], tool_choice="add", max_repairs=repairs),
        ):
            before = len(r.requests)
            with pytest.raises(ToolCallError):
                model.invoke("Add 3 and 4")
            assert len(r.requests) - before == 1 + repairs


def test_reasoning():
    text = "<think>let me see</think>The answer"
    with FLOW.replica(text) as r:
        assert FLOW.model(r, reasoning="keep").invoke("Hi").content == text
        for message in (
            FLOW.model(r).invoke("Hi"),
            FLOW.model(r, reasoning="split").invoke("Hi"),
            FLOW.model(r).invoke("Hi", reasoning="split"),
        ):
            assert message.content == "The answer"
            assert message.additional_kwargs == {"reasoning_content": "let me see"}
            assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]
        chunks = list(FLOW.model(r).stream("Hi"))
        assert (
            "".join(chunk.additional_kwargs.get("reasoning_content", "") for chunk in chunks) == "let me see"
        )
        assert "".join(chunk.content for chunk in chunks) == "The answer"
        assert FLOW.string_model(r).invoke("Hi") == "The answer"
        assert FLOW.model(r, reasoning="drop").invoke("Hi").additional_kwargs == {}
        assert FLOW.string_model(r, reasoning="split").invoke("Hi") == "The answer"


def test_wait_up_to():
    busy = {"status": 429, "retry_after": 0.05}
    with FLOW.replica("ok", faults=[busy, busy, busy]) as r:
        assert FLOW.model(r, wait_up_to=5).invoke("Hi").response_metadata["attempts"] == 4


class Recording:
    """A backend that keeps what it was asked."""

    name = "Recording"
    model = "m"

    def __init__(self):
        self.asked = []

    async def batches(self, request):
        self.asked.append(request)
        yield [Text("ok"), Usage(1, 1), Finish(provider=self.name, model=self.model)]


@pytest.mark.parametrize("cls", [ChatBackend, BackendLLM])
def test_every_setting_reaches_the_request(cls):
    """As a field and as a call's keyword, the call's over the field's."""
    settings = {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 5,
        "max_repairs": 1,
        "allow_repeats": True,
        "on_invalid": "pass",
        "reasoning": "keep",
        "wait_up_to": 3.0,
    }
    backend = Recording()
    cls(backend=backend, stop=["a"], **settings).invoke("Hi")
    cls(backend=backend).invoke("Hi", stop=["a"], **settings)
    cls(backend=backend, **{**settings, "max_repairs": 0, "allow_repeats": False}).invoke(
        "Hi", stop=["a"], **settings
    )
    for request in backend.asked:
        assert {name: getattr(request, name) for name in settings} == settings
        assert request.stop == ("a",)
        assert request.stream is False
        assert not request.options


# --- what nobody has seen is not lost -------------------------------------------------------------

TEXT = "one two three four five six"


async def lost(replica_of, model_of, step):
    """How many of the cuts cost an answer, over whole answers in every way to ask for one."""
    missing = 0
    for at, cut in enumerate(range(0, 700, step)):
        with replica_of([{"cut": cut}, {"cut": cut + 3}]) as r:
            made = model_of(r)
            match at % 4:  # each way sees cuts of all kinds
                case 0:
                    answer = await made.ainvoke("Hi")
                case 1:
                    answer = await asyncio.to_thread(made.invoke, "Hi")
                case 2:
                    (answer,) = await made.abatch(["Hi"])
                case _:
                    (answer,) = await asyncio.to_thread(made.batch, ["Hi"])
            missing += getattr(answer, "content", answer) != TEXT
    return missing


@pytest.mark.parametrize("kind", ["model", "string_model"])
@pytest.mark.parametrize("service", SERVICES, ids=str)
async def test_a_whole_answer_that_breaks_off_is_asked_for_again(service, kind):
    """Wherever it is cut: two retries bring it. The core's test of it cuts five times as finely."""
    make, step = getattr(service, kind), 35 if kind == "model" else 105  # the two differ in little
    missing = await lost(
        lambda faults: service.replica(TEXT, faults=faults), lambda r: make(r, max_retries=FAST), step
    )
    assert missing == 0


async def test_a_whole_answer_of_the_embedded_model_is_asked_for_again(engines, model):  # noqa: F811
    cuts = [fault for cut in range(0, 700, 35) for fault in ({"cut": cut}, {"cut": cut + 3}, {})]
    with OPENAI.replica(TEXT, faults=cuts) as r:
        engines(address_of(r))
        made = ChatEmbedded(model_path=model, max_retries=FAST)
        for at in range(len(cuts) // 3):
            answer = await (made.ainvoke("Hi") if at % 2 else asyncio.to_thread(made.invoke, "Hi"))
            assert answer.content == TEXT


async def test_what_was_shown_is_not_asked_for_again():
    """A stream that breaks off after its first chunk is an error at once."""
    with FLOW.replica(["one", " two", " three"], faults={"cut": 120}) as r:
        for made in (FLOW.model(r, max_retries=FAST), FLOW.string_model(r, max_retries=FAST)):
            before, seen = len(r.requests), []
            with pytest.raises(TruncatedResponseError):
                async for chunk in made.astream("Hi"):
                    seen.append(chunk)
            assert seen
            assert len(r.requests) - before == 1
