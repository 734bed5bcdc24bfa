"""What a call may change: configuration, which reaches no body, event or span, and settings."""

import asyncio
import json
import pickle

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.callbacks import CallbackManager
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, PrivateAttr, SecretStr

from freeproviders.errors import (
    ProviderConnectionError,
    ProviderTimeoutError,
    RateLimitError,
    StructuredOutputError,
    ToolCallError,
    UsageError,
)
from freeproviders.testing import replica
from freeproviders.types import Text
from llama_index_freeproviders import FlowGpt, OpenAICompatible
from tests.core.servers import forward_proxy
from tests.llamaindex.services import HI, SERVICES, gathered, listen
from tests.llamaindex.test_chat import call
from tests.llamaindex.test_events import METHODS, Log

KEY = "sk-call-key"
NOWHERE = "http://127.0.0.1:9/v1"
NOT_IN_A_BODY = (KEY, "timeout", "retr", "X-Mine", "cookie", "api_", "proxy", "trust", "header", "base_url")


class Song(BaseModel):
    """A song."""

    title: str


SONG = '{"title": "Rain"}'
PROMPT = PromptTemplate("A song about {what}.")


def configuration(r, *, second_names=False):
    """Every item of the configuration that a call may have, by its first or its second name."""
    names = (
        ("api_base", "request_timeout", "max_retries", "default_headers")
        if second_names
        else ("base_url", "timeout", "retry", "headers")
    )
    values = (r.base_url, 7, 1, {"X-Mine": "1"})
    return {
        **dict(zip(names, values, strict=True)),
        "cookies": {"c": "1"},
        "api_key": SecretStr(KEY) if second_names else KEY,
        "trust_env": False,
        "connector": None,
        "proxy": None,
    }


def check_sent(request):
    """The request was sent as the call's configuration says, and nothing of it is in the body."""
    assert request.headers["X-Mine"] == "1"
    assert request.cookies["c"] == "1"
    body = request.body.decode()
    assert not [word for word in NOT_IN_A_BODY if word in body]


async def with_keywords(llm, method, keywords):
    """Call any of the eight with keywords and read what there is to read."""
    given = "Hi" if "complete" in method else HI
    function = getattr(llm, method)
    if method.startswith("astream"):
        return await gathered(function(given, **keywords))
    if method.startswith("a"):
        return await function(given, **keywords)
    if method.startswith("stream"):
        return await asyncio.to_thread(lambda: list(function(given, **keywords)))
    return await asyncio.to_thread(lambda: function(given, **keywords))


@pytest.mark.parametrize("second_names", [False, True], ids=["first names", "second names"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("service", SERVICES, ids=str)
async def test_configuration_of_a_call_counts_and_is_not_sent(service, method, second_names):
    """The request goes where the call says, with the call's headers, and the body is clean."""
    async with replica(service.provider, answer="ok") as r:
        llm = service.cls(base_url=NOWHERE, retry=0, **service.options)
        await with_keywords(llm, method, configuration(r, second_names=second_names))
        check_sent(r.requests[-1])
        if service.cls is OpenAICompatible:
            assert r.requests[-1].headers["Authorization"] == f"Bearer {KEY}"
        assert KEY not in repr(llm) + llm.to_json()
        with pytest.raises(ProviderConnectionError):  # the model itself is as it was
            await call(llm, method)


async def test_configuration_of_a_typed_answer():
    """`llm_kwargs` of the four methods are keywords of a call like any other."""
    async with replica("openai-compatible", answer=SONG) as r:
        llm = OpenAICompatible("m", base_url=NOWHERE, retry=0)
        asked = {"llm_kwargs": {**configuration(r), "temperature": 0.5}, "what": "rain"}
        assert (await llm.astructured_predict(Song, PROMPT, **asked)).title == "Rain"
        songs = await llm.astream_structured_predict(Song, PROMPT, **asked)
        assert [song async for song in songs][-1].title == "Rain"
        song = await asyncio.to_thread(lambda: llm.structured_predict(Song, PROMPT, **asked))
        assert song.title == "Rain"
        shown = await asyncio.to_thread(lambda: list(llm.stream_structured_predict(Song, PROMPT, **asked)))
        assert shown[-1].title == "Rain"
        assert len(r.requests) == 4
        for request in r.requests:
            check_sent(request)
            assert request.json["temperature"] == 0.5


async def test_configuration_of_a_call_with_tools():
    """Also through LlamaIndex's own methods for tools, and through an agent's model."""

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    tool = FunctionTool.from_defaults(add)
    called = '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>'
    async with replica("openai-compatible", answer=lambda request: called) as r:
        llm = OpenAICompatible("m", base_url=NOWHERE, retry=0)
        await llm.achat_with_tools([tool], "Add!", **configuration(r))
        await gathered(llm.astream_chat_with_tools([tool], "Add!", **configuration(r)))
        answered = await llm.apredict_and_call([tool], "Add!", **configuration(r))
        assert answered.response == "3"
        for request in r.requests:
            check_sent(request)
    says = iter([called, "It is 3."])
    async with replica("openai-compatible", answer=lambda request: next(says)) as r:
        llm = OpenAICompatible(
            "m", base_url=r.base_url, retry=0, headers={"X-Mine": "1"}, cookies={"c": "1"}, api_key=KEY
        )
        assert "3" in str(await FunctionAgent(tools=[add], llm=llm).run("Add!"))
        for request in r.requests:
            check_sent(request)


async def test_a_time_limit_and_retries_of_a_call_count():
    """They are the core's, and leave the model's own alone."""
    async with replica("flow-gpt", answer="ok", faults=[{"delay_headers": 3}, {"status": 503}]) as r:
        llm = FlowGpt(base_url=r.base_url, retry=0)
        with pytest.raises(ProviderTimeoutError):
            await llm.achat(HI, timeout=0.3)
        assert (await llm.achat(HI, retry=1)).raw["attempts"] == 2
        assert llm.timeout is None
        assert llm.retry == 0


async def test_a_proxy_of_a_call_is_used():
    with replica("flow-gpt", answer="ok") as r, forward_proxy() as proxy:
        assert (await FlowGpt(base_url=r.base_url).acomplete("Hi", proxy=proxy.url)).text == "ok"
        assert len(proxy.requests) == 1


@pytest.mark.parametrize(
    "keywords",
    [{"retry": 1, "max_retries": 2}, {"Authorization": KEY}, {"password": KEY}],
)
def test_what_cannot_be_understood_is_found_before_anything_is_sent(keywords):
    with replica("openai-compatible") as r:
        llm = OpenAICompatible("m", base_url=r.base_url)
        for ask in (llm.chat, llm.stream_chat):
            with pytest.raises(UsageError) as caught:
                ask(HI, **keywords)
            assert KEY not in str(caught.value)
        assert not r.requests


def test_what_the_method_decides_on_is_no_keyword():
    with replica("openai-compatible") as r:
        llm = OpenAICompatible("m", base_url=r.base_url)
        for ask in (
            lambda: llm.chat(HI, stream=True),
            lambda: llm.stream_chat(HI, stream=False),
            lambda: llm.complete("Hi", messages=[]),
            lambda: llm.structured_predict(Song, PromptTemplate("A song."), {"stream": True}),
        ):
            with pytest.raises(UsageError, match="is no keyword of a call: the method decides"):
                ask()
        assert not r.requests


# --- what others see of a call ---


class Spans(SimpleSpanHandler):
    """Keeps what each span was given."""

    _given: list = PrivateAttr(default_factory=list)

    def new_span(self, id_, bound_args, **kwargs):
        self._given.append(str(bound_args))
        return super().new_span(id_, bound_args, **kwargs)

    def prepare_to_exit_span(self, id_, bound_args, instance=None, result=None, **kwargs):
        self._given.append(str(result))
        return super().prepare_to_exit_span(id_, bound_args, instance, result, **kwargs)


async def test_credentials_of_a_call_are_in_no_event_span_or_payload():
    """Who listens sees that a key was passed, not the key; the call works as if nobody listened."""
    recorder, spans, log = listen(), Spans(), Log()
    dispatcher = get_dispatcher()
    dispatcher.add_span_handler(spans)
    secrets = {
        "api_key": KEY,
        "headers": {"X-Mine": "1", "X-Secret": KEY},
        "cookies": {"c": "1", "session": KEY},
        "timeout": 7,
        "extra_body": {"tok": KEY},
    }

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    tools = [FunctionTool.from_defaults(add)]
    called = '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>'
    try:
        async with replica(
            "openai-compatible",
            answer=lambda messages: called if "Add!" in str(messages) else SONG,
            extra_keys=["tok"],
        ) as r:
            llm = OpenAICompatible("m", base_url=r.base_url, callback_manager=CallbackManager([log]))
            for method in METHODS:
                await with_keywords(llm, method, {**secrets, "seed": 7})
            prompt, kwargs = PromptTemplate("A song."), {**secrets, "seed": 7}
            await llm.astructured_predict(Song, prompt, kwargs)
            await asyncio.to_thread(lambda: llm.structured_predict(Song, prompt, llm_kwargs=kwargs))
            await gathered(llm.astream_structured_predict(Song, prompt, llm_kwargs=kwargs))
            await llm.apredict_and_call(tools, "Add!", seed=7, **secrets)
            await llm.achat_with_tools(tools, "Add!", seed=7, **secrets)
            await asyncio.to_thread(lambda: llm.chat_with_tools(tools, "Add!", seed=7, **secrets))
            await asyncio.to_thread(lambda: [*llm.stream_chat_with_tools(tools, "Add!", seed=7, **secrets)])
            await gathered(llm.astream_chat_with_tools(tools, "Add!", seed=7, **secrets))
            for request in r.requests:
                assert request.headers["X-Secret"] == KEY
                assert request.headers["Authorization"] == f"Bearer {KEY}"
                sent = request.json
                assert (sent.pop("tok"), sent["seed"]) == (KEY, 7)
                assert KEY not in str(sent)
    finally:
        dispatcher.span_handlers.remove(spans)
    assert len(spans._given) > len(METHODS)
    assert any("seed" in given for given in spans._given)
    assert any("api_key" in given for given in spans._given)
    assert recorder.seen
    for shown in (
        *spans._given,
        *[f"{event!r} {event.__dict__}" for event in recorder.seen],
        *[str(payload) for _, _, payload, _ in log.seen],
    ):
        assert KEY not in shown
    starts = [event for event in recorder.seen if "StartEvent" in type(event).__name__]
    assert {"seed": 7} in [getattr(event, "additional_kwargs", None) for event in starts]
    json.dumps([event.additional_kwargs for event in starts if hasattr(event, "additional_kwargs")])


# --- settings of the core ---


@pytest.mark.parametrize("max_repairs", [0, 1, 3])
@pytest.mark.parametrize("where", ["field", "call"])
def test_max_repairs(max_repairs, where):
    """How often a model is asked again, as a field and as a setting of a call."""
    with replica("flow-gpt", answer="no song") as r:
        field = {"max_repairs": max_repairs} if where == "field" else {}
        own = {"max_repairs": max_repairs} if where == "call" else {}
        with pytest.raises(StructuredOutputError):
            FlowGpt(base_url=r.base_url, **field).structured_predict(Song, PROMPT, own, what="rain")
        assert len(r.requests) == 1 + max_repairs


async def test_wait_up_to():
    """The caller's patience with a service that says when to come back; it spends no retries."""
    busy = {"status": 429, "retry_after": 1}
    async with replica("flow-gpt", answer="ok", faults=[busy, busy, busy]) as r:
        llm = FlowGpt(base_url=r.base_url, retry=0)
        with pytest.raises(RateLimitError):
            await llm.achat(HI, wait_up_to=0.5)
        assert (await FlowGpt(base_url=r.base_url, retry=0, wait_up_to=5).achat(HI)).message.content == "ok"
        assert len(r.requests) == 4


def test_settings_are_saved_and_sent_to_nobody():
    """They are for the core: in what is saved, and in no body."""
    settings = {
        "max_repairs": 1,
        "allow_repeats": True,
        "on_invalid": "pass",
        "reasoning": "split",
        "wait_up_to": 5.0,
    }
    with replica("openai-compatible", answer="ok") as r:
        llm = OpenAICompatible("m", base_url=r.base_url, **settings)
        llm.chat(HI)
        pickle.loads(pickle.dumps(llm)).chat(HI)
        for request in r.requests:
            assert set(request.json) <= {"model", "messages", "stream"}
        saved = llm.to_dict()
        assert {name: saved[name] for name in settings} == settings


@pytest.mark.parametrize(
    "wrong",
    [{"max_repairs": -1}, {"on_invalid": "ignore"}, {"reasoning": "hide"}, {"wait_up_to": -1}],
)
def test_settings_that_make_no_sense(wrong):
    """They are found when the model is made, and at the call."""
    with pytest.raises(ValueError):
        FlowGpt(**wrong)
    with pytest.raises(UsageError):
        FlowGpt(base_url="http://127.0.0.1:9").chat(HI, **wrong)
    with pytest.raises(UsageError):
        FlowGpt(base_url="http://127.0.0.1:9").stream_chat(HI, **wrong)


CALLED = '<tool_call>{"name": "add", "arguments": {"a": "one"}}</tool_call>'
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}


def test_on_invalid():
    """A call that never fits is an error, or is handed on as it is."""
    with replica("flow-gpt", answer=CALLED) as r:
        raising = FlowGpt(base_url=r.base_url, max_repairs=0, on_invalid="raise")
        with pytest.raises(ToolCallError):
            raising.chat(HI, tools=[ADD])
        passing = FlowGpt(base_url=r.base_url, max_repairs=0, on_invalid="pass")
        response = passing.chat(HI, tools=[ADD])
        assert [call.tool_kwargs for call in passing.get_tool_calls_from_response(response)] == [{"a": "one"}]
        with pytest.raises(ToolCallError):
            passing.chat(HI, tools=[ADD], on_invalid="raise")


def test_reasoning():
    """Thinking inside of the text becomes a block, goes away, or stays."""
    with replica("openai-compatible", answer=[Text("<think>Hm.</think>It is 4.")]) as r:
        llm = OpenAICompatible("m", base_url=r.base_url)
        message = llm.chat(HI).message
        assert (message.blocks[0].content, message.content) == ("Hm.", "It is 4.")
        assert llm.complete("Hi").text == "It is 4."
        assert len(llm.chat(HI, reasoning="drop").message.blocks) == 1
        assert "<think>" in llm.chat(HI, reasoning="keep").message.content
        deltas = [chunk.additional_kwargs.get("thinking_delta", "") for chunk in llm.stream_chat(HI)]
        assert "".join(deltas) == "Hm."
