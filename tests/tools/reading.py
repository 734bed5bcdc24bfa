"""What the tests of the parser share: some tools, and an answer read at every way to cut it."""

from freeproviders.tools.read.cursor import RawCall
from freeproviders.tools.read.parser import Parser
from freeproviders.types import Reasoning, Text, Tool

WEATHER = Tool(
    "get_weather",
    "The weather of a city.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "unit": {"enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city"],
    },
)
TIME = Tool("get_time", "The time now.")
SEARCH = Tool(
    "search",
    "Search the web.",
    {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
)
TOOLS = (WEATHER, TIME, SEARCH)


def read(pieces, tools=TOOLS, *, truncated=False, thinking=False, doubts=False):
    """Everything that the parser makes of some pieces; neighbouring texts are joined."""
    parser = Parser(tools, thinking=thinking, doubts=doubts)
    out = [part for piece in pieces for part in parser.feed(piece)]
    return joined([*out, *parser.close(truncated=truncated)])


def joined(parts):
    out = []
    for part in parts:
        if out and isinstance(part, Text | Reasoning) and type(part) is type(out[-1]):
            out[-1] = type(part)(out[-1].text + part.text)
        else:
            out.append(part)
    return out


def short(parts):
    """Parts as plain values.

    Text is itself, reasoning a pair, a call its name and arguments, or its fault.
    """
    return [
        part.text
        if isinstance(part, Text)
        else ("thought", part.text)
        if isinstance(part, Reasoning)
        else ("fault", part.fault)
        if part.fault
        else (part.name, part.arguments)
        for part in parts
    ]


def cuts(text):
    """All ways to cut a text in two, and one that cuts it into characters."""
    yield from ([text[:at], text[at:]] for at in range(1, len(text)))
    yield list(text)


def calls(parts):
    return [part for part in parts if isinstance(part, RawCall)]
