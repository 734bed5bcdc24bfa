"""`cache=` of LLMs: the same question is asked once, whichever method asks."""

import asyncio

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from freeproviders import FlowGpt as Provider
from freeproviders import OpenAICompatible as Core
from freeproviders.errors import StructuredOutputError, UsageError
from freeproviders.testing import replica
from llama_index_freeproviders import BackendLLM, FlowGpt, FreeProviders, OpenAICompatible
from tests.brain import brain

HI = [ChatMessage(content="Hi")]


@pytest.fixture
def server():
    with replica(Core) as server:
        yield server


def test_a_question_is_asked_once(server, tmp_path):
    """Streamed or not, sync or async, by any object with the same settings; a setting is another question."""

    def made(**fields):
        return OpenAICompatible("m", base_url=server.base_url, cache=tmp_path / "a.db", **fields)

    async def streamed():
        return [chunk async for chunk in await made().astream_chat(HI)]

    first = made().chat(HI)
    found = [
        made().chat(HI),
        made().complete("Hi"),
        asyncio.run(made().achat(HI)),
        list(made().stream_chat(HI))[-1],
        list(made().stream_complete("Hi"))[-1],
        asyncio.run(streamed())[-1],
    ]
    assert len(server.requests) == 1
    for one in found:
        assert str(one).removeprefix("assistant: ") == "Hi"
        assert one.raw["cached"] is True
        assert one.raw["usage"] == first.raw["usage"]
    assert first.raw.get("cached") is None
    made(temperature=0.5).chat(HI)
    made().chat(HI, max_tokens=7)
    assert len(server.requests) == 3


def test_every_kind_of_llm_has_it(server, tmp_path):
    """Of a service, over a backend, over several; one backend's own cache is left to it."""
    service = OpenAICompatible("m", base_url=server.base_url)
    with replica(Provider) as flow:
        makers = [
            lambda: FlowGpt(base_url=flow.base_url, cache=str(tmp_path / "a.db")),
            lambda: BackendLLM(backend=Provider(base_url=flow.base_url), cache=str(tmp_path / "b.db")),
            lambda: BackendLLM(backend=Provider(base_url=flow.base_url, cache=tmp_path / "c.db")),
        ]
        for number, make in enumerate(makers, 1):
            assert make().chat(HI).raw.get("cached") is None
            assert make().chat(HI).raw["cached"] is True
            assert len(flow.requests) == number
    for _ in range(2):
        FreeProviders(models=[service], cache=tmp_path / "d.db").complete("Hi")
    assert len(server.requests) == 1


def test_agents_are_served(tmp_path):
    """Their calls are answers like others."""

    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"Sunny in {city}."

    async def agent(llm):
        return str(await FunctionAgent(tools=[get_weather], llm=llm).run("The weather in Oslo?"))

    with replica(Core, answer=brain) as server:
        for _ in range(2):
            llm = OpenAICompatible("m", base_url=server.base_url, cache=tmp_path / "a.db")
            assert "Sunny in Oslo" in asyncio.run(agent(llm))
        assert len(server.requests) == 2


class Song(BaseModel):
    title: str
    seconds: int


class Other(BaseModel):
    title: str
    seconds: int


def test_objects_are_served(tmp_path):
    """Each class by itself, and at once where an object is shown as it grows."""
    prompt = PromptTemplate("A song about {what}, of 180 seconds")
    with replica(Core, answer=brain) as server:

        def made(**fields):
            return OpenAICompatible("m", base_url=server.base_url, **fields)

        bare = made().structured_predict(Song, prompt, what="Rain")
        cached = {"cache": tmp_path / "a.db"}
        for _ in range(2):
            assert made(**cached).structured_predict(Song, prompt, what="Rain") == bare
            assert asyncio.run(made(**cached).astructured_predict(Song, prompt, what="Rain")) == bare
        assert len(server.requests) == 2
        assert type(made(**cached).structured_predict(Other, prompt, what="Rain")) is Other
        structured = made(**cached).as_structured_llm(Song)
        for _ in range(2):
            assert type(structured.complete("A song, of 3 seconds").raw) is Song
        assert len(server.requests) == 4
        assert list(made(**cached).stream_structured_predict(Song, prompt, what="Rain")) == [bare]
        assert len(server.requests) == 4
    with replica(Core, answer="no object") as server:
        strict = made(**cached, on_invalid="pass")
        for _ in range(2):
            with pytest.raises(StructuredOutputError):
                strict.structured_predict(Song, prompt, what="Snow")


def test_it_can_be_changed_and_is_not_saved(server, tmp_path):
    """A copy without it asks."""
    llm = OpenAICompatible("m", base_url=server.base_url, cache=tmp_path / "a.db")
    llm.chat(HI)
    llm.cache = None
    llm.chat(HI)
    assert len(server.requests) == 2
    llm.cache = tmp_path / "a.db"
    assert llm.chat(HI).raw["cached"] is True
    assert "cache" not in llm.to_dict()
    with pytest.raises(UsageError, match="cache must be"):
        OpenAICompatible("m", base_url=server.base_url, cache=3)
