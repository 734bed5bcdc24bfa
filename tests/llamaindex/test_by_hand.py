"""Loops over calls in sync code, without an agent of LlamaIndex's: a tool is called until there are words."""

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.core.tools.calling import call_tool

from freeproviders.testing import replica
from tests.brain import Script
from tests.llamaindex.test_agents_decide import add, llm_of, made, native, streams


class Desk:
    """Tools that remember what was done with them."""

    def __init__(self):
        self.files: list[str] = []
        self.asked = self.rolled = self.tries = 0

    def list_files(self) -> str:
        """List the files."""
        return ",".join(self.files) or "none"

    def write_file(self, name: str) -> str:
        """Write a file."""
        self.files.append(name)
        return "written"

    def job_status(self, job: int) -> str:
        """The state of a job."""
        self.asked += 1
        return f"job {job} finished" if self.asked == 5 else "pending"

    def roll(self) -> str:
        """Roll a die."""
        self.rolled += 1
        return str(self.rolled)

    def fetch(self, page: str) -> str:
        """Fetch a page."""
        self.tries += 1
        if self.tries < 3:
            raise RuntimeError("temporary network failure, try again")
        return f"welcome {page}"

    @property
    def tools(self):
        functions = (self.list_files, self.write_file, self.job_status, self.roll, self.fetch, add)
        return [FunctionTool.from_defaults(function) for function in functions]


def by_hand(llm, tools, streaming):
    """The outputs of all calls, and the words at the end."""
    named = {tool.metadata.name: tool for tool in tools}
    history, outputs = [ChatMessage(content="Go on.")], []
    while True:
        asked = {"chat_history": history, "allow_parallel_tool_calls": True}
        if streaming:
            *_, response = llm.stream_chat_with_tools(tools, **asked)
        else:
            response = llm.chat_with_tools(tools, **asked)
        calls = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        if not calls:
            return outputs, response.message.content
        history.append(response.message)
        for call in calls:
            known = named.get(call.tool_name)
            output = call_tool(known, call.tool_kwargs).content if known else f"no {call.tool_name}"
            outputs.append(output)
            told = ChatMessage(role="tool", content=output, additional_kwargs={"tool_call_id": call.tool_id})
            history.append(told)


LIST, POLL, ROLL = ("list_files", {}), ("job_status", {"job": 7}), ("roll", {})
FETCH, ADD, PLUS = ("fetch", {"page": "home"}), ("add", {"a": 1, "b": 2}), ("plus", {"a": 1, "b": 2})
HALF = ("add", {"a": 1})
RUNS = {
    "coding": ([[LIST], [("write_file", {"name": "a.py"})], [LIST]], ["none", "written", "a.py"], 4),
    "polling": ([[POLL]] * 5, ["pending"] * 4 + ["job 7 finished"], 6),
    "dice": ([[ROLL, ROLL]], ["1", "2"], 2),
    "failing": ([[FETCH]] * 3, ["temporary network failure"] * 2 + ["welcome home"], 4),
    "wrong-name": ([[PLUS], [ADD]], ["3"], 3),
    "insisting": ([[PLUS], [PLUS], [ADD]], ["no plus", "3"], 4),
    "left-out": ([[HALF]] * 4 + [[ADD]], ["missing 1 required positional argument", "3"], 6),
}


@native
@streams
@pytest.mark.parametrize("run", RUNS)
def test_a_loop_in_sync_code(native, streaming, run):
    """Repeats are calls, and what stays wrong after the repairs is handed on."""
    turns, expected, requests = RUNS[run]
    said = [made(native, *calls) for calls in turns]
    with replica("openai-compatible", answer=Script(*said, "Done.")) as r:
        outputs, words = by_hand(llm_of(r, native), Desk().tools, streaming)
        assert len(r.requests) == requests
    assert words == "Done."
    assert len(outputs) == len(expected)
    for output, part in zip(outputs, expected, strict=True):
        assert part in output
