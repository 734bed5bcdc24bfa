"""Answers that repeat themselves without end: noticed, ended, and told from honest data."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders import FlowGpt, OpenAICompatible
from freeproviders.errors import StructuredOutputError, ToolCallError
from freeproviders.testing import replica
from freeproviders.tools import Structured, complete_structured, stream_structured
from freeproviders.tools.read.endless import DATA_CHARS, TEXT_CHARS, Endless
from freeproviders.types import Text
from tests.tools.asking import answer_of, openai, parts_of, request

ITEM = {"name": "Rome", "tags": ["old", "large"], "people": 2_800_000}
HONEST = {
    "zeros": json.dumps([[0] * 100] * 100),
    "zeros, indented": json.dumps([[0] * 30] * 30, indent=4),
    "sixty equal items": json.dumps([ITEM] * 60, indent=2),
    "sixty equal long items": json.dumps([{**ITEM, "text": "la " * 200}] * 60),
    "many like items": json.dumps([{**ITEM, "id": n} for n in range(2000)]),
    "a text of one letter": json.dumps({"body": "x" * 5000}),
    "a rule of dashes": json.dumps({"body": f"Title\n{'-' * 4000}\n"}),
    "counting": json.dumps(list(range(20_000))),
    "words": json.dumps({"body": " ".join(f"word {n}" for n in range(5000))}),
}
ENDLESS = {
    "words": ('{"body": "', "ha ha "),
    "a letter": ('{"body": "', "a"),
    "a sentence": ('{"body": "', "And so it goes on, day after day. "),
    "zeros": ('{"number": 0.', "0"),
    "blanks": ('{"a": 1}', "\n"),
    "items": ('{"list": [', '{"name": "Rome", "people": 1}, '),
    "long items": ('{"list": [', json.dumps({**ITEM, "text": "la " * 200}) + ", "),
    "rows of zeros": ("[", "[" + "0, " * 50 + "0], "),
}


def noticed(text, size=7):
    """How much of a text is read before the repetition is noticed; None if it never is."""
    watch = Endless()
    return next((at for at in range(0, len(text), size) if watch.feed(text[at : at + size])), None)


@pytest.mark.parametrize("name", sorted(HONEST))
def test_honest_repetition_passes(name):
    assert noticed(HONEST[name]) is None


@pytest.mark.parametrize("name", sorted(ENDLESS))
@pytest.mark.parametrize("size", [1, 50, 5000])
def test_endless_repetition_is_noticed(name, size):
    """In good time, whatever came before it, however it is cut."""
    beginning, unit = ENDLESS[name]
    text = HONEST["words"][:3000] + beginning + unit * (200_000 // len(unit))
    at = noticed(text, size)
    assert at is not None
    assert at < 20_000 + max(DATA_CHARS, 100 * len(unit))


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(categories=["L"]), min_size=1, max_size=40), st.integers(1, 3000))
def test_any_short_unit_is_noticed(unit, size):
    text = unit * (2 * TEXT_CHARS // len(unit) + 1)
    assert noticed(text, size) is not None


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "notes": {"type": "array", "items": {"type": "string"}}},
    "required": ["name"],
}
FORM = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
WITHOUT_END = ['{"name": "', *itertools.repeat("ha ha ", 10_000)]
GOOD = '{"name": "Ann"}'


@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize("stream", [True, False])
async def test_an_object_without_end_is_a_typed_error(constrained, stream):
    """The request is ended, the model is asked again, and in the end the error says why."""
    with replica(OpenAICompatible, answer=WITHOUT_END) as r:
        provider = openai(r, json_schema=constrained)
        asked = request(tools=(), response_format=FORM, stream=stream, max_repairs=1)
        _, error = await parts_of(provider, asked)
        shown = constrained and stream
        assert len(r.requests) == (1 if shown else 2)  # what has gone out cannot be asked for again
    assert isinstance(error, StructuredOutputError)
    assert "repeats the same" in error.message
    assert error.usage.output_tokens > 0


async def test_what_never_ended_is_asked_for_again():
    answers = iter([WITHOUT_END, GOOD])
    with replica(FlowGpt, answer=lambda _: next(answers)) as r:
        answer = await complete_structured(FlowGpt(base_url=r.base_url), request(tools=()), PERSON)
        assert "without end" in r.requests[1].body.decode()
    assert answer.data == {"name": "Ann"}


async def test_an_object_with_blanks_without_end_is_an_object():
    """As services in JSON mode are known for."""
    with replica(OpenAICompatible, answer=[GOOD, *itertools.repeat("\n" * 20, 2_000)]) as r:
        provider = openai(r, json_schema=True)
        answer = await answer_of(provider, request(tools=(), response_format=FORM))
        steps = [step async for step in stream_structured(provider, request(tools=()), PERSON)]
        assert len(r.requests) == 2
    assert json.loads(answer.text) == {"name": "Ann"}
    assert isinstance(steps[-1], Structured)


@pytest.mark.parametrize("constrained", [True, False])
async def test_a_required_call_without_end_is_a_typed_error(constrained):
    said = ['{"name": "search", "arguments": {"q": "', *itertools.repeat("ha ha ", 10_000)]
    with replica(OpenAICompatible, answer=said) as r:
        provider = openai(r, json_schema=constrained)
        parts, error = await parts_of(provider, request(tool_choice="search", max_repairs=0))
    assert isinstance(error, ToolCallError)
    assert "repeats the same" in error.message
    assert not [part for part in parts if isinstance(part, Text)]


async def test_a_plain_answer_is_nobodys_business():
    """Where no object and no call is required, text may be of any kind."""
    with replica(FlowGpt, answer="x" * 50_000) as r:
        answer = await answer_of(FlowGpt(base_url=r.base_url), request())
    assert answer.text == "x" * 50_000
