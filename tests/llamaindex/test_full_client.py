"""What the OpenAI family of LlamaIndex tells and takes, on ours: over the strict replica."""

import base64
import io
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
)
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.prompts import PromptTemplate

import freeproviders
from freeproviders.errors import EmptyResponseError, UnsupportedInputError, UsageError
from freeproviders.testing import replica
from freeproviders.types import Refusal, Usage
from llama_index_freeproviders import BackendLLM, FlowGpt, OpenAICompatible, OpenAICompatibleEmbedding
from tests.credentials import CREDENTIALS

HI = [ChatMessage(content="Hi")]
WAV_BYTES = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00"
PDF_BYTES = b"%PDF-1.4 all of it is text"
WAV, PDF = base64.b64encode(WAV_BYTES).decode(), base64.b64encode(PDF_BYTES).decode()


def service(answer, **style):
    return replica(freeproviders.OpenAICompatible, answer=answer, **style)


def llm(r, **fields):
    return OpenAICompatible(model="m", base_url=r.base_url, retry=0, **fields)


async def test_a_function_that_gives_the_key():
    """Asked once for each request, and in nothing that is shown or saved."""
    given = []

    def key():
        given.append(f"sk-secret-{len(given)}")
        return given[-1]

    async def later():
        return key()

    with service("Hi") as r:
        for function in (key, later):
            model = llm(r, api_key=function)
            model.chat(HI)
            await model.achat(HI)
            llm(r).chat(HI, api_key=function)
            assert "function test_a_" not in f"{model!r} {model.to_dict()} {model.to_json()}"
            vectors = OpenAICompatibleEmbedding(model_name="e", base_url=r.base_url, api_key=function)
            vectors.get_text_embedding("a")
        assert [request.headers["Authorization"] for request in r.requests] == [f"Bearer {k}" for k in given]
        assert len(given) == 8


def last(responses):
    return list(responses)[-1]


# --- facts of the answer ---


def test_logprobs():
    """The candidates of each token, or the token itself; nothing where they were not asked for."""
    with service(["One", " two"]) as r:
        asked = llm(r, logprobs=True, top_logprobs=2)
        for response in (asked.chat(HI), last(asked.stream_chat(HI)), asked.complete("Hi")):
            assert [[one.token for one in token] for token in response.logprobs] == [
                ["One"] * 2,
                [" two"] * 2,
            ]
            assert response.logprobs[0][1].logprob == -1.25
            assert response.raw["logprobs"]["content"][0]["token"] == "One"
        alone = llm(r, logprobs=True).chat(HI)
        assert [[one.token for one in token] for token in alone.logprobs] == [["One"], [" two"]]
        assert last(llm(r, additional_kwargs={"logprobs": True}).stream_complete("Hi")).logprobs
        assert llm(r).chat(HI).logprobs is None
        assert last(llm(r).stream_chat(HI)).logprobs is None


async def test_who_answered():
    with service("One two") as r:
        asked = llm(r, include_response_headers=True, service_tier="auto")
        for response in (
            await asked.achat(HI),
            [chunk async for chunk in await asked.astream_chat(HI)][-1],
            await asked.acomplete("Hi"),
        ):
            raw = response.raw
            assert (raw["system_fingerprint"], raw["service_tier"]) == ("fp_replica", "default")
            assert raw["headers"]["x-request-id"] == raw["request_id"]
            json.dumps(raw)
        assert "headers" not in (await llm(r).achat(HI)).raw
        assert "allowances" not in (await llm(r).achat(HI)).raw


def test_what_is_left_of_a_services_limits():
    """Plain data in `raw`; only services of the catalogue announce any."""
    with replica(service="groq", answer="One two") as r:
        core = freeproviders.OpenAICompatible(service="groq", base_url=r.base_url, api_key="k", retry=0)
        model = BackendLLM(backend=core)
        for response in (model.chat(HI), last(model.stream_chat(HI)), model.complete("Hi")):
            requests, tokens = response.raw["allowances"]
            assert (requests["metric"], requests["per"], requests["scope"]) == ("requests", "day", "model")
            assert (tokens["metric"], tokens["per"]) == ("tokens", "minute")
            assert 0 < requests["remaining"] < requests["cap"]
            json.dumps(response.raw)


def test_what_is_left_of_the_limits_that_are_kept():
    quota = freeproviders.Quota(
        [{"metric": "requests", "per": "day", "cap": 50}], ledger="memory", name="llamaindex"
    )
    with service("One two") as r:
        model = llm(r, quota=quota)
        for number, response in enumerate(
            (model.chat(HI), last(model.stream_chat(HI)), model.complete("Hi")), 1
        ):
            [left] = response.raw["quota"]
            assert (left["metric"], left["per"], left["left"]) == ("requests", "day", 50 - number)
            json.dumps(response.raw)


def test_token_counts():
    with service(["One", " two", Usage(3, 2)]) as r:
        counts = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        one = llm(r)
        for response in (
            one.chat(HI),
            last(one.stream_chat(HI)),
            one.complete("Hi"),
            last(one.stream_complete("Hi")),
        ):
            assert response.additional_kwargs == counts
            assert response.raw["usage"]["total_tokens"] == 5


def test_refusal():
    """It is the text, since nobody looks anywhere else, and marked as what it is."""
    with service([Refusal("I will"), Refusal(" not.")]) as r:
        for response in (llm(r).chat(HI), last(llm(r).stream_chat(HI))):
            assert response.message.content == "I will not."
            assert response.message.additional_kwargs["refusal"] == "I will not."
        assert llm(r).complete("Hi").text == "I will not."
        assert "".join(chunk.delta for chunk in llm(r).stream_complete("Hi")) == "I will not."
        assert "".join(chunk.delta for chunk in llm(r).stream_chat(HI)) == "I will not."


def test_an_empty_answer():
    with service([]) as r:
        assert llm(r).chat(HI).message.content in (None, "")
        assert llm(r).complete("Hi").text == ""
        assert last(llm(r).stream_complete("Hi")).text == ""
        with pytest.raises(EmptyResponseError):
            llm(r, on_empty="error").complete("Hi")
        with pytest.raises(EmptyResponseError):
            llm(r).complete("Hi", on_empty="error")


# --- audio and files ---

AUDIO = {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}


def file(name):
    return {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": name}}


@pytest.fixture
def on_disk(tmp_path):
    (tmp_path / "a.wav").write_bytes(WAV_BYTES)
    (tmp_path / "a.pdf").write_bytes(PDF_BYTES)
    return tmp_path


@pytest.mark.parametrize(
    ("make", "sent"),
    [
        (lambda folder: AudioBlock(audio=WAV_BYTES, format="wav"), AUDIO),
        (lambda folder: AudioBlock(audio=WAV_BYTES), AUDIO),
        (lambda folder: AudioBlock(audio=io.BytesIO(WAV_BYTES)), AUDIO),
        (lambda folder: AudioBlock(path=folder / "a.wav"), AUDIO),
        (lambda folder: DocumentBlock(data=PDF_BYTES, title="b.pdf"), file("b.pdf")),
        (lambda folder: DocumentBlock(data=PDF_BYTES), file("input_document.pdf")),
        (lambda folder: DocumentBlock(data=io.BytesIO(PDF_BYTES), title="b.pdf"), file("b.pdf")),
        (lambda folder: DocumentBlock(path=folder / "a.pdf"), file("a.pdf")),
    ],
)
async def test_media(on_disk, make, sent):
    """Bytes, open files and paths, whose files are not read on the event loop."""
    message = ChatMessage(blocks=[TextBlock(text="What?"), make(on_disk)])
    with service("ok") as r:
        await llm(r).achat([message])
        assert r.requests[0].json["messages"][0]["content"][1] == sent
        _ = [chunk async for chunk in await llm(r).astream_chat([message])]
        assert r.requests[1].json["messages"][0]["content"][1] == sent


def test_a_document_that_is_text_stays_text():
    with service("ok") as r:
        llm(r).chat([ChatMessage(blocks=[DocumentBlock(data=b"All of it.", title="a.txt")])])
        assert r.requests[0].json["messages"][0]["content"] == "a.txt:\nAll of it."


@pytest.mark.parametrize(
    "block",
    [
        AudioBlock(url="https://example.org/a.wav", format="wav"),
        AudioBlock(audio=b"no known format"),
        DocumentBlock(url="https://example.org/a.pdf"),
    ],
)
def test_media_that_cannot_be_sent(block):
    with service("ok") as r:
        with pytest.raises(UnsupportedInputError):
            llm(r).chat([ChatMessage(blocks=[block])])
        assert r.requests == []


def test_media_for_a_service_that_takes_none():
    with replica(freeproviders.FlowGpt, answer="ok") as r:
        for block in (AudioBlock(audio=WAV_BYTES, format="wav"), DocumentBlock(data=PDF_BYTES)):
            with pytest.raises(UnsupportedInputError, match="takes no"):
                FlowGpt(base_url=r.base_url).chat([ChatMessage(blocks=[block])])
        assert r.requests == []


# --- the query wrapper ---


def test_pictures_stay_in_a_wrapped_message():
    """And everything else about the message; the words are wrapped as one text."""
    message = ChatMessage(
        role=MessageRole.USER,
        blocks=[
            TextBlock(text="What"),
            ImageBlock(url="https://example.org/a.png"),
            TextBlock(text="is this?"),
        ],
        additional_kwargs={"name": "ann"},
    )
    with service("ok") as r:
        wrapped = llm(r, query_wrapper_prompt=PromptTemplate("Briefly: {query_str}"))
        (out,) = wrapped._extend_messages([message])
        assert out.content == "Briefly: What\nis this?"
        assert [block.block_type for block in out.blocks] == ["text", "image"]
        assert out.additional_kwargs == {"name": "ann"}
        assert len(message.blocks) == 3
        wrapped.chat([out])
        sent = r.requests[0].json["messages"][0]
        assert sent["name"] == "ann"
        assert [part["type"] for part in sent["content"]] == ["text", "image_url"]
        only_a_picture = ChatMessage(blocks=[ImageBlock(url="https://example.org/a.png")])
        assert wrapped._extend_messages([only_a_picture]) == [only_a_picture]


# --- the names of others ---


def test_the_names_of_openailike():
    with service("ok", api_key="sk-secret-1234", extra_keys=["top_k"]) as r:
        made = OpenAICompatible(
            model_name="m",
            api_base=r.base_url,
            api_key="sk-secret-1234",
            request_timeout=30,
            max_retries=0,
            default_headers={"X-Own": "1"},
            max_completion_tokens=7,
            is_chat_model=True,
            is_function_calling_model=True,
            should_use_structured_outputs=True,
            context_window=4096,
            reuse_client=False,
            strict=False,
            http_client=None,
            tokenizer=None,
            logprobs=True,
            top_logprobs=1,
            reasoning_effort="low",
            seed=3,
            additional_kwargs={"user": "ann", "extra_body": {"top_k": 3}},
        )
        made.complete("Hi")
        sent, headers = r.requests[0].json, r.requests[0].headers
    expected = {
        "model": "m",
        "max_tokens": 7,
        "logprobs": True,
        "top_logprobs": 1,
        "reasoning_effort": "low",
        "seed": 3,
        "user": "ann",
        "top_k": 3,
    }
    assert {name: sent[name] for name in expected} == expected
    assert headers["X-Own"] == "1"
    assert (made.timeout, made.retry, made.metadata.context_window) == (30, 0, 4096)
    assert made.json_schema is True
    assert made.metadata.is_function_calling_model
    assert "sk-secret" not in repr(made) + str(made.to_dict())
    assert "top_k" not in str(made.to_dict())
    assert not llm(r, is_function_calling_model=False).metadata.is_function_calling_model


@pytest.mark.parametrize(
    "fields",
    [
        {"is_chat_model": False},
        {"http_client": object()},
        {"tokenizer": "gpt2"},
        {"api_version": "v2"},
        {"strict": True},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_names_of_openailike_that_have_another_form_here(fields):
    with pytest.raises(UsageError, match=f"Unknown argument '{next(iter(fields))}'. [A-Z]"):
        OpenAICompatible(model="m", base_url="http://127.0.0.1:1", **fields)


def test_two_names_of_one_thing():
    with pytest.raises(UsageError, match="max_new_tokens and max_tokens are two names"):
        OpenAICompatible(model="m", base_url="http://127.0.0.1:1", max_tokens=5, max_new_tokens=6)
    with pytest.raises(UsageError, match="Unknown argument 'seed'"):
        FlowGpt(seed=1)


@pytest.mark.parametrize(
    "name", ["native_tools", "json_schema", "fallback", "function_calling", "num_output"]
)
def test_what_belongs_to_the_constructor_is_no_option(name):
    llm = OpenAICompatible(model="m", base_url="http://127.0.0.1:1")
    with pytest.raises(UsageError, match=f"{name} belongs to the constructor"):
        llm.complete("Hi", **{name: True})


def test_options_and_second_names_of_a_call():
    with replica("openai-compatible", answer="ok") as r:
        llm = OpenAICompatible(
            model="m", base_url=r.base_url, max_tokens=7, additional_kwargs={"seed": 1, "user": "ann"}
        )
        llm.complete("Hi", additional_kwargs={"user": "bob", "seed": 2}, seed=4, max_completion_tokens=5)
        sent = r.requests[-1].json
    assert (sent["seed"], sent["user"], sent["max_tokens"]) == (4, "bob", 5)
    assert not sent.keys() & {"additional_kwargs", "max_completion_tokens"}


class Listener(BaseEventHandler):
    seen: list[str] = []  # noqa: RUF012 - a field

    @classmethod
    def class_name(cls):
        return "Listener"

    def handle(self, event, **kwargs):
        self.seen.append(f"{event!r}{event.model_dump()}")


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
    """Neither in options, nor in a body, a repr, an event or a saved LLM; by its own name it is used."""
    name, secret = option
    listener = Listener()
    listener.seen.clear()
    root = get_dispatcher()
    root.add_event_handler(listener)
    said = []
    try:
        with service("ok") as r:
            made = []
            for make in (
                lambda: llm(r, **{name: secret}),
                lambda: llm(r, additional_kwargs={name: secret}),
                lambda: llm(r, additional_kwargs={"metadata": {name: [secret]}}),
                lambda: BackendLLM(
                    backend=freeproviders.OpenAICompatible("m", base_url=r.base_url), **{name: secret}
                ),
            ):
                try:
                    made.append(make())
                except ValueError as error:
                    said.append(str(error))
            for one in made:
                said.append(repr(one) + str(one.to_dict()) + str(one.to_payload()))
            for ask in (
                lambda: llm(r).chat(HI, **{name: secret}),
                lambda: llm(r).complete("Hi", **{name: secret}),
                *(lambda one=one: one.chat(HI) for one in made),
            ):
                try:
                    ask()
                except ValueError as error:
                    said.append(str(error))
            said += [json.dumps(request.json) for request in r.requests]
    finally:
        root.event_handlers.remove(listener)
    assert secret not in str(said + listener.seen)
    assert listener.seen
