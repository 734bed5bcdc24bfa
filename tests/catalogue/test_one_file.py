"""A service of one file of the user's: in the core, both adapters, the command line and as a replica."""

import json
import os
import subprocess
import sys

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from llama_index.core.agent.workflow import FunctionAgent

import llama_index_freeproviders
from freeproviders import OpenAICompatible, ToolCall
from freeproviders.catalogue import look_again
from freeproviders.errors import RateLimitError
from freeproviders.testing import replica
from langchain_freeproviders import ChatOpenAICompatible, init_chat_model

CORNER = """\
name = "Corner"
base_url = "{base_url}"
keys = ["CORNER_KEY"]
default_model = "corner-large"
checked = 2026-11-01
source = "https://corner.example/docs"
confidence = "C"
limit = [{{ metric = "requests", per = "minute", cap = 5, reset = "rolling" }}]
models."corner-large" = {{ cost = "allowance", context = 32000, tools = true, schema = true }}

[[error]]
kind = "minute"
status = 429
match = ["slow down"]
scope = "account"
body = '{{"error":{{"message":"Please slow down"}}}}'

[headers]
on = "every"

[[headers.allowance]]
metric = "requests"
per = "minute"
limit = "X-Cap"
remaining = "X-Left"
reset = "X-Reset"
reset_form = "epoch_s"
"""
KEY = "corner-a1b2c3d4e5f6"


@tool
def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It rains in {city}."


def answering(messages):
    """Call the tool, then say what it returned."""
    if messages[-1]["role"] == "tool":
        return messages[-1]["content"]
    if "weather" in str(messages[-1]["content"]):
        return [ToolCall("call_1", "get_weather", {"city": "Linz"})]
    return "Around the corner."


@pytest.fixture
def corner(tmp_path, monkeypatch):
    """A replica of the service, whose one file leads to it."""
    file = tmp_path / "services" / "corner.toml"
    file.parent.mkdir()
    file.write_text(CORNER.format(base_url="https://corner.example/v1"), encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setenv("FREEPROVIDERS_SERVICES", str(file.parent))
        patch.setenv("CORNER_KEY", KEY)
        look_again()
        with replica(service="corner", answer=answering, api_key=KEY) as server:
            file.write_text(CORNER.format(base_url=server.base_url), encoding="utf-8")
            look_again()
            yield server
    look_again()


async def test_in_the_core(corner):
    provider = OpenAICompatible(service="corner")
    assert provider.abilities().window == 32_000
    answer = await provider.complete("Where?")
    assert answer.text == "Around the corner."
    assert [(one.cap, one.remaining) for one in answer.finish.allowances] == [(5, 4)]
    with pytest.raises(RateLimitError, match=r"\[Corner corner-large\].*slow down") as caught:
        for _ in range(5):
            await OpenAICompatible(service="corner", retry=0).complete("Where?")
    assert (caught.value.kind, caught.value.scope) == ("minute", "account")
    assert caught.value.soonest is not None


async def test_in_langchain(corner):
    model = ChatOpenAICompatible(service="corner")
    assert model.profile["max_input_tokens"] == 32_000
    assert (await model.ainvoke("Where?")).text == "Around the corner."
    agent = create_agent(init_chat_model("freeproviders:corner/corner-large"), [get_weather])
    state = await agent.ainvoke({"messages": [("human", "What is the weather in Linz?")]})
    assert state["messages"][-1].text == "It rains in Linz."


async def test_in_llamaindex(corner):
    llm = llama_index_freeproviders.OpenAICompatible(service="corner")
    assert llm.metadata.context_window == 32_000
    assert (await llm.acomplete("Where?")).text == "Around the corner."
    agent = FunctionAgent(tools=[get_weather.func], llm=llm)
    assert str(await agent.run("What is the weather in Linz?")) == "It rains in Linz."


def test_on_the_command_line(corner):
    def run(*words):
        done = subprocess.run(
            [sys.executable, "-m", "freeproviders", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=dict(os.environ),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("chat", "--service", "corner", "Where?") == "Around the corner.\n"
    assert "Corner" in run("catalogue", "corner")
    assert "corner" in json.dumps(json.loads(run("catalogue", "--json")))
