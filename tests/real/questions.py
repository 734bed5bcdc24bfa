"""A small examination in tool calling: seven tools and twenty-four questions.

Each question has what a right answer must hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


def tool(name: str, description: str, required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": list(properties) if required is None else required,
            },
        },
    }


TEXT, INTEGER, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}

WEATHER = tool(
    "get_weather",
    "Get the current weather in a city.",
    ["city"],
    city={**TEXT, "description": "Name of the city"},
    unit={"type": "string", "enum": ["celsius", "fahrenheit"]},
)
ADD = tool("add", "Add two whole numbers.", a=INTEGER, b=INTEGER)
MULTIPLY = tool("multiply", "Multiply two whole numbers.", a=INTEGER, b=INTEGER)
TIMER = tool("set_timer", "Start a kitchen timer.", minutes={"type": "integer", "minimum": 1})
MAIL = tool(
    "send_email", "Send an email.", to={**TEXT, "description": "Email address"}, subject=TEXT, body=TEXT
)
LIGHT = tool(
    "set_light", "Switch the light of a room.", room=TEXT, state={"type": "string", "enum": ["on", "off"]}
)
EVENT = tool(
    "create_event",
    "Put an event into the calendar.",
    title=TEXT,
    place={"type": "object", "properties": {"city": TEXT, "street": TEXT}, "required": ["city"]},
    guests={"type": "array", "items": TEXT},
)
ALL = [WEATHER, ADD, MULTIPLY, TIMER, MAIL, LIGHT, EVENT]

Calls = list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Question:
    """What is asked with which tools, and whether calls and text are a right answer."""

    name: str
    ask: str | list[dict[str, Any]]
    tools: list[dict[str, Any]]
    right: Callable[[Calls, str], bool]
    options: dict[str, Any] = field(default_factory=dict)


def one(name: str, **wanted: Any) -> Callable[[Calls, str], bool]:
    """Exactly one call, of this tool, whose arguments hold what is wanted.

    Texts are compared without case, by being contained.
    """
    return lambda calls, text: len(calls) == 1 and fits(calls[0], name, wanted)


def fits(call: tuple[str, dict[str, Any]], name: str, wanted: dict[str, Any]) -> bool:
    def same(value: Any, expected: Any) -> bool:
        if isinstance(expected, str):
            return isinstance(value, str) and expected.casefold() in value.casefold()
        if isinstance(expected, dict):
            return isinstance(value, dict) and all(
                same(value.get(key), inner) for key, inner in expected.items()
            )
        if isinstance(expected, list):
            return isinstance(value, list) and len(value) == len(expected) and all(map(same, value, expected))
        return value == expected

    return call[0] == name and all(same(call[1].get(key), value) for key, value in wanted.items())


def both(*wanted: tuple[str, dict[str, Any]]) -> Callable[[Calls, str], bool]:
    """One call for each of these, in any order, and no other."""
    return lambda calls, text: (
        len(calls) == len(wanted) and all(any(fits(call, *each) for call in calls) for each in wanted)
    )


def spoken(*words: str) -> Callable[[Calls, str], bool]:
    """No call, and a text that holds one of the words (any text without words)."""
    return lambda calls, text: (
        not calls
        and bool(text.strip())
        and (not words or any(word.casefold() in text.casefold() for word in words))
    )


def after(question: str, name: str, arguments: dict[str, Any], result: str) -> list[dict[str, Any]]:
    """A conversation in which a tool has been called and has answered."""
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": result},
    ]


QUESTIONS = [
    Question(
        "single: weather",
        "What is the weather in Paris right now?",
        [WEATHER],
        one("get_weather", city="Paris"),
    ),
    Question("single: add", "Use the tool to add 17 and 25.", [ADD], one("add", a=17, b=25)),
    Question("single: timer", "Start a timer for 12 minutes.", [TIMER], one("set_timer", minutes=12)),
    Question(
        "single: mail",
        "Send an email to ann@example.com with the subject Lunch and the body See you at noon.",
        [MAIL],
        one("send_email", to="ann@example.com", subject="lunch", body="noon"),
    ),
    Question("choice: weather", "How is the weather in Tokyo?", ALL, one("get_weather", city="Tokyo")),
    Question("choice: timer", "Set a timer for 5 minutes, please.", ALL, one("set_timer", minutes=5)),
    Question("choice: multiply", "Multiply 6 by 7.", ALL, one("multiply", a=6, b=7)),
    Question(
        "choice: mail",
        "Email bob@example.com: subject Report, body The report is ready.",
        ALL,
        one("send_email", to="bob@example.com", subject="report"),
    ),
    Question(
        "choice: light",
        "Please switch off the light in the kitchen.",
        ALL,
        one("set_light", room="kitchen", state="off"),
    ),
    Question(
        "enum: on",
        "Turn on the light in the bedroom.",
        [LIGHT, TIMER],
        one("set_light", room="bedroom", state="on"),
    ),
    Question(
        "enum: fahrenheit",
        "What is the weather in Boston, in fahrenheit?",
        [WEATHER],
        one("get_weather", city="Boston", unit="fahrenheit"),
    ),
    Question(
        "nested: place",
        "Create an event titled Dinner in the city Rome on Via Appia with the guests Ann and Bob.",
        [EVENT],
        one("create_event", title="dinner", place={"city": "Rome"}, guests=["Ann", "Bob"]),
    ),
    Question(
        "nested: one guest",
        "Create an event titled Review in the city Oslo with the guest Eve.",
        [EVENT],
        one("create_event", title="review", place={"city": "Oslo"}, guests=["Eve"]),
    ),
    Question(
        "two: weather",
        "What is the weather in Berlin and what is the weather in Madrid?",
        [WEATHER],
        both(("get_weather", {"city": "Berlin"}), ("get_weather", {"city": "Madrid"})),
    ),
    Question(
        "two: different",
        "Set a timer for 3 minutes and turn on the light in the hall.",
        [TIMER, LIGHT],
        both(("set_timer", {"minutes": 3}), ("set_light", {"room": "hall", "state": "on"})),
    ),
    Question("none: hello", "Hello, how are you?", [WEATHER, ADD], spoken()),
    Question("none: thanks", "Thank you, that was all. Goodbye!", [WEATHER, TIMER], spoken()),
    Question("none: fact", "What is the capital of France?", [ADD, TIMER], spoken("Paris")),
    Question(
        "required: weather",
        "Is it cold in Moscow?",
        [WEATHER, TIMER],
        one("get_weather", city="Moscow"),
        {"tool_choice": "required"},
    ),
    Question("required: add", "3 and 4, please.", [ADD], one("add", a=3, b=4), {"tool_choice": "required"}),
    Question(
        "named: multiply",
        "Take the numbers 8 and 9.",
        ALL,
        one("multiply", a=8, b=9),
        {"tool_choice": "multiply"},
    ),
    Question(
        "named: timer",
        "The eggs need 7 minutes.",
        ALL,
        one("set_timer", minutes=7),
        {"tool_choice": "set_timer"},
    ),
    Question(
        "result: weather",
        after("What is the weather in Paris?", "get_weather", {"city": "Paris"}, "18 degrees and sunny"),
        [WEATHER],
        spoken("18", "sunny"),
    ),
    Question("result: add", after("Add 17 and 25.", "add", {"a": 17, "b": 25}, "42"), [ADD], spoken("42")),
]
