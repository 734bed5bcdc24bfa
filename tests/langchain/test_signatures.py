"""What a service adds to its tool calls, through LangChain's agents, messages and stores."""

import pytest
from langchain.agents import create_agent
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage, messages_from_dict, messages_to_dict
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from freeproviders import OpenAICompatible
from langchain_freeproviders import ChatBackend, ChatOpenAICompatible
from tests.core.signing import DONE, SKIP, row, signatures, signing


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@tool
def get_time(city: str) -> str:
    """The time in a city."""
    return f"noon in {city}"


TOOLS = [get_weather, get_time]


def model(server, name="signing", **fields):
    provider = OpenAICompatible("m", base_url=server.base_url, native_tools=True, retry=0, service=row(name))
    return ChatBackend(backend=provider, **fields)


def question():
    return {"messages": [HumanMessage("The weather?")]}  # a store tells messages by their ids


@pytest.mark.parametrize("fields", [{}, {"stream_tool_arguments": True}, {"output_version": "v1"}], ids=str)
@pytest.mark.parametrize("streaming", [False, True])
async def test_an_agent_goes_on(streaming, fields):
    """Two calls in parallel, one more, and the next question; with a checkpoint between all of them."""
    with signing() as server:
        agent = create_agent(model(server, **fields), TOOLS, checkpointer=InMemorySaver())
        config = {"configurable": {"thread_id": "1"}, "recursion_limit": 20}
        for turn in (1, 2):
            if streaming:
                async for _ in agent.astream(question(), config, stream_mode="messages"):
                    pass
            else:
                await agent.ainvoke(question(), config)
            messages = (await agent.aget_state(config)).values["messages"]
            assert messages[-1].text == DONE
            signed = signatures(server.bodies[-1])
            assert [len(one) for one in signed] == [2, 1] * turn
            assert all(one[0] and not any(one[1:]) for one in signed)
        assert len({one[0] for one in signed}) == 4
        assert len(server.bodies) == 6


def test_a_model_without_a_row_learns_it():
    with signing() as server:
        chat = ChatOpenAICompatible(model="m", base_url=server.base_url, native_tools=True, max_retries=0)
        state = create_agent(chat, TOOLS).invoke(question())
        assert state["messages"][-1].content == DONE
        assert len(server.bodies) == 4  # one was refused


@pytest.mark.parametrize(
    "saved",
    [
        lambda messages: loads(dumps(messages), allowed_objects="all"),
        lambda messages: messages_from_dict(messages_to_dict(messages)),
        lambda messages: [type(message)(**message.model_dump()) for message in messages],
    ],
    ids=["load", "dict", "pydantic"],
)
def test_messages_keep_it_when_they_are_saved(saved):
    with signing() as server:
        chat = model(server).bind_tools(TOOLS)
        first = chat.invoke("The weather?")
        results = [ToolMessage("ok", tool_call_id=call["id"]) for call in first.tool_calls]
        again = chat.invoke(saved([HumanMessage("The weather?"), first, *results]))
        assert [call["args"] for call in again.tool_calls] == [{"city": "Oslo"}]


def test_chunks_add_up_to_the_message():
    with signing() as server:
        for fields in ({}, {"stream_tool_arguments": True}):
            chunks = list(model(server, **fields).bind_tools(TOOLS).stream("The weather?"))
            whole = chunks[0]
            for chunk in chunks[1:]:
                whole += chunk
            extras = whole.additional_kwargs["tool_call_extras"]
            (signed,) = extras.values()
            assert list(extras) == [whole.tool_calls[0]["id"]]
            assert signed[0]["origin"] == "signing/m"
            assert set(signed[0]["fields"]) == {"extra_content"}


def test_calls_of_other_models():
    """A conversation of another service goes on here, and this one's elsewhere."""
    elsewhere = AIMessage("", tool_calls=[{"name": "get_time", "args": {"city": "Rome"}, "id": "toolu_1"}])
    history = [HumanMessage("The weather?"), elsewhere, ToolMessage("noon", tool_call_id="toolu_1")]
    with signing() as one, signing() as two:
        made = model(one).bind_tools(TOOLS).invoke(history)
        assert signatures(one.bodies[-1]) == [[SKIP]]
        results = [ToolMessage("ok", tool_call_id=call["id"]) for call in made.tool_calls]
        assert made.tool_calls
        model(two, "other").bind_tools(TOOLS).invoke([*history, made, *results])
        assert signatures(two.bodies[-1]) == [[SKIP], [SKIP]]
