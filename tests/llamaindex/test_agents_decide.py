"""Calls that LlamaIndex's agents decide about: repeated, unknown, wrong, and none at all.

Each is asked in words and by the service's own protocol, streamed and not, and comes to the same.
"""

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow.errors import WorkflowRuntimeError

from freeproviders.errors import ToolCallError
from freeproviders.testing import replica
from freeproviders.types import InvalidToolCall
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
async def test_writer_and_reviewer_hand_over_four_times(native):
    """With the same reason each time."""
    over = {
        name: made(native, ("handoff", {"to_agent": name, "reason": "Please go on."}))
        for name in ("writer", "reviewer")
    }
    said = [over["reviewer"], over["writer"], over["reviewer"], over["writer"], "Approved."]
    with replica("openai-compatible", answer=Script(*said)) as r:
        writer, reviewer = (
            FunctionAgent(
                name=name, description=f"The {name}.", llm=llm_of(r, native), can_handoff_to=[other]
            )
            for name, other in (("writer", "reviewer"), ("reviewer", "writer"))
        )
        output, results = await run(AgentWorkflow(agents=[writer, reviewer], root_agent="writer"))
        assert len(r.requests) == 5
    assert output.response.content == "Approved."
    assert [result.tool_kwargs["to_agent"] for result in results] == ["reviewer", "writer"] * 2


@native
@pytest.mark.parametrize("method", ["force", "generate"])
async def test_the_agents_own_limit_ends_a_loop(native, method):
    """The same call for ever, until `max_iterations`."""
    again = made(native, ("add", {"a": 1, "b": 2}))
    said = [again] * 3 + ["It is 3."]
    with replica("openai-compatible", answer=Script(*said)) as r:
        agent = FunctionAgent(tools=[add], llm=llm_of(r, native), early_stopping_method=method)
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


@streams
async def test_arguments_that_are_no_object_run_nothing(streaming):
    """Beside a call that runs, the agent says of the other that there is no such tool."""
    said = [CoreCall("good", "add", {"a": 1, "b": 2}), InvalidToolCall("bad", "read", BROKEN, "")]
    with replica("openai-compatible", answer=Script(said, "It is 3.")) as r:
        llm = llm_of(r, True, max_repairs=0)
        output, results = await run(FunctionAgent(tools=[add, read], llm=llm, streaming=streaming))
        sent = {
            turn["tool_call_id"]: turn["content"]
            for turn in r.requests[-1].json["messages"]
            if turn["role"] == "tool"
        }
    assert {result.tool_id: result.tool_output.is_error for result in results} == {"good": False, "bad": True}
    assert "not found" in sent["bad"]
    assert "JSON object" in sent["bad"]
    assert sent["good"] == "3"
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
