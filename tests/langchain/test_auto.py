"""Services of which nobody has said whether they have tools or constrain answers."""

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from pydantic import BaseModel

from freeproviders import OpenAICompatible
from langchain_freeproviders import ChatBackend, ChatOpenAICompatible
from tests.langchain.services import OPENAI
from tests.tools.unknown import BOTH, IN_WORDS, NATIVELY, SERVICES, model, sent


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"rain in {city}"


class City(BaseModel):
    """A city."""

    city: str


def of(style):
    options = SERVICES[style]
    return OPENAI.replica(model(options.get("native_tools", True)), **options)


QUESTION = {"messages": [HumanMessage("Weather in Oslo?")]}
ENDS = {"native": NATIVELY, "ignores tools": IN_WORDS, "calls as text": IN_WORDS}


@pytest.mark.parametrize("style", SERVICES)
async def test_an_agent_works_over_any_service(style):
    """Sync and async, and again with what the first run has shown."""
    with of(style) as r:
        chat = OPENAI.model(r)
        assert chat.native_tools == chat.json_schema == "auto"
        agent = create_agent(chat, [get_weather])
        for result in (agent.invoke(QUESTION), await agent.ainvoke(QUESTION)):
            _, call, told, answer = result["messages"]
            assert call.tool_calls[0]["args"] == {"city": "Oslo"}
            assert told.content == "rain in Oslo"
            assert answer.content == "It rains."
        put = sent(r)
        assert put[0] == BOTH
        assert set(put[-2:]) == {ENDS.get(style, NATIVELY if style.startswith("native") else IN_WORDS)}


@pytest.mark.parametrize("style", SERVICES)
def test_objects_come_from_any_service(style):
    """By the schema as the answer, and by a call that is required."""
    with of(style) as r:
        chat = OPENAI.model(r)
        assert chat.with_structured_output(City).invoke("Which city?") == City(city="Oslo")
        assert "response_format" in r.requests[0].json
        bound = chat.bind_tools([get_weather], tool_choice="any")
        for _ in range(2):
            assert bound.invoke("Weather?").tool_calls[0]["args"] == {"city": "Oslo"}


@pytest.mark.parametrize(("claim", "put"), [(True, NATIVELY), (False, IN_WORDS)])
def test_who_knows_says_so(claim, put):
    """True and False are fields as before, are saved, and reach the backend."""
    with OPENAI.replica(model()) as r:
        chat = OPENAI.model(r, native_tools=claim, json_schema=claim)
        assert chat.bind_tools([get_weather]).invoke("Weather?").tool_calls
        assert sent(r) == [put]
        assert ChatOpenAICompatible.model_validate(chat.model_dump()).native_tools is claim
    with pytest.raises(ValueError, match="native_tools"):
        ChatOpenAICompatible(model="m", base_url="http://127.0.0.1:9", native_tools="maybe")


def test_what_was_found_can_be_read():
    """By whoever holds the backend."""
    with OPENAI.replica(model()) as r:
        backend = OpenAICompatible("m", base_url=r.base_url)
        ChatBackend(backend=backend).bind_tools([get_weather]).invoke("Weather?")
        assert [lesson.verdict for lesson in backend.learned.lessons] == ["proven"]
