"""Tool calling through LlamaIndex's interface: on a service that has none, and natively."""

import json
import pickle

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, TextBlock, ToolCallBlock
from llama_index.core.program.function_program import FunctionCallingProgram, get_function_tool
from llama_index.core.tools import FunctionTool, ToolMetadata
from pydantic import BaseModel

from freeproviders.errors import ToolCallError, UsageError
from freeproviders.testing import replica
from freeproviders.types import Text, ToolCall
from llama_index_freeproviders import FlowGpt, OpenAICompatible
from llama_index_freeproviders.tools import UNREADABLE, chat_arguments
from tests.brain import Script, brain, call
from tests.llamaindex.services import SERVICES, gathered, listen


def get_weather(city: str, days: int = 1) -> str:
    """The weather of a city."""
    return f"Sunny in {city} for {days} day(s)."


def get_time(city: str) -> str:
    """The time in a city."""
    return f"Noon in {city}."


WEATHER, TIME = FunctionTool.from_defaults(get_weather), FunctionTool.from_defaults(get_time)
ASK = "What is the weather in 'Paris'?"
BOTH = "What is the weather and the time in 'Paris' and 'Rome'?"


@pytest.fixture
def r():
    with replica("flow-gpt", answer=brain) as running:
        yield running


@pytest.fixture
def llm(r):
    return FlowGpt(base_url=r.base_url, retry=0)


def names(response):
    return [block.tool_name for block in response.message.blocks if isinstance(block, ToolCallBlock)]


# --- the four *_with_tools, on every service ------------------------------------------------------


@pytest.mark.parametrize("service", SERVICES, ids=str)
async def test_a_tool_is_called_in_all_four_ways(service):
    async with replica(service.provider, answer=brain) as r:
        llm = service.llm(r)
        whole = [llm.chat_with_tools([WEATHER, TIME], ASK), await llm.achat_with_tools([WEATHER, TIME], ASK)]
        streams = [
            list(llm.stream_chat_with_tools([WEATHER, TIME], ASK)),
            await gathered(llm.astream_chat_with_tools([WEATHER, TIME], ASK)),
        ]
        for response in (*whole, *(chunks[-1] for chunks in streams)):
            (selection,) = llm.get_tool_calls_from_response(response)
            assert (selection.tool_name, selection.tool_kwargs) == ("get_weather", {"city": "Paris"})
            assert selection.tool_id
            assert response.message.content is None
            assert response.raw["usage"]["total_tokens"] > 0
            assert response.raw["finish_reason"] == "tool_calls"
            json.dumps(response.message.additional_kwargs)
        for chunks in streams:
            assert not any("tool_call" in (chunk.delta or "") for chunk in chunks)


def test_small_talk_with_tools_is_a_plain_answer(llm):
    chunks = list(llm.stream_chat_with_tools([WEATHER], "Hello!"))
    assert chunks[-1].message.content == "Hello there, friend! How are you?"
    assert len(chunks) > 3  # it streams, though tools are bound
    assert llm.get_tool_calls_from_response(chunks[-1], error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="Expected at least one tool call"):
        llm.get_tool_calls_from_response(chunks[-1])


def test_parallel_calls_only_where_they_are_allowed(llm, r):
    assert names(llm.chat_with_tools([WEATHER, TIME], BOTH, allow_parallel_tool_calls=True)) == [
        "get_weather",
        "get_time",
    ]
    r.answer = call("get_weather", city="Paris") + "\n" + call("get_time", city="Rome")
    assert names(llm.chat_with_tools([WEATHER, TIME], BOTH)) == ["get_weather"]
    assert names(
        list(llm.stream_chat_with_tools([WEATHER, TIME], BOTH, allow_parallel_tool_calls=False))[-1]
    ) == ["get_weather"]


async def test_after_the_one_allowed_call_the_request_ends():
    async with replica(
        "flow-gpt", answer=[call("get_weather", city="Paris"), *["\nmore"] * 100], faults={"pace": 0.05}
    ) as r:
        chunks = await gathered(
            FlowGpt(base_url=r.base_url).astream_chat_with_tools(
                [WEATHER, TIME], BOTH, allow_parallel_tool_calls=False
            )
        )
        assert names(chunks[-1]) == ["get_weather"]
        assert await r.await_disconnect(timeout=60) == 1


@pytest.mark.parametrize(
    "choice",
    [
        {"tool_required": True},
        {"tool_choice": "any"},
        {"tool_choice": "required"},
        {"tool_required": True, "tool_choice": "auto"},
    ],
)
def test_a_required_call_comes(llm, choice):
    assert names(llm.chat_with_tools([WEATHER, TIME], "Hello!", **choice))


@pytest.mark.parametrize(
    "choice", ["get_time", {"type": "function", "function": {"name": "get_time"}}, {"name": "get_time"}]
)
def test_a_named_tool_is_called(llm, choice):
    assert names(llm.chat_with_tools([WEATHER, TIME], ASK, tool_choice=choice)) == ["get_time"]


def test_choice_none_is_chat(llm, r):
    response = llm.chat_with_tools([WEATHER], ASK, tool_choice="none")
    assert not names(response)
    assert "<tools>" not in r.requests[-1].json["system"] + r.requests[-1].json["question"]


def test_an_unknown_choice_is_found_before_anything_is_sent(llm, r):
    with pytest.raises(UsageError, match="get_tine"):
        llm.chat_with_tools([WEATHER, TIME], ASK, tool_choice="get_tine")
    assert not r.requests


def test_no_tools_is_chat(llm):
    assert llm.chat_with_tools([], "Hello!").message.content.startswith("Hello")


def test_a_call_is_required_only_of_those_who_have_tools_and_may_call(llm, r):
    """As with LlamaIndex's own models: the flag needs tools, and a choice of none wins."""
    response = llm.chat_with_tools([], "Hello!", tool_required=True)
    assert response.message.content.startswith("Hello")
    response = llm.chat_with_tools([WEATHER], ASK, tool_required=True, tool_choice="none")
    assert not names(response)
    assert len(r.requests) == 2


def test_a_choice_may_leave_only_some_tools_on_offer(llm, r):
    """OpenAI's "allowed_tools", by the tools' own names."""
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get_time"}]}
    llm.chat_with_tools([WEATHER, TIME], ASK, tool_choice=choice)
    asked = r.requests[-1].json["system"] + r.requests[-1].json["question"]
    assert "get_time" in asked
    assert "get_weather" not in asked


def test_off_takes_no_tools(r):
    with pytest.raises(UsageError, match="ReAct"):
        FlowGpt(base_url=r.base_url, function_calling="off").chat_with_tools([WEATHER], ASK)


def test_bad_arguments_are_repaired_within_one_call(r, llm):
    r.answer = Script(
        call("get_weather", city="Paris", days="soon"), call("get_weather", city="Paris", days=2)
    )
    recorder = listen()
    response = llm.chat_with_tools([WEATHER], ASK)
    assert response.message.blocks[0].tool_kwargs == {"city": "Paris", "days": 2}
    assert len(r.requests) == 2
    assert recorder.names == ["LLMChatStartEvent", "LLMChatEndEvent"]
    assert response.raw["attempts"] == 2


def test_a_required_call_that_never_comes_is_a_typed_error(r, llm):
    r.answer = "I would rather not."
    with pytest.raises(ToolCallError) as caught:
        llm.chat_with_tools([WEATHER], ASK, tool_required=True)
    assert caught.value.said == "I would rather not."
    assert len(r.requests) == 3


@pytest.mark.parametrize(
    "said",
    [
        '```json\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n```',
        '{"name": "get_weather", "parameters": {"city": "Paris"}}',
        (
            '<think>I call {"name": "get_time"}</think>'
            '<tool_call>{"name": "Get-Weather", "arguments": {\'city\': \'Paris\',}}</tool_call>'
        ),
        "[get_weather(city='Paris')]",
    ],
)
def test_dialects(r, llm, said):
    r.answer = said
    assert llm.get_tool_calls_from_response(llm.chat_with_tools([WEATHER, TIME], ASK))[0].tool_kwargs == {
        "city": "Paris"
    }


# --- names ----------------------------------------------------------------------------------------


class Pair(BaseModel):
    """Two."""

    a: int
    b: str


def test_names_that_services_do_not_take_are_mapped_back():
    odd = FunctionTool.from_defaults(get_weather, name="Weather: today [beta]")
    with replica(
        "openai-compatible", answer=[ToolCall("c1", "Weather__today__beta_", {"city": "Paris"})]
    ) as r:
        llm = OpenAICompatible("m", base_url=r.base_url, function_calling="native")
        response = llm.chat_with_tools([odd, TIME], ASK, tool_choice="Weather: today [beta]")
        sent = r.requests[-1].json
        assert sent["tools"][0]["function"]["name"] == "Weather__today__beta_"
        assert sent["tool_choice"] == {"type": "function", "function": {"name": "Weather__today__beta_"}}
        assert names(response) == ["Weather: today [beta]"]
        history = [
            ChatMessage(content=ASK),
            response.message,
            ChatMessage(role="tool", content="Sunny", additional_kwargs={"tool_call_id": "c1"}),
        ]
        r.answer = "It is sunny."
        assert llm.chat_with_tools([odd], chat_history=history).message.content == "It is sunny."
        sent = r.requests[-1].json["messages"]
        assert sent[1]["tool_calls"][0]["function"]["name"] == "Weather__today__beta_"
        assert sent[2]["tool_call_id"] == "c1"


def test_names_that_become_the_same_stay_apart():
    one, two = (
        FunctionTool.from_defaults(get_weather, name="a b"),
        FunctionTool.from_defaults(get_time, name="a.b"),
    )
    with replica("openai-compatible", answer=[ToolCall("c1", "a_b_2", {"city": "Rome"})]) as r:
        llm = OpenAICompatible("m", base_url=r.base_url, function_calling="native")
        response = llm.chat_with_tools([one, two], ASK)
        assert names(response) == ["a.b"]
        llm.chat_with_tools(
            [one, two],
            chat_history=[
                ChatMessage(content=ASK),
                response.message,
                ChatMessage(role="tool", content="Noon."),
            ],
        )
        sent = r.requests[-1].json["messages"]
        assert sent[1]["tool_calls"][0]["function"]["name"] == "a_b_2"  # as the model knows it


def test_a_long_description_and_no_schema():
    tool = FunctionTool.from_defaults(get_weather, description="word " * 500)
    bare = FunctionTool(
        fn=lambda **given: given, metadata=ToolMetadata(description="", name="bare", fn_schema=None)
    )
    with replica("openai-compatible", answer="ok") as r:
        OpenAICompatible("m", base_url=r.base_url, function_calling="native").chat_with_tools(
            [tool, bare], ASK
        )
        first, second = (each["function"] for each in r.requests[-1].json["tools"])
        assert len(first["description"]) > 2000
        assert second["parameters"]["required"] == ["input"]


# --- native ---------------------------------------------------------------------------------------


class Telling(ToolMetadata):
    """Metadata that write themselves anew each time."""

    def to_openai_tool(self, skip_length_check=False):
        written = super().to_openai_tool(skip_length_check)
        written["function"]["description"] += "!"
        return written


def test_a_tool_is_written_as_it_is_now():
    """The schema of a class is kept, the words beside it may change; a class of one's own is asked."""
    tool = FunctionTool.from_defaults(get_weather)
    tool._metadata = ToolMetadata("The weather.", "weather", tool.metadata.fn_schema)
    for name, told in (("weather", "The weather."), ("weather", "Rain."), ("rain", "Rain.")):
        tool.metadata.name, tool.metadata.description = name, told
        (document,) = chat_arguments([tool])["tools"]
        assert document == tool.metadata.to_openai_tool()
        document["function"]["name"] = "somebody else's"
    tool._metadata = Telling("Rain.", "rain", tool.metadata.fn_schema)
    (document,) = chat_arguments([tool])["tools"]
    assert document["function"]["description"] == "Rain.!"


async def test_native_tools_use_the_protocol():
    async with replica(
        "openai-compatible", answer=[Text("Let me see."), ToolCall("c1", "get_weather", {"city": "Paris"})]
    ) as r:
        llm = OpenAICompatible("m", base_url=r.base_url, function_calling="native")
        chunks = await gathered(llm.astream_chat_with_tools([WEATHER], ASK, allow_parallel_tool_calls=True))
        sent = r.requests[-1].json
        assert (sent["tools"][0]["function"]["name"], sent["parallel_tool_calls"]) == ("get_weather", True)
        assert "tool_choice" not in sent
        assert chunks[-1].message.content == "Let me see."
        assert chunks[-1].message.blocks[1] == ToolCallBlock(
            tool_call_id="c1", tool_name="get_weather", tool_kwargs={"city": "Paris"}
        )


def test_emulation_uses_the_prompt():
    with replica("openai-compatible", answer=brain) as r:
        llm = OpenAICompatible("m", base_url=r.base_url, function_calling="emulate")
        assert names(llm.chat_with_tools([WEATHER], ASK)) == ["get_weather"]
        assert "tools" not in r.requests[-1].json


# --- reading calls --------------------------------------------------------------------------------


def test_reading_calls_never_fails_on_what_others_wrote(llm):
    blocks = [
        TextBlock(text="x"),
        ToolCallBlock(tool_name="a", tool_kwargs='{"x": 1}'),
        ToolCallBlock(tool_call_id="i", tool_name="b", tool_kwargs="{broken"),
    ]
    one, two = llm.get_tool_calls_from_response(
        ChatResponse(message=ChatMessage(role="assistant", blocks=blocks))
    )
    assert (one.tool_name, one.tool_kwargs) == ("a", {"x": 1})
    # A name that no tool has: an agent answers it, and runs nothing.
    assert (two.tool_name, two.tool_id, two.tool_kwargs) == (f"b{UNREADABLE}", "i", {})
    assert one.tool_id


def test_errors_of_tools_pickle(r, llm):
    r.answer = "no"
    with pytest.raises(ToolCallError) as caught:
        llm.chat_with_tools([WEATHER], ASK, tool_required=True)
    assert pickle.loads(pickle.dumps(caught.value)).said == "no"


# --- calling them ---------------------------------------------------------------------------------


async def test_predict_and_call(llm):
    assert llm.predict_and_call([WEATHER, TIME], ASK).response == "Sunny in Paris for 1 day(s)."
    assert (await llm.apredict_and_call([WEATHER, TIME], ASK)).sources[
        0
    ].raw_output == "Sunny in Paris for 1 day(s)."
    both = llm.predict_and_call([WEATHER, TIME], BOTH, allow_parallel_tool_calls=True)
    assert [source.tool_name for source in both.sources] == ["get_weather", "get_time"]
    assert llm.predict_and_call([WEATHER], "Hello!", error_on_no_tool_call=False).response.startswith("Hello")


async def test_llamaindexs_own_function_program(llm):
    program = FunctionCallingProgram.from_defaults(
        Pair, prompt_template_str="Make a pair of {n} and 'x'.", llm=llm
    )
    assert program(n=5) == Pair(a=5, b="x")
    assert await program.acall(n=6) == Pair(a=6, b="x")
    assert list(program.stream_call(n=7))[-1] == Pair(a=7, b="x")
    assert [each async for each in await program.astream_call(n=8)][-1] == Pair(a=8, b="x")
    assert get_function_tool(Pair).metadata.get_name() == "Pair"


def test_results_reach_the_model_with_their_names(llm, r):
    history = [
        ChatMessage(content=BOTH),
        ChatMessage(
            role="assistant",
            blocks=[
                ToolCallBlock(tool_call_id="1", tool_name="get_weather", tool_kwargs={"city": "Paris"}),
                ToolCallBlock(tool_call_id="2", tool_name="get_time", tool_kwargs={"city": "Rome"}),
            ],
        ),
        ChatMessage(role="tool", content="Noon in Rome.", additional_kwargs={"tool_call_id": "2"}),
        ChatMessage(role="tool", content="Sunny.", additional_kwargs={"tool_call_id": "1"}),
    ]
    for response in (
        llm.chat_with_tools([WEATHER, TIME], chat_history=history),
        llm.chat(history),
    ):  # the second without tools
        assert "Noon in Rome." in response.message.content
        assert "Sunny." in response.message.content
        sent = json.dumps(r.requests[-1].json)
        assert "get_weather" in sent
        assert "get_time" in sent


@pytest.mark.parametrize("tools", [[5], [None], [get_weather], ["get_weather"], WEATHER, "get_weather"])
def test_what_is_no_tool_is_told_with_how_to_make_one(llm, r, tools):
    for ask in (llm.chat_with_tools, llm.predict_and_call, llm.stream_chat_with_tools):
        with pytest.raises(UsageError, match=r"^tools (holds|must be a list of tools, not) .*from_defaults"):
            ask(tools, ASK)
    assert not r.requests
