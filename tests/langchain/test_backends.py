"""Any backend as a LangChain model.

A configured provider, and an object that is none of our classes.
"""

import asyncio
import copy
import pickle

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.load import dumpd, load
from langchain_core.messages import HumanMessage
from langchain_core.outputs import GenerationChunk
from langchain_core.tracers.context import collect_runs
from pydantic import BaseModel

from freeproviders import Abilities, FlowGpt, OpenAICompatible, Retry
from freeproviders.errors import StructuredOutputError
from freeproviders.provider import Provider
from freeproviders.types import Finish, Text, Usage
from langchain_freeproviders import BackendLLM, ChatBackend, ChatFlowGpt, ChatFreeProviders
from langchain_freeproviders.base import FreeProvidersChatModel, ProviderChatModel
from langchain_freeproviders.errors import ContextOverflowError, UsageError
from langchain_freeproviders.llms import ProviderLLM
from tests.brain import brain
from tests.langchain.services import FLOW, OPENAI


class Scripted:
    """A backend of somebody else's, which obeys; it knows nothing of our classes."""

    name = "Scripted House"
    model = "blend-1"

    def __init__(self, answer=brain):
        self.answer = answer

    async def batches(self, request):
        messages = [{"role": message.role, "content": message.text} for message in request.messages]
        for piece in self.answer(messages).split(" "):
            await asyncio.sleep(0)
            yield [Text(f"{piece} ")]
        yield [Usage(3, 4), Finish(provider=self.name, model=request.model or self.model)]


class City(BaseModel):
    """A city."""

    name: str
    country: str


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"21 degrees in {city}"


def parrot(messages):
    return messages[-1]["content"]


async def test_in_all_the_ways_to_ask():
    model = ChatBackend(backend=Scripted(parrot))
    assert model.invoke("Good morning").content.strip() == "Good morning"
    assert (await model.ainvoke("Good morning")).content.strip() == "Good morning"
    assert [chunk.content for chunk in model.stream("a b")] == ["a ", "b ", ""]
    assert [chunk.content async for chunk in model.astream("a b")] == ["a ", "b ", ""]
    assert [answer.content for answer in model.batch(["a", "b"])] == ["a ", "b "]
    message = model.invoke("Hi")
    assert message.usage_metadata == {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    assert message.response_metadata["model_provider"] == "scripted_house"
    assert (message.response_metadata["model_name"], message.response_metadata["provider"]) == (
        "blend-1",
        "Scripted House",
    )
    assert (model.model, model._llm_type) == ("blend-1", "scripted-house-chat")
    assert ChatBackend(backend=Scripted(parrot), model="blend-2").invoke("Hi").response_metadata[
        "model_name"
    ] == ("blend-2")


async def test_tools_and_typed_answers():
    model = ChatBackend(backend=Scripted())
    (call,) = model.bind_tools([get_weather]).invoke("What is the weather in Paris?").tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})
    question = 'Which city and country is "Paris" in "France"?'
    for method in ("json_schema", "function_calling"):
        found = await model.with_structured_output(City, method=method).ainvoke(question)
        assert found == City(name="Paris", country="France")
    with pytest.raises(StructuredOutputError):
        ChatBackend(backend=Scripted(parrot), max_repairs=0).with_structured_output(City).invoke("no")


def test_abilities_of_the_backend_count():
    """What a backend says it can do itself is left to it, and its window is kept."""

    class Able(Scripted):
        def abilities(self, model=None):
            return Abilities(images=True, window=40)

    model = ChatBackend(backend=Able())
    assert (model.profile["image_inputs"], model.profile["max_input_tokens"]) == (True, 40)
    with pytest.raises(ContextOverflowError, match="window of 40"):
        model.invoke("word " * 400)
    with FLOW.replica("native") as r:
        provider = OpenAICompatible("m", base_url=r.base_url, native_tools=True)
        assert ChatBackend(backend=provider)._backend is provider
        assert not ChatBackend(backend=provider.with_abilities(tools=False))._backend.abilities().tools


def test_a_string_model():
    model = BackendLLM(backend=Scripted(parrot))
    assert model.invoke("a b") == "a b "
    assert list(model.stream("a b")) == ["a ", "b ", ""]
    chunks = list(model._stream("a b"))
    assert sum(chunks[1:], chunks[0]).generation_info["usage_metadata"]["total_tokens"] == 7
    assert all(isinstance(chunk, GenerationChunk) for chunk in chunks)
    assert model.generate(["a", "b"]).llm_output == {"model_name": "blend-1"}


@pytest.mark.parametrize("cls", [ChatBackend, BackendLLM])
@pytest.mark.parametrize("wrong", ["gpt", None, object()], ids=["text", "None", "object"])
def test_what_is_no_backend(cls, wrong):
    with pytest.raises(ValueError, match=f"{type(wrong).__name__} has no name, model, batches"):
        cls(backend=wrong)


def test_configuration_belongs_to_the_backend():
    with pytest.raises(ValueError, match="timeout, base_url belongs to the backend"):
        ChatBackend(backend=Scripted(), timeout=3, base_url="http://127.0.0.1:1")
    with pytest.raises(UsageError, match="takes no configuration: timeout"):
        ChatBackend(backend=Scripted()).invoke("Hi", timeout=3)
    with FLOW.replica("ok", faults=[{"status": 503}]) as r:
        model = ChatBackend(backend=FlowGpt(base_url=r.base_url, retry=0))
        message = model.invoke("Hi", max_retries=Retry(attempts=2, first=0.01), headers={"X-Mine": "1"})
        assert message.response_metadata["attempts"] == 2
        assert r.requests[-1].headers["X-Mine"] == "1"


class Echo:
    """A backend that says what it was made with; two of them may be equal to each other."""

    name = "Echo"
    model = "m"

    def __init__(self, head):
        self.head = head

    def __eq__(self, other):
        return isinstance(other, Echo)

    __hash__ = None

    async def batches(self, request):
        yield [Text(self.head + request.messages[-1].text)]
        yield [Usage(1, 1), Finish(provider=self.name, model=self.model)]


class Named(Echo):
    @property
    def identity(self):
        return self.head


def said(answer):
    return getattr(answer, "content", answer)


@pytest.mark.parametrize("cls", [ChatBackend, BackendLLM])
def test_caches_tell_backends_apart(cls):
    """An object of somebody else's is itself, unless it says who it is."""
    cache = InMemoryCache()
    first, second = Echo("A:"), Echo("B:")
    for backend, expected in ((first, "A:Hi"), (second, "B:Hi"), (first, "A:Hi")):
        assert said(cls(backend=backend, cache=cache).invoke("Hi")) == expected
    assert len(cache._cache) == 2
    model = cls(backend=first, cache=cache)
    for same in (copy.copy(model), copy.deepcopy(model), model.model_copy()):
        assert same._identity == model._identity
    assert model.model_copy(update={"backend": second})._identity == cls(backend=second)._identity
    for _ in range(50):  # objects that come and go may have one id
        assert said(cls(backend=Echo("C:"), cache=cache).invoke("x")) == "C:x"
    assert len(cache._cache) == 52
    assert cls(backend=Named("A:"))._identity == cls(backend=Named("A:"))._identity
    assert cls(backend=Named("A:"))._identity != cls(backend=Named("B:"))._identity
    assert cls(backend=FlowGpt())._identity == cls(backend=FlowGpt())._identity


def test_a_trace_sees_one_call():
    with collect_runs() as runs:
        ChatBackend(backend=Scripted(), temperature=0.5).bind_tools([get_weather], tool_choice="any").invoke(
            "What is the weather in Paris?"
        )
    (run,) = runs.traced_runs
    shown = run.extra["invocation_params"]
    assert (shown["provider"], shown["model_name"], shown["temperature"]) == (
        "scripted_house",
        "blend-1",
        0.5,
    )
    assert run.extra["metadata"]["ls_provider"] == "scripted_house"
    assert run.outputs["generations"][0][0]["message"]["kwargs"]["tool_calls"][0]["name"] == "get_weather"


@pytest.mark.parametrize("cls", [ChatBackend, BackendLLM])
def test_copied_and_pickled_where_the_backend_is(cls):
    with FLOW.replica("ok") as r:
        for backend in (FlowGpt(base_url=r.base_url), Scripted(parrot)):
            model = cls(backend=backend, temperature=0.5)
            answer = model.invoke("Hi")
            for other in (copy.copy(model), copy.deepcopy(model), model.model_copy()):
                assert other.backend is backend  # with what was learned of its service
                assert other == model
            pickled = pickle.loads(pickle.dumps(model))
            assert type(pickled.backend) is type(backend)
            assert pickled.temperature == 0.5
            for other in (copy.copy(model), copy.deepcopy(model), pickled):
                again = other.invoke("Hi")
                assert getattr(again, "content", again) == getattr(answer, "content", answer)
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        pickle.dumps(cls(backend=Scripted(lambda messages: "")))


@pytest.mark.parametrize("cls", [ChatBackend, BackendLLM])
def test_it_cannot_be_saved_and_says_so(cls):
    """A trace shows it; loading refuses."""
    saved = dumpd(cls(backend=Scripted()))
    assert saved["type"] == "not_implemented"
    assert "Scripted House" in repr(cls(backend=Scripted()))
    with pytest.raises(NotImplementedError, match="doesn't implement serialization"):
        load(saved, allowed_objects=[cls], valid_namespaces=["langchain_freeproviders"])


def test_a_cache_tells_backends_apart():
    class Other(Scripted):
        pass

    with OPENAI.replica("ok") as r:
        models = [
            ChatBackend(backend=Scripted()),
            ChatBackend(backend=Scripted(), model="blend-2"),
            ChatBackend(backend=Scripted(), temperature=0.5),
            ChatBackend(backend=Other()),
            ChatBackend(backend=OpenAICompatible("m", base_url=r.base_url)),
            ChatBackend(backend=OpenAICompatible("m", base_url="http://127.0.0.1:9")),
        ]
    assert len({model._get_llm_string() for model in models}) == len(models)


class ShoutingGpt(FlowGpt):
    """A provider of somebody else's."""

    name = "ShoutingGpt"
    slug = "shouting-gpt"


class ChatShoutingGpt(ProviderChatModel):
    """Its chat model, outside of our package."""

    provider_class = ShoutingGpt


def test_a_provider_of_ones_own_has_a_class_of_its_own(monkeypatch):
    with FLOW.replica("ok") as r:
        monkeypatch.setenv("SHOUTING_GPT_API_BASE", r.base_url)
        model = ChatShoutingGpt(max_retries=0)
        assert model.invoke([HumanMessage("Hi")]).response_metadata["model_provider"] == "shouting_gpt"
        assert issubclass(ChatShoutingGpt.provider_class, Provider)
        saved = dumpd(model)
        assert saved["id"][-1] == "ChatShoutingGpt"


@pytest.mark.parametrize("cls", [ProviderChatModel, ProviderLLM])
def test_a_base_is_no_model(cls):
    with pytest.raises(ValueError, match=f"{cls.__name__} is the base of many models"):
        cls()


def test_all_are_of_one_base():
    for cls in (ChatBackend, ChatFlowGpt, ChatFreeProviders):
        assert issubclass(cls, FreeProvidersChatModel)
