"""Any LlamaIndex LLM as a backend: asked by its own methods, its answers and errors read as ours."""

import asyncio
import json
import threading

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ThinkingBlock
from llama_index.core.llms import MockLLM
from llama_index.core.llms.mock import MockFunctionCallingLLM
from pydantic import BaseModel, PrivateAttr

from freeproviders import bridge, errors
from freeproviders.abilities import Abilities
from freeproviders.testing import replica
from freeproviders.types import (
    AudioBlock,
    FileBlock,
    Finish,
    ImageBlock,
    Message,
    Reasoning,
    Text,
    TextBlock,
    Tool,
    ToolCall,
    Usage,
    collect,
)
from llama_index_freeproviders import BackendLLM, OpenAICompatible, as_backend
from llama_index_freeproviders.members.written import WrittenTool, chat_messages
from llama_index_freeproviders.messages import to_core_messages
from tests.llamaindex.others import BlockingLLM, HttpLLM

ADD = {
    "name": "add",
    "description": "Add two numbers.",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
}
SUM = ToolCall("call_1", "add", {"a": 20, "b": 22})
OTHER_SUM = ToolCall("call_2", "add", {"a": 1, "b": 2})


async def parts_of(backend, messages="Hi", **settings):
    return [part async for part in backend.stream(messages, **settings)]


async def test_text_whole_and_in_pieces():
    """Text as it comes, the settings that the request has, and how the answer ended."""
    async with replica("openai-compatible", answer="Hello there, you.") as r:
        backend = as_backend(HttpLLM(api_base=r.base_url))
        whole = await backend.complete("Hi", temperature=0.5, max_tokens=9, seed=7)
        assert whole.text == "Hello there, you."
        assert (whole.finish.reason, whole.finish.model, whole.finish.provider) == ("stop", "m", "HttpLLM")
        assert not whole.usage.estimated  # the document told it
        sent = r.requests[-1].json
        assert (sent["temperature"], sent["max_tokens"], sent["seed"]) == (0.5, 9, 7)
        parts = await parts_of(backend)
        assert [part.text for part in parts if isinstance(part, Text)] == ["Hello", " there,", " you."]
        assert parts[-1].raw_reason == "stop"
        assert parts[-1].confirmed
        assert r.requests[-1].json["temperature"] == 0.1  # its own
        assert (await backend.complete("Hi", stop="there")).text == "Hello "
        assert backend.complete_sync("Hi").text == "Hello there, you."
        assert [type(part) for part in backend.stream_sync("Hi")][-1] is Finish


async def test_tools_are_the_llms_own_where_it_has_some():
    """Offered as agents offer them; calls come whole, of a stream as of a whole answer."""
    async with replica("openai-compatible", answer=[SUM, OTHER_SUM]) as r:
        backend = as_backend(HttpLLM(api_base=r.base_url))
        for ask in (backend.complete, lambda *a, **k: collected(backend, *a, **k)):
            answer = await ask("Add!", tools=[ADD], tool_choice="add")
            assert answer.tool_calls == (SUM, OTHER_SUM)
            assert answer.finish.reason == "tool_calls"
            sent = r.requests[-1].json
            assert sent["tools"] == [Tool.of(ADD).to_openai()]
            assert sent["tool_choice"]["function"]["name"] == "add"
        await backend.complete("Add!", tools=[ADD], tool_choice="required", parallel_tool_calls=False)
        assert r.requests[-1].json["tool_choice"] == "required"
        assert r.requests[-1].json["parallel_tool_calls"] is False


async def collected(backend, *args, **settings):
    return collect(await parts_of(backend, *args, **settings))


async def test_tools_go_through_the_prompt_where_it_has_none():
    call = '<tool_call>{"name": "add", "arguments": {"a": 20, "b": 22}}</tool_call>'
    async with replica("openai-compatible", answer=call) as r:
        for llm in (
            HttpLLM(api_base=r.base_url, is_function_calling_model=False),
            BlockingLLM(api_base=r.base_url),
        ):
            backend = as_backend(llm)
            assert not backend.abilities().tools
            answer = await backend.complete("Add!", tools=[ADD])
            assert [one.arguments for one in answer.tool_calls] == [{"a": 20, "b": 22}]
            assert "tools" not in r.requests[-1].json


async def test_bad_arguments_are_never_made_up():
    """LlamaIndex's packages run a tool with nothing where they cannot read what the model wrote."""
    says = [{"tool_calls": [{"index": 0, "id": "c", "function": {"name": "add", "arguments": "{'a': nope"}}]}]
    broken = [{"choices": [{"index": 0, "delta": delta}]} for delta in says]
    async with replica("openai-compatible", answer=broken) as r:
        with pytest.raises(errors.ToolCallError, match="no JSON object"):
            await collected(as_backend(HttpLLM(api_base=r.base_url)), "Add!", tools=[ADD], max_repairs=0)


async def test_a_conversation_with_calls_reaches_it():
    history = [
        Message("system", "Be brief."),
        Message("user", "What is 20 + 22?"),
        Message("assistant", "", tool_calls=(SUM,)),
        Message("tool", "42", tool_call_id="call_1", name="add"),
    ]
    async with replica("openai-compatible", answer="It is 42.") as r:
        answer = await as_backend(HttpLLM(api_base=r.base_url)).complete(history, tools=[ADD])
        assert answer.text == "It is 42."
        sent = r.requests[-1].json["messages"]
        assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool"]
        assert json.loads(sent[2]["tool_calls"][0]["function"]["arguments"]) == {"a": 20, "b": 22}
        assert sent[3]["tool_call_id"] == "call_1"


def test_messages_come_back_as_they_were():
    """What is written for an LLM of another package reads as the same conversation."""
    picture = "data:image/png;base64,iVBORw0KGgo="
    messages = (
        Message("system", "Be brief."),
        Message("user", (TextBlock("Look:"), ImageBlock(picture, "low"), ImageBlock("https://h/a.png"))),
        Message("user", (AudioBlock("UklGRg==", "wav"),), name="Ann"),
        Message("user", (FileBlock("data:application/pdf;base64,JVBERi0xLjQ=", "a.pdf"),)),
        Message("assistant", "I call.", tool_calls=(SUM, OTHER_SUM)),
        Message("tool", "42", tool_call_id="call_1", name="add"),
        Message("tool", "3", tool_call_id="call_2", name="add"),
        Message("assistant", ""),
    )
    assert to_core_messages(chat_messages(messages)) == messages
    with pytest.raises(errors.UnsupportedInputError, match="service's id"):
        chat_messages([Message("user", (FileBlock(file_id="file_1"),))])


def test_a_tool_is_only_offered():
    class Args(BaseModel):
        a: int

    parameters = {"type": "object", "properties": {"a": {"type": "integer"}}}
    tool = WrittenTool(Tool("f", "It adds.", parameters, source=Args))
    written = tool.metadata.to_openai_tool()
    assert written["function"] == {"name": "f", "description": "It adds.", "parameters": parameters}
    written["function"]["parameters"]["properties"]["a"]["type"] = "text"  # as some packages do
    assert tool.metadata.get_parameters_dict() == parameters
    assert tool.metadata.fn_schema is Args
    with pytest.raises(NotImplementedError):
        tool({})


FAULTS = [
    ({"status": 429, "retry_after": 7}, errors.RateLimitError),
    ({"status": 401}, errors.AuthenticationError),
    ({"status": 503}, errors.ServerError),
    ({"challenge": True}, errors.BlockedError),
    ({"drop": True}, errors.ProviderConnectionError),
    ({"empty": True}, errors.EmptyResponseError),
    ({"status": 400, "error": "maximum context length is 10 tokens"}, errors.ContextOverflowError),
]


@pytest.mark.parametrize(("fault", "cls"), FAULTS, ids=str)
@pytest.mark.parametrize("kind", [HttpLLM, BlockingLLM])
async def test_what_its_client_raises_is_an_error_of_ours(kind, fault, cls):
    async with replica("openai-compatible", answer="Hello", faults=fault) as r:
        backend = as_backend(kind(api_base=r.base_url))
        for ask in (backend.complete, lambda text: parts_of(backend, text)):
            with pytest.raises(cls) as caught:
                await ask("Hi")
            assert f"[{kind.__name__} {backend.model}]" in str(caught.value)
            if "retry_after" in fault:
                assert caught.value.retry_after == 7
        assert len(r.requests) == 2


async def test_an_answer_that_breaks_off():
    """What was said has come, and then the error of a cut transfer."""
    async with replica("openai-compatible", answer="One two three four five", faults={"cut": 700}) as r:
        said = []
        with pytest.raises(errors.TruncatedResponseError, match="cut off"):
            async for part in as_backend(HttpLLM(api_base=r.base_url)).stream("Hi"):
                said.append(part)
    assert said[0] == Text("One")


async def test_an_end_without_a_word_for_it_is_flagged():
    async with replica(
        "openai-compatible", answer="One two", faults={"no_finish": True, "no_done": True}
    ) as r:
        finish = (await parts_of(as_backend(HttpLLM(api_base=r.base_url))))[-1]
    assert (finish.reason, finish.confirmed) == ("unknown", False)


async def test_one_llm_on_many_loops():
    """Its client is kept and belongs to one loop: all its calls are on that, whoever asks from wherever."""
    with replica("openai-compatible", answer="Hello.") as r:
        llm = HttpLLM(api_base=r.base_url, keeps=4)
        backend = as_backend(llm)

        def elsewhere():
            return asyncio.run(backend.complete("Hi")).text

        async def closed():
            yield await llm.client.aclose()

        for _ in range(2):
            assert await asyncio.to_thread(elsewhere) == (await backend.complete("Hi")).text == "Hello."
            assert (await asyncio.to_thread(backend.complete_sync, "Hi")).text == "Hello."
        answers = await asyncio.gather(
            *[asyncio.to_thread(elsewhere) for _ in range(4)], *[backend.complete("Hi") for _ in range(4)]
        )
        assert len(answers) == 8
        assert len(r.requests) == 14
        assert len({request.connection for request in r.requests}) < 14
        assert [one async for one in bridge.hosted(closed())] == [None]  # no warning of a loop that is gone


@pytest.mark.parametrize("kind", [HttpLLM, BlockingLLM])
async def test_leaving_ends_its_request(kind):
    """By `break`, by cancelling, in sync code: the service sees it each time."""
    async with replica("openai-compatible", answer="word " * 60, faults={"pace": 0.05}) as r:
        backend = as_backend(kind(api_base=r.base_url))
        stream = backend.stream("Hi")
        assert isinstance(await anext(stream), Text)
        await stream.aclose()
        assert await r.await_disconnect(1, timeout=60) == 1

        first = asyncio.Event()

        async def read():
            async for _ in backend.stream("Hi"):
                first.set()

        task = asyncio.create_task(read())
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await r.await_disconnect(2, timeout=60) == 2

        def in_sync_code():
            pieces = backend.stream_sync("Hi")
            next(pieces)
            pieces.close()

        await asyncio.to_thread(in_sync_code)
        assert await r.await_disconnect(3, timeout=60) == 3


async def test_an_llm_that_blocks_blocks_nobody_else():
    """Several at once, and the loop goes on: its sync methods run on threads."""
    gate = threading.Barrier(4, timeout=60)

    class Slow(MockLLM):
        def stream_chat(self, messages, **kwargs):
            gate.wait()  # until all four are here
            message = ChatMessage(role="assistant", content="done")
            yield ChatResponse(message=message, delta="done")

        def chat(self, messages, **kwargs):
            gate.wait()
            return ChatResponse(message=ChatMessage(role="assistant", content="done"))

    backend = as_backend(Slow())
    answers = await asyncio.gather(
        *[collected(backend, "Hi") for _ in range(2)], *[backend.complete("Hi") for _ in range(2)]
    )
    assert [answer.text for answer in answers] == ["done"] * 4


class Strict(MockLLM):
    """One that takes no stop sequences, as some clients."""

    _asked: list = PrivateAttr(default_factory=list)

    def chat(self, messages, *, temperature=0.0, **kwargs):
        if kwargs:
            raise TypeError(f"create() got an unexpected keyword argument {next(iter(kwargs))!r}")
        self._asked.append(temperature)
        return ChatResponse(message=ChatMessage(role="assistant", content="one two three"))


async def test_a_setting_that_it_does_not_take_is_left_out_and_said_once():
    llm = Strict()
    backend = as_backend(llm)
    with pytest.warns(errors.UnsupportedOptionWarning, match="stop"):
        answer = await backend.complete("Hi", stop="three", temperature=0.3)
    assert answer.text == "one two "  # the answer is cut here then
    assert (await backend.complete("Hi", stop="two")).text == "one "
    assert llm._asked == [0.3, 0.0]
    with pytest.warns(errors.UnsupportedOptionWarning, match="top_p"):
        await backend.complete("Hi", top_p=0.5)


class Thinker(MockFunctionCallingLLM):
    """One with thinking, in blocks or in deltas, and usage as another service writes it."""

    deltas: bool = False

    async def astream_chat(self, messages, **kwargs):
        async def chunks():
            for n, thought in enumerate(("Let ", "me see.")):
                so_far = "Let me see."[: 4 if n == 0 else None]
                message = ChatMessage(role="assistant", blocks=[ThinkingBlock(content=so_far)])
                beside = {"thinking_delta": thought} if self.deltas else {}
                yield ChatResponse(message=message, delta="", additional_kwargs=beside)
            message = ChatMessage(role="assistant", content="42")
            usage = {"input_tokens": 5, "output_tokens": 7}
            yield ChatResponse(message=message, delta="42", raw={"usage": usage, "stop_reason": "end_turn"})

        return chunks()

    async def achat(self, messages, **kwargs):
        return [chunk async for chunk in await self.astream_chat(messages)][-1]


@pytest.mark.parametrize("deltas", [False, True])
async def test_thinking_and_tokens_under_other_names(deltas):
    parts = await parts_of(as_backend(Thinker(deltas=deltas)))
    assert parts[:2] == [Reasoning("Let "), Reasoning("me see.")]
    assert parts[2] == Text("42")
    assert parts[3] == Usage(5, 7)
    assert parts[-1].reason == "stop"


async def test_llamaindexs_own_doubles():
    """`MockLLM`, and the one that makes calls."""
    backend = as_backend(MockLLM(max_tokens=3))
    assert (await backend.complete("Hi")).text == "text text text"
    assert collect(await parts_of(backend)).text.strip() == "text text text"  # some versions add a blank
    answer = await as_backend(MockFunctionCallingLLM()).complete(
        "Hi", tools=[{"name": "now", "parameters": {"type": "object", "properties": {}}}]
    )
    assert [call.name for call in answer.tool_calls] in (["now"], [])  # in older versions it makes none


class Unknown(MockFunctionCallingLLM):
    """One whose metadata knows few models, as OpenAI's."""

    @property
    def metadata(self):
        raise ValueError("Unknown model")


def test_what_is_known_of_it():
    llm = HttpLLM(api_base="http://127.0.0.1:9", context_window=64_000)
    backend = as_backend(llm)
    assert (backend.name, backend.model, backend.base_url) == ("HttpLLM", "m", "http://127.0.0.1:9")
    assert backend.abilities() == Abilities(tools=True, images=True, audio=True, files=True, window=64_000)
    assert as_backend(HttpLLM(api_base="http://127.0.0.1:9")).abilities().window is None  # 3900: not known
    assert as_backend(MockLLM()).abilities() == Abilities()
    assert as_backend(BlockingLLM(api_base="")).model == "blocking-1"
    assert as_backend(MockLLM()).model == ""
    assert as_backend(Unknown()).abilities().tools is False
    with pytest.raises(errors.UsageError, match="asks 'm' only"):
        backend.complete_sync("Hi", model="other")
    with pytest.raises(errors.UsageError, match="runs at the service"):
        backend.complete_sync("Hi", tools=[{"type": "web_search"}, ADD])
    with pytest.raises(errors.UnsupportedInputError, match="pictures"):
        as_backend(MockLLM()).complete_sync([Message("user", (ImageBlock("https://h/a.png"),))])
    with pytest.raises(errors.UsageError, match="not str"):
        as_backend("groq")


class Client:
    """A client that is made again with other options, as OpenAI's and Anthropic's are."""

    def __init__(self, retries):
        self.retries = retries

    def with_options(self, max_retries):
        return Client(max_retries)


class Holding(HttpLLM):
    _sdk: Client = None

    def model_post_init(self, context):
        super().model_post_init(context)
        self._sdk = Client(self.max_retries)


def test_time_outs_and_retries_are_its_own_fields():
    backend = as_backend(Holding(api_base="http://127.0.0.1:9"))
    changed = backend.configured(timeout=3, retry=0)._given.llm
    assert (changed.timeout, changed.max_retries, changed._sdk.retries) == (3, 0, 0)
    kept = backend._given.llm
    assert (kept.timeout, kept.max_retries, kept._sdk.retries) == (30, 2, 2)
    with pytest.raises(errors.UsageError, match=r"base_url belongs to the LLM"):
        backend.configured(base_url="http://127.0.0.1:1")


class Two:
    name = "Two"
    model = "two-1"

    async def batches(self, request):
        yield [Text("2"), Finish()]


def test_an_llm_of_ours_lends_its_backend():
    llm = OpenAICompatible("m", base_url="http://127.0.0.1:9")
    assert as_backend(llm) is llm.core
    assert as_backend(BackendLLM(backend=Two())).complete_sync("1 + 1").text == "2"
    smaller = as_backend(OpenAICompatible("m", base_url="http://127.0.0.1:9", context_window=900))
    assert smaller.abilities().window == 900
    with pytest.raises(errors.UsageError, match=r"temperature, additional_kwargs goes with a request"):
        as_backend(
            OpenAICompatible("m", base_url=llm.base_url, temperature=0.5, additional_kwargs={"seed": 1})
        )


def test_metadata_is_read_and_never_asked_for_where_fields_say_it():
    """Some ask their service for it, with a client that blocks."""

    class Asking(HttpLLM):
        @property
        def metadata(self):
            raise AssertionError("asked")

        is_chat_model: bool = True

    backend = as_backend(Asking(api_base="http://127.0.0.1:9"))
    assert backend.abilities().tools
