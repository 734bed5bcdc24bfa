"""Events, callbacks, traces and rate limits: what LlamaIndex's decorators send, once for each call.

The yardstick is LlamaIndex itself: an LLM whose methods carry its decorators and give the same
responses.
"""

import asyncio

import pytest
from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager, CBEventType, TokenCountingHandler
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.prompts import PromptTemplate
from llama_index.core.rate_limiter import BaseRateLimiter

from freeproviders.testing import replica
from llama_index_freeproviders import FlowGpt, base
from tests.llamaindex.services import HI, listen
from tests.llamaindex.test_chat import call

METHODS = [
    "chat",
    "achat",
    "stream_chat",
    "astream_chat",
    "complete",
    "acomplete",
    "stream_complete",
    "astream_complete",
]
each_method = pytest.mark.parametrize("method", METHODS)


class Decorated(CustomLLM):
    """The same answers through LlamaIndex's decorators."""

    inner: FlowGpt

    @property
    def metadata(self):
        return self.inner.metadata

    @llm_chat_callback()
    def chat(self, messages, **kwargs):
        return self.inner.chat(messages, **kwargs)

    @llm_chat_callback()
    async def achat(self, messages, **kwargs):
        return await self.inner.achat(messages, **kwargs)

    @llm_chat_callback()
    def stream_chat(self, messages, **kwargs):
        return self.inner.stream_chat(messages, **kwargs)

    @llm_chat_callback()
    async def astream_chat(self, messages, **kwargs):
        return await self.inner.astream_chat(messages, **kwargs)

    @llm_completion_callback()
    def complete(self, prompt, formatted=False, **kwargs):
        return self.inner.complete(prompt, formatted, **kwargs)

    @llm_completion_callback()
    async def acomplete(self, prompt, formatted=False, **kwargs):
        return await self.inner.acomplete(prompt, formatted, **kwargs)

    @llm_completion_callback()
    def stream_complete(self, prompt, formatted=False, **kwargs):
        return self.inner.stream_complete(prompt, formatted, **kwargs)

    @llm_completion_callback()
    async def astream_complete(self, prompt, formatted=False, **kwargs):
        return await self.inner.astream_complete(prompt, formatted, **kwargs)


class Log(BaseCallbackHandler):
    """Keeps what the callback manager says."""

    def __init__(self):
        super().__init__([], [])
        self.seen = []

    def on_event_start(self, event_type, payload=None, event_id="", parent_id="", **kwargs):
        self.seen.append(("start", event_type, payload, event_id))
        return event_id

    def on_event_end(self, event_type, payload=None, event_id="", **kwargs):
        self.seen.append(("end", event_type, payload, event_id))

    def start_trace(self, trace_id=None):
        self.seen.append(("start trace", trace_id, None, None))

    def end_trace(self, trace_id=None, trace_map=None):
        self.seen.append(("end trace", trace_id, None, None))

    def shape(self):
        return [(what, kind, sorted(map(str, payload or {}))) for what, kind, payload, _ in self.seen]


class Counter(BaseRateLimiter):
    """Counts."""

    def __init__(self):
        self.sync = self.asynchronous = 0

    def acquire(self, num_tokens=0):
        self.sync += 1

    async def async_acquire(self, num_tokens=0):
        self.asynchronous += 1


class Mute:
    """In the place of our own `Call`: silent, so that only the yardstick's decorators are heard."""

    def __init__(self, llm, given, kwargs):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def wait_for_turn(self):
        pass

    async def wait_for_turn_async(self):
        pass

    def heard(self, question):
        return question

    def tell(self):
        pass

    def progressed(self, response):
        pass

    def ended(self, response):
        return response

    def failed(self, error):
        pass


async def heard(llm, method):
    """What handlers of both kinds hear of one call that may fail."""
    log, recorder = Log(), listen()
    llm.callback_manager = CallbackManager([log])
    error = None
    try:
        await call(llm, method)
    except Exception as caught:
        error = caught
    get_dispatcher().event_handlers.remove(recorder)
    return recorder, log, error


def normal(event):
    """An event's content without what differs from call to call and from class to class."""
    data = {
        name: value
        for name, value in event.__dict__.items()
        if name not in {"timestamp", "id_", "span_id", "model_dict", "tags"}
    }
    return (
        type(event),
        data.keys(),
        data.get("messages"),
        data.get("prompt"),
        data.get("response"),
        type(data.get("exception")),
    )


@each_method
@pytest.mark.parametrize("faults", [None, {"status": 500}, {"error": "broke", "error_at": 2}])
async def test_handlers_hear_what_the_decorators_say(method, faults, monkeypatch):
    async with replica("flow-gpt", answer="one two three", faults=faults) as r:
        ours = FlowGpt(base_url=r.base_url, retry=0)
        recorder, log, error = await heard(ours, method)
        monkeypatch.setattr(base, "ChatCall", Mute)
        monkeypatch.setattr(base, "CompletionCall", Mute)
        expected, expected_log, expected_error = await heard(
            Decorated(inner=FlowGpt(base_url=r.base_url, retry=0)), method
        )
        assert [normal(event) for event in recorder.seen if "Span" not in type(event).__name__] == [
            normal(event) for event in expected.seen if "Span" not in type(event).__name__
        ]
        assert log.shape() == expected_log.shape()
        assert type(error) is type(expected_error)
        ids = {identity for what, kind, _, identity in log.seen if kind == CBEventType.LLM}
        assert len(ids) == 1


@each_method
async def test_the_rate_limiter_is_asked_once(method):
    async with replica("flow-gpt", answer="ok") as r:
        counter = Counter()
        await call(FlowGpt(base_url=r.base_url, rate_limiter=counter), method)
        assert (counter.sync, counter.asynchronous) == ((0, 1) if method.startswith("a") else (1, 0))


@each_method
async def test_one_start_and_one_end_within_one_span(method):
    async with replica("flow-gpt", answer="ok") as r:
        recorder = listen()
        llm = FlowGpt(base_url=r.base_url)
        await call(llm, method)
        kinds = ["Chat" if "chat" in method else "Completion"]
        assert [name for name in recorder.names if "InProgress" not in name] == [
            f"LLM{kinds[0]}StartEvent",
            f"LLM{kinds[0]}EndEvent",
        ]
        assert ("stream" in method) == any("InProgress" in name for name in recorder.names)
        assert {str(event.span_id).split("-")[0] for event in recorder.seen} == {f"FlowGpt.{method}"}


async def test_nobody_listens_no_event_is_made(monkeypatch):
    made = []
    from llama_index_freeproviders import callbacks

    for name in ("LLMChatStartEvent", "LLMChatInProgressEvent", "LLMChatEndEvent"):
        monkeypatch.setattr(callbacks, name, lambda **kwargs: made.append(kwargs))
    async with replica("flow-gpt", answer="one two") as r:
        await call(FlowGpt(base_url=r.base_url), "astream_chat")
    assert not made


async def test_a_handler_that_comes_during_a_stream_hears_the_rest():
    async with replica("flow-gpt", answer=["a", "b", "c"], faults={"pace": 0.05}) as r:
        stream = await FlowGpt(base_url=r.base_url).astream_chat(HI)
        await anext(stream)
        recorder = listen()
        async for _ in stream:
            pass
        assert recorder.names[-1] == "LLMChatEndEvent"
        assert "LLMChatInProgressEvent" in recorder.names


@pytest.mark.parametrize("where", ["llama_index.core.llms.callbacks", "root"])
def test_a_handler_anywhere_on_the_way_to_the_root_hears(where):
    dispatcher = get_dispatcher(where)
    recorder = listen()
    get_dispatcher().event_handlers.remove(recorder)
    dispatcher.add_event_handler(recorder)
    try:
        with replica("flow-gpt", answer="ok") as r:
            FlowGpt(base_url=r.base_url).chat(HI)
    finally:
        dispatcher.event_handlers.remove(recorder)
    assert recorder.names == ["LLMChatStartEvent", "LLMChatEndEvent"]


async def test_a_closed_stream_is_told_as_the_decorators_tell_it():
    async with replica("flow-gpt", answer=["a "] * 20, faults={"pace": 0.02}) as r:
        log, recorder = Log(), listen()
        stream = await FlowGpt(base_url=r.base_url, callback_manager=CallbackManager([log])).astream_chat(HI)
        await anext(stream)
        await stream.aclose()
        assert recorder.names[-1] == "ExceptionEvent"
        assert isinstance(recorder.seen[-1].exception, GeneratorExit)
        assert log.shape()[-1] == ("end", CBEventType.LLM, ["EventPayload.EXCEPTION"])


def test_events_hold_no_secrets():
    with replica("flow-gpt", answer="ok") as r:
        recorder = listen()
        FlowGpt(
            base_url=r.base_url,
            api_key="sk-very-secret",
            headers={"X-Key": "sk-very-secret"},
            cookies={"k": "sk-very-secret"},
        ).chat(HI)
        assert "sk-very-secret" not in "".join(event.model_dump_json() for event in recorder.seen)
        started = recorder.seen[0].model_dict
        assert (started["model"], started["provider"], started["class_name"]) == (
            "gpt-3.5-turbo",
            "FlowGpt",
            "freeproviders_flow_gpt",
        )


def test_the_token_counter_gets_the_numbers():
    counter = TokenCountingHandler()
    Settings.callback_manager = CallbackManager([counter])
    with replica("flow-gpt", answer="one two three") as r:
        llm = FlowGpt(base_url=r.base_url)
        Settings.llm = llm
        assert Settings.llm is llm
        usage = llm.chat(HI).raw["usage"]
        assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (
            usage["prompt_tokens"],
            usage["completion_tokens"],
        )
        *_, last = llm.stream_complete("Hi")
        usage = last.raw["usage"]
        event = counter.llm_token_counts[-1]
        assert (event.prompt_token_count, event.completion_token_count) == (
            usage["prompt_tokens"],
            usage["completion_tokens"],
        )


def test_reported_usage_reaches_the_token_counter():
    from freeproviders.types import Text, Usage
    from llama_index_freeproviders import OpenAICompatible

    counter = TokenCountingHandler()
    with replica("openai-compatible", answer=[Text("hi"), Usage(123, 45)]) as r:
        llm = OpenAICompatible("m", base_url=r.base_url, callback_manager=CallbackManager([counter]))
        llm.chat(HI)
        asyncio.run(call(llm, "astream_chat"))
    assert [(e.prompt_token_count, e.completion_token_count) for e in counter.llm_token_counts] == [
        (123, 45)
    ] * 2


@each_method
async def test_spans_are_entered_only_where_somebody_sees_them(method, monkeypatch):
    """Without a handler a span costs as much as a local service's answer."""
    entered = []
    monkeypatch.setattr(
        type(get_dispatcher()), "span_enter", lambda self, **kwargs: entered.append(kwargs["id_"])
    )
    async with replica("flow-gpt", answer="ok") as r:
        llm = FlowGpt(base_url=r.base_url)
        await call(llm, method)
        assert not entered
        listen()
        await call(llm, method)
        assert [identity.split("-")[0] for identity in entered] == [f"FlowGpt.{method}"]


async def test_spans_nest():
    spans = SimpleSpanHandler()
    get_dispatcher().add_span_handler(spans)
    try:
        async with replica("flow-gpt", answer="ok") as r:
            await FlowGpt(base_url=r.base_url).apredict(PromptTemplate("Hi"))
    finally:
        get_dispatcher().span_handlers.remove(spans)
    inner, outer = spans.completed_spans
    assert [span.id_.split("-")[0] for span in (inner, outer)] == ["FlowGpt.achat", "FlowGpt.apredict"]
    assert inner.parent_id == outer.id_


def test_spans_open_and_close():
    spans = SimpleSpanHandler()
    get_dispatcher().add_span_handler(spans)
    try:
        with replica("flow-gpt", answer="ok") as r:
            FlowGpt(base_url=r.base_url).chat(HI)
    finally:
        get_dispatcher().span_handlers.remove(spans)
    assert [span.id_.split("-")[0] for span in spans.completed_spans] == ["FlowGpt.chat"]
    assert not spans.open_spans


def test_a_model_that_lost_its_callback_manager_still_works():
    with replica("flow-gpt", answer="ok") as r:
        llm = FlowGpt(base_url=r.base_url)
        llm.callback_manager = None
        assert llm.complete("Hi").text == "ok"
        assert isinstance(llm.callback_manager, CallbackManager)
