"""The exact cache: what was answered is answered again without asking, and nothing else is."""

import asyncio
import contextlib
import pickle
import sqlite3
import subprocess
import sys
import threading
import warnings
from concurrent.futures import Future
from dataclasses import replace

import pytest
from hypothesis import given, settings
from pydantic import BaseModel

from freeproviders import FlowGpt, FreeProviders, OpenAICompatible, Quota
from freeproviders.answers.cache import AnswerCache, is_whole
from freeproviders.answers.entry import Entry
from freeproviders.answers.keys import request_key
from freeproviders.answers.opening import open_store
from freeproviders.answers.plain import to_plain
from freeproviders.backend import Backend
from freeproviders.batch import batch
from freeproviders.errors import (
    AnswerStoreWarning,
    ProviderError,
    StructuredOutputError,
    TruncatedResponseError,
    UnsupportedOptionWarning,
    UsageError,
)
from freeproviders.testing import replica
from freeproviders.tools import Draft, Structured, ToolPrompt, complete_structured, stream_structured
from freeproviders.types import (
    Admitted,
    ChatRequest,
    Completion,
    Finish,
    InvalidToolCall,
    LogProbs,
    Message,
    Reasoning,
    Seam,
    Text,
    ToolCall,
    ToolCallDelta,
    Usage,
    collect,
    parts_of,
)
from tests.answers.made import completions
from tests.core.services import SERVICES

WAIT = 30
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}


@pytest.fixture
def store(tmp_path):
    made = open_store(tmp_path / "answers.sqlite3")
    yield made
    made.close()


def local(server, store, model="m", **more):
    return OpenAICompatible(model, base_url=server.base_url, cache=store, retry=0, **more)


class Given:
    """A backend of the caller's own, which says what it is told and counts."""

    name, model = "Given", "g"

    def __init__(self, *parts):
        self.parts = parts
        self.asked = 0

    async def batches(self, request):
        self.asked += 1
        yield list(self.parts)


async def asked_twice(store, *parts, **request):
    """Ask a backend of one's own twice; say how often it was asked, and both answers."""
    own = Given(*parts)
    backend = Backend.of(own).cached(store)
    question = ChatRequest(messages=(Message("user", "Hi."),), **request)
    answers = [
        collect([part async for batch in backend.answer(question) for part in batch]) for _ in range(2)
    ]
    return own.asked, answers


# --- hits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", SERVICES, ids=str)
async def test_a_question_is_asked_once(service, store):
    """On every protocol: the same text, usage and end, with nobody asked."""
    with replica(service.cls, answer="Hello there", **service.style) as r:
        provider = service.provider(r).cached(store)
        first = await provider.complete("Hi")
        sent = len(r.requests)
        again = await provider.complete("Hi")
        assert len(r.requests) == sent
        assert (first.finish.cached, again.finish.cached) == (False, True)
        assert again.finish.attempts == 0
        assert (again.text, again.usage) == (first.text, first.usage)
        assert again.finish == replace(first.finish, cached=True, attempts=0)
        assert (await provider.complete("Ho")).finish.cached is False
        assert (await service.provider(r).complete("Hi")).finish.cached is False  # where no cache is set


async def test_every_way_to_ask_is_served(store):
    with replica(OpenAICompatible, answer="Hello there") as r:
        provider = local(r, store)
        parts = [part async for part in provider.stream("Hi")]
        text = "".join([part.text for part in parts if isinstance(part, Text)])
        again = [part async for part in provider.stream("Hi")]
        assert [type(part) for part in again] == [Text, Usage, Finish]
        assert (again[0].text, text) == ("Hello there", "Hello there")
        assert "".join([piece async for piece in provider.create_async_generator(messages="Hi")]) == text
        assert (await asyncio.to_thread(provider.complete_sync, "Hi")).finish.cached
        assert len(await asyncio.to_thread(lambda: list(provider.stream_sync("Hi")))) == 3
        assert len(r.requests) == 1


@pytest.mark.parametrize("cache", ["path", "variable", "memory", "store", "object"])
async def test_every_way_to_name_a_cache(cache, tmp_path, monkeypatch):
    path = tmp_path / f"{cache}.sqlite3"
    monkeypatch.setenv("FREEPROVIDERS_ANSWERS", str(path))
    named = {
        "path": path,
        "variable": True,
        "memory": "memory",
        "store": open_store(path),
        "object": AnswerCache(open_store(path)),
    }
    with replica(FlowGpt, answer="Hello") as r:
        flow = FlowGpt(base_url=r.base_url, cache=named[cache])
        await flow.complete("Hi")
        assert (await flow.complete("Hi")).finish.cached
        assert (await FlowGpt(base_url=r.base_url).cached(named[cache]).complete("Hi")).finish.cached
        assert not (await flow.cached(None).complete("Hi")).finish.cached
        assert not (await flow.cached(False).complete("Hi")).finish.cached
    await asyncio.to_thread(open_store("memory").delete().result, WAIT)
    await asyncio.to_thread(open_store(path).close)


async def test_copies_keep_the_cache(store):
    with replica(OpenAICompatible, answer="Hello") as r:
        provider = local(r, store)
        await provider.complete("Hi")
        for copy in (
            provider.configured(timeout=7),
            provider.with_model("m"),
            pickle.loads(pickle.dumps(provider)),
        ):
            assert (await copy.complete("Hi")).finish.cached
        assert not (await provider.with_model("n").complete("Hi")).finish.cached
        assert (await provider.complete("Hi", model="n")).finish.cached
        with replica(OpenAICompatible, answer="Hello") as other:
            assert not (await provider.configured(base_url=other.base_url).complete("Hi")).finish.cached


async def test_a_cache_in_another_process(store):
    with replica(OpenAICompatible, answer="Hello") as r:
        provider = local(r, store)
        await provider.complete("Hi")
        code = (
            "import pickle, sys\n"
            "answer = pickle.load(sys.stdin.buffer).complete_sync('Hi')\n"
            "print(answer, answer.finish.cached)"
        )
        ran = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", code],
            input=pickle.dumps(provider),
            capture_output=True,
            check=True,
        )
        assert ran.stdout.decode().strip() == "Hello True"
        assert len(r.requests) == 1


async def test_no_quota_is_taken(store, tmp_path):
    limit = {"metric": "requests", "per": "day", "cap": 1}
    quota = Quota([limit], name="mine", ledger=tmp_path / "quota.db")
    with replica(OpenAICompatible, answer="Hello") as r:
        provider = local(r, store, quota=quota)
        first = await provider.complete("Hi", wait_up_to=0)
        assert first.finish.quota
        again = await provider.complete("Hi", wait_up_to=0)
        assert (again.finish.cached, again.finish.quota) == (True, ())


async def test_who_listens_is_told_of_a_hit_too(store):
    """A batch pulls its next row when the one before was admitted."""
    told = []
    own = Backend.of(Given(Text("Yes."), Finish(provider="p", model="q"))).cached(store)
    question = ChatRequest(messages=(Message("user", "Hi."),), listener=told.append)
    for _ in range(2):
        async for _batch in own.answer(question):
            pass
    assert told == [Admitted("Given", "g"), Admitted("p", "q")]


async def test_what_a_batch_has_kept_is_served(store):
    """The cache and a batch have the same keys and entries; what is no answer is asked."""
    own = Given(Text("asked"), Finish())
    backend = Backend.of(own).cached(store)
    kept = Completion("kept", "", (), Usage(1, 1), Finish(provider="p"))
    for text, entry in (
        ("done", Entry(state="done", value=to_plain(kept))),
        ("failed", Entry(state="failed", value=b"{}", tries=1)),
        ("refused", Entry(state="refused", value=b"{}")),
    ):
        key = request_key(backend.request(text), backend.asked_as())
        store.put([(key, entry)], run="a batch").result(WAIT)
    assert str(await backend.complete("done")) == "kept"
    assert str(await backend.complete("failed")) == "asked"
    assert str(await backend.complete("refused")) == "asked"
    assert own.asked == 2
    assert (await backend.complete("failed")).finish.cached


# --- requests of every kind -----------------------------------------------------------------------


async def test_tools_and_reasoning_come_back(store):
    call = ToolCall("call_1", "add", {"a": 1})
    with replica(OpenAICompatible, answer=[Reasoning("Hm."), call]) as r:
        provider = local(r, store, native_tools=True)
        first = await provider.complete("Add 1.", tools=[ADD])
        assert first.tool_calls == (call,)
        again = await provider.complete("Add 1.", tools=[ADD])
        assert (again.tool_calls, again.reasoning, again.finish.cached) == ((call,), "Hm.", True)
        deltas = [part async for part in provider.stream("Add 1.", tools=[ADD], stream_tool_arguments=True)]
        assert deltas[:2] == [ToolCallDelta(0, "call_1", "add", '{"a":1}'), Reasoning("Hm.")]
        assert call in deltas
        assert len(r.requests) == 1


async def test_tools_through_the_prompt_are_kept_as_calls(store):
    with replica(FlowGpt, answer='<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>') as r:
        flow = FlowGpt(base_url=r.base_url, cache=store)
        first = await flow.complete("Add 1.", tools=[ADD])
        again = await flow.complete("Add 1.", tools=[ADD])
        assert again.tool_calls == first.tool_calls != ()
        assert len(r.requests) == 1


class City(BaseModel):
    name: str


async def test_typed_answers_are_asked_again_until_one_fits(store):
    """What did not fit is not kept, and with it nothing of the repairs."""
    answers = iter(["no object", "no object", '{"name": "Paris"}'])
    form = {"type": "json_schema", "json_schema": {"name": "City", "schema": City.model_json_schema()}}
    with replica(FlowGpt, answer=lambda messages: next(answers)) as r:
        flow = FlowGpt(base_url=r.base_url, cache=store)
        with pytest.raises(Exception, match="No valid object"):
            await flow.complete("Where?", response_format=form, max_repairs=0)
        first = await flow.complete("Where?", response_format=form)
        again = await flow.complete("Where?", response_format=form)
        assert City.model_validate_json(again.text) == City(name="Paris")
        assert (first.text, again.finish.cached, len(r.requests)) == (again.text, True, 3)


async def test_several_answers_are_kept_together(store):
    numbers = iter(range(10))
    with replica(FlowGpt, answer=lambda messages: f"answer {next(numbers)}") as r:
        flow = FlowGpt(base_url=r.base_url, cache=store)
        three = await flow.complete("Hi", n=3)
        assert len({str(three), *map(str, three.others)}) == 3
        again = await flow.complete("Hi", n=3)
        assert (again.text, again.others, again.usage) == (three.text, three.others, three.usage)
        assert (again.finish.cached, len(r.requests)) == (True, 3)
        assert str(await flow.complete("Hi")) == "answer 3"


async def test_log_probabilities_and_stop_sequences(store):
    values = {"content": [{"token": "Yes", "logprob": -0.1}]}
    with replica(OpenAICompatible, answer=[Text("Yes and no"), LogProbs(values)]) as r:
        provider = local(r, store)
        for cached in (False, True):
            answer = await provider.complete("Hi", stop=" and", logprobs=True)
            assert (answer.text, answer.finish.cached) == ("Yes", cached)
        assert len(r.requests) == 1
        assert (await provider.complete("Hi")).text == "Yes and no"
        assert (await provider.complete("Hi")).logprobs == values


async def test_pictures_count_by_their_bytes(store):
    own = Given(Text("A cat."), Finish())
    backend = Backend.of(own).cached(store)

    def shown(url):
        return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]

    await backend.complete(shown("data:image/png;base64,AAAA"))
    assert (await backend.complete(shown("data:image/png;base64,AA\nAA"))).finish.cached
    assert not (await backend.complete(shown("data:image/png;base64,AAAB"))).finish.cached


async def test_a_question_without_a_key_is_asked(store):
    """An option that JSON has no form for is left out by a service that takes none."""
    with replica(FlowGpt, answer="Hello") as r:
        flow = FlowGpt(base_url=r.base_url, cache=store)
        with pytest.warns(UnsupportedOptionWarning, match="callback"):
            await flow.complete("Hi", callback=print)
        assert not (await flow.complete("Hi", callback=print)).finish.cached


async def test_the_callers_mistakes_are_still_found_at_once(store):
    flow = FlowGpt(base_url="http://127.0.0.1:1", cache=store)
    with pytest.raises(UsageError):
        flow.answer(ChatRequest(messages=(Message("user", "Hi."),), n=0))
    with pytest.raises(UsageError, match="cache belongs to the constructor"):
        await flow.complete("Hi", cache=True)
    with pytest.raises(UsageError, match="cache must be True, False, a path"):
        FlowGpt(cache=7)
    with pytest.raises(UsageError, match="cache belongs to the constructor"):
        flow.create_async_generator(messages="Hi", cache=True)


async def test_on_the_class_and_for_one_call(store):
    with replica(FlowGpt, answer="Hello") as r:
        for _ in range(2):
            stream = FlowGpt.create_async_generator(messages="Hi", base_url=r.base_url, cache=store)
            assert "".join([piece async for piece in stream]) == "Hello"
        assert len(r.requests) == 1


# --- what is kept ---------------------------------------------------------------------------------

WHOLE = Completion("Yes.", "", (), Usage(1, 1), Finish())
CALL = ToolCall("1", "f", {})


@pytest.mark.parametrize(
    ("answer", "more", "kept"),
    [
        (WHOLE, {}, True),
        (
            replace(WHOLE, finish=Finish("tool_calls"), text="", tool_calls=(ToolCall("1", "f", {}),)),
            {},
            True,
        ),
        (replace(WHOLE, text="", refusal="No."), {}, True),
        (replace(WHOLE, finish=Finish(confirmed=False)), {}, False),
        (replace(WHOLE, finish=Finish("unknown")), {}, False),
        (replace(WHOLE, finish=Finish("content_filter")), {}, False),
        (replace(WHOLE, finish=Finish("length")), {}, False),
        (replace(WHOLE, finish=Finish("length")), {"max_tokens": 5}, True),
        (replace(WHOLE, text=""), {}, False),
        (
            replace(WHOLE, tool_calls=(CALL,), invalid_tool_calls=(InvalidToolCall("2", "f", "{", "No."),)),
            {},
            False,
        ),
        (replace(WHOLE, others=(WHOLE,)), {"n": 2}, True),
        (replace(WHOLE, others=(replace(WHOLE, finish=Finish("length")),)), {"n": 2}, False),
        (WHOLE, {"on_invalid": "pass", "response_format": {"type": "json_object"}}, False),
        (WHOLE, {"on_invalid": "pass"}, True),
    ],
)
async def test_only_what_is_whole_is_kept(answer, more, kept, store):
    request = ChatRequest(messages=(Message("user", "Hi."),), **more)
    assert is_whole(answer, request) is kept
    if not answer.others and not request.response_format and answer.text:
        asked, _ = await asked_twice(store, *parts_of(answer), **more)
        assert asked == (1 if kept else 2)


async def test_an_answer_that_breaks_off_is_not_kept(store):
    with replica(OpenAICompatible, answer="Hello there", faults=[{"cut": 300}]) as r:
        provider = local(r, store)
        with contextlib.suppress(TruncatedResponseError, ProviderError):
            async for _ in provider.stream("Hi"):
                pass
        assert not (await provider.complete("Hi")).finish.cached


async def test_an_answer_that_nobody_read_to_its_end_is_not_kept(store):
    with replica(OpenAICompatible, answer="Hello there, and more of it", faults=[{"pace": 0.05}]) as r:
        provider = local(r, store)
        stream = provider.stream("Hi")
        await anext(stream)
        await stream.aclose()
        assert not (await provider.complete("Hi")).finish.cached


@given(completions)
@settings(max_examples=60, deadline=None)
def test_an_answer_is_the_sum_of_its_parts(answer):
    seams = tuple(seam for seam in answer.finish.seams if seam.how != "restart")
    answer = replace(
        answer,
        finish=replace(answer.finish, seams=seams),
        logprobs=answer.logprobs or None,
        reasoning=answer.reasoning,
    )
    assert collect(parts_of(answer)) == answer


async def test_seams_of_a_restarted_answer(store):
    """What a restart had made void is not there the second time, and neither is the restart."""
    seams = (Seam(5, "a", "b", "trim"), Seam(10, "b", "c", "restart"), Seam(14, "c", "d", "prefill"))
    asked, (first, again) = await asked_twice(store, Text("0123456789Yes, sir."), Finish(seams=seams))
    assert (asked, first.text, again.text) == (1, "Yes, sir.", "Yes, sir.")
    assert again.finish.seams == (Seam(4, "c", "d", "prefill"),)


async def test_what_was_charged_is_not_charged_again(store):
    _, (first, again) = await asked_twice(store, Text("Yes."), Usage(3, 4, cost=0.5), Finish())
    assert (first.usage.cost, again.usage) == (0.5, Usage(3, 4, cost=0.0))


async def test_what_is_kept_holds_no_question(store, tmp_path):
    """Of a question there is a hash alone."""
    await asked_twice(store, Text("An answer."), Finish())
    own = Given(Text("Another answer."), Finish())
    await Backend.of(own).cached(store).complete("A very secret question")
    await asyncio.to_thread(store.close)
    data = (tmp_path / "answers.sqlite3").read_bytes()
    assert b"Another answer." in data
    assert b"secret" not in data


async def test_equal_questions_at_the_same_moment_are_each_asked(store):
    with replica(OpenAICompatible, answer="Hello", faults={"delay_first": 0.05}) as r:
        provider = local(r, store)
        answers = await asyncio.gather(*(provider.complete("Hi") for _ in range(3)))
        assert {str(one) for one in answers} == {"Hello"}
        assert len(r.requests) == 3
        assert (await provider.complete("Hi")).finish.cached


# --- a store that fails ---------------------------------------------------------------------------


class Failing:
    """A store that fails, or never answers."""

    def __init__(self, place, error=None):
        self.place = place
        self.error = error
        self.asked = 0

    def get(self, keys):
        self.asked += 1
        future = Future()
        if self.error is not None:
            future.set_exception(self.error)
        return future

    def put(self, entries, *, run=""):
        return self.get(())

    kept = delete = begin = close = get


async def test_a_store_that_fails_costs_no_answer(tmp_path):
    """It is said once, and the store is left alone for a while."""
    store = Failing("a broken place", OSError("it broke"))
    own = Given(Text("Yes."), Finish())
    with pytest.warns(AnswerStoreWarning, match=r"it broke Answers are not kept meanwhile"):
        assert str(await Backend.of(own).cached(store).complete("Hi")) == "Yes."
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert str(await Backend.of(own).cached(store).complete("Hi")) == "Yes."
    assert (own.asked, store.asked) == (2, 1)


async def test_a_store_that_does_not_answer_costs_little(monkeypatch):
    from freeproviders.answers import cache

    monkeypatch.setattr(cache, "STORE_SECONDS", 0.01)
    own = Given(Text("Yes."), Finish())
    with pytest.warns(AnswerStoreWarning, match="did not come within"):
        assert str(await Backend.of(own).cached(Failing("a silent place")).complete("Hi")) == "Yes."


async def test_a_file_of_another_program_costs_no_answer(tmp_path):
    path = tmp_path / "theirs.db"
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE theirs (a)")
    own = Given(Text("Yes."), Finish())
    with pytest.warns(AnswerStoreWarning, match="is a file of another program"):
        assert str(await Backend.of(own).cached(path).complete("Hi")) == "Yes."
    await asyncio.to_thread(open_store(path).close)


async def test_an_entry_that_is_damaged_is_asked_again(store):
    own = Given(Text("Yes."), Finish())
    backend = Backend.of(own).cached(store)
    key = request_key(backend.request("Hi"), backend.asked_as())
    store.put([(key, Entry(state="done", value=b"{"))]).result(WAIT)
    with pytest.warns(AnswerStoreWarning, match="is damaged"):
        assert str(await backend.complete("Hi")) == "Yes."
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = await backend.complete("Hi")
    assert (str(again), again.finish.cached) == ("Yes.", True)


# --- routers --------------------------------------------------------------------------------------


async def test_a_router_keeps_answers(store, tmp_path):
    with replica(OpenAICompatible, answer="Hello") as r:

        def router(**more):
            member = OpenAICompatible("m", base_url=r.base_url, retry=0)
            return FreeProviders(member, ledger=tmp_path / "quota.db", **more)

        asked = router(cache=store)
        first = await asked.complete("Hi")
        assert first.finish.trail
        again = await asked.complete("Hi")
        assert (again.finish.cached, again.finish.attempts, again.finish.trail) == (True, 0, ())
        assert (again.finish.provider, again.text) == (first.finish.provider, "Hello")
        assert (await router().cached(store).complete("Hi")).finish.cached
        assert (await asked.configured(timeout=9).complete("Hi")).finish.cached
        assert pickle.loads(pickle.dumps(asked))._cache is not None
        assert len(r.requests) == 1


async def test_a_member_keeps_answers_of_its_own(store, tmp_path):
    """A hit of a member is no sign of its health, and takes none of the question's requests."""
    with replica(OpenAICompatible, answer="Hello") as r:
        router = FreeProviders(local(r, store), ledger=tmp_path / "quota.db")
        await router.complete("Hi")
        (before,) = await router.status()
        again = await router.complete("Hi")
        assert again.finish.cached
        assert [one.requests for one in again.finish.trail] == [0]
        assert [part async for part in router.stream("Hi")][-1].cached
        (after,) = await router.status()
        assert replace(after, counts=before.counts) == before
        assert after.counts["answered"] == 1
        assert len(r.requests) == 1


def test_threads_and_loops_share_a_cache(store):
    with replica(OpenAICompatible, answer="Hello") as r:
        provider = local(r, store)
        provider.complete_sync("Hi")
        found = []

        def ask():
            found.append(asyncio.run(provider.complete("Hi")).finish.cached)
            found.append(provider.complete_sync("Hi").finish.cached)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [True] * 8


def test_no_store_is_loaded_where_no_cache_is_set():
    code = (
        "import sys\n"
        "from freeproviders import FlowGpt, OpenAICompatible, Embedded\n"
        "FlowGpt(); OpenAICompatible('m', base_url='http://127.0.0.1:1')\n"
        "print([name for name in sys.modules if name.startswith(('freeproviders.answers', 'sqlite3'))])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


async def test_a_batch_and_the_cache_share_answers(store):
    """What a batch has asked is a hit, and what the cache has kept is no row to ask."""
    with replica(OpenAICompatible, answer=lambda messages: f"about {messages[-1]['content']}") as r:
        plain = OpenAICompatible("m", base_url=r.base_url, retry=0)
        kept = plain.cached(store)
        await kept.complete("c", temperature=0)
        report = await batch(["a", "b", "c"], plain, store=store, temperature=0)
        assert (report.done, len(r.requests)) == (3, 3)
        for text in "abc":
            answer = await kept.complete(text, temperature=0)
            assert (str(answer), answer.finish.cached) == (f"about {text}", True)
        assert len(r.requests) == 3


# --- objects ----------------------------------------------------------------------------------------


class Town(BaseModel):
    city: str
    people: int


async def test_objects_are_asked_once_however_they_are_asked_for(store):
    """As they grow, as a whole and in a batch; without the class it is another question."""
    with replica(OpenAICompatible, '{"city": "Paris", "people": 2}') as server:
        for make in (local, lambda *given: FreeProviders(local(*given[:1], None), cache=given[1])):
            before = len(server.requests)
            model = make(server, store)
            first = [step async for step in stream_structured(model, model.request("Where?"), Town)]
            assert isinstance(first[0], Draft)
            assert (first[-1].value, first[-1].finish.cached) == (Town(city="Paris", people=2), False)
            (again,) = [step async for step in stream_structured(model, model.request("Where?"), Town)]
            whole = await complete_structured(model, model.request("Where?", temperature=None), Town)
            for one in (again, whole):
                assert isinstance(one, Structured)
                assert (one.value, one.data, one.finish.cached) == (first[-1].value, first[-1].data, True)
            report = await batch(["Where?"], model.cached(None), store=store, response_format=Town)
            assert (report.done, report.kept) == (1, 1)
            assert len(server.requests) == before + 1
            await complete_structured(model, model.request("Where?"), Town.model_json_schema())
            assert len(server.requests) == before + 2


async def test_an_object_that_is_asked_for_in_other_words_is_asked_for(store):
    """The key says nothing of the words that ask for an object."""
    with replica(OpenAICompatible, '{"city": "Paris", "people": 2}') as server:
        model = local(server, store)
        await complete_structured(model, model.request("Where?"), Town)
        own = ToolPrompt(schema="Answer with JSON: {schema} {form}")
        answer = await complete_structured(model, model.request("Where?"), Town, prompt=own)
        assert not answer.finish.cached
        assert len(server.requests) == 2


async def test_an_object_that_does_not_fit_is_not_kept(store):
    with replica(OpenAICompatible, "no object") as server:
        model = local(server, store)
        for _ in range(2):
            with pytest.raises(StructuredOutputError):
                await complete_structured(model, model.request("Where?"), Town)
    assert store.kept().result() == []
