"""Thinking that a model writes into its text: told apart, left out, or left alone."""

from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders import FlowGpt, OpenAICompatible, Retry, bridge
from freeproviders.errors import EmptyResponseError
from freeproviders.testing import replica
from freeproviders.thinking import FIRST_CHARS, SplitAnswer
from freeproviders.tools import complete_structured
from freeproviders.tools.plain import PlainReader
from freeproviders.tools.read.dialects.turns import TURNS
from freeproviders.tools.read.parser import Parser
from freeproviders.tools.read.thinking import CLOSERS, LEADING, THINKING, begins_with_mark
from freeproviders.types import (
    ChatRequest,
    Finish,
    InvalidToolCall,
    Message,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolCallDelta,
    Usage,
    collect,
)
from tests.tools.asking import CALL, in_turns
from tests.tools.reading import TOOLS

AT_ONCE = Retry(attempts=3, first=0, jitter=0)
SAID = "<think>let me see</think>\n\nThe answer <think>or</think> is <thinking>well</thinking>4."
SPLIT = ("The answer is 4.", "let me seeorwell")


async def answer_of(provider, **asked):
    request = provider.request("Hi", **asked)
    return collect([part async for batch in provider.answer(request) for part in batch])


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("size", [1, 3, 7, 1000])
async def test_every_mode_without_tools(size, stream):
    """At the start of and within the text, at any cut."""
    pieces = [SAID[at : at + size] for at in range(0, len(SAID), size)]
    with replica(OpenAICompatible, answer=pieces) as r:
        provider = OpenAICompatible("m", base_url=r.base_url)
        found = {
            mode: await answer_of(provider, reasoning=mode, stream=stream)
            for mode in (None, "keep", "split", "drop")
        }
        assert len(r.requests) == 4
        assert all(sent.json == r.requests[0].json for sent in r.requests)
    assert {mode: (answer.text, answer.reasoning) for mode, answer in found.items()} == {
        None: SPLIT,
        "keep": (SAID, ""),
        "split": SPLIT,
        "drop": (SPLIT[0], ""),
    }
    assert {answer.finish.reason for answer in found.values()} == {"stop"}
    assert len({answer.usage for answer in found.values()}) == 1


@pytest.mark.parametrize(
    ("mode", "text", "reasoning"),
    [
        (None, "Well. No.", f"hm {CALL}"),
        ("split", "Well. No.", f"hm {CALL}"),
        ("drop", "Well. No.", ""),
        ("keep", f"Well. <think>hm {CALL}</think>No.", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 4, 1000])
async def test_every_mode_with_tools(mode, text, reasoning, size):
    """A call that is only thought about is none, also where the thinking stays in the text."""
    said = f"Well. <think>hm {CALL}</think>No."
    with replica(FlowGpt, answer=[said[at : at + size] for at in range(0, len(said), size)]) as r:
        answer = await answer_of(FlowGpt(base_url=r.base_url), tools=TOOLS, reasoning=mode)
    assert (answer.text, answer.reasoning, answer.tool_calls) == (text, reasoning, ())


async def test_a_call_behind_thinking_that_is_kept():
    with replica(FlowGpt, answer=f"<think>hm</think>{CALL}") as r:
        answer = await answer_of(FlowGpt(base_url=r.base_url), tools=TOOLS, reasoning="keep")
    assert (answer.text, len(answer.tool_calls)) == ("<think>hm</think>", 1)


@pytest.mark.parametrize("mode", ["split", "drop", "keep"])
async def test_an_object_is_never_looked_for_in_the_thinking(mode):
    """Also where thinking is kept: the text of a typed answer is the object alone."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with replica(FlowGpt, answer='<think>{"a": 1}</think>{"a": 2}') as r:
        provider = FlowGpt(base_url=r.base_url)
        answer = await answer_of(provider, response_format=form, reasoning=mode)
        with_tools = await answer_of(provider, response_format=form, reasoning=mode, tools=TOOLS)
        found = await complete_structured(provider, provider.request("Hi", reasoning=mode), schema)
    assert answer.text == with_tools.text == '{"a":2}'
    assert found.data == {"a": 2}
    assert (
        answer.reasoning == with_tools.reasoning == found.reasoning == ("" if mode == "drop" else '{"a": 1}')
    )


async def test_what_a_service_tells_apart_is_reasoning():
    """Apart from the text it stays apart, and "drop" leaves it out as well."""
    with replica(OpenAICompatible, answer=[Reasoning("hm"), "Hi"]) as r:
        provider = OpenAICompatible("m", base_url=r.base_url)
        found = [(await answer_of(provider, reasoning=mode)).reasoning for mode in ("keep", "split", "drop")]
    assert found == ["hm", "hm", ""]


def native(*pieces):
    reader = PlainReader(reasoning="split")
    return [part for piece in pieces for part in reader.take([piece])] + reader.end()


def test_calls_pass_through():
    """A question without tools may be answered with a call where the conversation holds some."""
    call = ToolCall("c", "f", {})
    assert native(Text("a"), call, Usage(1, 1), Finish()) == [Text("a"), call]


CODE = "So:\n```xml\n<think>plan</think>\n```\nand `<think>` or ```<think>a</think>``` too."


@pytest.mark.parametrize("tools", [(), TOOLS], ids=["plain", "tools"])
@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_code_is_left_alone(tools, size):
    """A tag in a block or a line of code is code, with tools and without."""
    parser = Parser(tools)
    said = f"<think>hm</think>{CODE}<think>well</think>"
    pieces = [piece for at in range(0, len(said), size) for piece in parser.feed(said[at : at + size])]
    pieces += parser.close()
    assert "".join(piece.text for piece in pieces if isinstance(piece, Text)).strip() == CODE
    assert "".join(piece.text for piece in pieces if isinstance(piece, Reasoning)) == "hmwell"


async def test_a_plain_request_has_no_layer():
    """Nothing stands between a plain request and the service's own stream, once it is known as such.

    The batches are then awaited in the stream itself. Only the first, second, fourth, eighth ...
    stream is watched, for a mark that closes thinking.
    """
    with replica(FlowGpt, answer=["Hello", " there", "!"], faults={"pace": 0.05}) as r:
        provider = FlowGpt(base_url=r.base_url)
        for _ in range(2):
            assert (await answer_of(provider)).text == "Hello there!"
        stream = provider.answer(provider.request("Hi"))
        first = await anext(stream)
        assert first[0] == Text("Hello")
        step = stream.__anext__()
        bare = provider.batches(provider.request("Hi")).__anext__()
        assert type(step) is type(bare)
        bare.close()
        rest = [part for part in await step if isinstance(part, Text)]
        rest += [part async for batch in stream for part in batch if isinstance(part, Text)]
    assert "".join(part.text for part in rest) == " there!"
    request = provider.request("Hi", reasoning="keep")
    assert provider.answer(request).ag_code is provider.batches(request).ag_code
    tools_told = [Message("user", "Hi"), Message("assistant", "", tool_calls=(ToolCall("c", "f", {}),))]
    provider = OpenAICompatible("m", base_url="http://127.0.0.1:9", native_tools=True)
    request = provider.request(tools_told, reasoning="keep")
    assert provider.answer(request).ag_code is provider.batches(request).ag_code


WORDS = st.sampled_from(
    ["<think>", "</think>", "<thinking>", "hm", " ", "\n", "<", "`", "```", "a", "{", "<t"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=12).map("".join), st.lists(st.integers(1, 5), max_size=20), st.booleans())
def test_kept_thinking_leaves_the_text_alone(said, sizes, inside):
    """Whatever the cuts: without tools the text is what the model wrote."""
    parser = Parser(thinking=inside, keep_thinking=True)
    out, at = [], 0
    for size in [*sizes, len(said)]:
        out += parser.feed(said[at : at + size])
        at += size
    out += parser.close()
    assert all(isinstance(piece, Text) for piece in out)
    assert "".join(piece.text for piece in out) == said


def test_every_mark_begins_with_a_character_that_is_looked_for():
    """The first character decides whether the marks are looked at."""
    marks = [*THINKING, *LEADING, *CLOSERS]
    assert {mark[0] for mark in marks} == set(FIRST_CHARS)
    for mark in marks:
        assert begins_with_mark(mark) is begins_with_mark(f"{mark}x") is True
        assert begins_with_mark(mark[:-1]) is (True if mark.startswith("<|") else None)
        assert begins_with_mark(mark[:1]) is None
    assert begins_with_mark("<thin ice") is begins_with_mark("[1] says") is False
    assert all(begins_with_mark(mark) for mark in TURNS if mark.startswith("<|"))


BEGINNINGS = [
    ("<think>hm</think>Four.", "Four.", "hm"),
    ("\n\n<think>\nhm</think>\n\nFour.", "Four.", "\nhm"),
    ("[THINK]hm[/THINK]Four.", "Four.", "hm"),
    ("<thinking>hm</thinking>Four.", "Four.", "hm"),
    ("<thin ice>", "<thin ice>", ""),
    ("<", "<", ""),
    ("<thi", "<thi", ""),
    ("[1] says <think>so</think>.", "[1] says <think>so</think>.", ""),
    ("\n\n  Four.", "\n\n  Four.", ""),
    (" " * 300 + "<think>hm</think>.", " " * 300 + "<think>hm</think>.", ""),
    ("`<think>` opens", "`<think>` opens", ""),
    ("<|channel|>analysis<|message|>hm<|end|><|channel|>final<|message|>Four.", "Four.", "hm"),
    ("<|channel|>final<|message|>Four.", "Four.", ""),
    ("<|channel>thought\nhm<channel|>Four.", "Four.", "\nhm"),
    ("<unused94>thought\nhm<unused95>Four.", "Four.", "\nhm"),
    ("<|START_RESPONSE|>Four.<|END_RESPONSE|>", "Four.", ""),
    ("<|> is an operator", "<|> is an operator", ""),
    ("<| is one, too", "<| is one, too", ""),
]


@pytest.mark.parametrize(("said", "text", "reasoning"), BEGINNINGS)
@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize("stream", [True, False])
async def test_the_first_words_decide(said, text, reasoning, size, stream):
    """What does not begin with thinking goes out as it came, whatever the cuts."""
    pieces = [said[at : at + size] for at in range(0, len(said), size)]
    with replica(OpenAICompatible, answer=pieces) as r:
        answer = await answer_of(OpenAICompatible("m", base_url=r.base_url), stream=stream)
    assert (answer.text, answer.reasoning, answer.finish.reason) == (text, reasoning, "stop")


FINISH = Finish(reason="stop")
NO_TEXT = [
    Refusal("I will"),
    ToolCallDelta(0, "id", "f", "{"),
    InvalidToolCall("id", "f", "{", "It is cut off."),
]


@pytest.mark.parametrize("begins", [[], [Text("\n")], [Text("<thi")]])
@pytest.mark.parametrize("part", [*NO_TEXT, ToolCall("id", "f", {}), FINISH])
async def test_what_is_no_text_decides_as_well(part, begins):
    """Nothing is held back behind it."""
    asked, read = ChatRequest(messages=(Message("user", "Hi"),)), []

    async def batches():
        for batch in ([*begins, part], [Text("Four.")], [FINISH]):
            read.append(batch)
            yield batch

    backend = OpenAICompatible("m", base_url="http://127.0.0.1:9")
    async with aclosing(SplitAnswer(backend, asked, batches())) as stream:
        assert await anext(stream) == [*begins, part]
        assert len(read) == 1


async def test_a_call_in_the_same_piece_hides_no_thinking():
    with replica(OpenAICompatible, answer=[Text("<think>hm</think>Look."), ToolCall("id", "f", {})]) as r:
        answer = await answer_of(OpenAICompatible("m", base_url=r.base_url), stream=False)
    assert (answer.reasoning, answer.text, len(answer.tool_calls)) == ("hm", "Look.", 1)


@pytest.mark.parametrize("said", ["Hello there", "<think>hm</think>Hello there"])
async def test_leaving_early_ends_the_request(said):
    """By `aclose`, after the first part as before it, with thinking and without."""
    with replica(OpenAICompatible, answer=[*said], faults={"pace": 0.02}) as r:
        provider = OpenAICompatible("m", base_url=r.base_url)
        for parts in (0, 1, 3):
            stream = provider.answer(provider.request("Hi"))
            for _ in range(parts):
                assert await anext(stream)
            await stream.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(stream)


def test_in_sync_code_as_well():
    with replica(FlowGpt, answer=SAID) as r:
        provider = FlowGpt(base_url=r.base_url)
        whole, parts = provider.complete_sync("Hi"), collect(provider.stream_sync("Hi"))
        texts = FlowGpt(base_url=r.base_url).create_async_generator(messages="Hi")
        assert bridge.run(joined_text(texts)) == SPLIT[0]
    assert [(found.text, found.reasoning) for found in (whole, parts)] == [SPLIT, SPLIT]


async def joined_text(pieces):
    return "".join([piece async for piece in pieces])


ONLY_THINKING = "<think>let me see</think>"


@pytest.mark.parametrize(
    ("settings", "stream", "requests"),
    [
        ({"reasoning": "split"}, False, 2),
        ({"reasoning": "split"}, True, 1),
        ({"reasoning": "drop"}, False, 2),
        ({"reasoning": "drop"}, True, 2),
    ],
)
async def test_thinking_alone_is_no_answer(settings, stream, requests):
    """It is asked for again where nothing of it was shown, and else it is an error."""
    with replica(OpenAICompatible, answer=in_turns(ONLY_THINKING, "Four.")) as r:
        provider = OpenAICompatible("m", base_url=r.base_url, retry=AT_ONCE)
        if requests == 1:
            with pytest.raises(EmptyResponseError, match="holds thinking"):
                await answer_of(provider, stream=stream, **settings)
        else:
            answer = await answer_of(provider, stream=stream, **settings)
            assert (answer.text, answer.reasoning) == ("Four.", "")
            assert answer.finish.attempts == 2
        assert len(r.requests) == requests
    with replica(OpenAICompatible, answer=ONLY_THINKING) as r:
        provider = OpenAICompatible("m", base_url=r.base_url, retry=AT_ONCE)
        with pytest.raises(EmptyResponseError) as raised:
            await answer_of(provider, stream=stream, **settings)
        assert raised.value.attempts == len(r.requests) == (1 if requests == 1 else 3)


@pytest.mark.parametrize("stream", [True, False])
async def test_thinking_alone_is_asked_again_in_words(stream):
    """Where tools are bound the model is told that it has said nothing, also in a stream."""
    with replica(OpenAICompatible, answer=in_turns(ONLY_THINKING, "Four.")) as r:
        provider = OpenAICompatible("m", base_url=r.base_url, retry=AT_ONCE)
        answer = await answer_of(provider, stream=stream, tools=TOOLS)
        assert "Your answer was empty" in r.requests[1].body.decode()
        assert answer.finish.attempts == len(r.requests) == 2
    assert (answer.text, answer.reasoning) == ("Four.", "let me see" if stream else "")
    with replica(OpenAICompatible, answer=ONLY_THINKING) as r:
        provider = OpenAICompatible("m", base_url=r.base_url, retry=AT_ONCE)
        with pytest.raises(EmptyResponseError) as raised:
            await answer_of(provider, stream=stream, tools=TOOLS)
        assert raised.value.attempts == len(r.requests) == (2 if stream else 4)


@pytest.mark.parametrize("settings", [{"reasoning": "split"}, {"reasoning": "drop"}, {"tools": TOOLS}])
async def test_a_limit_may_leave_thinking_alone(settings):
    """A token limit and a stop sequence say themselves why nothing came."""
    with replica(OpenAICompatible, answer="<think>let me see</think>Four.") as r:
        provider = OpenAICompatible("m", base_url=r.base_url, retry=0)
        answer = await answer_of(provider, stop=["Four"], **settings)
        assert (answer.text, answer.finish.reason) == ("", "stop")
    choice = {"message": {"role": "assistant", "content": "<think>let me"}, "finish_reason": "length"}
    fault = {"status": 200, "content_type": "application/json", "body": {"choices": [choice]}}
    with replica(OpenAICompatible, faults=fault) as r:
        answer = await answer_of(OpenAICompatible("m", base_url=r.base_url, retry=0), **settings)
        assert (answer.text, answer.finish.reason) == ("", "length")


async def test_thinking_is_told_apart_where_no_tool_may_be_called():
    """The tools are there, so that the same model answers in the same form with any choice."""
    with replica(OpenAICompatible, answer=SAID) as r:
        provider = OpenAICompatible("m", base_url=r.base_url)
        found = [
            await answer_of(provider, tools=TOOLS, tool_choice="none", reasoning=mode)
            for mode in (None, "split", "keep")
        ]
    assert [(one.text, one.reasoning) for one in found] == [SPLIT, SPLIT, (SAID, "")]
