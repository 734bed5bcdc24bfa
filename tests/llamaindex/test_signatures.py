"""What a service adds to its tool calls, through LlamaIndex's agents, memories and contexts."""

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import JsonSerializer

from freeproviders import OpenAICompatible as Provider
from llama_index_freeproviders import BackendLLM, OpenAICompatible
from tests.core.signing import DONE, SKIP, row, signatures, signing


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"Sunny in {city}."


def get_time(city: str) -> str:
    """The time in a city."""
    return f"Noon in {city}."


TOOLS = [FunctionTool.from_defaults(get_weather), FunctionTool.from_defaults(get_time)]


def llm(server, name="signing"):
    return BackendLLM(
        backend=Provider("m", base_url=server.base_url, native_tools=True, retry=0, service=row(name))
    )


def agent(llm, **options):
    return FunctionAgent(tools=TOOLS, llm=llm, **options)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("make", [ChatMemoryBuffer.from_defaults, Memory.from_defaults])
async def test_an_agent_goes_on(make, streaming):
    """Two calls in parallel, one more, and the next question with the same memory."""
    with signing() as server:
        memory, asked = make(), agent(llm(server), streaming=streaming)
        for turn in (1, 2):
            assert str(await asked.run("The weather?", memory=memory)) == DONE
            signed = signatures(server.bodies[-1])
            assert [len(one) for one in signed] == [2, 1] * turn
            assert all(one[0] and not any(one[1:]) for one in signed)
        assert len(server.bodies) == 6


async def test_a_saved_conversation_keeps_it():
    """As the contexts of workflows are saved."""
    with signing() as server:
        memory, serializer = ChatMemoryBuffer.from_defaults(), JsonSerializer()
        await agent(llm(server)).run("The weather?", memory=memory)
        saved = serializer.deserialize(serializer.serialize(memory.get_all()))
        memory = ChatMemoryBuffer.from_defaults(chat_history=saved)
        assert str(await agent(llm(server)).run("And now?", memory=memory)) == DONE
        signed = signatures(server.bodies[-1])
        assert len({one[0] for one in signed} - {None, SKIP}) == 4


async def test_a_model_without_a_row_learns_it():
    with signing() as server:
        plain = OpenAICompatible(model="m", base_url=server.base_url, function_calling="native", retry=0)
        assert str(await agent(plain).run("The weather?")) == DONE
        assert len(server.bodies) == 4  # one was refused


@pytest.mark.parametrize("streaming", [False, True])
def test_messages_keep_it_when_they_are_saved(streaming):
    with signing() as server:
        one = llm(server)
        if streaming:
            *_, first = one.stream_chat_with_tools(TOOLS, "The weather?")
        else:
            first = one.chat_with_tools(TOOLS, "The weather?")
        calls = one.get_tool_calls_from_response(first)
        history = [
            ChatMessage(role="user", content="The weather?"),
            ChatMessage.model_validate_json(first.message.model_dump_json()),
            *[
                ChatMessage(role="tool", content="ok", additional_kwargs={"tool_call_id": call.tool_id})
                for call in calls
            ],
        ]
        again = one.get_tool_calls_from_response(one.chat_with_tools(TOOLS, chat_history=history))
        assert [call.tool_kwargs for call in again] == [{"city": "Oslo"}]


async def test_calls_of_another_service():
    with signing() as one, signing() as two:
        memory = ChatMemoryBuffer.from_defaults()
        await agent(llm(one)).run("The weather?", memory=memory)
        assert str(await agent(llm(two, "other")).run("And now?", memory=memory)) == DONE
        signed = signatures(two.bodies[-1])
        assert signed[:2] == [[SKIP, None], [SKIP]]
        assert all(one[0] != SKIP for one in signed[2:])
