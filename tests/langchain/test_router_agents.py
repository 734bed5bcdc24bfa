"""Agents, graphs and chains over the router, whose services die in the middle of the work."""

import asyncio
import json

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel

from freeproviders import OpenAICompatible
from langchain_freeproviders import ChatFreeProviders
from langchain_freeproviders.errors import NoProviderError
from tests.brain import brain, native_brain
from tests.langchain.services import FLOW, OPENAI
from tests.langchain.theirs import ChatTheirs

LIMIT = {"recursion_limit": 30}
ASKED = {"messages": [HumanMessage("What is the weather in Rome?")]}
DOWN = {"status": 503}


@pytest.fixture(autouse=True)
def _own_ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("FREEPROVIDERS_QUOTA", str(tmp_path / "ledger.sqlite"))


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"21 degrees in {city}"


class Report(BaseModel):
    """A weather report."""

    place: str
    degrees: int


def native(r, model="m1"):
    return OpenAICompatible(model, base_url=r.base_url, native_tools=True)


def plain(r, model="m2"):
    return OpenAICompatible(model, base_url=r.base_url, native_tools=False, json_schema=False)


def flow(r):
    return FLOW.chat.provider_class(base_url=r.base_url)


def theirs(r):
    return ChatTheirs(base_url=r.base_url)


@pytest.mark.parametrize(
    ("first", "second"),
    [(native, plain), (plain, native), (native, theirs), (theirs, flow), (flow, theirs)],
    ids=lambda make: make.__name__,
)
@pytest.mark.parametrize("ask", ["invoke", "ainvoke", "astream"])
async def test_a_service_dies_in_the_middle_of_an_agents_run(first, second, ask):
    """The call that one made, with its result, goes to another in the form that it reads."""
    replicas = {
        native: lambda: OPENAI.replica(native_brain, faults=[{}, *[DOWN] * 9]),
        theirs: lambda: OPENAI.replica(native_brain, faults=[{}, *[DOWN] * 9]),
        plain: lambda: OPENAI.replica(brain, native_tools=False, faults=[{}, *[DOWN] * 9]),
        flow: lambda: FLOW.replica(brain, faults=[{}, *[DOWN] * 9]),
    }
    with replicas[first]() as one, replicas[second]() as two:
        two.faults = None
        model = ChatFreeProviders(models=[first(one), second(two)])
        agent = create_agent(model, [get_weather], system_prompt="Be brief.")
        if ask == "invoke":
            state = await asyncio.to_thread(agent.invoke, ASKED, LIMIT)
        elif ask == "ainvoke":
            state = await agent.ainvoke(ASKED, LIMIT)
        else:
            *_, state = [step async for step in agent.astream(ASKED, LIMIT, stream_mode="values")]
    _, call, result, answer = state["messages"]
    assert [call["args"] for call in call.tool_calls] == [{"city": "Rome"}]
    assert isinstance(result, ToolMessage)
    assert "21 degrees in Rome" in answer.content
    trails = [message.response_metadata["trail"] for message in (call, answer)]
    assert [len(trail) for trail in trails] == [1, 2]
    assert (len(one.requests), len(two.requests)) == (2, 1)
    assert answer.usage_metadata["output_tokens"] > 0


async def test_pieces_of_a_graph_come_once():
    """LangGraph shows the router's pieces, and not those of a member's own run as well."""
    with OPENAI.replica("One two three four.") as r:
        model = ChatFreeProviders(models=[theirs(r)])

        async def ask(state: MessagesState):
            return {"messages": [await model.ainvoke(state["messages"])]}

        graph = StateGraph(MessagesState).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
        graph = graph.compile()
        for question in (ASKED, {"messages": [HumanMessage("Again")]}):
            pieces = [
                piece.content
                async for piece, _ in graph.astream(question, stream_mode="messages")
                if isinstance(piece, AIMessageChunk)
            ]
            assert "".join(pieces) == "One two three four."
            assert len(pieces) > 2
        agent = create_agent(model, [])
        pieces = [
            piece.content
            for piece, _ in await asyncio.to_thread(lambda: list(agent.stream(ASKED, stream_mode="messages")))
        ]
        assert "".join(pieces) == "One two three four."


class Counts(BaseCallbackHandler):
    def __init__(self):
        self.tokens = 0

    def on_llm_end(self, response, **kwargs):
        self.tokens += response.generations[0][0].message.usage_metadata["output_tokens"]


async def test_tokens_are_counted_once():
    """By handlers, and by LangChain's own count; a member's own run counts nothing twice."""
    with OPENAI.replica("One two three four.") as r:
        model = ChatFreeProviders(models=[theirs(r)])
        counts = Counts()
        with get_usage_metadata_callback() as usage:
            message = await model.ainvoke("Hi", {"callbacks": [counts]})
            said = message.usage_metadata["output_tokens"]
        assert counts.tokens == said
        assert sum(used["output_tokens"] for used in usage.usage_metadata.values()) == said
        with get_usage_metadata_callback() as usage:
            await asyncio.to_thread(model.invoke, "Hi")
        assert sum(used["output_tokens"] for used in usage.usage_metadata.values()) == said


async def test_an_object_at_the_end_of_a_run():
    with OPENAI.replica(faults=DOWN) as down, FLOW.replica(brain) as r:
        model = ChatFreeProviders(models=[native(down), flow(r)])
        for response_format in (ToolStrategy(Report), Report):
            agent = create_agent(model, [get_weather], response_format=response_format)
            state = await agent.ainvoke(ASKED, LIMIT)
            assert state["structured_response"] == Report(place="Rome", degrees=3)
        chain = model.with_structured_output(Report)
        found = chain.invoke('The place "Rome" has 3 degrees.')
        assert found.place == "Rome"
        *_, last = chain.stream('The place "Rome" has 3 degrees.')
        assert last == found


async def test_output_that_is_no_good_goes_to_the_next():
    """The first cannot write a call that fits; the second can."""
    with OPENAI.replica("I call no tools.") as one, OPENAI.replica(brain, native_tools=False) as two:
        model = ChatFreeProviders(models=[plain(one, "m1"), plain(two)], max_repairs=1)
        message = await model.bind_tools([get_weather], tool_choice="any").ainvoke("The weather in Rome?")
    assert [call["args"] for call in message.tool_calls] == [{"city": "Rome"}]
    assert [attempt["model"] for attempt in message.response_metadata["trail"]] == ["m1", "m2"]
    assert message.response_metadata["trail"][0]["requests"] == 2


async def test_with_langchains_own_fallbacks_and_retries():
    with OPENAI.replica(faults=DOWN) as down:
        dead = ChatFreeProviders(models=[native(down)], max_retries=0, wait_up_to=0)
        last = FakeListChatModel(responses=["At last."])
        assert (await dead.with_fallbacks([last]).ainvoke("Hi")).content == "At last."
        pieces = [piece.content async for piece in dead.with_fallbacks([last]).astream("Hi")]
        assert "".join(pieces) == "At last."
        with pytest.raises(NoProviderError):
            dead.with_fallbacks([last], exceptions_to_handle=(ZeroDivisionError,)).invoke("Hi")
    with OPENAI.replica("ok", faults=[DOWN, DOWN]) as r:
        model = ChatFreeProviders(models=[native(r)], max_retries=0, wait_up_to=0)
        again = model.with_retry(
            retry_if_exception_type=(NoProviderError,),
            wait_exponential_jitter=False,
            stop_after_attempt=4,
        )
        assert again.invoke("Hi").content == "ok"


async def test_many_questions_at_once():
    """Each gets its own answer, whoever gives it."""

    def parrot(messages):
        return f"You said {messages[-1]['content']}."

    questions = [f"number {n}" for n in range(24)]
    expected = [f"You said {question}." for question in questions]
    with OPENAI.replica(parrot, faults=[{}, DOWN, {"drop": True}] * 20) as one, OPENAI.replica(parrot) as two:
        model = ChatFreeProviders(models=[native(one), theirs(two)])
        for answers in (
            model.batch(questions, {"max_concurrency": 6}),
            await model.abatch(questions, {"max_concurrency": 6}),
        ):
            assert [answer.content for answer in answers] == expected
        in_order = {}
        async for n, answer in model.abatch_as_completed(questions, {"max_concurrency": 6}):
            in_order[n] = answer.content
        assert [in_order[n] for n in range(24)] == expected
        assert two.requests


async def test_retrieval():
    documents = {"rome": "Rome has seven hills.", "paris": "Paris has one tower."}

    def find(question):
        return [Document(text) for title, text in documents.items() if title in question.lower()]

    def answer(messages):
        return "Seven." if "seven hills" in json.dumps(messages) else "I do not know."

    prompt = ChatPromptTemplate.from_messages([("system", "Answer from: {context}"), ("human", "{question}")])
    with OPENAI.replica(faults=DOWN) as down, OPENAI.replica(answer) as r:
        model = ChatFreeProviders(models=[native(down), theirs(r)])
        sources = {"context": RunnableLambda(find), "question": RunnablePassthrough()}
        chain = sources | prompt | model | StrOutputParser()
        question = "How many hills has Rome?"
        assert await chain.ainvoke(question) == await asyncio.to_thread(chain.invoke, question) == "Seven."
        assert "".join([piece async for piece in chain.astream(question)]) == "Seven."
