"""Calls of an answer that corrects others: one that equals a call that has gone out is it, or is new."""

import json

import pytest

from freeproviders import OpenAICompatible
from freeproviders.testing import replica
from freeproviders.types import Tool, ToolCall
from tests.tools.asking import answer_of, calls_of, in_turns, openai, request

ROLL = Tool(
    "roll",
    parameters={"type": "object", "properties": {"sides": {"type": "integer"}}, "required": ["sides"]},
)
LIST = Tool("list", parameters={"type": "object", "properties": {"path": {"type": "string"}}})

SIX, TWENTY = ("roll", {"sides": 6}), ("roll", {"sides": 20})
WRONG, WORSE = ("roll", {"sides": "six"}), ("roll", {"sides": "twenty"})
HERE, THERE = ("list", {"path": "."}), ("list", {"path": "/"})
UNBOUND = ("rol", {"dice": 6})

ANSWERS = {
    "the correction alone, equal to the other": ([SIX, WRONG], [SIX], [SIX, SIX]),
    "everything again": ([SIX, WRONG], [SIX, SIX], [SIX, SIX]),
    "everything again, another correction": ([SIX, WRONG], [SIX, TWENTY], [SIX, TWENTY]),
    "another correction alone": ([SIX, WRONG], [TWENTY], [SIX, TWENTY]),
    "one of two": ([SIX, TWENTY, WRONG], [TWENTY], [SIX, TWENTY, TWENTY]),
    "two others again, and no correction": ([SIX, TWENTY, WRONG], [SIX, TWENTY], [SIX, TWENTY]),
    "all of many again": ([SIX, HERE, WRONG], [SIX, HERE, SIX], [SIX, HERE, SIX]),
    "two corrections alone": ([SIX, WRONG, WORSE], [SIX, TWENTY], [SIX, SIX, TWENTY]),
    "two corrections behind the other": ([SIX, WRONG, WORSE], [SIX, SIX, TWENTY], [SIX, SIX, TWENTY]),
    "the correction of one of two": ([SIX, WRONG, WORSE], [SIX], [SIX, SIX]),
    "all of several, as many as faults": ([SIX, HERE, WRONG, WORSE], [SIX, HERE], [SIX, HERE]),
    "a tool that had no fault": ([HERE, WRONG], [HERE], [HERE]),
    "a tool that had no fault, and a correction": ([HERE, WRONG], [HERE, SIX], [HERE, SIX]),
    "the correction of an unknown name": ([SIX, UNBOUND], [SIX], [SIX, SIX]),
}

ways = pytest.mark.parametrize("native", [True, False], ids=["native", "prompted"])
streams = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


def said(native, calls):
    if native:
        return [ToolCall(f"c{n}", *call) for n, call in enumerate(calls)]
    return "".join(
        f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"
        for name, arguments in calls
    )


async def asked(native, *answers, **settings):
    with replica(OpenAICompatible, answer=in_turns(*[said(native, calls) for calls in answers])) as r:
        provider = openai(r, native_tools=native, json_schema=False)
        completion = await answer_of(provider, request(tools=(ROLL, LIST)), **settings)
        assert len(r.requests) == len(answers)
    made = [call.id for call in completion.tool_calls]
    assert len(set(made)) == len(made)
    return calls_of(completion)


@ways
@streams
@pytest.mark.parametrize("case", ANSWERS)
async def test_what_a_repaired_answer_adds(case, native, stream):
    first, second, made = ANSWERS[case]
    assert await asked(native, first, second, stream=stream) == made


@ways
async def test_over_two_repairs(native):
    """What counts is how many calls the model was last asked to correct."""
    assert await asked(native, [SIX, WRONG], [SIX, WORSE], [SIX]) == [SIX, SIX]
    assert await asked(native, [SIX, WRONG, WORSE], [TWENTY, WRONG], [TWENTY]) == [SIX, TWENTY, TWENTY]
    assert await asked(native, [SIX, WRONG], [WORSE], [SIX, SIX]) == [SIX, SIX]


@ways
async def test_where_repetitions_are_not_allowed_there_is_none(native):
    assert await asked(native, [SIX, WRONG], [SIX], allow_repeats=False) == [SIX]
