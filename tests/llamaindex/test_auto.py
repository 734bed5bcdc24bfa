"""Services of which nobody has said whether they have tools or constrain answers."""

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

import freeproviders
from freeproviders.testing import replica
from llama_index_freeproviders import BackendLLM, OpenAICompatible
from tests.tools.unknown import BOTH, IN_WORDS, NATIVELY, SERVICES, model, sent


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"rain in {city}"


class City(BaseModel):
    """A city."""

    city: str


def of(style):
    options = SERVICES[style]
    return replica("openai-compatible", answer=model(options.get("native_tools", True)), **options)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("style", SERVICES)
async def test_an_agent_works_over_any_service(style, streaming):
    """Twice, so that the second run has what the first has shown."""
    async with of(style) as r:
        llm = OpenAICompatible("m", base_url=r.base_url, retry=0)
        for _ in range(2):
            agent = FunctionAgent(tools=[get_weather], llm=llm, streaming=streaming)
            output = await agent.run("Weather in Oslo?")
            assert output.response.content == "It rains."
            assert [call.tool_kwargs for call in output.tool_calls] == [{"city": "Oslo"}]
        put = sent(r)
        assert put[0] == BOTH
        assert set(put[-2:]) == {NATIVELY if style.startswith("native") else IN_WORDS}


@pytest.mark.parametrize("style", SERVICES)
def test_calls_and_objects_without_a_loop(style):
    """The sync methods, with a call that is required."""
    with of(style) as r:
        llm = OpenAICompatible("m", base_url=r.base_url, retry=0)
        assert llm.structured_predict(City, PromptTemplate("Which city?")) == City(city="Oslo")
        tool = FunctionTool.from_defaults(get_weather)
        for _ in range(2):
            response = llm.chat_with_tools([tool], user_msg="Weather?", tool_required=True)
            (call,) = llm.get_tool_calls_from_response(response)
            assert call.tool_kwargs == {"city": "Oslo"}


@pytest.mark.parametrize(("value", "put"), [("native", NATIVELY), ("emulate", IN_WORDS), ("auto", BOTH)])
def test_function_calling_says_how(value, put):
    """Of an LLM made of a backend as well; what was found can be read there."""
    with replica("openai-compatible", answer=model()) as r:
        backend = freeproviders.OpenAICompatible("m", base_url=r.base_url)
        for llm in (
            OpenAICompatible("m", base_url=r.base_url, function_calling=value),
            BackendLLM(backend=backend, function_calling=value),
        ):
            tool = FunctionTool.from_defaults(get_weather)
            assert llm.get_tool_calls_from_response(llm.chat_with_tools([tool], user_msg="Weather?"))
        assert sent(r) == [put] * 2
        assert [lesson.verdict for lesson in backend.learned.lessons] == ["proven"] * (value == "auto")
