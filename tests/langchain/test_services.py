"""`service=`: a service of the catalogue as a chat model and as a string model.

Each is asked over its replica: one of the package's own rows, and one that is a user's file alone.
"""

import json
import pickle

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.exceptions import ModelAuthenticationError, ModelRateLimitError
from langchain_core.load import dumpd, dumps, load
from langchain_core.messages import HumanMessage
from langchain_core.runnables import ConfigurableField
from pydantic import BaseModel

from freeproviders import OpenAICompatible
from freeproviders.catalogue import catalogue
from freeproviders.catalogue.guard import variables_in
from freeproviders.errors import MissingKeyError, RetiredModelError, UnknownServiceError
from freeproviders.testing import replica
from freeproviders.types import Reasoning, Text, ToolCall
from langchain_freeproviders import ChatBackend, ChatOpenAICompatible, OpenAICompatibleLLM, errors
from tests.brain import CHAT, brain, native_brain
from tests.catalogued import KEY

ALIVE = [row.id for row in catalogue() if row.gone is None or row.gone.what != "service"]
BOTH = (ChatOpenAICompatible, OpenAICompatibleLLM)


class City(BaseModel):
    """A city."""

    name: str
    people: int


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def either_brain(messages, request):
    """A model that obeys, whether the service has tools and schemas or the prompt has them."""
    body = request.json
    native = body.get("tools") or body.get("response_format")
    return native_brain(messages, request) if native else brain(messages)


def chat(listed, **fields):
    return ChatOpenAICompatible(**{"service": listed.id, "max_retries": 0, **fields})


def added(chunks):
    total, *more = chunks
    for chunk in more:
        total += chunk
    return total


# --- asking ---


async def test_a_key_in_the_environment_is_enough(listed):
    """Whole and streamed, sync and async: the row's model is asked with the row's key."""
    with listed.replica(native_brain) as r:
        model = chat(listed)
        messages = [
            await model.ainvoke("Hi"),
            added([chunk async for chunk in model.astream("Hi")]),
        ]
        assert await OpenAICompatibleLLM(service=listed.id).ainvoke("Hi") == CHAT
    assert [request.json["model"] for request in r.requests] == [listed.model] * 3
    assert {request.headers["Authorization"] for request in r.requests} == {f"Bearer {KEY}"}
    for message in messages:
        assert message.content == CHAT
        assert message.usage_metadata["total_tokens"] > 0
        metadata = message.response_metadata
        assert (metadata["provider"], metadata["model_provider"]) == (listed.name, listed.id)
        assert metadata["model_name"] == listed.model


def test_the_same_without_a_loop(listed):
    with listed.replica(native_brain):
        model, string = chat(listed), OpenAICompatibleLLM(service=listed.id)
        assert model.invoke("Hi").content == added(model.stream("Hi")).content == CHAT
        assert string.invoke("Hi") == "".join(string.stream("Hi")) == CHAT
        assert [one.content for one in model.batch(["a", "b"])] == [CHAT, CHAT]


async def test_an_agent(listed):
    """The row says that the model has tools: they go natively, from the first request on."""
    with listed.replica(native_brain) as r:
        agent = create_agent(chat(listed), [weather])
        question = {"messages": [HumanMessage("What is the weather in Paris?")]}
        for state in (await agent.ainvoke(question), agent.invoke(question)):
            assert state["messages"][-1].content == "The tool says: sunny in Paris"
        assert len(r.requests) == 4
        for request in r.requests:
            assert [tool["function"]["name"] for tool in request.json["tools"]] == ["weather"]
            assert request.json["messages"][0] == {"role": "user", "content": "What is the weather in Paris?"}


async def test_objects(listed):
    """The row says that the service constrains answers to a schema."""
    question = 'Which city is "Paris", with 3 people?'
    with listed.replica(native_brain) as r:
        for method in ("json_schema", "function_calling"):
            asked = chat(listed).with_structured_output(City, method=method)
            assert await asked.ainvoke(question) == City(name="Paris", people=3)
            assert asked.invoke(question) == City(name="Paris", people=3)
            assert [one async for one in asked.astream(question)][-1] == City(name="Paris", people=3)
            sent = "response_format" if method == "json_schema" else "tools"
            assert all(request.json.get(sent) for request in r.requests[-3:])
        state = await create_agent(chat(listed), [], response_format=City).ainvoke(
            {"messages": [HumanMessage(question)]}
        )
        assert state["structured_response"] == City(name="Paris", people=3)
        assert r.requests[-1].json["response_format"]["type"] == "json_schema"


async def test_a_call_has_its_own_words(listed):
    """A model, a key or an address of a call count for that call, and the key stays with its service."""
    with listed.replica("one", api_key=None) as r, replica(OpenAICompatible, answer="two") as other:
        model, another = chat(listed), "house-small" if listed.id == "house" else "openai/gpt-oss-20b"
        assert (await model.ainvoke("Hi", model=another)).response_metadata["model_name"] == another
        await model.ainvoke("Hi", api_key="own-key")
        assert r.requests[-2].json["model"] == another
        assert r.requests[-1].headers["Authorization"] == "Bearer own-key"
        assert (await model.ainvoke("Hi", base_url=other.base_url)).content == "two"
        assert "Authorization" not in other.requests[-1].headers
        with pytest.raises(errors.MissingKeyError, match="pass api_key"):
            await model.ainvoke("Hi", base_url="https://elsewhere.invalid/v1")
        with pytest.raises(errors.RetiredModelError):
            await model.ainvoke("Hi", model="old-blend" if listed.id == "house" else "llama-3.1-8b-instant")


async def test_a_call_cannot_choose_another_service(listed):
    """It would be asked of this one, which passes the word over."""
    with listed.replica("Hi") as r:
        model = chat(listed)
        for asked in (model, model.bind_tools([weather])):
            with pytest.raises(errors.UsageError, match="service belongs to the constructor"):
                await asked.ainvoke("Hi", service="mistral")
        assert r.requests == []
        assert (await model.ainvoke("Hi", extra_body={"user": "me"})).content == "Hi"


@pytest.mark.parametrize("listed", ["house"], indirect=True)
def test_a_model_without_tools_is_asked_through_the_prompt(listed):
    """The row of a model decides, also for a model that a call names."""
    with listed.replica('<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>') as r:
        asked = chat(listed).bind_tools([weather], model="house-small")
        assert asked.invoke("Weather?").tool_calls[0]["args"] == {"city": "Rome"}
        assert "tools" not in r.requests[-1].json
        assert "weather" in json.dumps(r.requests[-1].json["messages"])


@pytest.mark.parametrize("service", ALIVE)
def test_every_row_is_a_model(service, monkeypatch):
    """Each living service answers, calls tools and gives objects, whatever it has itself."""
    row = catalogue().service(service)
    for name in variables_in(row.base_url):
        monkeypatch.setenv(name, "abc")
    model = row.default_model or next((name for name in row.models if "*" not in name), "m")
    key = None if row.key == "none" else KEY
    with replica(service=service, answer=either_brain, api_key=key, limits=False) as r:
        asked = ChatOpenAICompatible(
            service=service, model=model, api_key=key, base_url=r.base_url, max_retries=0
        )
        assert asked.invoke("Hi").content == added(asked.stream("Hi")).content == CHAT
        call = asked.bind_tools([weather]).invoke("What is the weather in Paris?").tool_calls[0]
        assert (call["name"], call["args"]) == ("weather", {"city": "Paris"})
        city = asked.with_structured_output(City).invoke('Which city is "Paris", with 3 people?')
        assert city == City(name="Paris", people=3)
        assert len(r.requests) == 4


# --- errors ---


def test_what_is_missing_is_said_when_the_model_is_made(listed):
    """By LangChain's own errors, which are the core's as well."""
    listed.patch.delenv(listed.variable)
    for cls in BOTH:
        with pytest.raises(MissingKeyError, match=rf"\[{listed.name}\].*{listed.variable}.*/keys") as caught:
            cls(service=listed.id)
        assert isinstance(caught.value, ModelAuthenticationError)
        with pytest.raises(errors.UnknownServiceError, match=f"Did you mean '{listed.id}'"):
            cls(service=f"{listed.id}x")
        with pytest.raises(UnknownServiceError):
            cls(service="")
        assert cls(service=listed.id, api_key="own").model == listed.model
        with pytest.raises(errors.MissingKeyError, match="pass api_key"):
            cls(service=listed.id, base_url="https://elsewhere.invalid/v1")


def test_refusals_have_the_services_name(listed):
    """What the service says is told by its row's signs."""
    with listed.replica("Hi", limits=False, faults={"kind": "minute"}):
        with pytest.raises(errors.RateLimitError) as caught:
            chat(listed).invoke("Hi")
        assert isinstance(caught.value, ModelRateLimitError)
        assert str(caught.value).startswith(f"[{listed.name} {listed.model}] ")
    with listed.replica("Hi") as r:
        with pytest.raises(errors.AuthenticationError, match=rf"^\[{listed.name} "):
            chat(listed, api_key="another").invoke("Hi")
        assert KEY not in r.requests[-1].headers["Authorization"]


def test_a_retired_model_has_a_successor(listed):
    """The error names it, and `fallback` asks it."""
    old = "old-blend" if listed.id == "house" else "llama-3.3-70b-versatile"
    with pytest.raises(RetiredModelError, match=listed.model) as caught:
        chat(listed, model=old)
    assert caught.value.successor == listed.model
    with listed.replica("Hi") as r:
        for cls in BOTH:
            model = cls(service=listed.id, model=old, fallback=True)
            assert model.model == model._get_ls_params()["ls_model_name"] == listed.model
            model.invoke("Hi")
            assert r.requests[-1].json["model"] == listed.model


# --- what is known ---


def test_a_profile_is_what_the_row_says(listed):
    profile = chat(listed).profile
    window, output, images, reasoning = (
        (12_000, 900, True, False) if listed.id == "house" else (131_072, 65_536, False, True)
    )
    assert (profile["max_input_tokens"], profile["max_output_tokens"]) == (window, output)
    assert (profile["image_inputs"], profile["reasoning_output"]) == (images, reasoning)
    assert profile["tool_calling"] is profile["structured_output"] is True
    if listed.id == "house":
        small = chat(listed, model="house-small").profile
        assert (small["max_input_tokens"], small["structured_output"]) == (4_000, False)
        assert (small["reasoning_output"], small["tool_calling"]) == (True, True)
        assert "max_output_tokens" not in small
    unknown = chat(listed, model="never-heard-of").profile
    assert not {"max_input_tokens", "max_output_tokens"} & unknown.keys()


def test_a_window_of_the_catalogue_refuses_nothing(listed):
    """It is dated; a window that the caller names is certain."""
    long = "word " * 200_000
    with listed.replica("Yes", limits=False) as r:
        assert chat(listed).invoke(long).content == "Yes"
        assert OpenAICompatibleLLM(service=listed.id).invoke(long) == "Yes"
        with pytest.raises(errors.ContextOverflowError):
            chat(listed, profile={"max_input_tokens": 12_000}).invoke(long)
        assert len(r.requests) == 2


def test_traces_name_the_service(listed):
    for cls in BOTH:
        model = cls(service=listed.id)
        params = model._get_ls_params()
        assert (params["ls_provider"], params["ls_model_name"]) == (listed.id, listed.model)
        assert model._identifying_params["model_name"] == listed.model
        assert model.lc_secrets == {"api_key": listed.variable}


def test_standard_content_is_the_same_for_every_service(listed):
    """LangChain reads messages of some providers' names in ways of its own."""
    answer = [Reasoning("Hm."), Text("Let me see."), ToolCall("c1", "weather", {"city": "Rome"})]
    with listed.replica(answer), replica(OpenAICompatible, answer=answer) as plain:
        models = (chat(listed), ChatOpenAICompatible(model="m", base_url=plain.base_url, native_tools=True))
        shown = []
        for model in (one.bind_tools([weather]) for one in models):
            blocks = [model.invoke("Hi").content_blocks, added(model.stream("Hi")).content_blocks]
            shown.append([[{**b, "id": "", "index": 0} for b in message] for message in blocks])
    assert shown[0] == shown[1]
    assert [block["type"] for block in shown[0][0]] == ["reasoning", "text", "tool_call"]


# --- saving ---


def test_saved_and_loaded(listed):
    """With the service's id, and the key as the name of the service's own variable."""
    for cls in BOTH:
        for model in (cls(service=listed.id), cls(service=listed.id, api_key="key-of-another-account")):
            saved = dumpd(model)
            assert saved["kwargs"]["service"] == listed.id
            assert "base_url" not in saved["kwargs"]
            for text in (dumps(model), repr(model), str(model._identifying_params), model.model_dump_json()):
                assert KEY not in text
                assert "key-of-another-account" not in text
            loaded = load(
                saved,
                allowed_objects=[cls],
                valid_namespaces=["langchain_freeproviders"],
                secrets_from_env=True,
            )
            assert (loaded.service, loaded.model) == (listed.id, listed.model)
            assert loaded._backend.api_key == KEY


def test_a_key_for_elsewhere_is_not_saved_as_the_services(listed):
    """Else loading would send the service's key there."""
    model = chat(listed, base_url="https://elsewhere.invalid/v1", api_key="own")
    assert dumpd(model)["kwargs"]["api_key"]["id"] == ["OPENAI_COMPATIBLE_API_KEY"]


def test_copies_ask_the_same_service(listed):
    with listed.replica("Hi") as r:
        model = chat(listed, temperature=0.5)
        for other in (
            pickle.loads(pickle.dumps(model)),
            model.model_copy(),
            model.model_copy(deep=True),
            ChatBackend(backend=OpenAICompatible(service=listed.id)),
        ):
            assert other.invoke("Hi").response_metadata["provider"] == listed.name
        assert len(r.requests) == 4


def test_the_service_may_be_configured_or_changed_later(listed):
    """Its key, address and default model come with it."""
    listed.patch.setenv("MISTRAL_API_KEY", "mistral-key")
    listed.patch.setenv("OPENAI_COMPATIBLE_API_KEY", "nobody's")
    model = chat(listed)
    configured = model.configurable_fields(
        service=ConfigurableField(id="service"), model_name=ConfigurableField(id="model")
    )
    other, _ = configured.prepare({"configurable": {"service": "mistral"}})
    copied = model.model_copy(update={"service": "mistral"})
    changed = chat(listed)
    changed.service = "mistral"
    for one in (other, copied, changed):
        assert one._backend.api_key == "mistral-key"
        assert one._get_ls_params()["ls_provider"] == "mistral"
        assert one.model.startswith("mistral") or "codestral" in one.model
        assert "mistral" in one._backend.base_url
    assert other.profile != model.profile
    assert model._backend.name == listed.name


def test_a_cache_tells_services_apart(listed):
    with listed.replica("one"), replica(OpenAICompatible, answer="two") as plain:
        cache = InMemoryCache()
        model = chat(listed, cache=cache)
        assert model.invoke("Hi").content == model.invoke("Hi").content == "one"
        other = ChatOpenAICompatible(model=listed.model, base_url=plain.base_url, cache=cache)
        assert other.invoke("Hi").content == "two"


def test_the_environment_of_the_plain_class_says_nothing(listed):
    """`OPENAI_COMPATIBLE_...` are of another service than the one that is named."""
    listed.patch.setenv("OPENAI_COMPATIBLE_API_KEY", "another's")
    listed.patch.setenv("OPENAI_COMPATIBLE_API_BASE", "http://127.0.0.1:9/v1")
    with listed.replica("Hi") as r:
        for cls in BOTH:
            cls(service=listed.id).invoke("Hi")
        assert {request.headers["Authorization"] for request in r.requests} == {f"Bearer {KEY}"}
