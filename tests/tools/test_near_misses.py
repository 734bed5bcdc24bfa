"""What is nearly a call, or shows one: made where it is plainly meant, else asked about, else text."""

import pytest

from freeproviders import FlowGpt
from freeproviders.errors import ToolCallError
from freeproviders.testing import replica
from freeproviders.tools.judge import Judge
from freeproviders.tools.read.parser import Parser
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import Text, ToolCall, collect
from tests.tools.asking import in_turns
from tests.tools.reading import TOOLS, calls, cuts, joined

ARGS = '{"city": "Paris"}'
CALL = f'{{"name": "get_weather", "arguments": {ARGS}}}'
PYTHON = 'get_weather(city="Paris")'
SCHEMA = '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'
BOX = Toolbox(TOOLS)

MADE = [
    f"to=functions.get_weather {ARGS}",
    f"commentary to=functions.get_weather json{ARGS}",
    f"functions.get_weather:0{ARGS}",
    f"get_weather: {ARGS}",
    f'{{"thought": "I need the weather.", "name": "get_weather", "arguments": {ARGS}}}',
    f'{{"reason": "asked for", "name": "get_weather", "parameters": {ARGS}}}',
    f'{{"status": "pending", "name": "get_weather", "arguments": {ARGS}}}',
    f'{{"name": "get_weather", "description": "The weather.", "arguments": {ARGS}}}',
    f'{{"name": "get_weather", "arguments": {ARGS}, "status": "ok", "confidence": 0.9}}',
    f'{{"step": 1, "final": false, "tool": "get_weather", "args": {ARGS}, "next": null}}',
    f'{{"plan": ["look", "answer"], "name": "get_weather", "arguments": {ARGS}}}',
    f'{{"plan": "look it up", "tool_calls": [{CALL}]}}',
    f'{{"content": "Let me look.", "tool_calls": [{CALL}]}}',
    f'{{"role": "assistant", "content": "Let me look.", "tool_calls": [{CALL}]}}',
    f'{{"tool_calls": [{{"get_weather": {ARGS}}}]}}',
    f'{{"get_weather": {ARGS}}}',
    f'{{"thought": "hm", "get_weather": {ARGS}}}',
    f'[{{"thought": "hm", "name": "get_weather", "arguments": {ARGS}}}]',
    f'```json\n{{"thought": "hm", "name": "get_weather", "arguments": {ARGS}}}\n```',
    f"```json\n// look it up\n{CALL}\n```",
    f"```json\n# look it up\n{CALL}\n```",
    f"```javascript\n{CALL}\n```",
    f"```js\n// look it up\n{CALL}\n```\n",
    f"```python\n{CALL}\n```",
    f"```python\n{PYTHON}\n```",
    f"```python\n# look it up\nresult = {PYTHON}\n```",
    f"```python\nprint({PYTHON})\n```\n",
    f"```py\nawait {PYTHON}\n```",
    f"```tool_code\n{PYTHON}\n```",
    f"```tool_code\nprint(default_api.{PYTHON})\n```",
    f"```tool_code\nprint({PYTHON})\n```\n",
    f"```javascript\nawait get_weather({ARGS});\n```",
    PYTHON,
    f"\n{PYTHON}\n",
    f"<think>hm</think>\n{PYTHON}",
    f"print({PYTHON})",
    f"functions.{PYTHON}",
    f"default_api.{PYTHON};",
    f"get_weather({ARGS})",
    f"get_weather {ARGS}",
    f"get_weather\n{ARGS}",
    f"get_weather: {ARGS}",
    "get_weather(\n    city='Paris',\n)",
    'get_weather(city="Paris", x="the "City of Light"\nand more", month=07)',
    f"Action: get_weather\nAction Input: {ARGS}",
]
TWICE = [
    '{"name": "get_weather", "arguments": {"city": "Paris"}, {"city": "Rome"}}',
    '```json\n{"name": "get_weather", "arguments": {"city": "Paris"}, {"city": "Rome"}}\n```',
    "get_weather(city='Paris')\nget_weather(city='Rome')",
    "```python\nget_weather(city='Paris')\nget_weather(city='Rome')\n```",
]
ASKED_ABOUT = [
    f'<tool_call name="get_weather">{ARGS}</tool_call>',
    f"<tool_call><name>get_weather</name><arguments>{ARGS}</arguments></tool_call>",
    "<tool_call>\nget_weather with city Paris\n</tool_call>",
    "<tool_call></tool_call>",
    "<tool_call>",
    f"<call:get_weather>{ARGS}</call:get_weather>",
    "<get_weather><city>Paris</city></get_weather>",
    "<use_tool>get_weather Paris</use_tool>",
    f"<execute>get_weather</execute>{ARGS}",
    f'<tool_use id="1"><tool_name>get_weather</tool_name><input>{ARGS}</input></tool_use>',
    f"<|tool_use_begin|>get_weather<|x|>{ARGS}",
    "<|python_tag|>import weather",
    "<|call_function|>fly to Rome",
    "[TOOL_CALLS]: get_weather, Paris",
    "[TOOL_REQUEST]get_weather Paris[END_TOOL_REQUEST]",
    "[TOOL_RESULTS]18 C",
    '<tool_response name="get_weather">130 km</tool_response>',
    "<tool_response>\n18 C\n</tool_response>\nIt is 18 degrees.",
    f"Action: I call get_weather for {ARGS}",
    f"Tool call: get_weather {ARGS}",
    f"Function: get_weather\nArguments: {ARGS}",
    f"call:get_weather{ARGS}",
    f'{{"actions": [{{"tool": "get_weather", "input": {ARGS}}}]}}',
    f'{{"result": {CALL}}}',
    f'{{"next": {{"get_weather": {ARGS}}}, "then": "answer"}}',
    f"{PYTHON} and then I will tell you.",
    f"{PYTHON}\n\nThis returns the weather.",
    f"```python\nresult = {PYTHON}\n```\nThis calls it.",
    f"```python\n{PYTHON}\nfor x in y: pass\n```",
    f"```javascript\n{CALL}\n```\nThis is the call.",
    "[get_weather(city=Paris)]",
    "get_weather(city=Paris)",
    '{"name": "get_weather", "arguments": {"city": ',
    '{"thought": "hm", "name": "get_weather", "arguments": {"city": "Pa',
]
TEXT = [
    '{"temperature": 18, "city": "Paris"}',
    '{"name": "search", "version": "1.0", "private": true}',
    f'{{"name": "get_weather", "description": "The weather.", "parameters": {SCHEMA}}}',
    f'[{{"type": "function", "function": {{"name": "get_weather", "parameters": {SCHEMA}}}}}]',
    '{"tools": ["get_weather", "search"]}',
    '{"status": "ok", "name": "Ann"}',
    '[{"id": 1}, {"id": 2, "name": "search"}]',
    '<form><input name="search"></form>',
    "<!DOCTYPE html><p>search</p>",
    "<b>search</b> is a tool.",
    "[search](https://example.com) finds it.",
    "[NOTE] search is slow.",
    "```python\ndef search(q):\n    return get(q)\n```",
    "```python\nimport search\nsearch.run()\n```",
    "```bash\nsearch --all\n```",
    "```html\n<search>x</search>\n```",
    "search results are below.",
    "Search (Google) finds it.",
    "Weather: sunny.",
    "get_weather is a function.",
    "get_weather: it tells the weather.",
    "I call no function: none is needed.",
    "print it out.",
    "To call it, ask me.",
]


def parts_of(pieces):
    parser = Parser(TOOLS, doubts=True)
    out = [part for piece in pieces for part in parser.feed(piece)]
    return joined([*out, *parser.close()])


def judged(parts):
    judge = Judge(BOX)
    return [judge.judge(call) for call in calls(parts)]


def everywhere(text):
    """What is read of a text, which is the same at every cut."""
    whole = parts_of([text])
    for pieces in cuts(text):
        assert parts_of(pieces) == whole, pieces
    return whole


@pytest.mark.parametrize("text", MADE)
def test_plainly_meant_is_made(text):
    parts = everywhere(text)
    (call,) = judged(parts)
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("get_weather", {"city": "Paris"})
    assert not any(isinstance(part, Text) for part in parts)


@pytest.mark.parametrize("text", TWICE)
def test_two_of_them(text):
    """Two objects of arguments behind one name, and two lines."""
    found = [call.arguments for call in judged(everywhere(text))]
    assert found == [{"city": "Paris"}, {"city": "Rome"}]


@pytest.mark.parametrize("text", ASKED_ABOUT)
def test_what_only_seems_to_be_meant_is_asked_about(text):
    """Nothing of it goes out as text, and it is no call."""
    parts = everywhere(text)
    (call,) = calls(parts)
    assert call.fault
    assert not any(isinstance(part, Text) for part in parts)


@pytest.mark.parametrize("text", TEXT)
def test_the_rest_is_text(text):
    assert everywhere(text) == [Text(text)]


NEAR = f'<tool_call name="get_weather">{ARGS}</tool_call>'
OTHER = "<get_weather><city>Paris</city></get_weather>"
SAID = [
    NEAR,
    OTHER,
    '<tool_response name="get_weather">130 km</tool_response>',
    f"Tool: get_weather {ARGS}",
]


async def answered(r, **settings):
    provider = FlowGpt(base_url=r.base_url, retry=0)
    return collect(
        [
            part
            async for batch in provider.answer(provider.request("Weather?", tools=TOOLS, **settings))
            for part in batch
        ]
    )


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("said", SAID)
async def test_it_is_asked_for_again(said, stream):
    """The model is told what is wrong, and nothing of its markup goes out."""
    with replica(FlowGpt, answer=in_turns(said, f"<tool_call>{CALL}</tool_call>")) as r:
        answer = await answered(r, stream=stream)
        assert len(r.requests) == 2
        assert "cannot be read" in str(r.requests[1].json)
    assert answer.text == ""
    assert [call.arguments for call in answer.tool_calls] == [{"city": "Paris"}]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("said", SAID)
async def test_the_same_text_again_is_the_answer(said, stream):
    """Who was asked to show a call means it."""
    with replica(FlowGpt, answer=in_turns(said, f"{said}\n")) as r:
        answer = await answered(r, stream=stream)
        assert len(r.requests) == 2
    assert answer.text.strip() == said
    assert answer.tool_calls == ()


async def test_words_instead_are_the_answer():
    with replica(FlowGpt, answer=in_turns(NEAR, "It rains.")) as r:
        answer = await answered(r)
    assert (answer.text, answer.tool_calls) == ("It rains.", ())


async def test_markup_without_end_is_an_error():
    """Other markup each time is never the answer."""
    with replica(FlowGpt, answer=in_turns(NEAR, OTHER, "<tool_call></tool_call>", "[TOOL_CALLS] x")) as r:
        with pytest.raises(ToolCallError, match="cannot be read"):
            await answered(r)
        assert len(r.requests) == 3
