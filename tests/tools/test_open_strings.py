"""Arguments in which something was begun and not ended: nothing is put to them, at no cut."""

import pytest

from freeproviders import FlowGpt
from freeproviders.errors import ToolCallError
from freeproviders.tools.read.cursor import CUT_OFF
from freeproviders.tools.read.lenient import OPEN_STRING
from freeproviders.types import InvalidToolCall, ToolCall
from tests.tools.asking import CALL, answer_of, calls_of, flow, parts_of, prompted, request, tiny
from tests.tools.reading import calls, cuts, read, short

PAR = '{"name": "get_weather", "arguments": {"city": "Par'
ROME = '<tool_call>{"name": "get_weather", "arguments": {"city": "Rome"}}</tool_call>'
SAID = '{"name": "get_weather", "arguments": %s'
FORMS = [
    ("<tool_call>" + SAID, "</tool_call>"),
    ("<tool_call>[" + SAID, "</tool_call>"),
    ("<TOOLCALL>[" + SAID, "</TOOLCALL>"),
    ("<tool_call>get_weather%s", "</tool_call>"),
    ("[TOOL_CALLS][" + SAID, "[/TOOL_CALLS]"),
    ("<function=get_weather>%s", "</function>"),
    ('<invoke name="get_weather">%s', "</invoke>"),
    ("<|channel|>commentary to=functions.get_weather<|message|>%s", "<|call|>"),
    ("<|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>%s", "<|tool_call_end|>"),
    ("<\uff5ctool\u2581call\u2581begin\uff5c>get_weather<\uff5ctool\u2581sep\uff5c>%s",
     "<\uff5ctool\u2581call\u2581end\uff5c>"),
]  # fmt: skip
UNMARKED = [
    SAID, "[" + SAID, "```json\n" + SAID + "\n```", "[TOOL_CALLS]get_weather[ARGS]%s",
    "<|python_tag|>" + SAID, "<|python_tag|>get_weather %s", "functools[" + SAID,
    "Action: get_weather\nAction Input: %s",
]  # fmt: skip
"""Forms that nothing ends, or that end with brackets of their own."""
IN_A_STRING = [
    '{"city": "Par', '{"city": "Par}}', '{"city": "Paris", "un', '{"city": "Paris", "unit": "', '{"',
    '{"city": ["Paris", "Ro', '{"city": "Par\\', '{"city": "a \\"Par',
]  # fmt: skip
ELSEWHERE = [
    '{"city": ',
    '{"city": "Paris", ',
    '{"city": "Paris", unit',
    '{"city": Par',
    '{"city": tru',
    '{"city": "the "Par',
    "{",
]
"""A value or a key that is due, and words of which nobody knows whether they are whole."""
WHOLE = ['{"city": "Paris"', '{"city": "Paris", "days": 3', '{"city": null', '{"city": ["Paris", "Rome"']
"""What only lacks brackets."""


def everywhere(text, **settings):
    """What is read of a text, which is the same at every cut."""
    whole = short(read([text], **settings))
    for pieces in cuts(text):
        assert short(read(pieces, **settings)) == whole, pieces
    return whole


def made(found):
    """The calls among what was read."""
    return [part for part in found if isinstance(part, tuple) and part[0] != "fault"]


@pytest.mark.parametrize("truncated", [False, True])
@pytest.mark.parametrize("given", [*IN_A_STRING, *ELSEWHERE])
@pytest.mark.parametrize(("form", "closer"), FORMS, ids=[form.split(SAID)[0] for form, _ in FORMS])
def test_what_is_open_at_the_mark_is_a_fault(form, closer, given, truncated):
    """Whatever the service says of the end; behind the mark the answer goes on."""
    text = form % given + closer
    found = everywhere(text, truncated=truncated)
    assert [kind for kind, _ in found] == ["fault"]
    if not truncated and (given in IN_A_STRING or closer[0] == "<"):
        if given in IN_A_STRING:
            assert found[0][1] == OPEN_STRING
        *_, last = everywhere(f"{text}\n{ROME}")
        assert last == ("get_weather", {"city": "Rome"})


@pytest.mark.parametrize("truncated", [False, True])
@pytest.mark.parametrize("given", [*IN_A_STRING, *ELSEWHERE])
@pytest.mark.parametrize("form", UNMARKED)
def test_what_is_open_at_the_end_is_a_fault(form, given, truncated):
    """Also where the service says that the answer is complete."""
    for doubts in (False, True):
        found = everywhere(form % given, truncated=truncated, doubts=doubts)
        assert made(found) == []


@pytest.mark.parametrize("given", WHOLE)
@pytest.mark.parametrize(("form", "closer"), [(form, closer) for form, closer in FORMS if closer[0] == "<"])
def test_forgotten_brackets_are_forgiven_where_the_call_ends(form, closer, given):
    """At its mark; a limit in the middle of the mark is a limit before it."""
    text = form % given + closer
    ((name, arguments),) = everywhere(text)
    assert "get_weather" in name
    assert arguments["city"] in ("Paris", None, ["Paris", "Rome"])
    assert everywhere(text, truncated=True) == [(name, arguments)]
    for end in range(len(form % given), len(text)):
        assert made(everywhere(text[:end], truncated=True)) == []


@pytest.mark.parametrize("given", WHOLE)
@pytest.mark.parametrize(
    "form", ["<tool_call>" + SAID, "[TOOL_CALLS][" + SAID, SAID, "<|python_tag|>" + SAID]
)
def test_forgotten_brackets_at_the_end(form, given):
    """Where the service says that the answer is complete, and else nowhere."""
    (call,) = everywhere(form % given)
    assert call[0] == "get_weather"
    assert everywhere(form % given, truncated=True) == [("fault", CUT_OFF)]


@pytest.mark.parametrize(
    "given",
    ['{"city": "Paris, "days": 3}', '{"city": }', '{"city": "Paris", "unit"}', '{"city": "Paris", unit}',
     '{"city": -}', '{"city": "Paris", days: }', "{'city': 'Paris, 'days': 3}", '{"city": ["Paris", /b]}',
     '{city: "Paris", "days": 3, "city": "Rome"}'],
)  # fmt: skip
def test_nothing_is_lost_or_made_up_inside_of_brackets(given):
    """A quote, a value, a key or an item that is missing is asked for, and not guessed."""
    ((kind, _),) = everywhere(f"<tool_call>{SAID % given}}}</tool_call>")
    assert kind == "fault"


@pytest.mark.parametrize(
    ("given", "city"),
    [('{city: "Paris"}', "Paris"), ("{city: Paris}", "Paris"), ('{"city": "the "City""}', 'the "City"'),
     ('{"city": "Paris" "days": 3}', "Paris"), ('{"city": "caf\\u00e9" days: 3.0}', "café"),
     ('{"city": "Paris", /* not Rome */ days: None}', "Paris"), ('{"city": "", unit: "celsius"}', "")],
)  # fmt: skip
def test_what_is_plainly_meant_is_read(given, city):
    """Quotes and commas that are missing or too many around whole values."""
    ((_, arguments),) = everywhere(f"<tool_call>{SAID % given}}}</tool_call>")
    assert arguments["city"] == city


def test_a_string_that_is_not_closed_takes_no_other_call_in():
    """It would end at the first quote of the next call."""
    text = f"<tool_call>{PAR}</tool_call>\n{CALL}"
    assert everywhere(text) == [("fault", OPEN_STRING), ("get_weather", {"city": "Oslo"})]
    two = f"<tool_call>{PAR}</tool_call>\n" * 2
    assert everywhere(two) == [("fault", OPEN_STRING)] * 2
    bare = '[TOOL_CALLS]get_weather[ARGS]{"city": "Par[TOOL_CALLS]get_weather[ARGS]{"city": "Rome"}'
    assert calls(read([bare]))[0].fault == OPEN_STRING


# --- over a service -------------------------------------------------------------------------------

OPEN = f"<tool_call>{PAR}</tool_call>"


@pytest.mark.parametrize("stream", [True, False])
async def test_the_model_is_told_and_repairs_it(stream):
    with flow(OPEN, CALL) as r:
        completion = await answer_of(FlowGpt(base_url=r.base_url), request(), stream=stream)
        assert OPEN_STRING in r.requests[1].body.decode()
    assert calls_of(completion) == [("get_weather", {"city": "Oslo"})]


@pytest.mark.parametrize("stream", [True, False])
async def test_alone_it_is_an_error(stream):
    with flow(OPEN, OPEN, OPEN) as r:
        parts, error = await parts_of(FlowGpt(base_url=r.base_url), request(), stream=stream)
    assert not any(isinstance(part, ToolCall | InvalidToolCall) for part in parts)
    assert isinstance(error, ToolCallError)
    assert OPEN_STRING in str(error)


@pytest.mark.parametrize("stream", [True, False])
async def test_beside_calls_it_cannot_be_run(stream):
    with flow(f"{CALL}{OPEN}") as r:
        parts, error = await parts_of(FlowGpt(base_url=r.base_url), request(), max_repairs=0, stream=stream)
    assert error is None
    assert [part.arguments for part in parts if isinstance(part, ToolCall)] == [{"city": "Oslo"}]
    (invalid,) = [part for part in parts if isinstance(part, InvalidToolCall)]
    assert OPEN_STRING in invalid.error


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("given", ["null", '"Oslo"', "5", '["Oslo"]', '{"q": "Os'])
async def test_a_service_of_either_kind_makes_no_object_of_it(given, native):
    """The arguments of a tool whose only parameter has a text."""
    said = [InvalidToolCall("a", "search", given, "")] if native else (
        f'<tool_call>{{"name": "search", "arguments": {given}}}</tool_call>'
    )  # fmt: skip
    with tiny(said) as r:
        parts, error = await parts_of(prompted(r, native_tools=native), request(), max_repairs=0)
    assert not any(isinstance(part, ToolCall) for part in parts)
    assert isinstance(error, ToolCallError)


@pytest.mark.parametrize("native", [False, True])
async def test_null_is_nothing_for_a_tool_without_parameters(native):
    said = [InvalidToolCall("a", "get_time", "null", "")] if native else (
        '<tool_call>{"name": "get_time", "arguments": null}</tool_call>'
    )  # fmt: skip
    with tiny(said) as r:
        completion = await answer_of(prompted(r, native_tools=native), request())
    assert calls_of(completion) == [("get_time", {})]
