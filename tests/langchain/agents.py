"""What the tests of LangChain's agents share: answers of calls, and a run in all ways that there are."""

import asyncio

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool

from freeproviders.types import ToolCall
from tests.brain import Script, call
from tests.langchain.services import OPENAI

LIMIT = {"recursion_limit": 30}
MODES = ["messages", "values"]
native = pytest.mark.parametrize("native", [False, True], ids=["prompted", "native"])


def made(native, *calls):
    """An answer of calls, each a name and its arguments."""
    if native:
        return [ToolCall(f"c{n}", name, args) for n, (name, args) in enumerate(calls)]
    return "".join(call(name, **args) for name, args in calls)


def model(r, native, **fields):
    return OPENAI.model(r, native_tools=native, json_schema=False, **fields)


def streamed(agent, asked):
    """The last state of a run whose model streams."""
    return [state for mode, state in agent.stream(asked, LIMIT, stream_mode=MODES) if mode == "values"][-1]


async def astreamed(agent, asked):
    states = [
        state async for mode, state in agent.astream(asked, LIMIT, stream_mode=MODES) if mode == "values"
    ]
    return states[-1]


WAYS = (
    lambda agent, asked: asyncio.to_thread(agent.invoke, asked, LIMIT),
    lambda agent, asked: agent.ainvoke(asked, LIMIT),
    lambda agent, asked: asyncio.to_thread(streamed, agent, asked),
    astreamed,
)


async def in_all_ways(answers, make):
    """The agent's messages after each way to run it, which are the same, with the answers from the first."""
    out = []
    for run in WAYS:
        with OPENAI.replica(Script(*answers)) as r:
            state = await run(make(r), {"messages": [HumanMessage("Go on.")]})
            out.append((state["messages"], r))
            assert state["messages"][-1].content == answers[-1]
    assert len({tuple(map(kind, messages)) for messages, _ in out}) == 1
    assert len({len(r.requests) for _, r in out}) == 1
    return out[0]


def kind(message):
    return type(message).__name__, getattr(message, "status", None)


def results(messages):
    return [message.content for message in messages if isinstance(message, ToolMessage)]


@tool
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)
