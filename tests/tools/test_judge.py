"""From what the model wrote to a call, or to words that say what is wrong."""

import pytest

from freeproviders.tools.judge import Complaint, Judge
from freeproviders.tools.read.cursor import RawCall
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import Tool, ToolCall
from tests.tools.reading import TIME, WEATHER, read

TRIP = Tool(
    "plan_trip",
    "",
    {
        "type": "object",
        "properties": {
            "stops": {"type": "array", "items": {"$ref": "#/$defs/Stop"}},
            "budget": {"type": ["number", "null"]},
            "public": {"type": "boolean"},
            "start": {"type": "string", "format": "date"},
            "who": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}]},
            "mode": {"type": "string", "enum": ["train", "night_bus"]},
            "note": {"type": "string"},
        },
        "required": ["stops"],
        "additionalProperties": False,
        "$defs": {
            "Stop": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "nights": {"type": "integer", "minimum": 1}},
                "required": ["city"],
            }
        },
    },
)
ANY = Tool("any", "", {"type": "object"})
BOX = Toolbox([WEATHER, TIME, TRIP, Tool("Box[int]"), ANY])
STOPS = [{"city": "Oslo"}]


def judged(name, arguments):
    return Judge(BOX).judge(RawCall(name, arguments))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("get_weather", "get_weather"), ("Get-Weather", "get_weather"), ("getWeather", "get_weather"),
        ("functions.get_weather", "get_weather"), (" get weather ", "get_weather"),
        ("Box_int_", "Box[int]"), ("Box[int]", "Box[int]"), ("get_whether", None), ("weather", None),
        ("", None), ("___", None),
    ],
)  # fmt: skip
def test_names(written, meant):
    """Exactly, else leniently, else not."""
    tool = BOX.match(written)
    assert (tool.name if tool else None) == meant


def test_ambiguous_names_are_matched_exactly_only():
    """Two tools that differ in case only."""
    box = Toolbox([Tool("run"), Tool("Run"), Tool("go")])
    assert box.match("Run").name == "Run"
    assert box.match("RUN") is None
    assert box.match("GO").name == "go"


@pytest.mark.parametrize(
    ("tool", "given", "arguments"),
    [
        ("get_weather", {"city": "Oslo"}, {"city": "Oslo"}),
        ("get_weather", {"city": "Oslo", "days": "3"}, {"city": "Oslo", "days": 3}),
        ("get_weather", {"city": "Oslo", "days": 3.0}, {"city": "Oslo", "days": 3}),
        ("get_weather", {"City": "Oslo", "unit": "Celsius"}, {"city": "Oslo", "unit": "celsius"}),
        ("get_weather", {"city": 12, "days": None}, {"city": "12"}),
        ("get_weather", '{"city": "Oslo"}', {"city": "Oslo"}),
        ("get_weather", "{'city': 'Oslo',}", {"city": "Oslo"}),
        ("get_weather", {"arguments": {"city": "Oslo"}}, {"city": "Oslo"}),
        ("get_weather", {"properties": {"city": "Oslo"}}, {"city": "Oslo"}),
        ("get_weather", {"get_weather": {"city": "Oslo"}}, {"city": "Oslo"}),
        ("get_weather", {"parameters": '{"city": "Oslo"}'}, {"city": "Oslo"}),
        ("get_time", None, {}),
        ("get_time", "", {}),
        ("get_time", "null", {}),
        ("get_time", "{}", {}),
        ("get_time", '{"arguments": {}}', {}),
        ("get_time", [], {}),
        ("plan_trip", {"stops": {"city": "Oslo", "nights": "2"}}, {"stops": [{"city": "Oslo", "nights": 2}]}),
        ("plan_trip", {"stops": '[{"city": "Oslo"}]'}, {"stops": STOPS}),
        ("plan_trip", {"stops": STOPS, "public": "True", "budget": "1.5"},
            {"stops": STOPS, "public": True, "budget": 1.5}),
        ("plan_trip", {"stops": STOPS, "budget": "null"}, {"stops": STOPS, "budget": None}),
        ("plan_trip", {"stops": STOPS, "budget": None}, {"stops": STOPS, "budget": None}),
        ("plan_trip", {"stops": STOPS, "note": None, "mode": "Night-Bus"},
            {"stops": STOPS, "mode": "night_bus"}),
        ("plan_trip", {"stops": STOPS, "who": "3"}, {"stops": STOPS, "who": 3}),
        ("plan_trip", {"stops": STOPS, "who": "Ann"}, {"stops": STOPS, "who": ["Ann"]}),
        ("any", {"what": "ever"}, {"what": "ever"}),
    ],
)  # fmt: skip
def test_arguments(tool, given, arguments):
    """What was meant is what the tool gets."""
    call = judged(tool, given)
    assert isinstance(call, ToolCall), call
    assert call.arguments == arguments


OPTIONAL = {"type": "object", "properties": {"days": {"type": "integer"}}}
NOTHING = (None, "", " ", "null", "None", [])


@pytest.mark.parametrize("given", NOTHING)
@pytest.mark.parametrize(
    ("schema", "takes_none"),
    [
        ({"type": "object"}, True),
        ({"type": "object", "properties": {}, "additionalProperties": False}, True),
        (OPTIONAL, False),
        ({"$ref": "#/$defs/X", "$defs": {"X": OPTIONAL}}, False),
        ({"type": "object", "additionalProperties": {"type": "string"}}, False),
        ({"anyOf": [OPTIONAL]}, False),
    ],
)
def test_nothing_is_an_object_only_for_a_tool_without_parameters(schema, takes_none, given):
    """A function with defaults would run with them."""
    verdict = Judge(Toolbox([Tool("f", "", schema)])).judge(RawCall("f", given))
    if takes_none:
        assert verdict.arguments == {}
    else:
        assert verdict.call is None
        assert "must be a JSON object" in verdict.text


@pytest.mark.parametrize(
    "given",
    ["Oslo", 5, True, 1.5, ["Oslo"], [{"city": "Oslo"}], '"Oslo"', "5", '["Oslo"]', '{"city": "Os',
     '{"city": "Oslo"', '{"city": Os', '{"city": "Oslo", "unit"}', '{"city": "Oslo, "days": 3}',
     {"arguments": '{"city": "Os'}, {"arguments": '{"city": "Oslo"'}],
)  # fmt: skip
def test_what_is_no_object_is_never_made_one(given):
    """Neither the only argument nor an object that something was put to; with defaults, too."""
    weather = {**WEATHER.parameters, "required": []}
    for tool in (WEATHER, Tool("get_weather", "", weather)):
        verdict = Judge(Toolbox([tool])).judge(RawCall("get_weather", given))
        assert isinstance(verdict, Complaint)
        assert verdict.call is None
        assert verdict.invalid.name == "get_weather"


def test_a_bare_text_is_the_only_argument_where_a_dialect_writes_so():
    """Of tools with one parameter, or one that is required; nothing at all is no text."""
    judge = Judge(BOX)
    assert judge.judge(RawCall("get_weather", "Oslo", plain=True)).arguments == {"city": "Oslo"}
    assert judge.judge(RawCall("get_weather", '{"city": "Oslo"}', plain=True)).arguments == {"city": "Oslo"}
    for given in (*NOTHING, '{"city": "Os'):
        assert judge.judge(RawCall("get_weather", given, plain=True)).call is None


@pytest.mark.parametrize(
    ("schema", "given", "expected"),
    [
        ({"enum": ["celsius", "night_bus"]}, "Night-Bus", "night_bus"),
        ({"enum": ["nightBus"]}, "night bus", "nightBus"), ({"enum": [1, 5]}, "5", 5),
        ({"enum": ["1", "5"]}, 5, "5"),
        ({"enum": ["a", None]}, "none", None), ({"enum": [True, "x"]}, "yes", True),
        ({"enum": ["C++", "Java"]}, "C", ...), ({"enum": [-1, 5]}, "1", ...), ({"enum": [1.5, 3]}, "15", ...),
        ({"enum": [">=1", ">=2"]}, "1", ...), ({"enum": ["1-2", "3"]}, "12", ...),
        ({"enum": [{"a": -1}]}, {"a": 1}, ...), ({"enum": ["yes", "no"]}, True, ...),
        ({"type": ["boolean", "integer"]}, "1", 1),
        ({"anyOf": [{"type": "boolean"}, {"type": "integer"}]}, "1", 1),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "yes", True),
        ({"type": "integer"}, "1.5", ...), ({"type": "integer"}, 1.5, ...), ({"type": "integer"}, "3.0", 3),
        ({"type": "integer"}, "1e3", 1000), ({"type": "integer"}, "three", ...),
        ({"type": "integer"}, "123456789012345678901", 123456789012345678901),
        ({"type": "integer"}, "9007199254740993.0", 9007199254740993), ({"type": "number"}, "NaN", ...),
        ({"type": "array", "items": {"type": "string"}}, "[draft] my note", ["[draft] my note"]),
        ({"type": "array", "items": {"type": "string"}}, "['a', 'b']", ["a", "b"]),
        ({"type": "object"}, "{a: 1} and more", ...),
        ({"type": "string", "format": "date"}, "2024-01-05", "2024-01-05"),
        ({"type": "string", "format": "date"}, "tomorrow", ...),
        ({"type": "string"}, None, ...), ({"type": "string"}, "null", "null"),
        ({"type": ["string", "null"]}, "null", "null"), ({"type": ["integer", "null"]}, "null", None),
    ],
)  # fmt: skip
def test_a_value_never_changes_its_meaning(schema, given, expected):
    """Bent where there is no doubt; `...` is a complaint."""
    judge = Judge(
        Toolbox([Tool("f", "", {"type": "object", "properties": {"x": schema}, "required": ["x"]})])
    )
    verdict = judge.judge(RawCall("f", {"x": given}))
    if expected is ...:
        assert isinstance(verdict, Complaint), verdict
    else:
        assert isinstance(verdict, ToolCall), verdict
        assert repr(verdict.arguments) == repr({"x": expected})  # 3.0 and True are equal to others


@pytest.mark.parametrize(
    ("tool", "given", "words"),
    [
        ("get_weather", {}, ["'city' is required but missing"]),
        ("get_weather", {"city": "Oslo", "days": "three"}, ["days", "'three' is not of type integer"]),
        (
            "get_weather",
            {"city": "Oslo", "unit": "kelvin"},
            ["unit", "'kelvin' is not one of 'celsius', 'fahrenheit'"],
        ),
        ("get_weather", {"city": "Oslo", "days": True}, ["days", "True is not of type integer"]),
        ("get_weather", {"city": {"name": "Oslo"}}, ["city", "is not of type string"]),
        ("plan_trip", {"stops": [{"nights": 1}]}, ["stops[0]", "'city' is required but missing"]),
        (
            "plan_trip",
            {"stops": [{"city": "Oslo", "nights": 0}]},
            ["stops[0].nights", "0 is less than the minimum of 1"],
        ),
        ("plan_trip", {"stops": STOPS, "start": "soon"}, ["start", "'soon' is not a 'date'"]),
        ("plan_trip", {"stops": STOPS, "hotel": "x"}, ["'hotel' is not known"]),
        ("plan_trip", 3, ["must be a JSON object, not 3", '"stops": [']),
        ("fly", {}, ["no tool named 'fly'", "get_weather, get_time"]),
    ],
)
def test_complaints(tool, given, words):
    """A complaint says exactly what is wrong."""
    complaint = judged(tool, given)
    assert isinstance(complaint, Complaint)
    assert complaint.unbound == (tool == "fly")
    for word in words:
        assert word in complaint.text


def test_a_fault_is_quoted():
    """What cannot be read is shown to the one who wrote it."""
    complaint = Judge(BOX).judge(RawCall("get_time", source="get_time(((", fault="it never ends"))
    assert "it never ends" in complaint.text
    assert "get_time(((" in complaint.text


@pytest.mark.parametrize("arguments", ["city=lambda: x, days={a.b: 1}", "**{f(x): 1}", "lambda: Oslo"])
def test_a_fault_is_the_same_each_time(arguments):
    """The model is told of it, and questions are known again by what they say."""
    (first,), (second,) = (read([f"<tool_call>get_weather({arguments})</tool_call>"]) for _ in range(2))
    assert first == second
    assert " object at " not in first.fault


def test_ids_are_unique_and_kept():
    """An id that came with the call stays; others are made."""
    judge = Judge(BOX)
    made = {judge.judge(RawCall("get_time")).id for _ in range(100)}
    assert len(made) == 100
    assert all(one.startswith("call_") for one in made)
    assert judge.judge(RawCall("get_time"), call_id="mine").id == "mine"


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/x.json"},
        {"type": "nonsense"},
        {"type": "object", "properties": {"a": {"pattern": "("}}},
        {"$ref": "#/nowhere"},
        {"required": 3},
    ],
)
def test_a_broken_schema_judges_nothing(schema):
    """A schema that cannot be used is the tool's own business; nothing is fetched for it."""
    judge = Judge(Toolbox([Tool("odd", "", schema)]))
    assert judge.judge(RawCall("odd", {"a": "b"})).arguments == {"a": "b"}


def test_recursive_schemas_end():
    """A schema that holds itself is followed as far as the value goes."""
    node = {"type": "object", "properties": {"value": {"type": "integer"}, "next": {"$ref": "#/$defs/Node"}}}
    tool = Tool(
        "chain",
        "",
        {"type": "object", "properties": {"head": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": node}},
    )
    loop = Tool(
        "loop",
        "",
        {"type": "object", "properties": {"x": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"$ref": "#/$defs/A"}}},
    )
    judge = Judge(Toolbox([tool, loop]))
    assert judge.judge(RawCall("chain", {"head": {"value": "1", "next": {"value": "2"}}})).arguments == {
        "head": {"value": 1, "next": {"value": 2}}
    }
    assert judge.judge(RawCall("loop", {"x": 1})).arguments == {"x": 1}


@pytest.mark.parametrize(
    ("schema", "given", "expected"),
    [
        ({"$ref": "#/$defs/X", "$defs": {"X": WEATHER.parameters}}, {"City": "Oslo"}, {"city": "Oslo"}),
        ({"$ref": "#/$defs/X", "$defs": {"X": WEATHER.parameters}}, {"city": "Oslo", "wind": 1},
            {"city": "Oslo"}),
        ({"anyOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"type": "object", "required": ["b"]}]}, {"a": "3"}, {"a": 3}),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": {}}, {"a": 1, "b": 2},
            {"a": 1, "b": 2}),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": True}, {"a": 1, "b": 2},
            {"a": 1, "b": 2}),
        ({"type": "object", "properties": {"a": {}}}, {"a": 1, "b": 2}, {"a": 1}),
        ({"type": "object", "patternProperties": {"^n_": {"type": "integer"}}, "additionalProperties": False},
            {"n_x": "2"}, {"n_x": 2}),
        ({"type": "object", "patternProperties": {"(": {"type": "integer"}}}, {"x": "2"}, {"x": "2"}),
        ({"type": "object", "properties": {"x": True}, "required": ["x"]}, {"x": None}, {"x": None}),
        ({"type": "object", "properties": {"x": False}, "required": ["y"]}, {"x": 1, "y": 1}, None),
        ({"type": "object", "properties": {"x": {"type": "any"}, "y": {"type": "integer"}},
            "required": ["y"]}, {"x": 1}, None),
        ({"type": "object", "properties": {"x": {"type": "object", "required": True,
            "properties": {"a": {"type": "integer"}}}}}, {"x": {"a": "1"}}, {"x": {"a": 1}}),
        ({"type": "object", "properties": {"x": {"type": "string", "required": True}}}, {}, None),
        ({"type": "object", "properties": {"x": {"type": "integer", "minimum": 0, "exclusiveMinimum": True}}},
            {"x": 1}, {"x": 1}),
        ({"type": "object", "properties": {"x": {"type": "integer", "minimum": 0, "exclusiveMinimum": True}}},
            {"x": 0}, None),
        ({"type": "object", "properties": {"x": {"type": "integer", "minimum": 0,
            "exclusiveMinimum": False}}}, {"x": 0}, {"x": 0}),
        ({"$schema": "http://json-schema.org/draft-04/schema#",
            "properties": {"x": {"minimum": 0, "exclusiveMinimum": True}}}, {"x": 0}, None),
        ({"type": "object", "properties": {"x": {"type": "string", "nullable": True}}, "required": ["x"]},
            {"x": None}, {"x": None}),
        ({"type": "object", "properties": {"x": {"allOf": [{"type": "integer"}, {"minimum": 3}]}}},
            {"x": "4"}, {"x": 4}),
        ({"type": "object", "properties": {"x": {"enum": [f"item {number}" for number in range(5000)]}}},
            {"x": "ITEM-4999"}, {"x": "item 4999"}),
        ({"type": "object", "properties": {"größe": {"type": "integer"}}}, {"GRÖSSE": "3"}, {"größe": 3}),
        ({"type": "object", "properties": {"max_rows": {"type": "integer"}}}, {"maxRows": 3},
            {"max_rows": 3}),
        ({"type": "object", "properties": {"x": {"$ref": "#/definitions/My%20Type"}},
            "definitions": {"My Type": {"type": "integer"}}}, {"x": "3"}, {"x": 3}),
        ({"type": "object", "properties": {"x": {"$ref": "#anchor"}}, "required": ["x"]}, {"x": {"x": 1}},
            {"x": {"x": 1}}),
    ],
)  # fmt: skip
def test_odd_schemas(schema, given, expected):
    """Schemas with references at the top, patterns, truth values; drafts 3 and 4; OpenAPI.

    None stands for a complaint.
    """
    verdict = Judge(Toolbox([Tool("f", "", schema)])).judge(RawCall("f", given))
    if expected is None:
        assert isinstance(verdict, Complaint), verdict
    else:
        assert isinstance(verdict, ToolCall), verdict
        assert verdict.arguments == expected


def expression(depth, leaf):
    return (
        {"kind": "num", "value": leaf}
        if not depth
        else {"kind": "mul", "a": expression(depth - 1, leaf), "b": {"kind": "num", "value": 1}}
    )


@pytest.mark.parametrize("union", ["anyOf", "oneOf"])
def test_unions_inside_unions_take_no_exponential_time(union):
    """Thirty levels of a union of three: each branch read to its end would be a billion of them."""
    both = {key: {"$ref": "#/$defs/Expr"} for key in "ab"}
    kinds = [
        {"type": "object", "properties": {"kind": {"const": kind}, **both}, "required": ["kind", "a", "b"]}
        for kind in ("add", "mul")
    ]
    number = {
        "type": "object",
        "properties": {"kind": {"const": "num"}, "value": {"type": "number"}},
        "required": ["kind", "value"],
    }
    definitions = {"Expr": {union: [number, *kinds]}}
    judge = Judge(
        Toolbox(
            [
                Tool(
                    "f",
                    "",
                    {"type": "object", "properties": {"x": {"$ref": "#/$defs/Expr"}}, "$defs": definitions},
                )
            ]
        )
    )
    assert judge.judge(RawCall("f", {"x": expression(30, 1)})).arguments == {"x": expression(30, 1)}
    assert isinstance(judge.judge(RawCall("f", {"x": expression(14, "2")})), ToolCall)
    complaint = judge.judge(RawCall("f", {"x": expression(14, "two")}))
    assert isinstance(complaint, Complaint)
    assert f"x{'.a' * 14}.value: 'two' is not of type number" in complaint.text  # the branch that was meant


def test_a_schema_that_its_caller_changes_is_read_anew():
    """Checks are kept for equal schemas; what was kept does not change with the caller's own."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = [Tool("f", "", schema)]
    assert isinstance(Judge(Toolbox(tools)).judge(RawCall("f", {})), ToolCall)
    schema["required"] = ["city"]
    assert isinstance(Judge(Toolbox(tools)).judge(RawCall("f", {})), Complaint)
    del schema["required"]
    assert isinstance(Judge(Toolbox(tools)).judge(RawCall("f", {})), ToolCall)


def test_a_type_in_the_place_of_the_only_missing_name_is_that_name():
    """Small models copy the type out of a signature; where two names are missing, nothing is plain."""
    assert judged("get_weather", {"string": "Oslo"}).arguments == {"city": "Oslo"}
    assert isinstance(judged("get_weather", {"integer": 3}), Complaint)
