"""`service=`: a service of the catalogue as a LlamaIndex LLM.

Each is asked over its replica: one of the package's own rows, and one that is a user's file alone.
"""

import json
import pickle

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.llms.loading import RECOGNIZED_LLMS, load_llm
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from freeproviders import OpenAICompatible as Core
from freeproviders.errors import (
    AuthenticationError,
    MissingKeyError,
    RateLimitError,
    RetiredModelError,
    UnknownServiceError,
    UnsupportedInputError,
)
from freeproviders.testing import replica
from llama_index_freeproviders import BackendLLM, OpenAICompatible
from tests.brain import CHAT, native_brain
from tests.catalogued import KEY
from tests.llamaindex.services import HI, gathered

QUESTION = 'Which city is "Paris", with 3 people?'


class City(BaseModel):
    """A city."""

    name: str
    people: int


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def llm_of(listed, **fields):
    return OpenAICompatible(**{"service": listed.id, "retry": 0, **fields})


# --- asking ---


async def test_a_key_in_the_environment_is_enough(listed):
    """Whole and streamed: the row's model is asked with the row's key."""
    with listed.replica(native_brain) as r:
        llm = llm_of(listed)
        responses = [await llm.achat(HI), (await gathered(llm.astream_chat(HI)))[-1]]
        assert (await llm.acomplete("Hi")).text == CHAT
        assert (await gathered(llm.astream_complete("Hi")))[-1].text == CHAT
    assert [request.json["model"] for request in r.requests] == [listed.model] * 4
    assert {request.headers["Authorization"] for request in r.requests} == {f"Bearer {KEY}"}
    for response in responses:
        assert response.message.content == CHAT
        assert (response.raw["provider"], response.raw["model"]) == (listed.name, listed.model)
        assert response.additional_kwargs["total_tokens"] > 0


def test_the_same_without_a_loop(listed):
    with listed.replica(native_brain):
        llm = llm_of(listed)
        assert llm.chat(HI).message.content == [*llm.stream_chat(HI)][-1].message.content == CHAT
        assert llm.complete("Hi").text == [*llm.stream_complete("Hi")][-1].text == CHAT


async def test_an_agent(listed):
    """The row says that the model has tools: they go natively, from the first request on."""
    with listed.replica(native_brain) as r:
        agent = FunctionAgent(tools=[weather], llm=llm_of(listed))
        response = await agent.run("What is the weather in Paris?")
        assert str(response) == "The tool says: sunny in Paris"
        for request in r.requests:
            assert [tool["function"]["name"] for tool in request.json["tools"]] == ["weather"]
            assert "parameters" not in json.dumps(request.json["messages"])


def test_a_tool_without_a_loop(listed):
    with listed.replica(native_brain):
        response = llm_of(listed).predict_and_call(
            [FunctionTool.from_defaults(fn=weather)], user_msg="What is the weather in Rome?"
        )
        assert str(response) == "sunny in Rome"


async def test_objects(listed):
    """The row says that the service constrains answers to a schema."""
    prompt, paris = PromptTemplate(QUESTION), City(name="Paris", people=3)
    with listed.replica(native_brain) as r:
        llm = llm_of(listed)
        assert await llm.astructured_predict(City, prompt) == paris
        assert llm.structured_predict(City, prompt) == paris
        assert [one async for one in await llm.astream_structured_predict(City, prompt)][-1] == paris
        assert llm.as_structured_llm(City).complete(QUESTION).raw == paris
        assert all(request.json["response_format"]["type"] == "json_schema" for request in r.requests)
        assert len(r.requests) == 4


async def test_a_call_has_its_own_words(listed):
    """A model, a key or an address of a call count for that call, and the key stays with its service."""
    another = "house-small" if listed.id == "house" else "openai/gpt-oss-20b"
    with listed.replica("one", api_key=None) as r, replica(Core, answer="two") as other:
        llm = llm_of(listed)
        assert (await llm.acomplete("Hi", model=another)).raw["model"] == another
        await llm.acomplete("Hi", api_key="own-key")
        assert r.requests[-2].json["model"] == another
        assert r.requests[-1].headers["Authorization"] == "Bearer own-key"
        assert (await llm.acomplete("Hi", base_url=other.base_url)).text == "two"
        assert "Authorization" not in other.requests[-1].headers
        with pytest.raises(MissingKeyError, match="pass api_key"):
            await llm.acomplete("Hi", base_url="https://elsewhere.invalid/v1")


@pytest.mark.parametrize("listed", ["house"], indirect=True)
async def test_a_model_without_tools_is_asked_through_the_prompt(listed):
    """The row of a model decides; `function_calling` still wins."""
    said = '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>'
    tools = [FunctionTool.from_defaults(fn=weather)]
    with listed.replica(said) as r:
        for fields, native in (
            ({"model": "house-small"}, False),
            ({}, True),
            ({"function_calling": "emulate"}, False),
        ):
            llm = llm_of(listed, **fields)
            response = await llm.achat_with_tools(tools, user_msg="Weather?")
            assert llm.get_tool_calls_from_response(response)[0].tool_kwargs == {"city": "Rome"}
            assert ("tools" in r.requests[-1].json) is native


async def test_pictures_go_to_models_that_see(listed):
    """The row says which do: what cannot be sent is an error before anything is."""
    message = ChatMessage(blocks=[TextBlock(text="What?"), ImageBlock(image=b"\x89PNG\r\n\x1a\n")])
    with listed.replica("A dot.") as r:
        llm = llm_of(listed)
        if listed.id == "house":
            assert (await llm.achat([message])).message.content == "A dot."
        else:
            with pytest.raises(UnsupportedInputError, match=r"\[Groq "):
                await llm.achat([message])
            assert r.requests == []


# --- errors ---


def test_what_is_missing_is_said_when_the_llm_is_made(listed):
    listed.patch.delenv(listed.variable)
    with pytest.raises(MissingKeyError, match=rf"\[{listed.name}\].*{listed.variable}.*/keys"):
        OpenAICompatible(service=listed.id)
    with pytest.raises(UnknownServiceError, match=f"Did you mean '{listed.id}'"):
        OpenAICompatible(service=f"{listed.id}x")
    assert OpenAICompatible(service=listed.id, api_key="own").model == listed.model
    with pytest.raises(MissingKeyError, match="pass api_key"):
        OpenAICompatible(service=listed.id, base_url="https://elsewhere.invalid/v1")


def test_refusals_have_the_services_name(listed):
    with listed.replica("Hi", limits=False, faults={"kind": "minute"}):
        with pytest.raises(RateLimitError) as caught:
            llm_of(listed).complete("Hi")
        assert str(caught.value).startswith(f"[{listed.name} {listed.model}] ")
    with (
        listed.replica("Hi"),
        pytest.raises(AuthenticationError, match=rf"^\[{listed.name} "),
    ):
        llm_of(listed, api_key="another").complete("Hi")


def test_a_retired_model_has_a_successor(listed):
    """The error names it, and `fallback` asks it."""
    old = "old-blend" if listed.id == "house" else "llama-3.3-70b-versatile"
    with pytest.raises(RetiredModelError, match=listed.model):
        llm_of(listed, model=old)
    with listed.replica("Hi") as r:
        llm = llm_of(listed, model=old, fallback=True)
        assert llm.model == llm.metadata.model_name == listed.model
        llm.complete("Hi")
        assert r.requests[-1].json["model"] == listed.model


# --- what is known ---


def test_metadata_is_what_the_row_says(listed):
    """The window is the row's; room for an answer is never more than the model's longest answer."""
    window, output = (12_000, 900) if listed.id == "house" else (131_072, 1024)
    metadata = llm_of(listed).metadata
    assert (metadata.context_window, metadata.num_output) == (window, output)
    assert (metadata.model_name, metadata.is_function_calling_model) == (listed.model, True)
    assert llm_of(listed, function_calling="off").metadata.is_function_calling_model is False
    long = llm_of(listed, max_tokens=2**20, context_window=2**20).metadata.num_output
    assert long == (900 if listed.id == "house" else 65_536)
    assert llm_of(listed, context_window=5000).metadata.context_window == 5000
    assert llm_of(listed, model="never-heard-of").metadata.context_window == 8192
    assert PromptHelper.from_llm_metadata(metadata).num_output == output
    assert llm_of(listed).to_payload()["provider"] == listed.name


# --- saving ---


@pytest.mark.parametrize(
    "again",
    [
        lambda llm: OpenAICompatible.from_dict(llm.to_dict()),
        lambda llm: OpenAICompatible.from_json(llm.to_json()),
        lambda llm: load_llm(json.loads(json.dumps(llm.to_dict()))),
        lambda llm: pickle.loads(pickle.dumps(llm)),
        lambda llm: llm.model_copy(),
        lambda llm: llm.model_copy(deep=True),
    ],
    ids=["dict", "json", "load_llm", "pickle", "copy", "deep-copy"],
)
def test_saved_and_loaded(listed, again):
    """With the service's id and no secret; the key is the environment's where it is loaded."""
    with listed.replica("Hi") as r:
        llm = llm_of(listed, temperature=0.5, api_key=KEY)
        assert (llm.class_name(), RECOGNIZED_LLMS[llm.class_name()]) == (
            "freeproviders_openai_compatible",
            OpenAICompatible,
        )
        for text in (llm.to_json(), repr(llm), str(llm.to_payload())):
            assert KEY not in text
        assert "base_url" not in {name for name, value in llm.to_dict().items() if value is not None}
        other = again(llm)
        assert (other.service, other.model, other.temperature) == (listed.id, listed.model, 0.5)
        assert other.complete("Hi").raw["provider"] == listed.name
        assert r.requests[-1].headers["Authorization"] == f"Bearer {KEY}"


def test_the_service_may_be_changed_later(listed):
    """Key and address come with it; the model is named, as for each LLM here."""
    listed.patch.setenv("MISTRAL_API_KEY", "mistral-key")
    llm = llm_of(listed)
    changed = llm_of(listed)
    changed.service, changed.model = "mistral", ""
    for other in (llm.model_copy(update={"service": "mistral", "model": ""}), changed):
        assert other.core.name == "Mistral"
        assert other.core.api_key == "mistral-key"
        assert other.metadata.model_name == Core(service="mistral").model
    assert llm.core.name == listed.name


def test_a_backend_of_the_core_is_the_same(listed):
    with listed.replica("Hi"):
        llm = BackendLLM(backend=Core(service=listed.id))
        assert llm.complete("Hi").raw["provider"] == listed.name
        assert llm.metadata.context_window == llm_of(listed).metadata.context_window


def test_the_environment_of_the_plain_class_says_nothing(listed):
    """`OPENAI_COMPATIBLE_...` are of another service than the one that is named."""
    listed.patch.setenv("OPENAI_COMPATIBLE_API_KEY", "another's")
    listed.patch.setenv("OPENAI_COMPATIBLE_API_BASE", "http://127.0.0.1:9/v1")
    with listed.replica("Hi") as r:
        llm_of(listed).complete("Hi")
        assert r.requests[-1].headers["Authorization"] == f"Bearer {KEY}"
