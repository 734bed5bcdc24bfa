"""The tool-call parser: time on a megabyte of each of the worst texts, and on ordinary text.

Each text comes in two sizes: twice the text must take twice the time.
"""

import time

from freeproviders.tools.read.parser import Parser
from freeproviders.types import Text, Tool

TOOLS = [
    Tool("get_weather", "", {"type": "object", "properties": {"city": {"type": "string"}}}),
    Tool("search"),
]
MEGABYTE = 1_000_000
TEXTS = {
    "ordinary text": "The quick brown fox, as they say, jumps over it. ",
    "code": "if (x < y) { return a[i]; }  // `done`\n",
    "JSON": '{"id": 1, "list": [1, 2, {"name": "Ann"}], "text": "a < b"}\n',
    "<": "<",
    "{": "{",
    "[": "[",
    "`": "`",
    '{"': '{"',
    "<tool_call>": "<tool_call>",
    "<tool_call>{": "<tool_call>{",
    '{"arguments": ': '{"arguments": ',
    "[get_weather(": "[get_weather(",
    "```json\\n{": "```json\n{",
    "<function=a><parameter=b>": "<function=a><parameter=b>",
    "<think>": "<think>",
    "white space": " ",
}


def seconds(text: str, piece: int) -> float:
    parser = Parser(TOOLS)
    started = time.process_time()
    for at in range(0, len(text), piece):
        parser.feed(text[at : at + piece])
    parser.close()
    return time.process_time() - started


def per_feed(feeds: int = 200_000) -> float:
    """Nanoseconds for a short piece of ordinary text, above the cost of a loop that makes the same part."""
    parser = Parser(TOOLS)
    parser.feed("So")
    feed, pieces = parser.feed, [" the", " quick", " fox", "."] * (feeds // 4)

    def loop(work) -> float:
        started = time.process_time()
        for piece in pieces:
            work(piece)
        return (time.process_time() - started) / feeds * 1e9

    return min(loop(feed) for _ in range(5)) - min(loop(lambda piece: [Text(piece)]) for _ in range(5))


def main() -> None:
    print(
        f"{'1 MB of':28} {'whole':>8} {'2 MB':>8}   "
        f"{'in 4s':>8} {'2 MB':>8}   (CPU s; pieces of 4 characters)"
    )
    for name, unit in TEXTS.items():
        texts = [(unit * (size // len(unit) + 1))[:size] for size in (MEGABYTE, 2 * MEGABYTE)]
        row = [seconds(text, piece) for piece in (len(texts[1]), 4) for text in texts]
        print(f"{name:28} {row[0]:8.3f} {row[1]:8.3f}   {row[2]:8.3f} {row[3]:8.3f}")
    print(f"\nA short piece of ordinary text: {per_feed():.0f} ns more than making its part")


if __name__ == "__main__":
    main()
