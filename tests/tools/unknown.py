"""Services of which nothing is known, a model behind them, and how they were asked."""

import json

from freeproviders.testing.services.refusals import REFUSED_TOOLS
from freeproviders.types import ToolCall
from tests.tools.asking import CALL

OSLO = ("get_weather", {"city": "Oslo"})
NATIVE = [ToolCall("a", *OSLO)]
SERVICES = {
    "native": {},
    "native, whole deltas": {"tool_deltas": "whole", "tool_index": False},
    "ignores tools": {"native_tools": "ignored"},
    "calls as text": {"native_tools": "text"},
    **{f"refuses as {name}": {"native_tools": False, "refuses_like": name} for name in REFUSED_TOOLS},
}
"""Options of the replica, by what the service does with tools."""


def model(native_tools=True):
    """A model that calls `get_weather` where it knows of it and is asked for the weather.

    It prefers to be native where the service lets it.
    """

    def answer(messages, recorded):
        last, body = messages[-1]["content"], recorded.json
        words = " ".join(str(message["content"]) for message in messages if message["role"] == "system")
        if messages[-1]["role"] == "tool" or "<tool_response" in last:
            return "It rains."
        if "JSON schema of the answer" in words:
            return '{"city": "Oslo"}'
        if "eather" not in last:
            return "Hello."
        if body.get("tools") and native_tools in {True, "text"}:
            return NATIVE
        return CALL if "<tools>" in words else "I cannot know."

    return answer


def sent(r):
    """How each request was put."""
    return [
        ("tools" in one.json, "<tools>" in json.dumps(one.json["messages"]), "response_format" in one.json)
        for one in r.requests
    ]


IN_WORDS, BOTH, NATIVELY = (False, True, False), (True, True, False), (True, False, False)
