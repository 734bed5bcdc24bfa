"""Tools in short: what is shown of a tool's parameters where the model is not known."""

import json

import pytest

from freeproviders.tools.judge import Judge
from freeproviders.tools.prompt import DEFAULT_PROMPT, ToolPrompt, shows_short, tool_line
from freeproviders.tools.read.cursor import RawCall
from freeproviders.tools.schema.signature import signature
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import Tool

TEXT = {"type": "string"}


def of(*required, **properties):
    return {"type": "object", "properties": properties, "required": list(required)}


@pytest.mark.parametrize(
    ("schema", "short"),
    [
        (of(), {}),
        (
            of("city", city=TEXT, unit={"enum": ["c", "f"]}),
            {"city": "string", "unit?": '"c" or "f"'},
        ),
        (of(day={**TEXT, "format": "date", "description": "When"}), {"day?": "string, format date, When"}),
        (of("n", n={"type": ["integer", "null"], "minimum": 1}), {"n": "integer or null, minimum 1"}),
        (
            of("all", all={"type": "array", "items": TEXT}),
            {"all": ["string"]},
        ),
    ],
)
def test_a_simple_schema_is_written_in_short(schema, short):
    assert signature(schema) == short


@pytest.mark.parametrize(
    "part",
    [
        {},
        True,
        {"anyOf": [TEXT, {"type": "array", "items": TEXT}]},
        {"type": "array", "items": TEXT, "minItems": 1},
        {"type": "array"},
        {"type": "object"},
        {"const": 1},
        of(x=TEXT),
        {"type": "array", "items": of(x=TEXT)},
        {**TEXT, "enum": ["a" * 500]},
        {"enum": [1, 2]},
        {"enum": []},
        {"type": "object", "additionalProperties": TEXT},
    ],
)
def test_a_schema_that_would_lose_something_is_shown_whole(part):
    """The line then holds the JSON schema."""
    assert signature(of("it", it=part)) is None
    line = json.loads(tool_line(Tool("f", "", of("it", it=part)), short=True))
    assert line["function"]["parameters"]["properties"].keys() == {"it"}


def test_who_decides():
    """The prompt, else the family, else it is short."""
    assert shows_short(DEFAULT_PROMPT, "")
    assert not shows_short(DEFAULT_PROMPT, "schema")
    assert shows_short(ToolPrompt(tools="short"), "schema")


def test_the_mark_of_an_optional_argument_is_no_part_of_its_name():
    """Small models copy it."""
    tool = Tool("get_weather", "", of("city", city=TEXT, unit=TEXT))
    call = Judge(Toolbox([tool])).judge(RawCall("get_weather", {"city": "Oslo", "unit?": "c"}))
    assert call.arguments == {"city": "Oslo", "unit": "c"}
