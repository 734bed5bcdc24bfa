"""What a stream of LangChain's shows.

Every piece as it came, metadata once, callbacks exactly once, and the end of the request when
nobody listens.
"""

import asyncio

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.language_models.chat_model_stream import ChatModelStream
from langchain_core.messages import AIMessageChunk
from langchain_core.rate_limiters import BaseRateLimiter, InMemoryRateLimiter
from langchain_core.tracers.base import BaseTracer

from freeproviders.types import Finish, Message, Reasoning, Text, Usage
from freeproviders.usage import estimate_input_tokens
from langchain_freeproviders import errors
from tests.brain import CHAT, Script, brain, call
from tests.langchain.services import FLOW, OPENAI

PIECES = ["Hello", " there,", "\n", "\u2028", " f", "ri", "end", "\U0001f30a"]
WHOLE = "".join(PIECES)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def test_every_piece_in_all_four_ways(service):
    with service.replica(PIECES) as r:
        model = service.model(r)
        assert (await asyncio.to_thread(model.invoke, "Hi")).content == WHOLE
        assert (await model.ainvoke("Hi")).content == WHOLE
        streams = [
            await asyncio.to_thread(lambda: list(model.stream("Hi"))),
            [chunk async for chunk in model.astream("Hi")],
        ]
    for chunks in streams:
        assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
        assert "".join(chunk.content for chunk in chunks) == WHOLE
        assert [chunk.chunk_position for chunk in chunks].count("last") == 1
        assert chunks[-1].chunk_position == "last"
        assert len({chunk.id for chunk in chunks}) == 1
        total = sum(chunks[1:], chunks[0])
        assert total.response_metadata["model_provider"] == model._get_ls_params()["ls_provider"]
        assert total.response_metadata["model_name"] == model.model
        assert total.response_metadata["finish_reason"] == "stop"
        assert total.usage_metadata["total_tokens"] > 0


def test_pieces_come_one_by_one():
    """Not as one read brought them: each is a token to whoever listens."""
    with FLOW.replica(PIECES) as r:
        assert [chunk.content for chunk in FLOW.model(r).stream("Hi")] == [*PIECES, ""]


def test_the_first_piece_does_not_wait_for_the_last():
    with FLOW.replica(PIECES, faults={"stall": 1}) as r:
        stream = FLOW.model(r).stream("Hi")
        assert next(stream).content == PIECES[0]
        stream.close()


class Counter(BaseCallbackHandler):
    """Counts what LangChain reports; sync handlers hear of async calls as well."""

    def __init__(self):
        self.events = []
        self.tokens = []

    def on_chat_model_start(self, serialized, messages, **kwargs):
        self.events.append("start")

    def on_llm_new_token(self, token, *, chunk=None, **kwargs):
        self.tokens.append(token)
        assert chunk is not None
        assert chunk.text == token

    def on_llm_end(self, response, **kwargs):
        self.events.append("end")
        self.result = response

    def on_llm_error(self, error, **kwargs):
        self.events.append("error")


async def ways(model, handler, question="Hi", **kwargs):
    """All four ways to ask."""
    config = {"callbacks": [handler]}
    await asyncio.to_thread(model.invoke, question, config, **kwargs)
    await model.ainvoke(question, config, **kwargs)
    await asyncio.to_thread(lambda: list(model.stream(question, config, **kwargs)))
    return [chunk async for chunk in model.astream(question, config, **kwargs)]


async def test_callbacks_fire_once_for_each_call():
    with FLOW.replica(PIECES) as r:
        counter = Counter()
        await ways(FLOW.model(r), counter)
        assert counter.events == ["start", "end"] * 4
        assert counter.tokens == [*PIECES, ""] * 2
        assert counter.result.generations[0][0].message.usage_metadata["output_tokens"] > 0


async def test_and_once_however_often_the_model_is_asked_again():
    """A repaired call is one call: below the callbacks, its cost in the usage."""
    question = "What is the sum?"
    with FLOW.replica(Script(call("add", a="one"), call("add", a=1, b=2))) as r:
        counter = Counter()
        message = await FLOW.model(r).bind_tools([add]).ainvoke(question, {"callbacks": [counter]})
        assert message.tool_calls[0]["args"] == {"a": 1, "b": 2}
        assert counter.events == ["start", "end"]
        assert len(r.requests) == 2
        assert message.response_metadata["attempts"] == 2
        once = (await FLOW.model(r).bind_tools([add]).ainvoke(question)).usage_metadata["input_tokens"]
        assert message.usage_metadata["input_tokens"] > 2 * once


async def test_a_failure_is_one_error_event():
    with FLOW.replica("never", faults=[{"status": 500}] * 4) as r:
        counter, model = Counter(), FLOW.model(r)
        for way in (model.ainvoke, lambda *a: asyncio.to_thread(model.invoke, *a)):
            with pytest.raises(errors.ServerError):
                await way("Hi", {"callbacks": [counter]})
        with pytest.raises(errors.ServerError):
            _ = [chunk async for chunk in model.astream("Hi", {"callbacks": [counter]})]
        assert counter.events == ["start", "error"] * 3


class Waiting(AsyncCallbackHandler):
    def __init__(self):
        self.tokens = []

    async def on_llm_new_token(self, token, **kwargs):
        await asyncio.sleep(0)
        self.tokens.append(token)


async def test_async_handlers_are_waited_for():
    with FLOW.replica(PIECES) as r:
        waiting = Waiting()
        async for chunk in FLOW.model(r).astream("Hi", {"callbacks": [waiting]}):
            assert waiting.tokens[-1] == chunk.content


async def test_streaming_underneath_and_not_at_all():
    with OPENAI.replica(PIECES) as r:
        counter = Counter()
        await OPENAI.model(r, streaming=True).ainvoke("Hi", {"callbacks": [counter]})
        await asyncio.to_thread(OPENAI.model(r, streaming=True).invoke, "Hi", {"callbacks": [counter]})
        assert counter.tokens == [*PIECES, ""] * 2
        assert [request.json["stream"] for request in r.requests] == [True, True]
        for quiet in (OPENAI.model(r, streaming=False), OPENAI.model(r, disable_streaming=True)):
            assert [chunk.content async for chunk in quiet.astream("Hi")] == [WHOLE]
        assert [request.json["stream"] for request in r.requests[2:]] == [False, False]
        only_tools = OPENAI.model(r, disable_streaming="tool_calling")
        assert len([chunk async for chunk in only_tools.astream("Hi")]) > 1
        assert len([chunk async for chunk in only_tools.bind_tools([add]).astream("Hi")]) == 1


async def test_invoke_does_not_ask_for_a_stream():
    """Where the service has both, a whole answer is cheaper."""
    with OPENAI.replica("Hello") as r:
        await OPENAI.model(r).ainvoke("Hi")
        _ = [chunk async for chunk in OPENAI.model(r).astream("Hi")]
        assert [request.json["stream"] for request in r.requests] == [False, True]


class Tracer(BaseTracer):
    """What LangSmith would get."""

    def __init__(self):
        super().__init__(_schema_format="original+chat")
        self.runs = []

    def _persist_run(self, run):
        self.runs.append(run)


async def test_a_trace_holds_what_went_in_and_what_came_out():
    with FLOW.replica("Hello there") as r:
        tracer = Tracer()
        await ways(FLOW.model(r, temperature=None), tracer)
    assert len(tracer.runs) == 4
    for run in tracer.runs:
        assert run.run_type == "chat_model"
        assert run.inputs["messages"]
        (generation,) = run.outputs["generations"][0]
        assert generation["text"] == "Hello there"
        assert generation["message"]["kwargs"]["usage_metadata"]["output_tokens"] > 0
        assert run.extra["metadata"]["ls_provider"] == "flow_gpt"
        assert run.extra["metadata"]["ls_model_name"] == "gpt-3.5-turbo"
        assert run.extra["metadata"]["lc_versions"]["langchain-freeproviders"]
        assert run.extra["invocation_params"]["base_url"].startswith("http://127.0.0.1:")


# --- content blocks -------------------------------------------------------------------------------

THINKING = [
    Reasoning("Let me "),
    Reasoning("think."),
    Text("I'll "),
    Text("add.\n"),
    Text(call("add", a=1, b=2)),
    Text(call("add", a=3, b=4)),
]


@pytest.mark.parametrize("version", [None, "v0", "v1"])
@pytest.mark.parametrize("way", ["invoke", "stream", "astream", "v3"])
async def test_blocks_of_reasoning_text_and_calls(version, way):
    """LangChain itself loses a call behind text under v1, unless the call's index is its own."""
    with OPENAI.replica(THINKING) as r:
        model = OPENAI.model(r, output_version=version).bind_tools([add])
        if way == "invoke":
            message = await model.ainvoke("Hi")
        elif way == "v3":
            stream = await model.astream_events("Hi", version="v3")
            message = await stream.output
        else:
            chunks = (
                [c async for c in model.astream("Hi")]
                if way == "astream"
                else await asyncio.to_thread(lambda: list(model.stream("Hi")))
            )
            message = sum(chunks[1:], chunks[0])
    blocks = message.content_blocks
    assert [block["type"] for block in blocks] == ["reasoning", "text", "tool_call", "tool_call"]
    assert blocks[0]["reasoning"] == "Let me think."
    assert blocks[1]["text"].strip() == "I'll add."
    assert [(block["name"], block["args"]) for block in blocks[2:]] == [
        ("add", {"a": 1, "b": 2}),
        ("add", {"a": 3, "b": 4}),
    ]
    assert [(c["name"], c["args"]) for c in message.tool_calls] == [
        ("add", {"a": 1, "b": 2}),
        ("add", {"a": 3, "b": 4}),
    ]
    assert len({c["id"] for c in message.tool_calls}) == 2
    assert not message.invalid_tool_calls
    if version == "v1":
        assert message.content == blocks


async def test_text_streams_while_tools_are_bound():
    """Only what may be the beginning of a call is held back."""
    with FLOW.replica(PIECES, faults={"pace": 0.01}) as r:
        chunks = [chunk.content async for chunk in FLOW.model(r).bind_tools([add]).astream("Hi")]
    assert "".join(chunks) == WHOLE
    assert len([chunk for chunk in chunks if chunk]) >= len(PIECES) - 1


@pytest.mark.parametrize("cut", range(20, 65, 5))
async def test_half_a_call_is_no_call(cut):
    """LangChain would mend the JSON and run the call.

    An agent would then act on half of what the model meant.
    """
    half = call("add", a=1, b=222222222)[:cut]
    with (
        OPENAI.replica([Text(half), Finish(reason="length")]) as r,
        pytest.raises((errors.ToolCallError, errors.TruncatedResponseError)),
    ):
        _ = [chunk async for chunk in OPENAI.model(r).bind_tools([add]).astream("Add 1 and 2")]


def test_v3_events_in_sync_code():
    with FLOW.replica("Hello there") as r:
        stream = FLOW.model(r).stream_events("Hi", version="v3")
        assert isinstance(stream, ChatModelStream)
        assert "".join(stream.text) == "Hello there"
        assert stream.output.usage_metadata["output_tokens"] > 0


async def test_v2_events():
    with FLOW.replica("Hello there") as r:
        events = [event async for event in FLOW.model(r).astream_events("Hi", version="v2")]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "on_chat_model_start"
    assert kinds[-1] == "on_chat_model_end"
    assert (
        "".join(
            event["data"]["chunk"].content for event in events if event["event"] == "on_chat_model_stream"
        )
        == "Hello there"
    )


# --- usage ----------------------------------------------------------------------------------------


async def test_estimated_usage_says_so():
    with FLOW.replica("Hello there") as r:
        model = FLOW.model(r)
        question = "A river runs past the old mill to the sea. " * 6
        chunks = [chunk async for chunk in model.astream(question)]
        for message in (sum(chunks[1:], chunks[0]), await model.ainvoke(question)):
            assert message.response_metadata["usage_estimated"] is True
            usage = message.usage_metadata
            asked = estimate_input_tokens([Message("user", question)], model.model)
            assert usage == {"input_tokens": asked, "output_tokens": 3, "total_tokens": asked + 3}
            assert 50 < asked < 100  # the sentence has about 60 words


async def test_reported_usage_is_reported_once():
    answer = [Text("Hello"), Usage(11, 7, reasoning_tokens=3, cached_tokens=2), Finish(reason="length")]
    with OPENAI.replica(answer) as r:
        chunks = [chunk async for chunk in OPENAI.model(r).astream("Hi")]
        whole = await OPENAI.model(r).ainvoke("Hi")
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1
    for message in (sum(chunks[1:], chunks[0]), whole):
        assert message.usage_metadata == {
            "input_tokens": 11,
            "output_tokens": 7,
            "total_tokens": 18,
            "input_token_details": {"cache_read": 2},
            "output_token_details": {"reasoning": 3},
        }
        assert message.response_metadata["finish_reason"] == "length"
        assert "usage_estimated" not in message.response_metadata


# --- the end --------------------------------------------------------------------------------------


async def test_leaving_a_stream_ends_the_request():
    with FLOW.replica(PIECES * 100, faults={"pace": 0.02}) as r:
        async for _ in FLOW.model(r).astream("Hi"):
            break
        await r.await_disconnect(1)
        stream = FLOW.model(r).astream("Hi")
        await anext(stream)
        await stream.aclose()
        await r.await_disconnect(2)


def test_leaving_a_sync_stream_ends_the_request():
    with FLOW.replica(PIECES * 100, faults={"pace": 0.02}) as r:
        for _ in FLOW.model(r).stream("Hi"):
            break
        r.wait_disconnect(1)
        stream = FLOW.model(r).stream("Hi")
        next(stream)
        stream.close()
        r.wait_disconnect(2)


@pytest.mark.parametrize("how", ["ainvoke", "astream", "tools"])
async def test_cancelling_ends_the_request(how):
    with FLOW.replica(PIECES * 100, faults={"pace": 0.02}) as r:
        model = FLOW.model(r)

        async def run():
            if how == "ainvoke":
                return await model.ainvoke("Hi")
            return [
                chunk async for chunk in (model.bind_tools([add]) if how == "tools" else model).astream("Hi")
            ]

        task = asyncio.create_task(run())
        await r.await_requests(1)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await r.await_disconnect(1)


async def test_a_timeout_is_langchains_own():
    with FLOW.replica("Hello", faults={"delay_first": 30}) as r:
        with pytest.raises(errors.ProviderTimeoutError) as info:
            await FLOW.model(r, timeout=0.2).ainvoke("Hi")
        assert isinstance(info.value, TimeoutError)


class Limiter(BaseRateLimiter):
    def __init__(self):
        self.count = 0

    def acquire(self, *, blocking=True):
        self.count += 1
        return True

    async def aacquire(self, *, blocking=True):
        return self.acquire()


async def test_the_rate_limiter_is_asked_once_a_call():
    with FLOW.replica("Hello") as r:
        limiter = Limiter()
        await ways(FLOW.model(r, rate_limiter=limiter), Counter())
        assert limiter.count == 4
        assert (
            await FLOW.model(
                r, rate_limiter=InMemoryRateLimiter(requests_per_second=1000, check_every_n_seconds=0.001)
            ).ainvoke("Hi")
        ).content


async def test_context_managers_for_those_who_want_them():
    with FLOW.replica(brain) as r:
        async with FLOW.model(r) as model:
            assert (await model.ainvoke("Hi")).content == CHAT
        assert (await model.ainvoke("Hi")).content == CHAT  # closing is letting go, not breaking
        with FLOW.model(r) as model:
            assert (await asyncio.to_thread(model.invoke, "Hi")).content == CHAT
        await model.aclose()
        model.close()
