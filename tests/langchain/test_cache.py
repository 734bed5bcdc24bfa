"""LangChain's cache over a store of answers: its own suites, nothing lost, nothing asked twice."""

import asyncio
import subprocess
import sys
import warnings
from concurrent.futures import Future
from pathlib import Path

import pytest
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation
from langchain_core.prompts import ChatPromptTemplate
from langchain_tests.integration_tests.cache import AsyncCacheTestSuite, SyncCacheTestSuite
from pydantic import BaseModel

from freeproviders.answers import outage
from freeproviders.answers.entry import Entry
from freeproviders.errors import AnswerStoreWarning, UsageError
from langchain_freeproviders import AnswerCache, ChatFlowGpt, ChatOpenAICompatible, FlowGptLLM
from langchain_freeproviders import errors as ours
from tests.brain import brain
from tests.langchain.services import FLOW, OPENAI

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cache(tmp_path):
    return AnswerCache(tmp_path / "answers.db")


class TestSync(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, tmp_path):
        return AnswerCache(tmp_path / "answers.db")


class TestAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, tmp_path):
        return AnswerCache(tmp_path / "answers.db")


MESSAGE = AIMessage(
    content=[
        {"type": "reasoning", "reasoning": "let me see", "index": 0},
        {"type": "text", "text": "Hello 🐈 \ud83d", "annotations": []},
    ],
    additional_kwargs={"reasoning_content": "let me see", "lc": 1, "$": "tuple"},
    response_metadata={"model_name": "m", "logprobs": None, "seams": (1, 2), "big": 10**30},
    id="run-1",
    name="me",
    tool_calls=[{"name": "add", "args": {"a": [1, {"b": None}]}, "id": "c1"}],
    invalid_tool_calls=[
        {"name": "sub", "args": "{", "id": "c2", "error": "cut", "type": "invalid_tool_call"}
    ],
    usage_metadata={
        "input_tokens": 3,
        "output_tokens": 4,
        "total_tokens": 7,
        "output_token_details": {"reasoning": 2},
    },
    another="field of somebody's",
)


@pytest.mark.parametrize(
    "answers",
    [
        [ChatGeneration(message=MESSAGE, generation_info={"finish_reason": "stop"})],
        [
            ChatGeneration(
                message=ToolMessage("x", tool_call_id="1", artifact={"rows": (1, 2)}, status="error")
            )
        ],
        [Generation(text="", generation_info=None), Generation(text="b", generation_info={"a": [1.5]})],
        [ChatGeneration(message=HumanMessage([{"type": "image", "base64": "aGk="}]))],
        [ChatGenerationChunk(message=AIMessageChunk("a", chunk_position="last"))],
        [],
    ],
    ids=["all of a message", "a tool's message", "plain texts", "a picture", "a chunk", "none"],
)
def test_answers_come_back_as_they_were(cache, answers):
    """Of the same classes, with every field."""
    cache.update("p", "m", answers)
    found = cache.lookup("p", "m")
    assert found == answers
    assert [type(one) for one in found] == [type(one) for one in answers]
    assert repr(found) == repr(answers)


def test_answers_are_for_other_processes_too(cache, tmp_path):
    """They are in the file, whose rights are the user's alone."""
    cache.update("p", "m", [Generation(text="kept")])
    code = (
        "import sys; from langchain_freeproviders import AnswerCache;"
        "print(AnswerCache(sys.argv[1]).lookup('p', 'm')[0].text)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, cache.place], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout == "kept\n"
    assert (tmp_path / "answers.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("service", [FLOW, OPENAI], ids=str)
def test_a_model_is_asked_once(service, cache):
    """In `invoke`, `ainvoke`, `batch` and chains; another setting, prompt or model is another question."""
    with service.replica() as server:
        model = service.model(server, cache=cache)
        first = model.invoke("Hello")
        chain = ChatPromptTemplate.from_template("{text}") | model
        again = [
            model.invoke("Hello"),
            asyncio.run(model.ainvoke("Hello")),
            *model.batch(["Hello"]),
            *asyncio.run(model.abatch(["Hello", "Hello"])),
            service.model(server, cache=AnswerCache(cache.place)).invoke("Hello"),
            chain.invoke({"text": "Hello"}),
        ]
        assert len(server.requests) == 1
        for one in again:
            # LangChain says by itself that it has cost nothing.
            assert one.usage_metadata == {**first.usage_metadata, "total_cost": 0}
            assert one.model_copy(update={"usage_metadata": first.usage_metadata}) == first
        model.invoke("Hello", temperature=0.5)
        model.bind(stop=["x"]).invoke("Hello")
        model.invoke("Hello!")
        service.model(server, cache=cache, model="gpt-4-turbo").invoke("Hello")
        assert len(server.requests) == 5


def test_streams_are_not_cached(cache):
    """LangChain asks no cache there."""

    async def streamed(model):
        return "".join([chunk.text async for chunk in model.astream("Hello")])

    with FLOW.replica() as server:
        model = FLOW.model(server, cache=cache)
        for _ in range(2):
            assert "".join(chunk.text for chunk in model.stream("Hello"))
            assert asyncio.run(streamed(model))
        assert len(server.requests) == 4
        model.invoke("Hello")
        assert len(server.requests) == 5


def test_the_cache_of_all_models(cache):
    """`set_llm_cache` serves chat and string models; `cache=False` leaves one out."""
    try:
        set_llm_cache(cache)
        with FLOW.replica() as server:
            for _ in range(2):
                ChatFlowGpt(base_url=server.base_url).invoke("Hello")
                FlowGptLLM(base_url=server.base_url).invoke("Hello")
            assert len(server.requests) == 2
            ChatFlowGpt(base_url=server.base_url, cache=False).invoke("Hello")
            assert len(server.requests) == 3
    finally:
        set_llm_cache(None)


def test_a_conversation_is_answered_again_to_its_end(cache):
    """Though LangChain adds a cost to answers from a cache, which are part of the next question."""
    with OPENAI.replica() as server:
        model = OPENAI.model(server, cache=cache)
        for _ in range(3):
            history = [HumanMessage("One")]
            for word in ["Two", "Three"]:
                history += [model.invoke(history), HumanMessage(word)]
            model.invoke(history)
        assert len(server.requests) == 3
        # An answer without usage has nothing but that cost.
        bare = AIMessage("b")
        costs = bare.model_copy(update={"usage_metadata": {"total_cost": 0}})
        for one in (bare, costs):
            model.invoke([HumanMessage("a"), one, HumanMessage("c")])
        assert len(server.requests) == 4


@pytest.mark.parametrize(
    "prompt", ['say "total_cost"', '"total_cost"', '["total_cost", {"kwargs": 1}]', '{"total_cost": 1}']
)
def test_prompts_with_these_words_are_prompts(cache, prompt):
    """Of string models, which are no messages."""
    cache.update(prompt, "m", [Generation(text="a")])
    assert cache.lookup(prompt, "m") == [Generation(text="a")]
    assert cache.lookup(prompt + " ", "m") is None


class Verdict(BaseModel):
    score: int


def test_tools_and_typed_answers_are_cached(cache):
    """A call of a tool is given again as the same call, and a class is made of the same answer."""
    with OPENAI.replica(brain) as server:
        model = OPENAI.model(server, cache=cache)
        bound = model.bind_tools([Verdict])
        first, again = bound.invoke("The verdict is 3"), bound.invoke("The verdict is 3")
        assert first.tool_calls == again.tool_calls
        assert again.tool_calls[0]["args"] == {"score": 3}
        assert len(server.requests) == 1
        typed = model.with_structured_output(Verdict)
        assert typed.invoke("Score 4") == typed.invoke("Score 4") == Verdict(score=4)
        assert len(server.requests) == 2


def test_what_json_cannot_hold_is_not_cached(cache):
    """With a warning, once the answer is there: the call itself does not fail."""

    class Mine(AIMessage):
        pass

    for answers in (
        [ChatGeneration(message=Mine("a"))],
        [Generation(text="", generation_info={"x": object()})],
    ):
        with pytest.warns(AnswerStoreWarning, match=r"not cached.*cannot be kept"):
            cache.update("p", "m", answers)
        with pytest.warns(AnswerStoreWarning, match=r"not cached.*cannot be kept"):
            asyncio.run(cache.aupdate("p", "m", answers))
    assert cache.lookup("p", "m") is None


def test_clearing_deletes_what_is_of_this_name(cache):
    """Other names share the file."""
    other = AnswerCache(cache.place, name="other")
    for one in (cache, other):
        one.update("p", "m", [Generation(text=one.name)])
    assert other.lookup("p", "m") == [Generation(text="other")]
    cache.clear(older_than=3600)
    assert cache.lookup("p", "m") is not None
    cache.clear()
    assert cache.lookup("p", "m") is None
    assert other.lookup("p", "m") is not None


def test_a_damaged_entry_is_no_answer(cache):
    """It is said, and another one takes its place."""
    key = cache._key("p", "m")
    for value in [b"{", b"3", b'[{"$": "object", "class": "langchain.Generation", "of": {}}]']:
        cache.clear()
        cache._store.put([(key, Entry(state="done", value=value))], run=cache.name).result()
        outages().clear()
        with pytest.warns(AnswerStoreWarning, match="is damaged: asked again"):
            assert asyncio.run(cache.alookup("p", "m")) is None
        cache.update("p", "m", [Generation(text="New.")])
        assert cache.lookup("p", "m") == [Generation(text="New.")]


def outages():
    """What this process knows of stores that cannot be used."""
    return outage._outages.get()


class Silent:
    """A store that never answers, as one on a server that is gone."""

    place = "a server that is gone"

    def get(self, keys):
        return Future()

    def put(self, entries, *, run=""):
        return Future()

    kept = delete = None


def test_a_store_that_cannot_be_used_costs_no_answer(tmp_path, monkeypatch):
    """Neither one that is no database, nor one that is silent; to clear it is an error."""
    (tmp_path / "text").write_text("no database")
    monkeypatch.setattr("langchain_freeproviders.cache.STORE_SECONDS", 0.01)
    with FLOW.replica() as server:
        for store, why in ((tmp_path / "text", "text"), (Silent(), "did not come within")):
            model = FLOW.model(server, cache=AnswerCache(store))
            with pytest.warns(AnswerStoreWarning, match=why):
                assert model.invoke("Hello").content == "Hello"
            with warnings.catch_warnings():  # and for a while nobody waits for it
                warnings.simplefilter("error")
                assert asyncio.run(model.ainvoke("Hello")).content == "Hello"
            outages().clear()
            with pytest.warns(AnswerStoreWarning, match=why):
                assert asyncio.run(model.ainvoke("Hello")).content == "Hello"
        assert len(server.requests) == 6
    with pytest.raises(ours.AnswerStoreError):
        AnswerCache(tmp_path / "text").clear()
    with pytest.raises(UsageError, match="name is empty"):
        AnswerCache(tmp_path / "x", name="")


def test_the_cache_does_not_change_what_a_model_is(cache):
    """A model with a cache is saved, copied and compared as one without."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = ChatOpenAICompatible(model="m", base_url="http://127.0.0.1:1", cache=cache)
    bare = ChatOpenAICompatible(model="m", base_url="http://127.0.0.1:1")
    assert model._get_llm_string() == bare._get_llm_string()
