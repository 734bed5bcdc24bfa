"""One LangChain model over many services: the next where one fails, and what is told of that."""

import asyncio
import copy
import inspect
import pickle
import subprocess
import sys
from contextlib import ExitStack
from typing import get_args

import pytest
from langchain.agents.middleware import ModelRetryMiddleware
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.exceptions import ModelError
from langchain_core.language_models import FakeListChatModel
from langchain_core.load import dumpd, dumps, load
from langchain_core.messages import HumanMessage
from langchain_core.runnables import ConfigurableField
from langchain_core.tracers.context import collect_runs

from freeproviders import FreeProviders, OpenAICompatible, Retry, Timeout, errors
from freeproviders.consent import Privacy
from freeproviders.errors import UsageError
from freeproviders.router.order import Strategy
from freeproviders.types import OnBrokenStream
from langchain_freeproviders import ChatFreeProviders, FreeProvidersLLM, init_chat_model
from langchain_freeproviders.errors import AuthenticationError, NoProviderError
from tests.langchain.services import OPENAI
from tests.langchain.theirs import ChatTheirs

NOBODY = "http://127.0.0.1:9/v1"
NEXT = [
    ("freeproviders_asking", "m1"),
    ("freeproviders_attempt", "m1"),
    ("freeproviders_failover", "m2"),
    ("freeproviders_asking", "m2"),
    ("freeproviders_attempt", "m2"),
]
"""What is told where the first of two fails."""


@pytest.fixture(autouse=True)
def _own_ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("FREEPROVIDERS_QUOTA", str(tmp_path / "ledger.sqlite"))


@pytest.fixture
def servers():
    """Start replicas, each with its answer and its faults."""
    with ExitStack() as stack:

        def start(*answers):
            return [
                stack.enter_context(OPENAI.replica(None, faults=answer))
                if isinstance(answer, dict)
                else stack.enter_context(OPENAI.replica(answer))
                for answer in answers
            ]

        yield start


def members(*servers):
    """Backends of servers, whose models are m1, m2 ..."""
    return [OpenAICompatible(f"m{n}", base_url=server.base_url) for n, server in enumerate(servers, 1)]


def router(*servers, **fields):
    return ChatFreeProviders(models=members(*servers), **fields)


def shown(name, data):
    return name, data.get("source", "").partition("/")[2] or data["model"]


async def read(stream):
    return [piece async for piece in stream]


class Told(BaseCallbackHandler):
    """Notes custom events."""

    def __init__(self):
        self.events = []
        self.runs = set()
        self.pieces = 0

    def on_custom_event(self, name, data, *, run_id, **kwargs):
        self.events.append(shown(name, data))
        self.runs.add(run_id)
        self.tags = kwargs.get("tags")


class ToldAsync(AsyncCallbackHandler):
    def __init__(self):
        self.events = []

    async def on_custom_event(self, name, data, *, run_id, **kwargs):
        await asyncio.sleep(0)
        self.events.append(shown(name, data))


# --- asked in all the ways ------------------------------------------------------------------------


async def test_in_all_the_ways_to_ask(servers):
    one, two = servers({"status": 401}, "I am second.")
    model = router(one, two)
    assert model.invoke("Hi").content == "I am second."
    assert (await model.ainvoke("Hi")).content == "I am second."
    chunks = list(model.stream("Hi"))
    assert "".join(chunk.content for chunk in chunks) == "I am second."
    assert len(chunks) > 2
    assert "".join([chunk.content async for chunk in model.astream("Hi")]) == "I am second."
    for answers in (model.batch(["a", "b"], {"max_concurrency": 1}), await model.abatch(["a", "b", "c"])):
        assert {answer.content for answer in answers} == {"I am second."}
    assert len(one.requests) == 1  # its key is bad, for everybody and for good
    assert model.invoke("Hi", n=2).content == "I am second."


def test_the_answer_says_who_gave_it_and_how(servers):
    one, two = servers({"status": 503}, "I am second.")
    message = router(one, two).invoke("Hi")
    metadata = message.response_metadata
    assert (metadata["provider"], metadata["model_name"]) == ("OpenAICompatible", "m2")
    assert metadata["model_provider"] == router(one, two)._get_ls_params()["ls_provider"] == "free_providers"
    first, second = metadata["trail"]
    assert (first["model"], first["requests"], second["model"], second["error"]) == ("m1", 1, "m2", "")
    assert "HTTP 503" in first["error"]
    assert "seams" not in metadata
    *pieces, last = router(one, two).stream("Hi")
    assert [attempt["model"] for attempt in last.response_metadata["trail"]] == ["m1", "m2"]
    assert not any(piece.response_metadata for piece in pieces)
    assert [
        attempt["model"] for attempt in sum(pieces[1:], pieces[0]).__add__(last).response_metadata["trail"]
    ]


def test_every_argument_of_the_router_has_a_field():
    for cls in (ChatFreeProviders, FreeProvidersLLM):
        parameters = inspect.signature(FreeProviders.__init__).parameters.values()
        own = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
        assert own == {*FreeProviders.options, "cache"}
        assert own <= set(cls.model_fields)
        assert {"models", "timeout", "max_retries", "wait_up_to", "temperature"} <= set(cls.model_fields)
        for name in own:
            default = cls.model_fields[name].get_default(call_default_factory=True)
            given = inspect.signature(FreeProviders.__init__).parameters[name].default
            assert default == (list(given) if given == () else given)
        for name, words in (
            ("privacy", Privacy),
            ("strategy", Strategy),
            ("on_broken_stream", OnBrokenStream),
        ):
            annotation = cls.model_fields[name].annotation
            first = get_args(annotation)[0]
            assert (get_args(first) or get_args(annotation)) == get_args(words)


def test_the_router_is_loaded_by_who_has_one():
    """Its modules, and the catalogue, are not loaded with the package."""
    program = (
        "import sys, langchain_freeproviders as l; l.ChatFreeProviders; "
        "print([m for m in sys.modules if m.startswith(('freeproviders.router', 'freeproviders.catalogue'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_a_field_says_reaches_the_router(servers):
    (one,) = servers("ok")
    model = router(
        one,
        on_broken_stream="continue",
        max_requests=3,
        strategy="spread",
        context_window=77,
        ledger="memory",
        timeout=9,
        max_retries=0,
    )
    rules = model._backend._rules
    assert (rules.max_requests, rules.on_broken_stream, rules.timeout) == (
        3,
        "continue",
        Timeout.of(9, Timeout()),
    )
    assert rules.retry.attempts == 1
    assert model.profile["max_input_tokens"] == 77
    assert [member.model for member in model._backend.members] == ["m1"]
    with pytest.raises(UsageError, match="No member is 'nobody'"):
        model.invoke("Hi", model="nobody")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"base_url": NOBODY}, "base_url belongs to one member: configure the member"),
        ({"api_key": "sk-1"}, "api_key belongs to one member"),
        ({"prefered": ["groq"]}, "Unknown argument 'prefered'"),
        ({"members": ["groq"]}, r"Unknown argument 'members'\. Pass the members as models=\["),
        ({"privacy": "secret"}, "privacy"),
        ({"strategy": "best"}, "strategy"),
        ({"on_broken_stream": "shrug"}, "on_broken_stream"),
        ({"max_requests": 0}, "max_requests"),
        ({"models": "flow-gpt"}, "models"),
        ({"models": ["no such service"]}, "no such service"),
        ({"models": [5]}, "A member is a backend, or a name"),
        ({"models": [FreeProvidersLLM]}, "A member is a backend, or a name"),
    ],
    ids=str,
)
@pytest.mark.parametrize("cls", [ChatFreeProviders, FreeProvidersLLM])
def test_what_makes_no_sense_is_refused(cls, wrong, said):
    with pytest.raises(ValueError, match=said):
        cls(**{"models": ["flow-gpt"], **wrong})


def test_a_call_may_name_a_member_and_set_what_is_of_the_question(servers):
    one, two = servers("first", "second")
    model = router(one, two)
    assert model.invoke("Hi", model="m2").content == "second"
    assert model.bind(model="m2", temperature=0.5).invoke("Hi").content == "second"
    assert two.requests[-1].json["temperature"] == 0.5
    assert router(one, two, model="m2").invoke("Hi").content == "second"
    assert model.invoke("Hi", timeout=5, max_retries=Retry(attempts=1)).content == "first"
    with pytest.raises(UsageError, match="headers belongs to one member"):
        model.invoke("Hi", headers={"X": "y"})
    chosen = model.configurable_fields(
        temperature=ConfigurableField("heat"), model_name=ConfigurableField("who")
    )
    assert chosen.invoke("Hi", {"configurable": {"heat": 0.1, "who": "m2"}}).content == "second"
    assert two.requests[-1].json["temperature"] == 0.1


def test_it_is_made_by_name():
    model = init_chat_model("free_providers:flow-gpt", temperature=0.5)
    assert isinstance(model, ChatFreeProviders)
    assert (model.models, model.temperature) == (["flow-gpt"], 0.5)
    assert init_chat_model("free_providers", models=["flow-gpt"]) == ChatFreeProviders(models=["flow-gpt"])


def test_the_window_is_the_smallest_of_the_preferred(servers):
    one, two = servers("ok", "ok")
    first, second = members(one, two)
    models = [first.with_abilities(window=900), second.with_abilities(window=400)]
    model = ChatFreeProviders(models=models)
    assert model.profile["max_input_tokens"] == 400
    assert model.invoke("word " * 250).content == "ok"  # which the first has room for
    assert (len(one.requests), len(two.requests)) == (1, 0)
    assert model.profile["tool_calling"]


# --- nobody answers -------------------------------------------------------------------------------


async def test_one_error_for_all(servers):
    model = router(*servers({"status": 503}, {"status": 401}), wait_up_to=0, max_retries=0)
    for ask in (
        lambda: model.ainvoke("Hi"),
        lambda: anext(model.astream("Hi")),
        lambda: asyncio.to_thread(model.invoke, "Hi"),
    ):
        with pytest.raises(NoProviderError, match="No member has answered") as caught:
            await ask()
    error = caught.value
    assert isinstance(error, errors.NoProviderError)
    assert isinstance(error, ModelError)
    assert {attempt.model for attempt in error.trail} == {"m1", "m2"}
    same = pickle.loads(pickle.dumps(error))
    assert (str(same), same.trail) == (str(error), error.trail)


def test_a_soonest_time_is_a_reason_to_ask_again(servers):
    (one,) = servers({"status": 429, "retry_after": 40})
    with pytest.raises(NoProviderError) as caught:
        router(one, wait_up_to=0).invoke("Hi")
    assert caught.value.is_retryable
    assert 30 < caught.value.retry_after <= 41
    assert caught.value.soonest is not None
    assert ModelRetryMiddleware().retry_on(caught.value)
    with pytest.raises((NoProviderError, AuthenticationError)) as final:
        router(*servers({"status": 401})).invoke("Hi")
    assert not final.value.is_retryable


# --- left early -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [OpenAICompatible, ChatTheirs], ids=lambda kind: kind.__name__)
async def test_leaving_ends_the_request(kind):
    """Wherever it is, also at a member with a client of its own."""
    with OPENAI.replica("word " * 500, faults={"pace": 0.01}) as r:
        model = ChatFreeProviders(models=[kind(model="m1", base_url=r.base_url)])
        told = {"callbacks": [Told()]}
        stream = model.astream("Hi", told)
        await anext(stream)
        await stream.aclose()
        assert await r.await_disconnect(1) == 1
        asked = asyncio.create_task(model.ainvoke("Hi", told, stream=True))
        await r.await_requests(2)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await r.await_disconnect(2) == 2
        pieces = model.stream("Hi", told)
        assert await asyncio.to_thread(lambda: next(pieces).content)
        await asyncio.to_thread(pieces.close)
        assert await r.await_disconnect(3) == 3


# --- told -----------------------------------------------------------------------------------------


async def test_events_in_every_way_to_ask(servers):
    """In their order, with the run that asked; nobody hears anything twice."""
    dead = {"drop": True}
    ways = {
        "invoke": lambda model, config: model.invoke("Hi", config),
        "stream": lambda model, config: list(model.stream("Hi", config)),
        "streamed invoke": lambda model, config: model.invoke("Hi", config, stream=True),
        "batch": lambda model, config: model.batch(["Hi"], config),
    }
    for name, ask in ways.items():
        told = Told()
        ask(router(*servers(dead, "ok")), {"callbacks": [told], "tags": ["mine"]})
        assert told.events == NEXT, name
        assert len(told.runs) == 1
        assert told.tags == ["mine"]

    for name, ask in {
        "ainvoke": lambda model, config: model.ainvoke("Hi", config),
        "astream": lambda model, config: read(model.astream("Hi", config)),
        "streamed ainvoke": lambda model, config: model.ainvoke("Hi", config, stream=True),
    }.items():
        told, later = Told(), ToldAsync()
        await ask(router(*servers(dead, "ok")), {"callbacks": [told, later]})
        assert told.events == later.events == NEXT, name


async def test_events_come_before_what_follows_them(servers):
    """An attempt that fails is told before the first piece of the next member's answer."""
    (dead,) = servers({"drop": True})
    with OPENAI.replica("one two three", faults={"pace": 0.02}) as slow:
        await hears_in_order(router(dead, slow))
    told = Told()
    stream = router(*servers({"drop": True}, "one two three")).stream("Hi", {"callbacks": [told]})
    assert next(stream).content == "one"
    assert told.events[:4] == NEXT[:4]
    stream.close()


async def hears_in_order(model):
    seen = []
    async for event in model.astream_events("Hi", version="v2"):
        if event["event"] == "on_custom_event":
            seen.append(shown(event["name"], event["data"]))
        elif event["event"] == "on_chat_model_stream" and event["data"]["chunk"].content:
            seen.append(event["data"]["chunk"].content)
    assert seen[:5] == [*NEXT[:4], "one"]
    assert sorted(seen[5:], key=str) == [" three", " two", NEXT[4]]


async def test_events_of_a_question_that_fails(servers):
    fails = [("freeproviders_asking", "m1"), ("freeproviders_attempt", "m1")]
    for ask in (
        lambda model, config: asyncio.to_thread(model.invoke, "Hi", config),
        lambda model, config: asyncio.to_thread(list, model.stream("Hi", config)),
        lambda model, config: model.ainvoke("Hi", config),
        lambda model, config: anext(model.astream("Hi", config)),
    ):
        told = Told()
        with pytest.raises(errors.ProviderError, match="HTTP 401"):
            await ask(router(*servers({"status": 401})), {"callbacks": [told]})
        assert told.events == fails


def test_nothing_is_told_where_nobody_listens(servers, monkeypatch):
    """Not even noted."""
    heard = []
    monkeypatch.setattr("langchain_freeproviders.events.Run.hear", lambda self, told: heard.append(told))
    model = router(*servers({"drop": True}, "ok"))
    model.invoke("Hi")
    list(model.stream("Hi"))

    class Deaf(Told):
        ignore_custom_event = True

    model.invoke("Hi", {"callbacks": [Deaf()]})
    assert heard == []
    model.invoke("Hi", {"callbacks": [Told()]})
    assert heard


async def test_runs_of_members_are_below_the_routers(servers):
    """In traces; who shows pieces sees those of the router alone."""
    (one,) = servers("I am here.")
    model = ChatFreeProviders(models=[ChatTheirs(base_url=one.base_url)])
    for ask in (
        lambda: model.ainvoke("Hi"),
        lambda: asyncio.to_thread(model.invoke, "Hi"),
        lambda: asyncio.to_thread(list, model.stream("Hi")),
        lambda: read(model.astream("Hi")),
    ):
        with collect_runs() as runs:
            await ask()
        assert [run.name for run in runs.traced_runs if run.parent_run_id is None] == ["ChatFreeProviders"]
    with collect_runs() as runs:
        chain = model | (lambda message: message.content)
        assert await chain.ainvoke("Hi") == "I am here."
    (whole,) = runs.traced_runs
    (first, _) = whole.child_runs
    assert (first.name, [run.name for run in first.child_runs]) == ("ChatFreeProviders", ["ChatTheirs"])
    events = [event async for event in model.astream_events("Hi", version="v2")]
    pieces = [e["data"]["chunk"].content for e in events if e["event"] == "on_chat_model_stream"]
    assert "".join(pieces) == "I am here."
    assert {event["name"] for event in events if event["event"].startswith("on_chat")} == {
        "ChatFreeProviders"
    }


def test_a_trace_sees_one_call_without_our_keyword(servers):
    model = router(*servers("ok"), temperature=0.5)
    for ask in (lambda: model.invoke("Hi", stop=["x"]), lambda: list(model.stream("Hi", stop=["x"]))):
        with collect_runs() as runs:
            ask()
        (run,) = runs.traced_runs
        shown = run.extra["invocation_params"]
        assert (shown["provider"], shown["temperature"], shown["stop"]) == ("free_providers", 0.5, ["x"])
        assert "freeproviders_run" not in str(run.extra)
        assert "freeproviders_run" not in str(run.inputs)


# --- saved, copied, kept ---------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [ChatFreeProviders, FreeProvidersLLM])
def test_saved_and_loaded(cls):
    """The names of members are; what is the user's word or the machine's is not."""
    model = cls(
        models=["flow-gpt", "ai-chat-free"],
        privacy="any",
        strategy="spread",
        temperature=0.5,
        timeout=Timeout(total=9.0),
        max_retries=Retry(attempts=2),
        confirmed=["groq"],
        paid=True,
        ledger="memory",
    )
    saved = dumps(model)
    assert "groq" not in saved
    assert "memory" not in saved
    assert "paid" not in saved
    loaded = load(dumpd(model), allowed_objects=[cls], valid_namespaces=["langchain_freeproviders"])
    assert (loaded.models, loaded.privacy, loaded.strategy) == (["flow-gpt", "ai-chat-free"], "any", "spread")
    assert (loaded.timeout, loaded.max_retries, loaded.temperature) == (
        Timeout(total=9.0),
        Retry(attempts=2),
        0.5,
    )
    assert (loaded.confirmed, loaded.paid, loaded.ledger) == ([], False, "")
    assert dumps(loaded) == saved


def test_objects_are_saved_where_langchain_can(servers):
    (one,) = servers("ok")
    fake = FakeListChatModel(responses=["ok"])
    assert not fake.is_lc_serializable()
    for models in (members(one), [fake]):
        saved = dumpd(ChatFreeProviders(models=models))
        assert saved["type"] == "not_implemented"
        with pytest.raises(NotImplementedError, match="doesn't implement serialization"):
            load(saved, allowed_objects=[ChatFreeProviders], valid_namespaces=["langchain_freeproviders"])
    ours = OPENAI.chat(base_url=one.base_url, model="m1", api_key="sk-secret")
    model = ChatFreeProviders(models=[ours, "flow-gpt"])
    assert "sk-secret" not in dumps(model)
    loaded = load(
        dumpd(model),
        allowed_objects=[ChatFreeProviders, OPENAI.chat],
        valid_namespaces=["langchain_freeproviders"],
        secrets_from_env=False,
    )
    assert [type(member) for member in loaded.models] == [OPENAI.chat, str]


def test_pickled_and_copied(servers):
    (one,) = servers("ok")
    model = router(one, temperature=0.5, confirmed=["groq"])
    model.invoke("Hi")
    for other in (copy.copy(model), copy.deepcopy(model), model.model_copy(), model.model_copy(deep=True)):
        assert other == model
        assert other.models[0] is model.models[0]  # with what was learned of its service
        assert other.invoke("Hi").content == "ok"
    other = pickle.loads(pickle.dumps(model))
    assert other.invoke("Hi").content == "ok"
    assert (other.temperature, other.confirmed) == (0.5, ["groq"])
    named = ChatFreeProviders(models=["flow-gpt"])
    assert pickle.loads(pickle.dumps(named)) == named
    named.models = ["ai-chat-free"]
    assert [member.backend.slug for member in named._backend.members] == ["ai-chat-free"]


@pytest.mark.parametrize("cls", [ChatFreeProviders, FreeProvidersLLM])
def test_caches_tell_routers_apart(cls, servers):
    one, two = servers("first", "second")
    first, second = members(one, two)
    cache = InMemoryCache()

    def said(**fields):
        answer = cls(cache=cache, **fields).invoke("Hi")
        return getattr(answer, "content", answer)

    assert [said(models=[first]), said(models=[second]), said(models=[first])] == ["first", "second", "first"]
    assert len(cache._cache) == 2
    assert len(one.requests) == 1
    theirs = [ChatTheirs(base_url=server.base_url) for server in (one, two)]
    assert [said(models=[theirs[0]]), said(models=[theirs[1]])] == ["first", "second"]
    for change in ({"temperature": 0.5}, {"exclude": ["groq"]}, {"on_broken_stream": "restart"}):
        said(models=[first], **change)
    assert len(cache._cache) == 7
    keys = str(list(cache._cache))
    assert "freeproviders_run" not in keys


def test_no_secret_is_shown(servers):
    (one,) = servers("ok")
    member = OpenAICompatible("m1", base_url=one.base_url.replace("://", "://ann:sk-secret-1@"), api_key=None)
    other = OpenAICompatible("m2", base_url=one.base_url, api_key="sk-secret-2", headers={"X": "sk-secret-3"})
    model = ChatFreeProviders(models=[member, other], ledger="redis://:sk-secret-4@127.0.0.1:1/0")
    for text in (
        repr(model),
        dumps(model),
        model._get_llm_string(),
        str(model._identifying_params),
        str(model._get_invocation_params()),
    ):
        assert "sk-secret" not in text


# --- a string model -------------------------------------------------------------------------------


async def test_a_string_model(servers):
    for ask in (
        lambda llm, config: asyncio.to_thread(llm.invoke, "Hi", config),
        lambda llm, config: asyncio.to_thread(lambda: "".join(llm.stream("Hi", config))),
        lambda llm, config: llm.ainvoke("Hi", config),
        lambda llm, config: joined(llm.astream("Hi", config)),
    ):
        told = Told()
        llm = FreeProvidersLLM(models=members(*servers({"drop": True}, "I am second.")))
        assert await ask(llm, {"callbacks": [told]}) == "I am second."
        assert told.events == NEXT
    assert llm._llm_type == "free-providers-llm"
    info = llm.generate(["Hi"]).generations[0][0].generation_info
    assert info["trail"][-1]["model"] == "m2"
    with pytest.raises(ValueError, match="n must be 1"):
        llm.invoke("Hi", n=2)


async def joined(stream):
    return "".join(await read(stream))


# --- an answer that breaks off --------------------------------------------------------------------


def breaking(**fields):
    """A router whose first member always breaks off after some words."""
    stack = ExitStack()
    faults = {"cut": 900, "chunk": 60, "pace": 0.005}
    one = stack.enter_context(OPENAI.replica("It was once upon a time in the west.", faults=faults))
    two = stack.enter_context(OPENAI.replica("A whole answer."))
    return stack, router(one, two, **{"temperature": 0, "max_retries": 0, **fields})


async def test_a_restart_is_said_at_the_moment_it_happens():
    """A chunk says that what came before is void; what comes behind it is the whole answer."""
    for ask in (
        lambda model, config: asyncio.to_thread(list, model.stream("Hi", config)),
        lambda model, config: read(model.astream("Hi", config)),
    ):
        stack, model = breaking(on_broken_stream="restart")
        with stack:
            told = Told()
            chunks = await ask(model, {"callbacks": [told]})
        (at,) = [n for n, chunk in enumerate(chunks) if chunk.response_metadata.get("reset")]
        assert chunks[at].response_metadata == {"reset": True, "keep": 0}
        void = "".join(chunk.content for chunk in chunks[:at])
        assert void.startswith("It was")
        assert "".join(chunk.content for chunk in chunks[at:]) == "A whole answer."
        (seam,) = chunks[-1].response_metadata["seams"]
        assert (seam["offset"], seam["how"]) == (len(void), "restart")
        assert ("freeproviders_seam", "m2") in told.events
        assert sum(chunks[1:], chunks[0]).response_metadata["reset"]


def test_a_restart_without_a_listener():
    """And in a string model, whose chunks only callbacks see."""
    for stream in (
        lambda model: model.stream("Hi"),
        lambda model: (chunk.message for chunk in model._stream([HumanMessage("Hi")])),
    ):
        stack, model = breaking(on_broken_stream="restart")
        with stack:
            assert [chunk for chunk in stream(model) if chunk.response_metadata.get("reset")]
    stack, model = breaking(on_broken_stream="restart")
    with stack:
        llm = FreeProvidersLLM(models=model.models, on_broken_stream="restart", max_retries=0)
        chunks = list(llm._stream("Hi"))
    assert "".join(chunk.text for chunk in chunks).endswith("A whole answer.")
    infos = [chunk.generation_info or {} for chunk in chunks]
    assert [info["reset"] for info in infos if "reset" in info] == [True]


async def test_what_is_put_together_has_no_void():
    """An `invoke` that streams, as who shows pieces makes it, returns the new answer alone."""
    for ask in (
        lambda model: asyncio.to_thread(model.invoke, "Hi", stream=True),
        lambda model: model.ainvoke("Hi", stream=True),
        lambda model: model.ainvoke("Hi"),
    ):
        stack, model = breaking(on_broken_stream="restart")
        with stack:
            message = await ask(model)
        assert message.content == "A whole answer."
        assert "reset" not in message.response_metadata
    stack, model = breaking(on_broken_stream="restart", output_version="v1")
    with stack:
        message = model.invoke("Hi", stream=True)
    assert [block["text"] for block in message.content_blocks] == ["A whole answer."]


def test_otherwise_it_is_an_error_with_what_was_said():
    stack, model = breaking()
    said = []
    with stack, pytest.raises(errors.TruncatedResponseError) as caught:
        for chunk in model.stream("Hi"):
            said.append(chunk.content)
    assert "".join(said).startswith("It was")
    assert caught.value.partial == "".join(said)
