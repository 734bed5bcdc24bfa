"""Thinking that a model's template has opened, in LangChain: only what closes it is in the answer."""

import pytest
from langchain_core.tools import tool

from tests.langchain.services import FLOW, OPENAI

SAID = "Okay, hm.\n</think>\n\nIt is 4."


@tool
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"rain in {city}"


def shown(message):
    return message.content, message.additional_kwargs.get("reasoning_content")


@pytest.mark.parametrize("service", [FLOW, OPENAI], ids=str)
@pytest.mark.parametrize("tools", [[], [get_weather]], ids=["plain", "tools"])
async def test_it_is_no_content(service, tools):
    """Of whole answers and batches at once, and of streams from then on."""
    with service.replica([SAID[at : at + 3] for at in range(0, len(SAID), 3)]) as r:
        model = service.model(r)
        chat = model.bind_tools(tools) if tools else model
        whole = [chat.invoke("2+2?"), await chat.ainvoke("2+2?"), *chat.batch(["2+2?", "and?"])]
        assert [shown(message) for message in whole] == [("It is 4.", "Okay, hm.\n")] * 4
        chunks = [chunk async for chunk in chat.astream("2+2?")]
        total = chunks[0]
        for chunk in chunks[1:]:
            total += chunk
        assert shown(total) == ("It is 4.", "Okay, hm.\n")
        dropped = service.model(r, reasoning="drop").invoke("2+2?")
        assert shown(dropped) == ("It is 4.", None)
