"""Chains whose outputs are kept: nothing is asked twice, and all else is as with the chain itself."""

import asyncio
import pickle
import threading
from collections import Counter

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableLambda, RunnableParallel, RunnablePassthrough
from pydantic import BaseModel

from freeproviders import OpenAICompatible
from freeproviders.testing import replica
from langchain_freeproviders import ChatOpenAICompatible, errors, resumable
from tests.brain import brain
from tests.embeddings.kills import run
from tests.langchain.services import OPENAI

PROMPT = ChatPromptTemplate.from_template("Q: {q}")

PROGRAM = """
import asyncio, json, sys
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_freeproviders import ChatOpenAICompatible, resumable

address, store, count, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
facts = RunnableLambda(lambda question: f"fact of {question}")
chain = (
    {"context": facts, "question": RunnablePassthrough()}
    | ChatPromptTemplate.from_template("{context}: {question}")
    | ChatOpenAICompatible(model="m", base_url=address)
    | StrOutputParser()
)
questions = (f"question {place}" for place in range(count))
found = {}

async def main():
    kept = resumable(chain, store=store, name="rag-v1")
    async for place, output in kept.abatch_as_completed(questions, concurrency=4):
        found[place] = output

asyncio.run(main())
assert found == {place: f"fact of question {place}: question {place}" for place in range(count)}
"""


def questions_of(server):
    """How often each question was asked."""
    return Counter(request.messages[-1]["content"] for request in server.requests)


def test_a_killed_evaluation_goes_on(tmp_path):
    """It is killed at moments of the service's; what was answered is not asked again."""
    count, kills, in_flight = 60, 1, 4
    with replica(OpenAICompatible, faults={"delay_headers": 0.005}) as server:
        facts = (server.base_url, tmp_path / "eval.db", count, tmp_path / "out")
        run(server, PROGRAM, *facts, kills=kills, most=40)
        times = questions_of(server)
    assert len(times) == count
    # What runs, and what was answered and was not yet on the disk.
    assert sum(times.values()) <= count + kills * 2 * in_flight


@pytest.fixture
def server():
    with OPENAI.replica() as server:
        yield server


@pytest.fixture
def model(server):
    return OPENAI.model(server)


@pytest.fixture
def kept(model, tmp_path):
    """A chain of a prompt and a model, as it is after each start."""
    return lambda **how: resumable(PROMPT | model, store=tmp_path / "a.db", name="n", **how)


INPUTS = [{"q": "a"}, {"q": "b"}, {"q": "a"}]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "batch", "abatch", "completed", "acompleted", "stream"])
def test_every_way_to_ask_shares_what_is_kept(kept, server, way):
    """Whichever way asked first; equal inputs of a batch are separate questions."""
    first = kept().batch(INPUTS)
    chain = kept()

    async def acompleted():
        return [one async for one in chain.abatch_as_completed(INPUTS)]

    match way:
        case "invoke":
            found = [chain.invoke(one) for one in INPUTS[:2]]
        case "ainvoke":
            found = [asyncio.run(chain.ainvoke(one)) for one in INPUTS[:2]]
        case "batch":
            found = chain.batch(INPUTS)
        case "abatch":
            found = asyncio.run(chain.abatch(INPUTS))
        case "completed":
            found = [one for _, one in sorted(chain.batch_as_completed(INPUTS), key=lambda one: one[0])]
        case "acompleted":
            found = [one for _, one in sorted(asyncio.run(acompleted()), key=lambda one: one[0])]
        case "stream":
            found = [chunk for one in INPUTS[:2] for chunk in chain.stream(one)]
    assert found == first[: len(found)]
    assert all(type(one) is AIMessage for one in found)
    assert questions_of(server) == {"Q: a": 2, "Q: b": 1}


class Verdict(BaseModel):
    score: int


def test_outputs_come_back_as_they_were(tmp_path):
    """Messages, texts, documents, mappings, typed answers."""
    with OPENAI.replica(brain) as server:
        model = OPENAI.model(server)
        found = [Document("text", metadata={"n": (1, 2)}, id="d")]
        chains = {
            "message": PROMPT | model,
            "text": PROMPT | model | StrOutputParser(),
            "its text": PROMPT | model | (lambda message: message.text),
            "documents": RunnableLambda(lambda _: found),
            "parallel": RunnableParallel(
                answer=PROMPT | model, context=lambda _: found, q=RunnablePassthrough()
            ),
            "typed": PROMPT | model.with_structured_output(Verdict),
            "a tool": PROMPT | model.bind_tools([Verdict]),
        }
        first = {
            name: resumable(chain, name=name, store=tmp_path / "a.db").invoke({"q": "a score of 3"})
            for name, chain in chains.items()
        }
        asked = len(server.requests)
        for name, chain in chains.items():
            again = resumable(chain, name=name, store=tmp_path / "a.db").invoke({"q": "a score of 3"})
            assert again == first[name]
            assert repr(again) == repr(first[name])
        assert first["typed"] == Verdict(score=3)
        assert len(server.requests) == asked


def test_a_class_inside_a_mapping_is_given(tmp_path):
    """One that is not is named before the second question."""
    with OPENAI.replica(brain) as server:
        typed = PROMPT | OPENAI.model(server).with_structured_output(Verdict, include_raw=True)
        how = {"name": "n", "store": tmp_path / "a.db"}
        with pytest.raises(errors.UsageError, match=r"test_resumable.Verdict cannot be kept.*types="):
            resumable(typed, **how).batch(INPUTS, return_exceptions=True)
        assert len(server.requests) == 1
        first = resumable(typed, **how, types=[Verdict]).batch(INPUTS)
        assert resumable(typed, **how, types=[Verdict]).batch(INPUTS) == first
        assert type(first[0]["parsed"]) is Verdict
        assert len(server.requests) == 4


def test_ids_of_messages_are_no_part_of_a_question(model, server, tmp_path):
    """LangChain makes them up anew."""
    chain = resumable(model, name="n", store=tmp_path / "a.db")
    for one in ("1", "2"):
        chain.invoke([HumanMessage("a", id=one)])
        chain.invoke({"messages": [HumanMessage("a", id=one)]}["messages"])
    assert len(server.requests) == 1
    chain.invoke([HumanMessage("a", name="Ann")])
    assert len(server.requests) == 2


# --- it is a Runnable -----------------------------------------------------------------------------


class Runs(BaseCallbackHandler):
    """The runs of a trace: their names, those above them, and what came with them."""

    def __init__(self):
        self.names = {}
        self.lines = []
        self.ends = []
        self.lock = threading.Lock()

    def on_chain_start(self, serialized, inputs, *, run_id, parent_run_id=None, **kwargs):
        with self.lock:
            self.names[run_id] = kwargs.get("name")
            self.lines.append((self.names.get(parent_run_id), kwargs.get("name")))
            self.tags, self.metadata = kwargs.get("tags"), kwargs.get("metadata")

    def on_chat_model_start(self, serialized, messages, *, run_id, parent_run_id=None, **kwargs):
        self.on_chain_start(serialized, messages, run_id=run_id, parent_run_id=parent_run_id, **kwargs)

    def on_chain_end(self, outputs, *, run_id, **kwargs):
        self.ends.append((self.names[run_id], outputs))

    def on_chain_error(self, error, *, run_id, **kwargs):
        self.ends.append((self.names[run_id], error))


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_trace_has_the_chain_where_it_was_asked(kept, server, batched, way):
    """And a run with its output where it was not."""

    def ask():
        runs = Runs()
        config = {"callbacks": [runs], "tags": ["t"], "metadata": {"k": 1}}
        chain = kept()
        if way == "sync":
            output = chain.batch([INPUTS[0]], config)[0] if batched else chain.invoke(INPUTS[0], config)
        elif batched:
            output = asyncio.run(chain.abatch([INPUTS[0]], config))[0]
        else:
            output = asyncio.run(chain.ainvoke(INPUTS[0], config))
        return runs, output

    first, output = ask()
    assert first.lines[:2] == [(None, "n"), ("n", "RunnableSequence")]
    assert ("RunnableSequence", None) in first.lines
    assert first.ends[-1] == ("n", output)
    again, same = ask()
    assert again.lines == [(None, "n")]
    assert again.ends == [("n", output)]
    assert same == output
    assert "t" in again.tags
    assert again.metadata["k"] == 1


def test_an_error_is_in_the_trace_and_is_langchains(tmp_path):
    """Also one that was kept."""
    with OPENAI.replica(faults=[{}, {"status": 400}]) as server:
        chain = resumable(OPENAI.model(server), name="n", store=tmp_path / "a.db")
        for _ in range(2):
            runs = Runs()
            found = chain.batch(["a", "b"], {"callbacks": [runs]}, return_exceptions=True, concurrency=1)
            assert found[0].text
            assert type(found[1]) is errors.BadRequestError
            assert [str(error) for name, error in runs.ends if name == "n"][1] == str(found[1])
        assert len(server.requests) == 2
        with pytest.raises(errors.BadRequestError):
            chain.invoke("b")


def test_calls_at_a_time(tmp_path):
    """The caller's number, else that of the configuration, also where it is bound."""
    running, most, wanted = 0, 0, 0
    reached = asyncio.Event()

    async def slow(value):
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == wanted:
            reached.set()
        if value:  # the first is alone
            await reached.wait()
        running -= 1
        return value

    async def check(number, ask):
        nonlocal most, wanted
        reached.clear()
        most, wanted = 0, number
        assert await ask == list(range(30))
        assert most == number

    async def main():
        chain = RunnableLambda(slow)

        def made(name):
            return resumable(chain, name=name, store=tmp_path / "a.db")

        inputs = range(30)
        await check(3, made("1").abatch(inputs, concurrency=3))
        await check(2, made("2").abatch(inputs, {"max_concurrency": 2}))
        await check(4, made("3").with_config(max_concurrency=4, tags=["x"]).abatch(inputs))
        await check(8, made("4").abatch(inputs))
        found = [one async for one in made("3").with_config(tags=["x"]).abatch_as_completed(iter(range(5)))]
        assert sorted(found) == [(place, place) for place in range(5)]

    asyncio.run(main())


def test_what_is_configured_decides(server, tmp_path):
    """And arguments of a call, as `stop`; names of LangGraph's own do not."""
    model = OPENAI.model(server, temperature=0.1)
    chain = resumable(
        model.configurable_fields(temperature=ConfigurableField(id="heat")), name="n", store=tmp_path / "a.db"
    )
    for _ in range(2):
        chain.invoke("a")
        chain.invoke("a", {"configurable": {"heat": 0.9}})
        chain.with_config(configurable={"heat": 0.9}).batch(["a"])
        chain.batch(["a", "a"], [{"configurable": {"heat": 0.9}}, {"configurable": {"heat": 0.5}}])
        chain.invoke("a", stop=["x"])
        chain.invoke("a", {"configurable": {"__pregel_x": object(), "checkpoint_ns": "1"}})
    heats = [request.json["temperature"] for request in server.requests]
    assert heats == [0.1, 0.9, 0.5, 0.1]


def test_configurations_are_as_many_as_inputs(kept, server):
    """Else nothing is asked."""
    with pytest.raises(ValueError, match="same length"):
        kept().batch(INPUTS, [{}, {}])
    with pytest.raises(errors.UsageError, match="2 configurations for more inputs"):
        kept().batch(iter(INPUTS), [{}, {}])
    assert len(server.requests) <= 2


def test_it_stands_in_a_chain(kept, server):
    """Before and behind other steps, with retries, in parallel."""
    chain = RunnableParallel(
        x={"q": RunnablePassthrough()} | kept().with_retry() | StrOutputParser(),
        y={"q": RunnablePassthrough()} | kept() | StrOutputParser(),
    )
    assert chain.invoke("a") == {"x": "Q: a", "y": "Q: a"}
    assert "".join(kept().pipe(StrOutputParser()).stream({"q": "a"})) == "Q: a"
    assert len(server.requests) <= 2
    schema = kept().get_input_schema().model_json_schema()
    assert schema["required"] == ["q"]
    assert kept().get_name() == "n"
    assert "ChatPrompt" in kept().get_graph().draw_mermaid()


def test_it_pickles_with_its_place(kept, server):
    """Another process opens the same store."""
    chain = kept()
    first = chain.invoke(INPUTS[0])
    assert pickle.loads(pickle.dumps(chain)).invoke(INPUTS[0]) == first
    assert len(server.requests) == 1


def test_an_agent_is_a_chain_too(tmp_path):
    """All its messages are kept."""

    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"21 degrees in {city}"

    questions = [{"messages": [("user", f"The weather in {city}?")]} for city in ("Paris", "Oslo")]
    with OPENAI.replica(brain) as server:
        agent = create_agent(OPENAI.model(server), [get_weather])
        first, again = (
            resumable(agent, name="n", store=tmp_path / "a.db").batch(questions) for _ in range(2)
        )
        assert again == first
        assert [one.type for one in first[1]["messages"]] == ["human", "ai", "tool", "ai"]
        assert "21 degrees in Oslo" in first[1]["messages"][-1].text
        assert len(server.requests) == 4


async def test_a_function_is_a_chain_too(tmp_path):
    """As everywhere in LangChain."""
    asked = []

    async def twice(value: int) -> int:
        asked.append(value)
        return 2 * value

    for _ in range(2):
        chain = resumable(twice, name="n", store=tmp_path / "a.db")
        assert await chain.abatch([1, 2, 3]) == [2, 4, 6]
    assert asked == [1, 2, 3]


def test_bad_arguments_are_found_at_once(model, tmp_path):
    """Before anything is asked, and as errors of LangChain's."""
    for how in ({"name": ""}, {"name": "n", "types": [int]}):
        with pytest.raises(errors.UsageError):
            resumable(model, store=tmp_path / "a.db", **how)
    with pytest.raises(errors.UsageError, match="1 or more"):
        resumable(model, name="n", store=tmp_path / "a.db").batch(["a"], concurrency=0)


def test_a_break_ends_what_runs(tmp_path):
    """Nobody waits for the service, which would take very long."""
    with replica(OpenAICompatible, faults=[{}, {}, *[{"delay_headers": 1000}] * 3]) as server:
        model = ChatOpenAICompatible(model="m", base_url=server.base_url, max_retries=0)

        async def main():
            chain = resumable(model, name="n", store=tmp_path / "a.db")
            found = []
            async for place, _ in chain.abatch_as_completed(map(str, range(5)), concurrency=5):
                found.append(place)
                if len(found) == 2:
                    break
            return found

        assert len(asyncio.run(main())) == 2
