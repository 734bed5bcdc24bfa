"""Thinking that a model's template has opened: only the mark that closes it is in the answer."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders import FlowGpt, OpenAICompatible
from freeproviders.testing import replica
from freeproviders.thinking import may_close
from freeproviders.tools import complete_structured, stream_structured
from freeproviders.tools.read.thinking import LEADING, TEMPLATE, THINKING, closing_mark
from freeproviders.types import Reasoning, Text, ToolCall, collect
from tests.tools.asking import CALL, in_turns
from tests.tools.reading import TOOLS

THOUGHT = f'Okay, the user asks. I may call {CALL} or send {{"a": 1}}.'
SAID = f"{THOUGHT}\n</think>\n\nIt is 4."
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FORM = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
FEATURE = "begins_thinking"


def cut(text, size):
    return [text[at : at + size] for at in range(0, len(text), size)]


async def parts_of(provider, **asked):
    request = provider.request("Hi", **asked)
    return [part async for batch in provider.answer(request) for part in batch]


async def answer_of(provider, **asked):
    return collect(await parts_of(provider, **asked))


def verdicts(provider):
    return [lesson.verdict for lesson in provider.learned.lessons if lesson.feature == FEATURE]


# --- the mark ---

ALONE = [mark for mark in TEMPLATE if mark not in {"<|end|>", "<|end_message|>"}]


@pytest.mark.parametrize("mark", ALONE)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Let me see.\n", "\n\nFour."),
        ("Let me see.\r\n", "\r\nFour."),
        ("Let me see.", "\n\nFour."),
        ("Let me see", "\nFour."),
        ("Let me see.\n", " \n{}"),
        ("So it is 4.", "Four."),
        ("So it is 4.\n", "**Four**"),
        ("So it is 4.\n\n", '<tool_call>{"name": "f"}'),
        ("I `a` it:\n```\nb\n```\n", "\nFour."),
    ],
)
def test_it_is_found_where_models_write_it(mark, before, after):
    assert closing_mark(before + mark + after) == (len(before), len(before + mark))
    assert may_close(before + mark + after)


@pytest.mark.parametrize("mark", ALONE)
@pytest.mark.parametrize(
    "text",
    [
        "A model ends its thinking with {}\nand then answers.",
        "Everything up to {} is thinking.",
        "Everything up to `{}` is thinking.",
        'The stop is "{}"\nin that case.',
        "Write x={}\nthere.",
        "The mark:\n\n```\nthoughts\n{}\nanswer\n```\nThat is it.",
        "The mark:\n\n~~~xml\nthoughts\n{}\nanswer\n~~~\nThat is it.",
        "The mark:\n\n```\nthoughts\n{}\nanswer",
        "The mark:\n\n    {}\n\nis it.",
        "> thoughts\n> {}\n> answer",
        "- {}\n- others",
        "The mark is:\n{}",
        "The mark is:\n\n{}\n",
        "end.{} is glued",
        "word{}word",
    ],
)
def test_one_that_is_mentioned_is_none(mark, text):
    assert closing_mark(text.format(mark)) is None


@pytest.mark.parametrize(("opener", "closer"), [*THINKING.items(), *LEADING.items()])
def test_one_that_was_opened_is_none(opener, closer):
    assert closing_mark(f"So:\n{opener}\nhm\n{closer}\n\nFour.") is None


@pytest.mark.parametrize("mark", ["<|end|>", "<|end_message|>", *LEADING.values()])
def test_what_closes_other_things_is_none(mark):
    assert closing_mark(f"Four.\n{mark}\n\nFive.") is None


def test_a_call_beside_the_text_is_an_answer_as_well():
    text = "Let me see.\n</think>\n\n"
    assert closing_mark(text) is None
    assert closing_mark(text, more=True) is not None


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["</think>", "<think>", "\n", "```", "a", ".", " ", "[/THINK]"]), max_size=14)
)
def test_what_is_found_is_a_mark_that_stands_right(pieces):
    text = "".join(pieces)
    if found := closing_mark(text):
        assert text[found.start : found.end] in {"</think>", "[/THINK]"}
        assert text[: found.start].strip()
        assert text[found.end :].strip()


# --- whole answers ---


@pytest.mark.parametrize("cls", [FlowGpt, OpenAICompatible])
@pytest.mark.parametrize("tools", [(), TOOLS], ids=["plain", "tools"])
@pytest.mark.parametrize(
    ("mode", "text", "reasoning"),
    [
        (None, "It is 4.", f"{THOUGHT}\n"),
        ("split", "It is 4.", f"{THOUGHT}\n"),
        ("drop", "It is 4.", ""),
        ("keep", SAID, ""),
    ],
)
async def test_a_whole_answer(cls, tools, mode, text, reasoning):
    """What stands before the mark is thinking, and no call in it is made."""
    with replica(cls, answer=cut(SAID, 7)) as r:
        provider = cls("m" if cls is OpenAICompatible else None, base_url=r.base_url)
        for _ in range(2):  # with what the first has taught as well
            answer = await answer_of(provider, stream=False, tools=tools, reasoning=mode)
            assert (answer.text, answer.reasoning, answer.tool_calls) == (text, reasoning, ())
            assert answer.finish.reason == "stop"
        assert len(r.requests) == 2


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("mode", [None, "drop", "keep"])
async def test_a_call_behind_it_is_made(mode, single):
    """Whatever was thought about, also where the first call would end the answer."""
    other = CALL.replace("Oslo", "Rome")
    said = f"Shall I {CALL}?\n</think>\n\n{other}"
    with replica(FlowGpt, answer=cut(said, 7)) as r:
        asked = {"tool_choice": "required", "parallel_tool_calls": False} if single else {}
        answer = await answer_of(
            FlowGpt(base_url=r.base_url), stream=False, tools=TOOLS, reasoning=mode, **asked
        )
        assert len(r.requests) == 1
    assert [call.arguments for call in answer.tool_calls] == [{"city": "Rome"}]
    assert answer.reasoning == ("" if mode else f"Shall I {CALL}?\n")


async def test_a_service_that_tells_only_the_call_apart():
    with replica(OpenAICompatible, answer=["Hm.\n</think>\n\n", ToolCall("a", "f", {})]) as r:
        answer = await answer_of(OpenAICompatible("m", base_url=r.base_url), stream=False)
    assert (answer.reasoning, answer.text, len(answer.tool_calls)) == ("Hm.\n", "", 1)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("mode", [None, "drop", "keep"])
async def test_no_object_is_found_in_it(mode, stream):
    """Also in a stream: nothing of an object goes out before it is known to be good."""
    said = 'Perhaps {"a": 1}?\n</think>\n\n{"a": 2}'
    thought = "" if mode == "drop" else 'Perhaps {"a": 1}?\n'
    with replica(FlowGpt, answer=cut(said, 5)) as r:
        provider = FlowGpt(base_url=r.base_url)
        for asked in ({}, {"tools": TOOLS}):
            one = FlowGpt(base_url=r.base_url)
            answer = await answer_of(one, response_format=FORM, stream=stream, reasoning=mode, **asked)
            assert (answer.text, answer.reasoning, answer.tool_calls) == ('{"a":2}', thought, ())
        found = await complete_structured(provider, provider.request("Hi", reasoning=mode), SCHEMA)
        assert (found.data, found.reasoning) == ({"a": 2}, thought)
        again = [step async for step in stream_structured(provider, provider.request("Hi"), SCHEMA)]
        assert {step.data["a"] for step in again if step.data} == {2}


async def test_several_answers_are_looked_at_singly():
    with replica(OpenAICompatible, answer=SAID) as r:
        answer = await answer_of(OpenAICompatible("m", base_url=r.base_url), n=2, stream=False)
    assert [one.text for one in (answer, *answer.others)] == ["It is 4."] * 2


@pytest.mark.parametrize("tools", [(), TOOLS], ids=["plain", "tools"])
@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_about_marks_stays_as_it_is(tools, stream):
    """And teaches nothing."""
    code = "```py\ns.split('''\n</think>\n''')\n```"
    said = f"Cut off what stands before `</think>`:\n{code}\nor up to </think>\nas a line."
    with replica(OpenAICompatible, answer=cut(said, 6)) as r:
        provider = OpenAICompatible("m", base_url=r.base_url)
        for _ in range(2):
            answer = await answer_of(provider, tools=tools, stream=stream)
            assert (answer.text, answer.reasoning) == (said, "")
        assert verdicts(provider) == []


# --- what an answer teaches ---


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("tools", [(), TOOLS], ids=["plain", "tools"])
async def test_an_answer_teaches_it(stream, tools):
    """By model and address, with the date and the reason."""
    with replica(OpenAICompatible, answer=SAID) as r:
        provider = OpenAICompatible("m", base_url=r.base_url)
        await answer_of(provider, stream=stream, tools=tools)
        lesson = next(lesson for lesson in provider.learned.lessons if lesson.feature == FEATURE)
        assert (lesson.model, lesson.verdict) == ("m", "proven")
        assert "closed thinking" in lesson.why
        assert lesson.when <= datetime.now(UTC)
        assert not provider.learned.proves(FEATURE, "other")


async def taught(provider):
    """Let a service teach that its model's answers begin inside the thinking."""
    await answer_of(provider, stream=False)
    assert verdicts(provider) == ["proven"]


@pytest.mark.parametrize("tools", [(), TOOLS], ids=["plain", "tools"])
async def test_the_first_stream_is_left_as_it_is(tools):
    """The mark came behind text that had gone out; the next one is split."""
    said = "Okay, hm.\n</think>\n\nIt is 4."
    with replica(FlowGpt, answer=cut(said, 4)) as r:
        provider = FlowGpt(base_url=r.base_url)
        first = await answer_of(provider, tools=tools)
        second = await answer_of(provider, tools=tools)
    assert (first.text, first.reasoning) == (said, "")
    assert (second.text, second.reasoning) == ("It is 4.", "Okay, hm.\n")


@pytest.mark.parametrize("cls", [FlowGpt, OpenAICompatible])
@pytest.mark.parametrize("tools", [(), TOOLS], ids=["plain", "tools"])
@pytest.mark.parametrize(
    ("mode", "text", "reasoning"),
    [
        (None, "It is 4.", f"{THOUGHT}\n"),
        ("drop", "It is 4.", ""),
        ("keep", SAID, ""),
    ],
)
async def test_streams_begin_inside_it(cls, tools, mode, text, reasoning):
    with replica(cls, answer=SAID) as r:
        provider = cls("m" if cls is OpenAICompatible else None, base_url=r.base_url)
        await taught(provider)
        for size in range(1, 12):
            r.answer = cut(SAID, size)
            answer = await answer_of(provider, tools=tools, reasoning=mode)
            assert (answer.text, answer.reasoning, answer.tool_calls) == (text, reasoning, ()), size
        assert verdicts(provider) == ["proven"]


@pytest.mark.parametrize("tools", [(), TOOLS], ids=["plain", "tools"])
async def test_at_every_cut(tools):
    said = f"Hm {CALL}?\n</think>\n\nFour."
    with replica(OpenAICompatible, answer=SAID) as r:
        provider = OpenAICompatible("m", base_url=r.base_url)
        await taught(provider)
        for at in range(1, len(said)):
            r.answer = [said[:at], said[at:]]
            answer = await answer_of(provider, tools=tools)
            assert (answer.text, answer.reasoning) == ("Four.", f"Hm {CALL}?\n"), at
            assert answer.tool_calls == ()


async def test_thinking_is_shown_as_it_comes():
    with replica(FlowGpt, answer=SAID) as r:
        provider = FlowGpt(base_url=r.base_url)
        await taught(provider)
        r.answer = ["Well", ", hm", "\n</think>\n\nFour"]
        parts = await parts_of(provider)
    assert [part for part in parts if isinstance(part, Text | Reasoning)] == [
        Reasoning("Well"),
        Reasoning(", hm"),
        Reasoning("\n"),
        Text("Four"),
    ]


async def test_calls_and_objects_in_streams_that_begin_inside_it():
    with replica(FlowGpt, answer=SAID) as r:
        provider = FlowGpt(base_url=r.base_url)
        await taught(provider)
        other = CALL.replace("Oslo", "Rome")
        r.answer = cut(f"{CALL}?</think>{other}", 3)
        answer = await answer_of(provider, tools=TOOLS)
        assert [call.arguments for call in answer.tool_calls] == [{"city": "Rome"}]
        r.answer = cut('{"a": 1}?</think>{"a": 2}', 3)
        steps = [step async for step in stream_structured(provider, provider.request("Hi"), SCHEMA)]
        assert {step.data["a"] for step in steps if step.data} == {2}
        assert (steps[-1].reasoning, steps[-1].text) == ('{"a": 1}?', '{"a": 2}')


# --- a lesson that is wrong ---


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("mode", [None, "drop", "keep"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("tools", [(), TOOLS], ids=["plain", "tools"])
async def test_an_answer_that_closes_nothing_is_text(tools, stream, mode, size):
    """Nothing of it is lost, and the lesson is never believed again."""
    said = "It is 4, or <b>5</b>."
    with replica(OpenAICompatible, answer=SAID) as r:
        provider = OpenAICompatible("m", base_url=r.base_url)
        await taught(provider)
        r.answer = cut(said, size)
        answer = await answer_of(provider, tools=tools, stream=stream, reasoning=mode)
        assert answer.text == said
        assert answer.reasoning == (said if stream and mode is None else "")
        if not tools and (mode == "keep" or not stream):
            return  # nothing in it is looked at
        assert verdicts(provider) == ["proven", "disproven"]
        parts = await parts_of(provider, tools=tools)
        assert not any(isinstance(part, Reasoning) for part in parts)
        assert collect(parts).text == said


@pytest.mark.parametrize("mode", [None, "drop", "keep"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_call_without_thinking_is_made(stream, mode):
    with replica(FlowGpt, answer=SAID) as r:
        provider = FlowGpt(base_url=r.base_url)
        await taught(provider)
        r.answer = cut(f"Sure. {CALL}", 6)
        answer = await answer_of(provider, tools=TOOLS, stream=stream, reasoning=mode)
    assert [call.arguments for call in answer.tool_calls] == [{"city": "Oslo"}]
    assert answer.finish.reason == "tool_calls"
    assert verdicts(provider) == ["proven", "disproven"]


async def test_an_object_without_thinking_is_found():
    with replica(FlowGpt, answer=SAID) as r:
        provider = FlowGpt(base_url=r.base_url)
        await taught(provider)
        r.answer = cut('{"a": 2}', 3)
        found = await complete_structured(provider, provider.request("Hi"), SCHEMA)
    assert (found.data, found.text, found.reasoning) == ({"a": 2}, '{"a": 2}', "")


@pytest.mark.parametrize("tools", [(), TOOLS], ids=["plain", "tools"])
async def test_a_service_that_splits_by_itself_from_now_on(tools):
    with replica(OpenAICompatible, answer=SAID) as r:
        provider = OpenAICompatible("m", base_url=r.base_url)
        await taught(provider)
        r.answer = [Reasoning("hm"), "It ", "is 4."]
        answer = await answer_of(provider, tools=tools)
    assert answer.text == "It is 4."


@pytest.mark.parametrize("tools", [(), TOOLS], ids=["plain", "tools"])
async def test_thinking_that_breaks_off_disproves_nothing(tools):
    """A token limit and a stop sequence: the text is there, and no call in it is made."""
    said = f"Hm, perhaps {CALL}"
    with replica(OpenAICompatible, answer=SAID) as r:
        provider = OpenAICompatible("m", base_url=r.base_url)
        await taught(provider)
        r.answer = said
        answer = await answer_of(provider, stop=["</tool_call>"], tools=())
        assert answer.text == said.removesuffix("</tool_call>")
        assert verdicts(provider) == ["proven"]
    choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "length"}
    fault = {"status": 200, "content_type": "application/json", "body": {"choices": [choice]}}
    with replica(OpenAICompatible, answer=SAID) as r:
        provider = OpenAICompatible("m", base_url=r.base_url)
        await taught(provider)
        r.faults = fault
        answer = await answer_of(provider, tools=tools)
    assert (answer.text, answer.tool_calls, answer.finish.reason) == (said, (), "length")
    assert verdicts(provider) == ["proven"]


async def test_turns():
    """A model that thinks at times: what it says is always there."""
    with replica(FlowGpt, answer=in_turns(SAID, "Four.", SAID, "Five.")) as r:
        provider = FlowGpt(base_url=r.base_url)
        found = [(await answer_of(provider, stream=False)).text for _ in range(4)]
    assert found == ["It is 4.", "Four.", "It is 4.", "Five."]
