"""Promises about calls that hold for any answers, settings and models."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders.backend import Backend
from freeproviders.retry import Retry
from freeproviders.types import Finish, InvalidToolCall, Text, ToolCall, Usage
from tests.tools.asking import BAD, CALL, ROME, TIME, TINY, parts_of, request

PIECES = [
    CALL, ROME, TIME, BAD, "Hello. ", "<think>hm</think>", '{"city": "Oslo"}', " \n",
    '<tool_call>{"name": "fly", "arguments": {"to": "Oslo"}}</tool_call>',
    '<tool_call>{"name": "search", "arguments": [1, 2]}</tool_call>',
    '<tool_call>{"name": "get_weather", "arguments": {"city": "Os',
    ToolCall("x", "get_time", {}), ToolCall("x", "get_weather", {"days": "x"}),
    InvalidToolCall("x", "search", "[1]", "bad"), InvalidToolCall("x", "search", '{"q', "bad"),
]  # fmt: skip
ANSWERS = st.lists(st.lists(st.sampled_from(PIECES), max_size=4), min_size=4, max_size=4)
CHOICES = [None, "auto", "required", "get_weather", ("get_time", "search"), "none"]


class Scripted:
    """A backend of somebody's own, which gives one answer after the other."""

    name = "Scripted"
    retry = Retry(attempts=1)

    def __init__(self, answers, model, reason):
        self.answers, self.model, self.reason, self.asked = iter(answers), model, reason, 0

    async def batches(self, request):
        del request
        self.asked += 1
        for piece in next(self.answers):
            yield [Text(piece) if isinstance(piece, str) else piece]
        yield [Finish(reason=self.reason)]


@settings(max_examples=150, deadline=None)
@given(
    answers=ANSWERS,
    choice=st.sampled_from(CHOICES),
    model=st.sampled_from(["large", TINY]),
    reason=st.sampled_from(["stop", "length"]),
    more=st.fixed_dictionaries(
        {
            "on_invalid": st.sampled_from([None, "pass", "raise"]),
            "max_repairs": st.integers(0, 2),
            "stream": st.booleans(),
            "parallel_tool_calls": st.sampled_from([None, False]),
            "allow_repeats": st.sampled_from([None, True, False]),
        }
    ),
)
def test_whatever_a_model_says(answers, choice, model, reason, more):
    """Each call has an id of its own and arguments that are an object; what nobody can make never
    comes alone; a required call comes or an error does; a call that is not wanted never comes.
    """
    backend = Scripted(answers, model, reason)
    asked = request(tool_choice=choice, **more)
    parts, error = asyncio.run(parts_of(Backend.of(backend), asked))
    calls = [part for part in parts if isinstance(part, ToolCall)]
    invalid = [part for part in parts if isinstance(part, InvalidToolCall)]
    ids = [call.id for call in calls + invalid]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    assert all(isinstance(call.arguments, dict) for call in calls)
    assert backend.asked <= 1 + asked.max_repairs
    if error is None:
        assert [type(part) for part in parts[-2:]] == [Usage, Finish]
        assert calls or not invalid
        assert calls or choice not in {"required", "get_weather", ("get_time", "search")}
    if asked.on_invalid != "pass" and choice == "get_weather":
        assert all(call.name == "get_weather" and "city" in call.arguments for call in calls)
    if choice == ("get_time", "search"):
        assert all(call.name != "get_weather" for call in calls)
    if choice == "none":
        assert not calls
        assert not invalid
