"""Calls that LlamaIndex's agents decide about: repeated, unknown, wrong, and none at all.

Each is asked in words and by the service's own protocol, streamed and not, and comes to the same.
"""

import asyncio
import json

import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent
from llama_index.core.workflow.errors import WorkflowRuntimeError

from freeproviders.errors import ToolCallError
from freeproviders.testing import replica
from freeproviders.types import InvalidToolCall, Text
from freeproviders.types import ToolCall as CoreCall
from llama_index_freeproviders import OpenAICompatible
from llama_index_freeproviders.tools import UNREADABLE
from tests.brain import Script, call

streams = pytest.mark.parametrize("streaming", [True, False])
native = pytest.mark.parametrize("native", [False, True], ids=["prompted", "native"])
HI = [ChatMessage(content="Hi")]


def made(native, *calls):
    """An answer of calls, each a name and its arguments."""
    if native:
        return [CoreCall(f"c{n}", name, args) for n, (name, args) in enumerate(calls)]
    return "".join(call(name, **args) for name, args in calls)


def llm_of(r, native, **fields):
    calling = "native" if native else "emulate"
    return OpenAICompatible("some-model", base_url=r.base_url, function_calling=calling, retry=0, **fields)


async def run(agent, question="Go on."):
    handler = agent.run(question)
    events = [event async for event in handler.stream_events()]
    return await handler, [event for event in events if isinstance(event, ToolCallResult)]


def told(results):
    return [result.tool_output.content for result in results]


def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


# --- the same call again --------------------------------------------------------------------------


@native
@streams
async def test_a_coding_agent_lists_writes_and_lists_again(native, streaming):
    files = []

    def list_files() -> str:
        """List the files."""
        return ",".join(files) or "none"

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
    with replica("openai-compatible", answer=Script(*said)) as r:
        agent = FunctionAgent(tools=[list_files, write_file], llm=llm_of(r, native), streaming=streaming)
        output, results = await run(agent)
        assert len(r.requests) == 4
    assert told(results) == ["none", "written", "a.py"]
    assert output.response.content == "Done."


@native
@streams
async def test_polling(native, streaming):
    states = []

    def job_status(job: int) -> str:
        """The state of a job."""
        states.append(job)
        return "finished" if len(states) == 5 else "pending"

    said = [*[made(native, ("job_status", {"job": 7}))] * 5, "It is finished."]
    with replica("openai-compatible", answer=Script(*said)) as r:
        agent = FunctionAgent(tools=[job_status], llm=llm_of(r, native), streaming=streaming)
        output, results = await run(agent)
        assert len(r.requests) == 6
    assert told(results) == ["pending"] * 4 + ["finished"]
    assert output.response.content == "It is finished."


@native
@streams
async def test_two_dice(native, streaming):
    rolled = []

    def roll() -> str:
        """Roll a die."""
        rolled.append(1)
        return str(len(rolled))

    said = [made(native, ("roll", {}), ("roll", {})), "One and two."]
    with replica("openai-compatible", answer=Script(*said)) as r:
        agent = FunctionAgent(tools=[roll], llm=llm_of(r, native), streaming=streaming)
        _, results = await run(agent)
    assert sorted(told(results)) == ["1", "2"]
    assert len({result.tool_id for result in results}) == 2


@native
@streams
async def test_a_tool_that_fails_twice(native, streaming):
    tries = []

    def fetch(page: str) -> str:
        """Fetch a page."""
        tries.append(page)
        if len(tries) < 3:
            raise RuntimeError("temporary network failure, try again")
        return "welcome"

    said = [*[made(native, ("fetch", {"page": "home"}))] * 3, "It says welcome."]
    with replica("openai-compatible", answer=Script(*said)) as r:
        agent = FunctionAgent(tools=[fetch], llm=llm_of(r, native), streaming=streaming)
        output, results = await run(agent)
    assert [result.tool_output.is_error for result in results] == [True, True, False]
    assert output.response.content == "It says welcome."


@native
@streams
async def test_writer_and_reviewer_hand_over_four_times(native, streaming):
    """With the same reason each time."""
    over = {
        name: made(native, ("handoff", {"to_agent": name, "reason": "Please go on."}))
        for name in ("writer", "reviewer")
    }
    said = [over["reviewer"], over["writer"], over["reviewer"], over["writer"], "Approved."]
    with replica("openai-compatible", answer=Script(*said)) as r:
        writer, reviewer = (
            FunctionAgent(
                name=name,
                description=f"The {name}.",
                llm=llm_of(r, native),
                can_handoff_to=[other],
                streaming=streaming,
            )
            for name, other in (("writer", "reviewer"), ("reviewer", "writer"))
        )
        output, results = await run(AgentWorkflow(agents=[writer, reviewer], root_agent="writer"))
        assert len(r.requests) == 5
    assert output.response.content == "Approved."
    assert [result.tool_kwargs["to_agent"] for result in results] == ["reviewer", "writer"] * 2


@native
@streams
async def test_the_same_call_twice_with_a_human_asked(native, streaming):
    """Each waits for the human's word, and each runs once it is given."""
    sent = []

    async def send(ctx: Context, to: str) -> str:
        """Send a letter."""
        asked = InputRequiredEvent(prefix=f"{to}, {len(sent)}?")
        word = await ctx.wait_for_event(
            HumanResponseEvent, waiter_id=asked.prefix, waiter_event=asked, requirements={"at": asked.prefix}
        )
        sent.append(f"{word.response} to {to}")
        return "sent"

    said = [*[made(native, ("send", {"to": "Ada"}))] * 2, "Sent twice."]
    with replica("openai-compatible", answer=Script(*said)) as r:
        agent = FunctionAgent(tools=[send], llm=llm_of(r, native), streaming=streaming)
        handler = agent.run("Write to Ada, twice.")
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                handler.ctx.send_event(HumanResponseEvent(response="yes", at=event.prefix))
        assert (await handler).response.content == "Sent twice."
        assert len(r.requests) == 3
    assert sent == ["yes to Ada", "yes to Ada"]


@native
@streams
@pytest.mark.parametrize("method", ["force", "generate"])
async def test_the_agents_own_limit_ends_a_loop(native, method, streaming):
    """The same call for ever, until `max_iterations`."""
    again = made(native, ("add", {"a": 1, "b": 2}))
    said = [again] * 3 + ["It is 3."]
    with replica("openai-compatible", answer=Script(*said)) as r:
        agent = FunctionAgent(
            tools=[add], llm=llm_of(r, native), early_stopping_method=method, streaming=streaming
        )
        handler = agent.run("Add 1 and 2.", max_iterations=3)
        if method == "force":
            with pytest.raises(WorkflowRuntimeError, match="iterations"):
                await handler
        else:
            output = await handler
            assert output.response.content == "It is 3."


# --- wrong names and wrong arguments --------------------------------------------------------------


@native
@streams
async def test_a_wrong_name_and_then_the_right_one(native, streaming):
    """Within one call of the model: the names are told, the tools stay, and the model puts it right."""
    said = [made(native, ("plus", {"a": 1, "b": 2})), made(native, ("add", {"a": 1, "b": 2})), "It is 3."]
    with replica("openai-compatible", answer=Script(*said)) as r:
        output, results = await run(FunctionAgent(tools=[add], llm=llm_of(r, native), streaming=streaming))
        again = r.requests[1]
        assert "There is no tool named 'plus'. The tools are: add." in again.body.decode()
        assert again.json["tools"] if native else "Add two numbers" in again.body.decode()
    assert told(results) == ["3"]
    assert output.response.content == "It is 3."


@native
@streams
async def test_a_wrong_name_that_is_insisted_on(native, streaming):
    """The agent says that there is no such tool, and the run goes on."""
    said = [
        *[made(native, ("plus", {"a": 1, "b": 2}))] * 2,
        made(native, ("add", {"a": 1, "b": 2})),
        "It is 3.",
    ]
    with replica("openai-compatible", answer=Script(*said)) as r:
        output, results = await run(FunctionAgent(tools=[add], llm=llm_of(r, native), streaming=streaming))
    assert told(results) == ["Tool plus not found. Please select a tool that is available.", "3"]
    assert output.response.content == "It is 3."


@native
@streams
async def test_an_argument_left_out_four_times(native, streaming):
    """Three times below the agent, then the function's own complaint, and then it is right."""
    wrong = made(native, ("add", {"a": 1}))
    said = [*[wrong] * 4, made(native, ("add", {"a": 1, "b": 2})), "It is 3."]
    with replica("openai-compatible", answer=Script(*said)) as r:
        output, results = await run(FunctionAgent(tools=[add], llm=llm_of(r, native), streaming=streaming))
        assert len(r.requests) == 6
    assert [result.tool_output.is_error for result in results] == [True, False]
    assert "missing 1 required positional argument: 'b'" in told(results)[0]
    assert output.response.content == "It is 3."


# --- what nobody can call -------------------------------------------------------------------------

BROKEN = '{"path": "/etc/pas'


def read(path: str = "/") -> str:
    """Read a file."""
    raise AssertionError(f"read {path}")


@native
@streams
async def test_arguments_that_are_no_object_run_nothing(native, streaming):
    """Beside a call that runs, the agent says of the other that there is no such tool."""
    bad = [InvalidToolCall("bad", "read", BROKEN, "")] if native else call("read").replace("{}", "[7]")
    said = made(native, ("add", {"a": 1, "b": 2})) + bad
    with replica("openai-compatible", answer=Script(said, "It is 3.")) as r:
        llm = llm_of(r, native, max_repairs=0)
        output, results = await run(FunctionAgent(tools=[add, read], llm=llm, streaming=streaming))
        sent = r.requests[-1].body.decode()
    outcomes = {result.tool_name: result.tool_output for result in results}
    assert {name: outcome.is_error for name, outcome in outcomes.items()} == {
        "add": False,
        f"read{UNREADABLE}": True,
    }
    assert outcomes["add"].content == "3"
    assert "not found" in sent
    assert output.response.content == "It is 3."


@pytest.mark.parametrize("text", [BROKEN, "[1, 2]", "7"])
def test_selections_of_what_is_no_object(text):
    """LlamaIndex would make {} of it, with which a function of defaults runs."""
    said = [CoreCall("good", "add", {"a": 1, "b": 2}), InvalidToolCall("bad", "other", text, "")]
    with replica("openai-compatible", answer=said) as r:
        llm = llm_of(r, True, max_repairs=0)
        tools = [FunctionTool.from_defaults(add), FunctionTool.from_defaults(read)]
        response = llm.chat_with_tools(tools, "Go", allow_parallel_tool_calls=True)
        *_, last = llm.stream_chat_with_tools(tools, "Go", allow_parallel_tool_calls=True)
    for message in (response, last):
        found = {made.tool_id: made for made in llm.get_tool_calls_from_response(message)}
        assert found["good"].tool_kwargs == {"a": 1, "b": 2}
        assert (found["bad"].tool_name, found["bad"].tool_kwargs) == (f"other{UNREADABLE}", {})


@native
def test_a_call_that_the_choice_leaves_out_runs_nothing(native):
    """Its arguments are a JSON object, and the agent has a tool of that name."""
    said = made(native, ("add", {"a": 1, "b": 2}), ("read", {"path": "/etc"}))
    with replica("openai-compatible", answer=said) as r:
        llm = llm_of(r, native)
        tools = [FunctionTool.from_defaults(tool) for tool in (add, read, told)]
        response = llm.chat_with_tools(
            tools, "Go", tool_choice=["add", "told"], allow_parallel_tool_calls=True
        )
    found = [(made.tool_name, made.tool_kwargs) for made in llm.get_tool_calls_from_response(response)]
    assert found == [("add", {"a": 1, "b": 2}), (f"read{UNREADABLE}", {})]


@native
async def test_the_model_chooses_and_nobody_answers(native):
    """`predict_and_call` has no loop: a call that does not fit is an error, unless it is wanted."""
    said = made(native, ("plus", {"a": 1, "b": 2}))
    with replica("openai-compatible", answer=said) as r:
        llm = llm_of(r, native)
        tools = [FunctionTool.from_defaults(add)]
        with pytest.raises(ToolCallError, match="plus"):
            llm.predict_and_call(tools, "Add 1 and 2.")
        with pytest.raises(ToolCallError, match="plus"):
            await llm.apredict_and_call(tools, "Add 1 and 2.")


# --- what goes out ---------------------------------------------------------------------------------


@native
@streams
async def test_thinking_and_words_beside_a_call(native, streaming):
    """A call that is only thought about is not made, and no markup is ever shown."""
    words = f"<think>Maybe {call('add', a=9, b=9)}?</think>\nI add."
    calls = made(native, ("add", {"a": 1, "b": 2}))
    said = [Text(words), *calls] if native else words + calls
    with replica("openai-compatible", answer=Script(said, "<think>So.</think>\n\nIt is 3.")) as r:
        handler = FunctionAgent(tools=[add], llm=llm_of(r, native), streaming=streaming).run("Add 1 and 2.")
        events = [event async for event in handler.stream_events()]
        output = await handler
        assert len(r.requests) == 2
    assert told([event for event in events if isinstance(event, ToolCallResult)]) == ["3"]
    assert output.response.content == "It is 3."
    if streaming:
        shown = [event for event in events if isinstance(event, AgentStream)]
        assert "".join(event.delta for event in shown) == "I add.It is 3."
        assert "So." in "".join(event.thinking_delta or "" for event in shown)


@native
async def test_a_run_in_sync_code(native):
    """An agent in an event loop of its own, in a thread, as a script has it, and again."""
    said = [made(native, ("add", {"a": 1, "b": 2})), "It is 3."] * 2
    with replica("openai-compatible", answer=Script(*said)) as r:
        agent = FunctionAgent(tools=[add], llm=llm_of(r, native))
        for _ in range(2):
            output, results = await asyncio.to_thread(asyncio.run, run(agent))
            assert (told(results), output.response.content) == (["3"], "It is 3.")


# --- broken histories -----------------------------------------------------------------------------

BLOCK = ToolCallBlock(tool_call_id="x", tool_name="add", tool_kwargs={"a": 1, "b": 2})
CALLED = ChatMessage(role="assistant", blocks=[BLOCK])
TOLD = ChatMessage(role="tool", content="three", additional_kwargs={"tool_call_id": "x"})


@native
@streams
@pytest.mark.parametrize(
    "history",
    [[CALLED], [TOLD], [CALLED, TOLD, CALLED, TOLD], [CALLED, TOLD, TOLD]],
    ids=["no-result", "no-call", "one-id-twice", "two-results"],
)
async def test_a_run_goes_on_from_a_broken_history(native, streaming, history):
    """What a service of the protocol would refuse is put in order, and nothing is lost."""
    said = [made(native, ("add", {"a": 3, "b": 4})), "It is 7."]
    with replica("openai-compatible", answer=Script(*said)) as r:
        agent = FunctionAgent(tools=[add], llm=llm_of(r, native), streaming=streaming)
        output = await agent.run("Go on.", chat_history=[ChatMessage(content="Add."), *history])
        turns = r.requests[-1].json["messages"]
    assert output.response.content == "It is 7."
    if native:
        calls = [call["id"] for turn in turns for call in turn.get("tool_calls") or ()]
        assert [turn["tool_call_id"] for turn in turns if turn["role"] == "tool"] == calls
        assert len(set(calls)) == len(calls)
    assert json.dumps(turns).count("three") == history.count(TOLD)


# --- the choice -----------------------------------------------------------------------------------


@native
def test_required_without_tools_means_nothing(native):
    with replica("openai-compatible", answer="Hello.") as r:
        assert llm_of(r, native).chat_with_tools([], "Hi", tool_required=True).message.content == "Hello."
        assert "tool_choice" not in r.requests[-1].json


@native
def test_none_wins_over_required(native):
    with replica("openai-compatible", answer="Hello.") as r:
        tools = [FunctionTool.from_defaults(add)]
        response = llm_of(r, native).chat_with_tools(tools, "Hi", tool_required=True, tool_choice="none")
        assert response.message.content == "Hello."
        assert len(r.requests) == 1


@native
async def test_no_call_where_one_is_required(native):
    with replica("openai-compatible", answer="Hello.") as r:
        llm = llm_of(r, native, on_invalid="pass")
        tools = [FunctionTool.from_defaults(add)]
        with pytest.raises(ToolCallError):
            llm.chat_with_tools(tools, "Hi", tool_required=True)
        with pytest.raises(ToolCallError):
            await llm.achat_with_tools(tools, "Hi", tool_required=True)
