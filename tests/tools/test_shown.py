"""Calls that an answer shows to its reader are text; those that prose introduces are made."""

import pytest

from freeproviders import FlowGpt
from freeproviders.testing import replica
from freeproviders.tools.prompt import tool_line
from freeproviders.tools.read.parser import Parser
from freeproviders.types import Text, collect
from tests.tools.reading import TOOLS, calls, cuts, joined

CALL = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
TIME = '{"name": "get_time", "arguments": {}}'
TAGGED = f"<tool_call>{CALL}</tool_call>"
BLOCK = f"```json\n{CALL}\n```"
PYTHON = 'get_weather(city="Paris")'

DEFINITIONS = [tool_line(tool, short=short) for tool in TOOLS for short in (False, True)]
"""Tools as the prompt shows them, which a model may be asked to repeat."""
SHOWN = [
    f"A call looks like this: {TAGGED}",
    f"A call looks like this:\n{TAGGED}\nThe result comes back in the next turn.",
    f"Here is an example:\n\n{BLOCK}",
    f"Here is an example:\n\n{BLOCK}\n\nThe first key names the function.",
    f"For example:\n{TAGGED}\n",
    f"For instance, {CALL} asks for Paris.",
    f"For instance, you would write {CALL}",
    f"You write {TAGGED} and wait.",
    f"You can write\n\n{TAGGED}\n\nor, for the time,\n\n<tool_call>{TIME}</tool_call>",
    f"To ask for the weather, the model writes {CALL} and stops.",
    f"The assistant said {CALL} earlier.",
    f"In my last answer I made the call {CALL} and it failed.",
    f"The syntax is [TOOL_CALLS][{CALL}]",
    f"Mistral's models write [TOOL_CALLS][{CALL}] for it.",
    "Such a call would be <function=get_weather>{}</function>",
    *DEFINITIONS,
    "\n".join(DEFINITIONS),
    f"[{', '.join(DEFINITIONS)}]",
    f"```json\n{DEFINITIONS[0]}\n```",
    f"My functions are:\n{DEFINITIONS[0]}",
    f"You call it like this:\n{TAGGED}",
    f"It goes like so: {TAGGED}",
    f"The call is made as follows:\n\n{BLOCK}",
    f"Requests have to be of the following form:\n{TAGGED}",
    f"It is written like [{PYTHON}] in Python.",
    f"In a list, [{PYTHON}, get_time()] makes two calls.",
    f"Use `{PYTHON}` for that.",
    f"Use `{TAGGED}` for that.",
    f"Use ``{CALL}`` or `<tool_call>`.",
    f"In Python:\n```python\n{PYTHON}\n```",
    f"In Python:\n```python\ncall = {CALL}\n```",
    f"To show how it is done:\n```xml\n{TAGGED}\n```",
    f"A sample:\n```tool_call\n{CALL}\n```",
    f"This is how a call to the weather looks:\n\n{TAGGED}\n\n{TAGGED}",
    f"Do not write {TAGGED}",
    f"Never send {CALL} twice.",
    f"e.g. {CALL}",
    f"An agent sends {TAGGED}, and then:\n<tool_response>18 C</tool_response>",
    f"Ein Beispiel:\n{BLOCK}",
    f"Par exemple :\n{BLOCK}",
    f"Por ejemplo: {TAGGED}",
    f"\u4f8b\u5982\uff1a\n{BLOCK}",
    f"Hypothetically, {CALL}, if it were allowed, does it.",
    f"The tag <tool_call>{CALL}</tool_call> is what such models end with.",
    f"I could answer {CALL} but I know it already.",
    'Functions: get_weather, get_time. Format: {"name": ..., "arguments": ...}',
    f"Let me give you an example of a call:\n{BLOCK}",
    f"I will show how a call looks:\n{BLOCK}",
    f"For example {CALL} <|a b <tool_x for example {TIME}",
    f"The log holds {CALL}, {TIME} and more.",
]
MEANT = [
    f"I will look.\n{TAGGED}",
    f"Sure! {TAGGED}",
    f"Sure!{TAGGED}so",
    f"Let me check that for you: {CALL}",
    f"Sure, let me look that up.\n\n{BLOCK}",
    f"Sure, let me look that up.\n\n{BLOCK}\n\nI wait for the result.",
    f"To get the weather in Paris I use the function get_weather:\n```json\n{CALL}\n```",
    f"There are examples of rain in Paris. I will look.\n{TAGGED}",
    f"You asked how it looks like in Paris.\n\nI call the function.\n{CALL}",
    f"I call it now.[TOOL_CALLS][{CALL}]",
    f"Now I call:\n[{PYTHON}]\n",
    'Okay. <function=get_weather>{"city": "Paris"}</function>',
    f"Here it is: {CALL}.",
    f"Ich sehe nach: {TAGGED}",
    f"OK <tool_call>{CALL}</tool_call> Done.",
    f"Let me show you the weather:\n{TAGGED}",
    f"I will call the function like this:\n{TAGGED}",
    f"I like this city, so I look.\n{TAGGED}",
    f"I'll look for some examples of rain:\n{TAGGED}",
    f"Let me find out how to dress in Paris.\n{BLOCK}",
    f"Such as it is, I will look.\n{TAGGED}",
    f"I need to know what it looks there:\n{TAGGED}",
]


def parts_of(pieces):
    parser = Parser(TOOLS, doubts=True)
    out = [part for piece in pieces for part in parser.feed(piece)]
    return joined([*out, *parser.close()])


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_shown_is_text(text):
    """No call and no complaint, and not a character is lost, at any cut."""
    for pieces in ([text], *cuts(text)):
        assert parts_of(pieces) == [Text(text)], pieces


@pytest.mark.parametrize("text", MEANT)
def test_what_is_meant_is_made(text):
    for pieces in ([text], *cuts(text)):
        (call,) = calls(parts_of(pieces))
        assert (call.name, call.arguments) == ("get_weather", {"city": "Paris"}), pieces


def test_an_example_and_then_the_call():
    """Words between both say that the second one is meant."""
    text = f"For example:\n{TAGGED}\nNow I really look.\n<tool_call>{TIME}</tool_call>"
    for pieces in cuts(text):
        parts = parts_of(pieces)
        assert [call.name for call in calls(parts)] == ["get_time"], pieces
        assert parts[0] == Text(f"For example:\n{TAGGED}\nNow I really look.\n")


def test_texts_from_outside_show_nothing():
    """Where a text is not an answer, everything in it counts that a model could repeat."""
    for text in SHOWN[:7]:
        parser = Parser(TOOLS)
        assert calls([*parser.feed(text), *parser.close()])


@pytest.mark.parametrize("stream", [True, False])
async def test_a_question_about_calls_is_answered(stream):
    """One request, and the answer as it is."""
    said = SHOWN[1]
    with replica(FlowGpt, answer=[said[at : at + 7] for at in range(0, len(said), 7)]) as r:
        provider = FlowGpt(base_url=r.base_url, retry=0)
        request = provider.request("How does a call look?", tools=TOOLS, stream=stream)
        answer = collect([part async for batch in provider.answer(request) for part in batch])
        assert len(r.requests) == 1
    assert (answer.text, answer.tool_calls) == (said, ())
