"""Structured output: three methods, four kinds of schema, and never None."""

import asyncio
import dataclasses
import json
from itertools import pairwise
from typing import Annotated, Literal

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelError, OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import AfterValidator, BaseModel, Field, field_validator
from pydantic import v1 as pydantic_v1
from typing_extensions import TypedDict

from freeproviders.errors import UsageError
from freeproviders.types import ToolCall
from langchain_freeproviders import errors
from tests.brain import Script, brain, call
from tests.langchain.services import FLOW, OPENAI


class City(BaseModel):
    """A city."""

    name: str
    people: int = Field(ge=1)
    size: Literal["small", "large"] = "small"


class CityV1(pydantic_v1.BaseModel):
    """A city."""

    name: str
    people: int


class CityDict(TypedDict):
    """A city."""

    name: str
    people: int


@dataclasses.dataclass
class CityData:
    """A city."""

    name: str
    people: int


SCHEMA = City.model_json_schema()
QUESTION = 'Describe "Rome" with its 2800000 people'
METHODS = ["json_schema", "function_calling"]
GOOD = json.dumps({"name": "Rome", "people": 2800000})


def check(value, kind):
    if kind is SCHEMA or kind is CityDict:
        assert isinstance(value, dict)
        assert (value["name"], value["people"]) == ("Rome", 2800000)
    else:
        assert type(value) is kind
        assert (value.name, value.people) == ("Rome", 2800000)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "kind",
    [City, CityV1, CityDict, CityData, SCHEMA],
    ids=["pydantic", "pydantic-v1", "typeddict", "dataclass", "json-schema"],
)
async def test_every_kind_of_schema(service, kind, method):
    with service.replica(brain) as r:
        model = service.model(r).with_structured_output(kind, method=method)
        check(await model.ainvoke(QUESTION), kind)
        check(await asyncio.to_thread(model.invoke, QUESTION), kind)
        check([value async for value in model.astream(QUESTION)][-1], kind)


@pytest.mark.parametrize("strict", [None, True, False])
@pytest.mark.parametrize("method", METHODS)
async def test_strict_is_passed_on(method, strict):
    rome = {"name": "Rome", "people": 1, "size": "large"}
    answer = json.dumps(rome) if method == "json_schema" else call("City", **rome)
    with OPENAI.replica(answer) as r:
        model = OPENAI.model(r, json_schema=True).with_structured_output(City, method=method, strict=strict)
        assert (await model.ainvoke("Rome?")).name == "Rome"
        if method == "json_schema":
            form = r.requests[-1].json["response_format"]
            assert form["type"] == "json_schema"
            # The core has made the schema fit, unless the caller forbids that.
            assert form["json_schema"].get("strict", False) is (strict is not False)
    with OPENAI.replica([ToolCall("c", "City", rome)]) as r:
        model = OPENAI.model(r, native_tools=True).with_structured_output(
            City, method="function_calling", strict=strict
        )
        assert (await model.ainvoke("Rome?")).name == "Rome"
        assert r.requests[-1].json["tools"][0]["function"].get("strict") is strict


async def test_json_mode_is_any_object():
    with FLOW.replica('Sure:\n```json\n{"a": [1, 2]}\n```') as r:
        assert await FLOW.model(r).with_structured_output(
            {"title": "x", "type": "object"}, method="json_mode"
        ).ainvoke("JSON!") == {"a": [1, 2]}
    with FLOW.replica(GOOD) as r:
        assert (
            await FLOW.model(r).with_structured_output(City, method="json_mode").ainvoke("JSON!")
        ).name == "Rome"


WRAPPED = [
    f"```json\n{GOOD}\n```",
    f"Here you are: {GOOD} I hope this helps.",
    f"<think>A city {{}} it is.</think>\n{GOOD}",
    "{'name': 'Rome', 'people': 2800000,}",
    json.dumps({"name": "Rome", "people": "2800000"}),
]


@pytest.mark.parametrize("said", WRAPPED)
@pytest.mark.parametrize("kind", [City, SCHEMA], ids=["pydantic", "json-schema"])
async def test_found_in_whatever_is_said(said, kind):
    with FLOW.replica(said) as r:
        check(await FLOW.model(r).with_structured_output(kind).ainvoke(QUESTION), kind)
        assert len(r.requests) == 1


async def test_asked_for_again_with_the_complaint():
    with FLOW.replica(Script('{"name": "Rome", "people": 0}', GOOD)) as r:
        check(await FLOW.model(r).with_structured_output(City).ainvoke(QUESTION), City)
        assert len(r.requests) == 2
        assert "people" in r.requests[-1].body.decode()


PROSE = "I do not know that city."


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("kind", [City, SCHEMA], ids=["pydantic", "json-schema"])
async def test_never_none(kind, method):
    """What LangChain's own default returns for prose is None."""
    with FLOW.replica(PROSE) as r:
        model = FLOW.model(r).with_structured_output(kind, method=method)
        for attempt in (model.ainvoke, lambda text: asyncio.to_thread(model.invoke, text)):
            with pytest.raises((errors.StructuredOutputError, errors.ToolCallError)) as info:
                await attempt(QUESTION)
            assert isinstance(info.value, OutputParserException)
            assert isinstance(info.value, ModelError)
            assert info.value.said == PROSE
        with pytest.raises((errors.StructuredOutputError, errors.ToolCallError)):
            _ = [value async for value in model.astream(QUESTION)]
        assert len(r.requests) == 9


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
async def test_with_the_raw_message(method):
    answer = GOOD if method != "function_calling" else call("City", name="Rome", people=2800000)
    with FLOW.replica(answer) as r:
        model = FLOW.model(r).with_structured_output(City, method=method, include_raw=True)
        for value in (await model.ainvoke(QUESTION), await asyncio.to_thread(model.invoke, QUESTION)):
            assert isinstance(value["raw"], AIMessage)
            assert value["raw"].usage_metadata
            check(value["parsed"], City)
            assert value["parsing_error"] is None
        total = {}
        for piece in [piece async for piece in model.astream(QUESTION)]:
            total |= piece
        check(total["parsed"], City)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_with_the_raw_message_of_a_bad_answer(method):
    with FLOW.replica(PROSE) as r:
        model = FLOW.model(r).with_structured_output(City, method=method, include_raw=True)
        for value in (await model.ainvoke(QUESTION), await asyncio.to_thread(model.invoke, QUESTION)):
            assert value["raw"].content == PROSE
            assert value["parsed"] is None
            assert isinstance(value["parsing_error"], errors.OutputError)
        last = [piece async for piece in model.astream(QUESTION)][-1]
        assert isinstance(last["parsing_error"], errors.OutputError)
        assert (await asyncio.to_thread(lambda: list(model.stream(QUESTION))))[-1]["parsed"] is None


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_with_the_raw_message_of_a_bad_answer_wherever_it_stands(method):
    """In a batch, and in the middle of a chain, which come by other doors."""
    with FLOW.replica(PROSE) as r:
        model = FLOW.model(r).with_structured_output(City, method=method, include_raw=True)
        chain = ChatPromptTemplate.from_template("{text}") | model | RunnableLambda(lambda value: value)
        given = {"text": QUESTION}
        values = [
            *await model.abatch([QUESTION, QUESTION]),
            *await asyncio.to_thread(model.batch, [QUESTION, QUESTION]),
            await chain.ainvoke(given),
            await asyncio.to_thread(chain.invoke, given),
            [value async for value in chain.astream(given)][-1],
            (await asyncio.to_thread(lambda: list(chain.stream(given))))[-1],
        ]
    for value in values:
        assert value["parsed"] is None
        assert isinstance(value["parsing_error"], errors.OutputError)


@pytest.mark.parametrize("native", [False, True], ids=["prompted", "native"])
@pytest.mark.parametrize("schema", [City, SCHEMA], ids=["class", "schema"])
async def test_a_call_in_the_place_of_the_object(native, schema):
    """Where tools are bound as well, it is no failure for who gets at it; else an error, and never None."""
    called = [ToolCall("1", "look", {})] if native else call("look")
    look = {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": {}}}
    with OPENAI.replica(called) as r:
        model = OPENAI.model(r, native_tools=native, json_schema=native)
        raw = model.with_structured_output(schema, include_raw=True, tools=[look])
        streams = [
            [piece async for piece in raw.astream(QUESTION)],
            await asyncio.to_thread(lambda: list(raw.stream(QUESTION))),
        ]
        sums = [{name: value for piece in pieces for name, value in piece.items()} for pieces in streams]
        for value in (await raw.ainvoke(QUESTION), await asyncio.to_thread(raw.invoke, QUESTION), *sums):
            assert (value["parsed"], value["parsing_error"]) == (None, None)
            assert [made["name"] for made in value["raw"].tool_calls] == ["look"]
        bare = model.with_structured_output(schema, tools=[look])
        with pytest.raises(errors.StructuredOutputError, match="called look"):
            await bare.ainvoke(QUESTION)
        with pytest.raises(errors.StructuredOutputError, match="no object"):
            [piece async for piece in bare.astream(QUESTION)]


async def test_a_failure_of_the_service_is_no_parsing_error():
    with FLOW.replica("never", faults={"status": 401}) as r, pytest.raises(errors.AuthenticationError):
        await FLOW.model(r).with_structured_output(City, include_raw=True).ainvoke(QUESTION)


class Started(BaseCallbackHandler):
    def __init__(self):
        self.options = []

    def on_chat_model_start(self, serialized, messages, *, options, **kwargs):
        self.options.append(options)


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("kind", [City, CityDict, SCHEMA], ids=["pydantic", "typeddict", "json-schema"])
async def test_the_trace_holds_the_schema(kind, method):
    with FLOW.replica(brain) as r:
        started = Started()
        config = {"callbacks": [started]}
        question = "JSON with 'name' and 'people'" if method == "json_mode" else QUESTION
        model = FLOW.model(r).with_structured_output(kind, method=method, include_raw=True)
        await model.ainvoke(question, config)
        _ = [value async for value in model.astream(question, config)]
    assert len(started.options) == 2
    for options in started.options:
        shown = options["ls_structured_output_format"]
        assert shown["schema"] == convert_to_json_schema(kind)
        assert shown["kwargs"]["method"] == method


async def test_partial_objects_only_grow():
    long = json.dumps({"name": "Rome, the eternal city of seven hills", "people": 2800000})
    pieces = [long[i : i + 5] for i in range(0, len(long), 5)]
    with FLOW.replica(pieces, faults={"pace": 0.005}) as r:
        seen = [value async for value in FLOW.model(r).with_structured_output(SCHEMA).astream(QUESTION)]
    for before, after in pairwise(seen):
        assert set(before) <= set(after)
        assert after.get("name", "").startswith(before.get("name", ""))
    assert seen[-1] == json.loads(long)


LONG = {"name": "Rome, the eternal city of seven hills", "people": 2800000}


def in_pieces(value, size=5):
    text = json.dumps(value)
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
@pytest.mark.parametrize("kind", [CityDict, SCHEMA, City], ids=["typeddict", "json-schema", "pydantic"])
@pytest.mark.parametrize("constrained", [None, False, True])
async def test_objects_stream_on_every_service(constrained, kind, method):
    """As they grow, prompted or constrained, in JSON mode as well; instances once they are some."""
    service = FLOW if constrained is None else OPENAI
    options = {} if constrained is None else {"json_schema": constrained}
    with service.replica(["<think>hm</think>", *in_pieces(LONG)], faults={"pace": 0.005}) as r:
        model = service.model(r, **options).with_structured_output(kind, method=method)
        seen = [value async for value in model.astream(QUESTION)]
        seen_in_sync = await asyncio.to_thread(lambda: list(model.stream(QUESTION)))
    for values in (seen, seen_in_sync):
        last = values[-1]
        assert (last if isinstance(last, dict) else last.model_dump(exclude_unset=True)) == LONG
        if kind is City:
            assert {type(value) for value in values} == {City}
            continue
        assert len(values) > 2
        for before, after in pairwise(values):
            assert set(before) <= set(after)
            assert after.get("name", "").startswith(before.get("name", ""))


async def test_a_repaired_object_comes_last_whatever_was_shown():
    """What was shown is never taken back by a later draft, and the final object is the valid one."""
    wrong, right = {"name": "Rom", "people": 0}, {"name": "Paris", "people": 2100000}
    with FLOW.replica(Script(in_pieces(wrong), in_pieces(right))) as r:
        model = FLOW.model(r).with_structured_output(SCHEMA)
        seen = [value async for value in model.astream(QUESTION)]
        assert len(r.requests) == 2
        assert "people" in r.requests[1].body.decode()
    assert seen[-1] == right
    for before, after in pairwise(seen[:-1]):
        assert before.items() <= after.items() or after["name"].startswith(before["name"])


async def test_the_raw_stream_has_the_thinking_the_text_and_the_usage():
    with FLOW.replica(["<think>hm</think>", *in_pieces(LONG)]) as r:
        model = FLOW.model(r).with_structured_output(SCHEMA, include_raw=True)
        raw = parsed = None
        async for piece in model.astream(QUESTION):
            if "raw" in piece:
                raw = piece["raw"] if raw is None else raw + piece["raw"]
            parsed = piece.get("parsed", parsed)
    assert json.loads(raw.content) == parsed == LONG
    assert raw.additional_kwargs == {"reasoning_content": "hm"}
    assert raw.usage_metadata["output_tokens"] > 0
    assert raw.response_metadata["finish_reason"] == "stop"


class Even(BaseModel):
    """An even number."""

    n: int

    @field_validator("n")
    @classmethod
    def check_even(cls, value):
        if value % 2:
            raise ValueError("n must be even")
        return value


@dataclasses.dataclass
class EvenData:
    """An even number."""

    n: Annotated[int, AfterValidator(Even.check_even)]


METHODS_AND_MORE = ["json_schema", "function_calling", "json_mode"]


@pytest.mark.parametrize("method", METHODS_AND_MORE)
@pytest.mark.parametrize("kind", [Even, EvenData])
@pytest.mark.parametrize("native", [False, True])
async def test_a_classs_validators_are_part_of_the_check(method, kind, native):
    """What they refuse is asked for again with their words; in the end it is our own error."""
    odd, even = (
        call(kind.__name__, n=n) if method == "function_calling" else f'{{"n": {n}}}' for n in (3, 4)
    )
    options = {"json_schema": native, "native_tools": native}
    if native and method == "function_calling":
        odd, even = ([ToolCall("c", kind.__name__, {"n": n})] for n in (3, 4))
    with OPENAI.replica(Script(odd, even, odd)) as r:
        model = OPENAI.model(r, **options).with_structured_output(kind, method=method)
        assert (await model.ainvoke("An even number?")).n == 4
        assert "n must be even" in r.requests[1].body.decode()
        for attempt in (
            model.ainvoke("An even number?"),
            asyncio.to_thread(model.invoke, "An even number?"),
            asyncio.to_thread(lambda: list(model.stream("An even number?"))),
        ):
            with pytest.raises(errors.OutputError, match="n must be even"):
                await attempt


async def test_validators_of_a_bound_response_format():
    with FLOW.replica(Script('{"n": 3}', '{"n": 4}')) as r:
        message = await FLOW.model(r).bind(response_format=Even).ainvoke("An even number?")
    assert json.loads(message.content) == {"n": 4}


@pytest.mark.parametrize("method", METHODS_AND_MORE)
async def test_the_raw_message_of_a_bad_answer_has_usage_and_metadata(method):
    """Three requests were paid for, whether the answer was any good or not."""
    with FLOW.replica(PROSE) as r:
        model = FLOW.model(r).with_structured_output(City, method=method, include_raw=True)
        whole = [await model.ainvoke(QUESTION), await asyncio.to_thread(model.invoke, QUESTION)]
        streamed = [
            [piece async for piece in model.astream(QUESTION)],
            await asyncio.to_thread(lambda: list(model.stream(QUESTION))),
        ]
    for pieces in streamed:
        raw = None
        for piece in pieces:
            if "raw" in piece:
                raw = piece["raw"] if raw is None else raw + piece["raw"]
        whole.append({**pieces[-1], "raw": raw})
    for value in whole:
        assert value["raw"].content == PROSE
        assert value["raw"].usage_metadata["input_tokens"] > 0
        assert value["raw"].response_metadata["attempts"] == 3
        assert value["raw"].response_metadata["model_provider"] == FLOW.model(r).model_provider


async def test_a_bare_list_is_wrapped():
    class Cities(BaseModel):
        """Cities."""

        cities: list[City]

    with FLOW.replica(f"[{GOOD}, {GOOD}]") as r:
        found = await FLOW.model(r).with_structured_output(Cities).ainvoke(QUESTION)
        assert [city.name for city in found.cities] == ["Rome", "Rome"]
        assert len(r.requests) == 1


async def test_the_callers_limits_reach_the_service():
    class Essay(BaseModel):
        """An essay."""

        body: str = Field(max_length=5000)

    with OPENAI.replica(json.dumps({"body": "x" * 3000})) as r:
        model = OPENAI.model(r, json_schema=True)
        assert len((await model.with_structured_output(Essay).ainvoke("Write!")).body) == 3000
        schema = r.requests[0].json["response_format"]["json_schema"]["schema"]
        assert schema["properties"]["body"]["maxLength"] == 5000


@pytest.mark.parametrize("schema", [None, 7, "City", {"no": "schema"}])
def test_what_is_no_schema(schema):
    with FLOW.replica("never") as r, pytest.raises(UsageError):
        FLOW.model(r).with_structured_output(schema)


def test_an_unknown_method():
    with FLOW.replica("never") as r, pytest.raises(UsageError, match="method"):
        FLOW.model(r).with_structured_output(City, method="magic")


async def test_settings_go_along():
    with OPENAI.replica(GOOD) as r:
        await OPENAI.model(r).with_structured_output(City, temperature=0.1, seed=5).ainvoke(QUESTION)
        assert (r.requests[-1].json["temperature"], r.requests[-1].json["seed"]) == (0.1, 5)


async def test_a_response_format_by_bind():
    """A class, a schema or the wire form."""
    for form in (
        City,
        SCHEMA,
        {"type": "json_schema", "json_schema": {"name": "City", "schema": SCHEMA}},
        {"type": "object", "properties": {"name": {"type": "string"}}},
    ):
        with FLOW.replica(f"Of course: {GOOD}") as r:
            message = await FLOW.model(r).bind(response_format=form).ainvoke(QUESTION)
            assert json.loads(message.content)["name"] == "Rome"


def test_json_mode_needs_no_schema():
    with OPENAI.replica(answer=f"```json\n{GOOD}\n```") as r:
        chain = OPENAI.model(r).with_structured_output(method="json_mode")
        assert chain.invoke("Describe it in JSON") == json.loads(GOOD)
        assert [*chain.stream("Describe it in JSON")][-1] == json.loads(GOOD)


@pytest.mark.parametrize("method", METHODS)
def test_the_other_methods_need_a_schema(method):
    with OPENAI.replica() as r, pytest.raises(UsageError, match="needs a schema: pass a pydantic class"):
        OPENAI.model(r).with_structured_output(None, method=method)
