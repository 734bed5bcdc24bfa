"""The eight methods, on every service's replica."""

import asyncio

import pytest
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.prompts import PromptTemplate

from freeproviders.errors import (
    EmptyResponseError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
    UnsupportedOptionWarning,
    UsageError,
)
from freeproviders.testing import replica
from freeproviders.types import Reasoning, Text
from llama_index_freeproviders import FlowGpt, OpenAICompatible
from tests.llamaindex.services import HI, SERVICES, gathered

ANSWER = "Grüße,  world!\u2028 Line\nends. 🙂"
each_service = pytest.mark.parametrize("service", SERVICES, ids=str)


@each_service
def test_the_sync_four(service):
    with replica(service.provider, answer=ANSWER) as r:
        llm = service.llm(r)
        assert llm.chat(HI).message.content == ANSWER
        assert llm.chat(HI).message.role == MessageRole.ASSISTANT
        assert llm.complete("Hi").text == ANSWER
        check_chunks(list(llm.stream_chat(HI)), lambda chunk: chunk.message.content)
        check_chunks(list(llm.stream_complete("Hi")), lambda chunk: chunk.text)


@each_service
async def test_the_async_four(service):
    async with replica(service.provider, answer=ANSWER) as r:
        llm = service.llm(r)
        assert (await llm.achat(HI)).message.content == ANSWER
        assert (await llm.acomplete("Hi")).text == ANSWER
        check_chunks(await gathered(llm.astream_chat(HI)), lambda chunk: chunk.message.content)
        check_chunks(await gathered(llm.astream_complete("Hi")), lambda chunk: chunk.text)


def check_chunks(chunks, text_of):
    assert len(chunks) > 1
    so_far = ""
    for chunk in chunks[:-1]:
        assert chunk.delta
        so_far += chunk.delta
        assert text_of(chunk) == so_far
    last = chunks[-1]
    assert text_of(last) == so_far == ANSWER
    assert last.delta == ""
    assert type(last.raw) is dict
    assert last.raw["usage"]["completion_tokens"] > 0
    assert last.raw["provider"]


@each_service
def test_the_whole_answer_has_usage(service):
    with replica(service.provider, answer="four words are here") as r:
        raw = service.llm(r).chat(HI).raw
        assert type(raw) is dict
        assert raw["usage"]["prompt_tokens"] > 0
        assert (
            raw["usage"]["total_tokens"] == raw["usage"]["prompt_tokens"] + raw["usage"]["completion_tokens"]
        )
        assert raw["provider"] == service.provider.name


@each_service
async def test_closing_a_stream_ends_the_request(service):
    async with replica(service.provider, answer=["a "] * 50, faults={"pace": 0.05}) as r:
        stream = await service.llm(r).astream_chat(HI)
        assert (await anext(stream)).delta
        await stream.aclose()
        assert await r.await_disconnect(timeout=60) == 1


def test_closing_a_sync_stream_ends_the_request():
    with replica("flow-gpt", answer=["a "] * 50, faults={"pace": 0.05}) as r:
        stream = FlowGpt(base_url=r.base_url).stream_complete("Hi")
        assert next(stream).delta
        stream.close()
        assert r.wait_disconnect(timeout=60) == 1


async def test_cancelling_the_task_ends_the_request():
    async with replica("flow-gpt", answer=["a "] * 50, faults={"pace": 0.05}) as r:
        task = asyncio.create_task(FlowGpt(base_url=r.base_url).achat(HI))
        await r.await_requests()
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await r.await_disconnect(timeout=60) == 1


async def test_a_stream_nobody_reads_sends_nothing():
    async with replica("flow-gpt") as r:
        stream = await FlowGpt(base_url=r.base_url).astream_chat(HI)
        await stream.aclose()
        assert not r.requests


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        ({"status": 503}, ServerError),
        ({"quota": True}, RateLimitError),
        ({"empty": True}, EmptyResponseError),
        ({"error": "the model broke", "error_at": 2}, Exception),
        ({"stall": 1}, ProviderTimeoutError),
    ],
)
@pytest.mark.parametrize(
    "method",
    [
        "chat",
        "achat",
        "stream_chat",
        "astream_chat",
        "complete",
        "acomplete",
        "stream_complete",
        "astream_complete",
    ],
)
async def test_errors_are_the_cores_own(faults, error, method):
    async with replica("flow-gpt", answer="one two three", faults=faults) as r:
        llm = FlowGpt(base_url=r.base_url, retry=0, timeout=0.6)
        with pytest.raises(error) as caught:
            await call(llm, method)
        assert type(caught.value).__module__ == "freeproviders.errors"
        assert caught.value.provider == "FlowGpt"


async def call(llm, method):
    """Call any of the eight and read all of it; sync ones on a thread, as servers do."""
    given = "Hi" if "complete" in method else HI
    function = getattr(llm, method)
    if method.startswith("astream"):
        return await gathered(function(given))
    if method.startswith("a"):
        return await function(given)
    if method.startswith("stream"):
        return await asyncio.to_thread(lambda: list(function(given)))
    return await asyncio.to_thread(function, given)


async def test_it_is_retried_before_the_first_text_and_once_only_by_the_core():
    async with replica("flow-gpt", answer="at last", faults=[{"status": 503}, {"status": 503}]) as r:
        llm = FlowGpt(base_url=r.base_url, retry=2, timeout=20)
        response = await llm.achat(HI)
        assert response.message.content == "at last"
        assert response.raw["attempts"] == len(r.requests) == 3


async def test_request_options_of_the_model_and_of_the_call():
    async with replica("openai-compatible", answer="ok") as r:
        llm = OpenAICompatible(
            "m",
            base_url=r.base_url,
            temperature=0.5,
            max_tokens=50,
            stop="END",
            additional_kwargs={"seed": 7},
            extra_body={"user": "ann"},
        )
        await llm.achat(HI)
        sent = r.requests[-1].json
        assert (sent["temperature"], sent["max_tokens"], sent["stop"], sent["seed"], sent["stream"]) == (
            0.5,
            50,
            ["END"],
            7,
            False,
        )
        assert sent["user"] == "ann"
        await gathered(llm.astream_chat(HI, temperature=0.0, max_tokens=None, model="other", seed=8))
        sent = r.requests[-1].json
        assert (sent["temperature"], sent["max_tokens"], sent["model"], sent["seed"], sent["stream"]) == (
            0.0,
            50,
            "other",
            8,
            True,
        )


def test_what_llamaindex_passes_along_is_not_sent():
    with replica("openai-compatible", answer="ok") as r:
        llm = OpenAICompatible("m", base_url=r.base_url)
        llm.complete("Hi", formatted=True)
        llm.chat(
            HI,
            tool_choice=None,
            tool_required=False,
            verbose=True,
            error_on_no_tool_call=False,
            allow_parallel_tool_calls=False,
        )
        for request in r.requests:
            assert set(request.json) == {"model", "messages", "stream"}


def test_stop_sequences_work_on_a_service_without_them():
    with replica("ai-chat-free", answer="one two END three") as r:
        llm = SERVICES[3].llm(r, stop=["END"])
        assert llm.complete("count").text == "one two "


def test_a_setting_that_a_service_cannot_take_is_said_once():
    with replica("ai-chat-free", answer="ok") as r:
        llm = SERVICES[3].llm(r, temperature=0.5)
        with pytest.warns(UnsupportedOptionWarning, match="temperature"):
            llm.complete("a")
        llm.complete("b")  # warnings of ours are errors here


def test_mistakes_are_found_before_anything_is_sent():
    with replica("flow-gpt") as r:
        llm = FlowGpt(base_url=r.base_url)
        for wrong in ({"max_tokens": 0}, {"stop": [""]}, {"model": "no-such"}):
            with pytest.raises(UsageError):
                llm.chat(HI, **wrong)
            with pytest.raises(UsageError):
                llm.stream_chat(HI, **wrong)
        for prompt in (None, HI):
            with pytest.raises(UsageError, match="must be text"):
                llm.stream_complete(prompt)
        assert not r.requests


async def test_thinking_comes_apart_from_the_answer():
    pieces = [Reasoning("Two and "), Reasoning("two."), Text("It is "), Text("4.")]
    async with replica("openai-compatible", answer=pieces) as r:
        llm = OpenAICompatible("m", base_url=r.base_url)
        chunks = await gathered(llm.astream_chat(HI))
        assert (
            "".join(chunk.additional_kwargs.get("thinking_delta", "") for chunk in chunks) == "Two and two."
        )
        assert chunks[-1].message.content == "It is 4."
        assert chunks[-1].message.blocks[0].content == "Two and two."
        assert (await llm.achat(HI)).message.blocks[0].content == "Two and two."
        assert (await llm.acomplete("Hi")).text == "It is 4."


# --- prompts --------------------------------------------------------------------------------------


def test_complete_sends_the_prompt_as_one_message():
    with replica("flow-gpt") as r:
        assert FlowGpt(base_url=r.base_url).complete("What now?").text == "What now?"


def test_completion_to_prompt_is_used_unless_the_prompt_is_formatted():
    with replica("flow-gpt") as r:
        llm = FlowGpt(base_url=r.base_url, completion_to_prompt=lambda prompt: f"<<{prompt}>>")
        assert llm.complete("a").text == "<<a>>"
        assert llm.complete("a", formatted=True).text == "a"


def test_messages_to_prompt_is_used():
    with replica("flow-gpt") as r:
        llm = FlowGpt(
            base_url=r.base_url,
            messages_to_prompt=lambda messages: " | ".join(str(message.content) for message in messages),
        )
        assert (
            llm.chat([ChatMessage(role="system", content="s"), ChatMessage(content="u")]).message.content
            == "s | u"
        )


def test_system_prompt_and_query_wrapper_are_honoured_by_predict():
    with replica("flow-gpt") as r:
        llm = FlowGpt(
            base_url=r.base_url,
            system_prompt="Be kind.",
            query_wrapper_prompt=PromptTemplate("Q: {query_str} A:"),
        )
        assert llm.predict(PromptTemplate("Why {what}?"), what="rain") == "Q: Why rain? A:"
        assert r.requests[-1].json["system"] == "Be kind."
        llm.chat(HI)  # LlamaIndex leaves a conversation as it is
        assert r.requests[-1].json["question"] == "Hi"
        assert "Be kind." not in r.requests[-1].json["system"]


def test_an_output_parser_is_honoured_by_predict():
    from llama_index.core.types import BaseOutputParser

    class Shout(BaseOutputParser):
        def parse(self, output):
            return output.upper()

        def format(self, query):
            return f"{query} (loudly)"

    with replica("flow-gpt") as r:
        llm = FlowGpt(base_url=r.base_url, output_parser=Shout())
        assert llm.predict(PromptTemplate("say {what}"), what="hi") == "SAY HI (LOUDLY)"


async def test_predict_and_stream_in_all_four_ways():
    async with replica("flow-gpt") as r:
        llm = FlowGpt(base_url=r.base_url)
        prompt = PromptTemplate("one {what} three")
        assert await llm.apredict(prompt, what="two") == "one two three"
        assert "".join([token async for token in await llm.astream(prompt, what="two")]) == "one two three"
        assert await asyncio.to_thread(lambda: "".join(llm.stream(prompt, what="two"))) == "one two three"
