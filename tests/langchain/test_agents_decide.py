"""Calls that LangChain's agents decide about: repeated, unknown, wrong, and none at all.

Each is asked in words and by the service's own protocol, sync and async, whole and streamed, and
comes to the same.
"""

import asyncio
import json
from typing import Annotated

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    HumanInTheLoopMiddleware,
    LLMToolSelectorMiddleware,
    ModelCallLimitMiddleware,
    ModelRetryMiddleware,
)
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState
from langgraph.types import Command
from pydantic import BaseModel

from freeproviders.types import InvalidToolCall, Text, ToolCall
from langchain_freeproviders.errors import EmptyResponseError, ToolCallError
from tests.brain import Script, call
from tests.langchain.agents import LIMIT, WAYS, add, in_all_ways, made, model, native, results
from tests.langchain.services import OPENAI

# --- the same call again --------------------------------------------------------------------------


@native
async def test_a_coding_agent_lists_writes_and_lists_again(native):
    files = []

    @tool
    def list_files() -> str:
        """List the files."""
        return ",".join(files) or "none"

    @tool
    def write_file(name: str) -> str:
        """Write a file."""
        files.append(name)
        return "written"

    said = [
        made(native, ("list_files", {})),
        made(native, ("write_file", {"name": "a.py"})),
        made(native, ("list_files", {})),
        "Done.",
    ]
    messages, r = await in_all_ways(
        said, lambda r: files.clear() or create_agent(model(r, native), [list_files, write_file])
    )
    assert results(messages) == ["none", "written", "a.py"]
    assert len(r.requests) == 4


@native
async def test_polling(native):
    """The same call five times, at once after each other."""
    states = []

    @tool
    def job_status(job: int) -> str:
        """The state of a job."""
        states.append(job)
        return "finished" if len(states) == 5 else "pending"

    said = [*[made(native, ("job_status", {"job": 7}))] * 5, "It is finished."]
    messages, r = await in_all_ways(
        said, lambda r: states.clear() or create_agent(model(r, native), [job_status])
    )
    assert results(messages) == ["pending"] * 4 + ["finished"]
    assert len(r.requests) == 6


@native
async def test_two_dice(native):
    """Two equal calls in one answer are two, each with an id of its own."""
    rolled = []

    @tool
    def roll() -> str:
        """Roll a die."""
        rolled.append(1)
        return str(len(rolled))

    said = [made(native, ("roll", {}), ("roll", {})), "One and two."]
    messages, _ = await in_all_ways(said, lambda r: rolled.clear() or create_agent(model(r, native), [roll]))
    assert sorted(results(messages)) == ["1", "2"]
    assert len({made["id"] for made in messages[1].tool_calls}) == 2


@native
async def test_a_tool_that_fails_twice(native):
    tries = []

    @tool
    def fetch(page: str) -> str:
        """Fetch a page."""
        tries.append(page)
        if len(tries) < 3:
            raise ToolException("temporary network failure, try again")
        return "welcome"

    fetch.handle_tool_error = True
    said = [*[made(native, ("fetch", {"page": "home"}))] * 3, "It says welcome."]
    messages, _ = await in_all_ways(said, lambda r: tries.clear() or create_agent(model(r, native), [fetch]))
    assert [message.status for message in messages if isinstance(message, ToolMessage)] == [
        "error",
        "error",
        "success",
    ]


def handing_over(to):
    @tool(f"to_{to}", description=f"Hand over to the {to}.")
    def hand_over(state: Annotated[dict, InjectedState], call_id: Annotated[str, InjectedToolCallId]):
        done = ToolMessage("Handed over.", tool_call_id=call_id, name=f"to_{to}")
        return Command(goto=to, graph=Command.PARENT, update={"messages": [*state["messages"], done]})

    return hand_over


@native
async def test_writer_and_reviewer_hand_over_four_times(native):
    def graph(r):
        builder = StateGraph(MessagesState)
        for name, other in (("writer", "reviewer"), ("reviewer", "writer")):
            agent = create_agent(model(r, native), [handing_over(other)], name=name)
            builder.add_node(name, agent, destinations=(other,))
        builder.add_edge(START, "writer")
        return builder.compile()

    over = [made(native, (f"to_{name}", {})) for name in ("reviewer", "writer")]
    messages, r = await in_all_ways([*over, *over, "Approved."], graph)
    assert [message.name for message in messages if isinstance(message, ToolMessage)] == [
        "to_reviewer",
        "to_writer",
    ] * 2
    assert len(r.requests) == 5


@native
@pytest.mark.parametrize("run_async", [False, True])
async def test_the_same_call_twice_under_a_human_in_the_loop(native, run_async):
    """Each is shown to the human; what is refused does not run, and what is approved runs once."""
    sent = []

    @tool
    def send(to: str) -> str:
        """Send a letter."""
        sent.append(to)
        return "sent"

    once = ("send", {"to": "Ada"})
    with OPENAI.replica(Script(made(native, once), made(native, once, once), "Sent.")) as r:
        agent = create_agent(
            model(r, native),
            [send],
            middleware=[HumanInTheLoopMiddleware({"send": True})],
            checkpointer=InMemorySaver(),
        )
        config = {**LIMIT, "configurable": {"thread_id": "1"}}

        async def go_on(inputs):
            if run_async:
                return await agent.ainvoke(inputs, config)
            return await asyncio.to_thread(agent.invoke, inputs, config)

        await go_on({"messages": [HumanMessage("Write to Ada, and to Bob.")]})
        state = await go_on(Command(resume={"decisions": [{"type": "reject", "message": "Not yet."}]}))
        asked = state["__interrupt__"][0].value["action_requests"]
        assert [action["args"] for action in asked] == [{"to": "Ada"}] * 2
        assert sent == []
        edited = {"type": "edit", "edited_action": {"name": "send", "args": {"to": "Bob"}}}
        state = await go_on(Command(resume={"decisions": [{"type": "approve"}, edited]}))
    assert sorted(sent) == ["Ada", "Bob"]
    assert state["messages"][-1].content == "Sent."


@native
async def test_a_limit_of_the_frameworks_ends_a_loop(native):
    """The same call for ever, until a middleware ends the run, or LangGraph does."""
    again = made(native, ("add", {"a": 1, "b": 2}))
    limit = ModelCallLimitMiddleware(run_limit=3, exit_behavior="end")
    for run in WAYS:
        with OPENAI.replica(Script(again)) as r:
            agent = create_agent(model(r, native), [add], middleware=[limit])
            state = await run(agent, {"messages": [HumanMessage("Go on.")]})
            assert results(state["messages"]) == ["3"] * 3
            assert len(r.requests) == 3
            with pytest.raises(GraphRecursionError):
                await run(create_agent(model(r, native), [add]), {"messages": [HumanMessage("Go on.")]})


# --- wrong names and wrong arguments --------------------------------------------------------------


@native
async def test_a_wrong_name_and_then_the_right_one(native):
    """Within one call of the model: the names are told, and the model puts it right."""
    said = [
        made(native, ("plus", {"a": 1, "b": 2})),
        made(native, ("add", {"a": 1, "b": 2})),
        "It is 3.",
    ]
    messages, r = await in_all_ways(said, lambda r: create_agent(model(r, native), [add]))
    assert results(messages) == ["3"]
    assert len(r.requests) == 3


@native
async def test_a_wrong_name_that_is_insisted_on(native):
    """LangGraph answers it with the names, and the run goes on; no markup is ever an answer."""
    said = [
        *[made(native, ("plus", {"a": 1, "b": 2}))] * 2,
        made(native, ("add", {"a": 1, "b": 2})),
        "It is 3.",
    ]
    messages, _ = await in_all_ways(said, lambda r: create_agent(model(r, native), [add]))
    first, second = results(messages)
    assert "plus is not a valid tool, try one of [add]" in first
    assert second == "3"
    assert not any("tool_call>" in message.content for message in messages if isinstance(message, AIMessage))


@native
async def test_an_argument_left_out_four_times(native):
    """Three times below the agent, then LangGraph's own complaint, and then it is right."""
    wrong = made(native, ("add", {"a": 1}))
    said = [*[wrong] * 4, made(native, ("add", {"a": 1, "b": 2})), "It is 3."]
    messages, r = await in_all_ways(said, lambda r: create_agent(model(r, native), [add]))
    first, second = results(messages)
    assert "b" in first
    assert "Field required" in first
    assert second == "3"
    assert len(r.requests) == 6


class Weather(BaseModel):
    """The weather."""

    city: str
    degrees: int


@native
async def test_a_tool_strategy_handles_errors(native):
    """Its function is called, and what it says is told to the model."""
    seen = []

    def explain(error):
        seen.append(error)
        return "degrees is a whole number, please"

    wrong = made(native, ("Weather", {"city": "Rome", "degrees": "warm"}))
    said = [*[wrong] * 3, made(native, ("Weather", {"city": "Rome", "degrees": 21})), ""]
    for run_async in (False, True):
        seen.clear()
        with OPENAI.replica(Script(*said)) as r:
            agent = create_agent(
                model(r, native), [add], response_format=ToolStrategy(Weather, handle_errors=explain)
            )
            asked = {"messages": [HumanMessage("The weather?")]}
            state = await (agent.ainvoke(asked) if run_async else asyncio.to_thread(agent.invoke, asked))
            assert len(seen) == 1
            assert "degrees is a whole number, please" in r.requests[-1].body.decode()
            assert state["structured_response"] == Weather(city="Rome", degrees=21)


@native
@pytest.mark.parametrize("run_async", [False, True])
async def test_a_tool_selector_decides_about_a_selection_that_is_none(native, run_async):
    """With "pass" an object of another form comes as it came, and the middleware takes all tools."""
    with OPENAI.replica(Script('{"chosen": "add"}', "Hello.")) as r:
        selector = LLMToolSelectorMiddleware(
            model=model(r, native, on_invalid="pass", max_repairs=0), on_parsing_failure="all", max_retries=0
        )
        agent = create_agent(model(r, native), [add], middleware=[selector])
        asked = {"messages": [HumanMessage("Hi")]}
        state = await (agent.ainvoke(asked) if run_async else asyncio.to_thread(agent.invoke, asked))
        assert "Add two numbers" in r.requests[-1].body.decode()
    assert state["messages"][-1].content == "Hello."


# --- what nobody can call -------------------------------------------------------------------------

BROKEN = '{"path": "/etc/pas'


@tool
def read(path: str = "/") -> str:
    """Read a file."""
    raise AssertionError(f"read {path}")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("version", ["v0", "v1"])
async def test_arguments_that_are_no_object_beside_a_call(stream, version):
    """They are an invalid call, which the chunks of a stream cannot make a valid one."""
    said = [ToolCall("good", "add", {"a": 1, "b": 2}), InvalidToolCall("bad", "read", BROKEN, "")]
    with OPENAI.replica([*said]) as r:
        bound = model(r, True, output_version=version, max_repairs=0).bind_tools([add, read])
        if stream:
            message = None
            async for chunk in bound.astream("Go"):
                message = chunk if message is None else message + chunk
        else:
            message = await bound.ainvoke("Go")
    assert [(made["id"], made["args"]) for made in message.tool_calls] == [("good", {"a": 1, "b": 2})]
    (invalid,) = message.invalid_tool_calls
    assert (invalid["id"], invalid["name"]) == ("bad", "read")
    assert BROKEN in invalid["args"]
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(invalid["args"])
    if not stream:
        assert BROKEN in invalid["error"]


async def test_arguments_that_are_no_object_in_the_events_of_a_stream():
    """LangChain's newest way to stream puts calls together by itself."""
    said = [ToolCall("good", "add", {"a": 1, "b": 2}), InvalidToolCall("bad", "read", BROKEN, "")]
    with OPENAI.replica([*said]) as r:
        bound = model(r, True, max_repairs=0).bind_tools([add, read])
        stream = await bound.astream_events("Go", version="v3")
        message = await stream.output
    assert [made["id"] for made in message.tool_calls] == ["good"]
    assert [made["id"] for made in message.invalid_tool_calls] == ["bad"]


@native
async def test_an_agent_answers_an_invalid_call_beside_a_valid_one(native):
    """The valid one runs, the other does not, and the model is told of both."""
    bad = [InvalidToolCall("bad", "read", BROKEN, "")] if native else call("read").replace("{}", "[7]")
    said = made(native, ("add", {"a": 1, "b": 2})) + bad
    messages, r = await in_all_ways(
        [said, "It is 3."], lambda r: create_agent(model(r, native, max_repairs=0), [add, read])
    )
    (invalid,) = messages[1].invalid_tool_calls
    assert (BROKEN if native else "[7]") in invalid["error"]
    told = {message.tool_call_id: message.content for message in messages if isinstance(message, ToolMessage)}
    assert told.pop(messages[1].tool_calls[0]["id"]) == "3"
    assert "could not be executed" in told.pop(invalid["id"])
    assert not told
    assert "could not be executed" in r.requests[-1].body.decode()


# --- what goes out --------------------------------------------------------------------------------


@native
async def test_thinking_and_words_beside_a_call(native):
    """A call that is only thought about is not made, no markup is shown, and streams say the same."""
    words = f"<think>Maybe {call('add', a=9, b=9)}?</think>\nI add."
    calls = made(native, ("add", {"a": 1, "b": 2}))
    said = [[Text(words), *calls] if native else words + calls, "<think>So.</think>\n\nIt is 3."]
    messages, _ = await in_all_ways([*said[:1], "It is 3."], lambda r: create_agent(model(r, native), [add]))
    assert results(messages) == ["3"]
    assert messages[1].content == "I add."
    assert messages[1].additional_kwargs["reasoning_content"].startswith("Maybe")
    asked = {"messages": [HumanMessage("Go on.")]}
    with OPENAI.replica(Script(*said, *said, *said)) as r:
        agent = create_agent(model(r, native), [add])
        shown = [item async for item in agent.astream(asked, LIMIT, stream_mode="messages")]
        in_sync = await asyncio.to_thread(lambda: [*agent.stream(asked, LIMIT, stream_mode="messages")])
        events = [event async for event in agent.astream_events(asked, LIMIT, version="v2")]
    told = [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]
    for stream in ([item[0] for item in shown], [item[0] for item in in_sync], told):
        chunks = [chunk for chunk in stream if isinstance(chunk, AIMessageChunk)]
        assert "".join(chunk.content for chunk in chunks) == "I add.It is 3."
        assert [made["args"] for chunk in chunks for made in chunk.tool_calls] == [{"a": 1, "b": 2}]
        thought = "".join(chunk.additional_kwargs.get("reasoning_content", "") for chunk in chunks)
        assert thought.endswith("?So.")


# --- broken histories -----------------------------------------------------------------------------

CALLED = AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "x"}])
TOLD = ToolMessage("three", tool_call_id="x", name="add")


@native
@pytest.mark.parametrize(
    "history",
    [[CALLED], [TOLD], [CALLED, TOLD, CALLED, TOLD], [CALLED, TOLD, TOLD]],
    ids=["no-result", "no-call", "one-id-twice", "two-results"],
)
async def test_a_run_goes_on_from_a_broken_history(native, history):
    """What a service of the protocol would refuse is put in order, and nothing is lost."""
    said = [made(native, ("add", {"a": 3, "b": 4})), "It is 7."]
    turns = [turn.model_copy() for turn in history]  # LangGraph takes the same object twice for one
    asked = {"messages": [HumanMessage("Add."), *turns, HumanMessage("Go on.")]}
    for run_async in (False, True):
        with OPENAI.replica(Script(*said)) as r:
            agent = create_agent(model(r, native), [add])
            state = await (agent.ainvoke(asked) if run_async else asyncio.to_thread(agent.invoke, asked))
            turns = r.requests[-1].json["messages"]
        assert results(state["messages"])[-1] == "7"
        assert state["messages"][-1].content == "It is 7."
        if native:
            calls = [call["id"] for turn in turns for call in turn.get("tool_calls") or ()]
            assert [turn["tool_call_id"] for turn in turns if turn["role"] == "tool"] == calls
            assert len(set(calls)) == len(calls)
        assert json.dumps(turns).count("three") == history.count(TOLD)


# --- errors ---------------------------------------------------------------------------------------


@native
async def test_a_retry_of_the_model_after_a_call_that_nobody_can_make(native):
    """Output errors say that another try may help, so that LangChain's own middleware acts."""
    in_words = call("add", a=1).replace('{"a": 1}', "[1, 2, 3]")
    broken = [InvalidToolCall("bad", "add", "{", "")] if native else in_words
    said = [broken, made(native, ("add", {"a": 1, "b": 2})), "It is 3."]
    retry = ModelRetryMiddleware(max_retries=1, on_failure="error", initial_delay=0)
    messages, r = await in_all_ways(
        said, lambda r: create_agent(model(r, native, max_repairs=0), [add], middleware=[retry])
    )
    assert results(messages) == ["3"]
    assert len(r.requests) == 3


@native
async def test_an_empty_answer_in_a_run_is_asked_again(native):
    """Once; and again it is an error, not an agent that ends in silence."""
    said = [made(native, ("add", {"a": 1, "b": 2})), "", "It is 3."]
    messages, r = await in_all_ways(said, lambda r: create_agent(model(r, native), [add]))
    assert [type(message).__name__ for message in messages] == [
        "HumanMessage", "AIMessage", "ToolMessage", "AIMessage",
    ]  # fmt: skip
    assert "Your answer was empty" in r.requests[-1].body.decode()
    with OPENAI.replica(Script("")) as r, pytest.raises(EmptyResponseError):
        await model(r, native).bind_tools([add]).ainvoke("Hi")


@native
async def test_no_call_where_one_is_required(native):
    """It is an error, also where calls that do not fit are handed on."""
    with OPENAI.replica("Hello") as r:
        bound = model(r, native, on_invalid="pass").bind_tools([add], tool_choice="any")
        for run in (bound.invoke, lambda text: list(bound.stream(text))):
            with pytest.raises(ToolCallError) as raised:
                await asyncio.to_thread(run, "Hi")
            assert raised.value.is_retryable


# --- objects --------------------------------------------------------------------------------------

SCHEMA = {
    "title": "City",
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["name", "people"],
}


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("constrained", [False, True])
def test_an_object_that_does_not_fit_comes_as_it_came(method, constrained):
    """With "pass" a dict schema gives the object, never None; without, an error."""
    wrong = {"name": "Rome", "people": "many"}
    said = json.dumps(wrong) if method == "json_schema" else call("City", **wrong)
    if method == "function_calling" and constrained:
        said = json.dumps({"name": "City", "arguments": wrong})
    with OPENAI.replica(said) as r:
        chat = OPENAI.model(r, native_tools=False, json_schema=constrained)
        asked = chat.with_structured_output(SCHEMA, method=method, on_invalid="pass")
        assert asked.invoke("Rome?") == wrong
        assert len(r.requests) == 3
        assert [*asked.stream("Rome?")][-1] == wrong
        with pytest.raises(Exception, match="people"):
            chat.with_structured_output(SCHEMA, method=method).invoke("Rome?")
    with OPENAI.replica("I do not know.") as r:
        chat = OPENAI.model(r, native_tools=False, json_schema=constrained, on_invalid="pass")
        with pytest.raises(Exception, match="No valid"):
            chat.with_structured_output(SCHEMA, method=method).invoke("Rome?")
