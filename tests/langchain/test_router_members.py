"""Any LangChain chat model as a backend: one of another package's, over its own client and sockets."""

import asyncio
import copy
import pickle
import subprocess
import sys

import pytest
from langchain_core import exceptions as langchain
from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from freeproviders import errors
from freeproviders.backend import Backend
from freeproviders.errors import UnknownModelError, UnsupportedOptionWarning, UsageError
from freeproviders.types import (
    CallExtra,
    FileBlock,
    Finish,
    ImageBlock,
    InvalidToolCall,
    Message,
    Reasoning,
    Refusal,
    Text,
    TextBlock,
    ToolCall,
    Usage,
)
from langchain_freeproviders import ChatBackend, ChatFlowGpt, FlowGptLLM, as_backend
from langchain_freeproviders.incoming import MessageReader
from langchain_freeproviders.outgoing import langchain_messages
from tests.brain import brain, native_brain
from tests.langchain.services import FLOW, OPENAI
from tests.langchain.theirs import ChatTheirs, TheirError

WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CITY = {
    "type": "json_schema",
    "json_schema": {
        "name": "City",
        "schema": {
            "title": "City",
            "type": "object",
            "properties": {"name": {"type": "string"}, "country": {"type": "string"}},
            "required": ["name", "country"],
        },
    },
}


def theirs(r, **fields):
    return ChatTheirs(base_url=r.base_url, **fields)


def text_of(parts):
    return "".join(part.text for part in parts if isinstance(part, Text))


async def test_in_all_the_ways_to_ask():
    with OPENAI.replica("Good morning to you.") as r:
        backend = as_backend(theirs(r))
        assert isinstance(backend, Backend)
        assert (backend.name, backend.model, backend.base_url) == ("ChatTheirs", "their-model", r.base_url)
        parts = [part async for part in backend.stream("Hi")]
        assert text_of(parts) == "Good morning to you."
        assert len([part for part in parts if isinstance(part, Text)]) > 1  # as it comes
        assert parts[-1].reason == "stop"
        assert (parts[-1].provider, parts[-1].model) == ("ChatTheirs", "their-model")
        assert [request.json["stream"] for request in r.requests] == [True]
        answer = await backend.complete("Hi")
        assert (answer.text, r.requests[-1].json["stream"]) == ("Good morning to you.", False)
        assert not answer.usage.estimated  # the whole answer has counts, the stream had none
        assert parts[-2].estimated
        assert [message.content for message in backend.complete_sync("Hi").others] == []


async def test_settings_go_into_the_fields_of_the_class():
    """By the names that it has for them; what it has no place for is said once."""
    with OPENAI.replica("ok") as r:
        model = theirs(r, temperature=0.9, seed=1)
        backend = as_backend(model, name="house")
        wanted = {
            "temperature": 0.1,
            "max_tokens": 7,
            "stop": ["END"],
            "top_p": 0.5,
            "seed": 2,
            "verbosity": "low",
        }
        with pytest.warns(
            UnsupportedOptionWarning, match=r"house has no field for top_p, verbosity: left"
        ) as said:
            await backend.complete("Hi", **wanted)
        assert [warning.filename for warning in said] == [__file__]
        await backend.complete("Hi", **wanted)  # and no warning is left over
        await backend.complete("Hi")
        await backend.complete("Hi", model="another")
        first, _, second, third = [request.json for request in r.requests]
    assert (first["temperature"], first["max_completion_tokens"], first["stop"], first["seed"]) == (
        0.1,
        7,
        ["END"],
        2,
    )
    assert (second["temperature"], second["seed"], "stop" in second) == (0.9, 1, False)
    assert (second["model"], third["model"]) == ("their-model", "another")
    assert (model.temperature, model.seed, model.stop_sequences) == (0.9, 1, None)  # it is left alone


async def test_stop_sequences_work_with_every_class():
    backend = as_backend(FakeListChatModel(responses=["One. Two. Three."]))
    assert (await backend.complete("Hi", stop=["Two"])).text == "One. "
    with pytest.raises(UnknownModelError, match="FakeListChatModel has one model only"):
        await backend.complete("Hi", model="another")


@pytest.mark.parametrize("native", [True, False], ids=["native", "prompted"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_tools(native, stream):
    """Natively where its class has `bind_tools`, else through the prompt; calls come whole."""
    faults = {"chunk": 7}  # as many cuts as there are
    with OPENAI.replica(native_brain if native else brain, faults=faults) as r:
        model = theirs(r)
        backend = as_backend(model) if native else as_backend(model).with_abilities(tools=False)
        request = backend.request(
            "What is the weather in Paris?", tools=[WEATHER], tool_choice="required", stream=stream
        )
        parts = [part async for batch in backend.answer(request) for part in batch]
        calls = [part for part in parts if isinstance(part, ToolCall)]
        assert [(call.name, call.arguments) for call in calls] == [("get_weather", {"city": "Paris"})]
        assert parts[-1].reason == "tool_calls"
        assert ("tools" in r.requests[0].json) == native
        assert not native or r.requests[0].json["tool_choice"] == "required"
        history = [
            Message("user", "What is the weather in Paris?"),
            Message("assistant", tool_calls=tuple(calls)),
            Message("tool", "21 degrees in Paris", tool_call_id=calls[0].id),
        ]
        answer = await backend.complete(history, tools=[WEATHER])
        assert "21 degrees in Paris" in answer.text


async def test_typed_answers():
    with OPENAI.replica(brain) as r:
        question = 'Which city and country is "Paris" in "France"?'
        answer = await as_backend(theirs(r)).complete(question, response_format=CITY)
    assert answer.text == '{"name":"Paris","country":"France"}'


@pytest.mark.parametrize(
    ("fault", "cls"),
    [
        ({"status": 401}, errors.AuthenticationError),
        ({"status": 429, "retry_after": 7}, errors.RateLimitError),
        ({"status": 503}, errors.ServerError),
        ({"drop": True}, errors.ProviderConnectionError),
        ({"empty": True}, errors.EmptyResponseError),
    ],
    ids=str,
)
async def test_errors_are_those_of_the_tree(fault, cls):
    """With who it was, and what the other client raised as the cause."""
    with OPENAI.replica("ok", faults=fault) as r:
        backend = as_backend(theirs(r))
        for asked in (backend.complete("Hi"), anext(backend.stream("Hi"))):
            with pytest.raises(cls) as caught:
                await asked
            assert (caught.value.provider, caught.value.model) == ("ChatTheirs", "their-model")
            if "status" in fault:
                assert isinstance(caught.value.__cause__, TheirError)
                assert caught.value.retry_after == fault.get("retry_after")


async def test_a_stream_that_is_cut_is_no_whole_answer():
    with OPENAI.replica("word " * 200, faults={"cut": 3000}) as r:
        said = []
        with pytest.raises(errors.TruncatedResponseError):
            async for part in as_backend(theirs(r)).stream("Hi"):
                said.append(part)
        assert text_of(said).startswith("word word")


async def test_leaving_ends_the_request():
    with OPENAI.replica("word " * 500, faults={"pace": 0.01}) as r:
        stream = as_backend(theirs(r)).stream("Hi")
        await anext(stream)
        await stream.aclose()
        assert await r.await_disconnect(1) == 1
        task = asyncio.create_task(as_backend(theirs(r)).complete("Hi", stream=True))
        await r.await_requests(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await r.await_disconnect(2) == 2


LOOPS = """
import asyncio
from langchain_freeproviders import as_backend
from tests.langchain.services import OPENAI
from tests.langchain.theirs import ChatTheirs

with OPENAI.replica("ok") as r:
    backend = as_backend(ChatTheirs(base_url=r.base_url, keep_alive=True))
    for _ in range(4):
        assert asyncio.run(backend.complete("Hi")).text == "ok"
        assert backend.complete_sync("Hi").text == "ok"
"""


def test_event_loops_that_come_and_go():
    """Another package's client keeps connections of a loop that has ended; it is asked again.

    In a process of its own, since that client closes nothing.
    """
    subprocess.run([sys.executable, "-c", LOOPS], check=True, timeout=60)


def test_a_model_of_our_own_is_its_backend():
    with FLOW.replica("ok") as r:
        model = ChatFlowGpt(base_url=r.base_url)
        assert as_backend(model) is model._backend
        another = as_backend(ChatBackend(backend=model._backend, model="gpt-4-turbo"))
        assert (another.model, model._backend.model) == ("gpt-4-turbo", "gpt-3.5-turbo")
        with pytest.raises(UsageError, match="temperature of the ChatFlowGpt would be lost"):
            as_backend(ChatFlowGpt(base_url=r.base_url, temperature=0))
        for wrong in (model.bind(stop=["x"]), FlowGptLLM(base_url=r.base_url), "flow-gpt", None):
            with pytest.raises(UsageError, match="as_backend takes a LangChain chat model, not"):
                as_backend(wrong)


def test_what_it_can_do_is_what_its_profile_says():
    profile = {"image_inputs": True, "pdf_inputs": True, "max_input_tokens": 900, "max_output_tokens": 90}
    able = as_backend(ChatTheirs(base_url="http://127.0.0.1:1", profile=profile)).abilities()
    assert (able.tools, able.images, able.files, able.audio) == (True, True, True, False)
    assert (able.window, able.output, able.schema) == (900, 90, False)
    profile["tool_calling"] = False
    assert not as_backend(ChatTheirs(base_url="http://127.0.0.1:1", profile=profile)).abilities().tools
    assert not as_backend(FakeListChatModel(responses=["x"])).abilities().tools


def test_copied_and_pickled():
    backend = as_backend(FakeListChatModel(responses=["ok"]))
    for other in (copy.copy(backend), copy.deepcopy(backend), pickle.loads(pickle.dumps(backend))):
        assert other.complete_sync("Hi").text == "ok"


# --- messages -------------------------------------------------------------------------------------


def test_a_conversation_in_langchains_messages():
    call = ToolCall("c1", "get_weather", {"city": "Paris"})
    system, user, made, result, pictured = langchain_messages(
        [
            Message("system", "Be brief."),
            Message("user", "Weather?", name="ann"),
            Message("assistant", "Let me see.", tool_calls=(call,)),
            Message("tool", "It rains.", name="get_weather", tool_call_id="c1", is_error=True),
            Message(
                "user",
                (
                    TextBlock("What is this?"),
                    ImageBlock("data:image/png;base64,AA==", "low"),
                    FileBlock("data:application/pdf;base64,BB==", "a.pdf"),
                    FileBlock(file_id="f1"),
                ),
            ),
        ],
        "theirs/m",
    )
    assert (system.type, system.content, user.name) == ("system", "Be brief.", "ann")
    assert (made.content, made.tool_calls[0]["args"]) == ("Let me see.", {"city": "Paris"})
    assert (result.tool_call_id, result.status) == ("c1", "error")
    text, image, file, kept = pictured.content
    assert text["text"] == "What is this?"
    assert image["image_url"] == {"url": "data:image/png;base64,AA==", "detail": "low"}
    assert (file["base64"], file["mime_type"], file["filename"]) == ("BB==", "application/pdf", "a.pdf")
    assert kept == {"type": "file", "file_id": "f1"}


def chunks_of_anthropic():
    """As that package streams thinking, text and a call, whose signature is wanted back."""
    yield AIMessageChunk([{"type": "thinking", "thinking": "Let me ", "index": 0}])
    yield AIMessageChunk([{"type": "thinking", "thinking": "see.", "index": 0}])
    yield AIMessageChunk([{"type": "thinking", "signature": "SIG", "index": 0}])
    yield AIMessageChunk([{"type": "text", "text": "A moment.", "index": 1}])
    for piece in ('{"ci', 'ty": "Paris"}'):
        chunk = {"name": None, "args": piece, "id": None, "index": 2}
        if piece.startswith("{"):
            chunk.update(name="get_weather", id="toolu_1")
        block = {"type": "input_json_delta", "partial_json": piece, "index": 2}
        yield AIMessageChunk([block], tool_call_chunks=[chunk])
    yield AIMessageChunk(
        [],
        response_metadata={"stop_reason": "tool_use"},
        usage_metadata={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
    )


def test_what_came_with_a_call_goes_back_with_it():
    """To the same model only, and through plain data as a message saves it."""
    reader = MessageReader("theirs/m")
    parts = [part for chunk in chunks_of_anthropic() for part in reader.read(chunk)] + reader.end()
    assert parts[:3] == [Reasoning("Let me "), Reasoning("see."), Text("A moment.")]
    _, _, _, call, usage, finish = parts
    assert (call.name, call.arguments, call.id) == ("get_weather", {"city": "Paris"}, "toolu_1")
    assert (usage, finish.reason, finish.confirmed) == (Usage(3, 4), "tool_calls", True)
    saved = CallExtra.of(call.extra.to_dict())
    made = Message(
        "assistant", "A moment.", tool_calls=(ToolCall(call.id, call.name, call.arguments, saved),)
    )
    (same,) = langchain_messages([made], "theirs/m")
    assert same.content[0] == {"type": "thinking", "thinking": "Let me see.", "signature": "SIG", "index": 0}
    assert same.tool_calls[0]["id"] == "toolu_1"
    (other,) = langchain_messages([made], "others/m")
    assert other.content == "A moment."


def test_signatures_beside_the_text():
    """As Google's package keeps them."""
    beside = {"__gemini_function_call_thought_signatures__": {"c1": "U0lH"}}
    message = AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "c1"}], additional_kwargs=beside)
    reader = MessageReader("g/m")
    (call, finish) = reader.read(message) + reader.end()
    assert finish == Finish("tool_calls", confirmed=False)
    (same,) = langchain_messages([Message("assistant", tool_calls=(call,))], "g/m")
    assert same.additional_kwargs == beside


def test_what_a_message_may_hold():
    reader = MessageReader("theirs/m")
    message = AIMessage(
        "No.",
        additional_kwargs={"reasoning_content": "Hm.", "refusal": "I will not."},
        invalid_tool_calls=[{"name": "f", "args": "{", "id": "c2", "error": "cut"}],
        tool_calls=[{"name": "f", "args": {}, "id": None}],
        response_metadata={
            "finish_reason": "SAFETY",
            "model": "m-7",
            "logprobs": {"content": []},
            "headers": {"X-Y": "z"},
            "system_fingerprint": "fp",
        },
        usage_metadata={
            "input_tokens": 9,
            "output_tokens": 5,
            "total_tokens": 14,
            "input_token_details": {"cache_read": 2, "cache_creation": 1, "audio": 6},
            "output_token_details": {"reasoning": 3, "audio": 4},
        },
    )
    parts = reader.read(message)
    assert parts[:3] == [Reasoning("Hm."), Text("No."), Refusal("I will not.")]
    call, invalid, usage, finish = reader.end()
    assert call.id.startswith("call_")
    assert (invalid.id, invalid.text, invalid.error) == ("c2", "{", "cut")
    assert usage == Usage(9, 5, 3, 2, cache_write_tokens=1, input_audio_tokens=6, output_audio_tokens=4)
    assert (finish.reason, finish.raw_reason, finish.model) == ("content_filter", "SAFETY", "m-7")
    assert (finish.headers, finish.system_fingerprint) == ({"X-Y": "z"}, "fp")


@pytest.mark.parametrize(
    ("pieces", "reason", "cls"),
    [
        (['{"city": "Par'], "tool_calls", None),
        (['{"city": "Par'], "length", errors.TruncatedResponseError),
        (['{"city": "Paris"', "}"], "length", None),
    ],
    ids=["broken", "cut by the limit", "whole"],
)
def test_half_a_call_is_no_call(pieces, reason, cls):
    """LangChain would complete it, and an agent would run it."""
    reader = MessageReader("theirs/m")
    for n, piece in enumerate(pieces):
        chunk = {"name": None if n else "f", "args": piece, "id": None if n else "c1", "index": 0}
        assert reader.read(AIMessageChunk("", tool_call_chunks=[chunk])) == []
    reader.read(AIMessageChunk("", response_metadata={"finish_reason": reason}))
    if cls is not None:
        with pytest.raises(cls):
            reader.end()
    elif len(pieces) > 1:
        assert reader.end()[0].arguments == {"city": "Paris"}
    else:
        assert isinstance(reader.end()[0], InvalidToolCall)


class Silent(FakeListChatModel):
    """A model whose stream has not a single chunk, and whose answer fails in a way of its own."""

    error: Exception | None = None

    async def _astream(self, messages, stop=None, run_manager=None, **kwargs):
        return
        yield ChatGenerationChunk(message=AIMessageChunk(""))

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
        raise self.error


async def test_an_answer_without_anything_in_it():
    with pytest.raises(errors.EmptyResponseError, match=r"\[Silent\] The answer is empty"):
        await anext(as_backend(Silent(responses=[])).stream("Hi"))


@pytest.mark.parametrize(
    ("error", "cls"),
    [
        (langchain.ModelRateLimitError("slow down"), errors.RateLimitError),
        (langchain.ModelAuthenticationError("no key"), errors.AuthenticationError),
        (langchain.ContextOverflowError("long"), errors.ContextOverflowError),
        (langchain.ModelTimeoutError("slow"), errors.ProviderTimeoutError),
        (langchain.ModelAPIError("broken"), errors.ServerError),
        (ValueError("anything"), errors.ProviderError),
        (errors.QuotaSpentError("No room."), errors.QuotaSpentError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_failures_of_a_class_itself(error, cls):
    with pytest.raises(cls, match=r"\[Silent\]") as caught:
        await as_backend(Silent(responses=[], error=error)).complete("Hi")
    assert type(caught.value) is cls
    assert error in {caught.value, caught.value.__cause__}


class Whole(GenericFakeChatModel):
    """A model that cannot stream."""

    def _stream(self, *args, **kwargs):
        raise NotImplementedError

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        return ChatResult(generations=[ChatGeneration(message=next(self.messages))])


async def test_a_model_that_cannot_stream():
    made = AIMessage("ok", tool_calls=[{"name": "get_weather", "args": {"city": "Paris"}, "id": "c1"}])
    backend = as_backend(Whole(messages=iter([made]), disable_streaming=True))
    parts = [part async for batch in backend.batches(backend.request("Hi")) for part in batch]
    assert text_of(parts) == "ok"
    assert [part.name for part in parts if isinstance(part, ToolCall)] == ["get_weather"]
