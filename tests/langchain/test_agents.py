"""Agents over the FlowGpt replica, whose protocol knows no tools.

Both `create_agent` and LangGraph's own, sync and async.
"""

import asyncio
import json

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, ModelRetryMiddleware, SummarizationMiddleware
from langchain.agents.structured_output import ProviderStrategy, StructuredOutputValidationError, ToolStrategy
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from pydantic import BaseModel

from freeproviders.errors import ServerError
from langchain_freeproviders.errors import StructuredOutputError, ToolCallError
from tests.brain import Script, brain, call
from tests.langchain.services import FLOW, OPENAI

WEATHER = "What is the weather in Rome?"
LIMIT = {"recursion_limit": 30}


class Report(BaseModel):
    """A weather report."""

    place: str
    degrees: int


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"21 degrees in {city}"


@tool
def get_time(city: str) -> str:
    """The time in a city."""
    return f"noon in {city}"


@tool
def fail(city: str) -> str:
    """Fail."""
    raise ToolException(f"no such city: {city}")


fail.handle_tool_error = True


def asked(text=WEATHER):
    return {"messages": [HumanMessage(text)]}


async def both(agent, inputs=None, config=None):
    """The agent's state after a sync and after an async run."""
    inputs, config = inputs or asked(), {**LIMIT, **(config or {})}
    return await asyncio.to_thread(agent.invoke, inputs, config), await agent.ainvoke(inputs, config)


def kinds(state):
    return [type(message).__name__ for message in state["messages"]]


async def test_a_tool_is_called_and_its_result_used():
    with FLOW.replica(brain) as r:
        for state in await both(create_agent(FLOW.model(r), [get_weather], system_prompt="Be brief.")):
            assert kinds(state) == ["HumanMessage", "AIMessage", "ToolMessage", "AIMessage"]
            assert state["messages"][1].tool_calls[0]["args"] == {"city": "Rome"}
            assert state["messages"][-1].content == "The tool says: 21 degrees in Rome"
        assert "Be brief." in r.requests[-1].body.decode()


async def test_without_tools():
    with FLOW.replica("Hello") as r:
        for state in await both(create_agent(FLOW.model(r), [])):
            assert state["messages"][-1].content == "Hello"


async def test_parallel_tools():
    with FLOW.replica(brain) as r:
        for state in await both(
            create_agent(FLOW.model(r), [get_weather, get_time]),
            asked("Tell me the weather and the time in Rome."),
        ):
            assert kinds(state) == ["HumanMessage", "AIMessage", "ToolMessage", "ToolMessage", "AIMessage"]
            assert "21 degrees" in state["messages"][-1].content
            assert "noon" in state["messages"][-1].content


async def test_a_failing_tool():
    with FLOW.replica(brain) as r:
        for state in await both(create_agent(FLOW.model(r), [fail]), asked("Please fail in Rome")):
            assert kinds(state) == ["HumanMessage", "AIMessage", "ToolMessage", "AIMessage"]
            assert state["messages"][2].status == "error"
            assert "no such city" in state["messages"][-1].content
        assert 'status="error"' in json.loads(r.requests[-1].body)["question"]


async def test_a_tool_that_breaks_breaks_the_run():
    """LangGraph hands on what a tool raises unless told otherwise.

    The model's call is no excuse to hide it.
    """

    @tool
    def explode(city: str) -> str:
        """Explode."""
        raise ZeroDivisionError(city)

    with FLOW.replica(brain) as r:
        agent = create_agent(FLOW.model(r), [explode])
        with pytest.raises(ZeroDivisionError, match="Rome"):
            await agent.ainvoke(asked("Please explode in Rome"), LIMIT)
        assert len(r.requests) == 1


@pytest.mark.parametrize("tools", [[], [get_weather]], ids=["alone", "with-tools"])
@pytest.mark.parametrize(
    "strategy", [ToolStrategy(Report), ProviderStrategy(Report), Report], ids=["tool", "provider", "auto"]
)
async def test_an_object_at_the_end(strategy, tools):
    with FLOW.replica(brain) as r:
        for state in await both(create_agent(FLOW.model(r), tools, response_format=strategy)):
            assert state["structured_response"] == Report(place="Rome", degrees=3)
            assert not tools or any(
                isinstance(message, ToolMessage) and "21 degrees" in message.content
                for message in state["messages"]
            )


@pytest.mark.parametrize("tools", [[], [get_weather]], ids=["alone", "with-tools"])
async def test_a_models_name_that_forces_the_providers_strategy(tools):
    """By a list of names LangChain decides that gpt-4o has structured output, whoever serves it.

    It then reads the answer with json.loads.
    """
    with OPENAI.replica(brain) as r:
        for state in await both(create_agent(OPENAI.model(r, model="gpt-4o"), tools, response_format=Report)):
            assert state["structured_response"] == Report(place="Rome", degrees=3)


async def test_json_in_a_fence_is_no_error_there():
    with OPENAI.replica('Of course!\n```json\n{"place": "Rome", "degrees": 21}\n```') as r:
        agent = create_agent(OPENAI.model(r, model="gpt-4o"), [], response_format=Report)
        assert (await agent.ainvoke(asked(), LIMIT))["structured_response"] == Report(
            place="Rome", degrees=21
        )


class Count(BaseCallbackHandler):
    def __init__(self):
        self.starts = 0

    def on_chat_model_start(self, *args, **kwargs):
        self.starts += 1


@pytest.mark.parametrize(
    "strategy", [ToolStrategy(Report), ProviderStrategy(Report)], ids=["tool", "provider"]
)
async def test_prose_where_an_object_is_due_ends_soon(strategy):
    """LangChain's own loop would ask until its limit, which is 9,999 by default."""
    with FLOW.replica("I'd rather not say.") as r:
        count = Count()
        with pytest.raises((ToolCallError, StructuredOutputError, StructuredOutputValidationError)):
            await create_agent(FLOW.model(r), [], response_format=strategy).ainvoke(
                asked(), {"callbacks": [count]}
            )
        assert count.starts == 1
        assert len(r.requests) == 3


async def test_a_bad_call_never_ends_an_agent_in_silence():
    with FLOW.replica(
        Script(call("get_weather", town="Rome"), call("get_weather", city="Rome"), "Done.")
    ) as r:
        state = await create_agent(FLOW.model(r), [get_weather]).ainvoke(asked(), LIMIT)
        assert kinds(state) == ["HumanMessage", "AIMessage", "ToolMessage", "AIMessage"]
        assert len(r.requests) == 3
    wrong = call("get_weather", town="Rome")
    with FLOW.replica(Script(wrong, wrong, wrong, call("get_weather", city="Rome"), "Done.")) as r:
        state = await create_agent(FLOW.model(r), [get_weather]).ainvoke(asked(), LIMIT)
        assert len(r.requests) == 5
    assert kinds(state) == [
        "HumanMessage", "AIMessage", "ToolMessage", "AIMessage", "ToolMessage", "AIMessage",
    ]  # fmt: skip
    assert [turn.status for turn in state["messages"] if isinstance(turn, ToolMessage)] == [
        "error",
        "success",
    ]


async def test_streaming_messages_updates_and_custom():
    @tool
    def get_news(city: str) -> str:
        """The news of a city."""
        get_stream_writer()(f"reading the papers of {city}")
        return "all quiet"

    question = asked("Any news from Rome?")
    with FLOW.replica(brain) as r:
        agent = create_agent(FLOW.model(r), [get_news])
        seen = [
            item
            async for item in agent.astream(question, LIMIT, stream_mode=["messages", "updates", "custom"])
        ]
        assert await asyncio.to_thread(
            lambda: len(list(agent.stream(question, LIMIT, stream_mode=["messages", "updates", "custom"])))
        ) == len(seen)
    chunks = [data[0] for mode, data in seen if mode == "messages" and isinstance(data[0], AIMessageChunk)]
    assert "".join(chunk.text for chunk in chunks) == "The tool says: all quiet"
    assert [c["args"] for chunk in chunks for c in chunk.tool_calls] == [{"city": "Rome"}]
    assert len([chunk for chunk in chunks if chunk.text]) > 1
    assert [data for mode, data in seen if mode == "custom"] == ["reading the papers of Rome"]
    assert [next(iter(data)) for mode, data in seen if mode == "updates"] == ["model", "tools", "model"]


async def test_events():
    with FLOW.replica(brain) as r:
        events = [
            event
            async for event in create_agent(FLOW.model(r), [get_weather]).astream_events(
                asked(), LIMIT, version="v2"
            )
        ]
    names = [event["event"] for event in events]
    assert names.count("on_chat_model_start") == names.count("on_chat_model_end") == 2
    assert names.count("on_tool_start") == names.count("on_tool_end") == 1


async def test_a_checkpointer_keeps_the_conversation():
    with FLOW.replica(brain) as r:
        agent = create_agent(FLOW.model(r), [get_weather], checkpointer=InMemorySaver())
        config = {**LIMIT, "configurable": {"thread_id": "t"}}
        await agent.ainvoke(asked(), config)
        state = await agent.ainvoke(asked("Thank you!"), config)
        assert kinds(state) == [
            "HumanMessage",
            "AIMessage",
            "ToolMessage",
            "AIMessage",
            "HumanMessage",
            "AIMessage",
        ]
        assert state["messages"][1].tool_calls[0]["args"] == {"city": "Rome"}
        assert state["messages"][3].usage_metadata["output_tokens"] > 0
        assert "21 degrees" in r.requests[-1].body.decode()


async def test_summarising():
    """Which trusts reported usage only of the provider that it believes to talk to."""
    with FLOW.replica(Script("A long chat about Rome.", "Fine, thank you.")) as r:
        model = FLOW.model(r, profile={"max_input_tokens": 2000})
        agent = create_agent(
            model,
            [],
            middleware=[SummarizationMiddleware(model, trigger=("tokens", 300), keep=("messages", 1))],
        )
        history = [HumanMessage("word " * 200), AIMessage("word " * 200), HumanMessage("And now?")]
        state = await agent.ainvoke({"messages": history}, LIMIT)
        assert state["messages"][-1].content == "Fine, thank you."
        assert "A long chat about Rome." in state["messages"][0].content
        assert len(r.requests) == 2


async def test_summarising_by_fraction_of_the_window():
    with FLOW.replica(Script("A summary.", "Fine.")) as r:
        model = FLOW.model(r, profile={"max_input_tokens": 1000})
        agent = create_agent(
            model,
            [],
            middleware=[SummarizationMiddleware(model, trigger=("fraction", 0.5), keep=("messages", 1))],
        )
        history = [HumanMessage("word " * 300), AIMessage("word " * 300), HumanMessage("And now?")]
        state = await agent.ainvoke({"messages": history}, LIMIT)
        assert "A summary." in state["messages"][0].content


async def test_a_summary_that_would_not_fit_is_asked_for_in_short():
    """The middleware waits for a ContextOverflowError, which comes here before anything is sent."""
    with FLOW.replica(Script("A summary.", "Fine.")) as r:
        model = FLOW.model(r, profile={"max_input_tokens": 2500})
        agent = create_agent(
            model,
            [],
            middleware=[SummarizationMiddleware(model, trigger=("tokens", 3000), keep=("messages", 1))],
        )
        history = [
            *[kind("word " * 400) for _ in range(4) for kind in (HumanMessage, AIMessage)],
            HumanMessage("And now?"),
        ]
        state = await agent.ainvoke({"messages": history}, LIMIT)
        assert "A summary." in state["messages"][0].content
        assert state["messages"][-1].content == "Fine."
        assert all(len(request.body) < 2500 * 4 for request in r.requests)
        assert len(r.requests) == 2


async def test_retrying():
    """What can work later is tried again, what cannot is not."""
    with FLOW.replica("Hello", faults=[{"status": 503}, {"status": 503}]) as r:
        agent = create_agent(
            FLOW.model(r),
            [],
            middleware=[ModelRetryMiddleware(max_retries=3, initial_delay=0.01, on_failure="error")],
        )
        assert (await agent.ainvoke(asked(), LIMIT))["messages"][-1].content == "Hello"
        assert len(r.requests) == 3
    with FLOW.replica("Hello", faults={"status": 401}) as r:
        agent = create_agent(
            FLOW.model(r),
            [],
            middleware=[ModelRetryMiddleware(max_retries=3, initial_delay=0.01, on_failure="error")],
        )
        with pytest.raises(Exception, match="401"):
            await agent.ainvoke(asked(), LIMIT)
        assert len(r.requests) == 1


async def test_falling_back():
    with FLOW.replica("never", faults={"status": 500}) as broken, OPENAI.replica(brain) as r:
        agent = create_agent(
            FLOW.model(broken), [get_weather], middleware=[ModelFallbackMiddleware(OPENAI.model(r))]
        )
        for state in await both(agent):
            assert state["messages"][-1].content == "The tool says: 21 degrees in Rome"
            assert state["messages"][-1].response_metadata["provider"] == "OpenAICompatible"


@pytest.mark.filterwarnings("ignore:create_react_agent")
async def test_langgraphs_own_agent():
    prebuilt = pytest.importorskip("langgraph.prebuilt")
    with FLOW.replica(brain) as r:
        for state in await both(prebuilt.create_react_agent(FLOW.model(r), [get_weather])):
            assert state["messages"][-1].content == "The tool says: 21 degrees in Rome"
        for state in await both(
            prebuilt.create_react_agent(FLOW.model(r), [get_weather], response_format=Report)
        ):
            assert state["structured_response"].place == "Rome"
        agent = prebuilt.create_react_agent(FLOW.model(r), [get_weather])
        seen = [
            item
            async for item in agent.astream(asked(), LIMIT, stream_mode=["messages", "updates", "values"])
        ]
        assert len(
            await asyncio.to_thread(
                lambda: list(agent.stream(asked(), LIMIT, stream_mode=["messages", "updates", "values"]))
            )
        ) == len(seen)
    chunks = [data[0] for mode, data in seen if mode == "messages" and isinstance(data[0], AIMessageChunk)]
    assert "".join(chunk.text for chunk in chunks) == "The tool says: 21 degrees in Rome"
    assert len([chunk for chunk in chunks if chunk.text]) > 1
    assert [next(iter(data)) for mode, data in seen if mode == "updates"] == ["agent", "tools", "agent"]
    assert kinds([data for mode, data in seen if mode == "values"][-1]) == [
        "HumanMessage",
        "AIMessage",
        "ToolMessage",
        "AIMessage",
    ]


async def test_an_agent_that_is_cancelled_ends_its_request():
    with FLOW.replica(["word "] * 1000, faults={"pace": 0.02}) as r:
        task = asyncio.create_task(create_agent(FLOW.model(r), [get_weather]).ainvoke(asked(), LIMIT))
        await r.await_requests(1)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await r.await_disconnect(1)


async def test_a_failure_of_the_service_comes_out():
    with FLOW.replica("never", faults={"status": 500}) as r, pytest.raises(ServerError):
        await create_agent(FLOW.model(r), [get_weather]).ainvoke(asked(), LIMIT)
