"""What `ChatOpenAI` tells and takes, on ours: over the strict replica of the OpenAI protocol."""

import base64
import json
from datetime import UTC, datetime, timedelta
from operator import itemgetter

import pytest
from hypothesis import HealthCheck, example, given, settings
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumps
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.runnables import RunnableLambda
from pydantic import SecretStr

from freeproviders import FlowGpt, OpenAICompatible, Quota
from freeproviders.errors import ToolCallError, UnsupportedInputError, UsageError
from freeproviders.testing import replica
from freeproviders.types import Refusal, Text, ToolCall, Usage
from langchain_freeproviders import (
    ChatBackend,
    ChatFlowGpt,
    ChatOpenAICompatible,
    OpenAICompatibleLLM,
)
from tests.credentials import CREDENTIALS


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def chat(r, **fields):
    return ChatOpenAICompatible(model="m", base_url=r.base_url, max_retries=0, **fields)


def added(chunks):
    total = None
    for chunk in chunks:
        total = chunk if total is None else total + chunk
    return total


# --- the key ---


async def test_a_function_that_gives_the_key():
    """As at `ChatOpenAI`: asked once for each request, and in nothing that is shown or saved."""
    given = []

    def key():
        given.append(f"sk-secret-{len(given)}")
        return SecretStr(given[-1])

    async def later():
        return key()

    with replica(OpenAICompatible, answer="Hi") as r:
        for function in (key, later):
            model = chat(r, api_key=function)
            model.invoke("a")
            await model.ainvoke("b")
            list(model.stream("c"))
            other = ChatOpenAICompatible(model="m", base_url=r.base_url)
            other.invoke("d", api_key=function)
            other.bind(api_key=function).invoke("e")
            for made in (model, model.bind(api_key=function)):
                assert "function test_a_" not in repr(made)
            assert json.loads(dumps(model))["kwargs"]["api_key"]["id"] == ["OPENAI_COMPATIBLE_API_KEY"]
            assert json.loads(model.model_dump_json())["api_key"] == "**********"
            assert model.model_copy(update={"api_key": function}).invoke("f").content == "Hi"
            model.api_key = function
            model.invoke("g")
        assert [request.headers["Authorization"] for request in r.requests] == [f"Bearer {k}" for k in given]
        assert len(given) == 14


# --- facts of the answer ---


def test_logprobs():
    """The same tokens, whether the answer streams or not."""
    with replica(OpenAICompatible, answer=["One", " two"]) as r:
        model = chat(r, logprobs=True, top_logprobs=1)
        whole = model.invoke("Hi").response_metadata["logprobs"]
        streamed = added(model.stream("Hi"))
        assert [token["token"] for token in whole["content"]] == ["One", " two"]
        assert streamed.response_metadata["logprobs"]["content"] == whole["content"]
        assert streamed.content == "One two"
        assert "logprobs" not in chat(r).invoke("Hi").response_metadata
        assert chat(r).bind(logprobs=True).invoke("Hi").response_metadata["logprobs"]["content"]


def test_who_answered():
    with replica(OpenAICompatible, answer="One two") as r:
        model = chat(r, include_response_headers=True, service_tier="auto")
        for metadata in (model.invoke("Hi").response_metadata, added(model.stream("Hi")).response_metadata):
            assert metadata["system_fingerprint"] == "fp_replica"
            assert metadata["service_tier"] == "default"
            assert metadata["headers"]["x-request-id"] == metadata["request_id"]
            json.dumps(metadata)
        assert "headers" not in chat(r).invoke("Hi").response_metadata
        asked = chat(r).invoke("Hi", include_response_headers=True)
        assert "content-type" in asked.response_metadata["headers"]
        assert "allowances" not in asked.response_metadata


def test_what_is_left_of_a_services_limits():
    """Plain data that merges with other chunks; only services of the catalogue announce any."""
    with replica(service="groq", answer="One two") as r:
        model = ChatOpenAICompatible(service="groq", base_url=r.base_url, api_key="k", max_retries=0)
        for metadata in (model.invoke("Hi").response_metadata, added(model.stream("Hi")).response_metadata):
            requests, tokens = metadata["allowances"]
            assert (requests["metric"], requests["per"], requests["scope"]) == ("requests", "day", "model")
            assert (tokens["metric"], tokens["per"]) == ("tokens", "minute")
            assert 0 < requests["remaining"] < requests["cap"]
            assert datetime.fromisoformat(requests["reset_at"]).utcoffset() == timedelta(0)
            json.dumps(metadata)


def test_what_is_left_of_the_limits_that_are_kept():
    limits = [{"metric": "requests", "per": "day", "cap": 50}]
    with replica(OpenAICompatible, answer="One two") as r:
        model = chat(r, quota=Quota(limits, ledger="memory", name="langchain"))
        metadata = [model.invoke("Hi").response_metadata, added(model.stream("Hi")).response_metadata]
    for number, one in enumerate(metadata, 1):
        [left] = one["quota"]
        assert (left["metric"], left["per"], left["cap"], left["left"]) == (
            "requests",
            "day",
            50,
            50 - number,
        )
        assert datetime.fromisoformat(left["back_at"]) > datetime.now(UTC)
        json.dumps(one)


class Handler(BaseCallbackHandler):
    def __init__(self):
        self.outputs = []
        self.infos = []

    def on_llm_end(self, response, **kwargs):
        self.outputs.append(response.llm_output)
        self.infos.append(response.generations[0][0].generation_info)


def test_llm_output():
    """Handlers written for `ChatOpenAI` find what they look for; several questions are added up."""
    with replica(OpenAICompatible, answer=["One", " two", Usage(3, 2, cached_tokens=1)]) as r:
        handler = Handler()
        result = chat(r).generate([[HumanMessage("a")], [HumanMessage("b")]], callbacks=[handler])
        assert result.llm_output == {
            "token_usage": {
                "prompt_tokens": 6,
                "completion_tokens": 4,
                "total_tokens": 10,
                "prompt_tokens_details": {"cached_tokens": 2},
            },
            "model_name": "m",
            "system_fingerprint": "fp_replica",
        }
        assert handler.outputs[0]["token_usage"]["total_tokens"] == 5
        assert handler.outputs[0]["model_name"] == "m"
        assert chat(r).invoke("a").response_metadata["token_usage"]["total_tokens"] == 5


def test_refusal():
    """It is no content, as at `ChatOpenAI`; a string model has no other place for it."""
    with replica(OpenAICompatible, answer=[Refusal("I will"), Refusal(" not.")]) as r:
        for message in (chat(r).invoke("Hi"), added(chat(r).stream("Hi"))):
            assert message.content == ""
            assert message.additional_kwargs == {"refusal": "I will not."}
        string = OpenAICompatibleLLM(model="m", base_url=r.base_url)
        assert string.invoke("Hi") == "I will not."
        assert "".join(string.stream("Hi")) == "I will not."


# --- several answers ---


async def test_several_answers():
    with replica(OpenAICompatible, answer=["One", " two"]) as r:
        for result in (
            chat(r, n=3).generate([[HumanMessage("Hi")]]),
            await chat(r).agenerate([[HumanMessage("Hi")]], n=3),
        ):
            assert [generation.text for generation in result.generations[0]] == ["One two"] * 3
            assert [g.message.response_metadata["finish_reason"] for g in result.generations[0]] == [
                "stop"
            ] * 3
        assert [request.json["n"] for request in r.requests] == [3, 3]
        assert chat(r, n=2).invoke("Hi").content == "One two"
    with replica(FlowGpt, answer="One") as r:
        result = ChatFlowGpt(base_url=r.base_url, n=2).generate([[HumanMessage("Hi")]])
        assert [generation.text for generation in result.generations[0]] == ["One", "One"]
        assert len(r.requests) == 2


async def test_a_stream_has_one_answer():
    """It is refused where it is asked for, and not made where only a listener would like one."""
    with replica(OpenAICompatible, answer="One two") as r:
        with pytest.raises(UsageError, match="n must be 1"):
            next(chat(r, n=2).stream("Hi"))
        assert r.requests == []

        async def asked(question):
            return await chat(r, n=2).agenerate([[HumanMessage(question)]])

        events = [event async for event in RunnableLambda(asked).astream_events("Hi", version="v2")]
        (generations,) = events[-1]["data"]["output"].generations
        assert len(generations) == 2


# --- audio and files ---

PDF, WAV = base64.b64encode(b"%PDF-1.4").decode(), base64.b64encode(b"RIFF").decode()
AUDIO = {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}
FILE = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}}
UNNAMED = {"type": "file", "file": {**FILE["file"], "filename": "document.pdf"}}
BY_ID = {"type": "file", "file": {"file_id": "file-1"}}
MEDIA = [
    ({"type": "audio", "base64": WAV, "mime_type": "audio/wav"}, AUDIO),
    ({"type": "audio", "base64": WAV, "mime_type": "audio/x-wav"}, AUDIO),
    ({"type": "audio", "source_type": "base64", "data": WAV, "mime_type": "audio/wav"}, AUDIO),
    (
        {"type": "audio", "base64": WAV, "mime_type": "audio/mpeg"},
        {"type": "input_audio", "input_audio": {"data": WAV, "format": "mp3"}},
    ),
    (AUDIO, AUDIO),
    ({"type": "file", "base64": PDF, "mime_type": "application/pdf", "filename": "a.pdf"}, FILE),
    ({"type": "file", "base64": PDF, "mime_type": "application/pdf", "extras": {"filename": "a.pdf"}}, FILE),
    (
        {
            "type": "file",
            "source_type": "base64",
            "data": PDF,
            "mime_type": "application/pdf",
            "metadata": {"filename": "a.pdf"},
        },
        FILE,
    ),
    ({"type": "file", "base64": PDF, "mime_type": "application/pdf"}, UNNAMED),
    ({"type": "file", "file_id": "file-1"}, BY_ID),
    ({"type": "file", "source_type": "id", "id": "file-1"}, BY_ID),
    (FILE, FILE),
    (BY_ID, BY_ID),
]


@pytest.mark.parametrize(("block", "sent"), MEDIA)
def test_media_in_every_notation(block, sent):
    with replica(OpenAICompatible, answer="ok") as r:
        chat(r).invoke([HumanMessage([{"type": "text", "text": "What?"}, block])])
        assert r.requests[0].json["messages"][0]["content"][1] == sent


@pytest.mark.parametrize(
    "block",
    [
        {"type": "audio", "url": "https://example.org/a.wav"},
        {"type": "file", "url": "https://example.org/a.pdf"},
        {"type": "audio", "base64": WAV},
    ],
)
def test_media_that_cannot_be_sent(block):
    with replica(OpenAICompatible, answer="ok") as r:
        with pytest.raises(UnsupportedInputError, match="must have base64 data"):
            chat(r).invoke([HumanMessage([block])])
        assert r.requests == []


@pytest.mark.parametrize("block", [AUDIO, FILE])
def test_media_for_a_service_that_takes_none(block):
    with replica(FlowGpt, answer="ok") as r:
        with pytest.raises(UnsupportedInputError, match="takes no"):
            ChatFlowGpt(base_url=r.base_url).invoke([HumanMessage([block])])
        assert r.requests == []


# --- tools ---


def test_tools_that_run_at_the_service():
    search, mcp = (
        {"type": "web_search"},
        {"type": "mcp", "server_label": "x", "server_url": "https://x.example"},
    )
    with replica(OpenAICompatible, answer="ok", service_tools=["web_search", "mcp"]) as r:
        chat(r, native_tools=True).bind_tools([search, add, mcp]).invoke("Hi")
        function, *others = r.requests[0].json["tools"]
        assert function["function"]["name"] == "add"
        assert others == [search, mcp]
        chat(r, native_tools=True).bind_tools([search]).invoke("Hi")
        for refusing in (chat(r, native_tools=False), ChatFlowGpt(base_url=r.base_url)):
            with pytest.raises(UsageError, match="'mcp' runs at the service"):
                refusing.bind_tools([add, mcp]).invoke("Hi")
        assert len(r.requests) == 2


@pytest.mark.parametrize("deltas", ["split", "whole", "merged", "interleaved"])
def test_streamed_arguments(deltas):
    """The pieces add up to what comes whole; without the option calls come whole."""
    calls = [ToolCall("call_1", "add", {"a": 1234567, "b": 2}), ToolCall("call_2", "add", {"a": 3, "b": 4})]
    with replica(OpenAICompatible, answer=[Text("Well."), *calls], tool_deltas=deltas) as r:
        model = chat(r, native_tools=True)
        pieces = list(model.bind_tools([add], stream_tool_arguments=True).stream("Hi"))
        whole = list(model.bind_tools([add]).stream("Hi"))
        in_order = sorted(added(pieces).tool_calls, key=itemgetter("id"))  # they come as they come
        assert in_order == added(whole).tool_calls
        assert [call["id"] for call in in_order] == ["call_1", "call_2"]
        with_calls = [chunk for chunk in whole if chunk.tool_call_chunks]
        assert len(with_calls) == 2
        if deltas == "split":
            assert len([chunk for chunk in pieces if chunk.tool_call_chunks]) > 4
        field = chat(r, native_tools=True, stream_tool_arguments=True).bind_tools([add])
        assert sorted(added(field.stream("Hi")).tool_calls, key=itemgetter("id")) == in_order
        assert field.invoke("Hi").tool_calls == added(whole).tool_calls


def test_streamed_arguments_that_are_no_object():
    """LangChain would complete what was shown of them and run it: the stream ends in an error."""

    def frame(arguments, index):
        call = {"index": index, "id": f"call_{index}", "function": {"name": "add", "arguments": arguments}}
        return {"model": "m", "choices": [{"delta": {"tool_calls": [call]}}]}

    end = {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}
    with replica(
        OpenAICompatible, answer=[frame('{"a": 1, "b": 2}', 0), frame('{"a": 1, "b": "x', 1), end]
    ) as r:
        model = chat(r, native_tools=True, stream_tool_arguments=True).bind_tools([add])
        with pytest.raises(ToolCallError):
            list(model.stream("Hi"))


def test_streamed_arguments_of_calls_without_ids():
    """Each call has one id, which its pieces and the whole call share."""

    def frame(delta, reason=None):
        return {"model": "m", "choices": [{"delta": delta, "finish_reason": reason}]}

    frames = [
        frame({"tool_calls": [{"index": 0, "function": {"name": "add", "arguments": '{"a": 1,'}}]}),
        frame({"tool_calls": [{"index": 0, "function": {"arguments": '"b": 2}'}}]}),
        frame({}, "tool_calls"),
    ]
    with replica(OpenAICompatible, answer=frames) as r:
        model = chat(r, native_tools=True, stream_tool_arguments=True).bind_tools([add])
        (call,) = added(model.stream("Hi")).tool_calls
        assert (call["name"], call["args"]) == ("add", {"a": 1, "b": 2})
        assert call["id"]


def test_streamed_arguments_that_are_cut_inside_a_character():
    """The merged chunks, from which an agent takes its call, have the character."""
    frame = (
        '{"model": "m", "choices": [{"delta": {"tool_calls": [{"index": 0, "id": "c", "function": %s}]}}]}'
    )
    pieces = (r'{"name": "add", "arguments": "{\"a\": \"x\ud83d"}', r'{"arguments": "\ude00y\"}"}')
    body = "".join([f"data: {frame % piece}\n\n" for piece in pieces]) + "data: [DONE]\n\n"
    with replica(OpenAICompatible, answer=[body.encode()]) as r:
        model = chat(r, native_tools=True, stream_tool_arguments=True).bind_tools([add])
        (call,) = added(model.stream("Hi")).tool_calls
    assert call["args"] == {"a": "x\U0001f600y"}


# --- what is not wanted ---


def test_usage_that_is_not_wanted():
    """Said in any of four places, as at `ChatOpenAI`; the nearest counts."""
    no = {"include_usage": False}
    with replica(OpenAICompatible, answer="ok") as r:
        for chunks in (
            chat(r).stream("Hi", stream_usage=False),
            chat(r).stream("Hi", stream_options=no),
            chat(r, model_kwargs={"stream_options": no}).stream("Hi"),
            chat(r, stream_usage=False).stream("Hi"),
        ):
            assert added(chunks).usage_metadata is None
            assert r.requests[-1].json.get("stream_options") in (None, no)
        assert added(chat(r, stream_usage=False).stream("Hi", stream_usage=True)).usage_metadata is not None
        assert r.requests[-1].json["stream_options"] == {"include_usage": True}
        assert chat(r, stream_usage=False).invoke("Hi").usage_metadata is not None


def test_an_empty_answer():
    with replica(OpenAICompatible, answer=[]) as r:
        assert chat(r).invoke("Hi").content == ""
        assert added(chat(r).stream("Hi")).content == ""
        with pytest.raises(Exception, match="empty"):
            chat(r, on_empty="error").invoke("Hi")


# --- the names of others ---


def test_the_names_of_chatopenai():
    """Each has its effect under its own name; nothing of it is lost."""
    with replica(OpenAICompatible, answer="ok", api_key="sk-secret-1234") as r:
        model = ChatOpenAICompatible(
            model_name="m",
            openai_api_key="sk-secret-1234",
            openai_api_base=r.base_url,
            openai_organization="org-1",
            request_timeout=30,
            max_completion_tokens=7,
            stop_sequences=["END"],
            default_headers={"X-Own": "1"},
            presence_penalty=0.5,
            frequency_penalty=0.25,
            seed=3,
            logit_bias={"1": 2},
            reasoning_effort="low",
            service_tier="auto",
            use_responses_api=False,
            http_client=None,
            streaming=False,
            stream_usage=True,
        )
        assert model.invoke("Hi").content == "ok"
        sent, headers = r.requests[0].json, r.requests[0].headers
    assert headers["OpenAI-Organization"] == "org-1"
    assert headers["X-Own"] == "1"
    expected = {
        "max_tokens": 7,
        "stop": ["END"],
        "presence_penalty": 0.5,
        "frequency_penalty": 0.25,
        "seed": 3,
        "logit_bias": {"1": 2},
        "reasoning_effort": "low",
        "service_tier": "auto",
    }
    assert {name: sent[name] for name in expected} == expected
    assert model.timeout == 30
    assert "sk-secret" not in repr(model) + dumps(model) + str(model.model_dump())


@pytest.mark.parametrize("name", ["http_client", "default_query", "use_responses_api", "tiktoken_model_name"])
def test_names_of_chatopenai_that_have_another_form_here(name):
    with pytest.raises(ValueError, match=f"Unknown argument '{name}'. [A-Z]"):
        ChatOpenAICompatible(model="m", base_url="http://127.0.0.1:1", **{name: object()})


def test_options_of_a_service_that_has_none():
    with pytest.raises(ValueError, match="Unknown argument 'seed'"):
        ChatFlowGpt(seed=1)


class Listener(BaseCallbackHandler):
    def __init__(self):
        self.seen = ""

    def on_chat_model_start(self, serialized, messages, **kwargs):
        self.seen += f"{serialized}{kwargs}"


SECRET = "sk-Abc123Def456Ghi789"


@example(("openai_api_key", SECRET))
@example(("apiKey", SECRET))
@example(("token", SECRET))
@example(("keyring", SECRET))
@example(("stop_token", SECRET))
@example(("user", SECRET))
@example(("openai_key", "hunter2zq"))
@given(CREDENTIALS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_key_lands_nowhere_by_any_name(option):
    """Neither in options, nor in a body, a repr, a trace or a saved model; by its own name it is used."""
    name, secret = option
    with replica(OpenAICompatible, answer="ok") as r:
        made, said = [], []
        for make in (
            lambda: chat(r, **{name: secret}),
            lambda: chat(r, model_kwargs={name: secret}),
            lambda: chat(r).bind(**{name: secret}),
            lambda: chat(r).bind(seed=1).bind(**{name: secret}),
            lambda: chat(r).bind_tools([add], **{name: secret}),
            lambda: chat(r).bind_tools([add]).bind(**{name: secret}),
            lambda: chat(r).bind(user={name: [secret]}),
            lambda: chat(r).with_config(configurable={name: secret}),
            lambda: chat(r).bind(seed=1).with_config({"configurable": {name: secret}}).bind(n=1),
            lambda: ChatBackend(backend=OpenAICompatible("m", base_url=r.base_url), **{name: secret}),
        ):
            try:
                made.append(make())
            except ValueError as error:
                said.append(str(error))
        for model in made:
            assert secret not in repr(model) + dumps(model)
        for ask in (
            lambda config: chat(r).invoke("Hi", config, **{name: secret}),
            lambda config: chat(r).invoke("Hi", config, model_kwargs={name: secret}),
            *(lambda config, model=model: model.invoke("Hi", config) for model in made),
        ):
            listener = Listener()
            try:
                ask({"callbacks": [listener]})
            except ValueError as error:
                said.append(str(error))
            said.append(listener.seen)
        assert secret not in str(said)
        for request in r.requests:
            assert secret not in json.dumps(request.json)


def test_pieces_are_chunks():
    """What was added keeps the class that LangChain adds up."""
    with replica(OpenAICompatible, answer=[Refusal("no")]) as r:
        assert all(isinstance(chunk, AIMessageChunk) for chunk in chat(r, logprobs=True).stream("Hi"))


async def test_handlers_find_the_reason_of_the_end_in_the_generation_too():
    """ChatOpenAI has it there as well, and so have the handlers of those who observe it."""
    seen = Handler()
    with replica(OpenAICompatible, answer="ok") as r:
        model, config = chat(r), {"callbacks": [seen]}
        model.invoke("hi", config)
        list(model.stream("hi", config))
        [chunk async for chunk in model.astream("hi", config)]
    assert seen.infos == [{"finish_reason": "stop"}] * 3
