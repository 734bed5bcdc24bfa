"""ReAct over models that only write text, and write it as they like."""

import contextlib

import pytest
from llama_index.core.agent.react.output_parser import ReActOutputParser
from llama_index.core.agent.react.types import ActionReasoningStep, ResponseReasoningStep
from llama_index.core.agent.workflow import (
    AgentStream,
    AgentWorkflow,
    CodeActAgent,
    ReActAgent,
    ToolCallResult,
)

from freeproviders.testing import replica
from llama_index_freeproviders import FlowGpt
from llama_index_freeproviders.react import IMPLICIT, TolerantReActAgent, TolerantReActOutputParser

ADD = ("I must add.", "add", {"a": 1, "b": 2})
ACTIONS = {
    "strict": 'Thought: I must add.\nAction: add\nAction Input: {"a": 1, "b": 2}',
    "bold labels": '**Thought:** I must add.\n**Action:** add\n**Action Input:** {"a": 1, "b": 2}',
    "bold words": '**Thought**: I must add.\n**Action**: `add`\n**Action Input**: `{"a": 1, "b": 2}`',
    "headings": '### Thought: I must add.\n### Action: add\n### Action Input: {"a": 1, "b": 2}',
    "list": '- Thought: I must add.\n- Action: add\n- Action Input: {"a": 1, "b": 2}',
    "fenced input": 'Thought: I must add.\nAction: add\nAction Input:\n```json\n{"a": 1, "b": 2}\n```',
    "all fenced": '```\nThought: I must add.\nAction: add\nAction Input: {"a": 1, "b": 2}\n```',
    "python": "Thought: I must add.\nAction: add\nAction Input: {'a': 1, 'b': 2,}",
    "lower case": 'thought: I must add.\naction: add\naction input: {"a": 1, "b": 2}',
    "underscore": 'Thought: I must add.\nAction: add\nAction_Input: {"a": 1, "b": 2}',
    "as a call": 'Thought: I must add.\nAction: add({"a": 1, "b": 2})',
    "parentheses": 'Thought: I must add.\nAction: add()\nAction Input: {"a": 1, "b": 2}',
    "brackets": 'Thought: I must add.\nAction: [add]\nAction Input: {"a": 1, "b": 2}'.replace(
        "[add]", '"add"'
    ),
    "went on": (
        'Thought: I must add.\nAction: add\nAction Input: {"a": 1, "b": 2}\n'
        "Observation: 3\nThought: Done.\nAnswer: 3"
    ),
    "two actions": (
        'Thought: I must add.\nAction: add\nAction Input: {"a": 1, "b": 2}\n'
        'Action: add\nAction Input: {"a": 5, "b": 6}'
    ),
    "thinking": (
        '<think>Answer: no { }</think>Thought: I must add.\nAction: add\nAction Input: {"a": 1, "b": 2}'
    ),
    "no thought label": 'I must add.\nAction: add\nAction Input: {"a": 1, "b": 2}',
    "comment after": 'Thought: I must add.\nAction: add\nAction Input: {"a": 1, "b": 2}  (that is {all})',
    "unclosed": 'Thought: I must add.\nAction: add\nAction Input: {"a": 1, "b": 2',
}
ANSWERS = {
    "strict": ("Thought: I know.\nAnswer: It is 3.", "I know."),
    "no thought": ("Answer: It is 3.", IMPLICIT),
    "bold": ("**Thought:** I know.\n**Answer:** It is 3.", "I know."),
    "all bold": ("**Answer: It is 3.**", IMPLICIT),
    "final": ("Thought: I know.\nFinal Answer: It is 3.", "I know."),
    "fenced": ("```\nThought: I know.\nAnswer: It is 3.\n```", "I know."),
    "bare": ("It is 3.", IMPLICIT),
    "thinking": ("<think>Action: add</think>It is 3.", IMPLICIT),
    "no action": ("Thought: I know.\nAction: None\nAction Input: None\nAnswer: It is 3.", "I know."),
    "no action in words": ("Thought: I know.\n**Action:** None needed.\n**Answer:** It is 3.", "I know."),
    "no action by a slash": ("Thought: I know.\nAction: `N/A`\nAnswer: It is 3.", "I know."),
    "full-width colon": ("Thought\uff1aI know.\nAnswer\uff1aIt is 3.", "I know."),
}


@pytest.mark.parametrize("text", ACTIONS.values(), ids=ACTIONS)
def test_actions(text):
    step = TolerantReActOutputParser().parse(text)
    assert isinstance(step, ActionReasoningStep)
    assert (step.thought, step.action, step.action_input) == ADD


@pytest.mark.parametrize(("text", "thought"), ANSWERS.values(), ids=ANSWERS)
def test_answers(text, thought):
    step = TolerantReActOutputParser().parse(text)
    assert isinstance(step, ResponseReasoningStep)
    assert (step.thought, step.response) == (thought, "It is 3.")


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("Action: now", {}),
        ("Action: now\nAction Input:", {}),
        ("Action: now\nAction Input: {}", {}),
        ("Action: now\nAction Input: None", {}),
        ('Action: now\nAction Input: "Paris"', {"input": "Paris"}),
        (
            'Action: now\nAction Input: {"text": "a } in a {string}"} trailing }',
            {"text": "a } in a {string}"},
        ),
        ('Action: now\nAction Input: {"a": {"b": [1, {"c": 2}]}}', {"a": {"b": [1, {"c": 2}]}}),
    ],
)
def test_odd_inputs(text, arguments):
    assert TolerantReActOutputParser().parse(text).action_input == arguments


def test_code_and_emphasis_in_an_answer_stay():
    answer = "Use **this**:\n```python\nprint('Action: x')\n```\nand **that**."
    assert TolerantReActOutputParser().parse(f"Thought: **Easy.** Done.\nAnswer: {answer}").response == answer
    assert (
        TolerantReActOutputParser().parse(f"Thought: **Easy.** Done.\nAnswer: {answer}").thought
        == "**Easy.** Done."
    )


@pytest.mark.parametrize("name", ["none_of_these", "nonesuch", "null-check"])
def test_a_tool_may_be_called_almost_none(name):
    assert TolerantReActOutputParser().parse(f"Thought: t\nAction: {name}\nAction Input: {{}}").action == name


def test_an_action_after_none_has_its_own_input():
    step = TolerantReActOutputParser().parse(f"Action: None\nAction Input: None\n{ACTIONS['strict']}")
    assert (step.action, step.action_input) == ADD[1:]


@pytest.mark.parametrize("text", ["Thought: hmm, what now?", "Thought: hmm.\nAction: None"])
def test_a_thought_alone_is_asked_again(text):
    with pytest.raises(ValueError, match="Could not parse"):
        TolerantReActOutputParser().parse(text)


def test_what_the_stock_parser_reads_is_read_the_same():
    for text in ('Thought: t\nAction: add\nAction Input: {"a": 1}', "Thought: t\nAnswer: x", "plain"):
        assert TolerantReActOutputParser().parse(text) == ReActOutputParser().parse(text)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "Thought: " + "*" * 200_000,
        "`" * 200_000,
        "Action: a\nAction Input: " + "{" * 200_000,
        "Thought:" * 20_000,
        "\n " * 200_000 + "Answer",
    ],
)
def test_hostile_text_is_read_in_linear_time(text):
    with contextlib.suppress(ValueError):
        TolerantReActOutputParser().parse(text)


# --- agents ---------------------------------------------------------------------------------------


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def script(*turns):
    """Answers in turn."""
    left = list(turns)
    return lambda messages: left.pop(0)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("action", ["strict", "bold words", "fenced input", "went on"])
async def test_an_agent_in_two_turns_without_a_retry(streaming, action):
    async with replica(
        "flow-gpt", answer=script(ACTIONS[action], "**Thought:** I know.\n**Answer:** It is 3.")
    ) as r:
        agent = TolerantReActAgent(
            tools=[add], llm=FlowGpt(base_url=r.base_url, function_calling="off"), streaming=streaming
        )
        handler = agent.run("What is 1 + 2?")
        results = [event async for event in handler.stream_events() if isinstance(event, ToolCallResult)]
        output = await handler
        assert output.response.content == "It is 3."
        assert [result.tool_output.raw_output for result in results] == [3]
        assert len(r.requests) == 2
        assert "Observation: 3" in r.requests[-1].json["question"]


async def test_the_stock_agent_works_as_well():
    async with replica(
        "flow-gpt", answer=script(ACTIONS["strict"], "Thought: I know.\nAnswer: It is 3.")
    ) as r:
        agent = ReActAgent(tools=[add], llm=FlowGpt(base_url=r.base_url))
        assert (await agent.run("What is 1 + 2?")).response.content == "It is 3."


async def test_a_thought_alone_costs_one_more_turn():
    async with replica("flow-gpt", answer=script("Thought: hmm", "Answer: It is 3.")) as r:
        agent = TolerantReActAgent(tools=[add], llm=FlowGpt(base_url=r.base_url))
        assert (await agent.run("What is 1 + 2?")).response.content == "It is 3."
        assert len(r.requests) == 2


async def test_deltas_reach_the_event_stream():
    async with replica(
        "flow-gpt", answer=["Thought: I ", "know.\n", "Answer: It is 3."], faults={"pace": 0.02}
    ) as r:
        handler = TolerantReActAgent(tools=[add], llm=FlowGpt(base_url=r.base_url)).run("What is 1 + 2?")
        deltas = [event.delta async for event in handler.stream_events() if isinstance(event, AgentStream)]
        await handler
        assert "".join(deltas) == "Thought: I know.\nAnswer: It is 3."
        assert len(deltas) == 4


async def test_off_makes_workflows_choose_react_and_handing_over_works_by_text():
    handoff = 'Thought: Not mine.\nAction: handoff\nAction Input: {"to_agent": "adder", "reason": "sums"}'
    async with replica(
        "flow-gpt", answer=script(handoff, ACTIONS["strict"], "Thought: I know.\nAnswer: It is 3.")
    ) as r:
        llm = FlowGpt(base_url=r.base_url, function_calling="off")
        single = AgentWorkflow.from_tools_or_functions([add], llm=llm)
        assert isinstance(single.agents["Agent"], ReActAgent)
        first = TolerantReActAgent(
            name="first", description="talks", tools=[], llm=llm, can_handoff_to=["adder"]
        )
        adder = TolerantReActAgent(name="adder", description="adds", tools=[add], llm=llm)
        output = await AgentWorkflow(agents=[first, adder], root_agent="first").run("What is 1 + 2?")
        assert output.response.content == "It is 3."
        assert output.current_agent_name == "adder"


@pytest.mark.blocks("a sync method is called in a running loop, where LlamaIndex waits for a thread")
async def test_predict_and_call_without_function_calling():
    """LlamaIndex's own fallback fails with a validation error here."""
    async with replica("flow-gpt", answer=lambda messages: ACTIONS["bold labels"]) as r:
        from llama_index.core.tools import FunctionTool

        llm = FlowGpt(base_url=r.base_url, function_calling="off")
        tools = [FunctionTool.from_defaults(add)]
        assert llm.predict_and_call(tools, "What is 1 + 2?").response == "3"
        assert (await llm.apredict_and_call(tools, "What is 1 + 2?")).response == "3"


async def test_code_act():
    code = "<execute>\nprint(add(1, 2))\n</execute>"

    def execute(code: str) -> str:
        out = []
        exec(code.strip(), {"add": add, "print": out.append})  # noqa: S102 - of this test's own making
        return str(out[0])

    async with replica("flow-gpt", answer=script(f"Let me compute. {code}", "It is 3.")) as r:
        agent = CodeActAgent(code_execute_fn=execute, llm=FlowGpt(base_url=r.base_url), tools=[add])
        assert (await agent.run("What is 1 + 2?")).response.content == "It is 3."
        assert "3" in r.requests[-1].json["question"]
