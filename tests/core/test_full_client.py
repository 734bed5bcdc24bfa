"""What only services of the OpenAI protocol tell and take, in the core, over a strict replica."""

import asyncio
import base64
import json

import pytest

from freeproviders import FlowGpt, OpenAICompatible, Retry, errors
from freeproviders.backend import Backend
from freeproviders.testing import replica
from freeproviders.types import (
    AudioBlock,
    FileBlock,
    Finish,
    LogProbs,
    Message,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolCallDelta,
    Usage,
    collect,
)
from freeproviders.wire.json import dumps
from freeproviders.wire.openai.answer import ChatDecoder
from freeproviders.wire.openai.writer import ChunkWriter, DocumentWriter

HI = [{"role": "user", "content": "Hi"}]
PDF = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.4").decode()
WAV = base64.b64encode(b"RIFF").decode()
ADD = Tool("add", "", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})


def of(r, **configuration):
    return OpenAICompatible("m", base_url=r.base_url, retry=0, **configuration)


# --- facts of the answer ---


@pytest.mark.parametrize("stream", [False, True])
async def test_logprobs(stream):
    """All tokens of the answer have theirs, in order, streamed or whole; without asking none has."""
    with replica(OpenAICompatible, answer=["One", " two", " three"]) as r:
        ask = {"logprobs": True, "top_logprobs": 2}
        if stream:
            answer = collect([part async for part in of(r).stream(HI, **ask)])
        else:
            answer = await of(r).complete(HI, **ask)
        assert answer.text == "One two three"
        tokens = answer.logprobs["content"]
        assert [token["token"] for token in tokens] == ["One", " two", " three"]
        assert [len(token["top_logprobs"]) for token in tokens] == [2, 2, 2]
        assert (await of(r).complete(HI)).logprobs is None
        parts = [part async for part in of(r).stream(HI)]
        assert not any(isinstance(part, LogProbs) for part in parts)


async def test_logprobs_beside_tools():
    """The engine hands them on."""
    with replica(OpenAICompatible, answer=["One", " two"]) as r:
        parts = [part async for part in of(r, native_tools=True).stream(HI, tools=[ADD], logprobs=True)]
        assert len(collect(parts).logprobs["content"]) == 2
        parts = [part async for part in of(r).stream(HI, reasoning="split", logprobs=True)]
        assert len(collect(parts).logprobs["content"]) == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_who_answered(stream):
    """Fingerprint, tier and request id are always told, headers where they are asked for."""
    faults = {"headers": {"Set-Cookie": "a=s3cret", "X-RateLimit-Remaining": "7"}}
    with replica(OpenAICompatible, answer="Hello there", faults=faults) as r:
        backend = of(r)
        finish = collect([part async for part in backend.stream(HI, service_tier="auto")]).finish
        assert finish.system_fingerprint == "fp_replica"
        assert finish.service_tier == "default"
        assert finish.request_id.startswith("req_")
        assert finish.headers is None
        if stream:
            asked = [part async for part in backend.stream(HI, include_response_headers=True)][-1]
        else:
            asked = (await backend.complete(HI, include_response_headers=True)).finish
        assert asked.headers["x-request-id"] == asked.request_id
        assert asked.headers["content-type"].startswith(("text/event-stream", "application/json"))
        assert "s3cret" not in str(asked)
        assert asked.service_tier is None


def test_facts_that_come_late():
    """One service names the tier with the usage only."""
    decoder = ChatDecoder()
    decoder.feed(b'data: {"id":"1","model":"m","choices":[{"delta":{"content":"a"}}]}\n\n')
    decoder.feed(
        b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1},'
        b'"system_fingerprint":"fp","service_tier":"flex"}\n\n'
    )
    assert (decoder.system_fingerprint, decoder.service_tier) == ("fp", "flex")


async def test_refusal():
    """It is kept apart from text, and is the text of those who want nothing else."""
    with replica(OpenAICompatible, answer=[Refusal("I will"), Refusal(" not.")]) as r:
        for answer in (
            await of(r).complete(HI),
            collect([part async for part in of(r).stream(HI)]),
            collect([part async for part in of(r).stream(HI, reasoning="split")]),
        ):
            assert (answer.text, answer.refusal, str(answer)) == ("", "I will not.", "I will not.")
        texts = [text async for text in of(r).create_async_generator(messages=HI)]
        assert "".join(texts) == "I will not."
        assert len(r.requests) == 4


# --- several answers ---


async def test_several_answers():
    """One request of a service that gives several, and many of one that does not."""
    with replica(OpenAICompatible, answer=["One", " two"]) as r:
        answer = await of(r).complete(HI, n=3, logprobs=True)
        assert len(r.requests) == 1
        assert r.requests[0].json["n"] == 3
        assert [answer.text, *(other.text for other in answer.others)] == ["One two"] * 3
        assert [other.finish.reason for other in answer.others] == ["stop", "stop"]
        assert len(answer.others[1].logprobs["content"]) == 2
    with replica(FlowGpt, answer="One two") as r:
        answer = await FlowGpt(base_url=r.base_url, retry=0).complete(HI, n=3)
        assert len(r.requests) == 3
        assert [answer.text, *(other.text for other in answer.others)] == ["One two"] * 3
        one = await FlowGpt(base_url=r.base_url, retry=0).complete(HI)
        assert answer.usage == one.usage + one.usage + one.usage


async def test_several_answers_with_thinking():
    """Each is split, however it came."""
    with replica(OpenAICompatible, answer="<think>Hm.</think>One two") as r:
        for options in ({}, {"reasoning": "split"}):
            answer = await of(r).complete(HI, n=2, **options)
            assert [(one.reasoning, one.text) for one in (answer, *answer.others)] == [("Hm.", "One two")] * 2
        kept = await of(r).complete(HI, n=2, reasoning="keep")
        assert [one.text for one in (kept, *kept.others)] == ["<think>Hm.</think>One two"] * 2


async def test_a_further_answer_that_is_nothing_but_thinking():
    """It is asked for again, alone, and counts."""
    choices = [
        {"message": {"content": said}, "finish_reason": "stop"} for said in ("One", "<think>Hm.</think>")
    ]
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    body = {"choices": choices, "model": "m", "usage": usage}
    turns = iter([[body], ["Two"]])
    with replica(OpenAICompatible, answer=lambda _: next(turns), faults={"no_stream": True}) as r:
        provider = OpenAICompatible("m", base_url=r.base_url, retry=Retry(first=0, jitter=0))
        answer = await provider.complete(HI, n=2)
        assert [answer.text, *(other.text for other in answer.others)] == ["One", "Two"]
        assert [sent.json.get("n", 1) for sent in r.requests] == [2, 1]
        assert answer.usage.output_tokens > 5
        assert not answer.usage.estimated


async def test_several_answers_with_tools():
    """Each is mended on its own: they are asked for one by one."""
    said = '<tool_call>{"name": "add", "arguments": {"a": "3"}}</tool_call>'
    with replica(OpenAICompatible, answer=said) as r:
        answer = await of(r).complete(HI, n=2, tools=[ADD])
        assert len(r.requests) == 2
        calls = [answer.tool_calls, *(other.tool_calls for other in answer.others)]
        assert [dict(call.arguments) for (call,) in calls] == [{"a": 3}, {"a": 3}]


async def test_a_service_that_knows_no_n():
    """It answers once, and is asked for the rest; stop sequences count in each answer."""
    body = {"choices": [{"message": {"content": "One. Two"}, "finish_reason": "stop"}], "model": "m"}
    with replica(OpenAICompatible, answer=lambda messages: [body], faults={"no_stream": True}) as r:
        answer = await of(r).complete(HI, n=3)
        assert [other.text for other in answer.others] == ["One. Two"] * 2
        assert len(r.requests) == 3
    with replica(OpenAICompatible, answer="One. Two. Three") as r:
        answer = await of(r).complete(HI, n=2, stop=["a", "b", "c", "d", "Two"])
        assert [answer.text, answer.others[0].text] == ["One. ", "One. "]


async def test_a_stream_has_one_answer():
    with replica(OpenAICompatible, answer="One") as r, pytest.raises(errors.UsageError, match="streamed"):
        of(r).stream(HI, n=2)
    assert r.requests == []


async def test_a_failure_among_several_ends_all():
    """The error comes out, and no request is left behind."""
    with replica(FlowGpt, answer="One", faults=[{}, {"status": 400}, {"delay_first": 30}]) as r:
        with pytest.raises(errors.ProviderError):
            await asyncio.wait_for(FlowGpt(base_url=r.base_url, retry=0).complete(HI, n=3), 20)


# --- audio and files ---

MEDIA = [
    (AudioBlock(WAV, "wav"), {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}),
    (FileBlock(PDF, "a.pdf"), {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}}),
    (FileBlock(file_id="file-1"), {"type": "file", "file": {"file_id": "file-1"}}),
]


@pytest.mark.parametrize(("block", "written"), MEDIA, ids=["audio", "file", "file_id"])
async def test_media(block, written):
    """Both ways: read from the protocol's form, and sent in it."""
    asked = {"role": "user", "content": [{"type": "text", "text": "What?"}, written]}
    assert Message.of(asked).content[1] == block
    with replica(OpenAICompatible, answer="ok") as r:
        await of(r).complete([asked])
        assert r.requests[0].json["messages"][0]["content"][1] == written
        assert r.requests[0].refusal is None
        await of(r).complete([asked], tools=[ADD])  # through the prompt
        sent = r.requests[-1].json["messages"]
        assert written in [part for message in sent for part in message["content"] if isinstance(part, dict)]


@pytest.mark.parametrize("written", [written for _, written in MEDIA], ids=["audio", "file", "file_id"])
async def test_media_for_a_service_that_takes_none(written):
    with replica(FlowGpt, answer="ok") as r:
        with pytest.raises(errors.UnsupportedInputError, match=r"takes no (audio|files)"):
            FlowGpt(base_url=r.base_url).stream([{"role": "user", "content": [written]}])
        assert r.requests == []


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "no base64!", "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": WAV, "format": "flac"}},
        {"type": "file", "file": {"file_data": PDF}},
        {"type": "file", "file": {"file_data": "JVBERi0=", "filename": "a.pdf"}},
    ],
    ids=str,
)
async def test_the_replica_knows_wrong_media(part):
    with replica(OpenAICompatible, answer="ok") as r, pytest.raises(errors.BadRequestError):
        await of(r).complete([{"role": "user", "content": [part]}])


# --- tools that run at the service ---

SEARCH = {"type": "web_search", "search_context_size": "low"}


async def test_service_tools():
    """They travel as they are, alone and beside functions; elsewhere they are refused before any I/O."""
    with replica(OpenAICompatible, answer="ok", service_tools=["web_search"]) as r:
        native = of(r, native_tools=True)
        await native.complete(HI, tools=[SEARCH])
        await native.complete(HI, tools=[SEARCH, ADD])
        assert r.requests[0].json["tools"] == [SEARCH]
        assert r.requests[1].json["tools"] == [ADD.to_openai(), SEARCH]
        prompted = of(r, native_tools=False)
        for tools in ([SEARCH], [SEARCH, ADD]):
            with pytest.raises(errors.UsageError, match="'web_search' runs at the service"):
                prompted.stream(HI, tools=tools)
            with pytest.raises(errors.UsageError, match="'web_search' runs at the service"):
                FlowGpt(base_url=r.base_url).stream(HI, tools=tools)
        assert len(r.requests) == 2


# --- arguments as they come ---


async def test_streamed_arguments():
    """Pieces of a call come as the service sends them, and add up to the call; by default none comes."""
    call = ToolCall("call_1", "add", {"a": 12345678})
    with replica(OpenAICompatible, answer=[Text("Well."), call]) as r:
        native = of(r, native_tools=True)
        parts = [part async for part in native.stream(HI, tools=[ADD], stream_tool_arguments=True)]
        deltas = [part for part in parts if isinstance(part, ToolCallDelta)]
        assert len(deltas) > 2
        assert (deltas[0].id, deltas[0].name) == ("call_1", "add")
        assert all((delta.id, delta.name) == ("", "") for delta in deltas[1:])
        assert "".join(delta.arguments for delta in deltas) == '{"a":12345678}'
        assert collect(parts).tool_calls == (call,)
        for answer in (
            [part async for part in native.stream(HI, tools=[ADD])],
            [part async for part in of(r).stream(HI, stream_tool_arguments=True)],
        ):
            assert not any(isinstance(part, ToolCallDelta) for part in answer[:1])
        whole = await native.complete(HI, tools=[ADD], stream_tool_arguments=True)
        assert whole.tool_calls == (call,)


async def test_streamed_arguments_that_are_cut():
    """The end of a transfer inside a call is an error, whatever was shown of the call."""
    call = ToolCall("call_1", "add", {"a": 12345678})
    with replica(OpenAICompatible, answer=[call], faults={"end": 700}) as r:
        shown = []
        with pytest.raises(errors.ProviderError):
            async for part in of(r, native_tools=True).stream(HI, tools=[ADD], stream_tool_arguments=True):
                shown.append(part)
        assert not any(isinstance(part, ToolCall) for part in shown)


# --- empty answers ---


@pytest.mark.parametrize("stream", [False, True])
async def test_an_empty_answer_that_the_service_calls_complete(stream):
    """It is an answer where a service of the OpenAI protocol says `stop`, unless the caller minds."""
    with replica(OpenAICompatible, answer=[]) as r:
        if stream:
            answer = collect([part async for part in of(r).stream(HI)])
        else:
            answer = await of(r).complete(HI)
        assert (answer.text, answer.finish.reason, answer.finish.confirmed) == ("", "stop", True)
        with pytest.raises(errors.EmptyResponseError):
            await of(r).complete(HI, on_empty="error")
    with replica(OpenAICompatible, answer=[], faults={"no_finish": True}) as r:
        with pytest.raises(errors.EmptyResponseError):
            await of(r).complete(HI)
    with replica(OpenAICompatible, answer=[Reasoning("Hm.")]) as r:
        assert (await of(r).complete(HI)).text == ""


async def test_an_empty_answer_of_other_services():
    """Nothing there says that it is complete: `allow` changes nothing."""
    with replica(FlowGpt, answer=[]) as r:
        for on_empty in (None, "error", "allow"):
            with pytest.raises(errors.EmptyResponseError):
                await FlowGpt(base_url=r.base_url, retry=0).complete(HI, on_empty=on_empty)
    with pytest.raises(errors.UsageError, match="on_empty must be one of error, allow"):
        FlowGpt().stream(HI, on_empty="never")


async def test_an_empty_answer_with_tools():
    """The engine asks again, and only the caller's own word lets it end empty."""
    with replica(OpenAICompatible, answer=[]) as r:
        for native in (False, True):
            with pytest.raises(errors.EmptyResponseError):
                await of(r, native_tools=native).complete(HI, tools=[ADD])
            answer = await of(r, native_tools=native).complete(HI, tools=[ADD], on_empty="allow")
            assert (answer.text, answer.tool_calls) == ("", ())


async def test_an_empty_answer_of_a_foreign_backend():
    class Silent:
        name, model = "Silent", "m"

        async def batches(self, request):
            yield [Finish("stop")]

    assert (await Backend.of(Silent()).complete(HI, on_empty="allow")).text == ""
    with pytest.raises(errors.EmptyResponseError):
        await Backend.of(Silent()).complete(HI)


# --- what is asked for ---


async def test_usage_that_is_not_wanted():
    """Then it is not asked for, which some services refuse."""
    with replica(OpenAICompatible, answer="ok") as r:
        for options in ({"stream_usage": False}, {"stream_options": {"include_usage": False}}):
            parts = [part async for part in of(r).stream(HI, **options)]
            assert r.requests[-1].json.get("stream_options") in (None, {"include_usage": False})
            (usage,) = [part for part in parts if isinstance(part, Usage)]
            assert usage.estimated


async def test_extra_body_is_merged():
    with replica(OpenAICompatible, answer="ok", extra_keys=["top_k"]) as r:
        await of(r).complete(HI, extra_body={"top_k": 3}, seed=1)
        assert r.requests[0].json["top_k"] == 3
        assert "extra_body" not in r.requests[0].json


# --- written again ---


@pytest.mark.parametrize("stream", [False, True])
def test_writer_and_reader_agree(stream):
    """Whatever a stream holds is read back from what the writer makes of it."""
    said = [
        LogProbs({"content": [{"token": "a", "logprob": -1.0, "bytes": None, "top_logprobs": []}]}),
        Text("a"),
        Refusal("no"),
        Usage(3, 4),
        Finish("stop", system_fingerprint="fp", service_tier="flex"),
    ]
    decoder = ChatDecoder(logprobs=True)
    if stream:
        writer = ChunkWriter("m", include_usage=True, system_fingerprint="fp", service_tier="flex")
        frames = [writer.start(), *(chunk for part in said for chunk in writer.part(part)), *writer.end()]
        data = b"".join(b"data: " + dumps(frame) + b"\n\n" for frame in frames) + b"data: [DONE]\n\n"
    else:
        document = DocumentWriter("m")
        for part in said:
            document.part(part)
        data = dumps(document.end())
    batch = decoder.feed(data) + decoder.close()
    assert sorted(batch, key=said.index) == said[:3]
    assert decoder.usage == Usage(3, 4)
    assert (decoder.system_fingerprint, decoder.service_tier) == ("fp", "flex")


def test_secrets_are_not_shown():
    """A recording and a document are not for logs."""
    shown = repr(Message("user", (AudioBlock(WAV, "wav"), FileBlock(PDF, "a.pdf"))))
    assert WAV not in shown
    assert PDF not in shown


# --- the environment ---


def test_a_class_with_a_name_of_its_own_has_its_own_variables(monkeypatch):
    """The base's key is another service's."""
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", "sk-of-the-base")
    monkeypatch.setenv("MY_HOUSE_API_KEY", "sk-my-own")

    class MyHouse(OpenAICompatible):
        name = "MyHouse"

    class Tweaked(OpenAICompatible):
        default_max_tokens = 5

    mine = MyHouse("m", base_url="http://127.0.0.1:9")
    assert (mine.slug, mine.api_key, mine.api_key_env) == ("my-house", "sk-my-own", "MY_HOUSE_API_KEY")
    base = Tweaked("m", base_url="http://127.0.0.1:9")
    assert (base.api_key, base.api_key_env) == ("sk-of-the-base", "OPENAI_COMPATIBLE_API_KEY")


def test_an_empty_proxy_switches_the_environments_off(monkeypatch):
    monkeypatch.setenv("FLOW_GPT_PROXY", "http://127.0.0.1:9")
    assert FlowGpt().route.proxy == "http://127.0.0.1:9"
    assert FlowGpt(proxy="").route.proxy is None
    assert FlowGpt().configured(proxy="").route.proxy is None
    monkeypatch.setenv("FLOW_GPT_PROXY", "no address at all")
    assert FlowGpt(proxy="").route.proxy is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("FLOW_GPT_PROXY", "no address"), ("FLOW_GPT_API_KEY", "two\nlines"), ("FLOW_GPT_API_BASE", "nowhere")],
)
def test_an_error_names_the_variable_that_it_comes_from(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(errors.UsageError, match=name):
        FlowGpt()


async def test_the_limit_has_another_name_where_the_service_says_so():
    """Models that think take `max_completion_tokens` only; it is asked once and remembered."""
    said = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    with replica(OpenAICompatible, answer="ok", faults=[{"status": 400, "error": said}]) as r:
        backend = of(r)
        assert (await backend.complete(HI, max_tokens=7)).text == "ok"
        assert (await backend.complete(HI, max_tokens=8)).text == "ok"
        limits = [(q.json.get("max_tokens"), q.json.get("max_completion_tokens")) for q in r.requests]
        assert limits == [(7, None), (None, 7), (None, 8)]
        await of(r).complete(HI, max_tokens=9)
        assert r.requests[-1].json["max_tokens"] == 9


DEVELOPER = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("host", "role"),
    [
        ("api.openai.com", "developer"),
        ("eu.api.openai.com", "developer"),
        ("mine.openai.azure.com", "developer"),
        ("api.openai.com.example", "system"),
        ("not-api.openai.com", "system"),
        ("openai.azure.com.example", "system"),
        ("127.0.0.1", "system"),
    ],
)
def test_the_role_developer_is_openais(host, role):
    """Templates of other models drop it or raise, so that its words would be lost there."""
    provider = OpenAICompatible("m", base_url=f"https://{host}/v1")
    for messages in (DEVELOPER, [{**DEVELOPER[0], "role": "system"}, DEVELOPER[1]]):
        body = json.loads(provider.encode(provider.request(messages)).body)
        given = messages[0]["role"]
        assert [one["role"] for one in body["messages"]] == [
            role if given == "developer" else "system",
            "user",
        ]
    assert [one["content"] for one in body["messages"]] == ["Be brief.", "Hi"]


@pytest.mark.parametrize(("provider", "model"), [(OpenAICompatible, "m"), (FlowGpt, None)])
async def test_the_role_developer_is_obeyed_everywhere(provider, model):
    with replica(provider, answer="Hi") as server:
        await provider(model, base_url=server.base_url).complete(DEVELOPER)
        assert "Be brief." in server.requests[-1].body.decode()
        assert "developer" not in server.requests[-1].body.decode()
