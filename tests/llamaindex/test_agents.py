"""LlamaIndex's agents over a service that has no tools at all, with an obedient scripted model."""

import asyncio
import json
import warnings

import pytest
from llama_index.core.agent.workflow import (
    AgentInput,
    AgentOutput,
    AgentStream,
    AgentWorkflow,
    CodeActAgent,
    FunctionAgent,
    ReActAgent,
    ToolCall,
    ToolCallResult,
)
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms import MockFunctionCallingLLM
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent, JsonSerializer
from llama_index.core.workflow.errors import WorkflowRuntimeError
from pydantic import BaseModel

import freeproviders
from freeproviders.errors import RateLimitError, ToolCallError
from freeproviders.testing import replica
from freeproviders.types import Reasoning, Text
from freeproviders.types import ToolCall as CoreCall
from llama_index_freeproviders import BackendLLM, Embedded, FlowGpt, OpenAICompatible
from llama_index_freeproviders.embeddings import WordLlamaEmbedding
from tests.brain import Script, brain, call

ASK = "What is the weather in 'Paris'?"


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"Sunny in {city}."


async def get_time(city: str) -> str:
    """The time in a city."""
    await asyncio.sleep(0)
    return f"Noon in {city}."


def explode(city: str) -> str:
    """Always fails."""
    raise RuntimeError(f"no power in {city}")


def tool(function, **options):
    return (
        FunctionTool.from_defaults(async_fn=function, **options)
        if asyncio.iscoroutinefunction(function)
        else FunctionTool.from_defaults(function, **options)
    )


@pytest.fixture
def r():
    with replica("flow-gpt", answer=brain) as running:
        yield running


@pytest.fixture
def llm(r):
    return FlowGpt(base_url=r.base_url, retry=0)


async def run(agent, question=ASK, **kwargs):
    """Run an agent; its output and all its events."""
    handler = agent.run(question, **kwargs)
    events = [event async for event in handler.stream_events()]
    return await handler, events


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


streams = pytest.mark.parametrize("streaming", [True, False])


# --- FunctionAgent --------------------------------------------------------------------------------


@streams
async def test_a_tool_is_called_and_its_result_told(llm, r, streaming):
    output, events = await run(
        FunctionAgent(
            tools=[get_weather, tool(get_time)], llm=llm, system_prompt="Be kind.", streaming=streaming
        )
    )
    assert output.response.content == "The tool says: Sunny in Paris."
    (result,) = of(ToolCallResult, events)
    assert (result.tool_name, result.tool_kwargs, result.tool_output.raw_output) == (
        "get_weather",
        {"city": "Paris"},
        "Sunny in Paris.",
    )
    assert len(r.requests) == 2
    assert "Be kind." in r.requests[-1].json["system"]
    assert output.raw["usage"]["total_tokens"] > 0
    if streaming:
        deltas = "".join(event.delta for event in of(AgentStream, events))
        assert deltas == "The tool says: Sunny in Paris."


@streams
async def test_tools_in_parallel(llm, r, streaming):
    output, events = await run(
        FunctionAgent(tools=[get_weather, tool(get_time)], llm=llm, streaming=streaming),
        "What is the weather and the time in 'Paris' and 'Rome'?",
    )
    calls = of(ToolCall, events)
    assert [(each.tool_name) for each in calls] == ["get_weather", "get_time"]
    assert len({each.tool_id for each in calls}) == 2
    assert len(of(ToolCallResult, events)) == 2
    assert "Sunny in Paris." in output.response.content
    assert "Noon in" in output.response.content
    assert len(r.requests) == 2


async def test_one_after_another_where_parallel_is_forbidden(llm, r):
    agent = FunctionAgent(tools=[get_weather, tool(get_time)], llm=llm, allow_parallel_tool_calls=False)
    r.answer = Script(
        call("get_weather", city="Paris") + call("get_time", city="Rome"),
        call("get_time", city="Rome"),
        "Sunny, and noon.",
    )
    output, events = await run(agent, "What is the weather and the time?")
    assert [event.tool_name for event in of(ToolCall, events)] == ["get_weather", "get_time"]
    assert output.response.content == "Sunny, and noon."
    assert len(r.requests) == 3


@streams
async def test_bad_arguments_are_put_right_before_the_agent_sees_them(llm, r, streaming):
    r.answer = Script(call("get_weather", town="Paris"), call("get_weather", city="Paris"), "Sunny.")
    output, events = await run(FunctionAgent(tools=[get_weather], llm=llm, streaming=streaming))
    assert [event.tool_kwargs for event in of(ToolCall, events)] == [{"city": "Paris"}]
    assert output.response.content == "Sunny."


@streams
async def test_an_unknown_tool_does_not_end_the_agent(llm, r, streaming):
    r.answer = Script(call("get_whether", city="Paris"), "I have no such tool, but it is sunny.")
    output, events = await run(FunctionAgent(tools=[get_weather], llm=llm, streaming=streaming))
    assert output.response.content == "I have no such tool, but it is sunny."
    assert not of(ToolCall, events)


@streams
async def test_a_call_that_stays_wrong_is_answered_by_the_agent(llm, r, streaming):
    """The tool says what is wrong, and the model goes on; as an error it is one where asked for."""
    wrong = call("get_weather", town="Paris")
    said = iter([wrong, wrong, wrong, "I give up."])
    r.answer = lambda _messages: next(said)
    output, events = await run(FunctionAgent(tools=[get_weather], llm=llm, streaming=streaming))
    (result,) = of(ToolCallResult, events)
    assert result.tool_output.is_error
    assert "town" in result.tool_output.content  # what Python says
    assert output.response.content == "I give up."
    assert len(r.requests) == 4
    r.answer = wrong
    raising = llm.model_copy(update={"on_invalid": "raise"})
    with pytest.raises(ToolCallError, match="get_weather"):
        await run(FunctionAgent(tools=[get_weather], llm=raising))


@streams
async def test_a_failing_tool_is_told_to_the_model(llm, r, streaming):
    output, events = await run(
        FunctionAgent(tools=[explode], llm=llm, streaming=streaming), "Please explode in 'Paris'"
    )
    assert of(ToolCallResult, events)[0].tool_output.is_error
    assert "no power in Paris" in output.response.content


@streams
async def test_the_first_tool_can_be_chosen(llm, streaming):
    agent = FunctionAgent(
        tools=[get_weather, tool(get_time)], llm=llm, initial_tool_choice="get_time", streaming=streaming
    )
    output, events = await run(agent, "Hello 'Paris'!")
    assert [event.tool_name for event in of(ToolCall, events)] == ["get_time"]
    assert "Noon in" in output.response.content


async def test_small_talk(llm, r):
    output, events = await run(FunctionAgent(tools=[get_weather], llm=llm), "Hello!")
    assert output.response.content == "Hello there, friend! How are you?"
    assert len(of(AgentStream, events)) > 3
    assert len(r.requests) == 1


class Report(BaseModel):
    """A report."""

    place: str
    sunny: bool


@streams
async def test_an_agents_output_class(llm, streaming):
    output, _ = await run(FunctionAgent(tools=[get_weather], llm=llm, output_cls=Report, streaming=streaming))
    assert isinstance(output.get_pydantic_model(Report), Report)
    assert output.response.content == "The tool says: Sunny in Paris."


async def test_a_result_returned_directly(llm, r):
    output, _ = await run(FunctionAgent(tools=[tool(get_weather, return_direct=True)], llm=llm))
    assert output.response.content == "Sunny in Paris."
    assert len(r.requests) == 1


async def test_thinking_reaches_the_event_stream():
    async with replica(
        "openai-compatible",
        answer=[Reasoning("Let me "), Reasoning("see."), Text("Hello.")],
        faults={"pace": 0.01},
    ) as r:
        agent = FunctionAgent(tools=[get_weather], llm=OpenAICompatible("m", base_url=r.base_url))
        _, events = await run(agent, "Hello!")
        assert "".join(event.thinking_delta or "" for event in of(AgentStream, events)) == "Let me see."


@streams
async def test_native_tools(streaming):
    answers = Script([CoreCall("c1", "get_weather", {"city": "Paris"})], "Sunny.")
    async with replica("openai-compatible", answer=answers) as r:
        llm = OpenAICompatible("m", base_url=r.base_url, function_calling="native")
        output, events = await run(FunctionAgent(tools=[get_weather], llm=llm, streaming=streaming))
        assert output.response.content == "Sunny."
        assert [event.tool_id for event in of(ToolCall, events)] == ["c1"]
        assert [message["role"] for message in r.requests[-1].json["messages"]] == [
            "user",
            "assistant",
            "tool",
        ]


async def test_function_agents_need_function_calling(r):
    with pytest.raises((ValueError, WorkflowRuntimeError), match="FunctionCallingLLM"):
        await run(
            FunctionAgent(tools=[get_weather], llm=FlowGpt(base_url=r.base_url, function_calling="off"))
        )


# --- the end of a run -----------------------------------------------------------------------------


async def test_the_last_iteration_can_end_in_words(llm, r):
    r.answer = Script(call("get_weather", city="Paris"), call("get_weather", city="Rome"), "I stop here.")
    agent = FunctionAgent(tools=[get_weather], llm=llm, early_stopping_method="generate")
    output, _ = await run(agent, ASK, max_iterations=3)
    assert output.response.content == "I stop here."
    assert "iterations" in json.dumps(r.requests[-1].json)


async def test_the_last_iteration_ends_in_an_error_otherwise(llm, r):
    r.answer = Script(*(call("get_weather", city=f"Town {number}") for number in range(9)))
    with pytest.raises(WorkflowRuntimeError, match="Max iterations"):
        await run(FunctionAgent(tools=[get_weather], llm=llm), ASK, max_iterations=3)


async def test_cancelling_a_run_ends_the_request():
    async with replica("flow-gpt", answer=["word "] * 100, faults={"pace": 0.05}) as r:
        handler = FunctionAgent(tools=[get_weather], llm=FlowGpt(base_url=r.base_url)).run("Hello!")
        async for event in handler.stream_events():
            if isinstance(event, AgentStream):
                await handler.cancel_run()
        with pytest.raises(BaseException):  # noqa: B017 - which one is LlamaIndex's affair
            await handler
        assert await r.await_disconnect(timeout=60) == 1


async def test_a_time_limit_ends_the_request():
    async with replica("flow-gpt", answer=["word "] * 200, faults={"pace": 0.05}) as r:
        with pytest.raises(Exception, match=r"(?i)timed out"):
            await FunctionAgent(tools=[get_weather], llm=FlowGpt(base_url=r.base_url), timeout=0.5).run(
                "Hello!"
            )
        assert await r.await_disconnect(timeout=60) == 1


async def test_an_error_of_the_service_reaches_the_caller():
    async with replica("flow-gpt", faults={"quota": True}) as r:
        for agent in (FunctionAgent, ReActAgent):
            with pytest.raises(RateLimitError, match="daily limit"):
                await agent(tools=[get_weather], llm=FlowGpt(base_url=r.base_url, retry=0)).run("Hello!")


# --- several agents -------------------------------------------------------------------------------


def pair(llm, cls=FunctionAgent, **first):
    one = cls(name="talker", description="Talks.", tools=[], llm=llm, can_handoff_to=["weatherman"], **first)
    two = FunctionAgent(name="weatherman", description="Knows the weather.", tools=[get_weather], llm=llm)
    return AgentWorkflow(agents=[one, two], root_agent="talker")


async def test_handing_over(llm, r):
    r.answer = Script(
        call("handoff", to_agent="weatherman", reason="weather"), call("get_weather", city="Paris"), "Sunny."
    )
    output, events = await run(pair(llm))
    assert (output.response.content, output.current_agent_name) == ("Sunny.", "weatherman")
    assert [event.tool_name for event in of(ToolCall, events)] == ["handoff", "get_weather"]


async def test_handing_over_to_nobody_is_put_right(llm, r):
    r.answer = Script(
        call("handoff", to_agent="nobody", reason="x"),
        call("handoff", to_agent="weatherman", reason="weather"),
        call("get_weather", city="Paris"),
        "Sunny.",
    )
    output, _ = await run(pair(llm))
    assert (output.response.content, output.current_agent_name) == ("Sunny.", "weatherman")


async def test_code_act_with_handing_over(llm, r):
    """A plain LLM is refused here; ours has tools."""
    r.answer = Script(
        "<execute>\nprint(6 * 7)\n</execute>",
        call("handoff", to_agent="weatherman", reason="weather"),
        call("get_weather", city="Paris"),
        "Sunny.",
    )
    ran = []

    def execute(code: str) -> str:
        ran.append(code.strip())
        return "42"

    one = CodeActAgent(
        code_execute_fn=execute,
        name="talker",
        description="Computes.",
        tools=[],
        llm=llm,
        can_handoff_to=["weatherman"],
    )
    two = FunctionAgent(name="weatherman", description="Knows the weather.", tools=[get_weather], llm=llm)
    output, _ = await run(AgentWorkflow(agents=[one, two], root_agent="talker"))
    assert ran == ["print(6 * 7)"]
    assert (output.response.content, output.current_agent_name) == ("Sunny.", "weatherman")


async def test_from_tools_or_functions(llm):
    workflow = AgentWorkflow.from_tools_or_functions([get_weather], llm=llm, system_prompt="Be kind.")
    assert isinstance(workflow.agents["Agent"], FunctionAgent)
    output, _ = await run(workflow)
    assert output.response.content == "The tool says: Sunny in Paris."


async def test_agents_as_tools(llm, r):
    """The supervisor pattern of LlamaIndex's own documentation."""
    weatherman = FunctionAgent(name="weatherman", tools=[get_weather], llm=llm)

    async def ask_weatherman(question: str) -> str:
        """Ask the weatherman about the weather."""
        return str((await weatherman.run(question)).response.content)

    r.answer = Script(
        call("ask_weatherman", question=ASK),
        call("get_weather", city="Paris"),
        "Sunny.",
        "He says it is sunny.",
    )
    output, _ = await run(FunctionAgent(tools=[ask_weatherman], llm=llm))
    assert output.response.content == "He says it is sunny."


async def test_a_tool_that_uses_the_context(llm, r):
    async def remember_name(ctx: Context, name: str) -> str:
        """Remember a name."""
        await ctx.store.set("name", name)
        return "Remembered."

    agent = FunctionAgent(tools=[remember_name], llm=llm)
    ctx = Context(agent)
    output, _ = await run(agent, "Please remember my name 'Ada'", ctx=ctx)
    assert await ctx.store.get("name") == "Ada"
    assert output.response.content == "The tool says: Remembered."


async def test_retrieval_as_a_tool(llm):
    from llama_index.core import Document, VectorStoreIndex
    from llama_index.core.tools import QueryEngineTool

    index = VectorStoreIndex.from_documents(
        [Document(text="Fredville is the capital of Freedonia.")], embed_model=WordLlamaEmbedding()
    )
    search = QueryEngineTool.from_defaults(
        index.as_query_engine(llm=llm), name="search_facts", description="Searches facts."
    )
    output, events = await run(FunctionAgent(tools=[search], llm=llm), "search 'the capital of Freedonia'")
    assert of(ToolCallResult, events)[0].tool_kwargs == {"input": "the capital of Freedonia"}
    assert output.response.content.startswith("The tool says:")


# --- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "memory",
    [
        lambda: Memory.from_defaults(session_id="s", token_limit=8000),
        lambda: ChatMemoryBuffer.from_defaults(token_limit=8000),
    ],
)
async def test_a_second_turn_knows_the_first(llm, r, memory):
    memory = memory()
    agent = FunctionAgent(tools=[get_weather], llm=llm)
    await run(agent, ASK, memory=memory)
    kept = await memory.aget_all()
    assert [message.role.value for message in kept] == ["user", "assistant", "tool", "assistant"]
    (block,) = [block for message in kept for block in message.blocks if isinstance(block, ToolCallBlock)]
    assert (block.tool_name, block.tool_kwargs) == ("get_weather", {"city": "Paris"})
    output, _ = await run(agent, "Hello again!", memory=memory)
    assert output.response.content
    assert "Sunny in Paris." in json.dumps(r.requests[-1].json)


async def test_a_context_saved_as_json_goes_on(r):
    """A saved context is without its memory, whose messages are saved beside it; both are JSON."""
    llm = FlowGpt(base_url=r.base_url)
    agent = FunctionAgent(tools=[get_weather], llm=llm)
    ctx, memory = Context(agent), Memory.from_defaults(session_id="s", token_limit=8000)
    await run(agent, ASK, ctx=ctx, memory=memory)
    with warnings.catch_warnings(action="ignore"):
        saved = json.dumps(
            {
                "context": ctx.to_dict(serializer=JsonSerializer()),
                "messages": [m.model_dump(mode="json") for m in await memory.aget_all()],
            }
        )
    loaded = json.loads(saved)
    again = FunctionAgent(tools=[get_weather], llm=FlowGpt(base_url=r.base_url))
    resumed = Context.from_dict(again, loaded["context"], serializer=JsonSerializer())
    memory = Memory.from_defaults(session_id="t", token_limit=8000)
    await memory.aput_messages([ChatMessage.model_validate(message) for message in loaded["messages"]])
    output, _ = await run(again, "Hello again!", ctx=resumed, memory=memory)
    assert output.response.content
    assert "Sunny in Paris." in json.dumps(r.requests[-1].json)
    assert "get_weather" in json.dumps(r.requests[-1].json["history"])


async def test_a_context_saved_in_the_middle_of_a_run_goes_on(r):
    """The scratchpad, with its calls and results, is part of the context."""
    llm = FlowGpt(base_url=r.base_url)

    async def ask_human(ctx: Context, question: str) -> str:
        """Ask the human."""
        event = await ctx.wait_for_event(
            HumanResponseEvent, waiter_id=question, waiter_event=InputRequiredEvent(prefix=question)
        )
        return f"The human says {event.response}."

    r.answer = Script(
        call("get_weather", city="Paris"), call("ask_human", question="Really?"), "It is confirmed."
    )
    agent = FunctionAgent(tools=[get_weather, FunctionTool.from_defaults(async_fn=ask_human)], llm=llm)
    handler = agent.run(ASK)
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            break
    with warnings.catch_warnings(action="ignore"):
        saved = json.dumps(handler.ctx.to_dict(serializer=JsonSerializer()))
    await handler.cancel_run()
    resumed = Context.from_dict(agent, json.loads(saved), serializer=JsonSerializer())
    memory = Memory.from_defaults(session_id="s", token_limit=8000)
    await memory.aput(ChatMessage(content=ASK))
    handler = agent.run(ctx=resumed)
    await handler.ctx.store.set("memory", memory)  # as LlamaIndex's warning says
    handler.ctx.send_event(HumanResponseEvent(response="yes"))
    output = await handler
    assert output.response.content == "It is confirmed."
    sent = json.dumps(r.requests[-1].json)
    assert "Sunny in Paris." in sent
    assert "The human says yes." in sent


# --- in the place of LlamaIndex's mock ------------------------------------------------------------


def said(*messages):
    """The same answers: LlamaIndex's mock gives the messages, our model says them in its words."""

    def written(message):
        calls = [
            call(block.tool_name, **block.tool_kwargs)
            for block in message.blocks
            if isinstance(block, ToolCallBlock)
        ]
        return "\n".join([message.content or "", *calls]).strip()

    left = list(messages)
    mock = MockFunctionCallingLLM(
        response_generator=lambda messages, **kwargs: left.pop(0).model_copy(deep=True), is_chat_model=True
    )
    return mock, Script(*map(written, messages))


def calls(*wanted):
    return ChatMessage(
        role="assistant",
        blocks=[
            ToolCallBlock(tool_call_id=f"c{at}", tool_name=name, tool_kwargs=kwargs)
            for at, (name, kwargs) in enumerate(wanted)
        ],
    )


def says(text):
    return ChatMessage(role="assistant", content=text)


CONVERSATIONS = {
    "an answer": [says("Success")],
    "a call": [calls(("get_weather", {"city": "Paris"})), says("Sunny.")],
    "calls at once": [
        calls(("get_weather", {"city": "Paris"}), ("get_time", {"city": "Rome"})),
        says("Done."),
    ],
    "calls in turn": [
        calls(("get_weather", {"city": "Paris"})),
        calls(("get_time", {"city": "Rome"})),
        says("Done."),
    ],
    "a failure": [calls(("explode", {"city": "Paris"})), says("It failed.")],
    "handing over": [
        calls(("handoff", {"to_agent": "second", "reason": "so"})),
        calls(("get_weather", {"city": "Paris"})),
        says("Sunny."),
    ],
}


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
@streams
async def test_the_same_happens_as_with_llamaindexs_mock(r, conversation, streaming):
    mock, script = said(*conversation)
    r.answer = script
    seen = []
    for llm in (mock, FlowGpt(base_url=r.base_url)):
        tools = [get_weather, tool(get_time), explode]
        first = FunctionAgent(
            name="first",
            description="a",
            tools=tools,
            llm=llm,
            can_handoff_to=["second"],
            streaming=streaming,
        )
        second = FunctionAgent(name="second", description="b", tools=tools, llm=llm, streaming=streaming)
        memory = Memory.from_defaults(session_id="s", token_limit=8000)
        output, events = await run(
            AgentWorkflow(agents=[first, second], root_agent="first"), "Go!", memory=memory
        )
        seen.append(
            (
                output.response.content,
                output.current_agent_name,
                [(event.tool_name, event.tool_kwargs) for event in of(ToolCall, events)],
                sorted(str(event.tool_output) for event in of(ToolCallResult, events)),
                [type(event).__name__ for event in events if isinstance(event, AgentInput | AgentOutput)],
                [
                    (message.role, message.content)
                    for message in await memory.aget_all()
                    if message.role != "tool"
                ],
            )
        )
    assert seen[0] == seen[1]


async def test_react_in_the_place_of_a_mock(r):
    text = "Thought: I know.\nAnswer: It is 3."
    mock = MockFunctionCallingLLM(
        response_generator=lambda messages, **kwargs: says(text), is_chat_model=True
    )
    r.answer = text
    answers = [
        (await ReActAgent(tools=[get_weather], llm=llm).run("?")).response.content
        for llm in (mock, FlowGpt(base_url=r.base_url))
    ]
    assert answers[0] == answers[1] == "It is 3."


# --- a real model ---------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.timeout(900)
async def test_a_real_model_uses_a_tool(weights_05b):
    assert weights_05b.exists()
    llm = Embedded("qwen2.5-coder-0.5b", temperature=0, max_tokens=200, prompt_cache=False)
    output, events = await run(
        FunctionAgent(tools=[get_weather], llm=llm), "What is the weather in Paris? Use the tool."
    )
    assert next(event.tool_name for event in of(ToolCall, events)) == "get_weather"
    assert of(ToolCallResult, events)[0].tool_output.raw_output == "Sunny in Paris."
    assert "sunny" in output.response.content.lower()


@pytest.mark.real
@pytest.mark.timeout(900)
async def test_a_real_model_through_a_service_without_tools(embedded_05b):
    async with replica("flow-gpt", answer=embedded_05b) as r:
        flow = freeproviders.FlowGpt(base_url=r.base_url, timeout=300)
        llm = BackendLLM(backend=flow.with_abilities(family="qwen2.5-coder-0.5b"), temperature=0)
        _, events = await run(
            FunctionAgent(tools=[get_weather], llm=llm), "What is the weather in Paris? Use the tool."
        )
        assert of(ToolCallResult, events)[0].tool_output.raw_output == "Sunny in Paris."


@pytest.mark.real
@pytest.mark.timeout(900)
def test_a_real_model_answers_from_documents(weights_05b):
    from llama_index.core import Document, VectorStoreIndex

    assert weights_05b.exists()
    docs = [
        "The capital of Freedonia is Fredville.",
        "The anthem of Freedonia was written by Rufus Firefly.",
        "Freedonians eat duck soup on Sundays.",
    ]
    index = VectorStoreIndex.from_documents(
        [Document(text=text) for text in docs], embed_model=WordLlamaEmbedding()
    )
    engine = index.as_query_engine(
        llm=Embedded("qwen2.5-coder-0.5b", temperature=0, max_tokens=60, prompt_cache=False),
        similarity_top_k=2,
    )
    assert "Fredville" in str(engine.query("What is the capital of Freedonia?"))
