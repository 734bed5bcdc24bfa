"""A real model behind a real protocol.

The embedded 0.5B speaks FlowGpt's, which knows neither tools nor schemas.
"""

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from freeproviders import FlowGpt
from langchain_freeproviders import ChatBackend, ChatEmbedded
from tests.langchain.services import FLOW

STEADY = {"model": "qwen2.5-coder-0.5b", "temperature": 0, "prompt_cache": False}
"""The same answer each time, whatever was asked before."""

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


@tool
def get_weather(city: str) -> str:
    """Get the current weather in a city."""
    return f"It is 21 degrees and sunny in {city}."


class City(BaseModel):
    """A city."""

    name: str
    country: str


def agent_of(model):
    return create_agent(
        model, [get_weather], system_prompt="Use the tool to answer questions about the weather."
    )


@pytest.mark.parametrize("where", ["here", "flow-gpt"])
async def test_an_agent_uses_a_tool(where, embedded_05b):
    with FLOW.replica(embedded_05b) as r:
        model = ChatEmbedded(**STEADY)
        if where == "flow-gpt":
            flow = FlowGpt(base_url=r.base_url, timeout=300)
            model = ChatBackend(backend=flow.with_abilities(family=STEADY["model"]), temperature=0)
        state = await agent_of(model).ainvoke(
            {"messages": [HumanMessage("What is the weather in Paris?")]}, {"recursion_limit": 20}
        )
    messages = state["messages"]
    (call, *_), (result, *_) = (
        [m for m in messages if isinstance(m, cls) and getattr(m, "tool_calls", True)]
        for cls in (AIMessage, ToolMessage)
    )
    assert call.tool_calls[0]["name"] == "get_weather"
    assert "paris" in call.tool_calls[0]["args"]["city"].lower()
    assert result.content.startswith("It is 21 degrees")
    assert "21" in messages[-1].text or "sunny" in messages[-1].text


async def test_an_object_comes_out(embedded_05b):
    with FLOW.replica(embedded_05b) as r:
        answer = (
            await FLOW.model(r, temperature=0, timeout=300)
            .with_structured_output(City)
            .ainvoke("Paris is the capital of France.")
        )
    assert answer == City(name="Paris", country="France")


async def test_an_answer_streams(embedded_05b):
    with FLOW.replica(embedded_05b) as r:
        chunks = [
            chunk async for chunk in FLOW.model(r, temperature=0, timeout=300).astream("Count from 1 to 5.")
        ]
    assert len(chunks) > 5
    assert "3" in "".join(chunk.content for chunk in chunks)
