"""Objects from services that only write text, and from those that constrain it."""

import asyncio
import dataclasses
import itertools
import json
import threading
from contextlib import aclosing
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator, model_validator

from freeproviders import FlowGpt, OpenAICompatible
from freeproviders.errors import BadRequestError, StructuredOutputError, ToolCallError, UsageError
from freeproviders.testing import replica
from freeproviders.tools import Draft, Structured, complete_structured, stream_structured
from freeproviders.tools.read.extract import Growing, extends, extract
from freeproviders.tools.schema.target import Misfit, Target
from freeproviders.types import FromClass, Message, Text, Tool, ToolCall
from tests.tools.asking import CALL, answer_of, calls_of, flow, in_turns, openai, parts_of, request
from tests.tools.reading import TOOLS


class Person(BaseModel):
    name: str
    age: int
    tags: list[str] = []
    mood: Literal["happy", "sad"] | None = None


GOOD = '{"name": "Ann", "age": 31, "tags": ["a", "b"]}'
ANN = Person(name="Ann", age=31, tags=["a", "b"])
SHAPES = {
    "bare": GOOD,
    "prose": f"Sure! Here is the object you {{asked}} for: {GOOD} Hope it helps {{x}}.",
    "fence": f"```json\n{GOOD}\n```",
    "fence in prose": f"Here:\n```\n{GOOD}\n```\nDone.",
    "thinking": f'<think>{{"name": "no", "age": 1}}</think>\n{GOOD}',
    "schema first": f"The schema is {json.dumps(Target.of(Person).schema)} and so: {GOOD}",
    "python": "{'name': 'Ann', 'age': 31, 'tags': ['a', 'b'], 'mood': None}",
    "trailing comma and comment": '{"name": "Ann", // the name\n "age": 31, "tags": ["a", "b",],}',
    "missing brace": GOOD[:-1],
    "wrapped in its name": f'{{"Person": {GOOD}}}',
    "as a call": f'{{"name": "Person", "arguments": {GOOD}}}',
    "in properties": f'{{"properties": {GOOD}}}',
    "types": '{"name": ["Ann"], "age": "31", "tags": "[\\"a\\", \\"b\\"]", "mood": "none"}',
    "other case": '{"Name": "Ann", "AGE": 31.0, "tags": ["a", "b"]}',
    "text of JSON": json.dumps(GOOD),
    "a wrong one first": f'{{"name": "Bob"}} or rather {GOOD}',
}


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_found_in_any_shape(shape):
    """Prose, fences, wrappers, loose JSON."""
    text = SHAPES[shape].rpartition("</think>")[2]
    assert extract(text, Target.of(Person))[0] == ANN


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        ("happy", Literal["happy", "sad"], "happy"), ('"Happy"', Literal["happy", "sad"], "happy"),
        ("42", int, 42), ("```\nhello\n```", str, "hello"),
        ("[1, 2]", list[int], [1, 2]), ("Here: [1, 2].", list[int], [1, 2]),
        ('{"items": [1, 2]}', list[int], [1, 2]), ("true", bool, True),
    ],
)  # fmt: skip
def test_answers_that_are_no_objects(text, source, expected):
    """Lists and plain values."""
    assert extract(text, Target.of(source))[0] == expected


@pytest.mark.parametrize(
    ("text", "truncated", "words"),
    [
        ("I cannot do that.", False, "no JSON"),
        ('{"name": "Ann"}', False, "age: Field required"),
        ('{"name": "Ann", "age": "many"}', False, "age: Input should be a valid integer"),
        ('{"name": "Ann", "age": 31', True, "cut off"),
        ("", False, "no JSON"),
        ('{"age": 31, "name": "An', False, "no JSON"),
    ],
)
def test_what_does_not_fit_is_said(text, truncated, words):
    """For the model, which is asked again."""
    with pytest.raises(Misfit, match=words):
        extract(text, Target.of(Person), truncated=truncated)


@pytest.mark.parametrize("noise", ["[1] " * 40, "{x} " * 40, "f(x[i]) {" * 20])
def test_brackets_in_the_prose_do_not_hide_the_object(noise):
    """Citations, placeholders, code."""
    assert extract(f"See {noise}: {GOOD}", Target.of(Person))[0] == ANN


def test_a_fence_that_never_ends_takes_no_time():
    """White space behind it is read once."""
    with pytest.raises(Misfit):
        extract("```\n" + " " * 300_000 + "x", Target.of(int))


async def steps_of(provider, schema, **options):
    steps = []
    async with aclosing(stream_structured(provider, request(tools=()), schema, **options)) as stream:
        async for step in stream:
            steps.append(step)
    return steps


@pytest.mark.parametrize("shape", sorted(SHAPES))
async def test_every_shape_over_a_service(shape):
    """One question, one object, drafts that only grow."""
    with flow([*SHAPES[shape]]) as r:
        steps = await steps_of(FlowGpt(base_url=r.base_url), Person)
        assert len(r.requests) == 1
    *drafts, last = steps
    assert isinstance(last, Structured)
    assert last.value == ANN
    seen = None
    for draft in drafts:
        assert isinstance(draft, Draft)
        assert extends(seen, draft.data)
        assert draft.data != seen
        seen = draft.data
    assert last.revised == (shape == "a wrong one first")
    assert last.revised or extends(seen, last.data)


async def test_drafts_come_early():
    """The first letters of a text, and numbers only when they are complete."""
    gate = threading.Event()  # the replica has a loop of its own

    async def answer(_messages):
        yield '{"name": "An'
        await asyncio.to_thread(gate.wait, 5)
        yield 'n", "age": 3'
        yield '1, "tags": []}'

    with replica(FlowGpt, answer=answer) as r:
        seen = []
        async with (
            asyncio.timeout(10),
            aclosing(stream_structured(FlowGpt(base_url=r.base_url), request(tools=()), Person)) as steps,
        ):
            async for step in steps:
                seen.append(step.data)
                gate.set()
    assert seen[0] == {"name": "An"}
    assert {"name": "Ann", "age": 3} not in seen
    assert seen[-1] == {"name": "Ann", "age": 31, "tags": []}


def drafts_and_answer(steps):
    *drafts, last = steps
    assert all(isinstance(draft, Draft) for draft in drafts)
    assert all(extends(a.data, b.data) and a.data != b.data for a, b in itertools.pairwise(drafts))
    assert isinstance(last, Structured)
    assert last.revised == bool(drafts and not extends(drafts[-1].data, last.data))
    return [draft.data for draft in drafts], last


@pytest.mark.parametrize(
    ("answers", "revised"),
    [
        (['{"name": "Ann"}', '{"name": "Ann", "age": 31}'], False),  # goes on where it stopped
        (['{"name": "Ann"}', '{"name": "Bob", "age": 31}'], True),  # something else
        (['{"name": "Ann", "age": "many"}', "No.", '{"age": 3, "name": "Anna"}'], False),
        (["No.", '{"name": "Ann", "age": 31}'], False),
    ],
)
async def test_drafts_of_a_repaired_answer(answers, revised):
    """Drafts never take anything back; an answer that does says so."""
    with flow(*([*answer] for answer in answers)) as r:
        _, last = drafts_and_answer(await steps_of(FlowGpt(base_url=r.base_url), Person))
    assert last.revised == revised
    assert last.value == Person(**json.loads(answers[-1]))


PIECES = st.sampled_from([
    "Sure. ", "[1] ", "{x} ", "```json\n", "```", '{"name": "Bob"} or rather ', '{"name": "An',
    '{"name": "Person", "arguments": ', "<think>", "</think>", GOOD, GOOD[:-1], "}",
])  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.lists(PIECES, max_size=5).map("".join), st.lists(PIECES, max_size=5).map("".join), st.integers(1, 9)
)
def test_drafts_of_any_answer(first, second, size):
    """Drafts only extend, whatever is said and however it is cut.

    The answer extends them or says that it does not, or there is a typed error.
    """

    async def ask():
        with flow(
            *(
                [text[at : at + size] for at in range(0, len(text), size)]
                for text in (first or "-", second or "-", GOOD)
            )
        ) as r:
            return await steps_of(FlowGpt(base_url=r.base_url), Person)

    _, last = drafts_and_answer(asyncio.run(ask()))
    assert isinstance(last.value, Person)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (SHAPES["as a call"], None),
        ('{"name": "Personal", "age": 3}', {"name": "Persona"}),
        ('{"name": "Person", "age": 3}', {"name": "Person", "age": 3}),
        ('{"name": "An', {"name": "A"}),
    ],
)
def test_a_call_is_no_draft(text, first):
    """`{"name": "Person"` may be the beginning of a call that has the object for arguments.

    It is not shown before that is known.
    """
    growing = Growing(Target.of(Person))
    shown = [snapshot for char in text if (snapshot := growing.feed(char))]
    assert next(iter(shown), None) == first


async def test_the_question_has_the_schema():
    """With the user's own system message."""
    with flow(GOOD) as r:
        asked = request(tools=())
        asked = type(asked)(messages=(Message("system", "Be kind."), *asked.messages))
        await complete_structured(FlowGpt(base_url=r.base_url), asked, Person)
        sent = r.requests[0].body.decode()
    assert "Be kind." in sent
    assert "mood" in sent


async def test_repair():
    """Asked again with what is wrong; the cost is the sum."""
    with flow('{"name": "Ann"}', GOOD) as r:
        answer = await complete_structured(FlowGpt(base_url=r.base_url), request(tools=()), Person)
        assert "age: Field required" in r.requests[1].body.decode()
    assert answer.value == ANN
    assert answer.finish.attempts == 2
    assert answer.usage.output_tokens > 12


async def test_never_none():
    """A typed error after three questions."""
    with flow("No.", "Never.", "Not at all.") as r:
        with pytest.raises(StructuredOutputError) as raised:
            await complete_structured(FlowGpt(base_url=r.base_url), request(tools=()), Person)
        assert len(r.requests) == 3
    assert raised.value.said == "Not at all."
    assert raised.value.attempts == 3


async def test_no_schema_is_said_at_once():
    """Before anything is sent."""
    with pytest.raises(UsageError):
        stream_structured(FlowGpt(), request(tools=()), "Person")


async def test_constrained_where_it_can_be():
    """The service gets the strict form; nulls for what may be left out do not come back."""
    said = '{"name": "Ann", "age": 31, "tags": null, "mood": null}'
    with replica(OpenAICompatible, answer=in_turns(said, said)) as r:
        answer = await complete_structured(openai(r, json_schema=True), request(tools=()), Person)
        form = r.requests[0].json["response_format"]["json_schema"]
        as_text = await answer_of(openai(r, json_schema=True), request(tools=(), response_format=FORM))
    assert answer.value == Person(name="Ann", age=31)
    assert answer.data == json.loads(as_text.text) == {"name": "Ann", "age": 31, "mood": None}
    assert (form["name"], form["strict"]) == ("Person", True)
    assert form["schema"]["required"] == ["name", "age", "tags", "mood"]


class Essay(BaseModel):
    body: str = Field(max_length=5000)
    notes: list[str] = Field(default=[], max_length=60)


@pytest.mark.parametrize("strict", [None, True, False])
async def test_the_callers_limits_are_sent_and_checked_as_they_are(strict):
    """Strict mode has no words for them, and so nothing is said to be strict."""
    short, notes = {"body": "x" * 3000, "notes": [f"note {n}" for n in range(60)]}, ["note"] * 61
    said = [json.dumps(short), json.dumps({**short, "notes": notes}), json.dumps({"body": "x" * 5001})]
    schema = Essay.model_json_schema()
    form = {"type": "json_schema", "json_schema": {"name": "e", "schema": schema, "strict": strict}}
    with replica(OpenAICompatible, answer=in_turns(*said)) as r:
        provider = openai(r, json_schema=True)
        answer = await answer_of(provider, request(tools=(), response_format=form))
        sent = r.requests[0].json["response_format"]["json_schema"]
        with pytest.raises(StructuredOutputError, match="5000"):
            await complete_structured(provider, request(tools=(), max_repairs=1), Essay)
    assert json.loads(answer.text) == short
    assert sent == {"name": "e", "schema": schema}


async def test_not_constrained_where_it_is_refused():
    """And not tried again."""
    with replica(OpenAICompatible, answer=in_turns(GOOD, GOOD), json_schema=False) as r:
        provider = openai(r, json_schema=True)
        assert (await complete_structured(provider, request(tools=()), Person)).value == ANN
        assert (await complete_structured(provider, request(tools=()), Person)).value == ANN
        assert len(r.requests) == 3


async def test_after_tools():
    """A conversation with calls and results may end in an object."""
    history = (
        Message("assistant", "", tool_calls=(ToolCall("c", "get_time", {}),)),
        Message("tool", "now", tool_call_id="c"),
    )
    with flow(GOOD) as r:
        answer = await complete_structured(
            FlowGpt(base_url=r.base_url), request("So?", *history, tools=()), Person
        )
        assert "tool_response" in r.requests[0].body.decode()
    assert answer.value == ANN


# --- lists that stand alone -----------------------------------------------------------------------


class Jokes(BaseModel):
    jokes: list[Person]
    topic: str | None = None


class Numbers(BaseModel):
    numbers: list[int]


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        (f"[{GOOD}]", Jokes, Jokes(jokes=[ANN])),
        (f"Sure:\n```json\n[{GOOD}, {GOOD}]\n```", Jokes, Jokes(jokes=[ANN, ANN])),
        ("[1, 2, 3]", Numbers, Numbers(numbers=[1, 2, 3])),
        ('As [1] and [2] say: {"numbers": [3]}', Numbers, Numbers(numbers=[3])),
        ("As [1] says: [3, 4, 5]", Numbers, Numbers(numbers=[3, 4, 5])),
    ],
)
def test_a_bare_list_is_the_objects_only_one(text, source, expected):
    """Unless there is an object: the prose may hold lists."""
    assert extract(text, Target.of(source))[0] == expected


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "array"}, "b": {"type": "array"}}},
        {"type": "object", "properties": {"a": {"type": "string"}}},
    ],
)
def test_a_bare_list_that_no_field_or_several_could_hold_is_none(schema):
    with pytest.raises(Misfit):
        extract("[1, 2]", Target.of(schema))


# --- validators -----------------------------------------------------------------------------------


class Even(BaseModel):
    n: int
    of: int = 10

    @field_validator("n")
    @classmethod
    def check_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("n must be even")
        return value

    @model_validator(mode="after")
    def check_smaller(self) -> "Even":
        if self.n > self.of:
            raise ValueError("n must not be larger than of")
        return self


EVEN = {"type": "json_schema", "json_schema": {"name": "even", "schema": Even.model_json_schema()}}
ODD, LARGE, RIGHT = '{"n": 3}', '{"n": 12, "of": 10}', '{"n": 4}'


@pytest.mark.parametrize("constrained", [True, False])
async def test_validators_are_part_of_the_check_and_of_the_repair(constrained):
    """As an object, as text, and as the arguments of a call; also where the service constrains."""
    tool = FromClass({"name": "even", "parameters": Even.model_json_schema()}, Even)
    with replica(OpenAICompatible, answer=in_turns(*([ODD, LARGE, RIGHT] * 3))) as r:
        provider = openai(r, json_schema=constrained)
        found = await complete_structured(provider, request(tools=()), Even)
        as_text = await answer_of(
            provider, request(tools=(), response_format=FromClass(EVEN, Even), stream=False)
        )
        as_call = await answer_of(
            provider, request(tools=(Tool.of(tool),), tool_choice="even", on_invalid="raise")
        )
        complaints = [sent.json["messages"][-1]["content"] for sent in r.requests]
    assert found.value == Even(n=4)
    assert json.loads(as_text.text) == as_call.tool_calls[0].arguments == {"n": 4}
    for at in (1, 4, 7):
        assert "n must be even" in complaints[at]
        assert "n must not be larger than of" in complaints[at + 1]


async def test_what_validators_refuse_in_the_end_is_a_typed_error():
    tool = FromClass({"name": "even", "parameters": Even.model_json_schema()}, Even)
    with flow(*[ODD] * 6) as r:
        provider = FlowGpt(base_url=r.base_url)
        form = FromClass({"type": "json_object"}, Even)
        _, error = await parts_of(provider, request(tools=(), response_format=form))
        assert "Answer only with a JSON object" in r.requests[0].body.decode()
        _, of_call = await parts_of(provider, request(tools=(Tool.of(tool),), tool_choice="even"))
    assert isinstance(error, StructuredOutputError)
    assert isinstance(of_call, ToolCallError)
    assert "n must be even" in error.message
    assert "n must be even" in of_call.message


# --- as the text of a plain answer ----------------------------------------------------------------

FORM = {"type": "json_schema", "json_schema": {"name": "person", "schema": Target.of(Person).schema}}


@pytest.mark.parametrize("form", [FORM, {"type": "json_object"}])
@pytest.mark.parametrize("shape", ["bare", "prose", "fence", "python", "thinking"])
async def test_the_text_is_bare_json(form, shape):
    """What a framework hands to `json.loads`."""
    with flow(SHAPES[shape].replace("{asked}", "asked")) as r:
        completion = await answer_of(FlowGpt(base_url=r.base_url), request(tools=(), response_format=form))
    found = json.loads(completion.text)
    assert (found["name"], found["age"]) == ("Ann", 31)
    assert completion.finish.reason == "stop"


async def test_text_that_never_fits():
    """A typed error."""
    with flow("a", "b", "c") as r:
        parts, error = await parts_of(FlowGpt(base_url=r.base_url), request(tools=(), response_format=FORM))
    assert parts == []
    assert isinstance(error, StructuredOutputError)


async def test_constrained_text_streams():
    """As the object grows, written anew without nulls that came for keys left out."""
    with replica(OpenAICompatible, answer=in_turns([*GOOD], [*GOOD[:20]])) as r:
        provider = openai(r, json_schema=True)
        parts, _ = await parts_of(provider, request(tools=(), response_format=FORM))
        texts = [part.text for part in parts if isinstance(part, Text)]
        assert len(texts) > 1
        assert json.loads("".join(texts)) == json.loads(GOOD)
        _, error = await parts_of(provider, request(tools=(), response_format=FORM))
    assert isinstance(error, StructuredOutputError)


@pytest.mark.parametrize("said", ["```json\n{}\n```", '<think>{{"name": 1}}</think>{}', "Sure: {}"])
async def test_constraint_that_is_not_kept(said):
    """Many a service takes a schema and does not keep to it.

    Nothing has gone out, so that the object is found, or asked for again.
    """
    with replica(OpenAICompatible, answer=in_turns([*said.format(GOOD)], [*said.format("none")], GOOD)) as r:
        provider = openai(r, json_schema=True)
        for questions in (1, 3):
            parts, error = await parts_of(provider, request(tools=(), response_format=FORM))
            assert error is None
            assert json.loads("".join(part.text for part in parts if isinstance(part, Text)))["age"] == 31
            assert len(r.requests) == questions


async def test_nothing_follows_the_finish():
    """An answer that is judged at its end has not finished before."""
    with replica(OpenAICompatible, answer=in_turns([*GOOD[:20]])) as r:
        parts, error = await parts_of(openai(r, json_schema=True), request(tools=(), response_format=FORM))
        assert len(r.requests) == 1  # what has gone out cannot be asked for again
    assert isinstance(error, StructuredOutputError)
    assert all(isinstance(part, Text) for part in parts)


async def test_any_object_is_asked_for_as_such():
    """Some services refuse a schema without properties."""
    with replica(OpenAICompatible, answer=in_turns("{}")) as r:
        await answer_of(
            openai(r, json_schema=True), request(tools=(), response_format={"type": "json_object"})
        )
        assert r.requests[0].json["response_format"] == {"type": "json_object"}


async def test_a_refused_constraint_counts():
    """As the request that it was."""
    with replica(OpenAICompatible, answer=in_turns(GOOD), json_schema=False) as r:
        answer = await complete_structured(openai(r, json_schema=True), request(tools=()), Person)
        assert answer.finish.attempts == len(r.requests) == 2


async def test_a_connection_that_just_ends_leaves_no_object():
    """31 may have been 310.

    Open brackets are only forgiven where the service said that the answer is complete.
    """
    cut = '{"name": "Ann", "tags": ["a", "b"], "age": 3'
    with replica(
        OpenAICompatible, answer=in_turns([cut], GOOD), faults=[{"no_finish": True, "no_done": True}, {}]
    ) as r:
        answer = await complete_structured(openai(r), request(tools=()), Person)
        assert len(r.requests) == 2
    assert answer.value == ANN


async def test_refused_constraint_is_asked_in_words():
    """The text then comes in one piece, once it is valid."""
    with replica(OpenAICompatible, answer=in_turns(f"Here: {GOOD}"), json_schema=False) as r:
        completion = await answer_of(openai(r, json_schema=True), request(tools=(), response_format=FORM))
    assert json.loads(completion.text)["age"] == 31


async def test_a_refusal_that_is_no_constraint_is_an_error():
    """It would be refused in words, too."""
    with replica(OpenAICompatible, answer=in_turns(), faults=[{"status": 400}, {"status": 400}]) as r:
        _, error = await parts_of(openai(r), request(tools=(), response_format=FORM))
    assert isinstance(error, BadRequestError)


async def test_tools_and_a_response_format():
    """A call first; an object where the model answers."""
    with flow(CALL, "It is Ann, 31.", f"Here: {GOOD}") as r:
        provider = FlowGpt(base_url=r.base_url)
        call = await answer_of(provider, request(tools=TOOLS, response_format=FORM))
        answer = await answer_of(provider, request(tools=TOOLS, response_format=FORM))
    assert calls_of(call) == [("get_weather", {"city": "Oslo"})]
    assert json.loads(answer.text)["name"] == "Ann"
    assert answer.finish.attempts == 2


# --- growing --------------------------------------------------------------------------------------


@dataclasses.dataclass
class Node:
    label: str
    weight: float = 0
    children: list["Node"] = dataclasses.field(default_factory=list)


TREES = st.recursive(
    st.fixed_dictionaries({"label": st.text(max_size=8), "weight": st.integers(-1000, 1000)}),
    lambda inner: st.fixed_dictionaries(
        {
            "label": st.text(max_size=8),
            "weight": st.floats(-9, 9),
            "children": st.lists(inner, max_size=3),
        }
    ),
    max_leaves=6,
)


@settings(max_examples=100)
@given(TREES, st.integers(1, 7), st.booleans())
def test_snapshots_only_extend(tree, step, ascii_only):
    """Whatever the object, however it is cut."""
    text = json.dumps(tree, ensure_ascii=ascii_only)
    growing = Growing(Target.of(Node))
    seen = None
    for at in range(0, len(text), step):
        snapshot = growing.feed(text[at : at + step])
        if snapshot is not None:
            assert extends(seen, snapshot)
            seen = snapshot
    assert extends(seen, tree)


def test_growing_costs_no_square():
    """How often a long answer is read again is bounded.

    All reading together is a small multiple of its length.
    """
    growing = Growing(Target.of({"type": "object", "properties": {"a": {"type": "string"}}}))
    read = 0
    snapshots = 0
    text = '{"a": "' + "x" * 100_000
    for at in range(0, len(text), 5):
        if growing.feed(text[at : at + 5]) is not None:
            snapshots += 1
            read += at
    assert snapshots > 100
    assert read < 80 * len(text)


BROKEN = [
    ({"type": "objekt", "properties": {}}, "unknown type 'objekt'"),
    ({"type": "object", "properties": {"a": {"$ref": "#/$defs/B"}}}, "'#/\\$defs/B' names no part"),
    ({"type": "object", "properties": {"a": {"$ref": "B"}}, "$defs": {"B": {}}}, "'B' names no part"),
    ({"type": "object", "required": "a"}, "required must be a list of names, not 'a'"),
    ({"type": "array", "items": {"anyOf": {"type": "string"}}}, "anyOf must be a list"),
    ({"type": "object", "properties": ["a"]}, "properties must be a mapping"),
]


@pytest.mark.parametrize(("schema", "complaint"), BROKEN)
async def test_a_broken_schema_is_the_callers_mistake(schema, complaint):
    """It would make any answer valid; nothing is sent."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with replica(FlowGpt, answer="{}") as r:
        provider = FlowGpt(base_url=r.base_url)
        for settings in (
            {"response_format": form},
            {"tools": [{"name": "f", "parameters": schema}]},
        ):
            with pytest.raises(UsageError, match=complaint):
                await provider.complete("Hi", **settings)
        with pytest.raises(UsageError, match=complaint):
            stream_structured(provider, provider.request("Hi"), schema)
        assert not r.requests


async def test_a_misspelt_response_format_is_the_callers_mistake():
    with replica(FlowGpt, answer="{}") as r:
        with pytest.raises(UsageError, match="unknown type 'json-schema'"):
            await FlowGpt(base_url=r.base_url).complete(
                "Hi", response_format={"type": "json-schema", "json_schema": {"schema": {"type": "object"}}}
            )
        assert not r.requests


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "OBJECT", "properties": {"a": {"type": "any"}}},
        {"type": "object", "properties": {"a": {"type": "string", "required": True, "nullable": True}}},
        {"$id": "http://x.example/a", "properties": {"a": {"$ref": "http://x.example/a"}}},
        {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#/properties/a"}, "$ref": {"type": "string"}}},
        {
            "properties": {"a": {"$ref": "#/$defs/x~1y"}, "b": {"$ref": "#b"}},
            "$defs": {"x/y": {"$anchor": "b"}},
        },
        {"anyOf": [{"required": ["a"]}, True], "default": {"$ref": "nowhere"}, "required": None},
    ],
)
async def test_older_and_looser_schemas_are_none(schema):
    """They are read as they are meant."""
    with replica(FlowGpt, answer='{"a": 1}') as r:
        await FlowGpt(base_url=r.base_url).complete("Hi", tools=[{"name": "f", "parameters": schema}])
        assert len(r.requests) == 1
