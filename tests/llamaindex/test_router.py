"""The router as an LLM: who answered and what became of the others, in all of LlamaIndex's ways to ask."""

import asyncio
import copy
import inspect
import json
import pickle
from contextlib import ExitStack, suppress

import httpx
import pytest
from llama_index.core import Settings
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.llms import MockLLM
from llama_index.core.llms.loading import RECOGNIZED_LLMS, load_llm
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

import freeproviders
from freeproviders import errors
from freeproviders.errors import NoProviderError, TruncatedResponseError, UsageError
from freeproviders.testing import replica
from freeproviders.types import Finish, Text, ToolCall, Usage
from llama_index_freeproviders import BackendLLM, FreeProviders, OpenAICompatible
from llama_index_freeproviders.callbacks import ChatCall
from tests.llamaindex.others import HttpLLM
from tests.llamaindex.services import HI, gathered, listen

PROMPT = PromptTemplate("A song about {what}.")
LONG = "One two three four five six seven eight nine ten eleven twelve."


class Song(BaseModel):
    """A song."""

    title: str


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ADD = FunctionTool.from_defaults(add)


def member(server, model="m", **fields):
    return OpenAICompatible(model, base_url=getattr(server, "base_url", server), **fields)


@pytest.fixture
def start():
    """Start a replica."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(replica("openai-compatible", *args, **options))


@pytest.fixture
def pair(start):
    """One that is down, and one that answers."""
    return start(faults={"status": 500}), start(answer="Up and well.")


# --- asking ---------------------------------------------------------------------------------------


async def test_every_way_to_ask_goes_on_to_the_next(pair):
    """Sync and async, whole and in pieces, chat and completion; `raw` says what became of each."""
    down, up = pair
    llm = FreeProviders(models=[member(down), HttpLLM(api_base=up.base_url)])
    answers = [
        llm.chat(HI),
        llm.complete("Hi"),
        await llm.achat(HI),
        await llm.acomplete("Hi"),
        list(llm.stream_chat(HI))[-1],
        list(llm.stream_complete("Hi"))[-1],
        (await gathered(llm.astream_chat(HI)))[-1],
        (await gathered(llm.astream_complete("Hi")))[-1],
    ]
    for answer in answers:
        assert getattr(answer, "text", None) == "Up and well." or answer.message.content == "Up and well."
        assert answer.raw["provider"] == "HttpLLM"
        failed, answered = answer.raw["trail"]
        assert (failed["provider"], answered["provider"]) == ("OpenAICompatible", "HttpLLM")
        assert failed["error"]
        assert answered["error"] == ""
        assert "seams" not in answer.raw
        json.dumps(answer.raw)
    assert len(up.requests) == 8
    assert len(down.requests) < 8  # it is left alone for a while


def test_a_model_restricts_it_to_the_members_of_that_name(start):
    one, two = start(answer="one"), start(answer="two")
    models = [member(one, "first"), member(two, "second")]
    llm = FreeProviders(models=models)
    assert [str(llm.complete("Hi", model=name)) for name in ("second", "first", None)] == [
        "two",
        "one",
        "one",
    ]
    assert str(FreeProviders("second", models=models).complete("Hi")) == "two"
    assert FreeProviders("second", models=models).metadata.model_name == "second"
    with pytest.raises(UsageError, match="No member is 'third'"):
        llm.complete("Hi", model="third")


def test_another_packages_llm_tries_nothing_again(pair):
    """Its own retries would keep the next one waiting; outside of the router it has them still."""
    down, up = pair

    class Stubborn(HttpLLM):
        async def achat(self, messages, **kwargs):
            for _ in range(self.max_retries):
                with suppress(httpx.HTTPStatusError):
                    return await super().achat(messages, **kwargs)
            return await super().achat(messages, **kwargs)

    stubborn = Stubborn(api_base=down.base_url, max_retries=2)
    assert FreeProviders(models=[stubborn, member(up)]).chat(HI).message.content == "Up and well."
    assert len(down.requests) == 1
    assert stubborn.max_retries == 2


def test_copies_have_the_same_router_unless_its_own_fields_change(pair):
    """What it knows of its members goes along."""
    llm = FreeProviders(models=[member(server) for server in pair])
    assert copy.copy(llm).core is llm.core
    assert llm.model_copy(update={"temperature": 0.5}).core is llm.core
    assert llm.model_copy(update={"max_requests": 3}).core is not llm.core
    assert copy.deepcopy(llm).complete("Hi").text == "Up and well."


def test_settings_reach_the_member_that_answers(pair):
    down, up = pair
    llm = FreeProviders(models=[member(down), member(up)], temperature=0.25, max_tokens=50, stop=["END"])
    llm.complete("Hi", top_p=0.5, seed=7)
    sent = up.requests[-1].json
    assert (sent["temperature"], sent["max_tokens"], sent["top_p"], sent["seed"]) == (0.25, 50, 0.5, 7)
    assert sent["stop"] == ["END"]


async def test_nobody_answers(pair):
    """One error says it of each, sync and async, and of a stream."""
    down, _ = pair
    llm = FreeProviders(models=[member(down), member(down, "other")], retry=0)
    with pytest.raises(
        NoProviderError, match=r"(?s)OpenAICompatible m\].*OpenAICompatible other\]"
    ) as caught:
        llm.chat(HI)
    assert [attempt.model for attempt in caught.value.trail] == ["m", "other"]
    with pytest.raises(NoProviderError):
        await gathered(llm.astream_chat(HI))


class Costly:
    name = "Costly"
    model = "c"

    async def batches(self, request):
        yield [Text("paid"), Usage(3, 4, cost=0.25), Finish()]


def test_what_it_cost_is_in_raw():
    assert FreeProviders(models=[Costly()]).chat(HI).raw["usage"]["cost"] == 0.25


def test_tokens_are_counted_once(pair):
    down, up = pair
    counter = TokenCountingHandler()
    manager = CallbackManager([counter])
    llm = FreeProviders(models=[member(down), HttpLLM(api_base=up.base_url)], callback_manager=manager)
    usage = llm.chat(HI).raw["usage"]
    assert counter.total_llm_token_count == usage["total_tokens"]


# --- tools and objects ----------------------------------------------------------------------------


async def test_tools_and_objects(start):
    """A call by the one member's own means, and by the prompt of the other; objects in all ways."""
    call = '<tool_call>{"name": "add", "arguments": {"a": 20, "b": 22}}</tool_call>'
    native, plain = start(answer=[ToolCall("c", "add", {"a": 20, "b": 22})]), start(answer=call)
    for server, more in ((native, {"function_calling": "native"}), (plain, {"function_calling": "emulate"})):
        llm = FreeProviders(models=[member(start(faults={"status": 500})), member(server, **more)])
        for response in (
            llm.chat_with_tools([ADD], "Add!"),
            await llm.achat_with_tools([ADD], "Add!"),
            list(llm.stream_chat_with_tools([ADD], "Add!"))[-1],
            (await gathered(llm.astream_chat_with_tools([ADD], "Add!")))[-1],
        ):
            calls = llm.get_tool_calls_from_response(response)
            assert [one.tool_kwargs for one in calls] == [{"a": 20, "b": 22}]
        assert str(llm.predict_and_call([ADD], "Add!")) == "42"
    song = start(answer='{"title": "Rain"}')
    llm = FreeProviders(models=[member(start(faults={"status": 500})), member(song)])
    assert llm.structured_predict(Song, PROMPT, what="rain") == Song(title="Rain")
    assert await llm.astructured_predict(Song, PROMPT, what="rain") == Song(title="Rain")
    assert list(llm.stream_structured_predict(Song, PROMPT, what="rain"))[-1] == Song(title="Rain")
    assert (await gathered(llm.astream_structured_predict(Song, PROMPT, what="rain")))[-1] == Song(
        title="Rain"
    )
    response = llm.as_structured_llm(Song).chat(HI)
    assert response.raw == Song(title="Rain")


class Working:
    """Calls the tool, then says the result; dies at a request of its choice."""

    def __init__(self, dies_at=()):
        self.dies_at = dies_at
        self.requests = []

    def __call__(self, messages, request):
        self.requests.append(messages)
        results = [message["content"] for message in messages if message["role"] == "tool"]
        return f"It is {results[-1]}." if results else [ToolCall("call_1", "add", {"a": 20, "b": 22})]


async def test_an_agents_history_moves_from_one_service_to_another(start):
    """The first makes the call and dies; the second, of another kind, goes on with the result."""
    first, second = Working(), Working()
    one = start(answer=first, faults=[{}, {"status": 500}])
    two = start(answer=second)
    llm = FreeProviders(
        models=[member(one, function_calling="native"), HttpLLM(api_base=two.base_url, model="n")]
    )
    agent = FunctionAgent(tools=[add], llm=llm)
    assert "42" in str(await agent.run("What is 20 + 22?"))
    assert len(one.requests) == 2
    (told,) = second.requests
    call = next(message for message in told if message.get("tool_calls"))
    assert call["tool_calls"][0]["id"] == told[-1]["tool_call_id"]
    assert told[-1]["content"] == "42"
    workflow = AgentWorkflow.from_tools_or_functions([add], llm=FreeProviders(models=[member(two)]))
    assert "42" in str(await workflow.run("What is 20 + 22?"))


async def test_react_without_tools_of_its_own(start):
    says = start(answer="Thought: I know it.\nAnswer: 42")
    llm = FreeProviders(models=[member(start(faults={"status": 500})), member(says)], function_calling="off")
    assert not llm.metadata.is_function_calling_model
    assert str(await ReActAgent(tools=[add], llm=llm).run("What is 20 + 22?")) == "42"


async def test_a_workflow_that_is_cancelled_ends_the_members_request(start):
    """Of the member that answers just then, ours or another package's."""
    for make in (member, lambda server: HttpLLM(api_base=server.base_url)):
        slow = start(answer=["word "] * 200, faults={"pace": 0.05})
        llm = FreeProviders(models=[member(start(faults={"status": 500})), make(slow)])
        handler = FunctionAgent(tools=[add], llm=llm).run("Hello!")
        async for event in handler.stream_events():
            if isinstance(event, AgentStream):
                await handler.cancel_run()
        with pytest.raises(BaseException):  # noqa: B017 - which one is LlamaIndex's affair
            await handler
        assert await slow.await_disconnect(timeout=60) == 1


# --- after the first word -------------------------------------------------------------------------


def dying(start, **options):
    """A service whose answers break off in the middle, and one that has another answer."""
    return start(answer=LONG, faults={"cut": 1500}), start(
        answer=options.pop("answer", "Quite another answer.")
    )


async def test_an_answer_that_breaks_off_is_an_error(start):
    llm = FreeProviders(models=[member(server) for server in dying(start)])
    said = []
    with pytest.raises(TruncatedResponseError):
        async for chunk in await llm.astream_chat(HI):
            said.append(chunk.delta)
    assert LONG.startswith("".join(said))
    assert said


@pytest.mark.parametrize("way", ["chat", "complete"])
async def test_a_restart_is_told_with_the_chunk_where_it_happens(start, way):
    """What came before is void: `message` begins anew, and whoever shows deltas is told with `raw`."""
    llm = FreeProviders(
        models=[member(server) for server in dying(start)], on_broken_stream="restart", temperature=0.7
    )
    for chunks in (
        list(llm.stream_chat(HI) if way == "chat" else llm.stream_complete("Hi")),
        await gathered(llm.astream_chat(HI) if way == "chat" else llm.astream_complete("Hi")),
    ):
        resets = [n for n, chunk in enumerate(chunks) if chunk.raw and chunk.raw.get("reset")]
        assert len(resets) == 1
        reset = chunks[resets[0]]
        before = "".join(chunk.delta for chunk in chunks[: resets[0]])
        assert LONG.startswith(before)
        assert before
        assert reset.raw["seam"] == {
            "offset": len(before),
            "broken": "openai-compatible/m",
            "source": "openai-compatible/m",
            "how": "restart",
        }
        assert reset.delta == ""
        text = [chunk.text if way == "complete" else chunk.message.content for chunk in chunks]
        assert not text[resets[0]]
        assert "".join(chunk.delta for chunk in chunks[resets[0] :]) == text[-1] == "Quite another answer."
        assert chunks[-1].raw["seams"] == [reset.raw["seam"]]
        llm = llm.model_copy(update={"models": [member(server) for server in dying(start)]})


async def test_the_same_answer_again_goes_on(start):
    """No word twice and none lost; the seam is in `raw`."""
    llm = FreeProviders(
        models=[member(server) for server in dying(start, answer=LONG)],
        on_broken_stream="continue",
        temperature=0,
    )
    chunks = await gathered(llm.astream_chat(HI))
    assert "".join(chunk.delta for chunk in chunks) == chunks[-1].message.content == LONG
    (seam,) = chunks[-1].raw["seams"]
    assert seam["how"] in {"replay", "trim"}
    assert not any(chunk.raw and chunk.raw.get("reset") for chunk in chunks)


# --- events ---------------------------------------------------------------------------------------

OF_A_FAILOVER = [
    "RouterAskingEvent",
    "RouterAttemptEvent",
    "RouterFailoverEvent",
    "RouterAskingEvent",
    "RouterAttemptEvent",
]


def of_the_router(recorder):
    return [event for event in recorder.seen if type(event).__name__.startswith("Router")]


@pytest.mark.parametrize("way", ["chat", "stream_chat", "achat", "astream_chat", "complete", "predict"])
async def test_what_the_router_does_is_told_in_the_span_of_the_call(pair, way):
    recorder = listen()
    llm = FreeProviders(models=[member(server) for server in pair])
    match way:
        case "chat":
            llm.chat(HI)
        case "complete":
            llm.complete("Hi")
        case "stream_chat":
            list(llm.stream_chat(HI))
        case "achat":
            await llm.achat(HI)
        case "astream_chat":
            await gathered(llm.astream_chat(HI))
        case "predict":
            with pytest.raises(errors.StructuredOutputError):
                await llm.astructured_predict(Song, PROMPT, {"max_repairs": 0}, what="rain")
    events = of_the_router(recorder)
    assert [type(event).__name__ for event in events][:5] == OF_A_FAILOVER
    begun = next(event for event in recorder.seen if type(event).__name__.endswith("StartEvent"))
    if way != "predict":
        assert {event.span_id for event in events} == {begun.span_id}
        names = recorder.names
        last = len(names) - 1 - names[::-1].index("RouterAttemptEvent")
        assert names[0] == type(begun).__name__
        assert last < max(n for n, name in enumerate(names) if name.endswith("EndEvent"))
    asking, failed, failover = events[:3]
    assert (asking.provider, asking.model, asking.place) == ("OpenAICompatible", "m", "local")
    assert "500" in failed.error
    assert failed.requests == 1
    assert (failover.broken, failover.source) == ("OpenAICompatible/m", "OpenAICompatible/m")
    assert all(
        isinstance(event, BaseEvent) and event.class_name() == type(event).__name__ for event in events
    )


async def test_a_seam_is_told_before_what_follows_it(start):
    recorder = listen()
    llm = FreeProviders(
        models=[member(server) for server in dying(start)], on_broken_stream="restart", temperature=0.7
    )
    async for chunk in await llm.astream_chat(HI):
        if chunk.raw and chunk.raw.get("reset"):
            assert recorder.names.count("RouterSeamEvent") == 1
    assert recorder.names.count("RouterSeamEvent") == 1


async def test_a_failure_is_told_before_its_error(pair):
    down, _ = pair
    for ask in (lambda llm: llm.achat(HI), lambda llm: asyncio.to_thread(llm.chat, HI)):
        recorder = listen()
        llm = FreeProviders(models=[member(down, model=f"m{id(recorder)}")], retry=0)
        with pytest.raises(NoProviderError):
            await ask(llm)
        assert [type(event).__name__ for event in of_the_router(recorder)] == OF_A_FAILOVER[:2]


async def test_nothing_is_made_for_nobody(pair, monkeypatch):
    def unwanted(*args, **kwargs):
        raise AssertionError("an event was made")

    for name in ("RouterAskingEvent", "RouterAttemptEvent", "RouterFailoverEvent"):
        monkeypatch.setattr(f"llama_index_freeproviders.events.{name}", unwanted)
    llm = FreeProviders(models=[member(server) for server in pair])
    await gathered(llm.astream_chat(HI))
    question = llm.question(HI, {}, stream=False)
    with ChatCall(llm, HI, {}) as call:
        assert call.heard(question) is question
    assert question.request.listener is None


async def test_a_router_of_the_core_is_told_of_as_well(pair):
    recorder = listen()
    router = freeproviders.FreeProviders(*[member(server).core for server in pair])
    response = await BackendLLM(backend=router).achat(HI)
    assert [type(event).__name__ for event in of_the_router(recorder)] == OF_A_FAILOVER
    assert len(response.raw["trail"]) == 2


# --- what it is -----------------------------------------------------------------------------------


def test_the_announced_window_is_the_smallest():
    """What LlamaIndex packs for one member fits the next; a number of the caller's wins."""
    nobody = "http://127.0.0.1:9"
    wide = member(nobody, "llama-3.3-70b", context_window=60_000)
    narrow = member(nobody, "llama-3.1-8b", context_window=5_000)
    llm = FreeProviders(models=[wide, narrow])
    assert llm.metadata.context_window == 4_000  # with room for tokenizers that count more
    assert llm.metadata.num_output == 1000
    assert FreeProviders(models=[wide, narrow], context_window=20_000).metadata.context_window == 20_000
    assert FreeProviders(models=[wide, narrow], context_window=20_000, num_output=9).metadata.num_output == 9
    assert FreeProviders(models=[wide]).metadata.context_window == 48_000
    unknown = member(nobody, "m", context_window=5_000)
    assert FreeProviders(models=[wide, unknown]).metadata.context_window == 3_000
    assert llm.metadata.is_chat_model
    assert llm.metadata.is_function_calling_model
    payload = llm.to_payload()
    assert (payload["class_name"], payload["provider"]) == ("freeproviders", "FreeProviders")
    assert BackendLLM(backend=llm.core).metadata.context_window == 4_000
    llm.models = [wide]
    assert llm.metadata.context_window == 48_000


def test_without_models_it_finds_who_is_free(monkeypatch):
    """From the environment, with nothing sent: neither by making it nor by asking what it is."""
    monkeypatch.setenv("GROQ_API_KEY", "gsk_secret")
    monkeypatch.setattr("socket.socket.connect", lambda *args: pytest.fail("something was sent"))
    llm = FreeProviders(confirmed=["groq"], privacy="any", exclude=["embedded"])
    assert llm.members[0].startswith("groq/")
    assert llm.metadata.context_window >= 8000
    Settings.llm = llm
    assert Settings.llm is llm
    assert "gsk_secret" not in f"{llm!r} {llm.to_dict()} {llm.to_payload()}"
    with pytest.raises(UsageError, match="There is no backend to ask"):
        FreeProviders(privacy="local", exclude=["embedded", "ollama"])


def test_saving_and_loading(monkeypatch):
    """Names, our LLMs and those of other packages, without what is secret; a backend must be passed again."""
    monkeypatch.setitem(RECOGNIZED_LLMS, "http_llm", HttpLLM)
    ours = member("http://127.0.0.1:9", api_key="sk-very-secret", headers={"X-Token": "hidden"})
    llm = FreeProviders(
        models=["embedded", ours, HttpLLM(api_base="http://127.0.0.1:8")],
        strategy="spread",
        on_broken_stream="continue",
        max_requests=4,
        confirmed=["groq"],
        paid=True,
        temperature=0.5,
        ledger="memory",
    )
    saved = llm.to_dict()
    text = json.dumps(saved)
    assert not any(secret in text for secret in ("very-secret", "hidden", "confirmed", "paid", "ledger"))
    for again in (FreeProviders.from_dict(saved), load_llm(saved), FreeProviders.from_json(llm.to_json())):
        assert again.members == llm.members
        assert (again.strategy, again.on_broken_stream, again.max_requests) == ("spread", "continue", 4)
        assert (again.temperature, again.confirmed, again.paid) == (0.5, [], False)
    copied = pickle.loads(pickle.dumps(llm))
    assert copied.members == llm.members
    assert copied.confirmed == ["groq"]
    saved = FreeProviders(models=[Costly()]).to_dict()
    with pytest.raises(UsageError, match="'Costly c' is not saved"):
        FreeProviders.from_dict(saved)
    assert FreeProviders.from_dict(saved, models=[MockLLM()]).members


def test_secrets_of_another_packages_llm_are_not_saved():
    class Keyed(MockLLM):
        api_key: str = "sk-1234567890abcdef"
        default_headers: dict = {"Authorization": "Bearer abc"}  # noqa: RUF012 - a field
        additional_kwargs: dict = {"extra_headers": {"X": "y"}, "top_k": 3}  # noqa: RUF012 - a field

    saved = FreeProviders(models=[Keyed()]).to_dict()["models"][0]
    assert saved["additional_kwargs"] == {"top_k": 3}
    assert "api_key" not in saved
    assert "default_headers" not in saved


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"base_url": "http://127.0.0.1:9"}, "belongs to one member"),
        ({"api_key": "k"}, "belongs to one member"),
        ({"function_calling": "emulate"}, "belongs to one member"),
        ({"models": [5]}, "A member is a backend"),
        ({"models": ["nosuch"]}, "nosuch"),
        ({"models": [{"class_name": "nosuch"}]}, "finds no class 'nosuch'"),
        ({"stratagy": "spread"}, "stratagy"),
        ({"members": ["groq"]}, r"Unknown argument 'members'\. Pass the members as models=\["),
        ({"models": ["embedded"], "prefer": "groq"}, "prefer"),
    ],
    ids=str,
)
def test_mistakes_are_found_when_it_is_made(fields, words):
    with pytest.raises(ValueError, match=words):
        FreeProviders(**fields)


def test_each_option_of_the_router_is_a_field_of_the_same_default():
    parameters = inspect.signature(freeproviders.FreeProviders.__init__).parameters
    for name in freeproviders.FreeProviders.options:
        default = FreeProviders.model_fields[name].get_default(call_default_factory=True)
        given = parameters[name].default
        assert default == (list(given) if isinstance(given, tuple) else given), name


def test_a_members_settings_are_the_routers_to_say():
    with pytest.raises(UsageError, match="temperature goes with a request"):
        FreeProviders(models=[member("http://127.0.0.1:9", temperature=0.5)])


def test_time_outs_and_retries_are_of_the_whole_question(pair):
    down, _ = pair
    llm = FreeProviders(models=[member(down, "slow")], timeout=30, retry=0, ledger="memory")
    with pytest.raises(NoProviderError):
        llm.chat(HI)
    assert len(down.requests) == 1
    assert FreeProviders(models=[member(down)], max_retries=2, request_timeout=5).retry == 2
