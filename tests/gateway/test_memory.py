"""What services add to their calls is sent back for clients that drop it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from freeproviders import OpenAICompatible
from freeproviders.gateway import serve
from freeproviders.gateway.memory import CallMemory
from freeproviders.testing import RecordedRequest, replica
from freeproviders.types import CallExtra, ChatRequest, Message, ToolCall
from tests.gateway.conftest import client

HI = (Message("user", "Hi"),)
SIGNED = CallExtra("gemini/m", {"extra_content": {"google": {"thought_signature": "S"}}})


def turn(*ids: str, **fields: Any) -> Message:
    return Message("assistant", tool_calls=tuple(ToolCall(one, "f", {}) for one in ids), **fields)


def test_calls_get_back_what_is_theirs() -> None:
    memory = CallMemory()
    memory.keep(HI, [ToolCall("a", "f", {}, SIGNED), ToolCall("b", "f", {})], "I think.")
    request = ChatRequest(messages=(*HI, turn("a", "b"), turn("c")))
    _, first, second = memory.restored(request).messages
    assert [call.extra for call in first.tool_calls] == [SIGNED, None]
    assert first.reasoning == "I think."
    assert second == turn("c")
    own = CallExtra("gemini/m", {"own": 1})
    said = Message("assistant", tool_calls=(ToolCall("a", "f", {}, own),), reasoning="Own.")
    assert memory.restored(ChatRequest(messages=(*HI, said))).messages == (*HI, said)


def test_an_id_that_many_conversations_have_shows_nothing_of_another() -> None:
    """Services number their calls: "call_0" is the first call of everybody."""
    memory = CallMemory()
    mine = ToolCall("call_0", "f", {"a": 1, "b": [2]})
    memory.keep(HI, [replace(mine, extra=SIGNED)], "A secret.")

    def thought(asked: tuple[Message, ...], **changed: Any) -> str:
        said = Message("assistant", tool_calls=(replace(mine, **changed),))
        return memory.restored(ChatRequest(messages=(*asked, said))).messages[-1].reasoning

    system = Message("system", "Be brief.")
    assert thought(HI) == thought((system, *HI)) == thought(HI, arguments={"b": [2], "a": 1}) == "A secret."
    assert thought((Message("user", "Hello"),)) == ""
    assert thought((*HI, Message("assistant", "Yes?"), Message("user", "More"))) == ""
    assert thought(HI, arguments={"a": 2}) == thought(HI, name="g") == ""


def test_a_request_without_calls_is_left_alone() -> None:
    memory = CallMemory()
    memory.keep(HI, [ToolCall("a", "f", {}, SIGNED)], "")
    request = ChatRequest(messages=HI)
    assert memory.restored(request) is request
    assert CallMemory().restored(ChatRequest(messages=(turn("a"),))).messages == (turn("a"),)


def test_the_oldest_is_forgotten() -> None:
    memory = CallMemory(most=130)
    for name in "abcd":
        memory.keep((), [ToolCall(name, "f", {})], "x" * 40)
    memory.keep((), [ToolCall("d", "f", {})], "y" * 50)
    kept = memory.restored(ChatRequest(messages=tuple(turn(name) for name in "abcd"))).messages
    assert [message.reasoning[:1] for message in kept] == ["", "", "x", "y"]
    memory.keep((), [ToolCall("e", "f", {})], "x" * 1000)  # more than there is room for
    assert memory.restored(ChatRequest(messages=(turn("c"), turn("e")))).messages == (turn("c"), turn("e"))


@pytest.mark.parametrize("stream", [False, True])
def test_gemini_gets_its_signatures_back(stream: bool) -> None:
    """A client of OpenAI drops the field in which they come."""

    def answer(messages: Any) -> Any:
        return "Done" if messages[-1]["role"] == "tool" else [ToolCall("c1", "f", {})]

    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said: list[Any] = [{"role": "user", "content": "Hi"}]
    with replica(service="gemini", answer=answer, limits=False, api_key="k") as server:
        gemini = OpenAICompatible(
            service="gemini", base_url=server.base_url, api_key="k", native_tools=True, retry=0
        )
        with serve(gemini, embedder=None) as gateway:
            asking = client(gateway)
            first = asking.chat.completions.create(model="auto", messages=said, tools=[tool], stream=stream)
            assert [*first] if stream else first
            said += [
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": "x"},
            ]
            last = asking.chat.completions.create(model="auto", messages=said, tools=[tool])
            assert last.choices[0].message.content == "Done"
        own = _signature(server.requests[-1])
    with (
        replica(service="gemini", answer=answer, limits=False, api_key="k") as server,
        serve(gemini.configured(base_url=server.base_url, api_key="k"), embedder=None) as forgetful,
    ):
        client(forgetful).chat.completions.create(model="auto", messages=said, tools=[tool])
        made_up = _signature(server.requests[-1])
    assert own
    assert own != made_up  # the row's word for a signature that is lost


def _signature(request: RecordedRequest) -> Any:
    return request.json["messages"][1]["tool_calls"][0]["extra_content"]["google"]["thought_signature"]
